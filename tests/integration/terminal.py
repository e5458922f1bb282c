# SPDX-License-Identifier: LGPL-2.1-or-later
"""terminal.py [--nohup] COMMAND…: runs it in the foreground of a terminal of its own, which goes away with the first line on
stdin, or its end. Ends with the status of the command, once that has ended."""

import fcntl
import os
import signal
import sys
import termios

words = sys.argv[1:]
ignores = words[0] == "--nohup"
if ignores:
    words = words[1:]
master, terminal = os.openpty()
pid = os.fork()
if pid == 0:
    os.close(master)
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignores else signal.SIG_DFL)
    os.close(terminal)
    os.execvp(words[0], words)
os.close(terminal)
sys.stdin.readline()
os.close(master)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
