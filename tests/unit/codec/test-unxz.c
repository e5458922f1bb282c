/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/unxz.h"

#include "build-config.h"

#include <errno.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

enum {
        LEN = 5000,
        ROOM = LEN + 1000,
};

/* With a dictionary of that size. */
static size_t pack(uint8_t *plain, uint8_t *packed, uint32_t dictionary, lzma_check check)
{
        lzma_options_lzma options;
        lzma_filter filters[] = { { LZMA_FILTER_X86, NULL },
                                  { LZMA_FILTER_LZMA2, &options },
                                  { LZMA_VLI_UNKNOWN, NULL } };
        size_t len = 0;

        for (size_t i = 0; i < LEN; i++)
                plain[i] = (uint8_t)(i * i >> 7);
        assert_false(lzma_lzma_preset(&options, 1));
        options.dict_size = dictionary;
        assert_int_equal(
                lzma_stream_buffer_encode(filters, check, NULL, plain, LEN, packed, &len, ROOM),
                LZMA_OK);
        return len;
}

static void test_round_trip(void **state)
{
        static const lzma_check checks[] = { LZMA_CHECK_NONE, LZMA_CHECK_CRC32, LZMA_CHECK_CRC64,
                                             LZMA_CHECK_SHA256 };
        uint8_t plain[LEN], packed[ROOM], buf[ROOM];
        size_t got = 0;

        assert_true(unxz_is_there());
        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
                size_t len = pack(plain, packed, 1 << 20, checks[i]);
                assert_int_equal(unxz_all(packed, len, buf, ROOM, &got), 0);
                assert_int_equal(got, LEN);
                assert_memory_equal(buf, plain, LEN);
                memset(buf, 0, ROOM);
                assert_int_equal(unxz_all(packed, len, buf, LEN, &got), 0);
                assert_int_equal(got, LEN);
                assert_memory_equal(buf, plain, LEN);
                memset(buf, 0xee, ROOM);
                assert_int_equal(unxz_all(packed, len, buf, LEN / 2, &got), -EIO);
                assert_int_equal(buf[LEN / 2], 0xee);
        }
}

/* Two blocks: what each says of its own length is right, and no index is asked. */
static void test_two_blocks(void **state)
{
        uint8_t plain[LEN], one[ROOM], two[2 * ROOM], buf[2 * ROOM];
        size_t len = pack(plain, one, 1 << 16, LZMA_CHECK_CRC32), got = 0;
        lzma_stream_flags flags;

        assert_int_equal(lzma_stream_footer_decode(&flags, one + len - LZMA_STREAM_HEADER_SIZE),
                         LZMA_OK);
        size_t block = len - 2 * LZMA_STREAM_HEADER_SIZE - flags.backward_size;
        size_t tail = len - LZMA_STREAM_HEADER_SIZE - block;
        memcpy(two, one, LZMA_STREAM_HEADER_SIZE + block);
        memcpy(two + LZMA_STREAM_HEADER_SIZE + block, one + LZMA_STREAM_HEADER_SIZE, block + tail);
        assert_int_equal(unxz_all(two, len + block, buf, sizeof(buf), &got), 0);
        assert_int_equal(got, 2 * LEN);
        assert_memory_equal(buf, plain, LEN);
        assert_memory_equal(buf + LEN, plain, LEN);
}

static void test_broken(void **state)
{
        uint8_t plain[LEN], packed[ROOM], buf[ROOM];
        size_t len = pack(plain, packed, 1 << 20, LZMA_CHECK_CRC32), got = 77;

        /* The index and the end of the stream are not looked at. */
        for (size_t cut = 28; cut < len; cut += 5)
                assert_int_equal(unxz_all(packed, len - cut, buf, ROOM, &got), -EIO);
        packed[len / 2] ^= 1;
        assert_int_equal(unxz_all(packed, len, buf, ROOM, &got), -EIO);
        packed[0] = 'x';
        assert_int_equal(unxz_all(packed, len, buf, ROOM, &got), -EIO);
        assert_int_equal(unxz_all(packed, 0, buf, ROOM, &got), -EIO);
        assert_int_equal(got, 77);
}

/* A dictionary of 4 GiB costs nothing where 6 KiB come out. */
static void test_dictionary(void **state)
{
        uint8_t plain[LEN], packed[ROOM], buf[ROOM];
        size_t len = pack(plain, packed, 1 << 20, LZMA_CHECK_CRC32), got = 0;
        uint8_t *head = packed + LZMA_STREAM_HEADER_SIZE;
        size_t head_len = lzma_block_header_size_decode(head[0]);
        uint8_t *size = memchr(head, 0x21, head_len);

        assert_non_null(size);
        size[2] = 40;
        uint32_t crc = lzma_crc32(head, head_len - 4, 0);
        for (size_t i = 0; i < 4; i++)
                head[head_len - 4 + i] = (uint8_t)(crc >> 8 * i);
        struct rlimit before;
        assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
        /* A sanitizer takes more for itself. */
        struct rlimit little = { RAWVIEW_SANITIZED ? before.rlim_cur : 64 << 20, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_DATA, &little), 0);
        int r = unxz_all(packed, len, buf, ROOM, &got);
        assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
        assert_int_equal(r, 0);
        assert_int_equal(got, LEN);
        assert_memory_equal(buf, plain, LEN);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_two_blocks),
                cmocka_unit_test(test_broken),
                cmocka_unit_test(test_dictionary),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
