/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Going through all of a sparse extent: for a check, and before the image is written to. Private to the folder above.
 *
 * What lies in the file is told apart in two maps, of which each has one bit for a unit: metadata, and grains. Large files
 * are looked at in windows of so many units, one after the other, leaving out those in which nothing lies. The unit is what
 * all positions of grains are multiples of, so that it is a grain in all files that programs make.
 */
#pragma once

#include "block/check.h"
#include "format/vmdk/vmdk.h"

#include <stdint.h>

enum {
        VMDK_CHECK_WALKS = 4,    /* of an extent; the third one may be several */
        VMDK_CHECK_STEPS = 4096, /* of a walk, for those who wait */
};

typedef struct VmdkScan {
        Node *n;
        const VmdkExtent *x;
        CheckReport *report; /* NULL: the first finding ends it */
        Err *err;
        CheckReport *steps; /* who hears how far it is */
        unsigned walk;      /* which one it is, from 0 on */
        uint64_t work;      /* what has been looked at so far; LIMIT_CHECK_ENTRIES */

        /* Found out by the first walk. */
        uint64_t positions; /* of grains, all in one */
        uint64_t unit;      /* 0: not yet */
        uint64_t used_end;  /* behind the last byte that anything refers to */

        /* The window, in units. */
        uint64_t first, next;   /* next: the first one behind it in which something lies */
        uint8_t *meta, *grains; /* owned */
} VmdkScan;

/* Each looks at one table, which lies in the file, or one grain of it. */
typedef struct VmdkVisitor {
        /* A piece of metadata; `what` and `index` say which. */
        int (*piece)(VmdkScan *s, const char *what, uint64_t index, uint64_t pos, uint64_t len);
        int (*table)(VmdkScan *s, uint64_t index, uint64_t pos, uint64_t copy_pos);
        int (*grain)(VmdkScan *s, uint64_t index, uint64_t entry);
} VmdkVisitor;

/* walk.c: visits what there is to visit; members may be NULL. */
int vmdk_walk(VmdkScan *s, const VmdkVisitor *visitor);

/* A finding: 0 to go on, or what ends the scan. */
int vmdk_found(VmdkScan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* So much more has been looked at: -EFBIG when it is more than anybody waits for. */
int vmdk_worked(VmdkScan *s, uint64_t count);

/* scan.c: all of an extent. Leaks are counted with a report only. */
int vmdk_scan(VmdkScan *s);

/* Is the extent such that it can be written to without harm? EUCLEAN. */
int vmdk_check_sound(Node *n, const VmdkExtent *x, Err *err);

/* check.c: the callback. */
int vmdk_check(Node *n, CheckReport *report);
