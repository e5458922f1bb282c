/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks-key.h"

#include "fake/luks.h"
#include "fake/secret.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
        BASE = 65536, /* as in a qcow2 */
};

static int unlock(const char *passphrase, SectorCipher **ret, Err *err)
{
        _cleanup_store_ Store *s = NULL;
        _cleanup_secret_ Secret *secret = secret_new();
        LuksPlace place = { .base = BASE, .len = FAKE_LUKS_PAYLOAD };
        uint8_t *image = calloc(1, BASE + FAKE_LUKS_PAYLOAD);
        LuksHeader h;

        assert_int_equal(fake_luks_header(image + BASE), 0);
        assert_int_equal(mem_store_new(image, BASE + FAKE_LUKS_PAYLOAD, &s), 0);
        free(image);
        place.store = s;
        assert_int_equal(luks_header_read(&place, &h, NULL), 0);
        secret->len = strlen(passphrase);
        memcpy(secret->bytes, passphrase, secret->len);
        return luks_key_unlock(&place, &h, secret, ret, err);
}

static void test_the_right_passphrase(void **state)
{
        _cleanup_sector_cipher_ SectorCipher *ours = NULL;
        _cleanup_sector_cipher_ SectorCipher *right = NULL;
        uint8_t buf[1024] = "what is encrypted with one key …", copy[1024];

        assert_int_equal(unlock(FAKE_PASSPHRASE, &ours, NULL), 0);
        assert_int_equal(fake_luks_cipher(&right), 0);
        memcpy(copy, buf, sizeof(buf));
        assert_int_equal(sector_cipher_encrypt(right, 5, buf, sizeof(buf)), 0);
        assert_int_equal(sector_cipher_decrypt(ours, 5, buf, sizeof(buf)), 0);
        assert_memory_equal(buf, copy, sizeof(buf));
}

static void test_a_wrong_one(void **state)
{
        static const char *const wrong[] = { "Rawview", "rawview\n", "rawvie", "" };

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                SectorCipher *c = NULL;
                Err err = { "" };
                assert_int_equal(unlock(wrong[i], &c, &err), -EKEYREJECTED);
                assert_string_equal(err.text, "wrong passphrase");
                assert_null(c);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_right_passphrase),
                cmocka_unit_test(test_a_wrong_one),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
