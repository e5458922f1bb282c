/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checksums of both footers of a VHD, and of the header that they lead to. */
#include "fuzz.h"

void fuzz_mend(uint8_t *bytes, size_t len);

enum {
        FOOTER_LEN = 512,
        FOOTER_SUM = 64,
        FOOTER_DATA_OFFSET = 16,
        HEADER_LEN = 1024,
        HEADER_SUM = 36,
};

static void mend_sum(uint8_t *at, size_t len, size_t sum_at)
{
        uint32_t sum = 0;

        memset(at + sum_at, 0, 4);
        for (size_t i = 0; i < len; i++)
                sum += at[i];
        for (size_t i = 0; i < 4; i++)
                at[sum_at + i] = (uint8_t)(~sum >> 8 * (3 - i));
}

static void mend_header(uint8_t *bytes, size_t len, const uint8_t *footer)
{
        FuzzInput in = { footer + FOOTER_DATA_OFFSET, 8 };
        uint64_t at = fuzz_take_number(&in, 8);

        if (at < len && len - at >= HEADER_LEN)
                mend_sum(bytes + at, HEADER_LEN, HEADER_SUM);
}

void fuzz_mend(uint8_t *bytes, size_t len)
{
        /* The last byte of a short footer is one that would be 0. */
        const size_t back[] = { len, FOOTER_LEN, FOOTER_LEN - 1 };

        for (size_t i = 0; i < 3; i++) {
                if (len < FOOTER_LEN)
                        return;
                uint8_t *footer = bytes + len - back[i];
                size_t footer_len = i == 2 ? FOOTER_LEN - 1 : FOOTER_LEN;
                if (memcmp(footer, "conectix", 8) != 0)
                        continue;
                mend_header(bytes, len, footer);
                mend_sum(footer, footer_len, FOOTER_SUM);
        }
}
