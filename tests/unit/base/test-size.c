/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/size.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_parse(void **state)
{
        static const struct {
                const char *text;
                int r;
                uint64_t size;
        } cases[] = {
                { "0", 0, 0 },
                { "512", 0, 512 },
                { "64K", 0, 65536 },
                { "64k", 0, 65536 },
                { "1M", 0, 1 << 20 },
                { "2G", 0, UINT64_C(2) << 30 },
                { "1T", 0, UINT64_C(1) << 40 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE, 0 },
                { "16777216T", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "K", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "1 K", -EINVAL, 0 },
                { "1KB", -EINVAL, 0 },
                { "1.5G", -EINVAL, 0 },
                { "0x10", -EINVAL, 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t size = 0;
                int r = size_parse(cases[i].text, &size);
                if (r != cases[i].r || size != cases[i].size)
                        fail_msg("'%s': %d, %llu", cases[i].text, r, (unsigned long long)size);
        }
}

static void test_format(void **state)
{
        static const struct {
                uint64_t size;
                const char *text;
        } cases[] = {
                { 0, "0B" },
                { 512, "512B" },
                { 1023, "1023B" },
                { 1024, "1K" },
                { 1536, "1.5K" },
                { 1 << 20, "1M" },
                { UINT64_C(20) << 30, "20G" },
                { (UINT64_C(20) << 30) + (UINT64_C(512) << 20), "20.5G" },
                { (UINT64_C(200) << 30) + (UINT64_C(512) << 20), "200G" },
                { UINT64_MAX, "15.9E" },
        };
        char buf[SIZE_TEXT_MAX];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_string_equal(size_format(cases[i].size, buf), cases[i].text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_format),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
