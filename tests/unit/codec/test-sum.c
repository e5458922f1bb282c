/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/sum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include <cmocka.h>

enum {
        LEN = 70000,
};

/* What everybody gives as examples. */
static void test_known_sums(void **state)
{
        assert_int_equal(adler32_over(1, "Wikipedia", 9), 0x11e60398);
        assert_int_equal(crc32_over(0, "123456789", 9), 0xcbf43926);
        assert_int_equal(adler32_over(1, NULL, 0), 1);
        assert_int_equal(crc32_over(0, NULL, 0), 0);
        assert_int_equal(adler32_over(77, NULL, 0), 77);
        assert_int_equal(crc32_over(77, NULL, 0), 77);
}

/* Of any length, in any pieces, from any address. */
static void test_same_as_zlib(void **state)
{
        static uint8_t bytes[LEN];
        uint32_t x = 1;

        for (size_t i = 0; i < LEN; i++) {
                x = x * 1664525 + 1013904223;
                bytes[i] = i < LEN / 2 ? 0xff : (uint8_t)(x >> 24);
        }
        for (size_t len = 0; len < LEN; len = len * 3 / 2 + 1) {
                const uint8_t *from = bytes + (LEN - len) % 61;
                size_t cut = len / 3;
                uint32_t adler = adler32_over(adler32_over(1, from, cut), from + cut, len - cut);
                uint32_t crc = crc32_over(crc32_over(0, from, cut), from + cut, len - cut);
                assert_int_equal(adler, adler32_z(1, from, len));
                assert_int_equal(crc, crc32_z(0, from, len));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known_sums),
                cmocka_unit_test(test_same_as_zlib),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
