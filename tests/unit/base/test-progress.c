/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What comes on stderr, which is a pipe, when `whole` steps are shown one by one. */
static void show_all(ProgressWish wish, uint64_t whole, char *said, size_t room)
{
        int ends[2], own = dup(STDERR_FILENO);
        Progress p;

        assert_int_equal(pipe(ends), 0);
        dup2(ends[1], STDERR_FILENO);
        progress_init(&p, wish, "a\x1b[31mb");
        for (uint64_t i = 0; i <= whole; i++)
                progress_show(&p, "checking", i, whole);
        progress_wipe(&p);
        progress_done(&p);
        dup2(own, STDERR_FILENO);
        close(own);
        close(ends[1]);
        ssize_t n = read(ends[0], said, room - 1);
        said[n > 0 ? n : 0] = '\0';
        close(ends[0]);
}

static void test_a_line_for_each_percent(void **state)
{
        char said[8192];
        unsigned lines = 0;

        show_all(PROGRESS_FORCED, 100000, said, sizeof(said));
        for (const char *at = said; (at = strchr(at, '\n')); at++)
                lines++;
        assert_int_equal(lines, 101);
        assert_non_null(strstr(said, "checking a?[31mb:   0 %\n"));
        assert_non_null(strstr(said, "checking a?[31mb: 100 %\n"));
        assert_null(strchr(said, '\x1b'));
}

static void test_nothing_unless_asked_for(void **state)
{
        char said[8192];

        show_all(PROGRESS_AUTO, 1000, said, sizeof(said));
        assert_string_equal(said, "");
        show_all(PROGRESS_NONE, 1000, said, sizeof(said));
        assert_string_equal(said, "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_line_for_each_percent),
                cmocka_unit_test(test_nothing_unless_asked_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
