#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""measured.py COMMAND…: runs it, and says on stderr what it took: status, KiB of memory at most, milliseconds of the
processors. What it writes to stdout is counted and dropped."""
import os
import subprocess
import sys


def main():
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        written = 0
        while piece := process.stdout.read1(1 << 20):
            written += len(piece)
        said = process.stderr.read().decode(errors="replace").strip()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    used = round(1000 * (usage.ru_utime + usage.ru_stime))
    print(process.returncode, usage.ru_maxrss, used, written, said)


if __name__ == "__main__":
    main()
