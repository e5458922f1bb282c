#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""direct-io.py FILE: writes with O_DIRECT in several threads, while others read the same blocks through the page cache, and
looks after each write whether a read, a read with O_DIRECT and a shared mapping see it."""
import mmap
import os
import random
import sys
import threading

BLOCK = 4096
ROUNDS = 400
WRITERS = 3
BLOCKS = 16  # of each writer
LARGE = 3 << 20


def block_of(number):
    """A page of memory, as O_DIRECT wants it."""
    page = mmap.mmap(-1, BLOCK)
    page.write(number.to_bytes(8, "big") * (BLOCK // 8))
    return page


def expect(what, found, wanted):
    if bytes(found) != bytes(wanted):
        raise SystemExit(f"{what}: {bytes(found[:8]).hex()} instead of {bytes(wanted[:8]).hex()}")


def write_blocks(path, cached, mapped, writer, failures):
    try:
        direct = os.open(path, os.O_RDWR | os.O_DIRECT)
        choose = random.Random(writer)
        again = mmap.mmap(-1, BLOCK)
        for i in range(ROUNDS):
            off = (writer * BLOCKS + choose.randrange(BLOCKS)) * BLOCK
            page = block_of(writer << 32 | i)
            os.pwrite(direct, page, off)
            expect(f"read at {off}", os.pread(cached, BLOCK, off), page[:])
            expect(f"mapping at {off}", mapped[off:off + BLOCK], page[:])
            os.preadv(direct, [again], off)
            expect(f"direct read at {off}", again[:], page[:])
        os.close(direct)
    except BaseException as e:  # pylint: disable=broad-except
        failures.append(e)


def read_blocks(cached, done):
    while not done.is_set():
        for i in range(WRITERS * BLOCKS):
            os.pread(cached, BLOCK, i * BLOCK)


def race(path):
    cached = os.open(path, os.O_RDONLY)
    mapped = mmap.mmap(cached, WRITERS * BLOCKS * BLOCK, mmap.MAP_SHARED, mmap.PROT_READ)
    done, failures = threading.Event(), []
    reader = threading.Thread(target=read_blocks, args=(cached, done))
    writers = [threading.Thread(target=write_blocks, args=(path, cached, mapped, w, failures)) for w in range(WRITERS)]
    for t in [reader, *writers]:
        t.start()
    for t in writers:
        t.join()
    done.set()
    reader.join()
    if failures:
        raise failures[0]


def map_direct(path):
    """A file that is open with O_DIRECT can be mapped, and what is written there reaches the others."""
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    mapped = mmap.mmap(direct, BLOCK, mmap.MAP_SHARED)
    mapped[:6] = b"mapped"
    mapped.flush()
    cached = os.open(path, os.O_RDONLY)
    expect("read of what was mapped", os.pread(cached, 6, 0), b"mapped")
    page = mmap.mmap(-1, BLOCK)
    os.preadv(direct, [page], 0)
    expect("direct read of what was mapped", page[:6], b"mapped")


def write_large(path):
    """More than one request has room for."""
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    memory = mmap.mmap(-1, LARGE)
    memory.write(random.Random(1).randbytes(LARGE))
    os.pwrite(direct, memory, BLOCK)
    with open(path, "rb") as f:
        f.seek(BLOCK)
        expect("a large write", f.read(LARGE), memory[:])


race(sys.argv[1])
map_direct(sys.argv[1])
write_large(sys.argv[1])
