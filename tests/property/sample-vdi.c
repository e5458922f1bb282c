/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VDI of 16 blocks of 4096 bytes, with room for 128, and an audit that shares nothing with the driver. */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "fake/audit.h"
#include "store/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
        MAP = 512,
        DATA = 1024,
        FREE_ENTRY = -1,
        ZERO_ENTRY = -2,
        AUDIT_BLOCKS = 4096,
};

static void put32(uint8_t *image, size_t at, uint32_t value)
{
        le32 raw = to_le32(value);
        memcpy(image + at, &raw, sizeof(raw));
}

int vdi_sample_make(const char *name, const char *below, Store **ret)
{
        const size_t len = DATA + 2 * SAMPLE_GRANULE;
        _cleanup_free_ uint8_t *image = calloc(1, len);

        if (!image)
                return -ENOMEM;
        put32(image, 0x40, 0xbeda107f);
        put32(image, 0x44, 0x10001);
        put32(image, 0x48, 0x180);
        put32(image, 0x4c, 1);
        put32(image, 0x154, MAP);
        put32(image, 0x158, DATA);
        put32(image, 0x168, 512);
        put32(image, 0x170, SAMPLE_SIZE);
        put32(image, 0x178, SAMPLE_GRANULE);
        put32(image, 0x180, SAMPLE_GRANULES);
        put32(image, 0x184, 2);
        for (size_t i = 0; i < SAMPLE_GRANULES; i++)
                put32(image, MAP + 4 * i, (uint32_t)FREE_ENTRY);
        put32(image, MAP, 1);
        put32(image, MAP + 4, (uint32_t)ZERO_ENTRY);
        put32(image, MAP + 12, 0);
        memset(image + DATA + SAMPLE_GRANULE, 'A', SAMPLE_GRANULE);
        memset(image + DATA, 'D', SAMPLE_GRANULE);
        return mem_store_new(image, len, ret);
}

static int get32(Store *s, uint64_t at, uint32_t *ret)
{
        le32 raw;
        int r = store_read(s, &raw, sizeof(raw), at);
        if (r >= 0)
                *ret = from_le32(raw);
        return r;
}

/* Every entry leads to a whole place of its own, of which the header has counted at least so many. */
int vdi_sample_audit(Store *s, Audit *ret)
{
        static uint8_t used[AUDIT_BLOCKS];
        uint32_t blocks = 0, allocated = 0, entry = 0, count = 0;
        uint64_t size = 0;
        Audit a = { 0 };

        memset(used, 0, sizeof(used));
        int r = store_get_size(s, &size);
        if (r >= 0)
                r = get32(s, 0x180, &blocks);
        if (r >= 0)
                r = get32(s, 0x184, &allocated);
        for (uint32_t i = 0; i < blocks && r >= 0; i++) {
                r = get32(s, MAP + 4 * i, &entry);
                if (r < 0 || entry >= (uint32_t)ZERO_ENTRY)
                        continue;
                count++;
                if (entry < allocated && entry < AUDIT_BLOCKS && !used[entry] &&
                    DATA + (entry + UINT64_C(1)) * SAMPLE_GRANULE <= size) {
                        used[entry] = 1;
                        continue;
                }
                a.corruptions++;
                snprintf(a.text, sizeof(a.text), "block %u: entry %u of %u", i, entry, allocated);
        }
        a.leaks = allocated > count ? allocated - count : 0;
        *ret = a;
        return r;
}
