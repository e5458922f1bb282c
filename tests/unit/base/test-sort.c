/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum {
        MOST = 300,
};

/* Of an odd size, so that one that is moved by words would show. */
typedef struct Thing {
        uint8_t key[2], name[3];
} Thing;

static int compare(const void *a, const void *b)
{
        return memcmp(a, b, 2);
}

static void fill(Thing *things, size_t count, unsigned kind)
{
        uint32_t x = (uint32_t)count + kind;

        for (size_t i = 0; i < count; i++) {
                x = x * 1664525 + 1013904223;
                uint32_t key = kind == 0   ? x >> 16
                               : kind == 1 ? (uint32_t)i
                               : kind == 2 ? (uint32_t)(count - i)
                                           : x >> 30;
                things[i] = (Thing){ { (uint8_t)(key >> 8), (uint8_t)key },
                                     { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(key * 7) } };
        }
}

/* In order, and each is still there: its name says which it was. */
static void test_sorts(void **state)
{
        Thing before[MOST], after[MOST];

        for (unsigned kind = 0; kind < 4; kind++)
                for (size_t count = 0; count <= MOST; count += count < 20 ? 1 : 35) {
                        uint8_t seen[MOST] = { 0 };
                        fill(before, MOST, kind);
                        memcpy(after, before, sizeof(after));
                        sort_in_place(after, count, sizeof(after[0]), compare);
                        for (size_t i = 0; i < MOST; i++) {
                                size_t was = after[i].name[0] | (size_t)after[i].name[1] << 8;
                                assert_memory_equal(&after[i], &before[was], sizeof(Thing));
                                assert_int_equal(seen[was]++, 0);
                                if (i > 0 && i < count)
                                        assert_true(compare(&after[i - 1], &after[i]) <= 0);
                                if (i >= count)
                                        assert_int_equal(was, i);
                        }
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_sorts) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
