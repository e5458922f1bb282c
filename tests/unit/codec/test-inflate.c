/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/inflate.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

enum {
        LEN = 5000,
        ROOM = LEN + 100,
};

static void fill(uint8_t *plain)
{
        for (size_t i = 0; i < LEN; i++)
                plain[i] = (uint8_t)(i * i >> 7);
}

/* What zlib makes of `plain`. */
static size_t pack(InflateKind kind, const uint8_t *plain, uint8_t *packed)
{
        z_stream z = { 0 };

        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, kind == INFLATE_RAW ? -15 : 15, 9,
                                      Z_DEFAULT_STRATEGY),
                         Z_OK);
        z.next_in = (Bytef *)plain;
        z.avail_in = LEN;
        z.next_out = packed;
        z.avail_out = ROOM;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        size_t len = z.total_out;
        deflateEnd(&z);
        return len;
}

static void test_round_trip(void **state)
{
        uint8_t plain[LEN], packed[ROOM], buf[ROOM];
        size_t got = 0;

        fill(plain);
        for (InflateKind kind = INFLATE_RAW; kind <= INFLATE_ZLIB; kind++) {
                size_t len = pack(kind, plain, packed);
                assert_int_equal(inflate_all(kind, packed, len, buf, sizeof(buf), &got), 0);
                assert_int_equal(got, LEN);
                assert_memory_equal(buf, plain, LEN);
                memset(buf, 0, sizeof(buf));
                assert_int_equal(inflate_exactly(kind, packed, len, buf, LEN), 0);
                assert_memory_equal(buf, plain, LEN);
                assert_int_equal(inflate_exactly(kind, packed, len, buf, LEN + 1), -EIO);
                assert_int_equal(inflate_exactly(kind, packed, len, buf, LEN - 1), 0);
        }
}

static void test_cut_off(void **state)
{
        uint8_t plain[LEN], packed[ROOM], buf[ROOM];
        size_t got = 7;

        fill(plain);
        for (InflateKind kind = INFLATE_RAW; kind <= INFLATE_ZLIB; kind++) {
                size_t len = pack(kind, plain, packed);
                for (size_t cut = 10; cut < len; cut++)
                        assert_int_equal(
                                inflate_all(kind, packed, len - cut, buf, sizeof(buf), &got), -EIO);
        }
        assert_int_equal(inflate_all(INFLATE_RAW, NULL, 0, buf, sizeof(buf), &got), -EIO);
}

/* Not a byte of the checksum may be missing, and nothing may be left to say. */
static void test_to_the_end(void **state)
{
        uint8_t plain[LEN], packed[ROOM], buf[ROOM];
        size_t got = 0;

        fill(plain);
        for (InflateKind kind = INFLATE_RAW; kind <= INFLATE_ZLIB; kind++) {
                size_t len = pack(kind, plain, packed);
                assert_int_equal(inflate_whole(kind, packed, len, buf, LEN, &got), 0);
                assert_int_equal(got, LEN);
                assert_memory_equal(buf, plain, LEN);
                assert_int_equal(inflate_whole(kind, packed, ROOM, buf, ROOM, &got), 0);
                assert_int_equal(got, LEN);
                for (size_t cut = 1; cut < len; cut++)
                        assert_int_equal(inflate_whole(kind, packed, len - cut, buf, LEN, &got),
                                         -EIO);
                assert_int_equal(inflate_whole(kind, packed, len, buf, LEN - 1, &got), -EIO);
        }
}

/* Only what is before the end of the buffer counts, and the checksum where the stream has one. */
static void test_what_follows(void **state)
{
        uint8_t plain[LEN], packed[ROOM], buf[ROOM];

        fill(plain);
        size_t len = pack(INFLATE_RAW, plain, packed);
        memset(packed + len, 0xff, sizeof(packed) - len);
        assert_int_equal(inflate_exactly(INFLATE_RAW, packed, sizeof(packed), buf, LEN), 0);

        len = pack(INFLATE_ZLIB, plain, packed);
        memset(packed + len, 0xff, sizeof(packed) - len);
        assert_int_equal(inflate_exactly(INFLATE_ZLIB, packed, sizeof(packed), buf, LEN), 0);
        packed[len - 1] ^= 1;
        assert_int_equal(inflate_exactly(INFLATE_ZLIB, packed, len, buf, LEN), -EIO);
}

static void test_other_bytes(void **state)
{
        uint8_t packed[64], buf[64];
        size_t got = 0;

        memset(packed, 0xff, sizeof(packed));
        assert_int_equal(inflate_all(INFLATE_RAW, packed, sizeof(packed), buf, sizeof(buf), &got),
                         -EIO);
        assert_int_equal(inflate_all(INFLATE_ZLIB, packed, sizeof(packed), buf, sizeof(buf), &got),
                         -EIO);
        assert_int_equal(
                inflate_all(INFLATE_RAW, packed, (size_t)INT_MAX + 1, buf, sizeof(buf), &got),
                -EFBIG);
        assert_int_equal(
                inflate_all(INFLATE_RAW, packed, sizeof(packed), buf, (size_t)INT_MAX + 1, &got),
                -EFBIG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_cut_off),
                cmocka_unit_test(test_to_the_end),  cmocka_unit_test(test_what_follows),
                cmocka_unit_test(test_other_bytes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
