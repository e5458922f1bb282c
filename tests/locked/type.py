#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""type.py WORDS… -- COMMAND…: runs COMMAND on a terminal of its own, where somebody waits for each question, which ends
with ": ", and answers with the next of WORDS; "^C" is that key. Prints what the terminal showed, and ends with COMMAND's status. While
a question stands the terminal must not show what is typed."""
import os
import pty
import select
import sys
import termios
import time

LIMIT_S = 60


def answer(terminal, word):
    if termios.tcgetattr(terminal)[3] & termios.ECHO:
        sys.exit("the terminal shows what is typed")
    os.write(terminal, b"\x03" if word == "^C" else word.encode() + b"\n")


def main():
    at = sys.argv.index("--")
    words, command = sys.argv[1:at], sys.argv[at + 1:]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    shown, seen, end = b"", 0, time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                more = os.read(terminal, 4096)
            except OSError:
                more = b""
            if not more:
                break
            shown += more
        if words and shown.endswith(b": ") and len(shown) > seen:
            seen = len(shown)
            answer(terminal, words.pop(0))
    else:
        sys.exit(f"it does not end: {shown!r}")
    print(shown.decode().replace("\r", ""), end="")
    if words:
        sys.exit(f"nobody asked for {words}")
    after = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.exit(after if after >= 0 else 128 - after)


if __name__ == "__main__":
    main()
