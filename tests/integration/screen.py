# SPDX-License-Identifier: LGPL-2.1-or-later
"""screen.py COLUMNS [EXPECT KEYS]… -- COMMAND…: runs it on a terminal so wide, and prints all that it writes there. Whenever what
comes next contains EXPECT, KEYS are typed ("^C" is the key, "=50" makes the window 50 columns wide). Ends with its status; 99: the
terminal is not as it was before, 98: it did not end."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time


def set_width(terminal, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


end = sys.argv.index("--")
columns = int(sys.argv[1])
steps = list(zip(sys.argv[2:end:2], sys.argv[3:end:2]))
master, slave = pty.openpty()
set_width(slave, columns)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.closerange(3, 100)
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])

seen = b""
limit = time.monotonic() + 40
status = None
while True:
    ready, _, _ = select.select([master], [], [], 0.05)
    if ready:
        part = os.read(master, 65536)
        sys.stdout.buffer.write(part)
        seen += part
    elif status is not None:
        break
    if steps and steps[0][0].encode() in seen:
        keys = steps.pop(0)[1]
        seen = b""
        if keys.startswith("="):
            set_width(slave, int(keys[1:]))
        else:
            os.write(master, b"\x03" if keys == "^C" else keys.encode())
    if status is None:
        ended, how = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(how)
        elif time.monotonic() > limit:
            os.kill(pid, 9)
            sys.exit(98)
sys.stdout.flush()
if termios.tcgetattr(slave) != before:
    sys.exit(99)
sys.exit(status if not steps else 97)
