/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/adc.h"

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

/* Each vector into exactly its room, into more and into less. */
static void test_vectors(void **state)
{
        size_t seen = 0;

        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                size_t rooms[] = { v->plain_len, ROOM, v->plain_len / 2, 0 };
                if (v->kind != VECTOR_ADC)
                        continue;
                seen++;
                for (size_t k = 0; k < sizeof(rooms) / sizeof(rooms[0]); k++) {
                        size_t len = rooms[k] < v->plain_len ? rooms[k] : v->plain_len, got = 0;
                        memset(buf, 0xee, ROOM);
                        int r = adc_all(v->packed, v->packed_len, buf, rooms[k], &got);
                        if (r != 0 || got != len || memcmp(buf, v->plain, len) != 0)
                                fail_msg("%s, room %zu: %d, %zu bytes", v->name, rooms[k], r, got);
                        assert_true(len == ROOM || buf[len] == 0xee);
                }
        }
        assert_true(seen > 3);
}

/* What is cut off is shorter, or broken; never longer or other bytes. */
static void test_cut(void **state)
{
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                if (v->kind != VECTOR_ADC || v->plain_len > 10000)
                        continue;
                for (size_t len = 0; len < v->packed_len; len++) {
                        size_t got = 0;
                        uint8_t *cut = malloc(len + 1);
                        assert_non_null(cut);
                        memcpy(cut, v->packed, len);
                        int r = adc_all(cut, len, buf, ROOM, &got);
                        free(cut);
                        assert_true(r == 0 || r == -EIO);
                        assert_true(r < 0 || got < v->plain_len);
                        assert_memory_equal(buf, v->plain, r < 0 ? 0 : got);
                }
        }
}

typedef struct Case {
        const char *name;
        const char *packed;
        size_t len;
        const char *plain; /* NULL: broken */
} Case;

#define PACKED(text) text, sizeof(text) - 1

static const Case cases[] = {
        { "nothing", PACKED(""), "" },
        { "bytes as they are",
          PACKED("\x82"
                 "abc"),
          "abc" },
        { "bytes that are missing",
          PACKED("\x82"
                 "ab"),
          NULL },
        { "a short match",
          PACKED("\x81"
                 "ab\x04\x01"),
          "ababab" },
        { "a short match over itself",
          PACKED("\x80"
                 "a\x3c\x00"),
          "aaaaaaaaaaaaaaaaaaa" },
        { "a short match too far back",
          PACKED("\x81"
                 "ab\x00\x02"),
          NULL },
        { "a short match, far",
          PACKED("\x81"
                 "ab\x01\x00"),
          NULL },
        { "a short match cut",
          PACKED("\x81"
                 "ab\x00"),
          NULL },
        { "a long match",
          PACKED("\x81"
                 "ab\x41\x00\x01"),
          "abababa" },
        { "a long match too far back",
          PACKED("\x81"
                 "ab\x40\x00\x02"),
          NULL },
        { "a long match cut",
          PACKED("\x81"
                 "ab\x40\x00"),
          NULL },
        { "a match at the beginning", PACKED("\x00\x00"), NULL },
};

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                size_t got = 77;
                int r = adc_all(c->packed, c->len, buf, 100, &got);
                if (!c->plain) {
                        if (r != -EIO || got != 77)
                                fail_msg("%s: %d", c->name, r);
                        continue;
                }
                if (r != 0 || got != strlen(c->plain) || memcmp(buf, c->plain, got) != 0)
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
