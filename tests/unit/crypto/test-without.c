/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks-header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_says_what_is_lacking(void **state)
{
        SectorCipherKind kind = { .cipher = "aes", .mode = "xts-plain64", .sector_size = 512 };
        SectorCipher *c = NULL;
        Err err = { "" };
        uint8_t key[64] = { 0 };

        assert_int_equal(sector_cipher_new(&kind, key, sizeof(key), &c, &err), -EOPNOTSUPP);
        assert_non_null(strstr(err.text, "built without encryption"));
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_says_what_is_lacking) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
