/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks-header.h"

#include "fake/luks.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
        SIZE = FAKE_LUKS_PAYLOAD + 4096,
};

static uint8_t image[SIZE];

static int read_image(size_t len, bool detached, LuksHeader *ret, Err *err)
{
        _cleanup_store_ Store *s = NULL;
        LuksPlace place = { .len = len, .detached = detached };

        assert_int_equal(mem_store_new(image, len, &s), 0);
        place.store = s;
        return luks_header_read(&place, ret, err);
}

static void make_image(void)
{
        memset(image, 0, sizeof(image));
        assert_int_equal(fake_luks_header(image), 0);
}

static void test_reads_what_is_there(void **state)
{
        LuksHeader h;

        make_image();
        assert_int_equal(read_image(SIZE, false, &h, NULL), 0);
        assert_int_equal(h.version, 1);
        assert_string_equal(h.kind.cipher, "aes");
        assert_string_equal(h.kind.mode, "xts-plain64");
        assert_string_equal(h.hash, "sha256");
        assert_int_equal(h.key_len, FAKE_LUKS_KEY);
        assert_int_equal(h.payload_pos, FAKE_LUKS_PAYLOAD);
        assert_int_equal(h.slot_count, 8);
        assert_true(h.slots[0].active);
        assert_false(h.slots[1].active);
        assert_int_equal(h.slots[0].pos, FAKE_LUKS_MATERIAL);
        assert_int_equal(h.end, FAKE_LUKS_PAYLOAD);
}

typedef struct Damage {
        const char *name;
        size_t at, len;
        const char *bytes;
        int code;
        const char *word;
} Damage;

/* NUL bytes count: len says how many. */
static const Damage damages[] = {
        { "version", 6, 2, "\0\3", EOPNOTSUPP, "version 3" },
        { "cipher without an end", 8, 32, "aesaesaesaesaesaesaesaesaesaesae", EBADMSG,
          "cipher-name" },
        { "cipher", 8, 4, "abc", EOPNOTSUPP, "'abc'" },
        { "mode", 40, 4, "abc", EOPNOTSUPP, "'abc'" },
        { "mode without an end", 40, 32, "xts-plain64xts-plain64xts-plain6", EBADMSG,
          "cipher-mode" },
        { "hash", 72, 4, "abc", EOPNOTSUPP, "'abc'" },
        { "hash without an end", 72, 32, "sha256sha256sha256sha256sha256sh", EBADMSG, "hash-spec" },
        { "no payload", 104, 4, "\0\0\0\0", EOPNOTSUPP, "detached" },
        { "payload in the header", 104, 4, "\0\0\0\x20", EBADMSG, "payload" },
        { "payload beyond the file", 104, 4, "\0\1\0\0", ENODATA, "payload" },
        { "key of 0 bytes", 108, 4, "\0\0\0\0", EBADMSG, "0 bytes" },
        { "key of many bytes", 108, 4, "\xff\xff\xff\xfe", EBADMSG, "4294967294" },
        { "digest iterations", 164, 4, "\0\0\0\0", EBADMSG, "digest" },
        { "digest iterations", 164, 4, "\xff\0\0\0", EFBIG, "iterations" },
        { "uuid without an end", 168, 40, "0123456789012345678901234567890123456789", EBADMSG,
          "uuid" },
        { "state of a slot", 208 + 48, 4, "\0\0\0\1", EBADMSG, "slot 1" },
        { "iterations of a slot", 212, 4, "\0\0\0\0", EBADMSG, "slot 0" },
        { "iterations of a slot", 212, 4, "\x7f\0\0\0", EFBIG, "slot 0" },
        { "material in the header", 248, 4, "\0\0\0\1", EBADMSG, "within the header" },
        { "material beyond the file", 248, 4, "\0\xff\0\0", ENODATA, "slot 0" },
        { "stripes", 252, 4, "\0\0\0\1", EBADMSG, "1 stripes" },
        { "stripes of an inactive slot", 252 + 48, 4, "\0\0\0\1", EBADMSG, "slot 1" },
        { "two slots in one place", 208 + 48, 8, "\0\xac\x71\xf3\0\0\0\1", EBADMSG, "overlaps" },
};

static void test_refuses_in_words(void **state)
{
        for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
                const Damage *d = &damages[i];
                LuksHeader h;
                Err err = { "" };

                make_image();
                memcpy(image + d->at, d->bytes, d->len);
                print_message("%s\n", d->name);
                assert_int_equal(read_image(SIZE, false, &h, &err), -d->code);
                assert_non_null(strstr(err.text, d->word));
        }
}

static void test_every_length(void **state)
{
        LuksHeader h;

        make_image();
        for (size_t len = 0; len < FAKE_LUKS_PAYLOAD; len += len < 1024 ? 1 : 512)
                assert_true(read_image(len, false, &h, NULL) < 0);
        assert_int_equal(read_image(FAKE_LUKS_PAYLOAD, false, &h, NULL), 0);
}

/* In a qcow2 where the payload begins means nothing. */
static void test_payload_elsewhere(void **state)
{
        LuksHeader h;

        make_image();
        memset(image + 104, 0, 4);
        assert_int_equal(read_image(FAKE_LUKS_PAYLOAD, true, &h, NULL), 0);
        memset(image, 0, 8);
        assert_int_equal(read_image(FAKE_LUKS_PAYLOAD, true, &h, NULL), -EBADMSG);
        memcpy(image, "LUKS\xba\xbe\0\2", 8);
        assert_int_equal(read_image(FAKE_LUKS_PAYLOAD, true, &h, NULL), -EOPNOTSUPP);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads_what_is_there),
                cmocka_unit_test(test_refuses_in_words),
                cmocka_unit_test(test_every_length),
                cmocka_unit_test(test_payload_elsewhere),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
