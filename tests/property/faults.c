/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whatever I/O fails, first, second, third …, until a run meets no failure: somebody is told, nothing leaks (ASan
 * watches), what is read afterwards is right, and the image is sound. A full host, for a while or for ever, is a
 * failure like others, except that everything goes on when it has room again.
 */
#include "expected.h"
#include "sample.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/limits.h"
#include "fake/secret.h"
#include "fake/shelf.h"
#include "format/formats.h"
#include "store/mem.h"

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
        Expected expected; /* when it writes */
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
        expected_init(&run->expected, sample, 0);
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

/* What has been flushed shows to whoever opens a copy of the file. */
static void open_again(Run *run, Node *n)
{
        _cleanup_cache_ Cache *c = NULL;
        _cleanup_store_ Store *s = NULL;
        _cleanup_node_ Node *again = NULL;
        Err err = { "" };

        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &c), 0);
        assert_int_equal(mem_store_copy(n->store, &s), 0);
        ChainRequest request = { .formats = sample_formats,
                                 .raw = &format_raw,
                                 .format_name = run->sample->format->name,
                                 .opener = &run->shelf.opener,
                                 .file_name = SAMPLE_FILE_NAME,
                                 .cache = c };
        if (chain_open(&request, s, &again, &err) < 0)
                fail_msg("%s", err.text);
        TAKE(s);
        expected_check(&run->expected, again);
}

/* What an image is asked while one of its I/Os fails. */
static int change_all(Run *run, Node *n)
{
        int r = 0;
        for (const Request *q = sample_requests; r >= 0 && q->what != WHAT_END; q++)
                r = expected_run(&run->expected, n, q);
        return r;
}

/* Afterwards: the disk is read as it should be. After a failed sync no write and no flush gets through; else all that
 * was not done is done with the next flush. And what the file holds then is an image with the same contents. */
static void look_afterwards(Run *run, Node *n)
{
        bool broken = atomic_load(&n->broken);

        atomic_store(&run->plan.fail_at, 0);
        expected_check(&run->expected, n);
        expected_audit(&run->expected, n->store, false);
        if (broken) {
                assert_int_equal(node_write(n, "x", 1, 0), -EIO);
                assert_int_equal(node_discard(n, 0, 1), -EIO);
                assert_int_equal(node_resize(n, 1), -EIO);
                assert_int_equal(node_flush(n), -EIO);
                expected_check(&run->expected, n);
                expected_audit(&run->expected, n->store, false);
                return;
        }
        assert_int_equal(expected_run(&run->expected, n, &(Request){ WHAT_WRITE, 300, 9, '!' }), 0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(node_flush(n), 0);
        expected_check(&run->expected, n);
        expected_audit(&run->expected, n->store, true);
        open_again(run, n);
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
                                 .file_name = SAMPLE_FILE_NAME,
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
        if (r < 0 || !run->writes)
                return r;
        r = change_all(run, n);
        /* What looking afterwards takes is no part of this life. */
        uint64_t count = atomic_load(&run->plan.count);
        look_afterwards(run, n);
        atomic_store(&run->plan.count, count);
        return r;
}

/* One run for each I/O, with failures of this kind. A few may be kept from the caller: those after which nothing that
 * was asked for is missing, such as giving back space. That nothing is, look_afterwards has seen. */
static void fail_one_after_the_other(const Sample *sample, bool writes, const FaultPlan *kind)
{
        uint64_t kept = 0;

        for (uint64_t i = 1; i < RUNS_MAX; i++) {
                static Run run;
                run_init(&run, sample, writes);
                run.plan.code = kind->code;
                run.plan.stays = kind->stays;
                run.plan.full = kind->full;
                atomic_store(&run.plan.fail_at, i);
                int r = live(&run);
                shelf_done(&run.shelf);
                if (atomic_load(&run.plan.count) < i) {
                        assert_int_equal(r, 0);
                        assert_true(i > 5 && kept <= i / 8);
                        return;
                }
                kept += writes && r == 0;
                if (r != -kind->code && !(writes && r == 0))
                        fail_msg("%s: failure %llu came out as %d", sample->name,
                                 (unsigned long long)i, r);
        }
        fail_msg("%s: no run without a failure", sample->name);
}

static void test_reading(void **state)
{
        for (const Sample *s = samples; s->format; s++)
                fail_one_after_the_other(s, false, &(FaultPlan){ .code = EIO });
}

static void test_writing(void **state)
{
        for (const Sample *s = samples; s->format; s++)
                if (s->writable)
                        fail_one_after_the_other(s, true, &(FaultPlan){ .code = EIO });
}

/* No room any more from some point on, until look_afterwards: ENOSPC or EDQUOT, as the host likes. */
static void test_a_full_host(void **state)
{
        for (const Sample *s = samples; s->format; s++)
                for (int quota = 0; s->writable && quota < 2; quota++)
                        fail_one_after_the_other(s, true,
                                                 &(FaultPlan){ .code = quota ? EDQUOT : ENOSPC,
                                                               .stays = true,
                                                               .full = true });
}

/* A file that cannot become longer than `room` more bytes: what has a place is written, what needs one is refused, and
 * once there is room again everything that was promised is there. */
static void fill_up(const Sample *sample, uint64_t room)
{
        static Run run;
        _cleanup_cache_ Cache *c = NULL;
        _cleanup_node_ Node *n = NULL;
        NodeOptions options = { .writable = true, .file_name = SAMPLE_FILE_NAME };
        uint64_t size = 0;
        Store *s = NULL;
        bool refused = false;

        run_init(&run, sample, true);
        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &c), 0);
        options.cache = c;
        assert_int_equal(sample->make(NULL, NULL, &s), 0);
        assert_int_equal(node_open(sample->format, s, &options, &fake_key_opener, &n, NULL), 0);
        assert_int_equal(store_get_size(s, &size), 0);
        assert_int_equal(expected_run(&run.expected, n,
                                      &(Request){ WHAT_WRITE, 5 * SAMPLE_GRANULE, 100, 'p' }),
                         0);
        mem_store_set_limit(s, size + room);

        for (uint64_t off = 6 * SAMPLE_GRANULE; off < SAMPLE_SIZE; off += SAMPLE_GRANULE) {
                int r = expected_run(&run.expected, n,
                                     &(Request){ WHAT_WRITE, off, SAMPLE_GRANULE, 'q' });
                assert_true(r == 0 || r == -ENOSPC);
                refused = refused || r < 0;
                r = node_flush(n);
                assert_true(r == 0 || r == -ENOSPC);
                expected_check(&run.expected, n);
                expected_audit(&run.expected, s, false);
        }
        /* A disk that lies in one granule wants no more room. */
        assert_true(refused || n->granule == 0 || n->granule >= SAMPLE_SIZE);
        assert_int_equal(expected_run(&run.expected, n,
                                      &(Request){ WHAT_WRITE, 5 * SAMPLE_GRANULE + 9, 9, 'r' }),
                         0);

        mem_store_set_limit(s, MEM_STORE_MAX);
        assert_int_equal(expected_run(&run.expected, n,
                                      &(Request){ WHAT_WRITE, 6 * SAMPLE_GRANULE, 9000, 's' }),
                         0);
        assert_int_equal(node_flush(n), 0);
        assert_int_equal(node_flush(n), 0);
        expected_audit(&run.expected, s, true);
        open_again(&run, n);
        shelf_done(&run.shelf);
}

static void test_no_room_at_the_end(void **state)
{
        static const uint64_t rooms[] = {
                0, 512, SAMPLE_GRANULE, SAMPLE_GRANULE + 100, 3 * SAMPLE_GRANULE, 20000
        };

        for (const Sample *sample = samples; sample->format; sample++)
                for (size_t i = 0; sample->writable && i < sizeof(rooms) / sizeof(rooms[0]); i++)
                        fill_up(sample, rooms[i]);
}

static void test_every_sample_is_sound(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                static Expected expected;
                _cleanup_store_ Store *s = NULL;
                expected_init(&expected, sample, 0);
                assert_int_equal(sample->make(NULL, NULL, &s), 0);
                expected_audit(&expected, s, true);
        }
}

static void test_every_format_has_a_sample(void **state)
{
        assert_null(sample_find_missing());
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_format_has_a_sample),
                cmocka_unit_test(test_every_sample_is_sound),
                cmocka_unit_test(test_reading),
                cmocka_unit_test(test_writing),
                cmocka_unit_test(test_a_full_host),
                cmocka_unit_test(test_no_room_at_the_end),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
