#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""mixture.py FILE MIB: something of everything that a compressor meets: noise, text, zeroes, one byte over and over."""
import random
import sys

MIB = 1 << 20

r = random.Random(7)
size = int(sys.argv[2]) * MIB
with open(sys.argv[1], "wb") as f:
    while f.tell() < size:
        f.write(r.randbytes(r.randrange(30000)))
        f.write(b"".join(b"%d squared is %d\n" % (i, i * i) for i in range(r.randrange(9000))))
        f.write(bytes([r.randrange(256)]) * r.randrange(200000))
        f.write(bytes(r.randrange(200000)))
    f.truncate(size)
