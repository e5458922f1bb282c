/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/crypto.h"

#include <gcrypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_can_be_called_again(void **state)
{
        assert_int_equal(crypto_start(NULL), 0);
        assert_int_equal(crypto_start(NULL), 0);
}

/* The memory still belongs to the heap, whose own notes are at its beginning. The sanitizers look at nothing like it. */
__attribute__((no_sanitize("address"), no_sanitize("thread"))) static bool is_wiped(
        const volatile uint8_t *p, size_t len)
{
        for (size_t i = 64; i < len; i++)
                if (p[i] == 0x5a)
                        return false;
        return true;
}

static void test_memory_is_wiped(void **state)
{
        assert_int_equal(crypto_start(NULL), 0);

        uint8_t *p = gcry_malloc(1000);
        memset(p, 0x5a, 1000);
        gcry_free(p);
        assert_true(is_wiped(p, 1000));

        p = gcry_malloc(1000);
        memset(p, 0x5a, 1000);
        uint8_t *grown = gcry_realloc(p, 100000);
        assert_int_equal(grown[999], 0x5a);
        assert_true(is_wiped(p, 1000));
        gcry_free(grown);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_can_be_called_again),
                cmocka_unit_test(test_memory_is_wiped),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
