#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bombs.py --list | FOLDER NAME: images made to cost as much memory and time as an image can.

--list prints their names. NAME is made as FOLDER/NAME, its layers below as FOLDER/NAME.1 and so on.
"""
import bz2
import lzma
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recipe"))
import mkdmg  # pylint: disable=wrong-import-position

COPIED = 1 << 63
COMPRESSED = 1 << 62
SNAPSHOT_TABLE = 64 << 20
BITMAP_DIRECTORY = 1024 * 65535


class Image:
    """A qcow2 file in the making: a header, and clusters one behind the other."""

    def __init__(self, path, cluster_bits=16, size=1 << 30, **fields):
        self.file = open(path, "w+b")
        self.bits, self.cluster, self.end = cluster_bits, 1 << cluster_bits, 1 << cluster_bits
        self.fields = {"size": size, "backing": "", "format": "qcow2", "l1_pos": 0, "l1_count": 0, "table_pos": 0,
                       "table_clusters": 0, "snapshots": 0, "snapshots_pos": 0, "incompatible": 0, "autoclear": 0,
                       "order": 4, "compression": 0, "extensions": b""}
        self.fields.update(fields)

    def put(self, content):
        """Puts bytes into clusters of their own; gives their place."""
        pos = self.end
        self.file.seek(pos)
        self.file.write(content)
        self.end += -(-max(len(content), 1) // self.cluster) * self.cluster
        return pos

    def take(self, length):
        """The same without bytes."""
        pos = self.end
        self.end += -(-length // self.cluster) * self.cluster
        return pos

    def put_l1(self, entries):
        self.fields["l1_pos"] = self.put(entries)
        self.fields["l1_count"] = len(entries) // 8

    def put_refcounts(self, table_bytes):
        """A refcount table of this length whose entries all lead to one block of ones."""
        block = self.put(b"\x00\x01" * (self.cluster // 2))
        self.fields["table_pos"] = self.put(struct.pack(">Q", block) * (table_bytes // 8))
        self.fields["table_clusters"] = -(-table_bytes // self.cluster)

    def close(self):
        f = self.fields
        backing = f["backing"].encode()
        extensions = f["extensions"]
        if backing:
            name = f["format"].encode()
            extensions += struct.pack(">II", 0xE2792ACA, len(name)) + name.ljust(8, b"\0")
        extensions += bytes(8)
        header = struct.pack(">4sIQIIQIIQQIIQQQQIIB7x", b"QFI\xfb", 3, 112 + len(extensions) if backing else 0, len(backing),
                             self.bits, f["size"], 0, f["l1_count"], f["l1_pos"], f["table_pos"], f["table_clusters"],
                             f["snapshots"], f["snapshots_pos"], f["incompatible"], 0, f["autoclear"], f["order"], 112,
                             f["compression"])
        self.file.seek(0)
        self.file.write(header + extensions + backing)
        self.file.truncate(max(self.end, self.file.seek(0, 2)))
        self.file.close()


def largest_tables(path, dirty=False):
    """The largest L1 table and the largest refcount table, all entries used."""
    count = 4 << 20
    i = Image(path, cluster_bits=9, size=count * 64 * 512, incompatible=int(dirty))
    i.put_refcounts(8 << 20)
    data = i.put(b"x" * 512)
    table = i.put(struct.pack(">Q", COPIED | data) * 64)
    i.put_l1(struct.pack(">Q", COPIED | table) * count)
    i.close()


def largest_dirty_tables(path):
    """The same, and whoever wants to write has to repair it first."""
    largest_tables(path, dirty=True)


def tables_of_a_chain(path):
    """32 layers, each with the largest L1 table, of holes: in memory they take as much as others."""
    names = [path] + [f"{path}.{n}" for n in range(1, 32)]
    for name, below in zip(names, names[1:] + [""]):
        i = Image(name, cluster_bits=9, size=1 << 37, backing=os.path.basename(below))
        i.put_refcounts(512)
        i.fields["l1_count"] = 4 << 20
        i.fields["l1_pos"] = i.take(32 << 20)
        i.close()


def chunks_of_bzip2(path):
    """A dmg of short chunks, for each of which the decoder needs 3.7 MiB of its own."""
    stream = bz2.compress(b"".join(b"the quick brown fox %d " % n for n in range(40000)))
    dmg(path, {"unit": str(64 << 10), "crc": "no"}, 256, "bzip2", {"stream": "hex:" + stream.hex()})


def chunks_of_lzma(path):
    """A dmg of long chunks, which say that they want dictionaries of 16 MiB."""
    stream = lzma.compress(bytes(2 << 20), filters=[
        {"id": lzma.FILTER_LZMA2, "dict_size": 16 << 20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}])
    dmg(path, {"unit": str(2 << 20), "crc": "no"}, 64, "lzma", {"stream": "hex:" + stream.hex()})


def dmg(path, options, count, kind, chunk):
    made = mkdmg.File(options, 1)
    made.map("chunk", 0, count - 1, kind, chunk)
    chunks, size = made.build()
    with open(path, "wb") as out:
        for pos, content in chunks:
            out.seek(pos)
            out.write(content)
        out.truncate(size)


def snapshots_of_a_chain(path):
    """8 layers, each with 65536 snapshots."""
    names = [path] + [f"{path}.{n}" for n in range(1, 8)]
    for name, below in zip(names, names[1:] + [""]):
        many_snapshots(name, backing=os.path.basename(below))


def sound(path, **fields):
    """An image with one L2 table and refcounts for what there is."""
    i = Image(path, **fields)
    i.put_refcounts(i.cluster)
    i.put_l1(bytes(8 * -(-i.fields["size"] >> (2 * i.bits - 3)) or 8))
    return i


def snapshot(name, extra=b""):
    extra = struct.pack(">QQ", 0, 1 << 30) + extra
    entry = struct.pack(">QIHHIIQII", 0, 0, len(name), len(name), 0, 0, 0, 0, len(extra)) + extra + name + name
    return entry + bytes(-len(entry) % 8)


def many_snapshots(path, backing=""):
    """As many snapshots as there may be, each with as much as there is room for."""
    i = sound(path, backing=backing)
    each = SNAPSHOT_TABLE // 65536
    i.fields["snapshots_pos"] = i.put(snapshot(b"\x01" * ((each - 56) // 2 - 8)) * 65536)
    i.fields["snapshots"] = 65536
    i.close()


def long_snapshots(path):
    """Few snapshots with the longest names there may be, of characters that take six times as long in JSON."""
    i = sound(path)
    one = snapshot(b"\x01" * 65535, bytes(1000))
    count = SNAPSHOT_TABLE // len(one)
    i.fields["snapshots_pos"] = i.put(one * count)
    i.fields["snapshots"] = count
    i.close()


def snapshots_to_show(path):
    """Just so many snapshots, and with names just so long, that they can be shown as JSON."""
    i = sound(path)
    short, long = snapshot(b""), snapshot(b"\x01" * 65535)
    i.fields["snapshots_pos"] = i.put(short * 20000 + long * 31)
    i.fields["snapshots"] = 20031
    i.close()


def many_bitmaps(path):
    """As many bitmaps as there may be, with the longest names."""
    i = sound(path, autoclear=1)
    entries = []
    for n in range(65535):
        name = f"{n:05}".encode() + b"\x01" * (1024 - 24 - 5)
        entries.append(struct.pack(">QIIBBHI", i.cluster, 1, 0, 1, 16, len(name), 0) + name)
    directory = b"".join(entries)
    pos = i.put(directory)
    i.fields["extensions"] = struct.pack(">IIIIQQ", 0x23852875, 24, 65535, 0, len(directory), pos)
    i.close()


def large_clusters(path):
    """Compressed clusters of 2 MiB, each as long as two of them in the file. There are eight of
    them, more than the cache holds."""
    bits = 21
    i = Image(path, cluster_bits=bits, size=4 << 30)
    i.put_refcounts(i.cluster)
    plain = bytes(i.cluster)
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packed.compress(plain) + packed.flush()
    places = [i.put(packed + b"x" * (2 * i.cluster - len(packed))) for _ in range(8)]
    shift = 70 - bits
    entries = [COMPRESSED | ((2 * i.cluster // 512 - 1) << shift) | places[n % 8] for n in range(2048)]
    table = i.put(struct.pack(">2048Q", *entries))
    i.put_l1(struct.pack(">Q", COPIED | table))
    i.close()


def many_tables(path):
    """Every L1 entry has an L2 table of its own that is full: a check has to go through all of them."""
    i = Image(path, cluster_bits=9, size=1 << 30)
    i.put_refcounts(512 << 10)
    count = (1 << 30) // (64 * 512)
    tables = i.take(count * 512)
    i.file.seek(tables)
    i.file.write(struct.pack(">Q", 1 << 40) * (64 * count))
    i.put_l1(b"".join(struct.pack(">Q", COPIED | tables + n * 512) for n in range(count)))
    i.close()


def long_file(path):
    """Small clusters in a file of 4 TiB."""
    i = sound(path, cluster_bits=9, size=1 << 20)
    i.end = 4 << 40
    i.close()


BOMBS = (largest_tables, largest_dirty_tables, tables_of_a_chain, many_snapshots, snapshots_of_a_chain, long_snapshots,
         snapshots_to_show, many_bitmaps, large_clusters, many_tables, long_file, chunks_of_bzip2,
         chunks_of_lzma)


def main():
    bombs = {bomb.__name__.replace("_", "-"): bomb for bomb in BOMBS}
    if sys.argv[1:] == ["--list"]:
        print("\n".join(bombs))
        return
    folder, name = sys.argv[1:]
    bombs[name](os.path.join(folder, name))


if __name__ == "__main__":
    main()
