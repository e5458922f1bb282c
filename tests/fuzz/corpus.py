#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The images to begin with: those of all recipes, good and bad.

    corpus.py replay PROGRAM    runs PROGRAM over them
    corpus.py make FOLDER       puts them there
"""
import glob
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RECIPES = os.path.join(HERE, "..", "recipe")
sys.path.insert(0, RECIPES)
from mkimage import Recipe  # pylint: disable=wrong-import-position

# What a fuzzer mutates well is small.
SIZE_MAX = 1 << 20


def make(folder):
    """One file for each recipe: its first, which is the image."""
    made = []
    for path in sorted(glob.glob(os.path.join(RECIPES, "*qcow2*.recipe"))):
        name = os.path.basename(path).removesuffix(".recipe")
        with tempfile.TemporaryDirectory(prefix="corpus-") as work:
            recipe = Recipe(path)
            recipe.make(work)
            image = os.path.join(work, next(iter(recipe.files)))
            if not os.path.isfile(image) or os.path.getsize(image) > SIZE_MAX:
                continue
            with open(image, "rb") as content, open(os.path.join(folder, name), "wb") as copy:
                copy.write(content.read())
        made.append(os.path.join(folder, name))
    if len(made) < 100:
        sys.exit(f"only {len(made)} images were made: where are the recipes?")
    return made


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("replay", "make"):
        sys.exit(__doc__)
    if sys.argv[1] == "make":
        make(sys.argv[2])
        return
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        done = subprocess.run([sys.argv[2], *make(folder)], capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0:
            sys.exit(f"ended with {done.returncode} in {done.stdout.splitlines()[-1:]}: {done.stderr}")
        print(len(done.stdout.splitlines()), "images")


if __name__ == "__main__":
    main()
