/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/lzvn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector.h"

enum {
        ROOM = 128 << 10,
};

static uint8_t buf[ROOM];

static void test_vectors(void **state)
{
        size_t seen = 0;

        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                size_t rooms[] = { v->plain_len, ROOM, v->plain_len / 2, 0 };
                if (v->kind != VECTOR_LZVN)
                        continue;
                seen++;
                for (size_t k = 0; k < sizeof(rooms) / sizeof(rooms[0]); k++) {
                        size_t len = rooms[k] < v->plain_len ? rooms[k] : v->plain_len, got = 0;
                        memset(buf, 0xee, ROOM);
                        int r = lzvn_all(v->packed, v->packed_len, buf, 0, rooms[k], &got);
                        if (r != 0 || got != len || memcmp(buf, v->plain, len) != 0)
                                fail_msg("%s, room %zu: %d, %zu bytes", v->name, rooms[k], r, got);
                        assert_true(len == ROOM || buf[len] == 0xee);
                }
        }
        assert_true(seen > 3);
}

/* Without its end it is broken, wherever it is cut off; only the end's zeroes are not missed. */
static void test_cut(void **state)
{
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                if (v->kind != VECTOR_LZVN || v->plain_len > 10000)
                        continue;
                for (size_t len = 0; len < v->packed_len - 7; len++) {
                        size_t got = 0;
                        uint8_t *cut = malloc(len + 1);
                        assert_non_null(cut);
                        memcpy(cut, v->packed, len);
                        int r = lzvn_all(cut, len, buf, 0, ROOM, &got);
                        free(cut);
                        assert_int_equal(r, -EIO);
                }
        }
}

typedef struct Case {
        const char *name;
        const char *packed;
        size_t len;
        const char *plain; /* after "xy", which is there before; NULL: broken */
} Case;

#define END "\6\0\0\0\0\0\0\0"
#define PACKED(text) text END, sizeof(text END) - 1

static const Case cases[] = {
        { "nothing", PACKED(""), "" },
        { "steps of nothing", PACKED("\x0e\x16\x0e"), "" },
        { "few literals",
          PACKED("\xe3"
                 "abc"),
          "abc" },
        { "many literals",
          PACKED("\xe0\x00"
                 "0123456789abcdef"),
          "0123456789abcdef" },
        { "a near match",
          PACKED("\x48\x02"
                 "a"),
          "ayaya" },
        { "a near match, the largest distance", PACKED("\x05\xff"), NULL },
        { "a far match",
          PACKED("\x47\x02\x00"
                 "a"),
          "ayay" },
        { "a far match, much too far",
          PACKED("\x47\x00\x02"
                 "a"),
          NULL },
        { "one not so far",
          PACKED("\xa8\x09\x00"
                 "a"),
          "ayaya" },
        { "one not so far, of 34 bytes",
          PACKED("\xaf\x07\x00"
                 "a"),
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
        { "the distance before",
          PACKED("\x40\x03"
                 "a\x46"
                 "b"),
          "axyabyab" },
        { "a match more",
          PACKED("\x40\x01"
                 "a\xf1"),
          "aaaaa" },
        { "a long match more",
          PACKED("\x40\x01"
                 "a\xf0\x00"),
          "aaaaaaaaaaaaaaaaaaaa" },
        { "no distance before",
          PACKED("\x46"
                 "b"),
          NULL },
        { "a match more of nothing", PACKED("\xf1"), NULL },
        { "distance 0", PACKED("\x00\x00"), NULL },
        { "a distance beyond what is there", PACKED("\x00\x03"), NULL },
        { "the distance before, without literals", PACKED("\x1e"), NULL },
        { "0111", PACKED("\x75\x01"), NULL },
        { "1101", PACKED("\xd0\x01"), NULL },
        { "literals that are missing",
          "\xef"
          "abc",
          4, NULL },
};

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                size_t got = 77;
                memcpy(buf, "xy", 2);
                int r = lzvn_all((const uint8_t *)c->packed, c->len, buf, 2, 100, &got);
                if (!c->plain) {
                        if (r != -EIO || got != 77)
                                fail_msg("%s: %d", c->name, r);
                        continue;
                }
                if (r != 0 || got != 2 + strlen(c->plain) ||
                    memcmp(buf + 2, c->plain, got - 2) != 0)
                        fail_msg("%s: %d, '%.*s'", c->name, r, (int)got, buf);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_cut),
                cmocka_unit_test(test_cases),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
