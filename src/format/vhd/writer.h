/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the driver keeps of a dynamic disk that is written to. Private to this folder; owned by the Vhd, NULL in one that
 * is only read, and in a fixed disk.
 *
 * A new block takes the place of the footer at the end of the file, after the footer has been written behind it. A flush
 * makes its bitmap and its data durable before the BAT gets to know it. So a crash leaves a file that ends without
 * footer at worst, and blocks that nobody refers to; the copy of the footer in front is good at any time.
 *
 * The lock may be held during I/O on tables, never while guest data moves. BAT entries are read without it.
 */
#pragma once

#include "format/vhd/vhd.h"

#include <pthread.h>

enum {
        VHD_BAT_SECTOR_ENTRIES = VHD_SECTOR / 4, /* of the BAT, what is written at once */
        VHD_SPARE_COUNT_MAX = 1024,              /* places without a block that are remembered */
};

struct VhdWriter {
        pthread_mutex_t lock; /* all below, except where something else is said */

        /* Owned. Entries are changed under the lock, and read without it. */
        atomic_uint_least32_t *bat;
        uint64_t bat_count; /* fixed */

        uint8_t *dirty; /* owned: one byte for each VHD_BAT_SECTOR_ENTRIES entries */
        size_t dirty_count;

        bool prepared; /* the footer in front is good */
        uint64_t end;  /* where the next new block goes, over the footer */
        uint64_t *
                spare; /* owned: places for blocks to which nothing refers, and which may hold anything */
        size_t spare_count, spare_room;

        uint64_t reserved; /* bytes of memory that the cache of the chain has set aside for us */
};

/* The entry of the BAT. Needs no lock. */
int vhd_writer_get(const VhdWriter *w, uint64_t index, uint32_t *ret);

/* Reads the BAT, and refuses an image that is too damaged to be written to. */
int vhd_writer_open(Node *n, Err *err);
void vhd_writer_close(Node *n);

/* Remembers a place for a block. Without memory for that it is a leak. Wants the lock. */
void vhd_spare_add(VhdWriter *w, uint64_t pos);

/* write.c: the callbacks. */
int vhd_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret);
int vhd_publish(Node *n, const Extent *e);
void vhd_release(Node *n, const Extent *e);
int vhd_write_back(Node *n);
int vhd_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len);

/* layout.c: how the blocks lie in the file. */
typedef struct VhdLayout {
        uint64_t used_end; /* behind the last block, or the BAT or header where there is none */
        uint64_t blocks;
        uint64_t gaps; /* places for blocks between blocks, to which nothing refers */
} VhdLayout;

/* Who wants to know what a walk comes across; each may be NULL. */
typedef struct VhdVisitor {
        void (*damaged)(void *arg, const char *text);
        void (*gap)(void *arg, uint64_t pos);
        void (*step)(void *arg, uint64_t done); /* of the blocks, now and then */
        void *arg;
} VhdVisitor;

/* Walks over the blocks in the order of the file. `bat` are the entries of all blocks, which it sorts. */
void vhd_layout_walk(const Vhd *v, uint32_t *bat, const VhdVisitor *visitor, VhdLayout *ret);

/* The entries of all blocks in new memory, which is reserved in the cache: give `*ret_reserved` back to it. */
int vhd_read_bat(Node *n, uint32_t **ret, uint64_t *ret_reserved, Err *err);
