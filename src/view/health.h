/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a view has been doing: what was asked of it, and what went wrong first. Embedded in its View, which owns it.
 * Any thread. Nothing is logged here: who wants to tell of a fault is woken through an eventfd and takes the
 * first fault of a minute with health_take_report().
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* The numbers of MessageFault.is_write. */
typedef enum HealthOp {
        HEALTH_READ = 0,
        HEALTH_WRITE = 1,
        HEALTH_SYNC = 2,
        HEALTH_OTHER = 3,
} HealthOp;

typedef struct Fault {
        int code; /* positive errno, as the image's layers gave it */
        HealthOp op;
        uint64_t off, len;
        time_t when;
} Fault;

typedef struct Health {
        atomic_uint_fast64_t reads, writes, bytes_read, bytes_written, errors;

        int wake_fd; /* fixed; an eventfd, borrowed; -1: nobody wants to be woken */

        pthread_mutex_t lock;
        Fault first;            /* of all; code 0: none yet; guarded by lock */
        Fault pending;          /* the first since the last report; guarded by lock */
        uint64_t pending_count; /* guarded by lock */
        bool reported;          /* reported_at is set; guarded by lock */
        time_t reported_at;     /* CLOCK_MONOTONIC; guarded by lock */
} Health;

typedef struct HealthCounts {
        uint64_t reads, writes, bytes_read, bytes_written, errors;
        Fault first; /* code 0: none */
} HealthCounts;

enum {
        HEALTH_REPORT_INTERVAL = 60, /* seconds */
};

int health_init(Health *h, int wake_fd);
void health_done(Health *h);

void health_count_read(Health *h, uint64_t len);
void health_count_write(Health *h, uint64_t len);
void health_fault(Health *h, const Fault *fault);
void health_get_counts(Health *h, HealthCounts *ret);

/* 0: there is a fault to report, and `*ret`, `*ret_count` say which and how many there were since the last report.
 * Otherwise the seconds after which to ask again, or -1 when there is nothing to wait for. `now`: monotonic. */
int health_take_report(Health *h, time_t now, Fault *ret, uint64_t *ret_count);
