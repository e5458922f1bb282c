/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/kdf.h"

#include "crypto/limits.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_derives(const Kdf *k, const char *passphrase, const char *expected)
{
        uint8_t key[64];
        char text[129];
        size_t len = strlen(expected) / 2;
        KdfCost cost = { 0 };

        assert_int_equal(kdf_check(k, &cost, NULL), 0);
        assert_int_equal(
                kdf_derive(k, (const uint8_t *)passphrase, strlen(passphrase), key, len, NULL), 0);
        for (size_t i = 0; i < len; i++)
                snprintf(text + 2 * i, 3, "%02x", key[i]);
        assert_string_equal(text, expected);
}

/* RFC 6070. */
static void test_pbkdf2(void **state)
{
        Kdf k = { .kind = KDF_PBKDF2, .hash = "sha1", .salt = "salt", .salt_len = 4 };

        k.iterations = 1;
        assert_derives(&k, "password", "0c60c80f961f0e71f3a9b524af6012062fe037a6");
        k.iterations = 4096;
        assert_derives(&k, "password", "4b007901b765489abead49d926f721d065a429c1");
}

/* Expected by the reference implementation, libargon2. */
static void test_argon2(void **state)
{
        Kdf k = { .salt = "0123456789abcdef", .salt_len = 16 };

        k.kind = KDF_ARGON2ID;
        k.iterations = 3;
        k.memory = 64 << 10;
        k.lanes = 2;
        assert_derives(&k, "password",
                       "2893d223d8f667e3dcfde8f3db69bbbae03ceabd83dfe831076080276b60db35");
        k.kind = KDF_ARGON2I;
        k.iterations = 4;
        k.memory = 128 << 10;
        k.lanes = 1;
        assert_derives(&k, "password",
                       "c8708156c1e64c9a88b4a19fa5c0ebbf96c0d97364cb362b65f8ade54ea8eb48");
}

typedef struct Refused {
        const char *name;
        Kdf kdf;
        int code;
        const char *word;
} Refused;

static const Refused refused[] = {
        { "unknown hash", { .hash = "sha0", .iterations = 1 }, EOPNOTSUPP, "sha0" },
        { "no iterations", { .hash = "sha256", .iterations = 0 }, EBADMSG, "0 iterations" },
        { "iterations",
          { .hash = "sha256", .iterations = LIMIT_KDF_ITERATIONS + 1 },
          EFBIG,
          "100000001" },
        { "iterations that overflow",
          { .hash = "sha256", .iterations = UINT64_MAX },
          EFBIG,
          "iterations" },
        { "no time",
          { .kind = KDF_ARGON2I, .memory = 1 << 20, .lanes = 1, .salt_len = 16 },
          EBADMSG,
          "time 0" },
        { "no cpus",
          { .kind = KDF_ARGON2I, .iterations = 1, .memory = 1 << 20, .salt_len = 16 },
          EBADMSG,
          "cpus 0" },
        { "short salt",
          { .kind = KDF_ARGON2I, .iterations = 1, .memory = 1 << 20, .lanes = 1, .salt_len = 7 },
          EBADMSG,
          "salt" },
        { "little memory",
          { .kind = KDF_ARGON2ID, .iterations = 1, .memory = 8 << 10, .lanes = 2, .salt_len = 16 },
          EBADMSG,
          "too few" },
        { "much memory",
          { .kind = KDF_ARGON2ID,
            .iterations = 1,
            .memory = LIMIT_KDF_MEMORY + 1024,
            .lanes = 1,
            .salt_len = 16 },
          EFBIG,
          "1073742848" },
        { "many cpus",
          { .kind = KDF_ARGON2ID, .iterations = 1, .memory = 8 << 20, .lanes = 65, .salt_len = 16 },
          EFBIG,
          "cpus 65" },
        { "much time",
          { .kind = KDF_ARGON2ID,
            .iterations = UINT32_MAX,
            .memory = 1 << 20,
            .lanes = 1,
            .salt_len = 16 },
          EFBIG,
          "4294967295" },
};

static void test_refuses_in_words(void **state)
{
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                KdfCost cost = { 0 };
                Err err = { "" };
                print_message("%s\n", refused[i].name);
                assert_int_equal(kdf_check(&refused[i].kdf, &cost, &err), -refused[i].code);
                assert_non_null(strstr(err.text, refused[i].word));
        }
}

/* Each slot alone would do. */
static void test_costs_add_up(void **state)
{
        Kdf half = { .hash = "sha256", .iterations = LIMIT_KDF_ITERATIONS / 2 + 1 };
        Kdf argon = { .kind = KDF_ARGON2ID,
                      .iterations = 33,
                      .memory = UINT64_C(1) << 30,
                      .lanes = 4,
                      .salt_len = 16 };
        KdfCost cost = { 0 };

        assert_int_equal(kdf_check(&half, &cost, NULL), 0);
        assert_int_equal(kdf_check(&half, &cost, NULL), -EFBIG);
        assert_int_equal(kdf_check(&argon, &cost, NULL), 0);
        assert_int_equal(kdf_check(&argon, &cost, NULL), -EFBIG);
}

static void test_hash_in_pieces(void **state)
{
        uint8_t whole[KDF_HASH_LEN_MAX], pieces[KDF_HASH_LEN_MAX];
        size_t len = 0;

        assert_int_equal(kdf_hash_len("sha256", &len, NULL), 0);
        assert_int_equal(len, 32);
        kdf_hash_numbered("sha256", 0x01020304, (const uint8_t *)"abc", 3, whole);
        KdfHash *h = kdf_hash_new("sha256");
        kdf_hash_add(h, "\1\2\3\4", 4);
        kdf_hash_add(h, "abc", 3);
        kdf_hash_get(h, pieces);
        kdf_hash_free(h);
        assert_memory_equal(whole, pieces, 32);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pbkdf2),           cmocka_unit_test(test_argon2),
                cmocka_unit_test(test_refuses_in_words), cmocka_unit_test(test_costs_add_up),
                cmocka_unit_test(test_hash_in_pieces),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
