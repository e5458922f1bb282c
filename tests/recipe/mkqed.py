# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a QED file, from what a recipe says."""

import json
import re
import struct

from mkbytes import Image, RecipeError, evaluate, pattern

HEADER = {  # field: (offset, bytes)
    "magic": (0, 4), "cluster_size": (4, 4), "table_size": (8, 4), "header_size": (12, 4), "features": (16, 8),
    "compat_features": (24, 8), "autoclear_features": (32, 8), "l1_table_offset": (40, 8), "image_size": (48, 8),
    "backing_filename_offset": (56, 4), "backing_filename_size": (60, 4),
}  # fmt: skip
HEADER_LENGTH = 64
BACKING, NEED_CHECK, RAW_BACKING = 1, 2, 4


class File(Image):
    """qed cluster_size=4K table_size=1 header_size=1 size=16*cs backing= backing_format= need_check=yes l1_at=

    l2[N]=data[@K] zero none      guest cluster N; K a host cluster
    set header.FIELD l1[I] l2[N]
    """

    def __init__(self, options, seed):
        cluster = evaluate(options.get("cluster_size", "4K"), {})
        super().__init__(options, seed, cluster, "16*cs")
        self.table_size = self.value(options.get("table_size", "1"))
        self.header_size = self.value(options.get("header_size", "1"))
        self.per_table = self.table_size * self.cs // 8
        self.entries = {}

    def map(self, kind, first, last, value, options):
        if kind != "l2":
            super().map(kind, first, last, value, options)
        what, _, place = value.partition("@")
        if what not in ("data", "zero", "none"):
            raise RecipeError(f"'{what}' is no kind of cluster")
        for n in range(first, last + 1):
            self.entries[n] = (what, self.value(place) if place else None, options)

    def name(self):
        """What stands in the header of the file below: (features, bytes)."""
        below, kind = self.options.get("backing"), self.options.get("backing_format")
        if below is None:
            return 0, b""
        if kind in (None, "raw"):
            return BACKING | (RAW_BACKING if kind else 0), below.encode()
        return BACKING, b"json:" + json.dumps({"driver": kind, "file": {"driver": "file", "filename": below}}).encode()

    def build(self):
        chunks, used = [], set(k for _, k, _ in self.entries.values() if k is not None)
        self.l1 = self.value(self.options.get("l1_at", str(self.header_size)))
        used |= set(range(self.header_size)) | set(range(self.l1, self.l1 + self.table_size))

        def take(count):
            k = 0
            while any(k + i in used for i in range(count)):
                k += 1
            used.update(range(k, k + count))
            return k

        self.tables, self.hosts = {}, {}
        for n, (what, place, _) in sorted(self.entries.items()):
            index = n // self.per_table
            if index not in self.tables:
                self.tables[index] = take(self.table_size)
                chunks.append((self.l1 * self.cs + index * 8, struct.pack("<Q", self.tables[index] * self.cs)))
            entry = {"zero": 1}.get(what, 0)
            if what == "data":
                self.hosts[n] = place if place is not None else take(1)
                entry = self.hosts[n] * self.cs
                chunks.append((entry, self.content(n)))
            chunks.append((self.entry_position(n), struct.pack("<Q", entry)))
        features, name = self.name()
        if self.options.get("need_check") == "yes":
            features |= NEED_CHECK
        header = struct.pack(
            "<4sIIIQQQQQII", b"QED\0", self.cs, self.table_size, self.header_size, features, 0, 0, self.l1 * self.cs,
            -(-self.size // 512) * 512, HEADER_LENGTH if name else 0, len(name))  # fmt: skip
        self.names["l1"] = self.l1 * self.cs
        self.names["table"] = {i: k * self.cs for i, k in self.tables.items()}
        self.names["host"] = {n: k * self.cs for n, k in self.hosts.items()}
        return self.finish([(0, header + name)] + chunks, (max(used) + 1) * self.cs)

    def content(self, n):
        options = self.entries[n][2]
        if "fill" in options:
            return bytes([self.value(options["fill"])]) * self.cs
        return pattern(self.seed, n * self.cs, self.cs)

    def entry_position(self, n):
        return self.tables[n // self.per_table] * self.cs + n % self.per_table * 8

    def field(self, what):
        if what.startswith("header.") and what[7:] in HEADER:
            return *HEADER[what[7:]], "little"
        if match := re.fullmatch(r"l1\[(.+)\]", what):
            return self.l1 * self.cs + self.value(match[1]) * 8, 8, "little"
        if match := re.fullmatch(r"l2\[(.+)\]", what):
            return self.entry_position(self.value(match[1])), 8, "little"
        return None

    def paint(self, disk, recipe):
        size = -(-self.size // 512) * 512
        disk.truncate(size)
        for n, (what, _, _) in sorted(self.entries.items()):
            length = min(self.cs, size - n * self.cs)
            if what != "none" and length > 0:
                disk.seek(n * self.cs)
                disk.write(self.content(n)[:length] if what == "data" else bytes(length))
        self.paint_models(disk, size, self.seed)
