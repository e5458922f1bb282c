/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts the checksums of an E01 in order: of descriptors, of the volume, of tables and hashes. Those of chunks stay as they are. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

void fuzz_mend(uint8_t *bytes, size_t len);

enum {
        FIRST = 13,
        DESCRIPTOR = 76,
        TABLE = 24,
        SECTIONS_MAX = 64,
};

static uint64_t get(const uint8_t *bytes, size_t width)
{
        uint64_t value = 0;

        while (width-- > 0)
                value = value << 8 | bytes[width];
        return value;
}

/* Behind `len` bytes, the checksum of them. */
static void mend(uint8_t *bytes, size_t len)
{
        uint32_t sum = (uint32_t)adler32_z(1, bytes, len);

        for (size_t i = 0; i < 4; i++)
                bytes[len + i] = (uint8_t)(sum >> 8 * i);
}

static void mend_table(uint8_t *body, size_t len)
{
        if (len < TABLE)
                return;
        mend(body, TABLE - 4);
        uint64_t entries = 4 * get(body, 4);
        if (entries + TABLE + 4 <= len)
                mend(body + TABLE, (size_t)entries);
}

/* Sections that are nothing but bytes and the checksum of them. */
static size_t length_of(const uint8_t *type)
{
        static const struct {
                const char *type;
                size_t len;
        } known[] = {
                { "volume", 1052 }, { "disk", 1052 }, { "data", 1052 },
                { "hash", 36 },     { "digest", 80 },
        };

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                if (strncmp((const char *)type, known[i].type, 16) == 0)
                        return known[i].len;
        return 0;
}

void fuzz_mend(uint8_t *bytes, size_t len)
{
        size_t pos = FIRST;

        for (int i = 0; i < SECTIONS_MAX && pos <= len && len - pos >= DESCRIPTOR; i++) {
                uint8_t *body = bytes + pos + DESCRIPTOR;
                size_t room = len - pos - DESCRIPTOR, known = length_of(bytes + pos);
                mend(bytes + pos, DESCRIPTOR - 4);
                if (known > 0 && known <= room)
                        mend(body, known - 4);
                if (strncmp((const char *)bytes + pos, "table", 5) == 0)
                        mend_table(body, room);
                uint64_t next = get(bytes + pos + 16, 8);
                if (next <= pos || next > len)
                        break;
                pos = (size_t)next;
        }
}
