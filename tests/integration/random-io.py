# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does COUNT random operations to FILE and the same to a model in memory; what is read must be what the model holds.
The model is written to MODEL at the end. The same SEED gives the same operations.

random-io.py FILE MODEL SEED COUNT fixed|growable
"""

import ctypes
import mmap
import os
import random
import sys

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
MAX_LEN = 300 * 1024
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Disk:
    def __init__(self, path, seed, growable):
        self.random = random.Random(seed)
        self.fd = os.open(path, os.O_RDWR)
        self.direct = os.open(path, os.O_RDWR | os.O_DIRECT)
        self.model = bytearray(os.pread(self.fd, os.fstat(self.fd).st_size, 0))
        self.first_size = len(self.model)
        self.growable = growable

    def place(self, unit):
        """A range within the disk, mostly short, its ends on multiples of `unit`."""
        size = len(self.model) // unit * unit
        length = min(int(2 ** self.random.uniform(0, 18.2)), MAX_LEN, size)
        length = max(length // unit * unit, unit)
        off = self.random.randrange(0, size - length + 1) // unit * unit
        return off, length

    def expect(self, got, off, length, how):
        want = bytes(self.model[off : off + length])
        if got != want:
            bad = next(i for i in range(length) if i >= len(got) or got[i] != want[i])
            sys.exit(f"{how}: {length} bytes at {off}, byte {off + bad} is wrong (of {len(got)} read)")

    def read(self):
        off, length = self.place(1)
        self.expect(os.pread(self.fd, length, off), off, length, "read")

    def read_direct(self):
        off, length = self.place(512)
        buffer = mmap.mmap(-1, length)
        done = os.preadv(self.direct, [buffer], off)
        self.expect(buffer[:done], off, length, "direct read")

    def write(self):
        off, length = self.place(1)
        data = self.random.randbytes(length)
        self.whole(os.pwrite(self.fd, data, off), length, "write")
        self.model[off : off + length] = data

    def write_direct(self):
        off, length = self.place(512)
        buffer = mmap.mmap(-1, length)
        buffer[:] = self.random.randbytes(length)
        self.whole(os.pwritev(self.direct, [buffer], off), length, "direct write")
        self.model[off : off + length] = buffer[:]

    def write_mapped(self):
        off, length = self.place(1)
        data = self.random.randbytes(length)
        with mmap.mmap(self.fd, len(self.model), mmap.MAP_SHARED) as m:
            m[off : off + length] = data
            m.flush()
        self.model[off : off + length] = data

    def whole(self, done, length, how):
        if done != length:
            sys.exit(f"{how}: {done} of {length} bytes")

    def fallocate(self, mode, off, length):
        if libc.fallocate(self.fd, mode, off, length) != 0:
            code = ctypes.get_errno()
            sys.exit(f"fallocate mode {mode}, {length} bytes at {off}: {os.strerror(code)}")

    def punch(self):
        off, length = self.place(1)
        self.fallocate(PUNCH_HOLE | KEEP_SIZE, off, length)
        self.model[off : off + length] = bytes(length)

    def zero(self):
        off, length = self.place(1)
        self.fallocate(ZERO_RANGE | self.random.choice([0, KEEP_SIZE]), off, length)
        self.model[off : off + length] = bytes(length)

    def allocate(self):
        off, length = self.place(1)
        self.fallocate(KEEP_SIZE, off, length)

    def resize(self):
        if not self.growable:
            return
        size = self.random.randrange(self.first_size // 2, self.first_size * 3 // 2) // 512 * 512
        os.ftruncate(self.fd, size)
        del self.model[size:]
        self.model.extend(bytes(size - len(self.model)))

    def append(self):
        if not self.growable:
            return
        off, length = len(self.model) + self.random.randrange(0, 8) * 512, self.random.randrange(1, 9) * 512
        data = self.random.randbytes(length)
        self.whole(os.pwrite(self.fd, data, off), length, "append")
        self.model.extend(bytes(off - len(self.model)))
        self.model.extend(data)

    def sync(self):
        os.fsync(self.fd)

    def size(self):
        size = os.fstat(self.fd).st_size
        if size != len(self.model):
            sys.exit(f"the size is {size} instead of {len(self.model)}")

    def step(self):
        often = [self.read, self.write, self.read_direct, self.write_direct]
        seldom = [self.write_mapped, self.punch, self.zero, self.allocate, self.resize, self.append, self.sync]
        self.random.choice(often * 2 + seldom)()
        self.size()


def main(path, model, seed, count, kind):
    disk = Disk(path, int(seed), kind == "growable")
    for i in range(int(count)):
        try:
            disk.step()
        except OSError as e:
            sys.exit(f"seed {seed}, operation {i}: {e}")
        except SystemExit as e:
            sys.exit(f"seed {seed}, operation {i}: {e}")
    os.fsync(disk.fd)
    disk.expect(os.pread(disk.fd, len(disk.model), 0), 0, len(disk.model), "read of everything")
    with open(model, "wb") as f:
        f.write(disk.model)


main(*sys.argv[1:])
