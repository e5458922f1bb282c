# SPDX-License-Identifier: LGPL-2.1-or-later
from images import IMAGES, K, LITTLE, M, Image

# 2 MiB behind each L2 table; a larger disk needs another L1 table.
IMAGES["qcow"] = Image("", 3 * M, LITTLE, kind="qcow", cluster=4 * K, grow=9 * M)
