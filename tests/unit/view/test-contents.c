/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes and sizes. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void test_reads_end_at_the_end(void **state)
{
        static const struct {
                uint64_t off;
                size_t len, done;
        } cases[] = {
                { 0, 10, 10 },          { 5000, 4096, 4096 }, { 9990, 10, 10 },
                { 9990, 11, 10 },       { 9999, 65536, 1 },   { 10000, 1, 0 },
                { 20000, 100, 0 },      { 0, 65536, 10000 },  { UINT64_MAX, 10, 0 },
                { INT64_MAX, 4096, 0 }, { 3, 0, 0 },
        };
        static char buf[65536];
        Bench b;

        bench_open(&b, &read_only);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t done = SIZE_MAX;

                assert_int_equal(view_read(b.view, buf, cases[i].len, cases[i].off, &done), 0);
                assert_int_equal(done, cases[i].done);
                for (size_t j = 0; j < done; j++)
                        assert_int_equal(buf[j], disk_byte(cases[i].off + j));
        }
        bench_close(&b);
}

static void test_a_window_is_all_there_is(void **state)
{
        ViewOptions options = writable;
        char buf[200];
        size_t done = 0;
        uint64_t found = 0;
        Bench b;

        options.start = 1000;
        options.len = 100;
        options.growable = true;
        bench_open(&b, &options);
        assert_int_equal(view_size(b.view), 100);
        assert_int_equal(view_read(b.view, buf, 200, 90, &done), 0);
        assert_int_equal(done, 10);
        assert_int_equal(buf[0], disk_byte(1090));
        assert_int_equal(view_write(b.view, "XXXXXXXXXXXXXXXXXXXX", 20, 90, &done), 0);
        assert_int_equal(done, 10);
        assert_int_equal(view_write(b.view, "X", 1, 100, &done), -ENOSPC);
        assert_int_equal(view_find(b.view, VIEW_FIND_HOLE, 10, &found), 0);
        assert_int_equal(found, 100);
        assert_int_equal(view_allocate(b.view, 90, 20, VIEW_END_MOVE), -ENOSPC);
        assert_int_equal(view_punch(b.view, 50, 1000), 0);
        assert_int_equal(node_read(b.node, buf, 4, 1098), 0);
        assert_memory_equal(buf, "\0\0", 2);
        assert_int_equal(buf[2], disk_byte(1100));
        assert_int_equal(view_change(b.view, &(ViewChange){ .has_size = true, .size = 50 }),
                         -EPERM);
        bench_close(&b);
}

/* Whatever is asked for, before and behind it nothing is another byte afterwards, nor is the disk longer. */
static void test_a_window_is_not_left(void **state)
{
        static const uint64_t edges[] = {
                0, 1, 50, 99, 100, 101, 1000, 20000, INT64_MAX - 1, INT64_MAX, UINT64_MAX
        };
        enum { EDGES = sizeof(edges) / sizeof(edges[0]) };
        _cleanup_free_ char *bytes = malloc(DISK_SIZE), *noise = calloc(1, 20000);
        ViewOptions options = writable;
        size_t done;
        Bench b;

        options.start = 1000;
        options.len = 100;
        bench_open(&b, &options);
        for (size_t i = 0; i < EDGES; i++)
                for (size_t k = 0; k < EDGES; k++) {
                        uint64_t off = edges[i], len = edges[k];
                        if (len <= 20000)
                                (void)view_write(b.view, noise, (size_t)len, off, &done);
                        for (ViewEnd end = VIEW_END_KEEP; end <= VIEW_END_MOVE; end++) {
                                (void)view_zero(b.view, off, len, end);
                                (void)view_allocate(b.view, off, len, end);
                        }
                        (void)view_punch(b.view, off, len);
                        (void)view_change(
                                b.view,
                                &(ViewChange){ .has_size = true, .by_path = true, .size = off });
                }
        assert_int_equal(view_size(b.view), 100);
        assert_int_equal(node_get_size(b.node), DISK_SIZE);
        assert_int_equal(node_read(b.node, bytes, DISK_SIZE, 0), 0);
        for (uint64_t i = 0; i < DISK_SIZE; i++)
                if (bytes[i] != (i >= 1000 && i < 1100 ? '\0' : disk_byte(i)))
                        fail_msg("byte %ju is %d", (uintmax_t)i, bytes[i]);
        bench_close(&b);
}

static void test_a_window_outside_the_disk_is_refused(void **state)
{
        ViewOptions options = read_only;
        Bench b;
        Err err;

        bench_open_node(&b, false, 0);
        options.start = 9000;
        options.len = 1001;
        assert_int_equal(view_new(b.node, &options, &b.view, &err), -EINVAL);
        assert_string_equal(err.text, "a window of 1001 bytes at 9000 is not within 10000");
        options.start = UINT64_MAX;
        assert_int_equal(view_new(b.node, &options, &b.view, NULL), -EINVAL);
        bench_close(&b);
}

static void test_writes_at_the_end(void **state)
{
        static const struct {
                const char *name;
                const ViewOptions *options;
                uint64_t off;
                size_t len;
                int result;
                size_t done;
                uint64_t size;
        } cases[] = {
                { "inside", &writable, 5000, 100, 0, 100, DISK_SIZE },
                { "up to the end", &writable, 9900, 100, 0, 100, DISK_SIZE },
                { "across the end is cut", &writable, 9900, 200, 0, 100, DISK_SIZE },
                { "at the end", &writable, 10000, 1, -ENOSPC, 0, DISK_SIZE },
                { "past the end", &writable, 20000, 1, -ENOSPC, 0, DISK_SIZE },
                { "nothing at the end", &writable, 10000, 0, 0, 0, DISK_SIZE },
                { "beyond all files", &writable, INT64_MAX, 1, -EFBIG, 0, DISK_SIZE },
                { "growing across the end", &growable, 9900, 200, 0, 200, 10100 },
                { "growing by one byte", &growable, 10000, 1, 0, 1, 10001 },
                { "growing with a gap", &growable, 12000, 7, 0, 7, 12007 },
                { "growing: inside", &growable, 0, 1, 0, 1, DISK_SIZE },
                { "growing beyond all files", &growable, INT64_MAX, 1, -EFBIG, 0, DISK_SIZE },
                { "read-only", &read_only, 0, 1, -EROFS, 0, DISK_SIZE },
        };
        static const char buf[256] = "new";

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t done = 0;
                Bench b;

                bench_open(&b, cases[i].options);
                int r = view_write(b.view, buf, cases[i].len, cases[i].off, &done);
                if (r != cases[i].result || done != cases[i].done ||
                    view_size(b.view) != cases[i].size)
                        fail_msg("%s: %d, %zu done, size %ju", cases[i].name, r, done,
                                 (uintmax_t)view_size(b.view));
                bench_close(&b);
        }
}

static void test_what_growing_adds_is_zero(void **state)
{
        size_t done = 0;
        char buf[2008];
        Bench b;

        bench_open(&b, &growable);
        assert_int_equal(view_write(b.view, "end", 3, 12000, &done), 0);
        assert_int_equal(view_read(b.view, buf, sizeof(buf), 9999, &done), 0);
        assert_int_equal(done, 2004);
        assert_int_equal(buf[0], disk_byte(9999));
        for (size_t i = 1; i < 2001; i++)
                assert_int_equal(buf[i], 0);
        assert_memory_equal(buf + 2001, "end", 3);
        bench_close(&b);
}

typedef enum RangeCall {
        ALLOCATE,
        ZERO,
        PUNCH,
} RangeCall;

static int call_range(View *v, RangeCall call, uint64_t off, uint64_t len, ViewEnd end)
{
        switch (call) {
        case ALLOCATE:
                return view_allocate(v, off, len, end);
        case ZERO:
                return view_zero(v, off, len, end);
        case PUNCH:
                return view_punch(v, off, len);
        }
        return -EINVAL;
}

static void test_ranges_within_and_past_the_end(void **state)
{
        static const struct {
                const char *name;
                const ViewOptions *options;
                RangeCall call;
                uint64_t off, len;
                ViewEnd end;
                int result;
                uint64_t size;
                /* What reads as zeroes afterwards. */
                uint64_t zero_off, zero_end;
        } cases[] = {
                { "punch inside", &writable, PUNCH, 100, 50, VIEW_END_KEEP, 0, 10000, 100, 150 },
                { "punch across", &writable, PUNCH, 9000, 5000, VIEW_END_KEEP, 0, 10000, 9000,
                  10000 },
                { "punch past", &writable, PUNCH, 20000, 10, VIEW_END_KEEP, 0, 10000, 0, 0 },
                { "punch ro", &read_only, PUNCH, 0, 10, VIEW_END_KEEP, -EROFS, 10000, 0, 0 },
                { "zero inside", &writable, ZERO, 1, 9, VIEW_END_MOVE, 0, 10000, 1, 10 },
                { "zero across, keep", &writable, ZERO, 9990, 99, VIEW_END_KEEP, 0, 10000, 9990,
                  10000 },
                { "zero past, keep", &writable, ZERO, 20000, 99, VIEW_END_KEEP, 0, 10000, 0, 0 },
                { "zero across, move", &writable, ZERO, 9990, 99, VIEW_END_MOVE, 0, 10089, 9990,
                  10089 },
                { "zero ro", &read_only, ZERO, 0, 10, VIEW_END_KEEP, -EROFS, 10000, 0, 0 },
                { "allocate inside", &writable, ALLOCATE, 0, 9, VIEW_END_MOVE, 0, 10000, 0, 0 },
                { "allocate at the end", &writable, ALLOCATE, 10000, 65536, VIEW_END_MOVE, 0, 75536,
                  10000, 75536 },
                { "allocate past, keep", &writable, ALLOCATE, 10000, 9, VIEW_END_KEEP, 0, 10000, 0,
                  0 },
                { "allocate too much", &writable, ALLOCATE, 0, INT64_MAX, VIEW_END_MOVE, -EFBIG,
                  10000, 0, 0 },
                { "overflow", &writable, ALLOCATE, UINT64_MAX, 2, VIEW_END_KEEP, -EFBIG, 10000, 0,
                  0 },
                { "allocate ro", &read_only, ALLOCATE, 0, 10, VIEW_END_MOVE, -EROFS, 10000, 0, 0 },
        };
        static char buf[80000];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t done = 0;
                Bench b;

                bench_open(&b, cases[i].options);
                int r = call_range(b.view, cases[i].call, cases[i].off, cases[i].len, cases[i].end);
                assert_int_equal(view_read(b.view, buf, sizeof(buf), 0, &done), 0);
                if (r != cases[i].result || done != cases[i].size)
                        fail_msg("%s: %d, size %zu", cases[i].name, r, done);
                for (size_t j = 0; j < done; j++) {
                        bool zero = j >= cases[i].zero_off && j < cases[i].zero_end;
                        if (buf[j] != (zero ? 0 : disk_byte(j)))
                                fail_msg("%s: wrong byte at %zu", cases[i].name, j);
                }
                bench_close(&b);
        }
}

static void test_a_failed_allocation_leaves_the_size(void **state)
{
        Bench b;
        Store *poor = NULL;

        b = (Bench){ .node = NULL };
        assert_int_equal(cache_new(0, &b.cache), 0);
        assert_int_equal(mem_store_new(NULL, DISK_SIZE, &poor), 0);
        mem_store_make_poor(poor);
        NodeOptions options = { .writable = true, .cache = b.cache };
        assert_int_equal(node_open(&format_raw, poor, &options, NULL, &b.node, NULL), 0);
        assert_int_equal(view_new(b.node, &writable, &b.view, NULL), 0);

        HealthCounts counts;
        assert_int_equal(view_allocate(b.view, DISK_SIZE, 4096, VIEW_END_MOVE), -EOPNOTSUPP);
        assert_int_equal(view_size(b.view), DISK_SIZE);
        view_get_counts(b.view, &counts);
        assert_int_equal(counts.errors, 0);
        bench_close(&b);
}

static void test_changes_of_size(void **state)
{
        static const struct {
                const char *name;
                const ViewOptions *options;
                uint64_t size;
                bool by_path;
                int result;
                uint64_t after;
        } cases[] = {
                { "unchanged", &writable, 10000, false, 0, 10000 },
                { "shorter", &writable, 9999, true, -EPERM, 10000 },
                { "longer", &writable, 10001, false, -EPERM, 10000 },
                { "ftruncate to nothing", &writable, 0, false, -EPERM, 10000 },
                { "O_TRUNC", &writable, 0, true, 0, 10000 },
                { "growable, shorter", &growable, 1, false, 0, 1 },
                { "growable, longer", &growable, 12345, false, 0, 12345 },
                { "growable, O_TRUNC", &growable, 0, true, 0, 0 },
                { "growable, too long", &growable, UINT64_MAX, false, -EFBIG, 10000 },
                { "read-only, O_TRUNC", &read_only, 0, true, -EROFS, 10000 },
                { "read-only", &read_only, 5, false, -EROFS, 10000 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                ViewChange change = { .has_size = true,
                                      .size = cases[i].size,
                                      .by_path = cases[i].by_path };
                Bench b;

                bench_open(&b, cases[i].options);
                int r = view_change(b.view, &change);
                if (r != cases[i].result || view_size(b.view) != cases[i].after)
                        fail_msg("%s: %d, size %ju", cases[i].name, r,
                                 (uintmax_t)view_size(b.view));
                bench_close(&b);
        }
}

static void test_data_and_holes(void **state)
{
        static const struct {
                ViewFind what;
                uint64_t off;
                int result;
                uint64_t found;
        } cases[] = {
                { VIEW_FIND_DATA, 0, 0, 0 },
                { VIEW_FIND_HOLE, 0, 0, 4096 },
                { VIEW_FIND_DATA, 5000, 0, 8192 },
                { VIEW_FIND_HOLE, 5000, 0, 5000 },
                { VIEW_FIND_HOLE, 8192, 0, 10000 },
                { VIEW_FIND_DATA, 9999, 0, 9999 },
                { VIEW_FIND_DATA, 10000, -ENXIO, 0 },
                { VIEW_FIND_HOLE, 10000, -ENXIO, 0 },
                { VIEW_FIND_DATA, UINT64_MAX, -ENXIO, 0 },
        };
        Bench b;

        bench_open(&b, &writable);
        assert_int_equal(view_punch(b.view, 4096, 4096), 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t found = 0;
                int r = view_find(b.view, cases[i].what, cases[i].off, &found);
                if (r != cases[i].result || found != cases[i].found)
                        fail_msg("case %zu: %d, %ju", i, r, (uintmax_t)found);
        }
        bench_close(&b);
}

enum {
        RACE_THREADS = 4,
        RACE_ROUNDS = 200,
};

typedef struct Racer {
        View *view;
        unsigned number;
        bool failed;
} Racer;

/* Each thread appends at places of its own: no other's growing may take what this one wrote. */
static void *race_append(void *arg)
{
        Racer *me = arg;

        for (unsigned i = 0; i < RACE_ROUNDS; i++) {
                uint64_t off = DISK_SIZE + (uint64_t)(i * RACE_THREADS + me->number) * 8;
                char text[32], back[9] = "";
                size_t done = 0;

                snprintf(text, sizeof(text), "%02u %05u", me->number % 100, i % 100000);
                if (view_write(me->view, text, 8, off, &done) < 0 || done != 8)
                        me->failed = true;
                if (view_read(me->view, back, 8, off, &done) < 0 || done != 8 ||
                    memcmp(text, back, 8) != 0)
                        me->failed = true;
        }
        return NULL;
}

static void test_appending_threads_do_not_cut_each_other(void **state)
{
        Racer racers[RACE_THREADS];
        pthread_t threads[RACE_THREADS];
        Bench b;

        bench_open_node(&b, true, 100);
        assert_int_equal(view_new(b.node, &growable, &b.view, NULL), 0);
        for (unsigned i = 0; i < RACE_THREADS; i++) {
                racers[i] = (Racer){ .view = b.view, .number = i };
                assert_int_equal(pthread_create(&threads[i], NULL, race_append, &racers[i]), 0);
        }
        for (unsigned i = 0; i < RACE_THREADS; i++)
                pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < RACE_THREADS; i++)
                assert_false(racers[i].failed);
        assert_int_equal(view_size(b.view), DISK_SIZE + RACE_ROUNDS * RACE_THREADS * 8);
        bench_close(&b);
}

/* While another changes the size, a read is whole, short or empty, and never an error. */
static void *race_read(void *arg)
{
        Racer *me = arg;
        char buf[4096];

        for (unsigned i = 0; i < RACE_ROUNDS; i++) {
                size_t done = 0;
                if (view_read(me->view, buf, sizeof(buf), 8000, &done) < 0)
                        me->failed = true;
                for (size_t j = 0; j < done; j++)
                        if (buf[j] != 0 && buf[j] != disk_byte(8000 + j))
                                me->failed = true;
        }
        return NULL;
}

static void test_readers_survive_a_moving_end(void **state)
{
        Racer racers[RACE_THREADS];
        pthread_t threads[RACE_THREADS];
        Bench b;

        bench_open_node(&b, true, 20);
        assert_int_equal(view_new(b.node, &growable, &b.view, NULL), 0);
        for (unsigned i = 0; i < RACE_THREADS; i++) {
                racers[i] = (Racer){ .view = b.view, .number = i };
                assert_int_equal(pthread_create(&threads[i], NULL, race_read, &racers[i]), 0);
        }
        for (unsigned i = 0; i < RACE_ROUNDS; i++) {
                ViewChange change = { .has_size = true, .size = i % 2 ? 9000 : DISK_SIZE };
                assert_int_equal(view_change(b.view, &change), 0);
        }
        for (unsigned i = 0; i < RACE_THREADS; i++)
                pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < RACE_THREADS; i++)
                assert_false(racers[i].failed);
        bench_close(&b);
}

/* The kernel writes to the file by itself: what the view says and does is true to the file as it is then. */
static void test_what_is_written_past_us(void **state)
{
        static const struct {
                bool passthrough;
                uint64_t size, found;
                int flushed;
        } cases[] = {
                { false, DISK_SIZE, DISK_SIZE, 0 },
                { true, DISK_SIZE + 5000, DISK_SIZE + 5000, -EIO },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                ViewOptions options = growable;
                ViewChange shorter = { .has_size = true, .size = 100 };
                uint64_t found = 0;
                char byte = 'x';
                Bench b;

                options.passthrough = cases[i].passthrough;
                bench_open(&b, &options);
                assert_int_equal(view_flush(b.view), 0);
                assert_int_equal(
                        b.node->store->ops->write(b.node->store, &byte, 1, DISK_SIZE + 4999), 0);
                assert_int_equal(view_find(b.view, VIEW_FIND_HOLE, 0, &found), 0);
                assert_int_equal(found, cases[i].found);
                assert_int_equal(view_size(b.view), cases[i].size);
                if (cases[i].passthrough) {
                        /* Within the view as it is now. */
                        assert_int_equal(view_punch(b.view, DISK_SIZE + 4999, 1), 0);
                        assert_int_equal(node_read(b.node, &byte, 1, DISK_SIZE + 4999), 0);
                        assert_int_equal(byte, 0);
                        assert_int_equal(view_change(b.view, &shorter), 0);
                        assert_int_equal(view_size(b.view), 100);
                }
                /* The last operation of a flush is the sync. */
                b.plan.stays = true;
                assert_int_equal(view_flush(b.view), 0);
                b.plan.fail_at = b.plan.count + (cases[i].passthrough ? 3 : 1);
                assert_int_equal(view_flush(b.view), cases[i].flushed);
                bench_close(&b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_written_past_us),
                cmocka_unit_test(test_reads_end_at_the_end),
                cmocka_unit_test(test_a_window_is_all_there_is),
                cmocka_unit_test(test_a_window_is_not_left),
                cmocka_unit_test(test_a_window_outside_the_disk_is_refused),
                cmocka_unit_test(test_writes_at_the_end),
                cmocka_unit_test(test_what_growing_adds_is_zero),
                cmocka_unit_test(test_ranges_within_and_past_the_end),
                cmocka_unit_test(test_a_failed_allocation_leaves_the_size),
                cmocka_unit_test(test_changes_of_size),
                cmocka_unit_test(test_data_and_holes),
                cmocka_unit_test(test_appending_threads_do_not_cut_each_other),
                cmocka_unit_test(test_readers_survive_a_moving_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
