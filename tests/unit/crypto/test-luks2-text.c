/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks2-text.h"

#include "crypto/limits.h"
#include "luks2-sample.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_reads_what_is_there(void **state)
{
        static LuksHeader h;

        memset(&h, 0, sizeof(h));
        assert_int_equal(luks2_text_take(LUKS2_SAMPLE, &h, NULL), 0);
        assert_int_equal(h.payload_pos, 16777216);
        assert_true(h.payload_len == LUKS_PAYLOAD_TO_END);
        assert_int_equal(h.kind.sector_size, 4096);
        assert_string_equal(h.kind.mode, "xts-plain64");
        assert_int_equal(h.key_len, 64);
        assert_int_equal(h.slot_count, 1);
        assert_true(h.slots[0].usable);
        assert_int_equal(h.slots[0].kdf.kind, KDF_ARGON2ID);
        assert_int_equal(h.slots[0].kdf.memory, 32 << 20);
        assert_int_equal(h.slots[0].kdf.salt_len, 32);
        assert_int_equal(h.slots[0].kdf.salt[0], 0x9d);
        assert_int_equal(h.digest.iterations, 1000);
        assert_int_equal(h.digest_len, 32);
        assert_int_equal(h.digest_bytes[31], 0x10);
}

/* What stands in the sample, and what instead. */
typedef struct Change {
        const char *from, *to;
        int code;
        const char *word;
} Change;

static const Change changes[] = {
        { "{\"keyslots\"", "[\"keyslots\"", EBADMSG, "JSON" },
        { "\"config\":", "\"konfig\":", EBADMSG, "config" },
        { "\"keyslots_size\"", "\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},\"x\"",
          EOPNOTSUPP, "reencryption is under way" },
        { "\"keyslots_size\"", "\"requirements\":{\"mandatory\":[\"opal\"]},\"x\"", EOPNOTSUPP,
          "'opal'" },
        { "\"keyslots_size\"", "\"requirements\":{\"mandatory\":[7]},\"x\"", EOPNOTSUPP, "'7'" },
        { "\"segments\":{\"0\"", "\"segments\":{\"1\":{},\"0\"", EOPNOTSUPP, "2 segments" },
        { "\"segments\":{\"0\"", "\"segments\":{\"1\"", EBADMSG, "'0'" },
        { "\"type\":\"crypt\"", "\"type\":\"linear\"", EOPNOTSUPP, "linear" },
        { "\"type\":\"crypt\"", "\"type\":7", EBADMSG, "type" },
        { "\"iv_tweak\":", "\"integrity\":{\"type\":\"hmac(sha256)\"},\"iv_tweak\":", EOPNOTSUPP,
          "integrity" },
        { "\"iv_tweak\":", "\"flags\":[\"backup-final\"],\"iv_tweak\":", EOPNOTSUPP,
          "backup-final" },
        { "\"iv_tweak\":\"0\"", "\"iv_tweak\":\"-1\"", EBADMSG, "iv_tweak" },
        { "\"iv_tweak\":\"0\"", "\"iv_tweak\":\"18446744073709551616\"", EBADMSG, "iv_tweak" },
        { "\"iv_tweak\":\"0\"", "\"iv_tweak\":0", EBADMSG, "iv_tweak" },
        { "\"size\":\"dynamic\"", "\"size\":\"static\"", EBADMSG, "size" },
        { "\"sector_size\":4096", "\"sector_size\":-4096", EBADMSG, "sector_size" },
        { "\"encryption\":\"aes-xts-plain64\",\"sector", "\"encryption\":\"aes\",\"sector", EBADMSG,
          "'aes'" },
        { "\"segments\":[\"0\"]", "\"segments\":[\"1\"]", EBADMSG, "no digest" },
        { "\"segments\":[\"0\"]", "\"segments\":7", EBADMSG, "no digest" },
        { "\"keyslots\":[\"0\"]", "\"keyslots\":7", EBADMSG, "keyslots" },
        { "\"keyslots\":[\"0\"]", "\"keyslots\":[]", EOPNOTSUPP, "no key slot" },
        { "\"type\":\"pbkdf2\"", "\"type\":\"crc\"", EOPNOTSUPP, "crc" },
        { "\"hash\":\"sha256\",\"iter", "\"hash\":\"sha512\",\"iter", EBADMSG, "32 bytes" },
        { "\"hash\":\"sha256\",\"iter", "\"hash\":\"sha0\",\"iter", EOPNOTSUPP, "sha0" },
        { "\"digest\":\"B", "\"digest\":\"=", EBADMSG, "0 bytes" },
        { "\"digest\":\"B", "\"digest\":\"!", EBADMSG, "base64" },
        { "\"keyslots\":{\"0\"", "\"keyslots\":{\"32\":{},\"0\"", EBADMSG, "'32'" },
        { "\"keyslots\":{\"0\"", "\"keyslots\":{\"x\":{},\"0\"", EBADMSG, "'x'" },
        { "\"type\":\"luks2\"", "\"type\":\"reencrypt\"", EOPNOTSUPP, "reencrypt" },
        { "\"type\":\"raw\"", "\"type\":\"none\"", EOPNOTSUPP, "none" },
        { "\"type\":\"luks1\"", "\"type\":\"luks3\"", EOPNOTSUPP, "luks3" },
        { "\"type\":\"argon2id\"", "\"type\":\"scrypt\"", EOPNOTSUPP, "scrypt" },
        { "\"type\":\"argon2id\"", "\"type\":\"pbkdf2\"", EBADMSG, "hash" },
        { "\"size\":\"258048\"", "\"size\":\"255999\"", EBADMSG, "too small" },
        { "\"time\":4", "\"time\":4294967296", EBADMSG, "time" },
        { "\"salt\":\"nWbV", "\"salt\":\"nWbVnWbVnWbVnWbVnWbVnWbVnWbVnWbVnWbVnWbVnWbVnWbVnWbVnWbV",
          EBADMSG, "64 bytes" },
        { "\"tokens\":{}",
          "\"tokens\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", EBADMSG,
          "JSON" },
};

static char *changed(const Change *c)
{
        const char *at = strstr(LUKS2_SAMPLE, c->from);
        char *text = NULL;

        assert_non_null(at);
        assert_true(asprintf(&text, "%.*s%s%s", (int)(at - LUKS2_SAMPLE), LUKS2_SAMPLE, c->to,
                             at + strlen(c->from)) > 0);
        return text;
}

static void test_refuses_in_words(void **state)
{
        static LuksHeader h;

        for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
                char *text = changed(&changes[i]);
                Err err = { "" };

                memset(&h, 0, sizeof(h));
                print_message("%s\n", changes[i].to);
                assert_int_equal(luks2_text_take(text, &h, &err), -changes[i].code);
                assert_non_null(strstr(err.text, changes[i].word));
                free(text);
        }
}

/* Cut off anywhere it is no JSON. */
static void test_every_length(void **state)
{
        static LuksHeader h;

        for (size_t len = 0; len < strlen(LUKS2_SAMPLE); len++) {
                char *text = strndup(LUKS2_SAMPLE, len);
                memset(&h, 0, sizeof(h));
                assert_int_equal(luks2_text_take(text, &h, NULL), -EBADMSG);
                free(text);
        }
}

static void test_punctuation_is_bounded(void **state)
{
        static char text[LIMIT_LUKS2_PUNCTUATION + 2];
        static LuksHeader h;

        memset(text, ',', sizeof(text) - 1);
        assert_int_equal(luks2_text_take(text, &h, NULL), -EFBIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads_what_is_there),
                cmocka_unit_test(test_refuses_in_words),
                cmocka_unit_test(test_every_length),
                cmocka_unit_test(test_punctuation_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
