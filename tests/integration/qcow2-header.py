# SPDX-License-Identifier: LGPL-2.1-or-later
"""The header of a qcow2 of version 3, for tests.

qcow2-header.py show FILE         features and header extensions, one a line, as far as writing must keep them
qcow2-header.py mark FILE         adds two unknown header extensions, an unknown compatible and an unknown autoclear bit
qcow2-header.py field FILE NAME   one of: incompatible compatible autoclear
"""

import struct
import sys

FIELDS = {"incompatible": 72, "compatible": 80, "autoclear": 88}
END = 0


def extensions(header):
    pos = struct.unpack_from(">I", header, 100)[0]
    while True:
        kind, length = struct.unpack_from(">II", header, pos)
        if kind == END:
            return pos
        yield kind, header[pos + 8 : pos + 8 + length]
        pos += 8 + (length + 7) // 8 * 8


def read(path):
    with open(path, "rb") as f:
        return bytearray(f.read(4096))


def field(path, name):
    print(struct.unpack_from(">Q", read(path), FIELDS[name])[0])


def show(path):
    header = read(path)
    print("compatible %x" % struct.unpack_from(">Q", header, FIELDS["compatible"])[0])
    for kind, body in extensions(header):
        print("%08x %s" % (kind, body.hex()))


def mark(path):
    header = read(path)
    assert struct.unpack_from(">Q", header, 8)[0] == 0, "a backing file's name stands there"
    kept = list(extensions(header))
    pos = struct.unpack_from(">I", header, 100)[0]
    kept.insert(0, (0x12345678, b"kept by who does not know it"))
    kept.append((0xFEDCBA98, bytes(range(64))))
    for kind, body in kept:
        padded = body + bytes(-len(body) % 8)
        header[pos : pos + 8 + len(padded)] = struct.pack(">II", kind, len(body)) + padded
        pos += 8 + len(padded)
    header[pos : pos + 8] = bytes(8)
    struct.pack_into(">Q", header, FIELDS["compatible"], struct.unpack_from(">Q", header, FIELDS["compatible"])[0] | 1 << 40)
    struct.pack_into(">Q", header, FIELDS["autoclear"], struct.unpack_from(">Q", header, FIELDS["autoclear"])[0] | 1 << 41)
    with open(path, "r+b") as f:
        f.write(header)


{"show": show, "mark": mark, "field": field}[sys.argv[1]](*sys.argv[2:])
