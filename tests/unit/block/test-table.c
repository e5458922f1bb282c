/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include "block/table.h"
#include "store/faulty.h"

#include <errno.h>

static Store *open_digits(void)
{
        Store *s = NULL;
        assert_int_equal(mem_store_new("0123456789", 10, &s), 0);
        return s;
}

static void test_reads_what_is_there(void **state)
{
        _cleanup_store_ Store *s = open_digits();
        _cleanup_free_ void *table = NULL;

        assert_int_equal(table_read(s, 2, 2, 4, "L1 table", &table, NULL), 0);
        assert_memory_equal(table, "23456789", 8);
}

static void test_the_part_past_the_end_is_zero(void **state)
{
        _cleanup_store_ Store *s = open_digits();
        _cleanup_free_ void *table = NULL;

        assert_int_equal(table_read(s, 8, 2, 4, "L1 table", &table, NULL), 0);
        assert_memory_equal(table, "89\0\0\0\0\0\0", 8);
}

static void test_refusals(void **state)
{
        static const struct {
                uint64_t pos, count;
                size_t entry;
                int result;
                const char *text;
        } cases[] = {
                { 10, 1, 1, -ENODATA,
                  "L1 table: position 10 is past the end of the file (10 bytes)" },
                { UINT64_MAX, 2, 8, -ENODATA,
                  "L1 table: position 18446744073709551615 is past the end of the file (10 bytes)" },
                { 0, LIMIT_TABLE_SIZE / 8 + 1, 8, -EFBIG,
                  "L1 table: 4194305 entries of 8 bytes are more than the limit of 33554432 bytes" },
                { 0, UINT64_MAX, 8, -EFBIG,
                  "L1 table: 18446744073709551615 entries of 8 bytes are more than the limit of 33554432 "
                  "bytes" },
                /* A product that would wrap around to something small. */
                { 0, UINT64_C(1) << 61, 8, -EFBIG,
                  "L1 table: 2305843009213693952 entries of 8 bytes are more than the limit of 33554432 "
                  "bytes" },
        };
        _cleanup_store_ Store *s = open_digits();

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                void *table = &table;
                Err err = { "" };
                assert_int_equal(table_read(s, cases[i].pos, cases[i].count, cases[i].entry,
                                            "L1 table", &table, &err),
                                 cases[i].result);
                assert_string_equal(err.text, cases[i].text);
                assert_ptr_equal(table, &table);
        }
}

static void test_the_largest_table(void **state)
{
        _cleanup_store_ Store *s = open_digits();
        _cleanup_free_ void *table = NULL;

        assert_int_equal(table_read(s, 0, LIMIT_TABLE_SIZE, 1, "table", &table, NULL), 0);
        assert_memory_equal(table, "0123456789\0", 11);
}

static void test_an_empty_table_is_nothing(void **state)
{
        _cleanup_store_ Store *s = open_digits();
        void *table = &table;

        assert_int_equal(table_read(s, UINT64_MAX, 0, 8, "table", &table, NULL), 0);
        assert_null(table);
}

static void test_failures_are_told(void **state)
{
        for (unsigned fail_at = 1; fail_at <= 2; fail_at++) {
                FaultPlan plan = { .fail_at = fail_at, .code = EIO };
                _cleanup_store_ Store *s = NULL;
                void *table = NULL;
                Err err = { "" };
                assert_int_equal(faulty_store_new(open_digits(), &plan, &s), 0);
                assert_int_equal(table_read(s, 0, 1, 8, "L1 table", &table, &err), -EIO);
                assert_string_equal(err.text,
                                    fail_at == 1 ? "L1 table: cannot get the size of the file: "
                                                   "Input/output error"
                                                 : "L1 table: cannot read it: Input/output error");
                assert_null(table);
        }
}

static void test_tables_that_stay(void **state)
{
        Cache *c = NULL;
        Err err = { "" };

        assert_int_equal(cache_new(0, &c), 0);
        assert_int_equal(table_reserve(c, LIMIT_TABLES_SIZE - 8, "L1 table", &err), 0);
        assert_int_equal(table_reserve(c, 9, "refcount table", &err), -EFBIG);
        assert_string_equal(
                err.text,
                "refcount table: with its 9 bytes the tables of all layers take 20971521 bytes, more "
                "than the cache of 4194304 bytes leaves room for; a larger CacheSize= "
                "(--cache-size) makes room");
        assert_int_equal(table_reserve(c, 8, "refcount table", &err), 0);
        cache_free(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads_what_is_there),
                cmocka_unit_test(test_the_part_past_the_end_is_zero),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_the_largest_table),
                cmocka_unit_test(test_an_empty_table_is_nothing),
                cmocka_unit_test(test_failures_are_told),
                cmocka_unit_test(test_tables_that_stay),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
