/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/lzfse-header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vector.h"

enum {
        V1_LEN = 772,
};

static const Vector *find(VectorKind kind)
{
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
                if (vectors[i].kind == kind && strcmp(vectors[i].name, "near") == 0)
                        return &vectors[i];
        fail();
        return NULL;
}

/* One header in two shapes. */
static void test_both_shapes(void **state)
{
        const Vector *v1 = find(VECTOR_LZFSE_V1), *v2 = find(VECTOR_LZFSE_V2);
        LzfseHeader a, b;

        assert_int_equal(lzfse_header_parse(v1->packed, v1->packed_len, &a), 0);
        assert_int_equal(lzfse_header_parse(v2->packed, v2->packed_len, &b), 0);
        assert_int_equal(a.header_len, V1_LEN);
        assert_true(b.header_len < V1_LEN);
        assert_int_equal(a.raw_len, v1->plain_len);
        a.header_len = b.header_len;
        assert_memory_equal(&a, &b, sizeof(a));
}

/* What a number at a place of the v1 header must not be. */
typedef struct Case {
        const char *name;
        size_t at, size;
        uint32_t value;
} Case;

static const Case cases[] = {
        { "payload", 8, 4, 5 },
        { "too many literals", 12, 4, 40004 },
        { "literals that are no multiple of 4", 12, 4, 39 },
        { "too many matches", 16, 4, 10001 },
        { "literals without end", 20, 4, 0xffffffff },
        { "triplets without end", 24, 4, 0xffffffff },
        { "8 unused bits", 28, 4, (uint32_t)-8 },
        { "more bits than there are", 28, 4, 1 },
        { "a literal state", 32, 2, 1024 },
        { "the last literal state", 38, 2, 1024 },
        { "8 unused bits of triplets", 40, 4, (uint32_t)-8 },
        { "an L state", 44, 2, 64 },
        { "an M state", 46, 2, 64 },
        { "a D state", 48, 2, 256 },
        { "an L frequency", 50, 2, 65 },
        { "an M frequency", 90, 2, 65 },
        { "a D frequency", 130, 2, 257 },
        { "a literal frequency", 258, 2, 1025 },
        { "the last literal frequency", 768, 2, 0xffff },
};

static void test_v1_cases(void **state)
{
        const Vector *v = find(VECTOR_LZFSE_V1);
        uint8_t *copy = malloc(v->packed_len);
        LzfseHeader h;

        assert_non_null(copy);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                memcpy(copy, v->packed, v->packed_len);
                for (size_t k = 0; k < c->size; k++)
                        copy[c->at + k] = (uint8_t)(c->value >> 8 * k);
                if (lzfse_header_parse(copy, v->packed_len, &h) != -EIO)
                        fail_msg("%s is taken", c->name);
        }
        free(copy);
}

static void test_v2_length(void **state)
{
        const Vector *v = find(VECTOR_LZFSE_V2);
        LzfseHeader h;
        uint8_t *copy = malloc(v->packed_len);

        assert_non_null(copy);
        memcpy(copy, v->packed, v->packed_len);
        for (unsigned len = 0; len < 256; len++) {
                bool is_right = len == v->packed[24];
                copy[24] = (uint8_t)len;
                /* 32 is a header without frequencies, with which nothing can be decoded. */
                int r = lzfse_header_parse(copy, v->packed_len, &h);
                assert_int_equal(r, is_right || len + 256U * copy[25] == 32 ? 0 : -EIO);
        }
        free(copy);
}

/* The numbers of the three tables of symbols go on without a gap. */
static void check_symbols(const LzfseSymbol *symbols, size_t count, uint32_t end)
{
        uint32_t next = 0;

        for (size_t i = 0; i < count; i++) {
                assert_int_equal(symbols[i].base, next);
                next += UINT32_C(1) << symbols[i].bits;
        }
        assert_int_equal(next, end);
}

static void test_symbols(void **state)
{
        check_symbols(lzfse_l_symbols, LZFSE_L_SYMBOLS, 316);
        check_symbols(lzfse_m_symbols, LZFSE_M_SYMBOLS, 2360);
        check_symbols(lzfse_d_symbols, LZFSE_D_SYMBOLS, 262140);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_shapes),
                cmocka_unit_test(test_v1_cases),
                cmocka_unit_test(test_v2_length),
                cmocka_unit_test(test_symbols),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
