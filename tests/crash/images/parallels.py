# SPDX-License-Identifier: LGPL-2.1-or-later
from images import IMAGES, K, LITTLE, M, Image

# qemu-img check takes the mark of an image in use for damage: it is not asked. The second one has clusters of no power of two.
IMAGES["parallels"] = Image("cluster_size=4k", 1 * M, LITTLE, kind="parallels", oracle=False)
IMAGES["parallels-9"] = Image("cluster_size=4608", 256 * K, LITTLE, kind="parallels", cluster=4608, oracle=False)
