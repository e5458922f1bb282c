/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dmg-image.h"

#include "format/formats.h"
#include "store/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

extern const Format format_dmg;

void dmg_image_put(DmgImage *i, size_t at, size_t size, uint64_t value)
{
        for (size_t k = size; k > 0; k--, value >>= 8)
                i->bytes[at + k - 1] = (uint8_t)value;
}

static void put_chunk(
        DmgImage *i, uint32_t type, uint64_t sector, uint64_t count, uint64_t pos, uint64_t len)
{
        dmg_image_put(i, i->len, 4, type);
        dmg_image_put(i, i->len + 8, 8, sector);
        dmg_image_put(i, i->len + 16, 8, count);
        dmg_image_put(i, i->len + 24, 8, pos);
        dmg_image_put(i, i->len + 32, 8, len);
        i->len += 40;
}

/* The head of a table of `chunks` chunks, as a resource. */
static size_t put_block(DmgImage *i, uint64_t first, uint64_t count, uint32_t chunks)
{
        size_t at = i->len + 4;

        dmg_image_put(i, i->len, 4, 204 + 40 * chunks);
        memcpy(i->bytes + at, "mish", 4);
        dmg_image_put(i, at + 4, 4, 1);
        dmg_image_put(i, at + 8, 8, first);
        dmg_image_put(i, at + 16, 8, count);
        dmg_image_put(i, at + 64, 4, 2);
        dmg_image_put(i, at + 68, 4, 32);
        dmg_image_put(i, at + 72, 4, crc32(0, i->guest + first * 512, (uInt)count * 512));
        dmg_image_put(i, at + 200, 4, chunks);
        i->len = at + 204;
        return at;
}

static void put_trailer(DmgImage *i, size_t fork_len)
{
        size_t at = i->trailer_at = i->len;
        uint8_t sums[8];

        memcpy(sums, i->bytes + i->block_at + 72, 4);
        memcpy(sums + 4, i->bytes + i->other_block_at + 72, 4);
        memcpy(i->bytes + at, "koly", 4);
        dmg_image_put(i, at + 4, 4, 4);
        dmg_image_put(i, at + 8, 4, 512);
        dmg_image_put(i, at + 32, 8, fork_len);
        dmg_image_put(i, at + 40, 8, i->resources_at);
        dmg_image_put(i, at + 48, 8, i->len - i->resources_at);
        dmg_image_put(i, at + 80, 4, 2);
        dmg_image_put(i, at + 88, 4, crc32(0, i->bytes, (uInt)fork_len));
        dmg_image_put(i, at + 352, 4, 2);
        dmg_image_put(i, at + 360, 4, crc32(0, sums, sizeof(sums)));
        dmg_image_put(i, at + 492, 8, DMG_IMAGE_SECTORS);
        i->len += 512;
}

void dmg_image_make(DmgImage *i)
{
        uLongf packed_len = DMG_IMAGE_MAX / 2;

        memset(i, 0, sizeof(*i));
        for (size_t k = 0; k < sizeof(i->guest); k++)
                i->guest[k] = k / 512 >= 2 && k / 512 < 6 ? 0 : (uint8_t)(k * k >> 5);
        memcpy(i->bytes + DMG_IMAGE_RAW_AT, i->guest, 1024);
        assert_int_equal(
                compress(i->bytes + DMG_IMAGE_PACKED_AT, &packed_len, i->guest + 6 * 512, 1024),
                Z_OK);
        size_t other_at = DMG_IMAGE_PACKED_AT + packed_len, fork_len = other_at + 512;
        memcpy(i->bytes + other_at, i->guest + 8 * 512, 512);

        i->resources_at = fork_len;
        i->len = fork_len + 16;
        i->block_at = put_block(i, 0, 8, 4);
        put_chunk(i, 1, 0, 2, DMG_IMAGE_RAW_AT, 1024);
        put_chunk(i, 0, 2, 4, 0, 0);
        put_chunk(i, 0x80000005, 6, 2, DMG_IMAGE_PACKED_AT, packed_len);
        put_chunk(i, 0xffffffff, 8, 0, 0, 0);
        i->other_block_at = put_block(i, 8, 1, 1);
        put_chunk(i, 1, 0, 1, other_at, 512);
        dmg_image_put(i, i->resources_at, 4, 16);
        dmg_image_put(i, i->resources_at + 8, 4, i->len - i->resources_at - 16);
        put_trailer(i, fork_len);
}

Node *dmg_image_open(const DmgImage *i, Cache *c, bool for_check, Err *err)
{
        NodeOptions options = { .cache = c, .for_check = for_check };
        Store *s = NULL;
        Node *n = NULL;

        assert_int_equal(mem_store_new(i->bytes, i->len, &s), 0);
        if (node_open(&format_dmg, s, &options, NULL, &n, err) < 0)
                store_free(s);
        return n;
}
