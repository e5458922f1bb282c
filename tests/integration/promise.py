# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes to a view and keeps a journal of what a successful fsync has promised; and tells later whether a disk keeps it.

promise.py write VIEW JOURNAL SEED PART PARTS [SECONDS]
    Writes and discards at random within part PART of PARTS of the disk, with an fsync now and then, until a call fails
    or the time is over. Where there is no space it tries other places for a while. The journal may have been begun
    earlier.
promise.py verify DISK FIRST JOURNAL…
    Is every sector of DISK what the last promise made of it, or what came later? FIRST is the disk as it was at first.

A sector that was written says where it lies and by which operation of which journal it was written, so that it can
be told from everything else. Lines of the journal:
    B seed   W|D number first-sector sectors   F number: that one failed   S last-number-synced   E errno: the end
"""

import ctypes
import errno
import hashlib
import os
import random
import sys
import time

SECTOR = 512
NO_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
TRIES_WITHOUT_SPACE = 40
KEEP_SIZE, PUNCH_HOLE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def contents(seed, number, first, count):
    """What operation `number` writes to these sectors."""
    out = bytearray()
    for sector in range(first, first + count):
        head = b"%016d %016d %016d " % (seed, number, sector)
        out += head + hashlib.shake_128(head).digest(SECTOR - len(head))
    return out


def read_journal(path):
    """The seed, and all operations: (promised, kind, number, first, count). What failed is never promised."""
    seed, operations, pending, failed = None, [], [], set()
    with open(path, "rb") as f:
        for line in f.read().split(b"\n")[:-1]:
            kind, *numbers = line.split()
            numbers = list(map(int, numbers))
            if kind == b"B":
                seed = numbers[0]
            elif kind in (b"W", b"D"):
                pending.append((kind, *numbers))
            elif kind == b"F":
                failed.add(numbers[0])
            else:
                operations += [(kind == b"S" and operation[1] not in failed, *operation) for operation in pending]
                pending = []
    return seed, operations + [(False, *operation) for operation in pending]


def punch(fd, off, length):
    if libc.fallocate(fd, KEEP_SIZE | PUNCH_HOLE, off, length) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def write_whole(fd, data, off):
    while data:
        done = os.pwrite(fd, data, off)
        data, off = data[done:], off + done


class Writer:
    def __init__(self, view, journal, seed, part, parts):
        self.seed, self.number, self.fulls = seed, 0, 0
        if os.path.exists(journal):
            self.seed, operations = read_journal(journal)
            self.number = operations[-1][2] if operations else 0
        self.log = open(journal, "ab", buffering=0)
        if self.number == 0:
            self.log.write(b"B %d\n" % self.seed)
        self.random = random.Random(self.seed * 1000003 + self.number)
        self.fd = os.open(view, os.O_RDWR)
        self.sectors = os.fstat(self.fd).st_size // SECTOR // parts
        self.begin = self.sectors * part

    def without_space(self, e):
        """Where there is none for this there may be for something else."""
        self.fulls += 1
        if e.errno not in NO_SPACE or self.fulls == TRIES_WITHOUT_SPACE:
            raise e

    def operation(self):
        self.number += 1
        count = min(int(2 ** self.random.uniform(0, 8.5)), self.sectors)
        first = self.begin + self.random.randrange(0, self.sectors - count + 1)
        kind = b"D" if self.random.random() < 0.15 else b"W"
        # What is intended stands in the journal first: it may arrive and never be answered.
        self.log.write(b"%s %d %d %d\n" % (kind, self.number, first, count))
        try:
            if kind == b"D":
                punch(self.fd, first * SECTOR, count * SECTOR)
            else:
                write_whole(self.fd, contents(self.seed, self.number, first, count), first * SECTOR)
        except OSError as e:
            self.log.write(b"F %d\n" % self.number)
            self.without_space(e)

    def sync(self):
        try:
            os.fsync(self.fd)
            self.log.write(b"S %d\n" % self.number)
        except OSError as e:
            self.without_space(e)

    def run(self, end):
        while time.monotonic() < end:
            for _ in range(self.random.randrange(1, 12)):
                self.operation()
            self.sync()


def write(view, journal, seed, part, parts, seconds="3600"):
    writer = Writer(view, journal, int(seed), int(part), int(parts))
    try:
        writer.run(time.monotonic() + float(seconds))
    except OSError as e:
        writer.log.write(b"E %d\n" % e.errno)
        print(f"{os.path.basename(journal)}: after operation {writer.number}: {e.strerror}")


class Promises:
    """For each sector touched: the operations that may have the last word, the promised one first."""

    def __init__(self):
        self.sectors = {}

    def add(self, seed, operations):
        for promised, kind, number, first, count in operations:
            for sector in range(first, first + count):
                entry = (kind, seed, number)
                if promised:
                    self.sectors[sector] = [entry]
                else:
                    self.sectors.setdefault(sector, [None]).append(entry)


def expected(entry, sector, first_disk):
    if entry is None:
        return first_disk[sector * SECTOR : (sector + 1) * SECTOR]
    kind, seed, number = entry
    return bytes(SECTOR) if kind == b"D" else bytes(contents(seed, number, sector, 1))


def verify(disk, first, *journals):
    promises, synced = Promises(), 0
    for journal in journals:
        seed, operations = read_journal(journal)
        promises.add(seed, operations)
        synced += sum(operation[0] for operation in operations)
    with open(disk, "rb") as f:
        now = f.read()
    with open(first, "rb") as f:
        before = f.read()
    if len(now) != len(before):
        sys.exit(f"the disk has {len(now)} bytes and had {len(before)}")
    for sector in range(len(now) // SECTOR):
        got = now[sector * SECTOR : (sector + 1) * SECTOR]
        entries = promises.sectors.get(sector, [None])
        if not any(got == expected(e, sector, before) for e in entries):
            sys.exit(f"sector {sector} begins with {got[:51]!r}, promised or possible: {entries}")
    print(f"{synced} operations promised, {len(promises.sectors)} sectors touched, all as they may be")


{"write": write, "verify": verify}[sys.argv[1]](*sys.argv[2:])
