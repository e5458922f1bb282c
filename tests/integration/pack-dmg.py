#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pack-dmg.py SOURCE IMAGE KIND…: a dmg of the disk SOURCE, whose chunks are of the kinds that mkdmg.py knows, in turn; chunks of
64 KiB for what applepack.py packs, which takes its time, of 256 KiB for others, and zeroes where there is nothing else."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recipe"))
import mkdmg  # pylint: disable=wrong-import-position

OWN = ("adc", "lzfse", "lzvn", "bvx1", "plain", "mixed")


class Packed(mkdmg.File):
    def __init__(self, content, unit, options):
        super().__init__({"unit": str(unit), **options}, 1)
        self.content = content

    def guest(self, off, length, options):
        return self.content[off : off + length].ljust(length, b"\0")


def main():
    source, image, *kinds = sys.argv[1:]
    with open(source, "rb") as disk:
        content = disk.read()
    unit = 64 << 10 if set(kinds) & set(OWN) else 256 << 10
    options = {"rsrc": "yes"} if "rsrc" in kinds else {}
    kinds = [k for k in kinds if k != "rsrc"]
    made = Packed(content, unit, options)
    for n, off in enumerate(range(0, len(content), unit)):
        piece = content[off : off + unit]
        sectors = {"sectors": str(-(-len(piece) // 512))}
        made.map("chunk", n, n, kinds[n % len(kinds)] if piece.strip(b"\0") else "zero", sectors)
    chunks, size = made.build()
    with open(image, "wb") as out:
        for pos, piece in chunks:
            out.seek(pos)
            out.write(piece)
        out.truncate(size)


if __name__ == "__main__":
    main()
