# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a file of qcow version 1, from what a recipe says."""

import json
import re
import struct

import aes
from mkbytes import Image, RecipeError, deflate, evaluate, pattern, text_bytes

HEADER = {  # field: (offset, bytes)
    "magic": (0, 4), "version": (4, 4), "backing_file_offset": (8, 8), "backing_file_size": (16, 4), "mtime": (20, 4),
    "size": (24, 8), "cluster_bits": (32, 1), "l2_bits": (33, 1), "padding": (34, 2), "crypt_method": (36, 4),
    "l1_table_offset": (40, 8),
}  # fmt: skip
HEADER_LENGTH = 48
CODED = 1 << 63


class File(Image):
    """qcow cluster_bits=12 l2_bits=9 size=4*cs backing= backing_format= l1_at=BYTE xen=little|big table_at=BYTE crypt=aes

    l2[N]=data[@POS] deflate[@POS] none     guest cluster N; POS a byte of the file; deflate: level= stream= cut= unpacked=
    set header.FIELD l1[I] l2[N]
    """

    def __init__(self, options, seed):
        self.cluster_bits = evaluate(options.get("cluster_bits", "12"), {})
        super().__init__(options, seed, 1 << self.cluster_bits, "4*cs")
        self.names["CODED"] = CODED
        self.l2_bits = self.value(options.get("l2_bits", "9"))
        self.entries = {}
        self.secret = options.get("crypt") == "aes"  # with the passphrase rawview

    def map(self, kind, first, last, value, options):
        if kind != "l2":
            super().map(kind, first, last, value, options)
        what, _, place = value.partition("@")
        if what not in ("data", "deflate", "none"):
            raise RecipeError(f"'{what}' is no kind of cluster")
        for n in range(first, last + 1):
            self.entries[n] = (what, self.value(place) if place else None, options)

    def name(self):
        below, kind = self.options.get("backing"), self.options.get("backing_format")
        if below is None or kind is None:
            return (below or "").encode()
        return b"json:" + json.dumps({"driver": kind, "file": {"driver": "file", "filename": below}}).encode()

    def stream(self, n):
        options = self.entries[n][2]
        if "stream" in options:
            return text_bytes(options["stream"])
        length = self.value(options.get("unpacked", "cs"))
        packed = deflate((self.content(n) * 2)[:length], int(options.get("level", "6")), 12, True)
        return packed[: len(packed) - self.value(options.get("cut", "0"))]

    def content(self, n):
        options = self.entries[n][2]
        if "fill" in options:
            return bytes([self.value(options["fill"])]) * self.cs
        return pattern(self.seed, n * self.cs, self.cs)

    def encrypted(self, n, content):
        if not self.secret:
            return content
        return aes.sectors("cbc-plain64", b"rawview".ljust(16, b"\0"), n * self.cs // 512, content)

    def build(self):
        name, chunks = self.name(), []
        xen = self.options.get("xen")
        if xen:
            chunks.append((HEADER_LENGTH, struct.pack(">4sIII", b"XEN\xfb", 0, 0, 2 if xen == "big" else 0)))
        name_at = HEADER_LENGTH + (16 if xen else 0)
        self.l1_count = -(-self.size // (self.cs << self.l2_bits))
        self.l1 = self.value(self.options.get("l1_at", str(4096 if xen else -(-(name_at + len(name)) // 8) * 8)))
        self.l1_order = "little" if xen == "little" else "big"
        self.top = self.l1 + 8 * self.l1_count
        self.tables, self.hosts = {}, {}

        def take(length, unit):
            at = -(-self.top // unit) * unit
            self.top = at + length
            return at

        for n, (what, place, _) in sorted(self.entries.items()):
            index = n >> self.l2_bits
            if index not in self.tables:
                at = self.options.get("table_at") if index == 0 else None
                self.tables[index] = self.value(at) if at else take(8 << self.l2_bits, self.cs)
                chunks.append((self.tables[index], bytes(8 << self.l2_bits)))
                chunks.append((self.l1 + index * 8, self.tables[index].to_bytes(8, self.l1_order)))
            entry = 0
            if what == "data":
                entry = self.hosts[n] = place if place is not None else take(self.cs, self.cs)
                chunks.append((entry, self.encrypted(n, self.content(n))))
            elif what == "deflate":
                stream = self.stream(n)
                self.hosts[n] = place if place is not None else take(len(stream), 1)
                entry = CODED | len(stream) << 63 - self.cluster_bits | self.hosts[n]
                chunks.append((self.hosts[n], stream))
            chunks.append((self.entry_position(n), struct.pack(">Q", entry)))
        header = struct.pack(
            ">4sIQIIQBBHIQ", b"QFI\xfb", 1, name_at if name else 0, len(name), 0, self.size, self.cluster_bits,
            self.l2_bits, 0, int(self.secret), self.l1)  # fmt: skip
        self.names |= {"l1": self.l1, "table": self.tables, "host": self.hosts}
        end = max([self.top] + [pos + len(content) for pos, content in chunks])
        return self.finish([(0, header), (name_at, name)] + chunks, end)

    def entry_position(self, n):
        return self.tables[n >> self.l2_bits] + (n & (1 << self.l2_bits) - 1) * 8

    def field(self, what):
        if what.startswith("header.") and what[7:] in HEADER:
            return *HEADER[what[7:]], "big"
        if match := re.fullmatch(r"l1\[(.+)\]", what):
            return self.l1 + self.value(match[1]) * 8, 8, self.l1_order
        if match := re.fullmatch(r"l2\[(.+)\]", what):
            return self.entry_position(self.value(match[1])), 8, "big"
        return None

    def paint(self, disk, recipe):
        size = -(-self.size // 512) * 512
        disk.truncate(size)
        for n, (what, _, _) in sorted(self.entries.items()):
            length = min(self.cs, size - n * self.cs)
            if what != "none" and length > 0:
                disk.seek(n * self.cs)
                disk.write(self.content(n)[:length])
        self.paint_models(disk, size, self.seed)
