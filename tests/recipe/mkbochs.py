# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a growing image of Bochs, from what a recipe says.

    bochs KEY=VALUE…    version=2 size=4*cs extent_size=8K entries= bitmap= (bytes) header_size=512
    extent[N]=data      in the next free place; sectors=4D12- says which of its sectors are there
    extent[N]=at@K      the catalog says K and nothing is put there

Fields for `set`: header.FIELD, catalog[N]. Names: cs (the extent size), end, catalog, extent[N] (place of its bitmap).
"""

import re
import struct

from mkbytes import UNSEEN, Image, RecipeError, evaluate, pattern

HEADER = {  # field: (offset, bytes)
    "version": (64, 4), "header_size": (68, 4), "catalog_entries": (72, 4), "bitmap_size": (76, 4),
    "extent_size": (80, 4), "disk_size": (88, 8),
}  # fmt: skip
ABSENT = 0xFFFFFFFF


class File(Image):
    def __init__(self, options, seed):
        super().__init__(options, seed, evaluate(options.get("extent_size", "8K"), {}), "4*cs")
        self.extents, self.order = {}, []
        self.sectors = self.cs // 512
        self.bitmap = self.value(options.get("bitmap", str(-(-self.sectors // 8))))
        self.entries = self.value(options.get("entries", str(-(-self.size // self.cs))))
        self.header_size = self.value(options.get("header_size", "512"))
        self.names["catalog"] = self.header_size
        self.names["extent"] = {}

    def map(self, kind, first, last, value, options):
        if kind != "extent":
            super().map(kind, first, last, value, options)
        for n in range(first, last + 1):
            self.extents[n] = (value, options)
            if value == "data":
                self.order.append(n)
            elif not value.startswith("at@"):
                raise RecipeError(f"'{value}' is no kind of extent")

    def bits(self, n):
        text = self.extents[n][1].get("sectors", f"{self.sectors}D")
        bits = [m[2] == "D" for m in re.finditer(r"(\d*)([D-])", text) for _ in range(int(m[1] or 1))]
        return bits + [False] * (self.sectors - len(bits))

    def extent_bytes(self, n):
        bits = self.bits(n)
        bitmap = bytearray(-(-self.bitmap // 512) * 512)
        content = bytearray(pattern(self.seed, n * self.cs, self.cs))
        for i, there in enumerate(bits):
            if there:
                bitmap[i // 8] |= 1 << i % 8
            else:
                content[i * 512 : i * 512 + 512] = bytes([UNSEEN]) * 512
        return bytes(bitmap + content)

    def header(self):
        first = self.options.get("version") == "1"
        head = struct.pack(
            "<32s16s16sIIIII", b"Bochs Virtual HD Image", b"Redolog", b"Growing", 0x10000 if first else 0x20000,
            self.header_size, self.entries, self.bitmap, self.cs,
        )  # fmt: skip
        return head + (struct.pack("<Q", self.size) if first else struct.pack("<IQ", 0x12345678, self.size))

    def build(self):
        at = self.header_size + 4 * self.entries
        chunks = [(0, self.header().ljust(self.header_size, b"\0"))]
        catalog = [ABSENT] * self.entries
        for k, n in enumerate(self.order):
            catalog[n] = k
            self.names["extent"][n] = at
            content = self.extent_bytes(n)
            chunks.append((at, content))
            at += len(content)
        for n, (kind, _) in self.extents.items():
            if kind != "data":
                catalog[n] = self.value(kind.removeprefix("at@"))
        chunks.append((self.header_size, struct.pack(f"<{self.entries}I", *catalog)))
        return self.finish(chunks, at)

    def field(self, what):
        if match := re.fullmatch(r"header\.(\w+)", what):
            return *HEADER[match[1]], "little"
        if match := re.fullmatch(r"catalog\[(.+)\]", what):
            return self.header_size + 4 * self.value(match[1]), 4, "little"
        return None

    def paint(self, disk, recipe):
        disk.truncate(self.size // 512 * 512)
        for n, (kind, _) in self.extents.items():
            if kind != "data":
                continue
            content = pattern(self.seed, n * self.cs, self.cs)
            for i, there in enumerate(self.bits(n)):
                if there:
                    disk.seek(n * self.cs + i * 512)
                    disk.write(content[i * 512 : i * 512 + 512])
        disk.truncate(self.size // 512 * 512)
        self.paint_models(disk, self.size, self.seed)
