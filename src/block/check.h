/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking for damage in an image, and mending it: what is asked, and what comes out. The same for all formats. A
 * CheckReport belongs to the caller, and to one thread.
 *
 * A corruption is what may lose data, now or at a later write. A leak is space that nothing refers to: a waste, no
 * danger. What a check reads is the file alone; a node that serves meanwhile must have been flushed and be left alone.
 */
#pragma once

#include "base/err.h"
#include "block/format.h"
#include "block/listener.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum CheckRepair {
        CHECK_LOOK,         /* change nothing */
        CHECK_REPAIR_LEAKS, /* leaks only, which takes no decision about data */
        CHECK_REPAIR_ALL,
} CheckRepair;

struct CheckReport {
        /* What the caller wants. */
        CheckRepair repair;
        /* Gets one sentence for each finding, without a newline, valid during the call. NULL: nobody listens. */
        void (*tell)(void *arg, const char *text);
        void *arg;
        bool quiet;        /* see check_begin_again() */
        Listener listener; /* of passes over the tables; a repair makes several */

        /* The pass; see check_begin_pass(). */
        const char *pass;
        uint64_t whole, base, done;

        /* What is wrong with the image; after a repair, what is still wrong. */
        uint64_t corruptions, leaks;
        uint64_t corruptions_fixed, leaks_fixed;
        uint64_t check_errors; /* what could not be looked at; then the check was not completed */

        uint64_t image_end; /* behind the last byte of the file that is in use */
        uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;

        Err err; /* why the check was not completed */
};

/* Zeroes all results in `report` and fills them. 0: completed, whatever was found. -EOPNOTSUPP: the format has no
 * check. Else not completed, and report->err says why. A repair needs a node that was opened writable and for_check
 * (else EROFS); it is crash-safe: what an interruption leaves can be checked and repaired again, and no data is lost. */
int node_check(Node *n, CheckReport *report);

/* For drivers. Each counts one finding and tells the sentence. */
void check_corruption(CheckReport *report, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));
void check_leak(CheckReport *report, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For drivers: another pass begins, of `whole` steps, which is "checking" or "repairing" the image. */
void check_begin_pass(CheckReport *report, const char *pass, uint64_t whole);

/* For drivers: a part of the pass begins, at step `base`. */
void check_begin_part(CheckReport *report, uint64_t base);

/* For drivers: so many steps of the part have been made. Cheap, but for each entry of a table it is too much. */
void check_step(CheckReport *report, uint64_t done);

/* For drivers: the pass is over. Where another one begins, or the check ends, that needs not be said. */
void check_end_pass(CheckReport *report);

/* For drivers, in open: of a check or repair before an image is written to, of which the listener of `n` hears. */
CheckReport check_report_of(const Node *n, CheckRepair repair);

/* For drivers, after a repair: what was found is forgotten, and what is found until check_end_again() is counted and not told,
 * since it has been told. The report's findings are those that are left then. */
void check_begin_again(CheckReport *report);
void check_end_again(CheckReport *report);

/* For drivers: a sentence that counts nothing. */
void check_tell(CheckReport *report, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For drivers, when an image that was not closed cleanly has been repaired before it is written to: EUCLEAN where corruptions
 * are left, with a sentence that counts them. */
int check_refuse_unclean(const CheckReport *report, Err *err);
