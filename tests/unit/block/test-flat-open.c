/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flat-disk.h"

static void test_a_damaged_table_is_not_written_to(void **state)
{
        static const struct {
                const char *name;
                uint32_t entries[3];
                int r;
                const char *text;
        } cases[] = {
                { "nothing", { 0, 0, 0 }, 0, "" },
                { "in any order", { 2, 0, 1 }, 0, "" },
                { "nowhere", { 0, 1000001, 0 }, -EUCLEAN, "block 1 leads to where no block" },
                { "between", { 0, 0, 1u << 31 | 2 }, -EUCLEAN, "block 2 leads to between" },
                { "past the end", { 3, 0, 0 }, -EUCLEAN, "block 0 leads past the end" },
                { "far past the end", { 900000, 0, 0 }, -EUCLEAN, "block 0 leads to between" },
                { "twice", { 1, 0, 1 }, -EUCLEAN, "block 2 is that of another" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_cache_ Cache *c = new_cache();
                _cleanup_store_ Store *s = flat_disk_make(FLAT_BLOCK, 3, 3, 2);
                NodeOptions options = { .writable = true, .cache = c };
                Err err = { "" };
                Node *n = NULL;

                print_message("case: %s\n", cases[i].name);
                for (size_t k = 0; k < 3; k++)
                        flat_disk_set(s, k, cases[i].entries[k]);
                assert_int_equal(node_open(&format_flat_disk, s, &options, NULL, &n, &err),
                                 cases[i].r);
                assert_non_null(strstr(err.text, cases[i].text));
                if (n) {
                        TAKE(s);
                        assert_int_equal(n->granule, FLAT_BLOCK);
                        node_close(n);
                }
                /* All that was reserved is given back. */
                CacheStat stat;
                cache_get_stat(c, &stat);
                assert_int_equal(stat.reserved, 0);
        }
}

static void test_a_table_that_is_cut_is_not_written_to(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = flat_disk_make(FLAT_BLOCK, 100, 100, 0);
        NodeOptions options = { .writable = true, .cache = c };
        Err err = { "" };
        Node *n = NULL;

        assert_int_equal(store_set_size(s, FLAT_TABLE + 99 * FLAT_ENTRY_LEN), 0);
        assert_int_equal(node_open(&format_flat_disk, s, &options, NULL, &n, &err), -ENODATA);
        assert_string_equal(err.text, "flat: the table: the file ends before its entry 99");
}

/* More places than memory: an error in words. */
static void test_too_many_places(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_store_ Store *s = flat_disk_make(FLAT_BLOCK, 3, 3, 2);
        Err err = { "" };
        Flat f = { .kind = &flat_disk_kind,
                   .table_pos = FLAT_TABLE,
                   .count = 3,
                   .block_size = 512,
                   .stride = 512,
                   .place_max = UINT32_MAX,
                   .file_size = UINT64_C(1) << 60 };
        Node n = { .cache = c, .store = s };

        assert_int_equal(flat_open_writer(&n, &f, &err), -EFBIG);
        assert_non_null(strstr(err.text, "CacheSize="));
        flat_close(&n, &f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_damaged_table_is_not_written_to),
                cmocka_unit_test(test_a_table_that_is_cut_is_not_written_to),
                cmocka_unit_test(test_too_many_places),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
