/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/info.h"
#include "format/vhdx/vhdx.h"

/* qemu-img says no more of a VHDX than this; it has no words for a log that waits. */
int vhdx_describe(Node *n, Info *info)
{
        info->cluster_size = vhdx_block_size(n->state);
        return 0;
}
