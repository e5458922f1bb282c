#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""search-memory.py FILE PID…: how often the contents of FILE stand in the memory of these processes, all that can be read of it, and in their
arguments and environment: a line for each. Prints no number for what was not looked through."""
import re
import sys


def count_in_memory(pid, needle):
    count = looked = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end, rights, name = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()
            if rights[0] != "r" or name in ("[vvar]", "[vsyscall]"):
                continue
            memory.seek(int(start, 16))
            content, left = b"", int(end, 16) - int(start, 16)
            while left > 0:
                try:
                    piece = memory.read(min(left, 1 << 20))
                except OSError:
                    break
                content += piece
                left -= len(piece)
            count += content.count(needle)
            looked += len(content)
    if looked < 1 << 20:
        sys.exit(f"of process {pid} no more than {looked} bytes could be looked through")
    return count


def main():
    with open(sys.argv[1], "rb") as f:
        needle = f.read()
    for pid in sys.argv[2:]:
        count = count_in_memory(pid, needle)
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as f:
                count += f.read().count(needle)
        print(pid, count)


if __name__ == "__main__":
    main()
