/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/map.h"

#include "nodes.h"

#include <errno.h>

typedef struct MapCase {
        uint64_t off, len;
        unsigned depth;
        bool present, is_data, has_store;
} MapCase;

static void check_map(Node *n, const MapCase *cases, size_t count)
{
        uint64_t off = 0, end = node_get_map_size(n);

        for (size_t i = 0; i < count; i++) {
                MapStretch s = { 0 };
                assert_true(off < end);
                assert_int_equal(node_map_chain(n, off, end - off, &s), 0);
                if (s.off != cases[i].off || s.len != cases[i].len || s.depth != cases[i].depth ||
                    s.present != cases[i].present || s.is_data != cases[i].is_data ||
                    !s.store == cases[i].has_store)
                        fail_msg("stretch %zu: %llu, %llu long, depth %u, %d %d %d", i,
                                 (unsigned long long)s.off, (unsigned long long)s.len, s.depth,
                                 s.present, s.is_data, s.store != NULL);
                off += s.len;
        }
        assert_int_equal(off, end);
}

static void test_one_layer(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("0dc.", 4 * G - 100, false, c);
        static const MapCase cases[] = {
                { 0, G, 0, true, false, false },
                { G, G, 0, true, true, true },
                { 2 * G, G, 0, true, true, false },
                /* To the end of the last sector. */
                { 3 * G, G, 0, false, false, false },
        };
        check_map(n, cases, sizeof(cases) / sizeof(cases[0]));
}

/* Where a layer has ended it is the one above that decides, also when there is a further one. */
static void test_through_layers(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("..0...", 0, false, c);
        n->backing = open_fake(".d.d", 4 * G - 100, false, c);
        n->backing->backing = open_fake("0", 100, false, c);
        static const MapCase cases[] = {
                { 0, 512, 2, true, false, false },    { 512, G - 512, 1, false, false, false },
                { G, G, 1, true, true, true },        { 2 * G, G, 0, true, false, false },
                { 3 * G, G, 1, true, true, true },    { 4 * G, G, 0, false, false, false },
                { 5 * G, G, 0, false, false, false },
        };
        check_map(n, cases, sizeof(cases) / sizeof(cases[0]));
}

/* Only what nothing is known of is looked for in the file. */
static void test_a_hole_of_the_file(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", 0, true, c);
        assert_int_equal(node_zero(n, 0, G), 0);
        MapStretch s = { 0 };
        assert_int_equal(node_map_chain(n, 0, 2 * G, &s), 0);
        assert_true(s.is_data);
        assert_false(s.is_hole);
        assert_ptr_equal(s.node, n);
}

static int locked_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        *ret = (Extent){ .kind = EXTENT_DATA, .len = n->size, .pos = 4096 };
        return 0;
}

/* Mapped without a passphrase; nothing reads it. */
static void test_a_locked_image(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_fake("dd", 0, false, c);
        Format locked = *n->format;
        const Format *own = n->format;
        char byte = 0;
        locked.map = locked_map;
        n->format = &locked;
        static const MapCase cases[] = { { 0, 2 * G, 0, true, true, false } };
        check_map(n, cases, 1);
        assert_int_equal(node_read(n, &byte, 1, 0), -ENOKEY);
        n->format = own;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_layer),
                cmocka_unit_test(test_through_layers),
                cmocka_unit_test(test_a_hole_of_the_file),
                cmocka_unit_test(test_a_locked_image),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
