# SPDX-License-Identifier: LGPL-2.1-or-later
"""A LUKS container, and a qcow2 that is encrypted with LUKS: made by mkimage.py, whose slots cost little to open. qemu-img has no passphrase here."""
import os
import sys

from images import IMAGES, Image

RECIPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "recipe")
LICENCE = "# SPDX-License-Identifier: LGPL-2.1-or-later\n"


def make(text):
    def make_here(_image, folder):
        sys.path.insert(0, RECIPES)
        import mkimage

        path = os.path.join(folder, "good-made.recipe")
        with open(path, "w", encoding="utf-8") as f:
            f.write(LICENCE + text)
        mkimage.Recipe(path).make(folder)
        os.rename(os.path.join(folder, "disk"), os.path.join(folder, "image"))
        for name in ("good-made.recipe", "model", "expect"):
            os.unlink(os.path.join(folder, name))

    return make_here


K = 1 << 10
# Its size is not changed: what is new is noise until all of it is there, as docs/formats/luks.md says.
IMAGES["luks"] = Image("", 64 * K, kind="luks", cluster=4 * K, oracle=False, make=make("luks size=64K\n"))
IMAGES["qcow2-luks"] = Image(
    "cluster_size=4k", 128 * K, grow=192 * K, oracle=False,
    make=make("qcow2 size=128K cluster_bits=12 crypt=luks\nl2[2..9]=data\nl2[11]=zero\n"))
