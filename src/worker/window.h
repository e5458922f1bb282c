/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which part of the disk a view shows: all of it, a window in bytes, or a partition, for which the table on the disk is read. Once,
 * before anything is served.
 */
#pragma once

#include "base/err.h"
#include "ipc/message.h"

#include <stdbool.h>

typedef struct Node Node;

typedef struct Window {
        bool is_part; /* else the whole disk, wherever it ends */
        uint64_t start, len;
        bool table_is_damaged; /* what was read is what is left of it */
} Window;

enum {
        WINDOW_SECTOR_SIZE = 512,
};

typedef struct PartitionTable PartitionTable;

/* For a view that shows all partitions: new memory in *ret, free() it. */
int window_read_table(Node *n, PartitionTable **ret, Err *err);

/* The text of an error begins with what is wrong. */
int window_choose(const MessageImage *image, Node *n, Window *ret, Err *err);

/* In which a partition table in the window counts; where there is none, or one that cannot be, what the image states, or
 * WINDOW_SECTOR_SIZE. */
uint32_t window_get_sector_size(const Window *w, Node *n);
