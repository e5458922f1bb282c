# SPDX-License-Identifier: LGPL-2.1-or-later
"""Apple's sparse image.

    sparseimage KEY=VALUE…  size=1M band=4K (bytes) slots=N (that are used of the first node before there is another one; all)
                            version=3 flags=1
    band[N]=data            band N of the disk in the next slot; band[A..B]= for several; in this order in the file
      data@J                slots are skipped, up to slot J of all
      fill=BYTE             instead of the pattern
      number=N              what its slot says instead (numbers begin with 1)

`set` knows header.FIELD, slot[J], node[I].FIELD (I from 1 on). Names: node[I], band[N] (where its bytes are).
"""

import struct

from mkbytes import Image, RecipeError, pattern

HEADER_SLOTS, INDEX_SLOTS, NODE = 1008, 1010, 4096
FIELDS = {"magic": (0, 4), "version": (4, 4), "band": (8, 4), "flags": (12, 4), "sectors_low": (16, 4), "next": (20, 8), "sectors": (28, 8)}
NODE_FIELDS = {"magic": (0, 4), "number": (4, 4), "flags": (8, 4), "next": (12, 8)}


class File(Image):
    def __init__(self, options, seed):
        super().__init__(options, seed, 4096, "1M")
        self.cs = self.value(options.get("band", "4K"))
        self.names["cs"] = self.cs
        self.slots = {}
        self.first_slots = int(options.get("slots", HEADER_SLOTS))

    def map(self, kind, first, last, value, options):
        if kind != "band" or value.split("@")[0] != "data":
            raise RecipeError(f"'{kind}[…]={value}' says nothing here")
        slot = self.value(value.split("@")[1]) if "@" in value else max(self.slots, default=-1) + 1
        for n in range(first, last + 1):
            self.slots[slot] = (n, options)
            slot += 1

    def place(self, slot):
        """Node, slot in it."""
        if slot < self.first_slots:
            return 0, slot
        return 1 + (slot - self.first_slots) // INDEX_SLOTS, (slot - self.first_slots) % INDEX_SLOTS

    def content(self, n, options):
        if "fill" in options:
            return bytes([self.value(options["fill"])]) * self.cs
        return pattern(self.seed, n * self.cs, self.cs)

    def build(self):
        nodes = 1 + max((self.place(slot)[0] for slot in self.slots), default=0)
        where = [0]
        for i in range(1, nodes):
            where.append(where[-1] + NODE + (self.first_slots if i == 1 else INDEX_SLOTS) * self.cs)
        tables = [[0] * (INDEX_SLOTS if i else HEADER_SLOTS) for i in range(nodes)]
        chunks, end = [], NODE
        self.names["node"], self.names["band"] = dict(enumerate(where)), {}
        for slot, (n, options) in sorted(self.slots.items()):
            node, index = self.place(slot)
            tables[node][index] = self.value(options["number"]) if "number" in options else n + 1
            pos = where[node] + NODE + index * self.cs
            self.names["band"].setdefault(n, pos)
            chunks.append((pos, self.content(n, options)))
            end = max(end, pos + self.cs)
        sectors = -(-self.size // 512)
        following = [*where[1:], 0]
        head = b"sprs" + struct.pack(
            ">IIIIQQ",
            self.value(self.options.get("version", "3")),
            self.cs // 512,
            self.value(self.options.get("flags", "1")),
            sectors & 0xFFFFFFFF,
            following[0],
            sectors,
        )
        chunks.append((0, head + bytes(28) + struct.pack(f">{HEADER_SLOTS}I", *tables[0])))
        for i in range(1, nodes):
            head = b"sprs" + struct.pack(">IIQ", i - 1, 1, following[i]) + bytes(36)
            chunks.append((where[i], head + struct.pack(f">{INDEX_SLOTS}I", *tables[i])))
            end = max(end, where[i] + NODE)
        return self.finish(chunks, end)

    def field(self, what):
        name, _, key = what.partition(".")
        if name == "header" and key in FIELDS:
            return *FIELDS[key], "big"
        if name.startswith("node[") and key in NODE_FIELDS:
            at, width = NODE_FIELDS[key]
            return self.value(name) + at, width, "big"
        if name.startswith("slot["):
            node, index = self.place(self.value(name[5:-1]))
            return self.names["node"][node] + (56 if node else 64) + 4 * index, 4, "big"
        return None

    def paint(self, disk, recipe):
        self.build()
        disk.truncate(0)
        disk.truncate(self.size)
        for n, options in self.slots.values():
            if n * self.cs < self.size:
                disk.seek(n * self.cs)
                disk.write(self.content(n, options))
        self.paint_models(disk, self.size, self.seed)
        disk.truncate(self.size)
