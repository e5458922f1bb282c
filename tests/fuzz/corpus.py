#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each fuzz target begins with: the images of all recipes, good and bad, or texts and packets; and what crashed it once.

    corpus.py replay TARGET PROGRAM    runs PROGRAM over it
    corpus.py make TARGET FOLDER       puts it there
    corpus.py targets                  prints the names of all

An image is taken twice: as the recipe says, and with the smallest clusters that it can have, because what a fuzzer mutates
well is small.
"""
import glob
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RECIPES = os.path.join(HERE, "..", "recipe")
CRASHES = os.path.join(HERE, "crash")
sys.path[:0] = [RECIPES, HERE]
import seeds  # pylint: disable=wrong-import-position
from mkimage import Recipe, RecipeError  # pylint: disable=wrong-import-position

# Every format but raw, which has nothing to parse, has a target of fuzz-format.c; qcow2 has one of its own.
SOURCES = os.path.join(HERE, "..", "..", "src", "format")
FORMATS = tuple(
    sorted(n for n in os.listdir(SOURCES) if os.path.isdir(os.path.join(SOURCES, n)) and n not in ("raw", "qcow2"))
)
OWN = tuple(sorted(re.sub("^fuzz-|[.]c$", "", n) for n in os.listdir(HERE) if re.fullmatch(r"fuzz-\w+[.]c", n) and n != "fuzz-format.c"))
TARGETS = OWN + FORMATS
# Fewer would mean that they were not found.
LEAST = {"qcow2": 200, "overlay": 60, "image": 200, "codec": 40, "name": 100, "config": 5, "ipc": 50, "mountinfo": 15, "partition": 40}
LEAST_OF_FORMAT = 5
SIZE_MAX = 256 << 10
# As in files.h; and what of an input is bytes.
FILE_SIZE_MAX, PACKED_MAX = 12 << 20, 192 << 10
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


def made_of(path, text):
    """The recipe's files, the image first: [(name, path)], in a folder that goes with the context. None: it cannot be made."""
    work = os.path.dirname(path)
    try:
        recipe = Recipe(path)
        recipe.make(work)
    except (RecipeError, ValueError, OverflowError, OSError):
        return None
    names = list(recipe.files)
    for item in recipe.files.values():
        names += [more for more, _, _ in getattr(item, "more_files", list)() if more not in names]
    made = [(name, os.path.join(work, name)) for name in names]
    return [(name, p) for name, p in made if os.path.isfile(p)]


def with_files(path, text, look):
    """What `look` makes of a recipe's files; None as above."""
    with tempfile.TemporaryDirectory(prefix="corpus-") as work:
        again = os.path.join(work, os.path.basename(path))
        with open(again, "w", encoding="utf-8") as out:
            out.write(text)
        made = made_of(again, text)
        return look(made) if made else None


def files_of(path, text):
    """The contents of a recipe's files, the image first. None: it cannot be made like that, or is no file or too long."""

    def look(made):
        if sum(os.path.getsize(p) for _, p in made) > SIZE_MAX:
            return None
        return [open(p, "rb").read() for _, p in made]  # pylint: disable=consider-using-with

    return with_files(path, text, look)


def pieces(path):
    """What of a file is not zero, by sectors: [(position, bytes)]; never more than an input can hold."""
    found, total, off = [], 0, 0
    with open(path, "rb", buffering=0) as f:
        while total <= PACKED_MAX:
            try:
                off = os.lseek(f.fileno(), off, os.SEEK_DATA) // 512 * 512
            except OSError:
                break
            chunk = os.pread(f.fileno(), 64 << 10, off)
            for at in range(0, len(chunk), 512):
                sector = chunk[at : at + 512].rstrip(b"\0")
                if not sector:
                    continue
                if found and found[-1][0] + len(found[-1][1]) == off + at:
                    found[-1][1].extend(sector)
                else:
                    found.append((off + at, bytearray(sector)))
                total += len(sector)
            off += max(len(chunk), 512)
    return found


def packed(made, seed):
    """The input of fuzz-format.c for these files; what does not fit is left out from the end."""
    out, choice = bytearray(), random.Random(seed)
    for name, path in made[:8]:
        size, named = os.path.getsize(path), name.encode()[:63]
        out += struct.pack(">BB", 1, len(named)) + named + struct.pack(">Q", size)
        for pos, content in pieces(path):
            if pos < FILE_SIZE_MAX and len(out) + len(content) < PACKED_MAX:
                out += struct.pack(">BQI", 2, pos, len(content)) + content
    # What is written and how it is asked for; no byte of it is a tag.
    return bytes(out) + bytes(choice.randrange(3, 256) for _ in range(192))


def inputs_of_format(name):
    for path in sorted(glob.glob(os.path.join(RECIPES, f"*-{name}-*.recipe"))):
        recipe = os.path.basename(path).removesuffix(".recipe")
        with open(path, encoding="utf-8") as text:
            made = with_files(path, text.read(), lambda files, seed=recipe: packed(files, seed))
        if made:
            yield recipe, made


def images(pattern, wanted=lambda name, count: True):
    """Name and files of each image that is wanted: formats with a target of their own are not made in full for another one."""
    for count, path in enumerate(sorted(glob.glob(os.path.join(RECIPES, pattern)))):
        name = os.path.basename(path).removesuffix(".recipe")
        if not wanted(name, count):
            continue
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
    elif target == "overlay":
        yield from ((name, files[0]) for name, files in images("*qcow2*.recipe", lambda n, count: "backing" in n or count % 8 == 0))
    elif target == "image":
        # The last byte says how it is asked for; 0x10: to be written.
        for name, files in images("*.recipe", lambda n, count: count % 4 == 0 or n.split("-")[1] not in FORMATS):
            yield name, SEPARATOR.join([*files, b"\0"])
            yield name + "-writable", SEPARATOR.join([*files, b"\x12"])
    elif target in FORMATS:
        yield from inputs_of_format(target)
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
    if len(made) < LEAST.get(target, LEAST_OF_FORMAT):
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
    if sys.argv[1:] == ["targets"]:
        print(*TARGETS)
        return
    if len(sys.argv) != 4 or sys.argv[1] not in ("replay", "make") or sys.argv[2] not in TARGETS:
        sys.exit(__doc__)
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3])
    else:
        replay(sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
