# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a VDI file, from what a recipe says.

    vdi KEY=VALUE…      type=1 size=4*cs block_size=1M extra=0 header_size=0x190 version=0x10001
                        map_at=512 data_at= (behind the map) blocks= (as size needs) allocated= (as blocks need)
    map[N]=KIND         data[@K] (in place K, or the next free one), fill=BYTE; free; zero
    set header.FIELD= map[N]=
    names               map, data, place[K], cs
"""

import struct

from mkbytes import UNSEEN, Image, RecipeError, evaluate, pattern

FREE, ZERO = 0xFFFFFFFF, 0xFFFFFFFE
HEADER = {  # field: (offset, bytes)
    "signature": (0x40, 4), "version": (0x44, 4), "size": (0x48, 4), "type": (0x4C, 4), "flags": (0x50, 4),
    "map_offset": (0x154, 4), "data_offset": (0x158, 4), "sector_size": (0x168, 4), "disk_size": (0x170, 8),
    "block_size": (0x178, 4), "extra": (0x17C, 4), "blocks": (0x180, 4), "allocated": (0x184, 4),
    "uuid": (0x188, 16), "modification": (0x198, 16), "link": (0x1A8, 16), "parent_modification": (0x1B8, 16),
}  # fmt: skip


class File(Image):
    def __init__(self, options, seed):
        unit = evaluate(options.get("block_size", "1M"), {})
        super().__init__(options, seed, cs=unit, size="4*cs")
        self.blocks = self.number("blocks", -(-self.size // max(unit, 1)))
        self.extra = self.number("extra", 0)
        self.map_at = self.number("map_at", 512)
        self.data_at = self.number("data_at", -(-(self.map_at + 4 * self.blocks) // 512) * 512)
        self.names.update(map=self.map_at, data=self.data_at)
        self.entries = {}

    def number(self, key, default):
        return self.value(self.options[key]) if key in self.options else default

    def map(self, kind, first, last, value, options):
        if kind != "map":
            super().map(kind, first, last, value, options)
        value, _, place = value.partition("@")
        if value not in ("data", "free", "zero"):
            raise RecipeError(f"'{value}' is no kind of block")
        for n in range(first, last + 1):
            self.entries[n] = [value, self.value(place) + n - first if place else None, options]

    def content(self, n, options):
        if "fill" in options:
            return bytes([self.value(options["fill"])]) * self.cs
        return pattern(self.seed, n * self.cs, self.cs)

    def place_pos(self, place):
        return self.data_at + place * (self.cs + self.extra) + self.extra

    def build(self):
        taken = {place for _, place, _ in self.entries.values() if place is not None}
        table, chunks, self.names["place"], end = [FREE] * self.blocks, [], {}, self.data_at
        for n, (kind, place, options) in sorted(self.entries.items()):
            if kind == "data":
                if place is None:
                    place = next(k for k in range(len(self.entries)) if k not in taken)
                    taken.add(place)
                pos = self.place_pos(place)
                self.names["place"][place] = pos
                chunks.append((pos - self.extra, bytes([UNSEEN]) * self.extra + self.content(n, options)))
                end = max(end, pos + self.cs)
                table[n] = place
            elif kind == "zero":
                table[n] = ZERO
        # What lies between the map and the data is nobody's.
        chunks.insert(0, (self.map_at, struct.pack(f"<{self.blocks}I", *table)))
        room = self.data_at - self.map_at - 4 * self.blocks
        if 0 < room < 1 << 20:
            chunks.append((self.map_at + 4 * self.blocks, bytes([UNSEEN]) * room))
        chunks.append((0, self.header(max(taken, default=-1) + 1)))
        return self.finish(chunks, end)

    def header(self, allocated):
        head = b"<<< made by a recipe >>>\n".ljust(64, b"\0")
        head += struct.pack(
            "<5I", 0xBEDA107F, self.number("version", 0x10001), self.number("header_size", 0x190),
            self.number("type", 1), 0,
        )  # fmt: skip
        head = head.ljust(0x154, b"\0") + struct.pack("<II", self.map_at, self.data_at)
        head = head.ljust(0x168, b"\0") + struct.pack(
            "<IIQIIII", 512, 0, self.size, self.cs, self.extra, self.blocks, self.number("allocated", allocated)
        )
        head += bytes(range(1, 17)) + bytes(range(17, 33))
        return head.ljust(512, b"\0")

    def field(self, what):
        if what.startswith("header.") and what[7:] in HEADER:
            pos, width = HEADER[what[7:]]
            return pos, width, "little"
        if what.startswith("map["):
            return self.map_at + 4 * self.value(what[4:-1]), 4, "little"
        return None

    def paint(self, disk, recipe):
        size = -(-self.size // 512) * 512
        disk.truncate(size)
        for n, (kind, _, options) in self.entries.items():
            if kind == "data" and n * self.cs < size:
                disk.seek(n * self.cs)
                disk.write(self.content(n, options)[: size - n * self.cs])
        self.paint_models(disk, size, self.seed)
