# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a VHD file, from what a recipe says. Written from Microsoft's specification.

    vhd KEY=VALUE…      type=fixed|dynamic|differencing size=4*cs block_size=32K creator="win " geometry=C,H,S
                        current=SIZE (what the footer says; size= is what the disk shows)
                        footer=512|511|none (at the end) front=yes|no header_at= bat_at= entries=
                        id=HEX parent_id=HEX parent_name=TEXT backing=NAME (the file that is the parent)
    block[N]=data       a block in the next free place; sectors=4D+60- says which of its sectors are there; seed=BYTE
    block[N]=at@SECTOR  the BAT says that sector and nothing is put there
    locator CODE TEXT   a parent locator; slot= length= at=; text as UTF-16 where the code begins with W2
    junk LENGTH         nothing but 0xEE here, behind the blocks before

Fields for `set`: footer.FIELD (both), front.FIELD, end.FIELD, header.FIELD, bat[N]; checksums fit what was set, unless they
are set themselves. Names: cs (the block size), end, bat, block[N] (place of its bitmap).
"""

import re
import struct

from mkbytes import UNSEEN, Image, RecipeError, evaluate, pattern, text_bytes

FOOTER = {  # field: (offset, bytes)
    "cookie": (0, 8), "features": (8, 4), "version": (12, 4), "data_offset": (16, 8), "time_stamp": (24, 4),
    "creator": (28, 4), "original_size": (40, 8), "current_size": (48, 8), "cylinders": (56, 2), "heads": (58, 1),
    "sectors": (59, 1), "disk_type": (60, 4), "checksum": (64, 4), "saved_state": (84, 1),
}  # fmt: skip
HEADER = {
    "cookie": (0, 8), "data_offset": (8, 8), "table_offset": (16, 8), "version": (24, 4), "max_table_entries": (28, 4),
    "block_size": (32, 4), "checksum": (36, 4), "parent_time_stamp": (56, 4),
}  # fmt: skip
TYPES = {"fixed": 2, "dynamic": 3, "differencing": 4}
ABSENT = 0xFFFFFFFF
ID = "11223344556677889900aabbccddeeff"


def checksum(content):
    return ~sum(content) & 0xFFFFFFFF


def expand(text):
    """4D+60- as a list of booleans."""
    return [m[2] == "D" for m in re.finditer(r"(\d*)([D-])", text) for _ in range(int(m[1] or 1))]


class File(Image):
    def __init__(self, options, seed):
        super().__init__(options, seed, evaluate(options.get("block_size", "32K"), {}), "4*cs")
        self.type = TYPES[options.get("type", "dynamic")]
        self.bs = self.cs
        self.blocks, self.order, self.locators = {}, [], []

    # What statements say.

    def map(self, kind, first, last, value, options):
        if kind != "block":
            super().map(kind, first, last, value, options)
        for n in range(first, last + 1):
            self.blocks[n] = (value, options)
            if value == "data":
                self.order.append(n)

    def say_locator(self, options, code, text):
        self.locators.append((code, text, options))

    def say_junk(self, _options, length):
        self.order.append(("junk", self.value(length)))

    # Places.

    def bitmap_len(self):
        return -(-self.bs // 512 // 8 // 512) * 512

    def lay_out(self):
        count = -(-self.size // self.bs)
        self.entries = self.value(self.options.get("entries", str(count)))
        self.header_at = self.value(self.options.get("header_at", "512"))
        self.bat_at = self.value(self.options.get("bat_at", "1536"))
        self.names["bat"] = self.bat_at
        at = max(1536, self.header_at + 1024 if "header_at" not in self.options else 0)
        if "bat_at" not in self.options:
            at = max(at, self.bat_at + self.entries * 4)
        at = -(-at // 512) * 512
        self.data_at = []
        for code, text, options in self.locators:
            content = text.encode("utf-16-le") if code.startswith("W2") else text_bytes(text)
            self.data_at.append((at, content))
            at += -(-max(len(content), 1) // 512) * 512
        self.places = self.names["block"] = {}
        for item in self.order:
            if isinstance(item, tuple):
                at += item[1]
                continue
            self.places[item] = at
            at += self.bitmap_len() + self.bs
        return at

    # Pieces.

    def footer(self):
        options = self.options
        sectors = self.size // 512
        geometry = [int(n) for n in options.get("geometry", f"{min(sectors // 17 // 4, 65535)},4,17").split(",")]
        current = self.value(options["current"]) if "current" in options else self.size
        where = -1 & (1 << 64) - 1 if self.type == 2 else self.header_at
        creator = options.get("creator", "win ").encode().ljust(4, b"\0")
        content = struct.pack(
            ">8sIIQI4sI4sQQHBBII16sB427x", b"conectix", 2, 0x10000, where, 0x2A000000, creator, 0x60001, b"Wi2k", current,
            current, *geometry, self.type, 0, bytes.fromhex(options.get("id", ID)), 0,
        )  # fmt: skip
        return bytearray(content)

    def header(self):
        name = self.options.get("parent_name", "").encode("utf-16-be")
        content = bytearray(1024)
        struct.pack_into(
            ">8sQQIIII16sII", content, 0, b"cxsparse", (1 << 64) - 1, self.bat_at, 0x10000, self.entries, self.bs, 0,
            bytes.fromhex(self.options.get("parent_id", ID)), 0x29000000, 0,
        )  # fmt: skip
        content[64 : 64 + len(name)] = name
        for i, ((code, _, options), (at, data)) in enumerate(zip(self.locators, self.data_at)):
            slot = int(options.get("slot", i))
            length = self.value(options["length"]) if "length" in options else len(data)
            at = self.value(options["at"]) if "at" in options else at
            struct.pack_into(">4sIIIQ", content, 576 + 24 * slot, code.encode(), 512, length, 0, at)
        return content

    def set_fields(self, prefixes, fields, content):
        """What the recipe sets, and then the checksum, unless that was set as well."""
        at, summed = fields["checksum"][0], True
        for what, text in self.sets:
            prefix, _, field = what.partition(".")
            if prefix in prefixes:
                pos, length = fields[field]
                content[pos : pos + length] = self.value(text).to_bytes(length, "big")
                summed = summed and field != "checksum"
        if summed:
            content[at : at + 4] = bytes(4)
            content[at : at + 4] = checksum(content).to_bytes(4, "big")
        return bytes(content)

    def bits(self, options):
        sectors = self.bs // 512
        bits = expand(options["sectors"]) if "sectors" in options else [True] * sectors
        return bits + [False] * (sectors - len(bits))

    def block_bytes(self, n):
        options = self.blocks[n][1]
        bits = self.bits(options)
        seed = self.value(options["seed"]) if "seed" in options else self.seed
        bitmap = bytearray(self.bitmap_len())
        for i, there in enumerate(bits):
            bitmap[i // 8] |= there << 7 - i % 8
        content = bytearray(pattern(seed, n * self.bs, self.bs))
        for i, there in enumerate(bits):
            if not there:
                content[i * 512 : i * 512 + 512] = bytes([UNSEEN]) * 512
        return bytes(bitmap + content)

    def bat(self):
        entries = [ABSENT] * self.entries
        for n, (kind, _) in self.blocks.items():
            if n < self.entries:
                entries[n] = self.places[n] // 512 if kind == "data" else self.value(kind.removeprefix("at@"))
        padding = b"\xff" * (-len(entries) * 4 % 512) if "bat_at" not in self.options else b""
        return struct.pack(f">{len(entries)}I", *entries) + padding

    def build_fixed(self):
        chunks = []
        for off in range(0, self.size, 1 << 20):
            chunks.append((off, pattern(self.seed, off, min(self.size - off, 1 << 20))))
        return chunks, self.size

    def build_blocks(self):
        end = self.lay_out()
        chunks = []
        if self.options.get("front") != "no":
            chunks.append((0, self.set_fields(("footer", "front"), FOOTER, self.footer())))
        at = None
        for item in self.order:
            if isinstance(item, tuple):
                at = end - item[1] if at is None else at
                chunks.append((at, bytes([UNSEEN]) * item[1]))
            else:
                at = self.places[item]
                chunks.append((at, self.block_bytes(item)))
                at += self.bitmap_len() + self.bs
        chunks += self.data_at
        chunks.append((self.bat_at, self.bat()))
        chunks.append((self.header_at, self.set_fields(("header",), HEADER, self.header())))
        return chunks, max(end, *(pos + len(content) for pos, content in chunks))

    def build(self):
        chunks, end = self.build_fixed() if self.type == 2 else self.build_blocks()
        length = self.options.get("footer", "512")
        self.end_at = end
        if length != "none":
            chunks.append((end, self.set_fields(("footer", "end"), FOOTER, self.footer())[: int(length)]))
            end += int(length)
        return self.finish(chunks, end)

    def field(self, what):
        prefix, _, name = what.partition(".")
        places = {"footer": 0 if self.type != 2 else self.end_at, "front": 0, "end": self.end_at}
        if prefix in places:
            at, width = FOOTER[name]
            return places[prefix] + at, width, "big"
        if prefix == "header":
            at, width = HEADER[name]
            return self.header_at + at, width, "big"
        if match := re.fullmatch(r"bat\[(.+)\]", what):
            return self.bat_at + 4 * self.value(match[1]), 4, "big"
        return None

    def paint(self, disk, recipe):
        disk.truncate(self.size)
        for off, content in self.build()[0] if self.type == 2 else []:
            disk.seek(off)
            disk.write(content)
        for n, (kind, options) in self.blocks.items():
            if kind != "data":
                continue
            content = pattern(self.value(options["seed"]) if "seed" in options else self.seed, n * self.bs, self.bs)
            for i, there in enumerate(self.bits(options)):
                off = n * self.bs + i * 512
                if there and off < self.size:
                    disk.seek(off)
                    disk.write(content[i * 512 : i * 512 + 512])
        disk.truncate(self.size)
        self.paint_models(disk, self.size, self.seed)
