/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of an LZFSE block with finite state entropy, in either of its two shapes, and what symbols stand for. For
 * codec/lzfse.c alone. Plain functions, any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
        LZFSE_L_SYMBOLS = 20,
        LZFSE_M_SYMBOLS = 20,
        LZFSE_D_SYMBOLS = 64,
        LZFSE_LITERAL_SYMBOLS = 256,
        LZFSE_L_STATES = 64,
        LZFSE_M_STATES = 64,
        LZFSE_D_STATES = 256,
        LZFSE_LITERAL_STATES = 1024,
        LZFSE_LITERAL_STREAMS = 4,
        LZFSE_MATCHES_MAX = 10000,
        LZFSE_LITERALS_MAX = 4 * LZFSE_MATCHES_MAX,
};

enum {
        LZFSE_MAGIC_END = 0x24787662,   /* bvx$ */
        LZFSE_MAGIC_PLAIN = 0x2d787662, /* bvx- */
        LZFSE_MAGIC_V1 = 0x31787662,    /* bvx1 */
        LZFSE_MAGIC_V2 = 0x32787662,    /* bvx2 */
        LZFSE_MAGIC_LZVN = 0x6e787662,  /* bvxn */
};

/* A symbol stands for `base` and what the next `bits` bits say. */
typedef struct LzfseSymbol {
        uint32_t base;
        uint8_t bits;
} LzfseSymbol;

extern const LzfseSymbol lzfse_l_symbols[LZFSE_L_SYMBOLS];
extern const LzfseSymbol lzfse_m_symbols[LZFSE_M_SYMBOLS];
extern const LzfseSymbol lzfse_d_symbols[LZFSE_D_SYMBOLS];

/* All of it is checked: counts and states are within the bounds above, frequencies add up to no more than the states, and
 * header, literals and triplets lie within the input. */
typedef struct LzfseHeader {
        size_t header_len;
        uint32_t raw_len;
        uint32_t literal_count, match_count;
        uint32_t literal_len, triplet_len; /* bytes */
        unsigned literal_unused, triplet_unused;
        uint16_t literal_states[LZFSE_LITERAL_STREAMS];
        uint16_t l_state, m_state, d_state;
        uint16_t l_frequencies[LZFSE_L_SYMBOLS];
        uint16_t m_frequencies[LZFSE_M_SYMBOLS];
        uint16_t d_frequencies[LZFSE_D_SYMBOLS];
        uint16_t literal_frequencies[LZFSE_LITERAL_SYMBOLS];
} LzfseHeader;

/* `in` begins with LZFSE_MAGIC_V1 or LZFSE_MAGIC_V2. -EIO: broken. */
int lzfse_header_parse(const uint8_t *in, size_t len, LzfseHeader *ret);
