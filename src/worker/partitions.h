/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder of a view with Partitions=yes: `disk`, and `p1`, `p2` … for its partitions, each a window of the same image.
 *
 * Where two of them show the same bytes and one of them could be written, each would have a page cache of its own that knows nothing of
 * the other's. So of files that overlap none is written: in a writable folder the disk itself is read-only (unless it has no
 * partitions) and never cached, and shows what was written to the partitions as soon as that was handed over, by write(2) or
 * msync(2).
 */
#pragma once

#include "partition/partition.h"
#include "view/folder.h"

typedef struct Node Node;

/* `options` are those of the disk. */
int partitions_show(
        Node *n, const PartitionTable *t, const ViewOptions *options, Folder **ret, Err *err);
