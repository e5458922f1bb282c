/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

enum {
        EWF_DESCRIPTOR = 76,
        EWF_VOLUME = 1052,
        EWF_TABLE = 24,
        EWF_SECTOR = 512,
        EWF_SECTORS = SAMPLE_GRANULE / EWF_SECTOR,
        EWF_MAX = 128 * 1024,
        EWF_PACKED = 1u << 31,
};

static void put_number(uint8_t *to, unsigned width, uint64_t value)
{
        for (unsigned i = 0; i < width; i++)
                to[i] = (uint8_t)(value >> 8 * i);
}

/* Behind `len` bytes, the checksum of them. */
static void put_sum(uint8_t *bytes, size_t len)
{
        put_number(bytes + len, 4, adler32_z(1, bytes, len));
}

/* What stands before the `len` bytes of a section; gives where the next one begins. */
static size_t put_section(uint8_t *image, size_t pos, const char *type, size_t len)
{
        size_t end = pos + EWF_DESCRIPTOR + len;

        memcpy(image + pos, type, strlen(type));
        put_number(image + pos + 16, 8, strcmp(type, "done") == 0 ? pos : end);
        put_number(image + pos + 24, 8, strcmp(type, "done") == 0 ? 0 : end - pos);
        put_sum(image + pos, EWF_DESCRIPTOR - 4);
        return end;
}

static size_t put_volume(uint8_t *image, size_t pos)
{
        uint8_t *v = image + pos + EWF_DESCRIPTOR;

        v[0] = 1;
        put_number(v + 4, 4, SAMPLE_GRANULES);
        put_number(v + 8, 4, EWF_SECTORS);
        put_number(v + 12, 4, EWF_SECTOR);
        put_number(v + 16, 8, SAMPLE_SIZE / EWF_SECTOR);
        put_sum(v, EWF_VOLUME - 4);
        return put_section(image, pos, "volume", EWF_VOLUME);
}

/* The chunk of 'D's is packed, the others are as they are. Gives how long it is there. */
static size_t put_chunk(uint8_t *to, size_t index, uint32_t *ret_entry)
{
        uint8_t byte = sample_byte(index * SAMPLE_GRANULE, 0), plain[SAMPLE_GRANULE];
        uLongf len = SAMPLE_GRANULE;

        memset(plain, byte, sizeof(plain));
        if (byte == 'D' && compress(to, &len, plain, sizeof(plain)) == Z_OK) {
                *ret_entry |= EWF_PACKED;
                return len;
        }
        memcpy(to, plain, sizeof(plain));
        put_sum(to, sizeof(plain));
        return sizeof(plain) + 4;
}

static size_t put_table(uint8_t *image, size_t pos, size_t base, const uint32_t *entries)
{
        uint8_t *t = image + pos + EWF_DESCRIPTOR;

        put_number(t, 4, SAMPLE_GRANULES);
        put_number(t + 8, 8, base);
        put_sum(t, EWF_TABLE - 4);
        for (size_t i = 0; i < SAMPLE_GRANULES; i++)
                put_number(t + EWF_TABLE + 4 * i, 4, entries[i]);
        put_sum(t + EWF_TABLE, sizeof(uint32_t) * SAMPLE_GRANULES);
        return put_section(image, pos, "table",
                           EWF_TABLE + (SAMPLE_GRANULES + 1) * sizeof(uint32_t));
}

int ewf_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, EWF_MAX);
        uint32_t entries[SAMPLE_GRANULES];

        if (!image)
                return -ENOMEM;
        memcpy(image, "EVF\t\r\n\xff\0\1\1", 10);
        size_t sectors = put_volume(image, 13), at = sectors + EWF_DESCRIPTOR;
        for (size_t i = 0; i < SAMPLE_GRANULES; i++) {
                entries[i] = (uint32_t)(at - sectors);
                at += put_chunk(image + at, i, &entries[i]);
        }
        put_section(image, sectors, "sectors", at - sectors - EWF_DESCRIPTOR);
        size_t end = put_section(image, put_table(image, at, sectors, entries), "done", 0);
        return mem_store_new(image, end, ret);
}
