#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the files that a recipe describes, the guest disk they must show, and what is expected of opening them.

    mkimage.py RECIPE FOLDER

The language is described in README.md beside this file.
"""

import errno
import importlib
import os
import re
import shlex
import sys

from mkbytes import RecipeError, evaluate

HERE = os.path.dirname(os.path.abspath(__file__))


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

    @property
    def top(self):
        return next(iter(self.files.values()))

    # Statements.

    def statement(self, word, rest):
        match = re.fullmatch(r"(\w+)\[([^\].]+)(?:\.\.([^\].]+))?\]=(.+)", word)
        if match:
            first = self.current.value(match[2])
            last = self.current.value(match[3]) if match[3] else first
            options = self.options(rest)
            if match[1] == "model":
                for n in range(first, last + 1):
                    self.current.models[n] = (match[4], options)
            else:
                self.current.map(match[1], first, last, match[4], options)
        elif method := getattr(self, "say_" + word, None):
            method(rest)
        elif os.path.exists(os.path.join(HERE, f"mk{word}.py")) and word.isalnum():
            self.say_format(word, self.options(rest))
        elif method := getattr(self.current, "say_" + word, None):
            method(self.options([w for w in rest if "=" in w]), *(w for w in rest if "=" not in w))
        else:
            raise RecipeError(f"no statement begins with '{word}'")

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

    def say_format(self, kind, options):
        self.add_file(options, importlib.import_module("mk" + kind).File(options, 1 + len(self.files)))
        self.current.kind = kind

    def say_link(self, rest):
        options = self.options(rest[1:])
        kind = "hard link" if options.get("hard") == "yes" else "link"
        self.add_file(options, Special(kind, rest[0]))

    def say_folder(self, rest):
        self.add_file(self.options(rest), Special("folder", None))

    def say_fifo(self, rest):
        self.add_file(self.options(rest), Special("fifo", None))

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
            self.faults.append((code, self.top.value(options["at"]), self.top.value(options["len"])))
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
                for more, chunks, size in item.more_files():
                    if more not in self.files:
                        self.write_file(os.path.join(folder, more), chunks, size)
        if self.kind == "good" or self.faults:
            with open(os.path.join(folder, "model"), "w+b") as disk:
                self.paint(next(iter(self.files)), disk)
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

    def paint(self, name, disk):
        item = self.files[name]
        if isinstance(item, Special):
            self.paint(item.target, disk)
            return
        if item.below() in self.files:
            self.paint(item.below(), disk)
        item.paint(disk, self)

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
