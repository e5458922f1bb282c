/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/lzfse.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector.h"

enum {
        ROOM = 128 << 10,
};

static uint8_t buf[ROOM];

static bool is_stream(const Vector *v)
{
        return v->kind >= VECTOR_LZFSE_V1;
}

static void test_vectors(void **state)
{
        size_t seen = 0;

        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                size_t rooms[] = { v->plain_len, ROOM };
                if (!is_stream(v))
                        continue;
                seen++;
                for (size_t k = 0; k < sizeof(rooms) / sizeof(rooms[0]); k++) {
                        size_t got = 0;
                        memset(buf, 0xee, ROOM);
                        int r = lzfse_all(v->packed, v->packed_len, buf, rooms[k], &got);
                        if (r != 0 || got != v->plain_len ||
                            memcmp(buf, v->plain, v->plain_len) != 0)
                                fail_msg("%d, %s, room %zu: %d, %zu bytes", v->kind, v->name,
                                         rooms[k], r, got);
                        assert_int_equal(buf[v->plain_len], 0xee);
                }
        }
        assert_true(seen > 15);
}

/* A block that does not fit is an error, and writes nothing behind what there is room for. */
static void test_no_room(void **state)
{
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                size_t got = 77;
                if (!is_stream(v))
                        continue;
                memset(buf, 0xee, ROOM);
                assert_int_equal(lzfse_all(v->packed, v->packed_len, buf, v->plain_len - 1, &got),
                                 v->plain_len == 1 ? 0 : -EIO);
                assert_int_equal(buf[v->plain_len - 1], 0xee);
        }
}

static void test_cut(void **state)
{
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                if (!is_stream(v) || v->plain_len > 10000)
                        continue;
                for (size_t len = 0; len < v->packed_len; len++) {
                        size_t got = 77;
                        uint8_t *cut = malloc(len + 1);
                        assert_non_null(cut);
                        memcpy(cut, v->packed, len);
                        int r = lzfse_all(cut, len, buf, ROOM, &got);
                        free(cut);
                        assert_int_equal(r, -EIO);
                        assert_int_equal(got, 77);
                }
        }
}

/* Whichever byte is another one: nothing happens but an error, or other bytes. */
static void test_damage(void **state)
{
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const Vector *v = &vectors[i];
                if (!is_stream(v) || v->plain_len > 2000)
                        continue;
                uint8_t *copy = malloc(v->packed_len);
                assert_non_null(copy);
                memcpy(copy, v->packed, v->packed_len);
                for (size_t at = 0; at < v->packed_len; at++) {
                        for (unsigned bit = 0; bit < 8; bit++) {
                                size_t got = 0;
                                copy[at] = (uint8_t)(v->packed[at] ^ 1 << bit);
                                int r = lzfse_all(copy, v->packed_len, buf, v->plain_len, &got);
                                assert_true(r == 0 || r == -EIO);
                                assert_true(got <= v->plain_len);
                        }
                        copy[at] = v->packed[at];
                }
                free(copy);
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
        { "the end alone", PACKED("bvx$"), "" },
        { "plain", PACKED("bvx-\3\0\0\0abcbvx$"), "abc" },
        { "plain, longer than it is", PACKED("bvx-\4\0\0\0abc"), NULL },
        { "no end", PACKED("bvx-\3\0\0\0abc"), NULL },
        { "another block", PACKED("bvx3\3\0\0\0abcbvx$"), NULL },
        { "LZVN",
          PACKED("bvxn\3\0\0\0\x0c\0\0\0\xe3"
                 "abc\6\0\0\0\0\0\0\0bvx$"),
          "abc" },
        { "LZVN that gives less",
          PACKED("bvxn\4\0\0\0\x0c\0\0\0\xe3"
                 "abc\6\0\0\0\0\0\0\0bvx$"),
          NULL },
        { "LZVN that is longer than it is",
          PACKED("bvxn\3\0\0\0\x20\0\0\0\xe3"
                 "abc\6"),
          NULL },
        { "nothing", PACKED(""), NULL },
        { "a header cut", PACKED("bvx2\3\0\0\0"), NULL },
};

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                size_t got = 77;
                int r = lzfse_all(c->packed, c->len, buf, 100, &got);
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
                cmocka_unit_test(test_vectors), cmocka_unit_test(test_no_room),
                cmocka_unit_test(test_cut),     cmocka_unit_test(test_damage),
                cmocka_unit_test(test_cases),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
