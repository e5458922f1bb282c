#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bitmaps.py IMAGE NAME…: all that a qcow2 image holds of these bitmaps: flags, granularity, and every byte of bits."""
import hashlib
import struct
import sys

EXTENSION = 0x23852875
OFFSETS = 0x00FFFFFFFFFFFE00


class Image:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.bytes = f.read()
        self.cluster = 1 << self.at(">I", 20)
        self.autoclear = self.at(">Q", 88)

    def at(self, form, pos):
        return struct.unpack_from(form, self.bytes, pos)[0]

    def extension(self, wanted):
        pos = self.at(">I", 100)
        while pos < self.cluster and self.at(">I", pos) != 0:
            kind, length = struct.unpack_from(">II", self.bytes, pos)
            if kind == wanted:
                return self.bytes[pos + 8:pos + 8 + length]
            pos += 8 + (length + 7) // 8 * 8
        return None

    def bitmaps(self):
        """(name, flags, granularity bits, contents) of each."""
        count, _, _, pos = struct.unpack(">IIQQ", self.extension(EXTENSION))
        for _ in range(count):
            table, entries, flags, _, granularity, name_len, extra = struct.unpack_from(">QIIBBHI", self.bytes, pos)
            name = self.bytes[pos + 24 + extra:pos + 24 + extra + name_len].decode()
            yield name, flags, granularity, b"".join(self.piece(table + 8 * i) for i in range(entries))
            pos += (24 + extra + name_len + 7) // 8 * 8

    def piece(self, entry_pos):
        entry = self.at(">Q", entry_pos)
        if entry & OFFSETS:
            return self.bytes[entry & OFFSETS:(entry & OFFSETS) + self.cluster].ljust(self.cluster, b"\0")
        return (b"\xff" if entry & 1 else b"\0") * self.cluster


def main(path, names):
    image = Image(path)
    if not image.autoclear & 1:
        sys.exit(f"{path}: the bitmaps are said to be invalid")
    found = {name: rest for name, *rest in image.bitmaps()}
    for name in names:
        flags, granularity, contents = found[name]
        print(name, flags, granularity, sum(byte.bit_count() for byte in contents), hashlib.sha256(contents).hexdigest())


main(sys.argv[1], sys.argv[2:])
