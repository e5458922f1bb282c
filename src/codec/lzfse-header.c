/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/lzfse-header.h"

#include "base/bits.h"
#include "base/disk-int.h"

#include <errno.h>
#include <string.h>

/* bvx1, with room for alignment at its end, which is part of it. */
typedef struct LzfseDiskV1 {
        le32 magic;
        le32 raw_len;
        le32 payload_len;
        le32 literal_count;
        le32 match_count;
        le32 literal_len;
        le32 triplet_len;
        le32 literal_bits; /* 0 or negative: so many bits more than the whole bytes */
        le16 literal_states[LZFSE_LITERAL_STREAMS];
        le32 triplet_bits;
        le16 l_state, m_state, d_state;
        le16 l_frequencies[LZFSE_L_SYMBOLS];
        le16 m_frequencies[LZFSE_M_SYMBOLS];
        le16 d_frequencies[LZFSE_D_SYMBOLS];
        le16 literal_frequencies[LZFSE_LITERAL_SYMBOLS];
        le16 room;
} LzfseDiskV1;
_Static_assert(sizeof(LzfseDiskV1) == 772, "as it lies in a stream");

/* bvx2, without its frequencies. */
typedef struct LzfseDiskV2 {
        le32 magic;
        le32 raw_len;
        le64 fields[3];
} LzfseDiskV2;
_Static_assert(sizeof(LzfseDiskV2) == 32, "as it lies in a stream");

const LzfseSymbol lzfse_l_symbols[LZFSE_L_SYMBOLS] = {
        { 0, 0 },  { 1, 0 },  { 2, 0 },  { 3, 0 },  { 4, 0 },  { 5, 0 },  { 6, 0 },
        { 7, 0 },  { 8, 0 },  { 9, 0 },  { 10, 0 }, { 11, 0 }, { 12, 0 }, { 13, 0 },
        { 14, 0 }, { 15, 0 }, { 16, 2 }, { 20, 3 }, { 28, 5 }, { 60, 8 },
};

const LzfseSymbol lzfse_m_symbols[LZFSE_M_SYMBOLS] = {
        { 0, 0 },  { 1, 0 },  { 2, 0 },  { 3, 0 },  { 4, 0 },  { 5, 0 },    { 6, 0 },
        { 7, 0 },  { 8, 0 },  { 9, 0 },  { 10, 0 }, { 11, 0 }, { 12, 0 },   { 13, 0 },
        { 14, 0 }, { 15, 0 }, { 16, 3 }, { 24, 5 }, { 56, 8 }, { 312, 11 },
};

/* Four symbols for each number of bits, one after the other. */
const LzfseSymbol lzfse_d_symbols[LZFSE_D_SYMBOLS] = {
        { 0, 0 },       { 1, 0 },       { 2, 0 },       { 3, 0 },       { 4, 1 },
        { 6, 1 },       { 8, 1 },       { 10, 1 },      { 12, 2 },      { 16, 2 },
        { 20, 2 },      { 24, 2 },      { 28, 3 },      { 36, 3 },      { 44, 3 },
        { 52, 3 },      { 60, 4 },      { 76, 4 },      { 92, 4 },      { 108, 4 },
        { 124, 5 },     { 156, 5 },     { 188, 5 },     { 220, 5 },     { 252, 6 },
        { 316, 6 },     { 380, 6 },     { 444, 6 },     { 508, 7 },     { 636, 7 },
        { 764, 7 },     { 892, 7 },     { 1020, 8 },    { 1276, 8 },    { 1532, 8 },
        { 1788, 8 },    { 2044, 9 },    { 2556, 9 },    { 3068, 9 },    { 3580, 9 },
        { 4092, 10 },   { 5116, 10 },   { 6140, 10 },   { 7164, 10 },   { 8188, 11 },
        { 10236, 11 },  { 12284, 11 },  { 14332, 11 },  { 16380, 12 },  { 20476, 12 },
        { 24572, 12 },  { 28668, 12 },  { 32764, 13 },  { 40956, 13 },  { 49148, 13 },
        { 57340, 13 },  { 65532, 14 },  { 81916, 14 },  { 98300, 14 },  { 114684, 14 },
        { 131068, 15 }, { 163836, 15 }, { 196604, 15 }, { 229372, 15 },
};

/* The four runs of frequencies are one, in the order in which they come. */
enum {
        LZFSE_FREQUENCIES =
                LZFSE_L_SYMBOLS + LZFSE_M_SYMBOLS + LZFSE_D_SYMBOLS + LZFSE_LITERAL_SYMBOLS,
};

static uint16_t *lzfse_frequency(LzfseHeader *h, size_t i)
{
        if (i < LZFSE_L_SYMBOLS)
                return &h->l_frequencies[i];
        i -= LZFSE_L_SYMBOLS;
        if (i < LZFSE_M_SYMBOLS)
                return &h->m_frequencies[i];
        i -= LZFSE_M_SYMBOLS;
        return i < LZFSE_D_SYMBOLS ? &h->d_frequencies[i]
                                   : &h->literal_frequencies[i - LZFSE_D_SYMBOLS];
}

/* 0 … -7 as how many bits of a last byte are unused. Anything else becomes too many. */
static unsigned lzfse_unused(uint32_t bits)
{
        return -bits;
}

static int lzfse_parse_v1(const uint8_t *in, size_t len, LzfseHeader *h)
{
        LzfseDiskV1 d;

        if (len < sizeof(d))
                return -EIO;
        memcpy(&d, in, sizeof(d));
        h->header_len = sizeof(d);
        h->raw_len = from_le32(d.raw_len);
        h->literal_count = from_le32(d.literal_count);
        h->match_count = from_le32(d.match_count);
        h->literal_len = from_le32(d.literal_len);
        h->triplet_len = from_le32(d.triplet_len);
        h->literal_unused = lzfse_unused(from_le32(d.literal_bits));
        h->triplet_unused = lzfse_unused(from_le32(d.triplet_bits));
        for (size_t i = 0; i < LZFSE_LITERAL_STREAMS; i++)
                h->literal_states[i] = from_le16(d.literal_states[i]);
        h->l_state = from_le16(d.l_state);
        h->m_state = from_le16(d.m_state);
        h->d_state = from_le16(d.d_state);
        for (size_t i = 0; i < LZFSE_FREQUENCIES; i++) {
                le16 f;
                memcpy(&f, in + offsetof(LzfseDiskV1, l_frequencies) + i * sizeof(f), sizeof(f));
                *lzfse_frequency(h, i) = from_le16(f);
        }
        return (uint64_t)h->literal_len + h->triplet_len == from_le32(d.payload_len) ? 0 : -EIO;
}

/* A frequency is 2 to 14 bits long, the first of which tell how long it is: a prefix code. */
typedef struct LzfsePrefix {
        uint8_t bits, value;
} LzfsePrefix;

static LzfsePrefix lzfse_prefix(uint32_t word)
{
        static const LzfsePrefix short_ones[] = { { 2, 0 }, { 3, 2 }, { 2, 1 }, { 5, 4 },
                                                  { 2, 0 }, { 3, 3 }, { 2, 1 }, { 8, 8 } };
        LzfsePrefix p = short_ones[word & 7];

        /* The fourth takes two further bits, and there is a longer one beside the last. */
        if (p.bits == 5)
                p.value = (uint8_t)(p.value + (word >> 3 & 3));
        if (p.bits == 8 && (word & 8))
                p = (LzfsePrefix){ 14, 24 };
        return p;
}

/* Returns how many bytes the frequencies take. */
static int lzfse_parse_frequencies(const uint8_t *in, size_t len, LzfseHeader *h)
{
        uint32_t word = 0;
        unsigned count = 0;
        size_t at = 0;

        for (size_t i = 0; i < LZFSE_FREQUENCIES; i++) {
                while (count <= 16 && at < len) {
                        word |= (uint32_t)in[at++] << count;
                        count += 8;
                }
                LzfsePrefix p = lzfse_prefix(word);
                if (p.bits > count)
                        return -EIO;
                uint32_t further = word >> 4 & ((1U << (p.bits < 8 ? 0 : p.bits - 4)) - 1);
                *lzfse_frequency(h, i) = (uint16_t)(p.value + further);
                word >>= p.bits;
                count -= p.bits;
        }
        /* Whole bytes that nobody wanted are a header that is longer than it says what for. */
        return at == len && count < 8 ? 0 : -EIO;
}

static uint32_t lzfse_field(const LzfseDiskV2 *d, size_t field, unsigned at, unsigned bits)
{
        return (uint32_t)(from_le64(d->fields[field]) >> at & ((UINT64_C(1) << bits) - 1));
}

static int lzfse_parse_v2(const uint8_t *in, size_t len, LzfseHeader *h)
{
        LzfseDiskV2 d;

        if (len < sizeof(d))
                return -EIO;
        memcpy(&d, in, sizeof(d));
        h->raw_len = from_le32(d.raw_len);
        h->literal_count = lzfse_field(&d, 0, 0, 20);
        h->literal_len = lzfse_field(&d, 0, 20, 20);
        h->match_count = lzfse_field(&d, 0, 40, 20);
        h->literal_unused = 7 - lzfse_field(&d, 0, 60, 3);
        for (unsigned i = 0; i < LZFSE_LITERAL_STREAMS; i++)
                h->literal_states[i] = (uint16_t)lzfse_field(&d, 1, 10 * i, 10);
        h->triplet_len = lzfse_field(&d, 1, 40, 20);
        h->triplet_unused = 7 - lzfse_field(&d, 1, 60, 3);
        h->header_len = lzfse_field(&d, 2, 0, 32);
        h->l_state = (uint16_t)lzfse_field(&d, 2, 32, 10);
        h->m_state = (uint16_t)lzfse_field(&d, 2, 42, 10);
        h->d_state = (uint16_t)lzfse_field(&d, 2, 52, 10);
        if (h->header_len < sizeof(d) || h->header_len > len)
                return -EIO;
        /* Without any frequency there is nothing to decode with. */
        if (h->header_len == sizeof(d))
                return 0;
        return lzfse_parse_frequencies(in + sizeof(d), h->header_len - sizeof(d), h);
}

static int lzfse_check_sum(const uint16_t *frequencies, size_t count, uint32_t states)
{
        uint32_t sum = 0;

        for (size_t i = 0; i < count; i++)
                sum += frequencies[i];
        return sum <= states ? 0 : -EIO;
}

static int lzfse_check_frequencies(const LzfseHeader *h)
{
        int r = lzfse_check_sum(h->l_frequencies, LZFSE_L_SYMBOLS, LZFSE_L_STATES);
        if (r == 0)
                r = lzfse_check_sum(h->m_frequencies, LZFSE_M_SYMBOLS, LZFSE_M_STATES);
        if (r == 0)
                r = lzfse_check_sum(h->d_frequencies, LZFSE_D_SYMBOLS, LZFSE_D_STATES);
        if (r == 0)
                r = lzfse_check_sum(h->literal_frequencies, LZFSE_LITERAL_SYMBOLS,
                                    LZFSE_LITERAL_STATES);
        return r;
}

static int lzfse_check_header(const LzfseHeader *h, size_t len)
{
        if (h->literal_count > LZFSE_LITERALS_MAX || h->literal_count % LZFSE_LITERAL_STREAMS != 0)
                return -EIO;
        if (h->match_count > LZFSE_MATCHES_MAX)
                return -EIO;
        if (h->literal_unused > 7 || h->triplet_unused > 7)
                return -EIO;
        for (size_t i = 0; i < LZFSE_LITERAL_STREAMS; i++)
                if (h->literal_states[i] >= LZFSE_LITERAL_STATES)
                        return -EIO;
        if (h->l_state >= LZFSE_L_STATES || h->m_state >= LZFSE_M_STATES ||
            h->d_state >= LZFSE_D_STATES)
                return -EIO;
        uint64_t payload = (uint64_t)h->literal_len + h->triplet_len;
        if (!in_range(h->header_len, payload, len))
                return -EIO;
        return lzfse_check_frequencies(h);
}

int lzfse_header_parse(const uint8_t *in, size_t len, LzfseHeader *ret)
{
        le32 magic;
        LzfseHeader h = { 0 };

        memcpy(&magic, in, sizeof(magic));
        int r = from_le32(magic) == LZFSE_MAGIC_V1 ? lzfse_parse_v1(in, len, &h)
                                                   : lzfse_parse_v2(in, len, &h);
        if (r == 0)
                r = lzfse_check_header(&h, len);
        if (r < 0)
                return r;
        *ret = h;
        return 0;
}
