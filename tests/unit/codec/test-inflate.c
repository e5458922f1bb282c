/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/inflate.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

/* What zlib says of a stream: as inflate_all, *ret_why is what it finds wrong. */
static int unpack_by_zlib(InflateKind kind,
                          const uint8_t *packed,
                          size_t packed_len,
                          uint8_t *buf,
                          size_t len,
                          size_t *ret_len,
                          const char **ret_why)
{
        z_stream z = { 0 };

        assert_int_equal(inflateInit2(&z, kind == INFLATE_RAW ? -15 : 15), Z_OK);
        z.next_in = (Bytef *)packed;
        z.avail_in = (uInt)packed_len;
        z.next_out = buf;
        z.avail_out = (uInt)len;
        int r = inflate(&z, Z_FINISH);
        bool is_full = z.avail_out == 0 && (kind == INFLATE_RAW || r != Z_DATA_ERROR);
        *ret_why = z.msg ? z.msg : "";
        *ret_len = z.total_out;
        inflateEnd(&z);
        return r == Z_STREAM_END || is_full ? 0 : -EIO;
}

static void compare_with_zlib(InflateKind kind, const uint8_t *packed, size_t len, size_t room)
{
        static uint8_t ours[ROOM], theirs[ROOM];
        size_t got = 0, expected = 0;
        const char *why = "";

        assert_true(room <= ROOM);
        int r = inflate_all(kind, packed, len, ours, room, &got);
        int zlib = unpack_by_zlib(kind, packed, len, theirs, room, &expected, &why);
        if (r != zlib)
                print_message("zlib: %d %s, ours: %d\n", zlib, why, r);
        assert_int_equal(r, zlib);
        if (r < 0)
                return;
        assert_int_equal(got, expected);
        assert_memory_equal(ours, theirs, got);
}

static uint32_t next_random(uint64_t *seed)
{
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t)(*seed >> 33);
}

/* Text-like runs and noise in turn, so that a stream has blocks of all three kinds. */
static void fill_by_chance(uint8_t *plain, uint64_t *seed)
{
        for (size_t i = 0; i < LEN;) {
                uint32_t kind = next_random(seed) % 3, count = next_random(seed) % 400 + 1;
                uint8_t byte = (uint8_t)next_random(seed);
                for (; count > 0 && i < LEN; count--, i++)
                        plain[i] = kind == 0   ? (uint8_t)next_random(seed)
                                   : kind == 1 ? (uint8_t)('a' + next_random(seed) % 5)
                                               : byte;
        }
}

/* The same verdict and the same bytes, whatever is in front: whole, cut off, with something behind it, changed. */
static void test_same_as_zlib(void **state)
{
        uint8_t plain[LEN], packed[ROOM + LEN / 8];
        uint64_t seed = 1;

        for (unsigned round = 0; round < 400; round++) {
                InflateKind kind = round % 2 ? INFLATE_RAW : INFLATE_ZLIB;
                memset(packed, (int)next_random(&seed), sizeof(packed));
                fill_by_chance(plain, &seed);
                size_t len = pack(kind, plain, packed);
                compare_with_zlib(kind, packed, len, LEN);
                compare_with_zlib(kind, packed, sizeof(packed), LEN);
                for (unsigned i = 0; i < 40; i++) {
                        compare_with_zlib(kind, packed, next_random(&seed) % len, LEN);
                        compare_with_zlib(kind, packed, len, next_random(&seed) % ROOM);
                        size_t at = next_random(&seed) % len;
                        uint8_t was = packed[at];
                        packed[at] ^= (uint8_t)(1 << next_random(&seed) % 8);
                        compare_with_zlib(kind, packed, len, LEN);
                        compare_with_zlib(kind, packed, len, next_random(&seed) % ROOM);
                        packed[at] = was;
                }
                for (unsigned i = 0; i < 40; i++) {
                        packed[next_random(&seed) % 8] = (uint8_t)next_random(&seed);
                        compare_with_zlib(kind, packed, len, ROOM);
                }
        }
}

/* The one thing that libdeflate lets pass: more symbols than there are, as long as the stream uses none of them. */
static void test_too_many_symbols(void **state)
{
        static const uint8_t packed[] = { 0xfd, 0xc0, 0x81, 0x00, 0x00, 0x00, 0x00,
                                          0x00, 0x90, 0x56, 0xff, 0x13, 0x56, 0x04 };
        uint8_t buf[4] = { 0 };
        size_t got = 0;

        int r = inflate_all(INFLATE_RAW, packed, sizeof(packed), buf, sizeof(buf), &got);
        if (r < 0) {
                assert_int_equal(r, -EIO);
                return;
        }
        assert_int_equal(got, 1);
        assert_int_equal(buf[0], 'a');
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
                cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_cut_off),
                cmocka_unit_test(test_to_the_end),       cmocka_unit_test(test_what_follows),
                cmocka_unit_test(test_other_bytes),      cmocka_unit_test(test_same_as_zlib),
                cmocka_unit_test(test_too_many_symbols),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
