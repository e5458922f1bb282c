#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""lock.py DISK IMAGE PASSPHRASE [BACKING [WHAT]]: an image of the format "locked" (locked.c) that holds DISK and opens with
PASSPHRASE, in which \\n and the like stand for what they do in Python."""
import struct
import sys
import zlib

disk, image, passphrase = sys.argv[1:4]
backing = sys.argv[4] if len(sys.argv) > 4 else ""
what = sys.argv[5] if len(sys.argv) > 5 else "test-key"
secret = passphrase.encode().decode("unicode_escape").encode("latin-1")
with open(disk, "rb") as source, open(image, "wb") as to:
    to.write(struct.pack("<16sI32s400s60x", b"RAWVIEW-LOCKED", zlib.crc32(secret), what.encode(), backing.encode()))
    to.write(source.read())
