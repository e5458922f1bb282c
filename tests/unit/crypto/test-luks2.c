/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks-header.h"

#include "base/disk-int.h"
#include "luks2-sample.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
        HEADER = 16 << 10,
        SIZE = (16 << 20) + 8192,
        SUM_AT = 448,
};

static uint8_t image[SIZE];

static void put64(uint8_t *at, uint64_t value)
{
        be64 raw = to_be64(value);
        memcpy(at, &raw, sizeof(raw));
}

static void put_sum(uint8_t *copy)
{
        KdfHash *h;

        memset(copy + SUM_AT, 0, 64);
        h = kdf_hash_new("sha256");
        kdf_hash_add(h, copy, HEADER);
        kdf_hash_get(h, copy + SUM_AT);
        kdf_hash_free(h);
}

static void put_copy(uint8_t *copy, const char *magic, uint64_t pos, uint64_t sequence)
{
        size_t len;

        assert_int_equal(kdf_hash_len("sha256", &len, NULL), 0);
        memset(copy, 0, HEADER);
        memcpy(copy, magic, 6);
        copy[7] = 2;
        put64(copy + 8, HEADER);
        put64(copy + 16, sequence);
        strcpy((char *)copy + 24, "label");
        strcpy((char *)copy + 72, "sha256");
        strcpy((char *)copy + 168, "uuid");
        put64(copy + 256, pos);
        strcpy((char *)copy + 4096, LUKS2_SAMPLE);
        put_sum(copy);
}

static void make_image(uint64_t first, uint64_t second)
{
        put_copy(image, "LUKS\xba\xbe", 0, first);
        put_copy(image + HEADER, "SKUL\xba\xbe", HEADER, second);
}

static int read_image(size_t len, LuksHeader *ret, Err *err)
{
        _cleanup_store_ Store *s = NULL;
        LuksPlace place = { .len = len };

        assert_int_equal(mem_store_new(image, len, &s), 0);
        place.store = s;
        memset(ret, 0, sizeof(*ret));
        return luks_header_read(&place, ret, err);
}

static void test_takes_the_newer_copy(void **state)
{
        static LuksHeader h;

        make_image(5, 5);
        assert_int_equal(read_image(SIZE, &h, NULL), 0);
        assert_false(h.copy_is_newer || h.copy_is_bad);
        assert_string_equal(h.label, "label");
        assert_string_equal(h.uuid, "uuid");

        make_image(5, 6);
        strcpy((char *)image + HEADER + 24, "newer");
        put_sum(image + HEADER);
        assert_int_equal(read_image(SIZE, &h, NULL), 0);
        assert_true(h.copy_is_newer && h.copy_is_bad);
        assert_string_equal(h.label, "newer");
        assert_int_equal(h.sequence, 6);

        make_image(6, 5);
        assert_int_equal(read_image(SIZE, &h, NULL), 0);
        assert_true(!h.copy_is_newer && h.copy_is_bad);
}

typedef struct Damage {
        const char *name;
        size_t at, len;
        const char *bytes;
        bool sum; /* the checksum is made right again */
        const char *word;
} Damage;

static const Damage damages[] = {
        { "magic", 0, 4, "LUKX", true, "magic" },
        { "version", 6, 2, "\0\1", true, "" },
        { "hdr_size", 8, 8, "\0\0\0\0\0\0\x40\1", true, "hdr_size" },
        { "hdr_size", 8, 8, "\0\0\0\0\0\0\x20\0", true, "hdr_size" },
        { "hdr_size", 8, 8, "\0\0\0\0\0\x80\0\0", true, "hdr_size" },
        { "checksum_alg", 72, 7, "sha255", true, "sha255" },
        { "checksum_alg without an end", 72, 32, "sha256sha256sha256sha256sha256sh", true,
          "checksum_alg" },
        { "offset", 256, 8, "\0\0\0\0\0\0\0\1", true, "hdr_offset" },
        { "sum", SUM_AT, 1, "X", false, "checksum" },
        { "text", 5000, 1, "X", false, "checksum" },
};

/* One that is damaged is no harm. */
static void test_either_copy_will_do(void **state)
{
        static LuksHeader h;

        for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
                const Damage *d = &damages[i];
                Err err = { "" };

                print_message("%s\n", d->name);
                make_image(7, 7);
                memcpy(image + HEADER + d->at, d->bytes, d->len);
                if (d->sum)
                        put_sum(image + HEADER);
                assert_int_equal(read_image(SIZE, &h, NULL), 0);
                assert_true(h.copy_is_bad && !h.copy_is_newer);
                assert_non_null(strstr(h.why_bad, "second"));

                /* A first copy that says it is LUKS1 is one. */
                if (strcmp(d->name, "version") == 0)
                        continue;
                memcpy(image + d->at, d->bytes, d->len);
                if (d->sum)
                        put_sum(image);
                assert_int_equal(read_image(SIZE, &h, &err), -EBADMSG);
                assert_non_null(strstr(err.text, d->word));

                put_copy(image + HEADER, "SKUL\xba\xbe", HEADER, 7);
                assert_int_equal(read_image(SIZE, &h, NULL), 0);
                assert_true(h.copy_is_bad && h.copy_is_newer);
                assert_non_null(strstr(h.why_bad, "first"));
        }
}

static void test_every_length(void **state)
{
        static LuksHeader h;

        make_image(1, 1);
        for (size_t len = 0; len < 40 << 10; len += 509)
                assert_true(read_image(len, &h, NULL) < 0);
        assert_int_equal(read_image(16 << 20, &h, NULL), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_takes_the_newer_copy),
                cmocka_unit_test(test_either_copy_will_do),
                cmocka_unit_test(test_every_length),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
