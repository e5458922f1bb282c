#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tables.py NAME FILE: writes a disk of 16 MiB with a partition table, which may be one that cannot be, or is damaged.

    tables.py sound    the names of those that are in order
    tables.py list     the hostile ones, each with words of its refusal, separated by a tab
"""
import struct
import sys
import zlib

SECTOR, SIZE = 512, 16 << 20
SECTORS = SIZE // SECTOR
LINUX = bytes.fromhex("af3dc60f838472478e793d69d8477de4")


class Disk:
    def __init__(self):
        self.pieces = {}

    def put(self, pos, content):
        self.pieces[pos] = content

    def mbr(self, sector, *entries):
        """Entries are (slot, type, first, count)."""
        content = bytearray(SECTOR)
        content[510:] = b"\x55\xaa"
        for slot, kind, first, count in entries:
            content[446 + 16 * slot : 462 + 16 * slot] = struct.pack("<B3sB3sII", 0, b"", kind, b"", first, count)
        self.put(sector * SECTOR, bytes(content))

    def gpt(self, entries, count=128, entry_size=128, sector=1, at=None):
        """A header and its entries, which are (first, last, name); both checksums are right."""
        table = b""
        for i, (first, last, name) in enumerate(entries):
            one = LINUX + bytes([i % 255 + 1] * 16) + struct.pack("<QQQ", first, last, 0) + name.encode("utf-16-le").ljust(72, b"\0")
            table += one.ljust(entry_size if entry_size >= 128 else 128, b"\0")
        size = count * entry_size
        table = table.ljust(size, b"\0") if size <= 1 << 20 else table
        entries_at = 2 if sector == 1 else sector - 32
        fields = [b"EFI PART", 0x10000, 92, 0, 0, at if at is not None else sector, SECTORS - 1, 34, SECTORS - 34, bytes(range(16)),
                  entries_at, count, entry_size, zlib.crc32(table)]
        form = "<8sIIIIQQQQ16sQIII"
        fields[3] = zlib.crc32(struct.pack(form, *fields))
        self.put(sector * SECTOR, struct.pack(form, *fields))
        self.put(entries_at * SECTOR, table)

    def label(self, sector, *entries, count=None, spoil=0):
        """A disklabel in that sector. Entries are (letter, type, first, count)."""
        content = bytearray(SECTOR)
        struct.pack_into("<I", content, 0, 0x82564557)
        struct.pack_into("<I", content, 40, SECTOR)
        struct.pack_into("<I", content, 132, 0x82564557)
        made = 1 + max(ord(letter) - ord("a") for letter, *_ in entries)
        struct.pack_into("<H", content, 138, count if count is not None else made)
        for letter, kind, first, length in entries:
            struct.pack_into("<IIIBBH", content, 148 + 16 * (ord(letter) - ord("a")), length, first, 0, kind, 0, 0)
        total = 0
        for word in struct.unpack_from(f"<{74 + 8 * min(made, 22)}H", content):
            total ^= word
        struct.pack_into("<H", content, 136, total ^ spoil)
        self.put(sector * SECTOR, bytes(content))

    def apm(self, count, *entries, block=512):
        """Entries are (slot, first, count, type)."""
        self.put(0, b"ER" + struct.pack(">H", block))
        for slot, first, length, kind in entries:
            self.put(slot * block, struct.pack(">2sHIII32s32s", b"PM", 0, count, first, length, b"x", kind))

    def write(self, path):
        with open(path, "wb") as out:
            out.truncate(SIZE)
            for pos, content in self.pieces.items():
                out.seek(pos)
                out.write(content)


def hostile():
    """Name -> (words of the refusal, disk)"""
    made = {}

    def one(name, words):
        made[name] = (words, Disk())
        return made[name][1]

    one("mbr-past-the-end", "does not lie within the disk").mbr(0, (0, 0x83, SECTORS - 10, 11))
    one("mbr-as-long-as-can-be", "does not lie within the disk").mbr(0, (0, 0x83, 0xFFFFFFFF, 0xFFFFFFFF))
    one("mbr-overlap", "partition 2 overlaps partition 1").mbr(0, (0, 0x83, 100, 100), (1, 0x83, 199, 100))
    disk = one("ebr-loop", "comes back to sector 1000")
    disk.mbr(0, (0, 5, 1000, 9000))
    disk.mbr(1000, (0, 0x83, 1, 1), (1, 5, 100, 100))
    disk.mbr(1100, (0, 0x83, 1, 1), (1, 5, 0, 100))
    disk = one("ebr-itself", "comes back to sector 1000")
    disk.mbr(0, (0, 5, 1000, 9000))
    disk.mbr(1000, (0, 0x83, 1, 1), (1, 5, 0, 100))
    disk = one("ebr-long", "more than 256")
    disk.mbr(0, (0, 5, 1000, 9000))
    for i in range(400):
        disk.mbr(1000 + 10 * i, (0, 0x83, 1, 1), (1, 5, 10 * (i + 1), 10))
    disk = one("ebr-out", "leads out of partition 1")
    disk.mbr(0, (0, 5, 1000, 9000))
    disk.mbr(1000, (0, 0x83, 1, 1), (1, 5, 20000, 10))
    disk = one("ebr-outside-its-frame", "does not lie within partition 1")
    disk.mbr(0, (0, 5, 1000, 9000))
    disk.mbr(1000, (0, 0x83, 8000, 2000))
    disk = one("ebr-overlap", "overlaps")
    disk.mbr(0, (0, 5, 1000, 9000))
    disk.mbr(1000, (0, 0x83, 10, 200), (1, 5, 100, 100))
    disk.mbr(1100, (0, 0x83, 10, 10))
    one("gpt-none", "neither header is sound").mbr(0, (0, 0xEE, 1, 0xFFFFFFFF))
    for name, words, entries, more in (
        ("gpt-many", "4294967295 entries are more than", [], {"count": 0xFFFFFFFF}),
        ("gpt-huge-entries", "entries of 1048576 bytes", [], {"count": 1, "entry_size": 1 << 20}),
        ("gpt-elsewhere", "it says that it lies in sector 9", [(100, 200, "a")], {"at": 9}),
        ("gpt-past-the-end", "does not lie within the disk", [(100, SECTORS, "a")], {}),
        ("gpt-as-long-as-can-be", "partition 1 ends with sector", [(100, (1 << 64) - 1, "a")], {}),
        ("gpt-backward", "before it begins", [(100, 99, "a")], {}),
        ("gpt-overlap", "partition 2 overlaps partition 1", [(100, 200, "a"), (200, 300, "b")], {}),
        ("gpt-too-many", "more than 256 partitions", [(100 + i, 100 + i, "") for i in range(300)], {"count": 512}),
    ):
        disk = one(name, words)
        disk.mbr(0, (0, 0xEE, 1, 0xFFFFFFFF))
        disk.gpt(entries, **more)
    one("bsd-past-the-end", "does not lie within the disk").label(1, ("a", 7, 100, SECTORS))
    one("bsd-overlap", "partition 2 overlaps partition 1").label(1, ("a", 7, 100, 100), ("b", 7, 199, 100))
    one("apm-many", "it has 4294967295 entries").apm(0xFFFFFFFF, (1, 1, 10, b"Apple_partition_map"))
    one("apm-past-the-end", "does not lie within the disk").apm(1, (1, 0xFFFFFFF0, 0xFFFFFFFF, b"Apple_HFS"))
    one("apm-overlap", "partition 2 overlaps partition 1").apm(2, (1, 1, 10, b"a"), (2, 10, 10, b"b"))
    one("apm-lost-entry", "entry 2 of 2 is none").apm(2, (1, 1, 10, b"a"))
    return made


def sound():
    primary, logical, guid, apple = Disk(), Disk(), Disk(), Disk()
    primary.mbr(0, (0, 0x83, 100, 100), (3, 0x07, 300, 1000))
    logical.mbr(0, (0, 0x83, 100, 100), (1, 5, 1000, 9000))
    logical.mbr(1000, (0, 0x83, 1, 10), (1, 5, 100, 100))
    logical.mbr(1100, (0, 0x83, 1, 10))
    guid.mbr(0, (0, 0xEE, 1, 0xFFFFFFFF))
    guid.gpt([(100, 199, "EFI"), (200, 299, "root \u00e9")])
    guid.gpt([(100, 199, "EFI")], sector=SECTORS - 1)
    apple.apm(2, (1, 1, 10, b"Apple_partition_map"), (2, 20, 10, b"Apple_HFS"))
    free, other, alone = Disk(), Disk(), Disk()
    free.mbr(0, (0, 0xA5, 100, 5000), (1, 5, 9000, 1000), (2, 0xA9, 20000, 1000))
    free.label(101, ("a", 7, 16, 1000), ("b", 1, 1016, 500), ("c", 0, 0, 5000), ("d", 27, 2000, 3000))
    free.mbr(9000, (0, 0x83, 1, 10))
    free.label(20001, ("a", 7, 20100, 100), ("c", 7, 20000, 1000), ("d", 7, 0, SECTORS), ("e", 1, 20300, 10))
    other.mbr(0, (3, 0xA6, 64, 10000))
    other.label(65, ("a", 7, 128, 1000), ("c", 0, 0, SECTORS), ("i", 8, 20000, 100), ("p", 7, 2000, 1000))
    alone.label(1, ("a", 7, 16, 1000), ("c", 0, 0, SECTORS), ("e", 7, 2000, 1000))
    return {"mbr": primary, "logical": logical, "gpt": guid, "apm": apple, "freebsd": free, "openbsd": other, "bsd": alone}


def main():
    disks = hostile()
    if sys.argv[1:] == ["list"]:
        for name, (words, _) in disks.items():
            print(f"{name}\t{words}")
    elif sys.argv[1:] == ["sound"]:
        print("\n".join(sound()))
    elif len(sys.argv) == 3 and sys.argv[1] in sound():
        sound()[sys.argv[1]].write(sys.argv[2])
    elif len(sys.argv) == 3 and sys.argv[1] in disks:
        disks[sys.argv[1]][1].write(sys.argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
