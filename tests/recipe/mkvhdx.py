# SPDX-License-Identifier: LGPL-2.1-or-later
"""VHDX as the specification (MS-VHDX) lays it out: headers, log at 1M, metadata at 2M, BAT at 3M, blocks behind it.

    vhdx KEY=VALUE…         size=4*cs block=1M sector=512 physical=512 fixed=yes log=1M sequence=5
                            backing= (of another file of the recipe) linkage=GUID linkage2=GUID relative= volume= absolute=
                            stale=yes: the BAT of the file is empty, and only the log knows better
                            bat_at=3M metadata_at=2M log_at=1M
    block[A..B]=STATE       none undefined zero unmapped unmapped5 data partial, or a number; data@POS
      here=0-7,16           sectors of the block with pattern: of data the others are zeroes, by default all but some at
                            both ends (what is small is good for fuzzing); of a partial block they are not in this file
    region GUID             offset= length=1M flags=0      a further region
    item GUID               offset= length=8 flags=0       a further metadata item
    key NAME=TEXT           a further key of the parent locator
    entry                   a log entry; sequence= tail= at= (in the ring), guid=hex:
      page pos=             … the 4 KiB that the file is to have there; byte=N: full of that
      clear pos= len=       … zeroes
    set WHAT=VALUE          before checksums are made: header.F header1.F header2.F  regions.F regions1.F  bat.F metadata.F
                            (their entries in the region table)  items.F  params.F size.F page83.F logical.F physical.F
                            locator.F  entry[I].F  and F of descriptor K of it: entry[I].K.F
                            after that: le64@POS and the like
"""

import hashlib
import re
import struct
import uuid

from mkbytes import Image, RecipeError, pattern, text_bytes

MIB = 1 << 20
PAGE = 4096
TABLE = 64 << 10
STATES = {"none": 0, "undefined": 1, "zero": 2, "unmapped": 3, "unmapped5": 5, "data": 6, "partial": 7}
REGIONS = {"bat": "2DC27766-F623-4200-9D64-115E9BFD4A08", "metadata": "8B7CA206-4790-4B9A-B8FE-575F050F886E"}
ITEMS = {
    "params": "CAA16737-FA36-4D43-B3B6-33F0AA44E76B", "size": "2FA54224-CD1B-4876-B211-5DBED83BF4B8",
    "page83": "BECA12AB-B2E6-4523-93EF-C309E000C746", "logical": "8141BF1D-A96F-4709-BA47-F233A8FAAB5F",
    "physical": "CDA348C7-445D-4471-9CC9-E9885251C556", "locator": "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C",
}  # fmt: skip
LOCATOR = "B04AEFB7-D19E-4A81-B789-25B8E9445913"

HEADER_FIELDS = {
    "signature": (0, 4), "checksum": (4, 4), "sequence": (8, 8), "file_write": (16, 16), "data_write": (32, 16),
    "log_guid": (48, 16), "log_version": (64, 2), "version": (66, 2), "log_length": (68, 4), "log_offset": (72, 8),
}  # fmt: skip
TABLE_FIELDS = {"signature": (0, 4), "count": (8, 4)}
REGION_FIELDS = {"guid": (0, 16), "offset": (16, 8), "length": (24, 4), "flags": (28, 4)}
ITEMS_FIELDS = {"signature": (0, 8), "count": (10, 2)}
ITEM_FIELDS = {"guid": (0, 16), "offset": (16, 4), "length": (20, 4), "flags": (24, 4)}
ENTRY_FIELDS = {
    "signature": (0, 4), "length": (8, 4), "tail": (12, 4), "sequence": (16, 8), "count": (24, 4), "guid": (32, 16),
    "flushed": (48, 8), "last": (56, 8),
}  # fmt: skip
DESCRIPTOR_FIELDS = {"signature": (0, 4), "trailing": (4, 4), "length": (8, 8), "offset": (16, 8), "sequence": (24, 8)}


def make_crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = make_crc_table()


def crc32c(content):
    """Castagnoli. Zeroes at the end, of which the tables have many, are done without looking."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def guid(text):
    return uuid.UUID(text).bytes_le


def guid_of(name):
    """The DataWriteGuid of the file of that name."""
    return uuid.UUID(bytes=hashlib.md5(name.encode()).digest())


def up(x, unit):
    return -(-x // unit) * unit


class Entry:
    def __init__(self, options):
        self.options, self.changes = options, []


class File(Image):
    def __init__(self, options, seed):
        block = options.get("block", "1M")
        super().__init__(options, seed, 1 << 20)
        self.cs = self.names["cs"] = self.value(block)
        self.size = self.value(options.get("size", "4*cs"))
        self.sector = self.value(options.get("sector", "512"))
        self.per_chunk = max((self.sector << 23) // self.cs, 1)
        self.log_at, self.log_len = self.value(options.get("log_at", "1M")), self.value(options.get("log", "1M"))
        self.metadata_at = self.value(options.get("metadata_at", "2M"))
        self.bat_at = self.value(options.get("bat_at", "3M"))
        self.blocks, self.regions, self.items, self.keys, self.entries = {}, [], [], [], []
        self.names |= {"bat": self.bat_at, "log": self.log_at, "metadata": self.metadata_at, "block": {}, "bitmap": {}}
        self.name = options.get("name", "disk")
        self.log_guid = guid_of("log of " + self.name).bytes_le

    # What statements say.

    def map(self, kind, first, last, value, options):
        if kind != "block":
            super().map(kind, first, last, value, options)
        state, _, place = value.partition("@")
        last_sector = self.cs // self.sector - 1
        if state == "data":
            options = {"here": f"0-15,{last_sector - 7}-{last_sector}", **options}
        for n in range(first, last + 1):
            self.blocks[n] = (STATES[state] if state in STATES else int(state), place, options)

    def say_region(self, options, name):
        self.regions.append((name, options))

    def say_item(self, options, name):
        self.items.append((name, options))

    def say_key(self, options):
        self.keys += list(options.items())

    def say_entry(self, options):
        self.entries.append(Entry(options))

    def say_page(self, options):
        self.entries[-1].changes.append(("desc", options))

    def say_clear(self, options):
        self.entries[-1].changes.append(("zero", options))

    # Fields.

    def change(self, area, prefix, fields, base=0):
        """What `set prefix.FIELD=` says, done in `area`."""
        for what, text in list(self.sets):
            head, _, field = what.rpartition(".")
            if head != prefix or field not in fields:
                continue
            self.sets.remove((what, text))
            at, width = fields[field]
            if text.startswith("hex:"):
                content = text_bytes(text)
            elif field == "guid" or width == 16:
                content = guid(text)
            else:
                content = (self.value(text) & (1 << 8 * width) - 1).to_bytes(width, "little")
            area[base + at : base + at + len(content)] = content

    # Parts of the file.

    def index(self, n):
        return n + n // self.per_chunk

    def bitmap_index(self, chunk):
        return chunk * (self.per_chunk + 1) + self.per_chunk

    def header(self, copy):
        raw = bytearray(PAGE)
        sequence = self.value(self.options.get("sequence", "5")) + copy
        log = self.log_guid if self.entries else bytes(16)
        struct.pack_into("<4sIQ16s16s16sHHIQ", raw, 0, b"head", 0, sequence, guid_of("file write").bytes_le,
                         guid_of(self.name).bytes_le, log, 0, 1, self.log_len, self.log_at)
        return raw

    def sealed_header(self, copy):
        raw = self.header(copy)
        sets = list(self.sets)
        self.change(raw, "header", HEADER_FIELDS)
        if copy == 0:
            self.sets = sets  # the other one wants them too
        self.change(raw, f"header{copy + 1}", HEADER_FIELDS)
        if not any(raw[4:8]):
            struct.pack_into("<I", raw, 4, crc32c(raw))
        return raw

    def region_table(self, copy):
        raw = bytearray(TABLE)
        known = [("bat", self.bat_at, self.bat_len), ("metadata", self.metadata_at, MIB)]
        struct.pack_into("<4sIII", raw, 0, b"regi", 0, 2 + len(self.regions), 0)
        sets = list(self.sets)
        for i, (name, at, length) in enumerate(known):
            struct.pack_into("<16sQII", raw, 16 + 32 * i, guid(REGIONS[name]), at, length, 1)
            self.change(raw, name, REGION_FIELDS, 16 + 32 * i)
        for i, (name, options) in enumerate(self.regions, 2):
            numbers = [self.value(options.get(key, else_)) for key, else_ in
                       (("offset", "0"), ("length", "1M"), ("flags", "0"))]
            struct.pack_into("<16sQII", raw, 16 + 32 * i, guid(name), *numbers)
        self.change(raw, "regions", TABLE_FIELDS)
        if copy == 0:
            self.sets = sets
        self.change(raw, f"regions{copy + 1}", TABLE_FIELDS)
        struct.pack_into("<I", raw, 4, crc32c(raw))
        return raw

    def locator(self):
        linkage = "{" + str(guid_of(self.options["backing"])) + "}"
        keys = [("parent_linkage", self.options.get("linkage", linkage)),
                ("parent_linkage2", self.options.get("linkage2", "")),
                ("relative_path", self.options.get("relative", ".\\" + self.options["backing"])),
                ("volume_path", self.options.get("volume", "")),
                ("absolute_win32_path", self.options.get("absolute", "")), *self.keys]
        keys = [(key, value) for key, value in keys if value]
        raw = bytearray(guid(LOCATOR) + struct.pack("<HH", 0, len(keys)) + bytes(12 * len(keys)))
        for i, pair in enumerate(keys):
            places = []
            for text in pair:
                content = text_bytes(text) if text.startswith("hex:") else text.encode("utf-16-le")
                places.append((len(raw), len(content)))
                raw += content
            struct.pack_into("<IIHH", raw, 20 + 12 * i, places[0][0], places[1][0], places[0][1], places[1][1])
        self.change(raw, "locator", {"type": (0, 16), "keys": (18, 2), "key_at": (20, 4), "value_at": (24, 4),
                                     "key_len": (28, 2), "value_len": (30, 2)})
        return bytes(raw)

    def metadata(self):
        """The table and the items, as one stretch from the beginning of the region."""
        flags = (1 if self.options.get("fixed") == "yes" else 0) | (2 if "backing" in self.options else 0)
        contents = [("params", bytearray(struct.pack("<II", self.cs, flags)), {"block": (0, 4), "bits": (4, 4)}, 4),
                    ("size", bytearray(struct.pack("<Q", self.size)), {"bytes": (0, 8)}, 6),
                    ("page83", bytearray(guid_of("page 83").bytes_le), {}, 6),
                    ("logical", bytearray(struct.pack("<I", self.sector)), {"bytes": (0, 4)}, 6),
                    ("physical", bytearray(struct.pack("<I", self.value(self.options.get("physical", "512")))),
                     {"bytes": (0, 4)}, 6)]
        if "backing" in self.options:
            contents.append(("locator", bytearray(self.locator()), {}, 4))
        raw = bytearray(TABLE)
        raw[:12] = b"metadata" + struct.pack("<HH", 0, len(contents) + len(self.items))
        for i, (name, content, fields, bits) in enumerate(contents):
            self.change(content, name, fields)
            struct.pack_into("<16sIIII", raw, 32 + 32 * i, guid(ITEMS[name]), len(raw), len(content), bits, 0)
            self.change(raw, name, ITEM_FIELDS, 32 + 32 * i)
            raw += content
        for i, (name, options) in enumerate(self.items, len(contents)):
            numbers = [self.value(options.get(key, else_)) for key, else_ in
                       (("offset", "128K"), ("length", "8"), ("flags", "0"))]
            struct.pack_into("<16sIIII", raw, 32 + 32 * i, guid(name), *numbers, 0)
        self.change(raw, "items", ITEMS_FIELDS)
        return raw

    def sectors(self, options):
        """The sectors of a block that are here: [(first, count)]."""
        for part in options.get("here", "").split(","):
            first, _, last = part.partition("-")
            if part:
                yield int(first), int(last or first) - int(first) + 1

    def place_blocks(self, chunks):
        """The BAT, as {index: entry}; where blocks lie goes into names."""
        bat, end, bitmaps = {}, self.bat_at + self.bat_len, {}
        for n, (state, place, options) in sorted(self.blocks.items()):
            at = 0
            if state in (6, 7):
                at = self.value(place) if place else end
                end = max(end, at + self.cs)
                for first, count in self.sectors(options):
                    pos, length = first * self.sector, count * self.sector
                    chunks.append((at + pos, pattern(self.seed, n * self.cs + pos, length)))
            elif place:
                at = self.value(place)
            bat[self.index(n)] = at | state
            self.names["block"][n] = at
            if state == 7:
                bits = bitmaps.setdefault(n // self.per_chunk, bytearray(MIB))
                base = n % self.per_chunk * (self.cs // self.sector)
                for first, count in self.sectors(options):
                    for i in range(base + first, base + first + count):
                        bits[i // 8] |= 1 << i % 8
        for chunk, bits in bitmaps.items():
            chunks.append((end, bytes(bits)))
            bat[self.bitmap_index(chunk)] = end | 6
            self.names["bitmap"][chunk] = end
            end += MIB
        return bat, end

    def log_entry(self, i, entry, at, read, end):
        options = entry.options
        sequence = self.value(options.get("sequence", str(10 + i)))
        area, pages = bytearray(64), b""
        for signature, change in entry.changes:
            pos = self.value(change["pos"])
            if signature == "desc":
                page = bytes([self.value(change["byte"])]) * PAGE if "byte" in change else read(pos)
                area += struct.pack("<4s4s8sQQ", b"desc", page[-4:], page[:8], pos, sequence)
                pages += b"data" + struct.pack("<I", sequence >> 32) + page[8:-4] + struct.pack("<I", sequence & 0xFFFFFFFF)
            else:
                area += struct.pack("<4sIQQQ", b"zero", 0, self.value(change["len"]), pos, sequence)
        area += bytes(up(len(area), PAGE) - len(area)) + pages
        struct.pack_into("<4sIIIQII16sQQ", area, 0, b"loge", 0, len(area), self.value(options.get("tail", str(at))),
                         sequence, len(entry.changes), 0, self.log_guid, end, end)
        self.change(area, f"entry[{i}]", ENTRY_FIELDS)
        for k in range(len(entry.changes)):
            self.change(area, f"entry[{i}].{k}", DESCRIPTOR_FIELDS, 64 + 32 * k)
        self.change(area, f"entry[{i}].data", {"signature": (0, 4), "high": (4, 4), "low": (4092, 4)}, PAGE)
        struct.pack_into("<I", area, 4, crc32c(area))
        return area

    def write_log(self, chunks, read, end):
        """The entries, one behind the other in the ring, wherever the first one begins."""
        at = self.value(self.entries[0].options.get("at", "0")) if self.entries else 0
        for i, entry in enumerate(self.entries):
            at = self.value(entry.options["at"]) if "at" in entry.options else at
            area = self.log_entry(i, entry, at, read, end)
            for skip in range(0, len(area), PAGE):
                chunks.append((self.log_at + (at + skip) % self.log_len, bytes(area[skip : skip + PAGE])))
            at = (at + len(area)) % self.log_len

    def build(self):
        chunks = [(0, b"vhdxfile" + "rawview's recipes".encode("utf-16-le"))]
        nb = -(-self.size // self.cs)
        count = -(-nb // self.per_chunk) * (self.per_chunk + 1)
        self.bat_len = up(8 * count, MIB)
        bat, end = self.place_blocks(chunks)
        end = max(end, self.log_at + self.log_len, self.metadata_at + MIB)
        table = bytearray(8 * (max(bat, default=0) + 1))
        for i, entry in bat.items():
            struct.pack_into("<Q", table, 8 * i, entry)
        metadata = bytes(self.metadata())

        def read(pos):
            for base, content in ((self.bat_at, bytes(table)), (self.metadata_at, metadata)):
                if base <= pos < base + MIB:
                    return content[pos - base : pos - base + PAGE].ljust(PAGE, b"\0")
            raise RecipeError(f"nothing is known of the page at {pos}")

        self.write_log(chunks, read, end)
        chunks += [(TABLE, bytes(self.sealed_header(0))), (2 * TABLE, bytes(self.sealed_header(1))),
                   (3 * TABLE, bytes(self.region_table(0))), (4 * TABLE, bytes(self.region_table(1))),
                   (self.metadata_at, metadata)]
        if self.options.get("stale") != "yes":
            chunks.append((self.bat_at, bytes(table)))
        return self.finish(chunks, end)

    def field(self, what):
        if match := re.fullmatch(r"bat\[(.+)\]", what):
            return self.bat_at + 8 * self.value(match[1]), 8, "little"
        return None

    # What the guest sees.

    def paint(self, disk, recipe):
        disk.truncate(min(self.size, disk.seek(0, 2)))
        disk.truncate(self.size)
        for n, (state, _, options) in self.blocks.items():
            length = min(self.cs, self.size - n * self.cs)
            parts = []
            if state not in (0, 7) and self.below():
                parts = [(0, bytes(length))]
            if state in (6, 7):
                parts += [(first * self.sector, pattern(self.seed, n * self.cs + first * self.sector, count * self.sector))
                         for first, count in self.sectors(options)]
            for pos, content in parts:
                disk.seek(n * self.cs + pos)
                disk.write(content)
        disk.truncate(self.size)
        self.paint_models(disk, self.size, self.seed)
