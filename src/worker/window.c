/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker/window.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/node.h"
#include "partition/partition.h"

#include <errno.h>

static int window_read(void *arg, void *buf, size_t len, uint64_t off)
{
        return node_read(arg, buf, len, off);
}

int window_read_table(Node *n, PartitionTable **ret, Err *err)
{
        PartitionSource source = {
                .read = window_read,
                .arg = n,
                .size = node_get_size(n),
                .sector_size = node_get_sector_size(n),
        };

        return partition_table_read(&source, ret, err);
}

static int window_find_partition(const MessageImage *image, Node *n, Window *ret, Err *err)
{
        _cleanup_free_ PartitionTable *table = NULL;
        const Partition *found = NULL;

        int r = window_read_table(n, &table, err);
        if (r >= 0)
                r = partition_find(table, image->partition, &found, err);
        if (r < 0)
                return r;
        *ret = (Window){
                .is_part = true,
                .start = found->start,
                .len = found->len,
                .table_is_damaged = table->damage[0],
        };
        return 0;
}

int window_choose(const MessageImage *image, Node *n, Window *ret, Err *err)
{
        uint64_t size = node_get_size(n);

        if (image->partition[0])
                return window_find_partition(image, n, ret, err);
        *ret = (Window){ 0 };
        if (image->offset == 0 && image->size == 0)
                return 0;
        if (image->offset >= size)
                return err_set(err, EINVAL,
                               "Offset=%llu (--view-offset) is not within the disk, which has %llu "
                               "bytes",
                               (unsigned long long)image->offset, (unsigned long long)size);
        uint64_t len = image->size ? image->size : size - image->offset;
        if (!in_range(image->offset, len, size))
                return err_set(
                        err, EINVAL,
                        "Size=%llu (--view-size) from %llu on leads past the end of the disk, "
                        "which has %llu bytes",
                        (unsigned long long)len, (unsigned long long)image->offset,
                        (unsigned long long)size);
        *ret = (Window){ .is_part = true, .start = image->offset, .len = len };
        return 0;
}

typedef struct WindowReader {
        Node *node;
        uint64_t start;
} WindowReader;

static int window_read_within(void *arg, void *buf, size_t len, uint64_t off)
{
        const WindowReader *reader = arg;
        return node_read(reader->node, buf, len, reader->start + off);
}

uint32_t window_get_sector_size(const Window *w, Node *n)
{
        WindowReader reader = { .node = n, .start = w->start };
        PartitionSource source = {
                .read = window_read_within,
                .arg = &reader,
                .size = w->is_part ? w->len : node_get_size(n),
                .sector_size = node_get_sector_size(n),
        };
        uint32_t stated = source.sector_size ? source.sector_size : WINDOW_SECTOR_SIZE;
        _cleanup_free_ PartitionTable *table = NULL;

        if (partition_table_read(&source, &table, NULL) < 0)
                return stated;
        /* Apple's map says how large its own blocks are, and means nothing else. */
        return table->scheme == PARTITION_SCHEME_APM || table->scheme == PARTITION_SCHEME_NONE
                       ? stated
                       : table->sector_size;
}
