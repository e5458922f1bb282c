/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gives what in a VHDX has a checksum the right one: headers, region tables, log entries. */
#include "base/bits.h"
#include "base/crc32c.h"
#include "base/disk-int.h"

#include <stddef.h>
#include <string.h>

void fuzz_mend(uint8_t *bytes, size_t len);

enum {
        K = 1024,
        CHECKSUM_AT = 4,
        LENGTH_AT = 8,
        PAGE = 4 * K,
        ENTRY_MAX = 256 * K, /* longer ones cost too much time */
};

static void mend(uint8_t *bytes, size_t len, uint64_t pos, uint64_t count, const char *signature)
{
        le32 crc = { { 0 } };

        if (!in_range(pos, count, len) || memcmp(bytes + pos, signature, 4) != 0)
                return;
        memcpy(bytes + pos + CHECKSUM_AT, &crc, sizeof(crc));
        crc = to_le32(crc32c(0, bytes + pos, (size_t)count));
        memcpy(bytes + pos + CHECKSUM_AT, &crc, sizeof(crc));
}

void fuzz_mend(uint8_t *bytes, size_t len)
{
        for (uint64_t slot = 1; slot <= 2; slot++) {
                mend(bytes, len, slot * 64 * K, PAGE, "head");
                mend(bytes, len, (2 + slot) * 64 * K, UINT64_C(64) * K, "regi");
        }
        for (uint64_t pos = 0; in_range(pos, PAGE, len); pos += PAGE) {
                le32 length;
                memcpy(&length, bytes + pos + LENGTH_AT, sizeof(length));
                if (from_le32(length) >= PAGE && from_le32(length) <= ENTRY_MAX)
                        mend(bytes, len, pos, from_le32(length), "loge");
        }
}
