/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/use.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void use_expect(Use *u, uint64_t errors, const char *expected)
{
        char text[USE_TEXT_MAX];

        assert_int_equal(use_format(u, errors, text), strlen(expected));
        assert_string_equal(text, expected);
}

static void test_open_files_are_counted_and_their_openers_named(void **state)
{
        uint64_t ids[4];
        Use u;

        assert_int_equal(use_init(&u), 0);
        use_expect(&u, 0, "readers=0 writers=0 errors=0 pids=");
        assert_int_equal(use_open(&u, USE_READING, 17, &ids[0]), 0);
        assert_int_equal(use_open(&u, USE_WRITING, 18, &ids[1]), 0);
        assert_int_equal(use_open(&u, USE_READING, 17, &ids[2]), 0);
        assert_int_equal(use_open(&u, USE_READING, 0, &ids[3]), 0);
        use_expect(&u, 5, "readers=3 writers=1 errors=5 pids=17,18");
        use_close(&u, USE_READING, ids[0]);
        use_expect(&u, 5, "readers=2 writers=1 errors=5 pids=18,17");
        use_close(&u, USE_READING, ids[2]);
        use_close(&u, USE_WRITING, ids[1]);
        use_close(&u, USE_READING, ids[3]);
        use_expect(&u, 0, "readers=0 writers=0 errors=0 pids=");
        use_done(&u);
}

static void test_counting_goes_on_where_there_is_no_place_for_names(void **state)
{
        uint64_t ids[2 * USE_OPENERS_MAX];
        Use u;

        assert_int_equal(use_init(&u), 0);
        for (int i = 0; i < 2 * USE_OPENERS_MAX; i++)
                assert_int_equal(use_open(&u, USE_READING, 4194000 + i, &ids[i]), 0);
        use_expect(&u, UINT64_MAX,
                   "readers=128 writers=0 errors=18446744073709551615 "
                   "pids=4194000,4194001,4194002,4194003,4194004,4194005,4194006,4194007,4194008,"
                   "4194009,4194010,4194011,4194012,4194013,4194014,4194015");
        for (int i = 0; i < 2 * USE_OPENERS_MAX; i++)
                use_close(&u, USE_READING, ids[i]);
        use_expect(&u, 0, "readers=0 writers=0 errors=0 pids=");
        use_done(&u);
}

static void test_nothing_is_counted_below_zero(void **state)
{
        Use u;

        assert_int_equal(use_init(&u), 0);
        use_close(&u, USE_WRITING, 3);
        use_close(&u, USE_READING, UINT64_MAX);
        use_expect(&u, 0, "readers=0 writers=0 errors=0 pids=");
        use_done(&u);
}

static void test_at_the_end_only_one_may_open(void **state)
{
        uint64_t first, id;
        Use u;

        assert_int_equal(use_init(&u), 0);
        assert_int_equal(use_open(&u, USE_WRITING, 17, &first), 0);
        use_end(&u, 18);
        assert_int_equal(use_open(&u, USE_READING, 17, &id), -ESHUTDOWN);
        assert_int_equal(use_open(&u, USE_READING, 0, &id), -ESHUTDOWN);
        assert_int_equal(use_open(&u, USE_READING, 18, &id), 0);
        use_expect(&u, 0, "readers=1 writers=1 errors=0 pids=17,18");
        use_close(&u, USE_READING, id);
        use_end(&u, 0);
        assert_int_equal(use_open(&u, USE_READING, 0, &id), -ESHUTDOWN);
        assert_int_equal(use_open(&u, USE_READING, 18, &id), -ESHUTDOWN);
        use_close(&u, USE_WRITING, first);
        use_done(&u);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_open_files_are_counted_and_their_openers_named),
                cmocka_unit_test(test_counting_goes_on_where_there_is_no_place_for_names),
                cmocka_unit_test(test_nothing_is_counted_below_zero),
                cmocka_unit_test(test_at_the_end_only_one_may_open),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
