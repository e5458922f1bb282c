/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/bunzip2.h"

#include <bzlib.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum {
        LEN = 5000,
        ROOM = LEN + 1000,
};

static void pack(uint8_t *plain, char *packed, unsigned *len)
{
        for (size_t i = 0; i < LEN; i++)
                plain[i] = (uint8_t)(i * i >> 7);
        assert_int_equal(BZ2_bzBuffToBuffCompress(packed, len, (char *)plain, LEN, 9, 0, 0), BZ_OK);
}

static void test_round_trip(void **state)
{
        uint8_t plain[LEN], buf[ROOM];
        char packed[ROOM];
        unsigned len = ROOM;
        size_t got = 0;

        assert_true(bunzip2_is_there());
        pack(plain, packed, &len);
        assert_int_equal(bunzip2_all(packed, len, buf, ROOM, &got), 0);
        assert_int_equal(got, LEN);
        assert_memory_equal(buf, plain, LEN);
        assert_int_equal(bunzip2_all(packed, len, buf, LEN, &got), 0);
        assert_int_equal(got, LEN);
        memset(buf, 0xee, ROOM);
        assert_int_equal(bunzip2_all(packed, len, buf, LEN / 2, &got), 0);
        assert_int_equal(got, LEN / 2);
        assert_memory_equal(buf, plain, LEN / 2);
        assert_int_equal(buf[LEN / 2], 0xee);
}

static void test_broken(void **state)
{
        uint8_t plain[LEN], buf[ROOM];
        char packed[ROOM];
        unsigned len = ROOM;
        size_t got = 77;

        pack(plain, packed, &len);
        for (unsigned cut = 1; cut < len; cut += 7)
                assert_int_equal(bunzip2_all(packed, len - cut, buf, ROOM, &got), -EIO);
        packed[len - 2] ^= 4;
        assert_int_equal(bunzip2_all(packed, len, buf, ROOM, &got), -EIO);
        packed[0] = 'x';
        assert_int_equal(bunzip2_all(packed, len, buf, ROOM, &got), -EIO);
        assert_int_equal(bunzip2_all(packed, 0, buf, ROOM, &got), -EIO);
        assert_int_equal(got, 77);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_broken),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
