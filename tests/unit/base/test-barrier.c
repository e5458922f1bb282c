/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/barrier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_every_barrier_has_a_name(void **state)
{
        for (unsigned a = 0; a < BARRIER_COUNT; a++) {
                assert_non_null(barrier_name(a));
                for (unsigned b = 0; b < a; b++)
                        assert_string_not_equal(barrier_name(a), barrier_name(b));
        }
}

static void test_list(void **state)
{
        static const struct {
                uint32_t mask;
                const char *text;
        } cases[] = {
                { 0, "nothing" },
                { BARRIER_BIT(BARRIER_COUNT), "nothing" },
                { BARRIER_BIT(BARRIER_SECCOMP), "seccomp" },
                { BARRIER_BIT(BARRIER_LIMITS) | BARRIER_BIT(BARRIER_USER) | UINT32_C(1) << 31,
                  "limits, user" },
        };
        char text[BARRIER_TEXT_MAX];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_string_equal(barrier_list(cases[i].mask, text), cases[i].text);
}

static void test_all_of_them_fit(void **state)
{
        char text[BARRIER_TEXT_MAX];

        barrier_list(UINT32_MAX, text);
        assert_true(strlen(text) < BARRIER_TEXT_MAX - 1);
        assert_non_null(strstr(text, ", seccomp"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_barrier_has_a_name),
                cmocka_unit_test(test_list),
                cmocka_unit_test(test_all_of_them_fit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
