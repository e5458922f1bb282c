/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The examples of RFC 3720, B.4, and the check value that everybody gives. */
static void test_known_values(void **state)
{
        uint8_t zeroes[32] = { 0 }, ones[32], up[32], down[32];

        memset(ones, 0xff, sizeof(ones));
        for (size_t i = 0; i < sizeof(up); i++) {
                up[i] = (uint8_t)i;
                down[i] = (uint8_t)(31 - i);
        }
        assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
        assert_int_equal(crc32c(0, zeroes, sizeof(zeroes)), 0x8a9136aa);
        assert_int_equal(crc32c(0, ones, sizeof(ones)), 0x62a8ab43);
        assert_int_equal(crc32c(0, up, sizeof(up)), 0x46dd794e);
        assert_int_equal(crc32c(0, down, sizeof(down)), 0x113fdb5c);
        assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void test_in_parts(void **state)
{
        for (size_t i = 0; i <= 9; i++) {
                uint32_t crc = crc32c(0, "123456789", i);
                assert_int_equal(crc32c(crc, &"123456789"[i], 9 - i), 0xe3069283);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known_values),
                cmocka_unit_test(test_in_parts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
