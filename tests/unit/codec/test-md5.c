/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/md5.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
        HEX_LEN = 2 * MD5_LEN + 1,
};

static void end_as_hex(Md5 *m, char ret[static HEX_LEN])
{
        uint8_t sum[MD5_LEN];

        md5_end(m, sum);
        for (size_t i = 0; i < MD5_LEN; i++)
                snprintf(ret + 2 * i, 3, "%02x", sum[i]);
}

/* RFC 1321, A.5. */
static void test_the_suite_of_the_standard(void **state)
{
        static const struct {
                const char *text, *sum;
        } cases[] = {
                { "", "d41d8cd98f00b204e9800998ecf8427e" },
                { "a", "0cc175b9c0f1b6a831c399e269772661" },
                { "abc", "900150983cd24fb0d6963f7d28e17f72" },
                { "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
                { "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
                { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                  "d174ab98d277d9f5a5611c2c9f419d9f" },
                { "1234567890123456789012345678901234567890123456789012345678901234567890123456789"
                  "0",
                  "57edf4a22be3c955ac49da2e2107b67a" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char sum[HEX_LEN];
                Md5 m;
                md5_begin(&m);
                md5_add(&m, cases[i].text, strlen(cases[i].text));
                end_as_hex(&m, sum);
                assert_string_equal(sum, cases[i].sum);
        }
}

/* All lengths around a block, in pieces that cross its border; md5sum says the same of 200 bytes 0 to 199. */
static void test_in_pieces(void **state)
{
        uint8_t bytes[200];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)i;
        for (size_t len = 0; len <= sizeof(bytes); len++) {
                char whole[HEX_LEN], pieces[HEX_LEN];
                Md5 m;
                md5_begin(&m);
                md5_add(&m, bytes, len);
                end_as_hex(&m, whole);
                for (size_t step = 1; step < 130; step += 7) {
                        md5_begin(&m);
                        for (size_t at = 0; at < len; at += step)
                                md5_add(&m, bytes + at, len - at < step ? len - at : step);
                        end_as_hex(&m, pieces);
                        assert_string_equal(pieces, whole);
                }
                if (len == sizeof(bytes))
                        assert_string_equal(whole, "fb7001d34b8e82c9b579be5005d5b0a5");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_suite_of_the_standard),
                cmocka_unit_test(test_in_pieces),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
