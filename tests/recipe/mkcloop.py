# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cloop V2.0, made from what is known of the format (docs/formats/cloop.md), without any of our C.

    cloop KEY=VALUE…       size= block=64K level=6 version=2.0
    block[N]=pattern       packed as it is, which goes without saying
      level=0…9  seed=BYTE  unpacked=LEN (less or more than a block)  cut=N (bytes off the stream's end)
    block[N]=zero          packed zeroes
    block[N]=stream        bytes=hex:… instead of a stream
    set header.block_size=… header.block_count=… offset[I]=…
"""

import re
import struct
import zlib

from mkbytes import Image, pattern, text_bytes

STUB = "#!/bin/sh\n#V{} Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\nexit $?\n"
TABLE = 136


class File(Image):
    def __init__(self, options, seed):
        super().__init__(options, seed, 1 << 16, "4*cs")
        self.cs = self.names["cs"] = self.value(options.get("block", "64K"))
        self.size = self.value(options.get("size", "4*cs"))
        self.count = -(-self.size // self.cs)
        self.blocks = {}

    def map(self, kind, first, last, value, options):
        if kind != "block" or value not in ("pattern", "zero", "stream"):
            super().map(kind, first, last, value, options)
        for n in range(first, last + 1):
            self.blocks[n] = (value, options)

    def content(self, n):
        """What the guest sees of a block; the last one is padded with zeroes."""
        value, options = self.blocks.get(n, ("pattern", {}))
        if value == "zero":
            return bytes(self.cs)
        seed = self.value(options["seed"]) if "seed" in options else self.seed
        return pattern(seed, n * self.cs, min(self.cs, self.size - n * self.cs)).ljust(self.cs, b"\0")

    def stream(self, n):
        value, options = self.blocks.get(n, ("pattern", {}))
        if value == "stream":
            return text_bytes(options["bytes"])
        content = self.content(n)
        if "unpacked" in options:
            length = self.value(options["unpacked"])
            content = content[:length].ljust(length, b"\1")
        packed = zlib.compress(content, int(options.get("level", self.options.get("level", "6"))))
        return packed[: len(packed) - self.value(options["cut"])] if "cut" in options else packed

    def build(self):
        stub = STUB.format(self.options.get("version", "2.0")).encode().ljust(128, b"\0")
        at, offsets, chunks = TABLE + 8 * (self.count + 1), [], []
        for n in range(self.count):
            offsets.append(at)
            chunks.append((at, self.stream(n)))
            at += len(chunks[-1][1])
        offsets.append(at)
        self.names["offset"] = dict(enumerate(offsets))
        chunks.append((0, stub + struct.pack(f">II{len(offsets)}Q", self.cs, self.count, *offsets)))
        return self.finish(chunks, at)

    def field(self, what):
        if match := re.fullmatch(r"offset\[(.+)\]", what):
            return TABLE + 8 * self.value(match[1]), 8, "big"
        fields = {"header.block_size": 128, "header.block_count": 132}
        return (fields[what], 4, "big") if what in fields else None

    def paint(self, disk, recipe):
        disk.truncate(self.count * self.cs)
        for n in range(self.count):
            if self.blocks.get(n, ("",))[0] == "stream":
                continue
            disk.seek(n * self.cs)
            disk.write(self.content(n))
        self.paint_models(disk, self.count * self.cs, self.seed)

