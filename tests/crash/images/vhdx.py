# SPDX-License-Identifier: LGPL-2.1-or-later
"""VHDX: what a crash leaves has an empty log, or one with an entry that has to be replayed, by us and by qemu-img."""
from images import IMAGES, LITTLE, M, Image

IMAGES |= {
    "vhdx": Image("block_size=1M", 5 * M, LITTLE, grow=9 * M, kind="vhdx", cluster=M),
    "vhdx-fixed": Image("block_size=1M,subformat=fixed,block_state_zero=off", 3 * M, LITTLE, kind="vhdx", cluster=M),
}
