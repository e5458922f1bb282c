# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a Parallels image, from what a recipe says.

    parallels KEY=VALUE…  magic=ext|old tracks=2048 size=4*cs entries= (as size needs) data_off= (sectors; behind the BAT)
                          in_use=0x312e3276 flags=0
    bat[N]=KIND           data[@K] (cluster K behind the data offset, or the next free one), fill=BYTE;
                          sector@S (with the old magic: from sector S of the file on); none
    extension             a format extension in the cluster behind all others
    feature MAGIC flags=0 data=hex:…             in it
    bitmap granularity=128 flags=0 l1=0,1,…      in it: a dirty bitmap of the disk
    set header.FIELD= bat[N]= ext.FIELD=         fields of the extension are magic, md5, and u8@… from names ext, features
    names                 data, ext, place[K], cs, ts (sectors of a cluster)
"""

import hashlib
import struct

from mkbytes import UNSEEN, Image, RecipeError, evaluate, pattern, text_bytes

MAGIC = {"ext": b"WithouFreSpacExt", "old": b"WithoutFreeSpace"}
EXTENSION, BITMAP = 0xAB234CEF23DCEA87, 0x20385FAE252CB34A
HEADER = {  # field: (offset, bytes)
    "version": (16, 4), "tracks": (28, 4), "bat_entries": (32, 4), "nb_sectors": (36, 8), "in_use": (44, 4),
    "data_off": (48, 4), "flags": (52, 4), "ext_off": (56, 8),
}  # fmt: skip


class File(Image):
    def __init__(self, options, seed):
        tracks = evaluate(options.get("tracks", "2048"), {})
        super().__init__(options, seed, cs=tracks * 512, size="4*cs")
        self.tracks, self.old = tracks, options.get("magic") == "old"
        self.names["ts"] = tracks
        self.count = self.number("entries", -(-self.size // max(self.cs, 1)))
        least = -(-(64 + 4 * self.count) // 512)
        if not self.old:
            least = -(-least // tracks) * tracks
        self.least = least
        self.data_off = self.number("data_off", least)
        self.data = self.data_off or least
        self.names["data"] = self.data * 512
        self.entries, self.features, self.has_extension = {}, [], False

    def number(self, key, default):
        return self.value(self.options[key]) if key in self.options else default

    def map(self, kind, first, last, value, options):
        if kind != "bat":
            super().map(kind, first, last, value, options)
        value, _, place = value.partition("@")
        if value not in ("data", "sector", "none"):
            raise RecipeError(f"'{value}' is no kind of cluster")
        for n in range(first, last + 1):
            self.entries[n] = [value, self.value(place) + n - first if place else None, options]

    def say_extension(self, options):
        self.has_extension = True

    def say_feature(self, options, magic):
        flags = self.value(options.get("flags", "0"))
        self.features.append((self.value(magic), flags, text_bytes(options.get("data", ""))))

    def say_bitmap(self, options):
        granularity = self.value(options.get("granularity", "128"))
        bits = -(-self.size // 512 // granularity)
        count = -(-(-(-bits // 8)) // self.cs)
        table = [self.value(n) for n in options["l1"].split(",")] if "l1" in options else [0] * count
        content = struct.pack("<Q16sII", self.size // 512, bytes(range(16)), granularity, len(table))
        content += struct.pack(f"<{len(table)}Q", *table)
        self.features.append((BITMAP, self.value(options.get("flags", "0")), content))

    def content(self, n, options):
        if "fill" in options:
            return bytes([self.value(options["fill"])]) * self.cs
        return pattern(self.seed, n * self.cs, self.cs)

    def build(self):
        taken = {place for kind, place, _ in self.entries.values() if kind == "data" and place is not None}
        table, chunks, self.names["place"], end = [0] * self.count, [], {}, self.data
        # What lies between the BAT and the data is nobody's.
        room = self.data * 512 - 64 - 4 * self.count
        if 0 < room < 1 << 20:
            chunks.append((64 + 4 * self.count, bytes([UNSEEN]) * room))
        for n, (kind, place, options) in sorted(self.entries.items()):
            if kind == "none":
                continue
            if kind == "data":
                if place is None:
                    place = next(k for k in range(len(self.entries)) if k not in taken)
                    taken.add(place)
                sector = self.data + place * self.tracks
                self.names["place"][place] = sector * 512
            else:
                sector = place
            chunks.append((sector * 512, self.content(n, options)))
            end = max(end, sector + self.tracks)
            table[n] = sector if self.old else sector // self.tracks
        chunks.append((64, struct.pack(f"<{self.count}I", *table)))
        extension = 0
        if self.has_extension:
            extension = end = -(-end // self.tracks) * self.tracks
            chunks.append((extension * 512, self.extension()))
            self.names.update(ext=extension * 512, features=extension * 512 + 24)
            end += self.tracks
        chunks.append((0, self.header(extension)))
        if self.has_extension and any(what.startswith("ext.") or "features" in what for what, _ in self.sets):
            return self.finish_extension(chunks, end * 512)
        return self.finish(chunks, end * 512)

    def finish_extension(self, chunks, end):
        """Fields of features are set before the checksum is made, all else after it."""
        inside = [s for s in self.sets if "features" in s[0]]
        self.sets = [s for s in self.sets if "features" not in s[0]]
        cluster = bytearray(self.extension())
        for what, text in inside:
            pos, width, order = self.target(what)
            raw = (self.value(text) & (1 << width * 8) - 1).to_bytes(width, order) if width else text_bytes(text)
            at = pos - self.names["ext"]
            cluster[at : at + len(raw)] = raw
        cluster[8:24] = hashlib.md5(bytes(cluster[24:])).digest()
        chunks.append((self.names["ext"], bytes(cluster)))
        return self.finish(chunks, end)

    def extension(self):
        rest = b""
        for magic, flags, content in self.features:
            rest += struct.pack("<QQII", magic, flags, len(content), 0) + content
            rest += bytes(-len(rest) % 8)
        rest = rest.ljust(self.cs - 24, b"\0")
        return struct.pack("<Q", EXTENSION) + hashlib.md5(rest).digest() + rest

    def header(self, extension):
        return MAGIC["old" if self.old else "ext"] + struct.pack(
            "<5IQIIIQ", 2, 16, 32, self.tracks, self.count, -(-self.size // 512),
            self.number("in_use", 0x312E3276), self.data_off, self.number("flags", 0), extension,
        )  # fmt: skip

    def field(self, what):
        if what.startswith("header.") and what[7:] in HEADER:
            pos, width = HEADER[what[7:]]
            return pos, width, "little"
        if what.startswith("bat["):
            return 64 + 4 * self.value(what[4:-1]), 4, "little"
        if what in ("ext.magic", "ext.md5"):
            return self.names["ext"] + (8 if what == "ext.md5" else 0), 8, "little"
        return None

    def paint(self, disk, recipe):
        size = -(-self.size // 512) * 512
        disk.truncate(size)
        for n, (kind, _, options) in self.entries.items():
            if kind != "none" and n * self.cs < size:
                disk.seek(n * self.cs)
                disk.write(self.content(n, options)[: size - n * self.cs])
        self.paint_models(disk, size, self.seed)
