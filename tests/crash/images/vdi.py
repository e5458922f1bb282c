# SPDX-License-Identifier: LGPL-2.1-or-later
from images import IMAGES, LITTLE, M, Image

# A count that is larger than it has to be is a leak, which qemu-img check takes for damage: it is not asked. Blocks of
# 1 MiB are all that qemu-img makes.
IMAGES["vdi"] = Image("static=off", 3 * M, LITTLE, kind="vdi", grow=5 * M, cluster=M, oracle=False)
