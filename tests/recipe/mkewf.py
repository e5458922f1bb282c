# SPDX-License-Identifier: LGPL-2.1-or-later
"""An EWF-E01, made from what is known of the format (docs/formats/ewf.md), without any of our C.

    ewf KEY=VALUE…         name=disk.E01 size=… sector=512 sectors=64 (in a chunk) base=section|0|… (what entries count from)
                           per_table=16375 (entries) split=N (chunks in a segment; the others follow in .E02 …) copy=no (no table2)
                           level=… (of zlib; without it chunks lie there as they are) media=1 set=BYTE md5=no error=N session=N
                           digest=yes volume=volume|disk order=…
    chunk[N]=plain|packed  how a chunk lies there;  seed=BYTE  cut=N (bytes off its end)  sum=wrong
                           unpacked=LEN (less or more than a chunk)  gap=N (bytes behind it)
    chunk[N]=zero          packed zeroes
    section TYPE           one more, in front of the tables of segment 1: bytes=hex:…  at=end: behind all others
    break WHAT [N]         a wrong checksum of volume, table, table2, entries, entries2, hash (of table N, from 0 on)
    set WHAT=VALUE         in the first segment, with its checksums made right again:
                           file.FIELD volume.FIELD table[I].FIELD (header of table I) entry[N] (of chunk N)
                           section[I].FIELD (I of all sections); FIELD: one, number, zero; media, chunks, sectors, sector,
                           count, compression; count, base; type, next, size
"""

import hashlib
import itertools
import re
import string
import struct
import zlib

from mkbytes import Image, evaluate, pattern, text_bytes

PACKED = 1 << 31
VOLUME = {"media": (0, 1), "chunks": (4, 4), "sectors": (8, 4), "sector": (12, 4), "count": (16, 8), "compression": (52, 1)}
FILE = {"one": (8, 1), "number": (9, 2), "zero": (11, 2)}
TABLE = {"count": (0, 4), "base": (8, 8)}
SECTION = {"next": (16, 8), "size": (24, 8)}


def adler(content):
    return struct.pack("<I", zlib.adler32(bytes(content)))


def suffix(letter, number):
    """E01 to E99, then EAA, EAB … ZZZ."""
    if number <= 99:
        return f"{letter}{number:02}"
    letters = string.ascii_lowercase if letter.islower() else string.ascii_uppercase
    rest = itertools.product(letters[letters.index(letter) :], letters, letters)
    return "".join(next(itertools.islice(rest, number - 100, None)))


class Section:
    def __init__(self, kind, body):
        self.kind, self.body = kind, bytearray(body)
        self.patches = {}
        self.pos = self.table = None
        self.next = None

    def descriptor(self):
        end = self.pos + 76 + len(self.body)
        last = self.kind in ("next", "done")
        head = bytearray(struct.pack("<16sQQ40x", self.kind.encode(), self.pos if last else end, 0 if last else end - self.pos))
        for (at, width), value in self.patches.items():
            head[at : at + width] = value.to_bytes(width, "little") if isinstance(value, int) else value.ljust(width, b"\0")
        return head + adler(head)


class File(Image):
    def __init__(self, options, seed):
        super().__init__(options, seed)
        self.sector = self.value(options.get("sector", "512"))
        self.sectors = self.value(options.get("sectors", "64"))
        self.cs = self.names["cs"] = self.sector * self.sectors
        self.size = self.value(options.get("size", "4*cs"))
        self.count = -(-self.size // self.cs)
        self.chunk_kinds, self.more, self.breaks, self.extra = {}, [], set(), []

    def map(self, kind, first, last, value, options):
        if kind != "chunk" or value not in ("plain", "packed", "zero"):
            super().map(kind, first, last, value, options)
        for n in range(first, last + 1):
            self.chunk_kinds[n] = (value, options)

    def say_section(self, options, kind):
        self.extra.append((kind, text_bytes(options.get("bytes", "")), options.get("at")))

    def say_break(self, _options, what, number="0"):
        self.breaks.add((what, int(number)))

    def more_files(self):
        return self.more

    # The disk.

    def how(self, n):
        return self.chunk_kinds.get(n, ("packed" if "level" in self.options else "plain", {}))

    def content(self, n):
        kind, options = self.how(n)
        length = min(self.cs, self.size - n * self.cs)
        if kind == "zero":
            return bytes(length)
        return pattern(self.value(options["seed"]) if "seed" in options else self.seed, n * self.cs, length)

    def chunk(self, n):
        """Its bytes in the file, and the highest bit of its entry."""
        kind, options = self.how(n)
        content = self.content(n)
        if "unpacked" in options:
            length = self.value(options["unpacked"])
            content = content[:length].ljust(length, b"\1")
        if kind == "plain":
            stored = content + adler(content)
        else:
            stored = zlib.compress(content, int(self.options.get("level", "1")))
        if "sum" in options:
            stored = stored[:-1] + bytes([stored[-1] ^ 0xFF])
        if "cut" in options:
            stored = stored[: len(stored) - self.value(options["cut"])]
        return stored + b"\xee" * self.value(options.get("gap", "0")), 0 if kind == "plain" else PACKED

    # Sections.

    def volume(self):
        body = bytearray(1052)
        struct.pack_into("<IIIIQ", body, 0, self.value(self.options.get("media", "1")), self.count, self.sectors,
                         self.sector, -(-self.size // self.sector))  # fmt: skip
        body[52] = 1 if "level" in self.options else 0
        body[64:80] = bytes([self.value(self.options.get("set", "7"))]) * 16
        return body

    def summed(self, body, broken):
        """With the checksum of all but the last four bytes there."""
        body[-4:] = adler(body[:-4]) if not broken else b"\xde\xad\xbe\xef"

    def table(self, entries, base, which, number):
        head = bytearray(struct.pack("<I4xQ4x", len(entries), base))
        for (what, at, width), value in self.table_patches.get(number, {}).items():
            if what == "header":
                head[at : at + width] = value.to_bytes(width, "little")
        body = struct.pack(f"<{len(entries)}I", *entries)
        head_sum, body_sum = adler(head), adler(body)
        if (which, number) in self.breaks:
            head_sum = b"\xde\xad\xbe\xef"
        if ("entries" + which[5:], number) in self.breaks:
            body_sum = b"\xde\xad\xbe\xef"
        return bytes(head) + head_sum + body + body_sum

    def read_sets(self):
        """`set` of what has checksums is done while the file is made."""
        self.table_patches, self.entry_patches, self.volume_patches, self.section_patches = {}, {}, {}, {}
        rest = []
        for what, text in self.sets:
            if match := re.fullmatch(r"volume\.(\w+)", what):
                self.volume_patches[VOLUME[match[1]]] = text
            elif match := re.fullmatch(r"table\[(\d+)\]\.(\w+)", what):
                at, width = TABLE[match[2]]
                self.table_patches.setdefault(int(match[1]), {})[("header", at, width)] = self.value(text)
            elif match := re.fullmatch(r"entry\[(.+)\]", what):
                self.entry_patches[self.value(match[1])] = text
            elif match := re.fullmatch(r"section\[(\d+)\]\.(\w+)", what):
                place = (0, 16) if match[2] == "type" else SECTION[match[2]]
                value = text_bytes(text) if match[2] == "type" else text
                self.section_patches.setdefault(int(match[1]), {})[place] = value
            else:
                rest.append((what, text))
        self.sets = rest

    def field(self, what):
        if match := re.fullmatch(r"file\.(\w+)", what):
            return *FILE[match[1]], "little"
        return None

    def build(self):
        self.read_sets()
        per = self.value(self.options.get("split", "0")) or self.count or 1
        parts = [range(at, min(at + per, self.count)) for at in range(0, self.count, per)] or [range(0)]
        name = self.options.get("name", "disk")
        self.table_number, self.starts = 0, {}
        made = []
        for i, part in enumerate(parts, 1):
            chunks, end = self.segment(i, part, i == len(parts))
            made.append((name[:-3] + suffix(name[-3], i), chunks, end))
        self.more = made[1:]
        return self.finish(made[0][1], made[0][2])

    def segment(self, number, part, is_last):
        sections = []
        if number == 1:
            sections.append(Section("header", zlib.compress(b"1\nmain\nc\tn\ta\te\tt\n")))
            volume = self.volume()
            for (at, width), text in self.volume_patches.items():
                volume[at : at + width] = self.value(text).to_bytes(width, "little")
            self.summed(volume, ("volume", 0) in self.breaks)
            sections.append(Section(self.options.get("volume", "volume"), volume))
        else:
            volume = self.volume()
            if "set2" in self.options:
                volume[64:80] = bytes([self.value(self.options["set2"])]) * 16
            if "count2" in self.options:
                volume[16:24] = self.value(self.options["count2"]).to_bytes(8, "little")
            self.summed(volume, False)
            sections.append(Section("data", volume))
        if number == 1:
            sections += [Section(kind, body) for kind, body, at in self.extra if at is None]
        self.add_tables(sections, part)
        if is_last:
            self.add_end(sections)
        sections.append(Section("done" if is_last and self.options.get("end") != "next" else "next", b""))
        if number == 1:
            sections += [Section(kind, body) for kind, body, at in self.extra if at == "end"]
        return self.write(number, sections)

    def add_tables(self, sections, part):
        per = self.value(self.options.get("per_table", "16375"))
        for at in range(part.start, part.stop, per):
            ns = range(at, min(at + per, part.stop))
            data = Section("sectors", b"")
            data.pos = 0
            for n in ns:
                stored, bit = self.chunk(n)
                self.starts[n] = (len(data.body), bit, data)
                data.body += stored
            if self.options.get("inside") != "yes":
                sections.append(data)
            for which in ("table", "table2") if self.options.get("copy") != "no" else ("table",):
                section = Section(which, bytes(24 + 4 * len(ns) + 4))
                section.table = (ns, data, self.table_number)
                sections.append(section)
            self.table_number += 1

    def add_end(self, sections):
        if "error" in self.options:
            sections.append(Section("error2", struct.pack("<I", self.value(self.options["error"])) + bytes(520)))
        if "session" in self.options:
            sections.append(Section("session", struct.pack("<I", self.value(self.options["session"])) + bytes(32)))
        disk = b"".join(self.content(n) for n in range(self.count)) if self.size <= 64 << 20 else b""
        if self.options.get("digest") == "yes":
            digest = bytearray(hashlib.md5(disk).digest() + hashlib.sha1(disk).digest() + bytes(44))
            self.summed(digest, ("digest", 0) in self.breaks)
            sections.append(Section("digest", digest))
        if self.options.get("md5") != "no":
            body = bytearray(hashlib.md5(disk).digest() + bytes(20))
            self.summed(body, ("hash", 0) in self.breaks)
            sections.append(Section("hash", body))

    def write(self, number, sections):
        chunks = [(0, b"EVF\t\r\n\xff\0\1" + struct.pack("<HH", number, 0))]
        pos = 13
        for section in sections:
            section.pos = pos
            pos += 76 + len(section.body)
        for i, section in enumerate(sections):
            self.names.setdefault("section", {}).setdefault(i, section.pos)
            if section.table:
                ns, data, table = section.table
                base = data.pos if self.options.get("base", "section") == "section" else self.value(self.options["base"])
                if number == 1:
                    self.names.setdefault("chunk", {}).update({n: data.pos + 76 + self.starts[n][0] for n in ns})
                entries = [(data.pos + 76 + self.starts[n][0] - base) | self.starts[n][1] for n in ns]
                for n, text in self.entry_patches.items():
                    if n in ns:
                        names = {**self.names, "was": entries[n - ns.start], "packed": PACKED}
                        entries[n - ns.start] = evaluate(text, names) & 0xFFFFFFFF
                section.body = self.table(entries, base, section.kind, table)
            if number == 1 and i in self.section_patches:
                section.patches = {
                    place: self.value(value) if isinstance(value, str) else value
                    for place, value in self.section_patches[i].items()
                }
            chunks += [(section.pos, bytes(section.descriptor())), (section.pos + 76, bytes(section.body))]
        return chunks, pos

    def paint(self, disk, recipe):
        whole = -(-self.size // self.sector) * self.sector
        disk.truncate(whole)
        for n in range(self.count):
            disk.seek(n * self.cs)
            disk.write(self.content(n))
        self.paint_models(disk, whole, self.seed)

