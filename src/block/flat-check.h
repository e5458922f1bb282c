/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking through the table of a Flat for damage, and mending it. A FlatCheck belongs to one call of a driver's check, so
 * to one thread; the node was opened for_check and has no writer.
 */
#pragma once

#include "block/flat.h"

typedef struct FlatCheck {
        Node *node;
        const Flat *flat;
        CheckReport *report;
        uint64_t file_size;
        uint8_t *used, *seen; /* owned: a bit for each place */
        uint64_t room;        /* bits in each */
        uint64_t reserved;    /* bytes, in the cache */
        uint64_t used_count;  /* places that one sound entry or more lead to */
        uint64_t place_end;   /* behind the last of them */
        uint64_t found;       /* findings so far */
        uint64_t limit;       /* of flat_check_mend */
        bool has_missing;     /* entries that the file ends before */
} FlatCheck;

/* `c` is given to flat_check_done whether this succeeded or not. */
int flat_check_begin(FlatCheck *c, Node *n, const Flat *f, CheckReport *report);
void flat_check_done(FlatCheck *c);

/* Counts corruptions and blocks. What the file is longer than, and what the header counts, is the driver's affair. */
int flat_check_look(FlatCheck *c);

/* When all is to be repaired, entries that lead nowhere are emptied, and blocks that share a place get copies of it. Blocks
 * in places from `limit` on move to free ones before it. After it, look again. */
int flat_check_mend(FlatCheck *c, uint64_t limit);

/* No entry leads into these bytes. After flat_check_look. */
bool flat_check_is_free(const FlatCheck *c, uint64_t pos, uint64_t len);

/* What is mended next takes no place that the file has already. */
void flat_check_append_only(FlatCheck *c);

/* Syncs the image, with a text in the report when that fails. For drivers too. */
int flat_check_sync(FlatCheck *c);

#define _cleanup_flat_check_ __attribute__((cleanup(flat_check_done)))
