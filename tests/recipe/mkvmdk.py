# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files of VMDK disks: descriptors and all kinds of extents. README.md beside this file describes the language."""

import io
import re
import struct
import zlib

from mkbytes import Image, RecipeError, pattern, text_bytes

SECTOR = 512
CID = "1234abcd"

# Name, position and width in the header of each kind.
FIELDS = {
    "sparse": {
        "version": (4, 4), "flags": (8, 4), "capacity": (12, 8), "grain_size": (20, 8),
        "descriptor_offset": (28, 8), "descriptor_size": (36, 8), "gtes": (44, 4), "rgd_offset": (48, 8),
        "gd_offset": (56, 8), "overhead": (64, 8), "unclean": (72, 1), "newlines": (73, 4), "compression": (77, 2),
    },
    "cowd": {
        "version": (4, 4), "flags": (8, 4), "capacity": (12, 4), "grain_size": (16, 4), "gd_offset": (20, 4),
        "gd_count": (24, 4), "next_free": (28, 4),
    },
    "sesparse": {
        "magic": (0, 8), "version": (8, 8), "capacity": (16, 8), "grain_size": (24, 8), "table_size": (32, 8),
        "flags": (40, 8), "reserved": (48, 8), "volatile_offset": (80, 8), "volatile_size": (88, 8),
        "journal_header_size": (104, 8), "journal_size": (120, 8), "gd_offset": (128, 8), "gd_size": (136, 8),
        "tables_offset": (144, 8), "grains_offset": (192, 8), "pad": (208, 8),
    },
}
FIELDS["stream"] = FIELDS["sparse"]


def up(x, unit):
    return -(-x // unit) * unit


def put(buffer, fields, **values):
    for name, value in values.items():
        pos, width = fields[name]
        buffer[pos : pos + width] = (value & (1 << width * 8) - 1).to_bytes(width, "little")


class File(Image):
    """kind=sparse, stream, cowd, sesparse or text"""

    def __init__(self, options, seed):
        self.form = options.get("kind", "sparse")
        if self.form not in (*FIELDS, "text"):
            raise RecipeError(f"a vmdk is of no kind '{self.form}'")
        usual = {"cowd": "1", "sesparse": "8"}.get(self.form, "128")
        super().__init__(options, seed)
        self.grain = self.value(options.get("grain", usual))
        self.cs = self.grain * SECTOR
        self.names["cs"] = self.cs
        self.size = self.value(options.get("size", "4*cs"))
        self.gtes = self.value(options.get("gtes", {"cowd": "4096", "sesparse": "4096"}.get(self.form, "512")))
        self.entry = 8 if self.form == "sesparse" else 4
        self.grains, self.lines, self.extents = {}, [], []
        self.fields = {}

    # The language.

    def map(self, kind, first, last, value, options):
        if kind != "grain":
            return super().map(kind, first, last, value, options)
        if value not in ("data", "zero", "unmapped", "none"):
            raise RecipeError(f"a grain is not '{value}'")
        for n in range(first, last + 1):
            self.grains[n] = (value, options)
        return None

    def say_line(self, options, *words):
        """line TEXT: as it is, where the extents stand; in quotes, so that it is one word"""
        self.lines.append(" ".join([*words, *(f"{key}={value}" for key, value in options.items())]))

    def say_extent(self, options, *words):
        """extent ACCESS SECTORS TYPE [NAME [POS]] called=NAME line=TEXT: as the descriptor has them"""
        access, sectors, kind = words[:3]
        name = words[3] if len(words) > 3 else None
        pos = self.value(words[4]) if len(words) > 4 else None
        count = self.value(sectors)
        self.extents.append((access, count, kind, name, pos))
        line = f"{access} {count} {kind}"
        line += f' "{options.get("called", name)}"' if name is not None else ""
        self.lines.append(options.get("line", line + (f" {pos}" if pos is not None else "")))

    def field(self, what):
        match = re.fullmatch(r"(\w+)\[(.+)\]", what)
        if match and match[1] in self.fields:
            pos, width = self.fields[match[1]]
            return pos(self.value(match[2])), width, "little"
        match = re.fullmatch(r"(header|footer)\.(\w+)", what)
        if match and match[2] in FIELDS[self.form]:
            pos, width = FIELDS[self.form][match[2]]
            return pos + (self.names["footer"] if match[1] == "footer" else 0), width, "little"
        return None

    # The descriptor.

    def descriptor(self):
        options, newline = self.options, {"lf": "\n", "crlf": "\r\n", "cr": "\r"}[self.options.get("newline", "lf")]
        usual = {"sparse": "monolithicSparse", "stream": "streamOptimized", "text": "monolithicFlat"}
        lines = [options.get("head", "# Disk DescriptorFile"), "version=" + options.get("version_key", "1")]
        for key, value in (
            ("CID", options.get("cid", CID)),
            ("parentCID", options.get("parent_cid", CID if self.below() else "ffffffff")),
            ("createType", f'"{options.get("type", usual.get(self.form, ""))}"'),
            ("parentFileNameHint", f'"{options.get("parent_hint", self.below())}"' if self.below() else ""),
        ):
            if value not in ("", "no", '"no"'):
                lines.append(f"{key}={value}")
        lines += ["", "# Extent description"] + self.lines
        if self.form != "text" and not self.lines and options.get("own_line") != "no":
            kind = "RW {} SPARSE \"{}\"".format(-(-self.size // SECTOR), options.get("name", "disk"))
            lines.append(options.get("own_line", kind))
        lines += ["", "# The Disk Data Base", "#DDB", "", 'ddb.virtualHWVersion = "4"', 'ddb.adapterType = "ide"', ""]
        return newline.join(lines).encode("utf-8", "surrogateescape")

    # Extents.

    def content(self, n, options):
        length = self.cs
        if "fill" in options:
            return bytes([self.value(options["fill"])]) * length
        seed = self.value(options["seed"]) if "seed" in options else self.seed
        return pattern(seed, n * self.cs, length)

    def packed(self, n, content, options):
        """A compressed grain with its marker."""
        if "unpacked" in options:
            content = content[: self.value(options["unpacked"])].ljust(self.value(options["unpacked"]), b"x")
        stream = zlib.compress(content, int(options.get("level", "6")))
        if "stream" in options:
            stream = text_bytes(options["stream"])
        if "cut" in options:
            stream = stream[: -self.value(options["cut"])]
        lba = self.value(options.get("lba", str(n * self.grain)))
        length = self.value(options.get("length", str(len(stream))))
        grain = struct.pack("<QI", lba, length) + stream
        return grain.ljust(up(len(grain), SECTOR), b"\0")

    @staticmethod
    def marker(value, kind):
        return struct.pack("<QII", value, 0, kind).ljust(SECTOR, b"\0")

    def tables(self):
        """Numbers of the tables that there are."""
        count = -(-self.size // (self.cs * self.gtes))
        if self.options.get("tables") == "needed":
            return [i for i in range(count) if any(n // self.gtes == i for n in self.grains)], count
        return list(range(count)), count

    def directory(self, chunks, at, tables, count, entries):
        """A directory at sector `at` and its tables behind it: the next free sector."""
        sectors = up(count * 4, SECTOR) // SECTOR
        each = up(self.gtes * 4, SECTOR) // SECTOR
        directory = [0] * count
        for k, i in enumerate(tables):
            directory[i] = at + sectors + k * each
            words = [entries.get(i * self.gtes + j, 0) for j in range(self.gtes)]
            if any(words):
                chunks.append((directory[i] * SECTOR, struct.pack(f"<{self.gtes}I", *words)))
        chunks.append((at * SECTOR, struct.pack(f"<{count}I", *directory)))
        return at + sectors + len(tables) * each, directory

    def name_tables(self, key, at, directory):
        """`set gd[I]=`, `gt[N]=`, and with r in front those of the redundant ones."""
        self.fields[key + "d"] = (lambda i: at * SECTOR + i * self.entry, self.entry)
        self.fields[key + "t"] = (
            lambda n: directory[n // self.gtes] * SECTOR + n % self.gtes * self.entry,
            self.entry,
        )
        self.names[key + "d"] = at * SECTOR
        self.names[key + "t"] = {i: sector * SECTOR for i, sector in enumerate(directory)}

    def place_grains(self, chunks, at):
        """The grains from sector `at` on: what the tables say, and the next free sector."""
        entries, places = {}, {}
        for n in sorted(self.grains):
            kind, options = self.grains[n]
            if kind == "zero":
                entries[n] = 1
            elif kind == "data":
                content = self.content(n, options)
                if self.form == "stream":
                    content = self.packed(n, content, options)
                sector = self.value(options["at"]) if "at" in options else at
                entries[n], places[n] = sector, sector
                chunks.append((sector * SECTOR, content))
                at = max(at, sector + len(content) // SECTOR)
        self.names["place"] = places
        return entries, at

    def build_sparse(self):
        options, chunks = self.options, []
        tables, count = self.tables()
        text = self.descriptor() if options.get("descriptor") != "no" else b""
        text_sectors = self.value(options.get("descriptor_sectors", "20"))
        redundant = options.get("redundant") != "no"
        zero_grains = options.get("zero_grains") == "yes"
        each, first = up(self.gtes * 4, SECTOR) // SECTOR, 1 + text_sectors
        whole = up(count * 4, SECTOR) // SECTOR + len(tables) * each
        overhead = up(first + whole * (1 + redundant), self.grain)
        entries, end = self.place_grains(chunks, overhead)
        at = first
        if redundant:
            at, directory = self.directory(chunks, first, tables, count, entries)
            self.name_tables("rg", first, directory)
        gd = at
        _, directory = self.directory(chunks, gd, tables, count, entries)
        self.name_tables("g", gd, directory)
        header = bytearray(SECTOR)
        header[:4] = b"KDMV"
        put(header, FIELDS["sparse"], version=2 if zero_grains else 1,
            flags=1 | 2 * redundant | 4 * zero_grains, capacity=-(-self.size // SECTOR), grain_size=self.grain,
            descriptor_offset=1 if text else 0, descriptor_size=text_sectors if text else 0, gtes=self.gtes,
            rgd_offset=first if redundant else 0, gd_offset=gd, overhead=overhead,
            newlines=int.from_bytes(b"\n \r\n", "little"))
        chunks += [(SECTOR, text[: text_sectors * SECTOR]), (0, bytes(header))]
        return self.finish(chunks, end * SECTOR)

    def build_stream(self):
        chunks, text = [], self.descriptor()
        footer = self.options.get("footer", "yes") == "yes"
        _, count = self.tables()
        entries, at = self.place_grains(chunks, 128)
        tables = sorted({n // self.gtes for n in entries})
        directory = [0] * count
        for i in tables:
            chunks.append((at * SECTOR, self.marker(up(self.gtes * 4, SECTOR) // SECTOR, 1)))
            directory[i] = at + 1
            words = [entries.get(i * self.gtes + j, 0) for j in range(self.gtes)]
            chunks.append((directory[i] * SECTOR, struct.pack(f"<{self.gtes}I", *words)))
            at = directory[i] + up(self.gtes * 4, SECTOR) // SECTOR
        sectors = up(count * 4, SECTOR) // SECTOR
        chunks.append((at * SECTOR, self.marker(sectors, 2)))
        gd = at + 1
        chunks.append((gd * SECTOR, struct.pack(f"<{count}I", *directory)))
        self.name_tables("g", gd, directory)
        at = gd + sectors
        header = bytearray(SECTOR)
        header[:4] = b"KDMV"
        put(header, FIELDS["stream"], version=3, flags=0x30001, capacity=-(-self.size // SECTOR), compression=1,
            grain_size=self.grain, descriptor_offset=1, descriptor_size=20, gtes=self.gtes, gd_offset=gd, overhead=128,
            newlines=int.from_bytes(b"\n \r\n", "little"))
        if footer:
            self.names["footer"] = (at + 1) * SECTOR
            chunks += [(at * SECTOR, self.marker(1, 3)), ((at + 1) * SECTOR, bytes(header))]
            put(header, FIELDS["stream"], gd_offset=-1)
            at += 2
        chunks += [(at * SECTOR, self.marker(0, 0)), (SECTOR, text), (0, bytes(header))]
        return self.finish(chunks, (at + 1) * SECTOR + self.value(self.options.get("padding", "0")))

    def build_cowd(self):
        chunks = []
        count = -(-self.size // (self.cs * self.gtes))
        tables = sorted({n // self.gtes for n in self.grains})
        first = 4 + up(count * 4, SECTOR) // SECTOR
        entries, end = self.place_grains(chunks, first + len(tables) * 32)
        directory = [0] * count
        for k, i in enumerate(tables):
            directory[i] = first + k * 32
            words = [entries.get(i * self.gtes + j, 0) for j in range(self.gtes)]
            chunks.append((directory[i] * SECTOR, struct.pack(f"<{self.gtes}I", *words)))
        chunks.append((4 * SECTOR, struct.pack(f"<{count}I", *directory)))
        self.name_tables("g", 4, directory)
        header = bytearray(4 * SECTOR)
        header[:4] = b"COWD"
        put(header, FIELDS["cowd"], version=1, flags=3, capacity=-(-self.size // SECTOR), grain_size=self.grain,
            gd_offset=4, gd_count=count, next_free=end)
        parent = self.options.get("parent", "").encode()
        header[32 : 32 + len(parent)] = parent
        return self.finish(chunks + [(0, bytes(header))], end * SECTOR)

    def build_sesparse(self):
        chunks = []
        count = -(-self.size // (self.cs * self.gtes))
        tables = sorted({n // self.gtes for n in self.grains})
        volatile, journal_header, journal, gd = 1, 2, 4, 4 + 2048
        gd_sectors = up(count * 8, SECTOR) // SECTOR
        gts = gd + gd_sectors
        grains = up(gts + len(tables) * 64, 8)
        places, used = {}, 0
        entries = {}
        for n in sorted(self.grains):
            kind, options = self.grains[n]
            if kind == "data":
                index = self.value(options["at"]) if "at" in options else used
                used = max(used, index + 1)
                places[n] = grains + index * 8
                entries[n] = 3 << 60 | (index & 0xFFF) << 48 | index >> 12
                chunks.append((places[n] * SECTOR, self.content(n, options)))
            else:
                entries[n] = {"none": 0, "unmapped": 1 << 60, "zero": 2 << 60}[kind]
        directory = [0] * count
        for k, i in enumerate(tables):
            directory[i] = 1 << 60 | k
            words = [entries.get(i * self.gtes + j, 0) for j in range(self.gtes)]
            chunks.append(((gts + k * 64) * SECTOR, struct.pack(f"<{self.gtes}Q", *words)))
        chunks.append((gd * SECTOR, struct.pack(f"<{count}Q", *directory)))
        self.name_tables("g", gd, [gts + tables.index(i) * 64 if i in tables else 0 for i in range(count)])
        self.names["place"] = places
        self.names["volatile"] = volatile * SECTOR
        words = [0xCAFEBABE, 0x200000001, -(-self.size // SECTOR), self.grain, 64, 0, 0, 0, 0, 0, volatile, 1,
                 journal_header, 2, journal, 2048, gd, gd_sectors, gts, len(tables) * 64, 0, 0, 0, 0, grains, used * 8]
        chunks.append((0, struct.pack("<26Q", *words)))
        chunks.append((volatile * SECTOR, struct.pack("<4Q", 0xCAFECAFE, len(tables), 1, 0)))
        return self.finish(chunks, (grains + used * 8) * SECTOR)

    def build_text(self):
        text = self.descriptor()
        if "pad" in self.options:
            text = text.ljust(self.value(self.options["pad"]), b"\0")
        return self.finish([(0, text)], len(text))

    def build(self):
        return getattr(self, "build_" + self.form)()

    # What the guest sees.

    def paint_extent(self, disk, start, size):
        """Draws the grains from byte `start` of the disk on, `size` bytes at most."""
        for n, (kind, options) in self.grains.items():
            length = min(self.cs, size - n * self.cs)
            if length <= 0 or kind == "none":
                continue
            content = self.content(n, options) if kind == "data" else bytes(length)
            if "unpacked" in options:
                content = content[: self.value(options["unpacked"])].ljust(self.cs, b"\0")
            disk.seek(start + n * self.cs)
            disk.write(content[:length])

    def paint(self, disk, recipe):
        if self.form != "text":
            size = up(self.size, SECTOR)
            disk.truncate(size)
            self.paint_extent(disk, 0, size)
        else:
            size = sum(count for _, count, *_ in self.extents) * SECTOR
            disk.truncate(size)
            at = 0
            for _, count, kind, name, pos in self.extents:
                self.paint_one(disk, recipe, at, count * SECTOR, (kind.upper(), name, pos))
                at += count * SECTOR
        self.paint_models(disk, size, self.seed)

    @staticmethod
    def paint_one(disk, recipe, at, length, extent):
        kind, name, pos = extent
        if kind in ("SPARSE", "VMFSSPARSE", "SESPARSE") and name in recipe.files:
            recipe.files[name].paint_extent(disk, at, length)
        elif kind in ("FLAT", "VMFS") and name in recipe.files:
            raw = io.BytesIO()
            recipe.files[name].paint(raw, recipe)
            disk.seek(at)
            disk.write(raw.getvalue()[(pos or 0) * SECTOR :][:length].ljust(length, b"\0"))
        elif kind == "ZERO":
            disk.seek(at)
            disk.write(bytes(length))
