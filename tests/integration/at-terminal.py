# SPDX-License-Identifier: LGPL-2.1-or-later
"""at-terminal.py PATTERN STOPPED COMMAND…: runs it at a terminal of its own, waits until a line that is drawn again says PATTERN, and
presses Ctrl-C: the command ends by that signal, and the line is gone. Prints what else was on the terminal.

STOPPED is "-", or WORKER:DAEMON: that worker gets SIGSTOP as soon as its daemon has a number behind its name, so that
it can be seen however fast it is."""

import os
import pty
import re
import select
import signal
import sys

pattern, stopped, words = sys.argv[1], sys.argv[2], sys.argv[3:]
worker, daemon = stopped.split(":") if stopped != "-" else (None, None)
pid, master = pty.fork()
if pid == 0:
    os.execvp(words[0], words)
said, pressed = b"", False
while True:
    if worker:
        with open(f"/proc/{daemon}/comm", encoding="utf-8") as f:
            if "%" in f.read():
                os.kill(int(worker), signal.SIGSTOP)
                worker = None
    if not select.select([master], [], [], 0.002)[0]:
        continue
    try:
        more = os.read(master, 4096)
    except OSError:
        break
    if not more:
        break
    said += more
    if not pressed and re.search(b"\r" + pattern.encode() + rb"\x1b\[K", said):
        os.write(master, b"\x03")
        pressed = True
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
text = said.decode(errors="replace")
assert pressed and status == -signal.SIGINT, f"status {status}: {text!r}"
assert "%" not in text.rsplit("\r\x1b[K", 1)[-1], f"it stays on the screen: {text!r}"
sys.stdout.write(re.sub(r"\^C|\r[^\r\n]*\x1b\[K|\r", "", text))
