/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream is a run of blocks; each begins with four letters. "bvx-": bytes as they are. "bvxn": LZVN. "bvx1", "bvx2": a
 * header, the literals of the whole block, and its triplets of how many literals, how long a match, at what distance. "bvx$"
 * ends it. Numbers are little-endian.
 *
 * Literals and triplets are coded by finite state entropy: a state is a line of a table, which says what the state stands
 * for, and how many bits make the next one. Bits are read backwards from the end of the coded bytes.
 */
#include "codec/lzfse.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "codec/lzfse-header.h"
#include "codec/lzvn.h"
#include "codec/match.h"

#include <errno.h>

/* One state of a table. */
typedef struct LzfseState {
        uint32_t base;      /* what it stands for, at least */
        uint16_t next;      /* the next state, at least */
        uint8_t bits;       /* how many bits are added to `next`; too many: nobody may come here */
        uint8_t value_bits; /* how many are added to `base` */
} LzfseState;

enum {
        LZFSE_NO_BITS = 0xff,
        LZFSE_WORD_BITS = 64,
};

/* What decoding a block needs. */
typedef struct LzfseTables {
        LzfseState l[LZFSE_L_STATES], m[LZFSE_M_STATES], d[LZFSE_D_STATES];
        LzfseState literal[LZFSE_LITERAL_STATES];
        uint8_t literals[LZFSE_LITERALS_MAX];
} LzfseTables;

typedef struct Lzfse {
        const uint8_t *in;
        size_t in_len;
        uint8_t *out;
        size_t done, len;
        LzfseTables *tables; /* owned; NULL until a block needs them */
} Lzfse;

/* Bits, the last ones first. */
typedef struct LzfseBits {
        const uint8_t *begin, *at; /* what has not been taken into `word` lies in front of `at` */
        uint64_t word;
        unsigned count; /* how many bits of `word` are left, from the lowest on */
        bool is_broken; /* more were wanted than there are */
} LzfseBits;

static void lzfse_lzfse_done(Lzfse *z)
{
        free(z->tables);
}
#define _cleanup_lzfse_ _cleanup_(lzfse_lzfse_done)

static void lzfse_bits_fill(LzfseBits *b)
{
        while (b->count <= LZFSE_WORD_BITS - 16 && b->at > b->begin) {
                b->word = b->word << 8 | *--b->at;
                b->count += 8;
        }
}

/* `unused` of the last byte's upper bits are no part of it. */
static int lzfse_bits_begin(LzfseBits *b, const uint8_t *begin, size_t len, unsigned unused)
{
        *b = (LzfseBits){ .begin = begin, .at = begin + len };
        if (unused > 0) {
                if (len == 0 || *--b->at >> (8 - unused) != 0)
                        return -EIO;
                b->word = *b->at;
                b->count = 8 - unused;
        }
        return 0;
}

static uint32_t lzfse_bits_take(LzfseBits *b, unsigned count)
{
        if (count > b->count) {
                b->is_broken = true;
                return 0;
        }
        b->count -= count;
        return (uint32_t)(b->word >> b->count & ((UINT64_C(1) << count) - 1));
}

/* The states of a symbol are as many as it is frequent, one after the other. The next state is any of all `states`: those of
 * them that come first take one bit more. Frequencies may add up to less: nobody comes to the rest. */
static void lzfse_make_table(LzfseState *table,
                             unsigned states,
                             const uint16_t *frequencies,
                             size_t symbols,
                             const LzfseSymbol *meaning)
{
        unsigned at = 0;

        for (size_t s = 0; s < symbols; s++) {
                unsigned f = frequencies[s];
                if (f == 0)
                        continue;
                unsigned bits = (unsigned)(__builtin_clz(f) - __builtin_clz(states));
                unsigned longer = (2 * states >> bits) - f;
                LzfseState state = { .base = meaning ? meaning[s].base : (uint32_t)s,
                                     .value_bits = meaning ? meaning[s].bits : 0 };
                for (unsigned i = 0; i < f; i++, at++) {
                        state.bits = (uint8_t)(i < longer ? bits : bits - 1);
                        state.next = (uint16_t)(i < longer ? ((f + i) << bits) - states
                                                           : (i - longer) << (bits - 1));
                        table[at] = state;
                }
        }
        for (; at < states; at++)
                table[at] = (LzfseState){ .bits = LZFSE_NO_BITS };
}

static uint32_t lzfse_next(LzfseBits *b, const LzfseState *table, uint16_t *state)
{
        const LzfseState *s = &table[*state];

        *state = (uint16_t)(s->next + lzfse_bits_take(b, s->bits));
        return s->base + lzfse_bits_take(b, s->value_bits);
}

/* Four literals at a time, each by a state of its own. */
static int lzfse_unpack_literals(LzfseHeader *h, const uint8_t *in, LzfseTables *t)
{
        LzfseBits bits;

        int r = lzfse_bits_begin(&bits, in, h->literal_len, h->literal_unused);
        if (r < 0)
                return r;
        lzfse_make_table(t->literal, LZFSE_LITERAL_STATES, h->literal_frequencies,
                         LZFSE_LITERAL_SYMBOLS, NULL);
        for (size_t i = 0; i < h->literal_count; i += LZFSE_LITERAL_STREAMS) {
                lzfse_bits_fill(&bits);
                for (size_t k = 0; k < LZFSE_LITERAL_STREAMS; k++)
                        t->literals[i + k] =
                                (uint8_t)lzfse_next(&bits, t->literal, &h->literal_states[k]);
        }
        return bits.is_broken ? -EIO : 0;
}

/* One triplet: literals, then a match. `distance` stays as it was where the triplet says 0. */
static int lzfse_copy(Lzfse *z, const uint8_t *literals, size_t l, size_t m, size_t distance)
{
        if (l > z->len - z->done || m > z->len - z->done - l)
                return -EIO;
        memcpy(z->out + z->done, literals, l);
        z->done += l;
        if (m == 0)
                return 0;
        if (distance == 0 || distance > z->done)
                return -EIO;
        match_copy(z->out + z->done, distance, m);
        z->done += m;
        return 0;
}

static int lzfse_unpack_triplets(Lzfse *z, LzfseHeader *h, const uint8_t *in)
{
        LzfseTables *t = z->tables;
        size_t used = 0, distance = 0;
        LzfseBits bits;

        int r = lzfse_bits_begin(&bits, in, h->triplet_len, h->triplet_unused);
        if (r < 0)
                return r;
        lzfse_make_table(t->l, LZFSE_L_STATES, h->l_frequencies, LZFSE_L_SYMBOLS, lzfse_l_symbols);
        lzfse_make_table(t->m, LZFSE_M_STATES, h->m_frequencies, LZFSE_M_SYMBOLS, lzfse_m_symbols);
        lzfse_make_table(t->d, LZFSE_D_STATES, h->d_frequencies, LZFSE_D_SYMBOLS, lzfse_d_symbols);
        for (size_t i = 0; i < h->match_count && r == 0; i++) {
                lzfse_bits_fill(&bits);
                size_t l = lzfse_next(&bits, t->l, &h->l_state);
                size_t m = lzfse_next(&bits, t->m, &h->m_state);
                lzfse_bits_fill(&bits);
                size_t d = lzfse_next(&bits, t->d, &h->d_state);
                if (bits.is_broken || l > h->literal_count - used)
                        return -EIO;
                distance = d > 0 ? d : distance;
                r = lzfse_copy(z, t->literals + used, l, m, distance);
                used += l;
        }
        return r;
}

/* A block with finite state entropy; its header may have either shape. */
static int lzfse_unpack_block(Lzfse *z)
{
        LzfseHeader h;

        int r = lzfse_header_parse(z->in, z->in_len, &h);
        if (r < 0)
                return r;
        if (h.raw_len > z->len - z->done)
                return -EIO;
        if (!z->tables)
                z->tables = malloc(sizeof(*z->tables));
        if (!z->tables)
                return -ENOMEM;
        size_t end = z->done + h.raw_len;
        const uint8_t *literals = z->in + h.header_len;
        r = lzfse_unpack_literals(&h, literals, z->tables);
        if (r == 0)
                r = lzfse_unpack_triplets(z, &h, literals + h.literal_len);
        if (r < 0)
                return r;
        size_t used = h.header_len + h.literal_len + h.triplet_len;
        z->in += used;
        z->in_len -= used;
        return z->done == end ? 0 : -EIO;
}

/* A number of the header of a block that has no more than three of them, the letters included. */
static int lzfse_small_header(const Lzfse *z, size_t index, uint32_t *ret)
{
        le32 number;

        if (z->in_len < (index + 1) * sizeof(number))
                return -EIO;
        memcpy(&number, z->in + index * sizeof(number), sizeof(number));
        *ret = from_le32(number);
        return 0;
}

static int lzfse_copy_plain(Lzfse *z)
{
        enum { HEADER = 8 };
        uint32_t raw_len;

        int r = lzfse_small_header(z, 1, &raw_len);
        if (r < 0)
                return r;
        if (raw_len > z->len - z->done || raw_len > z->in_len - HEADER)
                return -EIO;
        memcpy(z->out + z->done, z->in + HEADER, raw_len);
        z->done += raw_len;
        z->in += HEADER + raw_len;
        z->in_len -= HEADER + raw_len;
        return 0;
}

static int lzfse_unpack_lzvn(Lzfse *z)
{
        enum { HEADER = 12 };
        uint32_t raw_len, packed_len;

        int r = lzfse_small_header(z, 1, &raw_len);
        if (r == 0)
                r = lzfse_small_header(z, 2, &packed_len);
        if (r < 0)
                return r;
        if (raw_len > z->len - z->done || packed_len > z->in_len - HEADER)
                return -EIO;
        size_t end = z->done + raw_len;
        r = lzvn_all(z->in + HEADER, packed_len, z->out, z->done, end, &z->done);
        z->in += HEADER + packed_len;
        z->in_len -= HEADER + packed_len;
        return r < 0 || z->done == end ? r : -EIO;
}

/* Goes on by a block: 1 there may be more, 0 it was the end. */
static int lzfse_step(Lzfse *z)
{
        uint32_t magic;

        int r = lzfse_small_header(z, 0, &magic);
        if (r < 0)
                return r;
        switch (magic) {
        case LZFSE_MAGIC_END:
                return 0;
        case LZFSE_MAGIC_PLAIN:
                r = lzfse_copy_plain(z);
                break;
        case LZFSE_MAGIC_LZVN:
                r = lzfse_unpack_lzvn(z);
                break;
        case LZFSE_MAGIC_V1:
        case LZFSE_MAGIC_V2:
                r = lzfse_unpack_block(z);
                break;
        default:
                return -EIO;
        }
        return r < 0 ? r : 1;
}

int lzfse_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len)
{
        _cleanup_lzfse_ Lzfse z = { .in = packed, .in_len = packed_len, .out = buf, .len = len };
        int r = 1;

        while (r == 1 && z.done < len)
                r = lzfse_step(&z);
        if (r < 0)
                return r;
        *ret_len = z.done;
        return 0;
}
