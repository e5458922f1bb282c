# SPDX-License-Identifier: LGPL-2.1-or-later
"""VHD: as qemu-img makes it, and with blocks so small that many get a place; one is as other writers leave it."""
import os
import subprocess
import sys

from images import IMAGES, LITTLE, K, M, Image

MKIMAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "recipe", "mkimage.py")
SMALL = """
vhd name=image block_size=4K size=1M
block[0..9]=data
block[30]=data
block[25]=data
"""
PARTIAL = """
vhd name=image block_size=16K size=1M
block[0..2]=data sectors=3D4-25D
block[5]=data sectors=8-
differs here bitmaps count
"""


def by_recipe(text):
    def make(_image, folder):
        path = os.path.join(folder, "good-vhd.recipe")
        with open(path, "w", encoding="utf-8") as recipe:
            recipe.write(text)
        subprocess.run([sys.executable, "-B", MKIMAGE, path, folder], check=True)
        for name in ("good-vhd.recipe", "model", "expect"):
            os.unlink(os.path.join(folder, name))

    return make


IMAGES.update({
    "vhd": Image("force_size=on", 9 * M, LITTLE, kind="vhd", qemu="vpc", cluster=2 * M),
    "vhd-4k": Image("", 1 * M, kind="vhd", qemu="vpc", cluster=4 * K, make=by_recipe(SMALL)),
    "vhd-partial": Image("", 1 * M, kind="vhd", qemu="vpc", cluster=16 * K, make=by_recipe(PARTIAL)),
})
