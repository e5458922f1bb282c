/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/md5.h"

#include <string.h>

/* RFC 1321, 3.4: T[i] is the integer part of 2^32 times the absolute value of the sine of i, in radians. */
static const uint32_t md5_sines[64] = {
        0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
        0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
        0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
        0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
        0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
        0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
        0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
        0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
        0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
        0xeb86d391,
};

/* By how much each round of 16 steps turns, in turn. */
static const uint8_t md5_turns[4][4] = {
        { 7, 12, 17, 22 },
        { 5, 9, 14, 20 },
        { 4, 11, 16, 23 },
        { 6, 10, 15, 21 },
};

static uint32_t md5_turn(uint32_t x, unsigned by)
{
        return x << by | x >> (32 - by);
}

/* The function of the round that step `i` belongs to, and in *ret_word which word of the block it takes. */
static uint32_t md5_mix(unsigned i, uint32_t b, uint32_t c, uint32_t d, unsigned *ret_word)
{
        switch (i / 16) {
        case 0:
                *ret_word = i;
                return (b & c) | (~b & d);
        case 1:
                *ret_word = (5 * i + 1) % 16;
                return (b & d) | (c & ~d);
        case 2:
                *ret_word = (3 * i + 5) % 16;
                return b ^ c ^ d;
        default:
                *ret_word = 7 * i % 16;
                return c ^ (b | ~d);
        }
}

static uint32_t md5_word(const uint8_t *block, unsigned i)
{
        const uint8_t *w = block + (size_t)4 * i;

        return (uint32_t)w[0] | (uint32_t)w[1] << 8 | (uint32_t)w[2] << 16 | (uint32_t)w[3] << 24;
}

static void md5_add_block(Md5 *m, const uint8_t *block)
{
        uint32_t a = m->sum[0], b = m->sum[1], c = m->sum[2], d = m->sum[3];

        for (unsigned i = 0; i < 64; i++) {
                unsigned word = 0;
                uint32_t mixed = md5_mix(i, b, c, d, &word);
                uint32_t turned = md5_turn(a + mixed + md5_sines[i] + md5_word(block, word),
                                           md5_turns[i / 16][i % 4]);
                a = d;
                d = c;
                c = b;
                b += turned;
        }
        m->sum[0] += a;
        m->sum[1] += b;
        m->sum[2] += c;
        m->sum[3] += d;
}

void md5_begin(Md5 *m)
{
        *m = (Md5){ .sum = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 } };
}

void md5_add(Md5 *m, const void *bytes, size_t len)
{
        const uint8_t *from = bytes;

        while (len > 0) {
                size_t at = m->len % MD5_BLOCK_LEN, part = MD5_BLOCK_LEN - at;
                if (part > len)
                        part = len;
                memcpy(m->block + at, from, part);
                m->len += part;
                from += part;
                len -= part;
                if (m->len % MD5_BLOCK_LEN == 0)
                        md5_add_block(m, m->block);
        }
}

void md5_end(Md5 *m, uint8_t ret[static MD5_LEN])
{
        static const uint8_t padding[MD5_BLOCK_LEN] = { 0x80 };
        uint64_t bits = m->len * 8;
        size_t at = m->len % MD5_BLOCK_LEN;
        uint8_t len[8];

        for (unsigned i = 0; i < 8; i++)
                len[i] = (uint8_t)(bits >> 8 * i);
        md5_add(m, padding, at < 56 ? 56 - at : 120 - at);
        md5_add(m, len, sizeof(len));
        for (unsigned i = 0; i < MD5_LEN; i++)
                ret[i] = (uint8_t)(m->sum[i / 4] >> 8 * (i % 4));
}
