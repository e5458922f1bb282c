# SPDX-License-Identifier: LGPL-2.1-or-later
"""progress-at-terminal.py STATUS PASSES COMMAND…: runs it at a terminal of its own. What it says of its progress goes up in each pass,
the last one to 100 %, and is gone at the end; PASSES are those that must be seen, with commas, or "-" for none at all. Prints the
rest of what was on the terminal."""

import os
import pty
import re
import sys


def watch(words):
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(words[0], words)
    said = b""
    while True:
        try:
            more = os.read(master, 4096)
        except OSError:
            break
        if not more:
            break
        said += more
    return said.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    status, passes, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    said, got = watch(words)
    assert got == status, f"status {got} instead of {status}: {said!r}"
    shown = re.findall(r"\r(\w+)[^:\r]*: +(\d+) %\x1b\[K", said)
    seen, before = [], None
    for name, percent in shown:
        if before is None or before[0] != name or before[1] == 100:
            seen.append(name)
        else:
            assert int(percent) >= before[1], f"it goes back: {shown}"
        before = (name, int(percent))
    wanted = [] if passes == "-" else passes.split(",")
    assert set(wanted) <= set(seen) and bool(wanted) == bool(seen), f"passes {seen}, not {wanted}: {said!r}"
    assert before is None or before[1] == 100, f"it ends at {before}"
    rest = said.rsplit("\r\x1b[K", 1)[-1]
    assert " %" not in rest, f"it stays on the screen: {said!r}"
    sys.stdout.write(re.sub(r"\r[^\r\n]*\x1b\[K|\r", "", said))


main()
