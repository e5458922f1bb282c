/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "codec/adc.h"

#include "codec/match.h"

#include <errno.h>

enum {
        ADC_PLAIN = 0x80, /* so many bytes follow as they are */
        ADC_LONG = 0x40,  /* a match of three bytes; the others have two */
};

/* What one step of the input says. */
typedef struct AdcStep {
        size_t head; /* its own bytes, without those that follow as they are */
        size_t count;
        size_t distance; /* 0: bytes as they are */
} AdcStep;

/* Reads the step at the beginning of `in`, of which there is at least one byte. */
static int adc_step(const uint8_t *in, size_t len, AdcStep *ret)
{
        uint8_t b = in[0];

        if (b & ADC_PLAIN) {
                *ret = (AdcStep){ .head = 1, .count = (size_t)(b & 0x7f) + 1 };
                return ret->count > len - 1 ? -EIO : 0;
        }
        size_t head = b & ADC_LONG ? 3 : 2;
        if (len < head)
                return -EIO;
        if (b & ADC_LONG)
                *ret = (AdcStep){ head, (size_t)(b & 0x3f) + 4, ((size_t)in[1] << 8 | in[2]) + 1 };
        else
                *ret = (AdcStep){ head, (size_t)(b >> 2) + 3, ((size_t)(b & 3) << 8 | in[1]) + 1 };
        return 0;
}

int adc_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len)
{
        const uint8_t *in = packed;
        uint8_t *out = buf;
        size_t done = 0;

        while (packed_len > 0 && done < len) {
                AdcStep s;
                int r = adc_step(in, packed_len, &s);
                if (r < 0)
                        return r;
                size_t room = len - done, count = s.count < room ? s.count : room;
                size_t used = s.head;
                if (s.distance > 0) {
                        if (s.distance > done)
                                return -EIO;
                        match_copy(out + done, s.distance, count);
                } else {
                        memcpy(out + done, in + s.head, count);
                        used += s.count;
                }
                in += used;
                packed_len -= used;
                done += count;
        }
        *ret_len = done;
        return 0;
}
