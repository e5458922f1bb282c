# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMDK: one file; a snapshot over a disk of its own, with grains of zeroes; a descriptor with a sparse extent."""
import os

from images import IMAGES, LITTLE, Image, K, M, qemu_io, run


def make_split(image, folder):
    """The extent is called `data`, the one further file that the power may fail over."""
    run("qemu-img", "create", "-q", "-f", "vmdk", "-o", image.options, "image", str(image.size), cwd=folder)
    os.rename(f"{folder}/image-s001", f"{folder}/data")
    with open(f"{folder}/image", encoding="utf-8") as f:
        text = f.read()
    with open(f"{folder}/image", "w", encoding="utf-8") as f:
        f.write(text.replace("image-s001", "data"))
    qemu_io(folder, "image", "vmdk", image.writes)


IMAGES.update({
    "vmdk": Image("", 2 * M - 9 * K, LITTLE, kind="vmdk"),
    "vmdk-base": Image("zeroed_grain=on", 2 * M, LITTLE, base=(1 * M, "vmdk"), kind="vmdk"),
    "vmdk-split": Image("subformat=twoGbMaxExtentSparse", 1 * M, LITTLE, kind="vmdk", make=make_split),
})
