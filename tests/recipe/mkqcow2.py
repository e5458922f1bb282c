# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a qcow2 file, from what a recipe says."""

import itertools
import re
import struct

import aes
import mkluks
from mkbytes import (
    UNSEEN, Image, RecipeError, deflate, evaluate, pack_counts, pattern, stripes, text_bytes, zstd,
)  # fmt: skip

COPIED = 1 << 63
CODED = 1 << 62
MASK64 = (1 << 64) - 1

HEADER = {  # field: (offset, bytes)
    "magic": (0, 4), "version": (4, 4), "backing_file_offset": (8, 8), "backing_file_size": (16, 4),
    "cluster_bits": (20, 4), "size": (24, 8), "crypt_method": (32, 4), "l1_size": (36, 4),
    "l1_table_offset": (40, 8), "refcount_table_offset": (48, 8), "refcount_table_clusters": (56, 4),
    "nb_snapshots": (60, 4), "snapshots_offset": (64, 8), "incompatible_features": (72, 8),
    "compatible_features": (80, 8), "autoclear_features": (88, 8), "refcount_order": (96, 4),
    "header_length": (100, 4), "compression_type": (104, 1),
}  # fmt: skip
SNAPSHOT = {
    "l1_table_offset": (0, 8), "l1_size": (8, 4), "id_size": (12, 2), "name_size": (14, 2), "date": (16, 4),
    "date_nsec": (20, 4), "clock": (24, 8), "vm_state_size": (32, 4), "extra_size": (36, 4),
    "extra_vm_state_size": (40, 8), "extra_disk_size": (48, 8), "extra_icount": (56, 8),
}  # fmt: skip
KINDS = {"incompatible": 0, "compatible": 1, "autoclear": 2}
FEATURES = [
    (0, 0, "dirty bit"), (0, 1, "corrupt bit"), (0, 2, "external data file"), (0, 3, "compression type"),
    (0, 4, "extended L2 entries"), (1, 0, "lazy refcounts"), (2, 0, "bitmaps"), (2, 1, "raw external data"),
]  # fmt: skip


def number(text):
    return evaluate(text, {})


class Entry:
    """What one guest cluster is: kind, place, contents."""

    def __init__(self, kind, place, options):
        self.kind, self.place, self.options = kind, place, options
        self.host = None  # cluster index; of coded ones the byte position
        self.sub = self.expand(options["sub"]) if "sub" in options else None
        self.content = b""
        self.stream = b""
        self.sectors = 0

    @staticmethod
    def expand(text):
        letters = "".join(
            m[2] * int(m[1] or 1) for m in re.finditer(r"(\d*)([DZX-])", text.replace("+", " "))
        )
        if len(letters) != 32:
            raise RecipeError(f"sub={text} makes {len(letters)} subclusters, not 32")
        return letters

    @property
    def coded(self):
        return self.kind in ("deflate", "zstd")

    @property
    def allocated(self):
        return self.kind == "data" or self.coded or self.place is not None

    def bitmap(self):
        letters = self.sub or {"data": "D", "zero": "Z"}.get(self.kind, "-") * 32
        return sum(
            (c in "DX") << i | (c in "ZX") << 32 + i for i, c in enumerate(letters)
        )


class Mapping:
    """One L1 table and its guest clusters: the active disk, or a snapshot."""

    def __init__(self, seed, size, options):
        self.seed, self.size, self.options = seed, size, options
        self.entries = {}
        self.l1 = 0
        self.tables = {}
        self.count = 0


class File(Image):
    def __init__(self, options, seed):
        self.version = number(options.get("version", "3"))
        self.cluster_bits = number(options.get("cluster_bits", "16"))
        super().__init__(options, seed, 1 << self.cluster_bits, "4*cs")
        self.names |= {"COPIED": COPIED, "CODED": CODED}
        self.order = number(options.get("refcount_order", "4"))
        self.extended = options.get("extended") == "yes"
        self.zstd = options.get("zstd") == "yes"
        self.active = Mapping(self.seed, self.size, {"l1_entries": options.get("l1_entries", "0")})
        self.current = self.active
        self.snapshots, self.bitmaps, self.extensions, self.features = [], [], [], []
        self.data_file = [] if "data_file" in options else None
        self.crypt = options.get("crypt")  # aes, luks
        self.secret = self.crypt is not None
        self.luks = None
        if self.crypt == "luks":
            self.luks = mkluks.Luks1({0: ("rawview", 10)}, options.get("mode", "xts-plain64"))

    # What statements say.

    def map(self, kind, first, last, value, options):
        if kind != "l2":
            super().map(kind, first, last, value, options)
        kind, _, place = value.partition("@")
        if kind not in ("data", "zero", "deflate", "zstd", "none", "shared"):
            raise RecipeError(f"'{kind}' is no kind of cluster")
        for n in range(first, last + 1):
            if kind == "shared":
                self.current.entries[n] = self.active.entries[n]
                continue
            entry = Entry(kind, self.value(place) if place else None, options)
            self.fill(entry, n)
            self.current.entries[n] = entry

    def fill(self, entry, n):
        options, length = entry.options, self.cs
        seed = self.value(options["seed"]) if "seed" in options else self.current.seed
        if "unpacked" in options:
            length = self.value(options["unpacked"])
        if "fill" in options:
            entry.content = bytes([self.value(options["fill"])]) * length
        else:
            entry.content = (stripes if entry.kind == "zstd" else pattern)(seed, n * self.cs, length)
        if entry.kind == "deflate":
            level, window = int(options.get("level", "6")), int(options.get("window", "12"))
            entry.stream = deflate(entry.content, level, window, options.get("finished") != "no")
        elif entry.kind == "zstd":
            sized = options.get("sized") != "no"
            frames = int(options.get("frames", "1"))
            entry.stream = zstd(entry.content, frames, sized, options.get("skippable") == "yes")
        if "stream" in options:
            entry.stream = text_bytes(options["stream"])
        if "cut" in options:
            entry.stream = entry.stream[: -self.value(options["cut"])]
        entry.content = entry.content[: self.cs]

    def say_snapshot(self, options):
        size = self.value(options["size"]) if "size" in options else self.size
        self.current = Mapping(self.seed + len(self.snapshots) + 1, size, options)
        self.snapshots.append(self.current)

    def say_active(self, _options):
        self.current = self.active

    def say_bitmap(self, options):
        self.bitmaps.append(options)

    def say_feature(self, _options, kind, bit, name):
        self.features.append((KINDS[kind], int(bit), text_bytes(name)))

    def say_features(self, _options):
        self.features += [(kind, bit, name.encode()) for kind, bit, name in FEATURES]

    def say_extension(self, options, kind, text):
        length = self.value(options["length"]) if "length" in options else None
        self.extensions.append((int(kind, 0), text_bytes(text), length))

    # Places.

    def take(self, first, count=1):
        for k in range(first, first + count):
            self.used[k] = self.used.get(k, 0) + 1
        return first

    def find(self, count=1):
        k = self.next
        while any(k + i in self.used or k + i in self.claimed for i in range(count)):
            k += 1
        self.next = k + count
        return k

    def alloc(self, count=1):
        return self.take(self.find(count), count)

    @property
    def l2_n(self):
        return self.cs // (16 if self.extended else 8)

    def build(self):
        """All clusters in their places. How large the refcount structure must be shows at the end: then again."""
        tables, blocks = 1, 1
        per_block = self.cs * 8 >> self.order
        while True:
            self.lay_out(tables, blocks)
            needed = {k // per_block for k in self.used}
            spare = itertools.filterfalse(needed.__contains__, itertools.count())
            needed |= set(itertools.islice(spare, max(blocks - len(needed), 0)))
            enough = -(-(max(needed) + 1) * 8 // self.cs)
            if len(needed) == blocks and enough <= tables:
                break
            blocks, tables = len(needed), max(tables, enough)
        self.write_refcounts(sorted(needed), per_block)
        self.write_header(tables)
        used_end = (max(self.used) + 1) * self.cs
        return self.settle(used_end)

    def lay_out(self, tables, blocks):
        self.used, self.next, self.chunks, self.coded_end = {}, 0, [], None
        mappings = [self.active] + self.snapshots
        self.claimed = set()
        for entry in (e for m in mappings for e in m.entries.values() if e.place is not None):
            if entry.coded:
                self.claimed |= {entry.place // self.cs, (entry.place + len(entry.stream)) // self.cs}
            elif self.data_file is None:
                self.claimed.add(entry.place)
        for key, count in (("l1_at", 1), ("reftable_at", tables)):
            if key in self.options:
                self.claimed |= {self.value(self.options[key]) + i for i in range(count)}
        self.alloc()
        self.reftable = self.place("reftable_at", tables)
        self.blocks = [self.alloc() for _ in range(blocks)]
        self.placed = set()
        if self.luks:
            self.place_luks()
        for m in mappings:
            self.lay_out_mapping(m)
        for m in mappings:
            self.write_mapping(m)
        self.write_snapshots()
        self.write_bitmaps()

    def place(self, key, count):
        if key in self.options:
            return self.take(self.value(self.options[key]), count)
        return self.alloc(count)

    def lay_out_mapping(self, m):
        m.count = max(
            [-(-m.size // (self.cs * self.l2_n)), self.value(m.options.get("l1_entries", "0"))]
            + [n // self.l2_n + 1 for n in m.entries]
        )
        clusters = -(-m.count * 8 // self.cs)
        if m.count == 0:
            m.l1 = 0
        elif m is self.active:
            m.l1 = self.place("l1_at", clusters)
        else:
            m.l1 = self.alloc(clusters)
        m.tables = {i1: self.alloc() for i1 in sorted({n // self.l2_n for n in m.entries})}
        for n, entry in sorted(m.entries.items()):
            self.lay_out_entry(n, entry)

    def lay_out_entry(self, n, entry):
        again = id(entry) in self.placed
        self.placed.add(id(entry))
        if entry.coded:
            self.lay_out_coded(entry, again)
        elif entry.allocated and self.data_file is not None:
            entry.host = n if entry.place is None else entry.place
            if entry.kind == "data":
                self.data_file.append((n * self.cs, self.encrypted(n * self.cs, n * self.cs, entry.content)))
        elif again:
            if entry.host is not None:
                self.take(entry.host)
        elif entry.allocated:
            entry.host = self.take(entry.place) if entry.place is not None else self.alloc()
            content = self.encrypted(n * self.cs, entry.host * self.cs, self.cluster_bytes(entry))
            self.chunks.append((entry.host * self.cs, content))

    def encrypted(self, off, pos, content):
        if self.crypt == "aes":
            return aes.sectors("cbc-plain64", b"rawview".ljust(16, b"\0"), off // 512, content)
        if self.luks:
            return aes.sectors(self.luks.mode, self.luks.key, pos // 512, content)
        return content

    def place_luks(self):
        length = self.luks.payload
        self.crypto = self.alloc(-(-length // self.cs)) * self.cs, length
        self.chunks += [(self.crypto[0] + pos, content) for pos, content in self.luks.chunks(length)]

    def cluster_bytes(self, entry):
        letters = entry.sub or ("D" if entry.kind == "data" else "Z") * 32
        step = self.cs // 32
        return b"".join(
            entry.content[i * step : i * step + step] if c == "D" else bytes([UNSEEN]) * step
            for i, c in enumerate(letters)
        )

    def lay_out_coded(self, entry, again):
        length = max(len(entry.stream), 1)
        if not again:
            entry.host = entry.place if entry.place is not None else self.coded_place(length)
            self.coded_end = entry.host + length
            self.chunks.append((entry.host, entry.stream))
            entry.sectors = (entry.host + length - 1) // 512 - entry.host // 512
        if "sectors" in entry.options:
            entry.sectors = self.value(entry.options["sectors"])
        first = entry.host // 512 * 512
        last = first + (entry.sectors + 1) * 512 - 1
        if entry.host < 1 << 50:
            for k in range(first // self.cs, last // self.cs + 1):
                self.take(k)

    def coded_place(self, length):
        """After the stream before, in the same cluster or the next ones where these are free; else a new place."""
        if self.coded_end is not None and self.coded_end % self.cs:
            k, last = self.coded_end // self.cs, (self.coded_end + length - 1) // self.cs
            if all(i not in self.used and i not in self.claimed for i in range(k + 1, last + 1)):
                return self.coded_end
        return self.find(-(-length // self.cs)) * self.cs

    # Bytes.

    def write_mapping(self, m):
        active = m is self.active
        for n, entry in m.entries.items():
            word = self.entry_word(entry, active)
            pos = m.tables[n // self.l2_n] * self.cs + n % self.l2_n * (16 if self.extended else 8)
            entry_bytes = struct.pack(">Q", word & MASK64)
            if self.extended:
                entry_bytes += struct.pack(">Q", entry.bitmap())
            self.chunks.append((pos, entry_bytes))
        for i1, table in m.tables.items():
            copied = COPIED if active and self.used[table] == 1 else 0
            self.chunks.append((m.l1 * self.cs + i1 * 8, struct.pack(">Q", copied | table * self.cs)))

    def entry_word(self, entry, active):
        if entry.coded:
            return CODED | entry.sectors << 62 - (self.cluster_bits - 8) | entry.host
        word = int(entry.kind == "zero" and not self.extended)
        if entry.host is not None:
            copied = active and (self.data_file is not None or self.used[entry.host] == 1)
            word |= entry.host * self.cs | (COPIED if copied else 0)
        return word

    def write_snapshots(self):
        table, self.snapshot_at = b"", []
        for m in self.snapshots:
            get = m.options.get
            ident, name = text_bytes(get("id", "1")), text_bytes(get("name", "one"))
            extra_len = int(get("extra", "24"))
            state = self.value(get("vm_state", "0"))
            extra = (struct.pack(">QQQ", state, m.size, MASK64) + bytes(1024))[:extra_len]
            self.snapshot_at.append(len(table))
            table += struct.pack(
                ">QIHHIIQII", m.l1 * self.cs, m.count, len(ident), len(name), 1700000000, 5000000,
                3723000000000, state & 0xFFFFFFFF, extra_len,
            )  # fmt: skip
            table += extra + ident + name
            table += bytes(-len(table) % 8)
        self.snapshot_table = self.alloc(-(-len(table) // self.cs)) * self.cs if table else 0
        self.chunks.append((self.snapshot_table, table))

    def write_bitmaps(self):
        directory = b""
        for options in self.bitmaps:
            granularity = int(options.get("granularity", "16"))
            bits = -(-self.size // (1 << granularity))
            count = max(1, -(-(-(-bits // 8)) // self.cs))
            table = self.alloc(-(-count * 8 // self.cs))
            flags = (options.get("in_use") == "yes") | (options.get("auto") == "yes") << 1
            name = text_bytes(options["name"])
            directory += struct.pack(">QIIBBHI", table * self.cs, count, flags, 1, granularity, len(name), 0)
            directory += name
            directory += bytes(-len(directory) % 8)
        self.bitmap_extension = None
        if directory:
            pos = self.alloc(-(-len(directory) // self.cs)) * self.cs
            self.chunks.append((pos, directory))
            self.bitmap_extension = struct.pack(">IIQQ", len(self.bitmaps), 0, len(directory), pos)

    def write_refcounts(self, indices, per_block):
        most = (1 << (1 << self.order)) - 1
        self.names["refblock"] = {}
        for block, index in zip(self.blocks, indices):
            counts = [self.used.get(index * per_block + i, 0) for i in range(per_block)]
            if max(counts) > most:
                raise RecipeError(f"refcount {max(counts)} does not fit refcount_order {self.order}")
            self.chunks.append((block * self.cs, pack_counts(counts, self.order)))
            self.chunks.append((self.reftable * self.cs + index * 8, struct.pack(">Q", block * self.cs)))
            self.names["refblock"][index] = block * self.cs

    def header_extensions(self):
        def extension(kind, content, length=None):
            length = len(content) if length is None else length
            return struct.pack(">II", kind, length) + content + bytes(-len(content) % 8)

        out = b""
        if "backing_format" in self.options:
            out += extension(0xE2792ACA, text_bytes(self.options["backing_format"]))
        if "data_file" in self.options and self.options["data_file"]:
            out += extension(0x44415441, text_bytes(self.options["data_file"]))
        if self.features:
            rows = [struct.pack(">BB46s", kind, bit, name) for kind, bit, name in self.features]
            out += extension(0x6803F857, b"".join(rows))
        if self.bitmap_extension:
            out += extension(0x23852875, self.bitmap_extension)
        if self.luks:
            out += extension(0x0537BE77, struct.pack(">QQ", *self.crypto))
        for kind, content, length in self.extensions:
            out += extension(kind, content, length)
        return out

    def write_header(self, tables):
        incompatible = (self.data_file is not None) << 2 | self.zstd << 3 | self.extended << 4
        autoclear = bool(self.bitmaps) | (self.options.get("raw_data") == "yes") << 1
        length = number(self.options.get("header_length", "112")) if self.version >= 3 else 72
        backing = text_bytes(self.options.get("backing", ""))
        extensions = self.header_extensions() + bytes(8)
        backing_at = length + len(extensions) if backing else 0
        head = struct.pack(
            ">4sIQIIQIIQQIIQ", b"QFI\xfb", self.version, backing_at, len(backing), self.cluster_bits, self.size,
            {"aes": 1, "luks": 2}.get(self.crypt, 0), self.active.count, self.active.l1 * self.cs, self.reftable * self.cs, tables,
            len(self.snapshots), self.snapshot_table,
        )  # fmt: skip
        if self.version >= 3:
            head += struct.pack(">QQQII", incompatible, 0, autoclear, self.order, length)
            head += (bytes([self.zstd]) + bytes(length))[: max(length - len(head), 0)]
        head += extensions + backing
        if len(head) > self.cs:
            raise RecipeError(f"header and extensions take {len(head)} bytes of a cluster of {self.cs}")
        self.chunks.append((0, head))
        self.names["extensions"] = length

    # The last word.

    def settle(self, end):
        self.names.update({
            "l1": self.active.l1 * self.cs, "reftable": self.reftable * self.cs, "snapshots": self.snapshot_table,
            "table": {i: k * self.cs for i, k in self.active.tables.items()},
            "crypto": self.crypto[0] if self.luks else 0,
            "host": {
                n: e.host if e.coded else e.host * self.cs
                for n, e in self.active.entries.items() if e.host is not None
            },
        })  # fmt: skip
        return self.finish(self.chunks, end)

    def field(self, what):
        entry_size = 16 if self.extended else 8
        if match := re.fullmatch(r"header\.(\w+)", what):
            return *HEADER[match[1]], "big"
        if match := re.fullmatch(r"snapshot\[(\d+)\]\.(\w+)", what):
            at, width = SNAPSHOT[match[2]]
            return self.snapshot_table + self.snapshot_at[int(match[1])] + at, width, "big"
        if match := re.fullmatch(r"(l1|l2|sub|reftable)\[(.+)\]", what):
            index = self.value(match[2])
            if match[1] in ("l1", "reftable"):
                return self.names[match[1]] + index * 8, 8, "big"
            table = self.names["table"][index // self.l2_n]
            return table + index % self.l2_n * entry_size + (8 if match[1] == "sub" else 0), 8, "big"
        return None

    # What the guest sees.

    def more_files(self):
        if not self.data_file or not self.options["data_file"]:
            return []
        return [(self.options["data_file"], self.data_file, -(-self.size // 512) * 512)]

    def paint(self, disk, recipe):
        wanted = recipe.open.get("snapshot") if recipe.top is self else None
        mapping = self.active
        for m in self.snapshots if wanted is not None else []:
            if wanted in (m.options.get("id"), m.options.get("name")):
                mapping = m
                break
        disk.truncate(-(-mapping.size // 512) * 512)
        self.paint_mapping(disk, mapping)
        self.paint_models(disk, mapping.size, mapping.seed)

    def paint_mapping(self, disk, mapping):
        size = -(-mapping.size // 512) * 512
        step = self.cs // 32
        for n, entry in sorted(mapping.entries.items()):
            letters = entry.sub or {"zero": "Z", "none": "-"}.get(entry.kind, "D") * 32
            pieces = [(0, self.cs, letters[0])] if len(set(letters)) == 1 else [
                (i * step, step, c) for i, c in enumerate(letters)
            ]  # fmt: skip
            for at, length, c in pieces:
                piece = {"D": entry.content[at : at + length], "Z": bytes(length)}.get(c)
                if piece is not None and n * self.cs + at < size:
                    disk.seek(n * self.cs + at)
                    disk.write(piece[: size - n * self.cs - at])
