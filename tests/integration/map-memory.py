# SPDX-License-Identifier: LGPL-2.1-or-later
"""Uses a file through memory mappings.

map-memory.py shared FILE    reads all of it, writes a pattern in four places, msyncs, sees it by read() too
map-memory.py private FILE   writes to a private mapping: the file stays as it was
map-memory.py readonly FILE  a shared mapping for reading works, one for writing is refused
map-memory.py sum FILE       sha256 of the file as a mapping shows it
"""

import errno
import hashlib
import mmap
import os
import sys

PATTERN = bytes(range(256)) * 40


def places(size):
    """Across a page border, at the start, in the middle, at the end."""
    return 0, 4096 * 3 - 17, size // 2 + 1, size - len(PATTERN)


def shared(path):
    fd = os.open(path, os.O_RDWR)
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size, mmap.MAP_SHARED) as m:
        before = m[:]
        if before != os.pread(fd, size, 0):
            sys.exit("the mapping and read() differ before anything was written")
        for off in places(size):
            m[off : off + len(PATTERN)] = PATTERN
        m.flush()
        for off in places(size):
            if os.pread(fd, len(PATTERN), off) != PATTERN:
                sys.exit(f"read() at {off} does not see what msync wrote")
        # What write() puts there, the mapping shows.
        os.pwrite(fd, b"written", 70000)
        if m[70000:70007] != b"written":
            sys.exit("the mapping does not see what write() wrote")
    os.fsync(fd)


def private(path):
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    before = os.pread(fd, size, 0)
    with mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as m:
        m[5000 : 5000 + len(PATTERN)] = PATTERN
        if m[5000 : 5000 + len(PATTERN)] != PATTERN:
            sys.exit("a private mapping does not keep what was written to it")
        if m[:5000] != before[:5000]:
            sys.exit("a private mapping shows something else than the file")
    if os.pread(fd, size, 0) != before:
        sys.exit("a private mapping changed the file")


def readonly(path):
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as m:
        if m[:] != os.pread(fd, size, 0):
            sys.exit("the mapping and read() differ")
    try:
        mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        sys.exit("a writable shared mapping of a file open for reading was allowed")
    except PermissionError as e:
        if e.errno != errno.EACCES:
            raise


def digest(path):
    fd = os.open(path, os.O_RDONLY)
    with mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED, mmap.PROT_READ) as m:
        print(hashlib.sha256(m).hexdigest())


{"shared": shared, "private": private, "readonly": readonly, "sum": digest}[sys.argv[1]](sys.argv[2])
