/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include "store/faulty.h"

#include <errno.h>
#include <unistd.h>

static void test_open_names_the_format_and_leaves_the_store(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = NULL;
        NodeOptions options = { .cache = c };
        Node *n = NULL;
        Err err = { "" };
        char buf[1];

        assert_int_equal(mem_store_new("x", 1, &s), 0);
        assert_int_equal(node_open(&format_fake, s, &options, NULL, &n, &err), -ENODATA);
        assert_string_equal(err.text, "fake: header: cannot read it: No data available");
        assert_null(n);
        assert_int_equal(store_read(s, buf, 1, 0), 0);
        assert_int_equal(node_open(&format_fake, s, &options, NULL, &n, NULL), -ENODATA);
}

static int silent_open(Node *n, Opener *opener, Err *err)
{
        return -EBADMSG;
}

static int vast_open(Node *n, Opener *opener, Err *err)
{
        n->size = LIMIT_DISK_SIZE + 1;
        return 0;
}

static int adopting_open(Node *n, Opener *opener, Err *err)
{
        for (int i = 0; i < 3; i++) {
                Store *s = NULL;
                int r = mem_store_new("extra", 5, &s);
                if (r < 0)
                        return r;
                r = node_adopt_store(n, s);
                if (r < 0)
                        return r;
        }
        return n->snapshot ? err_set(err, ENOENT, "snapshot '%s'", n->snapshot) : 0;
}

static void no_close(Node *n)
{
}

static void test_what_open_refuses_itself(void **state)
{
        static const struct {
                int (*open)(Node *, Opener *, Err *);
                int result;
                const char *text, *lie;
        } cases[] = {
                { silent_open, -EBADMSG, "odd: cannot open it: Bad message" },
                { vast_open, -EFBIG,
                  "odd: the disk size 9223372036850581505 is more than the limit of 9223372036850581504" },
                { adopting_open, -ENOENT, "odd: snapshot 'first'" },
                { silent_open, -ENOENT,
                  "odd: snapshot 'first': a odd image has no snapshots in it: each is elsewhere",
                  "each is elsewhere" },
        };
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = NULL;
        NodeOptions options = { .cache = c, .snapshot = "first" };

        assert_int_equal(mem_store_new("x", 1, &s), 0);
        for (size_t i = 0; i < 4; i++) {
                Format format = {
                        .name = "odd",
                        .has_snapshots = !cases[i].lie,
                        .snapshots_lie = cases[i].lie,
                        .open = cases[i].open,
                        .close = no_close,
                };
                Node *n = NULL;
                Err err = { "" };
                assert_int_equal(node_open(&format, s, &options, NULL, &n, &err), cases[i].result);
                assert_string_equal(err.text, cases[i].text);
        }
}

static void test_closing_closes_what_is_below(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Node *n = open_fake("d", 0, false, c);
        n->backing = open_fake("d", 0, false, c);
        n->backing->backing = open_fake("d", 0, false, c);
        assert_null(node_close(n));
        assert_null(node_close(NULL));
}

static void test_resize(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("ddd", 0, true, c);

        assert_int_equal(node_resize(n, G + 100), 0);
        assert_int_equal(node_get_size(n), G + 100);
        assert_int_equal(node_resize(n, 3 * G), 0);
        /* What was cut off does not come back. */
        assert_guest_bytes(n, 'B', 100, G);
        assert_guest_bytes(n, 0, 2 * G - 100, G + 100);
        assert_int_equal(node_resize(n, 3 * G), 0);
        assert_int_equal(node_resize(n, UINT64_MAX), -EFBIG);
        assert_int_equal(node_resize(n, LIMIT_DISK_SIZE), -EFBIG);
        assert_int_equal(node_get_size(n), 3 * G);
        assert_int_equal(node_resize(n, 0), 0);
        assert_int_equal(node_get_size(n), 0);
}

/* The bytes behind the new end are gone from the file at once: another program may make the disk longer again. */
static void test_what_is_cut_off_is_zeroed_in_the_file(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", 0, true, c);
        uint8_t bytes[G];
        Extent e;

        assert_int_equal(node_resize(n, G + 100), 0);
        assert_int_equal(n->format->map(n, G, 1, &e), 0);
        assert_int_equal(e.kind, EXTENT_DATA);
        assert_int_equal(store_read(e.store, bytes, G, e.pos), 0);
        for (size_t i = 0; i < G; i++)
                assert_int_equal(bytes[i], i < 100 ? 'B' : 0);
        /* On a border there is nothing to cut. */
        assert_int_equal(node_resize(n, G), 0);
        assert_int_equal(calls_of(n).allocs, 0);
        assert_guest_bytes(n, 'A', G, 0);
}

static void test_a_refused_resize_changes_nothing(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", 0, true, c);

        fake_set_manner(n, &(FakeManner){ .resize_code = EOPNOTSUPP });
        assert_int_equal(node_resize(n, 100), -EOPNOTSUPP);
        assert_int_equal(node_resize(n, 3 * G), -EOPNOTSUPP);
        assert_int_equal(node_get_size(n), 2 * G);
        assert_guest_bytes(n, 'A', G, 0);
        assert_guest_bytes(n, 'B', G, G);
}

static void test_growing_over_a_longer_layer_shows_zeroes(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake(".", G - 50, true, c);
        n->backing = open_fake("dddd", 4 * G - 7, false, c);

        assert_int_equal(node_resize(n, 3 * G), 0);
        assert_guest_bytes(n, 'A', G - 50, 0);
        assert_guest_bytes(n, 0, 2 * G + 50, G - 50);
        assert_int_equal(node_resize(n, 6 * G), 0);
        assert_guest_bytes(n, 0, 5 * G, G);
}

static void test_who_cannot_resize(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *fixed = open_fake("d", 0, false, c);
        assert_int_equal(node_resize(fixed, 2 * G), -EROFS);

        Format format = format_fake;
        format.resize = NULL;
        FakeImage image = { .size = G, .granule = G };
        Store *s = NULL;
        assert_int_equal(fake_make(&image, &s), 0);
        _cleanup_node_ Node *rigid = open_node_on(&format, s, true, c);
        assert_int_equal(node_resize(rigid, 2 * G), -EOPNOTSUPP);
}

static void test_flush(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("d", 0, true, c);
        _cleanup_node_ Node *fixed = open_fake("d", 0, false, c);

        assert_int_equal(node_flush(n), 0);
        assert_int_equal(calls_of(n).write_backs, 1);
        assert_int_equal(node_flush(fixed), 0);
        assert_int_equal(calls_of(fixed).write_backs, 0);
}

static void test_finish(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("d", 0, true, c);
        _cleanup_node_ Node *fixed = open_fake("d", 0, false, c);

        assert_int_equal(node_finish(n), 0);
        assert_int_equal(calls_of(n).write_backs, 1);
        assert_int_equal(calls_of(n).finishes, 1);
        assert_int_equal(node_finish(fixed), 0);
        assert_int_equal(calls_of(fixed).finishes, 0);
        /* What could not be flushed was not closed cleanly. */
        atomic_store(&n->broken, true);
        assert_int_equal(node_finish(n), -EIO);
        assert_int_equal(calls_of(n).finishes, 1);
}

/* What a driver has synced is not synced again. */
static void test_a_driver_that_syncs_by_itself(void **state)
{
        for (int syncs = 0; syncs <= 1; syncs++) {
                FaultPlan plan = { .code = EIO };
                FakeImage image = { .size = G, .granule = G, .layout = "d" };
                Store *inner = NULL, *s = NULL;
                _cleanup_cache_ Cache *c = new_cache();
                assert_int_equal(fake_make(&image, &inner), 0);
                assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
                _cleanup_node_ Node *n = open_node_on(&format_fake, s, true, c);
                uint64_t before = atomic_load(&plan.count);

                /* Sync, write, sync, whoever is the last. */
                fake_set_manner(n, &(FakeManner){ .syncs = syncs });
                assert_int_equal(node_flush(n), 0);
                assert_int_equal(atomic_load(&plan.count) - before, 3);

                /* Nothing has changed since, so now it is write and sync; and the last one failing ends writing. */
                atomic_store(&plan.fail_at, atomic_load(&plan.count) + 2);
                assert_int_equal(node_flush(n), -EIO);
                assert_true(atomic_load(&n->broken));
        }
}

/* Each of the files of one layer is synced, and any of them can break it. */
static void test_sync_reaches_every_file(void **state)
{
        for (unsigned fail_at = 0; fail_at <= 3; fail_at++) {
                FaultPlan plan = { .code = ENOSPC };
                _cleanup_cache_ Cache *c = new_cache();
                Format format = { .name = "odd", .open = adopting_open, .close = no_close };
                Store *s = NULL;
                assert_int_equal(mem_store_new("x", 1, &s), 0);
                _cleanup_node_ Node *n = open_node_on(&format, s, true, c);
                assert_int_equal(n->extra_count, 3);
                for (size_t i = 0; i < 3; i++) {
                        Store *faulty = NULL;
                        assert_int_equal(faulty_store_new(n->extra_stores[i], &plan, &faulty), 0);
                        n->extra_stores[i] = faulty;
                }
                atomic_store(&plan.fail_at, fail_at);
                assert_int_equal(node_flush(n), fail_at == 0 ? 0 : -ENOSPC);
                assert_int_equal(atomic_load(&plan.count), 3);
                assert_int_equal(atomic_load(&n->broken), fail_at != 0);
        }
}

static void test_stat_sums_up(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", 0, false, c);
        StoreStat alone, chain;

        assert_int_equal(node_get_stat(n, &alone), 0);
        assert_in_range(alone.allocated, 2 * G, 8 * G);
        n->backing = open_fake("dd", 0, false, c);
        assert_int_equal(node_get_stat(n, &chain), 0);
        assert_int_equal(chain.allocated, 2 * alone.allocated);
}

typedef struct Reader {
        Node *node;
        atomic_bool stop, broken;
} Reader;

static void *reader_run(void *arg)
{
        Reader *r = arg;
        uint8_t buf[64];
        while (!atomic_load(&r->stop))
                if (node_read(r->node, buf, sizeof(buf), 100) < 0)
                        atomic_store(&r->broken, true);
        return NULL;
}

/* Were readers preferred, four of them without a pause would keep the resizes out for ever. */
static void test_readers_do_not_starve_a_resize(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("ddd", 0, true, c);
        Reader reader = { .node = n };
        pthread_t threads[4];

        for (int i = 0; i < 4; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, reader_run, &reader), 0);
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(node_resize(n, i % 2 ? 3 * G : 2 * G), 0);
        atomic_store(&reader.stop, true);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        assert_false(atomic_load(&reader.broken));
}

/* A disk that is the bytes of its store, or nearly so: what `map` answers is the test's. */
static Extent nearly_extent;

static int nearly_open(Node *n, Opener *opener, Err *err)
{
        return store_get_size(n->store, &n->size);
}

static int nearly_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        *ret = nearly_extent;
        ret->store = n->store;
        return 0;
}

static const Format format_nearly = {
        .name = "nearly",
        .open = nearly_open,
        .close = no_close,
        .map = nearly_map,
};

static void test_a_disk_that_is_its_file(void **state)
{
        static const struct {
                Extent extent;
                bool plain;
        } cases[] = {
                { { .kind = EXTENT_DATA, .len = 5 }, true },
                { { .kind = EXTENT_DATA, .len = 6 }, true },
                { { .kind = EXTENT_DATA, .len = 5, .pos = 1 }, false },
                { { .kind = EXTENT_DATA, .len = 4 }, false },
                { { .kind = EXTENT_HOLE, .len = 5 }, false },
                { { .kind = EXTENT_BELOW, .len = 5 }, false },
                { { .kind = EXTENT_CODED, .len = 5 }, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_cache_ Cache *c = new_cache();
                Store *s = NULL;

                nearly_extent = cases[i].extent;
                assert_int_equal(mem_store_new("12345", 5, &s), 0);
                _cleanup_node_ Node *n = open_node_on(&format_nearly, s, true, c);
                assert_ptr_equal(node_get_plain(n), cases[i].plain ? s : NULL);
                /* A file that is longer than the disk is another one. */
                assert_int_equal(store_set_size(s, 9), 0);
                assert_null(node_get_plain(n));
        }
}

static void test_an_empty_disk_is_no_file(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = NULL;

        nearly_extent = (Extent){ .kind = EXTENT_DATA };
        assert_int_equal(mem_store_new("", 0, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_nearly, s, false, c);
        assert_null(node_get_plain(n));
}

static void test_others_write_to_its_file(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        FaultPlan plan = { .code = EIO };
        Store *s = NULL, *faulty = NULL;

        assert_int_equal(mem_store_new("12345", 5, &s), 0);
        assert_int_equal(faulty_store_new(s, &plan, &faulty), 0);
        _cleanup_node_ Node *n = open_node_on(&format_nearly, faulty, true, c);
        assert_int_equal(store_write(s, "x", 1, 9), 0);
        assert_int_equal(node_follow(n), 0);
        assert_int_equal(node_get_size(n), 10);
        assert_int_equal(store_set_size(s, 3), 0);
        assert_int_equal(node_follow(n), 0);
        assert_int_equal(node_get_size(n), 3);

        /* Flushed once, there is nothing to flush until it follows again. */
        assert_int_equal(node_flush(n), 0);
        plan.fail_at = plan.count + 1;
        assert_int_equal(node_flush(n), 0);
        plan.fail_at = 0;
        assert_int_equal(node_follow(n), 0);
        plan.fail_at = plan.count + 1;
        assert_int_equal(node_flush(n), -EIO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_disk_that_is_its_file),
                cmocka_unit_test(test_an_empty_disk_is_no_file),
                cmocka_unit_test(test_others_write_to_its_file),
                cmocka_unit_test(test_open_names_the_format_and_leaves_the_store),
                cmocka_unit_test(test_what_open_refuses_itself),
                cmocka_unit_test(test_closing_closes_what_is_below),
                cmocka_unit_test(test_resize),
                cmocka_unit_test(test_what_is_cut_off_is_zeroed_in_the_file),
                cmocka_unit_test(test_a_refused_resize_changes_nothing),
                cmocka_unit_test(test_growing_over_a_longer_layer_shows_zeroes),
                cmocka_unit_test(test_who_cannot_resize),
                cmocka_unit_test(test_flush),
                cmocka_unit_test(test_finish),
                cmocka_unit_test(test_a_driver_that_syncs_by_itself),
                cmocka_unit_test(test_sync_reaches_every_file),
                cmocka_unit_test(test_stat_sums_up),
                cmocka_unit_test(test_readers_do_not_starve_a_resize),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
