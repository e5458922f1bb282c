/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/health.h"

#include "base/cleanup.h"

#include <unistd.h>

int health_init(Health *h, int wake_fd)
{
        *h = (Health){ .wake_fd = wake_fd };
        return -pthread_mutex_init(&h->lock, NULL);
}

void health_done(Health *h)
{
        pthread_mutex_destroy(&h->lock);
}

static void health_add(atomic_uint_fast64_t *counter, uint64_t n)
{
        atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void health_count_read(Health *h, uint64_t len)
{
        health_add(&h->reads, 1);
        health_add(&h->bytes_read, len);
}

void health_count_write(Health *h, uint64_t len)
{
        health_add(&h->writes, 1);
        health_add(&h->bytes_written, len);
}

void health_fault(Health *h, const Fault *fault)
{
        bool wake = false;

        health_add(&h->errors, 1);
        LOCKED(&h->lock)
        {
                if (h->first.code == 0)
                        h->first = *fault;
                if (h->pending_count == 0) {
                        h->pending = *fault;
                        wake = true;
                }
                h->pending_count++;
        }
        if (wake && h->wake_fd >= 0) {
                /* An eventfd refuses only when it is full, and then its reader is awake already. */
                uint64_t one = 1;
                ssize_t n = write(h->wake_fd, &one, sizeof(one));
                (void)n;
        }
}

void health_get_counts(Health *h, HealthCounts *ret)
{
        *ret = (HealthCounts){
                .reads = atomic_load_explicit(&h->reads, memory_order_relaxed),
                .writes = atomic_load_explicit(&h->writes, memory_order_relaxed),
                .bytes_read = atomic_load_explicit(&h->bytes_read, memory_order_relaxed),
                .bytes_written = atomic_load_explicit(&h->bytes_written, memory_order_relaxed),
                .errors = atomic_load_explicit(&h->errors, memory_order_relaxed),
        };
        LOCKED(&h->lock)
        {
                ret->first = h->first;
        }
}

int health_take_report(Health *h, time_t now, Fault *ret, uint64_t *ret_count)
{
        LOCKED(&h->lock)
        {
                if (h->pending_count == 0)
                        return -1;

                time_t next = h->reported_at + HEALTH_REPORT_INTERVAL;
                if (h->reported && now < next)
                        return (int)(next - now);

                *ret = h->pending;
                *ret_count = h->pending_count;
                h->pending_count = 0;
                h->reported = true;
                h->reported_at = now;
        }
        return 0;
}
