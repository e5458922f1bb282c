#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""header.py strange|show|cleared IMAGE: what a program that writes qcow2 does not know and has to respect.

strange   adds to an image without a backing file: an unknown header extension, a longer header (where there is no other
          extension), an unknown compatible bit and two unknown autoclear bits; all but the extension for version 3 only
show      prints what has to stay as it is: all of the first cluster but the fields that writing changes
cleared   fails unless all autoclear bits are clear
"""
import struct
import sys

# size, l1_size with its offset, the refcount table's offset and size, autoclear_features (the last: version 3).
CHANGING = [(24, 8), (36, 12), (48, 12), (88, 8)]


def read(path):
    with open(path, "rb") as f:
        return bytearray(f.read())


def length(image):
    return struct.unpack_from(">I", image, 100)[0] if version(image) == 3 else 72


def version(image):
    return struct.unpack_from(">I", image, 4)[0]


def cluster_size(image):
    return 1 << struct.unpack_from(">I", image, 20)[0]


def strange(path):
    image = read(path)
    if version(image) == 3:
        struct.pack_into(">Q", image, 80, struct.unpack_from(">Q", image, 80)[0] | 1 << 17)
        struct.pack_into(">Q", image, 88, struct.unpack_from(">Q", image, 88)[0] | 1 << 9 | 1 << 63)
        if not any(image[112:120]):
            struct.pack_into(">I", image, 100, 120)
            image[112:120] = b"\xa5unknown"
    pos = length(image)
    while struct.unpack_from(">I", image, pos)[0] != 0:
        pos += 8 + (struct.unpack_from(">I", image, pos + 4)[0] + 7) // 8 * 8
    image[pos:pos + 24] = struct.pack(">II", 0x52415756, 11) + b"keep me, do\xff\xee\xdd\xcc\xbb"
    image[pos + 24:pos + 32] = bytes(8)
    # Behind the end of the extensions: nobody's, and yet not to be touched.
    image[pos + 40:pos + 47] = b"nobody's"[:7]
    with open(path, "r+b") as f:
        f.write(image[:cluster_size(image)])


def show(path):
    image = read(path)
    cluster = image[:cluster_size(image)]
    for pos, count in CHANGING if version(image) == 3 else CHANGING[:-1]:
        cluster[pos:pos + count] = bytes(count)
    print(cluster.hex())


def cleared(path):
    image = read(path)
    if version(image) == 3 and struct.unpack_from(">Q", image, 88)[0] != 0:
        sys.exit(1)


{"strange": strange, "show": show, "cleared": cleared}[sys.argv[1]](sys.argv[2])
