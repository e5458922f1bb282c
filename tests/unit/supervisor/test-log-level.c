/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/log-level.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_who_decides(void **state)
{
        static const struct {
                LogLevel asked;
                ConfigLogLevel configured;
                LogLevel terminal, journal;
        } cases[] = {
                { 0, CONFIG_LOG_AUTO, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO },
                { 0, CONFIG_LOG_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR },
                { 0, CONFIG_LOG_WARNING, LOG_LEVEL_WARNING, LOG_LEVEL_WARNING },
                { 0, CONFIG_LOG_NOTICE, LOG_LEVEL_NOTICE, LOG_LEVEL_NOTICE },
                { 0, CONFIG_LOG_INFO, LOG_LEVEL_INFO, LOG_LEVEL_INFO },
                { 0, CONFIG_LOG_DEBUG, LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG },
                { LOG_LEVEL_DEBUG, CONFIG_LOG_ERROR, LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG },
                { LOG_LEVEL_ERROR, CONFIG_LOG_AUTO, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                unsetenv("JOURNAL_STREAM");
                assert_int_equal(log_level_choose(cases[i].asked, cases[i].configured),
                                 cases[i].terminal);
                setenv("JOURNAL_STREAM", "1:2", 1);
                assert_int_equal(log_level_choose(cases[i].asked, cases[i].configured),
                                 cases[i].journal);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_decides),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
