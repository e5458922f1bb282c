#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each fuzz target begins with: the images of all recipes, good and bad, or texts and packets; and what crashed it once.

    corpus.py replay TARGET PROGRAM    runs PROGRAM over it
    corpus.py make TARGET FOLDER       puts it there

An image is taken twice: as the recipe says, and with the smallest clusters that it can have, because what a fuzzer mutates
well is small.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RECIPES = os.path.join(HERE, "..", "recipe")
CRASHES = os.path.join(HERE, "crash")
sys.path[:0] = [RECIPES, HERE]
import seeds  # pylint: disable=wrong-import-position
from mkimage import Recipe, RecipeError  # pylint: disable=wrong-import-position

TARGETS = ("qcow2", "image", "name", "config", "ipc", "mountinfo")
# Fewer would mean that they were not found.
LEAST = {"qcow2": 200, "image": 200, "name": 100, "config": 5, "ipc": 50, "mountinfo": 15}
SIZE_MAX = 256 << 10
# As fuzz-image.c cuts its input.
SEPARATOR = b"\n=== next file ===\n"


def small(text):
    """The recipe with small clusters where it says nothing of them."""

    def shrink(match):
        line = match[0]
        if "cluster_bits=" in line:
            return line
        return line + (" cluster_bits=14" if "extended=yes" in line else " cluster_bits=9")

    return re.sub(r"^qcow2\b[^#\n]*", shrink, text, flags=re.M)


def files_of(path, text):
    """The contents of a recipe's files, the image first. None: it cannot be made like that, or is no file or too long."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as work:
        again = os.path.join(work, os.path.basename(path))
        with open(again, "w", encoding="utf-8") as out:
            out.write(text)
        try:
            recipe = Recipe(again)
            recipe.make(work)
        except (RecipeError, ValueError, OverflowError, OSError):
            return None
        made = [os.path.join(work, name) for name in recipe.files]
        made = [name for name in made if os.path.isfile(name)]
        if not made or sum(os.path.getsize(name) for name in made) > SIZE_MAX:
            return None
        return [open(name, "rb").read() for name in made]  # pylint: disable=consider-using-with


def images(pattern):
    """Name and files of each image."""
    for path in sorted(glob.glob(os.path.join(RECIPES, pattern))):
        name = os.path.basename(path).removesuffix(".recipe")
        with open(path, encoding="utf-8") as recipe:
            text = recipe.read()
        shrunk = small(text)
        for suffix, version in (("", text), ("-small", shrunk)):
            files = files_of(path, version) if suffix == "" or shrunk != text else None
            if files:
                yield name + suffix, files


def contents(target):
    """Name and bytes of each input."""
    if target == "qcow2":
        yield from ((name, files[0]) for name, files in images("*qcow2*.recipe"))
    elif target == "image":
        # The last byte says how it is asked for; 0x10: to be written.
        for name, files in images("*.recipe"):
            yield name, SEPARATOR.join([*files, b"\0"])
            yield name + "-writable", SEPARATOR.join([*files, b"\x12"])
    else:
        yield from ((f"{target}-{i:03}", text) for i, text in enumerate(seeds.texts(target)))
    for path in sorted(glob.glob(os.path.join(CRASHES, target, "*"))):
        with open(path, "rb") as crash:
            yield "crash-" + os.path.basename(path), crash.read()


def make(target, folder):
    """Writes one file for each input and returns their names."""
    made = []
    for name, content in contents(target):
        made.append(os.path.join(folder, name))
        with open(made[-1], "wb") as out:
            out.write(content)
    if len(made) < LEAST[target]:
        sys.exit(f"only {len(made)} inputs were made for {target}: where are the recipes?")
    return made


def replay(target, program):
    """Fails when the program does, and says in which input."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        inputs = make(target, folder)
        done = subprocess.run(
            [program, *inputs],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "TMPDIR": folder},
        )
        seen = done.stdout.splitlines()
        if done.returncode != 0 or seen != inputs:
            sys.exit(f"ended with {done.returncode} in {seen[-1:]}: {done.stderr}")
        print(len(seen), "inputs")


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("replay", "make") or sys.argv[2] not in TARGETS:
        sys.exit(__doc__)
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3])
    else:
        replay(sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
