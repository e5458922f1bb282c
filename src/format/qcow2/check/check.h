/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking for damage in a qcow2 image and repairing it. Private to this folder; one thread, nobody else uses the image.
 *
 * Refcounts are right when each host cluster has as many as there are references to it. References are counted in a
 * window of host clusters at a time, so that memory is bounded whatever the size of the file: all tables are walked
 * once for each window in which anything lies. Every table is read from the file, a piece at a time, the active ones too.
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/check.h"
#include "block/node.h"
#include "format/qcow2/qcow2.h"

#include <stdbool.h>
#include <stdint.h>

enum {
        QCOW2_CHECK_PIECE = 65536, /* bytes of a table in memory at a time */
};

/* In Qcow2Check.counts, beside the number: this repair has lowered the refcount of the cluster. */
#define QCOW2_COUNT_LOWERED (UINT32_C(1) << 31)
#define QCOW2_COUNT_MAX (QCOW2_COUNT_LOWERED - 1)

typedef struct Qcow2Check {
        Node *n;
        Qcow2 *q;
        CheckReport *report;
        /* Where findings go: in a look to `report`, else to `mute`. Those about single fields only in the first window of
         * a look, and those that each window has its own of. */
        CheckReport *out, *each_out;
        CheckReport mute;

        uint64_t file_size;
        uint64_t cluster_count; /* of the file; the last one may be cut off */
        uint64_t block_count;   /* refcounts in a refcount block */

        be64 *table; /* owned: the refcount table; entries that cannot be used are in it all the same */
        uint64_t table_pos, table_clusters;
        uint64_t table_count; /* entries; 0 when the table cannot be used */
        be64 *fresh;          /* owned: the table that a rebuild is about to make */
        bool omit_refcounts;  /* count what is not refcount table or block only */

        uint32_t *counts; /* owned: of the clusters from `first` on; references, later refcounts */
        uint64_t window;  /* how many there are of them, a power of two */
        uint64_t first;
        uint64_t next; /* the lowest cluster behind the window that something refers to */
        uint8_t *l1_piece, *l2_piece, *block_piece; /* owned, QCOW2_CHECK_PIECE each */
        uint64_t found;
        uint64_t walked;    /* L1 entries, in this window */
        uint64_t work_left; /* entries that may still be looked at */

        uint64_t data_next;   /* where the next cluster lies if the disk is in one piece */
        uint64_t end_cluster; /* behind the last one in use */
        uint64_t shortages;   /* clusters with fewer refcounts than references */
        bool fix_zeroes; /* misaligned zero clusters lose their place while they are walked over */
        bool has_bad_zeroes;
        /* Something that refers to clusters could not be read: what looks leaked may belong to it. */
        bool is_blind;
        bool has_far;       /* something refers to clusters past the end of the file */
        bool needs_rebuild; /* the refcount table or a block of it cannot be used */
} Qcow2Check;

/* An entry of an L1 or L2 table. */
typedef struct Qcow2Slot {
        uint64_t pos; /* where it stands in the file */
        uint64_t off; /* the guest offset that it is for */
        uint64_t entry;
        uint64_t bitmap; /* extended L2 entries only */
        bool active;     /* not in a snapshot */
} Qcow2Slot;

/* Called for entries that are not 0. */
typedef struct Qcow2Visitor {
        int (*table)(Qcow2Check *c, const Qcow2Slot *slot);
        int (*cluster)(Qcow2Check *c, const Qcow2Slot *slot);
} Qcow2Visitor;

/* references.c. Reads the file's size, and reserves what counting needs. */
int qcow2_check_begin(Qcow2Check *c, Node *n, CheckReport *report);
int qcow2_check_measure(Qcow2Check *c);
void qcow2_check_done(Qcow2Check *c);

/* Goes through the L1 table and all L2 tables below it. */
int qcow2_check_walk(
        Qcow2Check *c, uint64_t l1_pos, uint64_t l1_count, bool active, const Qcow2Visitor *v);

/* Takes `amount`, and more for what was found since the last call, of what a check may look at: EFBIG when it is used
 * up. */
int qcow2_check_work(Qcow2Check *c, uint64_t amount);

/* One more reference to each cluster of the range. `what` and the place of the entry that refers to it are for the
 * text, `from` 0: the header. */
void qcow2_check_refer(Qcow2Check *c, uint64_t pos, uint64_t len, const char *what, uint64_t from);

/* Counts all references to the clusters of the window, and tells what is wrong with what refers. */
int qcow2_check_count(Qcow2Check *c);

/* directories.c: of snapshots and bitmaps. */
int qcow2_check_snapshots_of(Qcow2Check *c, const Qcow2Visitor *v);
int qcow2_check_bitmaps_of(Qcow2Check *c);

/* check.c. Calls `then` for each window in which there are references or refcount blocks, when it has been counted. */
int qcow2_check_windows(Qcow2Check *c, int (*then)(Qcow2Check *c));

/* Calls `each` with the refcount of every cluster of the window, 0 where no block is. What it changes is written,
 * unless there is no block. */
int qcow2_check_refcounts(Qcow2Check *c,
                          int (*each)(Qcow2Check *c, uint64_t cluster, uint64_t *refcount));

/* 1 and the refcount of the cluster there, in qcow2_check_walk_active, with QCOW2_COUNT_LOWERED; 0: it belongs to
 * another window. What is past the end of the file belongs to the first one. */
int qcow2_check_refcount_at(Qcow2Check *c, uint64_t pos, uint64_t *ret);

/* Turns the counts of the window into the refcounts that are in the file, and walks over the active tables. */
int qcow2_check_walk_active(Qcow2Check *c, const Qcow2Visitor *visitor);

/* Looks at everything, and fills the report. */
int qcow2_check_look(Qcow2Check *c);

/* The callback of the format. */
int qcow2_check(Node *n, CheckReport *report);

/* repair.c. Repairs what the report asks for and the last look has found. */
int qcow2_check_repair(Qcow2Check *c);

/* An image that was not closed cleanly (dirty bit), before anything else is written to it: repairs all, leaks too,
 * and clears the bit. Uses the store and the header of the node; COPIED bits in L1 may change, so it is called before
 * L1 is read. EUCLEAN: something remains, and the bit with it. */
int qcow2_repair_dirty(Node *n, Err *err);
