#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the files that a recipe describes, the guest disk they must show, and what is expected of opening them.

    mkimage.py RECIPE FOLDER

The language is described in README.md beside this file.
"""

import errno
import os
import re
import shlex
import sys

from mkbytes import RecipeError, evaluate, pattern, text_bytes
from mkqcow2 import FEATURES, KINDS, Qcow2


class Raw:
    """A file that is what it is."""

    def __init__(self, options, seed):
        self.seed = seed * 16
        self.cs = 1 << 16
        self.size = evaluate(options.get("size", "256K"), {"cs": self.cs})
        self.names = {"cs": self.cs, "end": self.size}
        self.empty = options.get("empty") == "yes"
        self.sets, self.length, self.models = [], None, {}

    def value(self, text):
        return evaluate(text, self.names)

    def build(self):
        chunks = []
        if not self.empty:
            step = 1 << 20
            for off in range(0, self.size, step):
                chunks.append((off, pattern(self.seed, off, min(step, self.size - off))))
        for what, text in self.sets:
            match = re.fullmatch(r"(u8|u16|u32|u64|bytes)@(.+)", what)
            if not match:
                raise RecipeError(f"cannot set '{what}' in a raw file")
            if match[1] == "bytes":
                content = text_bytes(text)
            else:
                content = self.value(text).to_bytes(int(match[1][1:]) // 8, "big")
            chunks.append((self.value(match[2]), content))
        return chunks, self.size if self.length is None else self.value(self.length)

    def paint(self, disk):
        chunks, size = self.build()
        disk.truncate(0)
        disk.truncate(size)
        for pos, content in chunks:
            disk.seek(pos)
            disk.write(content)
        disk.truncate(size)


class Special:
    """A link, a folder, a fifo."""

    def __init__(self, kind, target):
        self.kind, self.target = kind, target

    def make(self, path):
        if self.kind == "link":
            os.symlink(self.target, path)
        elif self.kind == "hard link":
            os.link(os.path.join(os.path.dirname(path), self.target), path)
        elif self.kind == "folder":
            os.mkdir(path)
        else:
            os.mkfifo(path)


class Recipe:
    def __init__(self, path):
        self.path = path
        self.kind = os.path.basename(path).split("-")[0]
        self.files = {}
        self.current = None
        self.open = {}
        self.errno, self.words, self.faults = None, [], []
        self.size = None
        self.differs = self.unclean = None
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    words = shlex.split(line, comments=True)
                    if words:
                        self.statement(words[0], words[1:])
                except (RecipeError, ValueError, KeyError, IndexError, AttributeError) as reason:
                    raise RecipeError(f"{path}:{number}: {line.strip()}: {reason!r}") from reason
        self.settle()

    def settle(self):
        if self.kind not in ("good", "bad", "unsupported"):
            raise RecipeError(f"{self.path}: a recipe is good-, bad- or unsupported-")
        if not self.files:
            raise RecipeError(f"{self.path}: describes no file")
        if self.kind == "good" and (self.errno or self.faults):
            raise RecipeError(f"{self.path}: a good recipe expects no failure")
        if self.kind != "good" and not self.errno and not self.faults:
            raise RecipeError(f"{self.path}: says not what is expected")

    # Statements.

    def statement(self, word, rest):
        match = re.fullmatch(r"(l2|model)\[([^\].]+)(?:\.\.([^\].]+))?\]=(.+)", word)
        if match:
            kind, first = match[1], self.current.value(match[2])
            last = self.current.value(match[3]) if match[3] else first
            options = self.options(rest)
            if kind == "l2":
                self.current.map_clusters(first, last, match[4], options)
            else:
                for n in range(first, last + 1):
                    self.current.models[n] = (match[4], options)
            return
        method = getattr(self, "say_" + word, None)
        if not method:
            raise RecipeError(f"no statement begins with '{word}'")
        method(rest)

    @staticmethod
    def options(words):
        for word in words:
            if "=" not in word:
                raise RecipeError(f"'{word}' is not KEY=VALUE")
        return dict(word.split("=", 1) for word in words)

    def add_file(self, options, item):
        name = options.get("name", "disk")
        if name in self.files:
            raise RecipeError(f"two files are called '{name}'")
        self.files[name] = item
        self.current = item

    def say_qcow2(self, rest):
        options = self.options(rest)
        self.add_file(options, Qcow2(options, 1 + len(self.files)))
        if "data_file" in options:
            self.current.data_file = []

    def say_raw(self, rest):
        options = self.options(rest)
        self.add_file(options, Raw(options, 1 + len(self.files)))

    def say_link(self, rest):
        options = self.options(rest[1:])
        kind = "hard link" if options.get("hard") == "yes" else "link"
        self.add_file(options, Special(kind, rest[0]))

    def say_folder(self, rest):
        self.add_file(self.options(rest), Special("folder", None))

    def say_fifo(self, rest):
        self.add_file(self.options(rest), Special("fifo", None))

    def say_snapshot(self, rest):
        self.current.add_snapshot(self.options(rest))

    def say_active(self, rest):
        self.current.current = self.current.active

    def say_bitmap(self, rest):
        self.current.bitmaps.append(self.options(rest))

    def say_feature(self, rest):
        self.current.features.append((KINDS[rest[0]], int(rest[1]), text_bytes(rest[2])))

    def say_features(self, rest):
        self.current.features += [(kind, bit, name.encode()) for kind, bit, name in FEATURES]

    def say_extension(self, rest):
        options = self.options(rest[2:])
        length = self.current.value(options["length"]) if "length" in options else None
        self.current.extensions.append((int(rest[0], 0), text_bytes(rest[1]), length))

    def say_set(self, rest):
        for word in rest:
            what, text = word.split("=", 1)
            self.current.sets.append((what, text))

    def say_truncate(self, rest):
        self.current.length = rest[0]

    def say_open(self, rest):
        self.open = self.options(rest)

    def say_size(self, rest):
        self.size = self.current.value(rest[0])

    def say_expect(self, rest):
        if rest[0] == "read":
            code = getattr(errno, rest[1])
            options = self.options(rest[2:])
            top = next(iter(self.files.values()))
            self.faults.append((code, top.value(options["at"]), top.value(options["len"])))
        else:
            self.errno, self.words = getattr(errno, rest[0]), rest[1:]

    def say_differs(self, rest):
        self.differs = " ".join(rest)

    def say_unclean(self, rest):
        self.unclean = " ".join(rest)

    # Making.

    def make(self, folder):
        for name, item in self.files.items():
            if isinstance(item, Special):
                item.make(os.path.join(folder, name))
            else:
                self.write_file(os.path.join(folder, name), *item.build())
            external = getattr(item, "data_file", None)
            if external and item.options["data_file"] and item.options["data_file"] not in self.files:
                path = os.path.join(folder, item.options["data_file"])
                self.write_file(path, external, -(-item.size // 512) * 512)
        if self.kind == "good" or self.faults:
            with open(os.path.join(folder, "model"), "w+b") as disk:
                self.paint(next(iter(self.files)), disk, self.open.get("snapshot"))
                if self.size is not None:
                    disk.truncate(self.size)
        self.write_expectation(os.path.join(folder, "expect"))

    @staticmethod
    def write_file(path, chunks, size):
        with open(path, "wb") as out:
            for pos, content in chunks:
                if content:
                    out.seek(pos)
                    out.write(content)
            out.truncate(size)

    def paint(self, name, disk, snapshot=None):
        item = self.files[name]
        if isinstance(item, Special):
            return self.paint(item.target, disk)
        if isinstance(item, Raw):
            return item.paint(disk)
        below = item.options.get("backing")
        if below in self.files:
            self.paint(below, disk)
        mapping = item.active
        for m in item.snapshots if snapshot is not None else []:
            if snapshot in (m.options.get("id"), m.options.get("name")):
                mapping = m
                break
        disk.truncate(-(-mapping.size // 512) * 512)
        item.paint(disk, mapping)
        for n, (kind, options) in item.models.items():
            disk.seek(n * item.cs)
            length = min(item.cs, mapping.size - n * item.cs)
            seed = item.value(options["seed"]) if "seed" in options else mapping.seed
            disk.write(bytes(length) if kind == "zero" else pattern(seed, n * item.cs, length))
        return None

    def write_expectation(self, path):
        with open(path, "w", encoding="utf-8") as out:
            print("image", next(iter(self.files)), file=out)
            for key, text in self.open.items():
                print(key, text, file=out)
            if self.errno:
                print("errno", self.errno, file=out)
            for word in self.words:
                print("word", word, file=out)
            for fault in self.faults:
                print("fault", *fault, file=out)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        recipe = Recipe(sys.argv[1])
        os.makedirs(sys.argv[2], exist_ok=True)
        recipe.make(sys.argv[2])
    except RecipeError as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
