/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/sector-cipher.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void from_hex(const char *hex, uint8_t *ret, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                unsigned byte = 0;
                assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
                ret[i] = (uint8_t)byte;
        }
}

static void fill(uint8_t *buf, size_t len)
{
        for (size_t i = 0; i < len; i++)
                buf[i] = (uint8_t)i;
}

typedef struct Known {
        const char *name, *mode;
        const char *key; /* NULL: the bytes 0, 1, 2 … */
        size_t key_len;
        uint32_t sector_size;
        uint64_t sector;
        size_t len;
        size_t at; /* where the 16 bytes of `expected` stand */
        const char *expected;
} Known;

/* IEEE 1619-2007, vectors 4 and 10; the others by Python's cryptography, which is OpenSSL. */
static const Known known[] = {
        { "IEEE 1619 vector 4", "xts-plain64",
          "2718281828459045235360287471352631415926535897932384626433832795", 32, 512, 0, 512, 0,
          "27a7479befa1d476489f308cd4cfa6e2" },
        { "IEEE 1619 vector 10", "xts-plain64",
          "2718281828459045235360287471352662497757247093699959574966967627"
          "3141592653589793238462643383279502884197169399375105820974944592",
          64, 512, 0xff, 512, 0, "1c3b3a102f770386e4836c99e370cf9b" },
        { "xts-plain64", "xts-plain64", NULL, 64, 512, 0x123456789a, 512, 0,
          "1ad4aaecba8050a2cdaaa7327fec9bf4" },
        { "xts-plain: 32 bits of the number", "xts-plain", NULL, 64, 512, 0x123456789a, 512, 0,
          "5e941d9cff870ed8361c09b2a11588b5" },
        { "cbc-essiv", "cbc-essiv:sha256", NULL, 32, 512, 0x123456789a, 512, 496,
          "243096f9a5da121acf470359a4a7f996" },
        { "cbc-plain64be", "cbc-plain64be", NULL, 32, 512, 0x123456789a, 512, 496,
          "ffad991c031d04babd9a46d943b55448" },
        { "numbers count 512 bytes", "xts-plain64", NULL, 64, 4096, 5, 8192, 8176,
          "394c0178971511d428c8d6e934d6b085" },
};

static void test_known_answers(void **state)
{
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
                const Known *k = &known[i];
                SectorCipherKind kind = { .cipher = "aes", .sector_size = k->sector_size };
                _cleanup_sector_cipher_ SectorCipher *c = NULL;
                uint8_t key[64], buf[8192], plain[8192], expected[16];

                strcpy(kind.mode, k->mode);
                fill(key, sizeof(key));
                if (k->key)
                        from_hex(k->key, key, k->key_len);
                fill(plain, sizeof(plain));
                memcpy(buf, plain, sizeof(buf));
                from_hex(k->expected, expected, sizeof(expected));

                print_message("%s\n", k->name);
                assert_int_equal(sector_cipher_new(&kind, key, k->key_len, &c, NULL), 0);
                assert_int_equal(sector_cipher_encrypt(c, k->sector, buf, k->len), 0);
                assert_memory_equal(buf + k->at, expected, sizeof(expected));
                assert_int_equal(sector_cipher_decrypt(c, k->sector, buf, k->len), 0);
                assert_memory_equal(buf, plain, k->len);
        }
}

/* What QEMU 7.2 wrote with the password "abc123". */
static void test_qemu_aes(void **state)
{
        _cleanup_sector_cipher_ SectorCipher *c = NULL;
        _cleanup_secret_ Secret *s = secret_new();
        uint8_t buf[1024], expected[16];

        memset(buf, 7, sizeof(buf));
        memcpy(s->bytes, "abc123", 6);
        s->len = 6;
        assert_int_equal(sector_cipher_new_qcow(s, &c, NULL), 0);
        assert_int_equal(sector_cipher_encrypt(c, 0, buf, sizeof(buf)), 0);
        from_hex("9c89a7ecfed618371498b8cad6d27e19", expected, sizeof(expected));
        assert_memory_equal(buf, expected, sizeof(expected));
        from_hex("882475a19704c73d618f54db9385878f", expected, sizeof(expected));
        assert_memory_equal(buf + 512, expected, sizeof(expected));
}

typedef struct Refused {
        const char *cipher, *mode;
        size_t key_len;
        uint32_t sector_size;
        int code;
        const char *word;
} Refused;

static const Refused refused[] = {
        { "rot13", "xts-plain64", 64, 512, EOPNOTSUPP, "rot13" },
        { "aes", "gcm-random", 32, 512, EOPNOTSUPP, "gcm-random" },
        { "aes", "xts-plain64", 33, 512, EBADMSG, "33" },
        { "aes", "xts-plain64", 63, 512, EBADMSG, "halved" },
        { "aes", "cbc-plain64", 0, 512, EBADMSG, "0 bytes" },
        { "aes", "xts-plain64", 64, 513, EBADMSG, "513" },
        { "aes", "xts-plain64", 64, 8192, EBADMSG, "8192" },
        { "cast5", "xts-plain64", 32, 512, EOPNOTSUPP, "XTS" },
        { "aes", "cbc-essiv:", 32, 512, EOPNOTSUPP, "hash" },
        { "aes", "cbc-essiv:sha512", 32, 512, EOPNOTSUPP, "sha512" },
        { "aes", "cbc-essiv:nothing", 32, 512, EOPNOTSUPP, "nothing" },
};

static void test_refuses_in_words(void **state)
{
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                const Refused *x = &refused[i];
                SectorCipherKind kind = { .sector_size = x->sector_size };
                SectorCipher *c = NULL;
                uint8_t key[64] = { 0 };
                Err err = { "" };

                strcpy(kind.cipher, x->cipher);
                strcpy(kind.mode, x->mode);
                assert_int_equal(sector_cipher_new(&kind, key, x->key_len, &c, &err), -x->code);
                assert_int_equal(sector_cipher_check(&kind, x->key_len, NULL), -x->code);
                assert_non_null(strstr(err.text, x->word));
                assert_null(c);
        }
}

static void test_takes_words_apart(void **state)
{
        SectorCipherKind kind;

        assert_int_equal(sector_cipher_parse("aes-cbc-essiv:sha256", 4096, &kind, NULL), 0);
        assert_string_equal(kind.cipher, "aes");
        assert_string_equal(kind.mode, "cbc-essiv:sha256");
        assert_int_equal(kind.sector_size, 4096);
        assert_int_equal(sector_cipher_parse("aes", 512, &kind, NULL), -EBADMSG);
        assert_int_equal(sector_cipher_parse("-xts", 512, &kind, NULL), -EBADMSG);
        assert_int_equal(
                sector_cipher_parse("a2345678901234567890123456789012-x", 512, &kind, NULL),
                -EBADMSG);
        assert_int_equal(
                sector_cipher_parse("a-x2345678901234567890123456789012", 512, &kind, NULL),
                -EBADMSG);
}

enum {
        THREADS = 24, /* more than there are sets of handles */
        ROUNDS = 200,
        PIECE = 8 * 512,
};

static void *run_rounds(void *arg)
{
        SectorCipher *c = arg;
        uint8_t plain[PIECE], first[PIECE], buf[PIECE];
        intptr_t wrong = 0;

        fill(plain, sizeof(plain));
        memcpy(first, plain, sizeof(first));
        wrong += sector_cipher_encrypt(c, 77, first, sizeof(first)) != 0;
        for (int i = 0; i < ROUNDS; i++) {
                memcpy(buf, plain, sizeof(buf));
                wrong += sector_cipher_encrypt(c, 77, buf, sizeof(buf)) != 0;
                wrong += memcmp(buf, first, sizeof(buf)) != 0;
                wrong += sector_cipher_decrypt(c, 77, buf, sizeof(buf)) != 0;
                wrong += memcmp(buf, plain, sizeof(buf)) != 0;
        }
        return (void *)wrong;
}

static void test_threads_do_not_meet(void **state)
{
        SectorCipherKind kind = { .cipher = "aes", .mode = "cbc-essiv:sha256", .sector_size = 512 };
        _cleanup_sector_cipher_ SectorCipher *c = NULL;
        pthread_t threads[THREADS];
        uint8_t key[32] = { 1, 2, 3 };

        assert_int_equal(sector_cipher_new(&kind, key, sizeof(key), &c, NULL), 0);
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, run_rounds, c), 0);
        for (size_t i = 0; i < THREADS; i++) {
                void *wrong = NULL;
                pthread_join(threads[i], &wrong);
                assert_null(wrong);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known_answers),
                cmocka_unit_test(test_qemu_aes),
                cmocka_unit_test(test_refuses_in_words),
                cmocka_unit_test(test_takes_words_apart),
                cmocka_unit_test(test_threads_do_not_meet),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
