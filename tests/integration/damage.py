#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""damage.py IMAGE CHANGE…: changes single fields of a qcow2 image in place.

A change is PLACE OPERATOR VALUE, where the operator is =, |=, &=, ^= or +=. Places:

    u8(POS) u16(POS) u32(POS) u64(POS)   a big-endian number at that byte of the file
    l1(I)                                an entry of the active L1 table
    l2(G) bits(G)                        the L2 entry of guest cluster G, and its subcluster bitmap
    rt(I) rc(K)                          an entry of the refcount table; the refcount of host cluster K
    snap(I, FIELD)                       a field of a snapshot: l1_pos, l1_count, extra_size
    snap_l1(I, J) snap_l2(I, G)          an entry of the L1 table of snapshot I, of the L2 tables below it
    bitmap(I, FIELD) bitmap_table(I, J)  a field of a bitmap (table, count, flags), an entry of its table
    size()                               the length of the file

A value is a Python expression in which all these are functions too, and cs, COPIED, COMPRESSED, MASK are numbers:
    damage.py a.qcow2 'l2(3) = l2(0)' 'rc(5) += 1' 'l1(0) ^= COPIED'
"""
import re
import sys

COPIED, COMPRESSED, MASK = 1 << 63, 1 << 62, 0x00FFFFFFFFFFFE00
WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


class Image:
    def __init__(self, name):
        with open(name, "rb") as f:
            self.bytes = bytearray(f.read())
        self.cs = 1 << self.get(20, 4)
        three = self.get(4, 4) >= 3
        self.entry = 16 if three and self.get(72, 8) & 16 else 8
        self.order = self.get(96, 4) if three else 4

    def get(self, pos, width):
        return int.from_bytes(self.bytes[pos:pos + width].ljust(width, b"\0"), "big")

    def put(self, pos, width, value):
        if pos + width > len(self.bytes):
            self.bytes.extend(bytes(pos + width - len(self.bytes)))
        self.bytes[pos:pos + width] = (value % (1 << 8 * width)).to_bytes(width, "big")

    # Each place is (position, width in bytes), or for narrow refcounts (position, -bits, shift).
    def l1(self, i):
        return self.get(40, 8) + 8 * i, 8

    def in_tables(self, l1_pos, g):
        count = self.cs // self.entry
        table = self.get(l1_pos + 8 * (g // count), 8) & MASK
        if not table:
            sys.exit(f"guest cluster {g} has no L2 table")
        return table + g % count * self.entry, 8

    def l2(self, g):
        return self.in_tables(self.get(40, 8), g)

    def bits(self, g):
        return self.l2(g)[0] + 8, 8

    def rt(self, i):
        return self.get(48, 8) + 8 * i, 8

    def rc(self, k):
        width = 1 << self.order
        count = self.cs * 8 // width
        block = self.get(*self.rt(k // count)) & ~511
        bit = k % count * width
        if not block:
            sys.exit(f"host cluster {k} has no refcount block")
        return (block + bit // 8, width // 8) if width >= 8 else (block + bit // 8, -width, bit % 8)

    def snapshot(self, i):
        at = self.get(64, 8)
        for _ in range(i):
            at += 40 + self.get(at + 36, 4) + self.get(at + 12, 2) + self.get(at + 14, 2)
            at += -at % 8
        return at

    def snap(self, i, field):
        at, width = {"l1_pos": (0, 8), "l1_count": (8, 4), "extra_size": (36, 4)}[field]
        return self.snapshot(i) + at, width

    def snap_l1(self, i, j):
        return self.get(*self.snap(i, "l1_pos")) + 8 * j, 8

    def snap_l2(self, i, g):
        return self.in_tables(self.get(*self.snap(i, "l1_pos")), g)

    def bitmap(self, i, field):
        at = self.get(100, 4)
        while self.get(at, 4) != 0x23852875:
            if not self.get(at, 4):
                sys.exit("there are no bitmaps")
            at += 8 + self.get(at + 4, 4) + -self.get(at + 4, 4) % 8
        at = self.get(at + 24, 8)
        for _ in range(i):
            at += 24 + self.get(at + 18, 2) + self.get(at + 20, 4)
            at += -at % 8
        offset, width = {"table": (0, 8), "count": (8, 4), "flags": (12, 4)}[field]
        return at + offset, width

    def bitmap_table(self, i, j):
        return self.get(*self.bitmap(i, "table")) + 8 * j, 8

    def place(self, name, arguments):
        if name in WIDTHS:
            return arguments[0], WIDTHS[name]
        return getattr(self, name)(*arguments)

    def look(self, place):
        if place[1] > 0:
            return self.get(*place)
        return self.bytes[place[0]] >> place[2] & (1 << -place[1]) - 1

    def store(self, place, value):
        if place[1] > 0:
            return self.put(*place, value)
        mask = (1 << -place[1]) - 1
        self.bytes[place[0]] = self.bytes[place[0]] & ~(mask << place[2]) & 255 | (value & mask) << place[2]
        return None

    def change(self, text):
        left, operator, right = re.fullmatch(r"\s*(\w+\(.*?\))\s*([|&^+]?=)\s*(.*)", text).groups()
        name = left[:left.index("(")]
        names = {"cs": self.cs, "COPIED": COPIED, "COMPRESSED": COMPRESSED, "MASK": MASK}
        for f in [*WIDTHS, "l1", "l2", "bits", "rt", "rc", "snap", "snap_l1", "snap_l2", "bitmap", "bitmap_table"]:
            names[f] = lambda *a, f=f: self.look(self.place(f, a))
        names["size"] = lambda: len(self.bytes)
        value = eval(right, names)  # pylint: disable=eval-used
        if name == "size":
            value += len(self.bytes) if operator == "+=" else 0
            del self.bytes[value:]
            self.bytes.extend(bytes(value - len(self.bytes)))
            return
        place = self.place(name, eval("(" + left[len(name) + 1:-1] + ",)", names))  # pylint: disable=eval-used
        now = self.look(place)
        self.store(place, {"=": value, "|=": now | value, "&=": now & value, "^=": now ^ value, "+=": now + value}[operator])


def main(name, *changes):
    image = Image(name)
    for change in changes:
        image.change(change)
    with open(name, "wb") as f:
        f.write(image.bytes)


if __name__ == "__main__":
    main(*sys.argv[1:])
