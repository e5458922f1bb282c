/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parallels images of both kinds: clusters of 4096 bytes, and of five sectors. And an audit that shares nothing with the driver. */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "fake/audit.h"
#include "store/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
        SECTOR = 512,
        BAT = 64,
        ENTRIES = SAMPLE_SIZE / (5 * SECTOR) + 1,
        OLD_TRACKS = 5,
        OLD_DATA = 3, /* sectors */
        EXT_TRACKS = 8,
        AUDIT_CLUSTERS = 4096,
};

static void put32(uint8_t *image, size_t at, uint32_t value)
{
        le32 raw = to_le32(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void put_header(uint8_t *image, const char *magic, uint32_t tracks, uint32_t data_off)
{
        memcpy(image, magic, 16);
        put32(image, 16, 2);
        put32(image, 28, tracks);
        put32(image, 32, ENTRIES);
        put32(image, 36, SAMPLE_SIZE / SECTOR);
        put32(image, 44, 0x312e3276);
        put32(image, 48, data_off);
}

/* Entries count clusters; the first one has the header. */
int parallels_sample_make(const char *name, const char *below, Store **ret)
{
        const size_t len = 3 * SAMPLE_GRANULE;
        _cleanup_free_ uint8_t *image = calloc(1, len);

        if (!image)
                return -ENOMEM;
        put_header(image, "WithouFreSpacExt", EXT_TRACKS, EXT_TRACKS);
        put32(image, BAT, 2);
        put32(image, BAT + 12, 1);
        memset(image + 2 * SAMPLE_GRANULE, 'A', SAMPLE_GRANULE);
        memset(image + SAMPLE_GRANULE, 'D', SAMPLE_GRANULE);
        return mem_store_new(image, len, ret);
}

/* Entries count sectors, and clusters begin and end within granules: five of them have something. */
int parallels_sample_make_old(const char *name, const char *below, Store **ret)
{
        static const uint32_t clusters[] = { 0, 1, 4, 5, 6 };
        const size_t unit = OLD_TRACKS * SECTOR, count = sizeof(clusters) / sizeof(clusters[0]);
        const size_t len = OLD_DATA * SECTOR + count * unit;
        _cleanup_free_ uint8_t *image = calloc(1, len);

        if (!image)
                return -ENOMEM;
        put_header(image, "WithoutFreeSpace", OLD_TRACKS, OLD_DATA);
        for (size_t i = 0; i < count; i++) {
                size_t place = count - 1 - i;
                uint8_t *to = image + OLD_DATA * SECTOR + place * unit;
                put32(image, BAT + 4 * clusters[i], (uint32_t)(OLD_DATA + place * OLD_TRACKS));
                for (size_t k = 0; k < unit; k++)
                        to[k] = sample_byte(clusters[i] * unit + k, 0);
        }
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

/* Every entry leads to a whole cluster of its own behind the BAT; the file ends with the last of them. */
int parallels_sample_audit(Store *s, Audit *ret)
{
        static uint8_t used[AUDIT_CLUSTERS];
        uint32_t tracks = 0, entries = 0, data = 0, entry = 0;
        uint64_t size = 0, end = 0;
        char magic[16] = "";
        Audit a = { 0 };

        memset(used, 0, sizeof(used));
        int r = store_get_size(s, &size);
        if (r >= 0)
                r = store_read(s, magic, sizeof(magic), 0);
        if (r >= 0)
                r = get32(s, 28, &tracks);
        if (r >= 0)
                r = get32(s, 32, &entries);
        if (r >= 0)
                r = get32(s, 48, &data);
        uint64_t unit = (uint64_t)tracks * SECTOR;
        end = (uint64_t)data * SECTOR;
        for (uint32_t i = 0; i < entries && r >= 0; i++) {
                r = get32(s, BAT + 4 * i, &entry);
                if (r < 0 || entry == 0)
                        continue;
                uint64_t pos = entry * (uint64_t)SECTOR * (magic[6] == 't' ? 1 : tracks);
                uint64_t index = (pos - (uint64_t)data * SECTOR) / unit;
                end = pos + unit > end ? pos + unit : end;
                if (pos >= (uint64_t)data * SECTOR && pos + unit <= size &&
                    index < AUDIT_CLUSTERS && (pos - (uint64_t)data * SECTOR) % unit == 0 &&
                    !used[index]) {
                        used[index] = 1;
                        continue;
                }
                a.corruptions++;
                snprintf(a.text, sizeof(a.text), "cluster %u: entry %u", i, entry);
        }
        a.leaks = size > end;
        *ret = a;
        return r;
}
