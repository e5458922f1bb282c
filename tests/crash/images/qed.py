# SPDX-License-Identifier: LGPL-2.1-or-later
from images import IMAGES, K, LITTLE, M, Image

# 4 MiB behind each L2 table.
IMAGES["qed"] = Image("cluster_size=4k,table_size=2", 3 * M, LITTLE, kind="qed", grow=5 * M)
IMAGES["qed-base"] = Image("cluster_size=4k,table_size=2", 1 * M, LITTLE, kind="qed", base=(301 * K + 512, "raw"))
