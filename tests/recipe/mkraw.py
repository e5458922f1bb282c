# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file that is what it is: full of pattern, or of zeroes."""

from mkbytes import Image, pattern

STEP = 1 << 20


class File(Image):
    def build(self):
        chunks = []
        self.names["end"] = self.size
        if self.options.get("empty") != "yes":
            for off in range(0, self.size, STEP):
                chunks.append((off, pattern(self.seed, off, min(STEP, self.size - off))))
        return self.finish(chunks, self.size)

    def paint(self, disk, recipe):
        chunks, size = self.build()
        disk.truncate(0)
        disk.truncate(size)
        for pos, content in chunks:
            disk.seek(pos)
            disk.write(content)
        disk.truncate(size)
