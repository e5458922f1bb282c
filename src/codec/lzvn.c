/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first byte of each step says by its upper bits of what kind it is. L, M and D are its literals, which follow it, the
 * length of its match and the distance of that:
 *
 *     LLMMMDDD DDDDDDDD             near         LLMMM110                      the distance of the match before
 *     LLMMM111 DDDDDDDD DDDDDDDD    far          101LLMMM DDDDDDMM DDDDDDDD    not so far
 *     1110LLLL, 11100000 LLLLLLLL   literals     1111MMMM, 11110000 MMMMMMMM   a match at the distance before
 *     00000110 and 7 bytes          the end      00001110, 00010110            nothing
 *
 * What would be "the distance before" without literals, and 0111…, 1101…, has no meaning.
 */
#include "codec/lzvn.h"

#include "codec/match.h"

#include <errno.h>
#include <stdbool.h>

enum {
        LZVN_END = 0x06,
        LZVN_NOTHING = 0x0e,
        LZVN_NOTHING_TOO = 0x16,
        LZVN_MATCH_MIN = 3,
        LZVN_LONG_MIN = 16,
};

typedef struct LzvnStep {
        size_t head; /* its own bytes, without the literals */
        size_t literals, match;
        size_t distance; /* 0: as before, or wrong */
        bool is_before;  /* as before */
} LzvnStep;

/* The last 3 bits of a step with literals and a match say what its distance looks like. */
static void lzvn_step_common(const uint8_t *in, LzvnStep *s)
{
        s->literals = in[0] >> 6;
        s->match = (size_t)(in[0] >> 3 & 7) + LZVN_MATCH_MIN;
        switch (in[0] & 7) {
        case 6:
                s->head = 1;
                s->is_before = true;
                break;
        case 7:
                s->head = 3;
                s->distance = (size_t)in[1] | (size_t)in[2] << 8;
                break;
        default:
                s->head = 2;
                s->distance = (size_t)(in[0] & 7) << 8 | in[1];
        }
}

/* `in` has three bytes at least. */
static int lzvn_step(const uint8_t *in, LzvnStep *s)
{
        uint8_t b = in[0];

        *s = (LzvnStep){ 0 };
        if (b == LZVN_NOTHING || b == LZVN_NOTHING_TOO) {
                s->head = 1;
                return 0;
        }
        switch (b >> 4) {
        case 0x7:
        case 0xd:
                return -EIO;
        case 0xa:
        case 0xb:
                s->head = 3;
                s->literals = b >> 3 & 3;
                s->match = ((size_t)(b & 7) << 2 | (in[1] & 3)) + LZVN_MATCH_MIN;
                s->distance = (size_t)in[1] >> 2 | (size_t)in[2] << 6;
                return 0;
        case 0xe:
                s->head = b & 0xf ? 1 : 2;
                s->literals = b & 0xf ? (size_t)b & 0xf : (size_t)in[1] + LZVN_LONG_MIN;
                return 0;
        case 0xf:
                s->head = b & 0xf ? 1 : 2;
                s->match = b & 0xf ? (size_t)b & 0xf : (size_t)in[1] + LZVN_LONG_MIN;
                s->is_before = true;
                return 0;
        default:
                lzvn_step_common(in, s);
                return s->is_before && s->literals == 0 ? -EIO : 0;
        }
}

static size_t lzvn_at_most(size_t count, size_t room)
{
        return count < room ? count : room;
}

int lzvn_all(const uint8_t *packed,
             size_t packed_len,
             uint8_t *out,
             size_t done,
             size_t len,
             size_t *ret_len)
{
        size_t distance = 0;

        while (done < len) {
                LzvnStep s;
                /* What ends a stream is longer than any step, so that none of them is the last. */
                if (packed_len < 3)
                        return -EIO;
                if (packed[0] == LZVN_END)
                        break;
                int r = lzvn_step(packed, &s);
                if (r < 0)
                        return r;
                if (packed_len - s.head < s.literals)
                        return -EIO;
                packed += s.head;

                size_t count = lzvn_at_most(s.literals, len - done);
                memcpy(out + done, packed, count);
                done += count;
                packed += s.literals;
                packed_len -= s.head + s.literals;
                if (s.match == 0)
                        continue;

                if (!s.is_before)
                        distance = s.distance;
                if (distance == 0 || distance > done)
                        return -EIO;
                count = lzvn_at_most(s.match, len - done);
                match_copy(out + done, distance, count);
                done += count;
        }
        *ret_len = done;
        return 0;
}
