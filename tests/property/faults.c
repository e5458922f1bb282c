/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whatever I/O fails, first, second, third …, until a run meets no failure: somebody is told, nothing leaks (ASan
 * watches), and what is read afterwards is right.
 */
#include "sample.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/limits.h"
#include "fake/shelf.h"
#include "format/formats.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../unit/fd-count.h"

enum {
        RUNS_MAX = 2000,
};

typedef struct Run {
        const Sample *sample;
        Shelf shelf;
        FaultPlan plan;
        bool writes;
} Run;

static void run_init(Run *run, const Sample *sample, bool writes)
{
        Store *s = NULL;

        *run = (Run){ .sample = sample, .writes = writes, .plan.code = EIO };
        shelf_init(&run->shelf);
        assert_int_equal(sample->make(sample->names_below ? "mid" : NULL,
                                      sample->names_below ? sample->format->name : NULL, &s),
                         0);
        assert_int_equal(shelf_put(&run->shelf, "top", 0, s), 0);
        assert_int_equal(sample->make(sample->names_below ? "base" : NULL, "raw", &s), 0);
        assert_int_equal(shelf_put(&run->shelf, "mid", 0, s), 0);
        assert_int_equal(samples[0].make(NULL, NULL, &s), 0);
        assert_int_equal(shelf_put(&run->shelf, "base", 0, s), 0);
        run->shelf.faults = &run->plan;
}

/* Reads all of the disk. What comes back without an error is right; after an error a second try is. */
static int read_all(Node *n)
{
        int first = 0;
        for (uint64_t off = 0; off < SAMPLE_SIZE; off += 1500) {
                uint8_t buf[1500];
                size_t len = SAMPLE_SIZE - off < sizeof(buf) ? SAMPLE_SIZE - off : sizeof(buf);
                int r = node_read(n, buf, len, off);
                if (r < 0) {
                        first = first < 0 ? first : r;
                        r = node_read(n, buf, len, off);
                }
                assert_int_equal(r, 0);
                for (size_t i = 0; i < len; i++)
                        assert_int_equal(buf[i], sample_byte(off + i, 0));
        }
        return first;
}

/* Looks where data and holes are, and at times and sizes. */
static int look_around(Node *n)
{
        uint64_t off = 0;
        StoreStat stat;
        int r = 0;
        for (int i = 0; r >= 0 && i < 10; i++)
                r = node_find(n, i % 2 ? NODE_FIND_HOLE : NODE_FIND_DATA, off, &off);
        return r < 0 && r != -ENXIO ? r : node_get_stat(n, &stat);
}

static int change_all(Node *n)
{
        uint8_t bytes[3 * SAMPLE_GRANULE];
        memset(bytes, 'w', sizeof(bytes));
        int r = node_write(n, bytes, sizeof(bytes), 100);
        if (r >= 0)
                r = node_write(n, bytes, 10, 3 * SAMPLE_GRANULE + 5);
        if (r >= 0)
                r = node_discard(n, 10, 2 * SAMPLE_GRANULE);
        if (r >= 0)
                r = node_zero(n, 0, 5 * SAMPLE_GRANULE + 1);
        if (r >= 0)
                r = node_allocate(n, 0, SAMPLE_SIZE);
        if (r >= 0)
                r = node_flush(n);
        if (r >= 0)
                r = node_resize(n, 5000);
        if (r >= 0)
                r = node_resize(n, SAMPLE_SIZE);
        return r >= 0 ? node_flush(n) : r;
}

/* The whole life of an image. The first error that anybody was told of. */
static int live(Run *run)
{
        _cleanup_cache_ Cache *c = NULL;
        _cleanup_store_ Store *s = NULL;
        _cleanup_node_ Node *n = NULL;
        Err err = { "" };

        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &c), 0);
        assert_int_equal(shelf_open(&run->shelf, "top", &s), 0);
        ChainRequest request = { .formats = sample_formats,
                                 .raw = &format_raw,
                                 .writable = run->writes,
                                 .format_name = run->writes ? run->sample->format->name : NULL,
                                 .opener = &run->shelf.opener,
                                 .cache = c };
        int r = chain_open(&request, s, &n, &err);
        if (r < 0) {
                assert_string_not_equal(err.text, "");
                return r;
        }
        TAKE(s);
        r = read_all(n);
        if (r >= 0)
                r = look_around(n);
        if (r >= 0 && run->writes)
                r = change_all(n);
        return r;
}

static void fail_one_after_the_other(const Sample *sample, bool writes)
{
        for (uint64_t i = 1; i < RUNS_MAX; i++) {
                Run run;
                run_init(&run, sample, writes);
                atomic_store(&run.plan.fail_at, i);
                int r = live(&run);
                shelf_done(&run.shelf);
                if (atomic_load(&run.plan.count) < i) {
                        assert_int_equal(r, 0);
                        assert_true(i > 5);
                        return;
                }
                if (r != -EIO)
                        fail_msg("%s: failure %llu came out as %d", sample->format->name,
                                 (unsigned long long)i, r);
        }
        fail_msg("%s: no run without a failure", sample->format->name);
}

static void test_reading(void **state)
{
        for (const Sample *s = samples; s->format; s++)
                fail_one_after_the_other(s, false);
}

static void test_writing(void **state)
{
        for (const Sample *s = samples; s->format; s++)
                if (s->writable)
                        fail_one_after_the_other(s, true);
}

static void test_every_format_has_a_sample(void **state)
{
        assert_null(sample_find_missing());
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_format_has_a_sample),
                cmocka_unit_test(test_reading),
                cmocka_unit_test(test_writing),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
