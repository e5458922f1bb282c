# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints where a file holds data, one line "START END" for each stretch.

segments.py file PATH   asks SEEK_DATA and SEEK_HOLE
segments.py map         reads what `qemu-img map --output=json` prints
"""

import errno
import json
import os
import sys


def of_file(path):
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    segments, off = [], 0
    while off < size:
        try:
            start = os.lseek(fd, off, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            break
        off = os.lseek(fd, start, os.SEEK_HOLE)
        if off <= start:
            sys.exit(f"SEEK_HOLE from {start} went to {off}")
        segments.append((start, off))
    # What POSIX says of the end: a hole begins there, and nothing lies past it.
    if size > 0 and os.lseek(fd, size - 1, os.SEEK_HOLE) not in (size - 1, size):
        sys.exit("the end of the file is no hole")
    for whence in (os.SEEK_DATA, os.SEEK_HOLE):
        try:
            os.lseek(fd, size, whence)
            sys.exit("seeking at the end of the file found something")
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
    return segments


def of_map(stream):
    segments = []
    for part in json.load(stream):
        if not part["data"]:
            continue
        start, end = part["start"], part["start"] + part["length"]
        if segments and segments[-1][1] == start:
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
    return segments


for start, end in of_file(sys.argv[2]) if sys.argv[1] == "file" else of_map(sys.stdin):
    print(start, end)
