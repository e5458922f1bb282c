/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A loop device over our own view, with partitions. Whoever opens or closes it may wait for the view, so that a child process has
 * it open, and nobody else: when that ends, by our word or with us, the device is gone as soon as nothing uses it any more.
 * One thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        LOOP_PARTITIONS_MAX = 256,
};

/* What the child says once the device is there, or cannot be. */
typedef struct LoopReport {
        int32_t code; /* positive errno; 0: it is there */
        uint32_t number;
        uint32_t late; /* udev has not done with it in time */
        uint32_t partition_count;
        uint32_t partitions[LOOP_PARTITIONS_MAX]; /* their numbers, ascending */
        char text[256];
} LoopReport;

typedef struct LoopHolder {
        pid_t pid;
        int pidfd;   /* readable when it has ended */
        int channel; /* its report comes here; closing it is our word */
        LoopReport report;
        bool is_up; /* it has reported a device, and has not been told to let go of it */
} LoopHolder;

#define LOOP_HOLDER_NONE                               \
        (LoopHolder)                                   \
        {                                              \
                .pid = -1, .pidfd = -1, .channel = -1, \
        }

typedef struct LoopOrder {
        int folder; /* O_PATH, in which the view lies */
        const char *name;
        bool writable;
        bool direct; /* past the page cache of the view */
        uint32_t sector_size;
} LoopOrder;

/* Starts the child, with the capabilities that we have now; it drops them when the device is there. */
int loop_holder_start(const LoopOrder *order, LoopHolder *ret, Err *err);

/* When the channel is readable. Fails with what the child has said. */
int loop_holder_take_report(LoopHolder *h, Err *err);

/* Of one that has ended by itself: how, as waitpid(2) tells it. It is forgotten then. */
int loop_holder_take_end(LoopHolder *h);

/* Tells it to let go. Accepts one that was told. */
void loop_holder_release(LoopHolder *h);

/* Forgets a child that has ended; one that has not is killed, and ends when the view lets it. */
void loop_holder_done(LoopHolder *h);

/* "/dev/loop3", and of partition `index` "/dev/loop3p1". False: there is no such. */
bool loop_holder_get_node(const LoopHolder *h, unsigned index, char ret[32]);
