# SPDX-License-Identifier: LGPL-2.1-or-later
r"""DMG (Apple's UDIF).

    dmg KEY=VALUE…          unit=64K (what chunks count in) size=LEN (said in the trailer; as the chunks need) rsrc=yes (tables in a
                            resource fork) crc=no (without checksums) segments=N front=LEN (bytes before the data fork)
    block KEY=VALUE…        begins a further block: first=SECTOR (behind the one before) count=SECTORS; and what its head says
                            otherwise: magic= version= offset= chunks= sum= sumtype=; cut=N: its table ends N bytes early
    chunk[N]=KIND…          units N…; chunk[A..B]= one chunk each
      zero ignore           sectors=N (instead of a unit) for these and the others
      raw                   pattern
      zlib bzip2 lzma adc   packed pattern; fill=BYTE instead of the pattern; unpacked=LEN (packs another length)
      lzfse lzvn bvx1 plain     LZFSE streams of such blocks; mixed: of each kind in turn
                            stream=hex:… (instead of it) cut=N (bytes off its end); level= of zlib, bzip2
      comment end           entries of these types in the table; every block has an end of its own, unless it has ended=no
      none                  nothing: a gap
      type= at= length= from=SECTOR count=SECTORS    what its entry says otherwise
    xml WORD…               other text in place of the whole property list
    replace OLD NEW         in the property list; \n, \t and \x3d (for =) are what they are in Python

`set` knows trailer.FIELD. Names: trailer, tables (where the property list or resource fork is).
"""

import base64
import bz2
import lzma
import struct
import zlib

import applepack
from mkbytes import Image, RecipeError, pattern, text_bytes

TYPES = {
    "zero": 0, "raw": 1, "ignore": 2, "comment": 0x7FFFFFFE, "end": 0xFFFFFFFF, "adc": 0x80000004, "zlib": 0x80000005,
    "bzip2": 0x80000006, "lzfse": 0x80000007, "lzvn": 0x80000007, "bvx1": 0x80000007, "plain": 0x80000007,
    "mixed": 0x80000007, "lzma": 0x80000008,
}
FIELDS = {
    "magic": (0, 4), "version": (4, 4), "length": (8, 4), "data_pos": (24, 8), "data_len": (32, 8), "resource_pos": (40, 8),
    "resource_len": (48, 8), "segment": (56, 4), "segments": (60, 4), "data_sum_type": (80, 4), "data_sum": (88, 4),
    "xml_pos": (216, 8), "xml_len": (224, 8), "master_sum_type": (352, 4), "master_sum": (360, 4), "sectors": (492, 8),
}
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
\t<key>resource-fork</key>
\t<dict>
\t\t<key>blkx</key>
\t\t<array>
"""
TAIL = """\t\t</array>
\t\t<key>plst</key>
\t\t<array>
\t\t\t<dict>
\t\t\t\t<key>Attributes</key>
\t\t\t\t<string>0x0050</string>
\t\t\t\t<key>Data</key>
\t\t\t\t<data>
\t\t\t\tAAAAAAAAAAA=
\t\t\t\t</data>
\t\t\t</dict>
\t\t</array>
\t</dict>
</dict>
</plist>
"""


class Block:
    def __init__(self, first, options):
        self.first, self.options, self.chunks = first, options, []


class File(Image):
    def __init__(self, options, seed):
        super().__init__(options, seed)
        self.cs = self.value(options.get("unit", "64K"))
        self.names["cs"] = self.cs
        self.blocks = [Block(0, options)]
        self.text, self.replacements = None, []
        self.said = "size" in options
        self.drawn = {}
        self.end = 0

    # Statements.

    def say_block(self, options):
        first = self.value(options["first"]) if "first" in options else self.end // 512
        if len(self.blocks) == 1 and not self.blocks[0].chunks:
            self.blocks = []
        self.blocks.append(Block(first, options))

    def say_xml(self, _options, *words):
        self.text = " ".join(words).encode().decode("unicode_escape")

    def say_replace(self, _options, old, new):
        self.replacements.append((old.encode().decode("unicode_escape"), new.encode().decode("unicode_escape")))

    def map(self, kind, first, last, value, options):
        if kind != "chunk":
            raise RecipeError(f"no statement begins with '{kind}['")
        for n in range(first, last + 1):
            off = n * self.cs
            length = self.value(options["sectors"]) * 512 if "sectors" in options else self.cs
            if value not in ("none", "comment", "end"):
                self.end = max(self.end, off + length)
            if value != "none":
                self.blocks[-1].chunks.append((value, off, length, options))

    # Making.

    def guest(self, off, length, options):
        if "fill" in options:
            return bytes([self.value(options["fill"])]) * length
        return pattern(self.seed, off, length)

    def pack(self, value, content, options):
        level = int(options.get("level", 9))
        if "stream" in options:
            return text_bytes(options["stream"])
        packers = {
            "raw": bytes,
            "zlib": lambda c: zlib.compress(c, level),
            "bzip2": lambda c: bz2.compress(c, level),
            "lzma": lambda c: lzma.compress(c, check=lzma.CHECK_CRC32),
            "adc": applepack.adc,
            "lzfse": lambda c: applepack.lzfse(c, ("bvx2",)),
            "bvx1": lambda c: applepack.lzfse(c, ("bvx1",)),
            "lzvn": lambda c: applepack.lzfse(c, ("bvxn",), 1 << 30),
            "plain": lambda c: applepack.lzfse(c, ("bvx-",), 1 << 30),
            "mixed": lambda c: applepack.lzfse(c, step=len(c) // 5 + 1),
        }
        packed = packers[value](content)
        return packed[: len(packed) - int(options.get("cut", 0))]

    def entry(self, block, chunk, fork):
        """What a table says of a chunk, whose bytes go to the fork."""
        value, off, length, options = chunk
        packed = b""
        if value not in ("zero", "ignore", "comment", "end"):
            content = self.guest(off, length, options)
            plain = self.guest(off, self.value(options["unpacked"]), options) if "unpacked" in options else content
            packed = self.pack(value, plain, options)
            if length:
                self.drawn[off] = plain[:length].ljust(length, b"\0")
        count = 0 if value in ("comment", "end") else length // 512

        def say(key, real):
            return self.value(options[key]) if key in options else real

        entry = struct.pack(
            ">IIQQQQ",
            say("type", TYPES[value]),
            0,
            say("from", off // 512 - block.first),
            say("count", count),
            say("at", len(fork) if packed else 0),
            say("length", len(packed)),
        )
        fork += packed
        return entry

    def table(self, block, fork):
        options = block.options
        entries = [self.entry(block, chunk, fork) for chunk in block.chunks]
        end = max([off + length for value, off, length, _ in block.chunks if value not in ("comment", "end")], default=0)
        count = max(0, end // 512 - block.first)
        if options.get("ended") != "no":
            entries.append(struct.pack(">IIQQQQ", TYPES["end"], 0, count, 0, len(fork), 0))

        def say(key, real):
            return self.value(options[key]) if key in options else real

        crc = self.crc_of(block.first * 512, end)
        head = text_bytes(options.get("magic", "mish")) + struct.pack(
            ">IQQQII",
            say("version", 1),
            say("first", block.first),
            say("count", count),
            say("offset", 0),
            2056,
            0,
        )
        has_crc = self.options.get("crc") != "no"
        head += bytes(24) + struct.pack(">III", say("sumtype", 2 if has_crc else 0), 32 if has_crc else 0, say("sum", crc))
        head += bytes(124) + struct.pack(">I", say("chunks", len(entries)))
        packed = head + b"".join(entries)
        return packed[: len(packed) - int(options.get("cut", 0))], head[72:76] if has_crc else b""

    def crc_of(self, begin, end):
        crc, at = 0, begin
        if self.options.get("crc") == "no" or end - begin > 1 << 26:
            return 0
        for off in sorted(self.drawn):
            if max(begin, at) <= off < end:
                crc = zlib.crc32(self.drawn[off], zlib.crc32(bytes(off - at), crc))
                at = off + len(self.drawn[off])
        return zlib.crc32(bytes(max(0, end - at)), crc)

    def property_list(self, tables):
        if self.text is not None:
            return self.text
        text = HEAD
        for i, table in enumerate(tables):
            lines = base64.b64encode(table).decode()
            wrapped = "\n".join("\t\t\t\t" + lines[at : at + 52] for at in range(0, len(lines), 52))
            text += (
                "\t\t\t<dict>\n\t\t\t\t<key>Attributes</key>\n\t\t\t\t<string>0x0050</string>\n"
                f"\t\t\t\t<key>CFName</key>\n\t\t\t\t<string>block {i} &amp; more</string>\n\t\t\t\t<key>Data</key>\n\t\t\t\t<data>\n"
                f"{wrapped}\n\t\t\t\t</data>\n\t\t\t\t<key>ID</key>\n\t\t\t\t<string>{i}</string>\n"
                f"\t\t\t\t<key>Name</key>\n\t\t\t\t<string>block {i}</string>\n\t\t\t</dict>\n"
            )
        text += TAIL
        for old, new in self.replacements:
            if old not in text:
                raise RecipeError(f"there is no '{old}' to replace")
            text = text.replace(old, new, 1)
        return text

    @staticmethod
    def resource_fork(tables):
        """The tables as resources, with one of another kind between them, and a map of nothing but its own head."""
        data = b"".join(struct.pack(">I", len(r)) + r for r in [b"plst" + bytes(8), *tables])
        return struct.pack(">IIII", 256, 256 + len(data), len(data), 30) + bytes(240) + data + bytes(30)

    def build(self):
        self.drawn = {}
        front = self.value(self.options.get("front", "0"))
        fork, tables, sums = bytearray(), [], b""
        for block in self.blocks:
            table, crc = self.table(block, fork)
            tables.append(table)
            sums += crc
        has_rsrc = self.options.get("rsrc") == "yes"
        text = self.resource_fork(tables) if has_rsrc else self.property_list(tables).encode()
        where = front + len(fork)
        self.names["tables"], self.names["trailer"] = where, where + len(text)
        has_crc = self.options.get("crc") != "no"
        kind = (2, 32) if has_crc else (0, 0)
        xml = (0, 0) if has_rsrc else (where, len(text))
        rsrc = (where, len(text)) if has_rsrc else (0, 0)
        segments = self.value(self.options.get("segments", "1"))
        sectors = self.size // 512 if self.said else self.end // 512
        trailer = b"koly" + struct.pack(">IIIQQQQQII", 4, 512, 1, 0, front, len(fork), *rsrc, 1, segments) + bytes(16)
        trailer += struct.pack(">III", *kind, zlib.crc32(fork) if has_crc else 0) + bytes(124)
        trailer += struct.pack(">QQ", *xml) + bytes(120)
        trailer += struct.pack(">III", *kind, zlib.crc32(sums) if has_crc else 0) + bytes(124)
        trailer += struct.pack(">IQ", 1, sectors) + bytes(12)
        chunks = [(0, b"\xee" * front), (front, bytes(fork)), (where, text), (where + len(text), trailer)]
        return self.finish(chunks, where + len(text) + 512)

    def field(self, what):
        name = what.removeprefix("trailer.")
        if name == what or name not in FIELDS:
            return None
        at, width = FIELDS[name]
        return self.names["trailer"] + at, width, "big"

    def paint(self, disk, recipe):
        self.build()
        size = max(self.size if self.said else 0, self.end)
        disk.truncate(0)
        disk.truncate(size)
        for off, content in self.drawn.items():
            if content.strip(b"\0"):
                disk.seek(off)
                disk.write(content)
        self.paint_models(disk, size, self.seed)
        disk.truncate(size)
