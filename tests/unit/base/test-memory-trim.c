/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/memory-trim.h"
#include "build-config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        PAGES = 64,
        PAGE = 4096,
};

/* So much that it has pages which nothing else in this program needs. The compiler does not know what is read. */
static const uint8_t table[PAGES * PAGE] = { [0] = 7, [PAGES * PAGE - 1] = 9 };
static const uint8_t *volatile constants = table;
static volatile int written = 1;

/* KiB of the mapping in which `p` lies that are mapped in this process. */
static long resident_around(const void *p)
{
        char line[512];
        bool inside = false;
        long kib = -1;

        FILE *f = fopen("/proc/self/smaps", "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                unsigned long start, end;
                if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
                        inside = (uintptr_t)p >= start && (uintptr_t)p < end;
                else if (inside)
                        sscanf(line, "Rss: %ld", &kib);
        }
        fclose(f);
        assert_true(kib >= 0);
        return kib;
}

static void test_pages_that_nobody_needs_are_let_go(void **state)
{
        unsigned sum = 0;

        for (size_t i = 0; i < sizeof(table); i++)
                sum += constants[i];
        assert_int_equal(sum, 16);
        long before = resident_around(constants);
        assert_true(before >= (PAGES - 2) * PAGE / 1024);
        memory_trim();
        assert_true(resident_around(constants) < before / 2);
        /* They are still there. */
        assert_int_equal(constants[0], 7);
        assert_int_equal(constants[sizeof(table) - 1], 9);
}

static void test_what_was_written_stays(void **state)
{
        char *text = strdup("text");
        assert_non_null(text);
        written = 2;
        memory_trim();
        assert_int_equal(written, 2);
        assert_string_equal(text, "text");
        free(text);
}

static void test_free_memory_goes_back(void **state)
{
        enum { COUNT = 256, LEN = 16 * 1024 };
        uint8_t *pieces[COUNT];

        /* Theirs is another allocator. */
        if (RAWVIEW_SANITIZED)
                skip();
        /* One below the mark above which each piece would be a mapping of its own, and one on top that stays. */
        for (size_t i = 0; i < COUNT; i++) {
                pieces[i] = malloc(LEN);
                assert_non_null(pieces[i]);
                memset(pieces[i], 1, LEN);
        }
        void *top = malloc(LEN);
        assert_non_null(top);
        const void *where = pieces[0];
        for (size_t i = 0; i < COUNT; i++)
                free(pieces[i]);
        long before = resident_around(where);
        memory_trim();
        assert_true(resident_around(where) <= before - COUNT * LEN / 1024 / 2);
        free(top);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pages_that_nobody_needs_are_let_go),
                cmocka_unit_test(test_what_was_written_stays),
                cmocka_unit_test(test_free_memory_goes_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
