#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one recipe: makes its files, lets our C open and read them, and asks qemu-img what it sees.

    run-recipe.py RUNNER RECIPE      RUNNER "-": qemu-img alone, to see that mkimage.py is right
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

from mkimage import Recipe, RecipeError


# What qemu-img calls a format, where it has another name for it or none.
QEMU_NAMES = {"vhd": "vpc", "ewf": None, "split": None, "sparseimage": None, "special": None}
# What qemu-img check can look at.
QEMU_CHECKS = ("qcow2", "qed", "vdi", "vmdk", "vhdx", "parallels")


def hashes(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and name not in ("model", "expect"):
            with open(path, "rb") as content:
                found[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return found


def run_ours(runner, folder):
    before = hashes(folder)
    status = subprocess.run([runner, folder], check=False).returncode
    if status != 0:
        return f"{os.path.basename(runner)} ended with {status}"
    changed = [name for name, digest in hashes(folder).items() if digest != before.get(name)]
    return f"these files were changed: {', '.join(changed)}" if changed else None


def next_data(descriptor, off):
    try:
        return os.lseek(descriptor, off, os.SEEK_DATA)
    except OSError:
        return sys.maxsize


def same_disk(one, other):
    """Equal, where the shorter one is taken to go on with zeroes up to a whole sector."""
    sizes = os.path.getsize(one), os.path.getsize(other)
    if -(-sizes[0] // 512) != -(-sizes[1] // 512):
        return f"qemu-img shows {sizes[0]} bytes, the model has {sizes[1]}"
    with open(one, "rb", buffering=0) as a, open(other, "rb", buffering=0) as b:
        off = 0
        while (off := min(next_data(a.fileno(), off), next_data(b.fileno(), off))) < max(sizes):
            left, right = (os.pread(f.fileno(), 1 << 20, off) for f in (a, b))
            length = max(len(left), len(right))
            left, right = left.ljust(length, b"\0"), right.ljust(length, b"\0")
            if left != right:
                at = next(i for i in range(length) if left[i] != right[i])
                return f"qemu-img sees another byte than the model at {off + at:#x}"
            off += length
    return None


def qemu_source(recipe, name, image):
    """What tells qemu-img how to open an image."""
    if not getattr(recipe.top, "secret", False):
        return ["-f", name, image]
    key = "encrypt.key-secret" if name.startswith("qcow") else "key-secret"
    return [
        "--object", f"secret,id=s,data={recipe.open.get('passphrase', 'rawview')}",
        "--image-opts", f"driver={name},{key}=s,file.filename={image}",
    ]  # fmt: skip


def run_qemu(recipe, folder):
    image, shown = os.path.join(folder, next(iter(recipe.files))), os.path.join(folder, "qemu")
    name = recipe.open.get("format") or getattr(recipe.top, "kind", None)
    name = QEMU_NAMES.get(name, name)
    if not name:
        return None
    command = ["qemu-img", "convert", "-O", "raw", *qemu_source(recipe, name, image), shown]
    if "snapshot" in recipe.open:
        command[2:2] = ["-l", recipe.open["snapshot"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode != 0:
        return f"qemu-img cannot read it: {done.stderr.strip()}"
    wrong = same_disk(shown, os.path.join(folder, "model"))
    if wrong or name not in QEMU_CHECKS or recipe.unclean:
        return wrong
    done = subprocess.run(["qemu-img", "check", *qemu_source(recipe, name, image)], capture_output=True, text=True, check=False, cwd=folder)
    return None if done.returncode == 0 else f"qemu-img check: {done.stdout.strip()} {done.stderr.strip()}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    runner, path = sys.argv[1:]
    try:
        recipe = Recipe(path)
        with tempfile.TemporaryDirectory(prefix="recipe-") as folder:
            recipe.make(folder)
            wrong = run_ours(runner, folder) if runner != "-" else None
            if not wrong and recipe.kind == "good" and not recipe.differs and shutil.which("qemu-img"):
                wrong = run_qemu(recipe, folder)
    except RecipeError as reason:
        wrong = str(reason)
    if wrong:
        sys.exit(f"{os.path.basename(path)}: {wrong}")


if __name__ == "__main__":
    main()
