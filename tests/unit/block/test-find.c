/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include <errno.h>

enum {
        NONE = -1,
};

typedef struct FindCase {
        uint64_t off;
        int64_t data, hole; /* NONE: ENXIO */
} FindCase;

static void check_find(Node *n, NodeFind what, uint64_t off, int64_t expected)
{
        uint64_t found = 12345;
        int r = node_find(n, what, off, &found);
        if (expected == NONE)
                assert_int_equal(r, -ENXIO);
        else if (r != 0 || found != (uint64_t)expected)
                fail_msg("from %llu: %d, %llu instead of %lld", (unsigned long long)off, r,
                         (unsigned long long)found, (long long)expected);
}

static void check_all(Node *n, const FindCase *cases, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                check_find(n, NODE_FIND_DATA, cases[i].off, cases[i].data);
                check_find(n, NODE_FIND_HOLE, cases[i].off, cases[i].hole);
        }
}

static void test_one_layer(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("0d.0cs.", 7 * G - 5, false, c);
        static const FindCase cases[] = {
                { 0, G, 0 },
                { 7, G, 7 },
                { G, G, 2 * G },
                { G + 9, G + 9, 2 * G },
                { 2 * G, 4 * G, 2 * G },
                { 4 * G, 4 * G, 6 * G },
                { 6 * G, NONE, 6 * G },
                { 7 * G - 6, NONE, 7 * G - 6 },
                { 7 * G - 5, NONE, NONE },
                { UINT64_MAX, NONE, NONE },
        };
        check_all(n, cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_the_end_of_the_disk_is_a_hole(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", 2 * G - 5, false, c);
        static const FindCase cases[] = { { 0, 0, 2 * G - 5 },
                                          { 2 * G - 6, 2 * G - 6, 2 * G - 5 } };
        check_all(n, cases, 2);
}

static void test_through_layers(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("..0...", 0, false, c);
        n->backing = open_fake(".dd.dd", 5 * G - 100, false, c);
        n->backing->backing = open_fake("d", 100, false, c);
        mem_store_make_poor(n->store);
        static const FindCase cases[] = {
                { 0, 0, 100 },
                { 100, G, 100 },
                { G, G, 2 * G },
                { 2 * G, 4 * G, 2 * G },
                { 4 * G, 4 * G, 5 * G - 100 },
                { 5 * G, NONE, 5 * G },
        };
        check_all(n, cases, sizeof(cases) / sizeof(cases[0]));
}

/* Data that lies in a hole of the file is a hole. */
static void test_a_hole_of_the_host(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("ddd", 0, true, c);
        assert_int_equal(node_zero(n, G, G), 0);
        static const FindCase cases[] = { { 0, 0, G }, { G, 2 * G, G }, { 2 * G, 2 * G, 3 * G } };
        check_all(n, cases, 3);
}

/* A format whose every 512 bytes are an extent of their own: nothing but holes, for ever. */
static int crumbs_open(Node *n, Opener *opener, Err *err)
{
        n->size = UINT64_C(1) << 50;
        return 0;
}

static void crumbs_close(Node *n)
{
}

static int crumbs_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        *ret = (Extent){ .kind = EXTENT_HOLE, .off = off / 512 * 512, .len = 512 };
        return 0;
}

static const Format format_crumbs = {
        .name = "crumbs", .open = crumbs_open, .close = crumbs_close, .map = crumbs_map
};

static void test_a_search_has_an_end(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = NULL;
        assert_int_equal(mem_store_new(NULL, 0, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_crumbs, s, false, c);

        /* Called data when it takes too long: never the other way round. */
        check_find(n, NODE_FIND_DATA, 0, INT64_C(512) * LIMIT_FIND_STEPS);
        check_find(n, NODE_FIND_HOLE, 77, 77);
}

static void test_an_empty_disk(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        Store *s = NULL;
        FakeImage image = { .size = 0, .granule = G };
        assert_int_equal(fake_make(&image, &s), 0);
        _cleanup_node_ Node *n = open_node_on(&format_fake, s, false, c);
        check_find(n, NODE_FIND_DATA, 0, NONE);
        check_find(n, NODE_FIND_HOLE, 0, NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_layer),
                cmocka_unit_test(test_the_end_of_the_disk_is_a_hole),
                cmocka_unit_test(test_through_layers),
                cmocka_unit_test(test_a_hole_of_the_host),
                cmocka_unit_test(test_a_search_has_an_end),
                cmocka_unit_test(test_an_empty_disk),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
