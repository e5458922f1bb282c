# SPDX-License-Identifier: LGPL-2.1-or-later
"""A raw disk in parts, without any of our C.

    split KEY=VALUE…       name=disk.001 sizes=64K,64K,1000 (of the parts)  lacks=N (this one, from 0 on, is not made)
"""

from mkbytes import Image, pattern


class File(Image):
    def __init__(self, options, seed):
        super().__init__(options, seed)
        self.sizes = [self.value(size) for size in options.get("sizes", "cs,cs,1000").split(",")]
        self.size = sum(self.sizes)

    def parts(self):
        """(name, position on the disk, size) of each."""
        stem, digits = self.options["name"].rsplit(".", 1)
        at = 0
        for i, size in enumerate(self.sizes):
            yield f"{stem}.{int(digits) + i:0{len(digits)}}", at, size
            at += size

    def build(self):
        _, _, size = next(self.parts())
        return self.finish([(0, pattern(self.seed, 0, size))], size)

    def more_files(self):
        lacks = self.value(self.options.get("lacks", "0"))
        return [
            (name, [(0, pattern(self.seed, at, size))], size)
            for i, (name, at, size) in enumerate(self.parts())
            if i > 0 and i != lacks
        ]

    def paint(self, disk, recipe):
        disk.truncate(self.size)
        disk.seek(0)
        disk.write(pattern(self.seed, 0, self.size))
        self.paint_models(disk, self.size, self.seed)
