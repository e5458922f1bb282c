/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Does something that people put into partitions begin here? Only its first bytes are compared: what follows from it is a guess of how
 * large sectors are, and that nothing is read past the end of the disk.
 */
#include "base/bits.h"
#include "base/disk-int.h"
#include "partition/parse.h"

#include <string.h>

enum {
        BEGIN_LEN = 4608,
        BEGIN_FAR = 64 * 1024, /* btrfs */
        BEGIN_EXT_MAGIC = 0xef53,
        BEGIN_EXT_AT = 1024,
        BEGIN_EXT_BLOCK_MAX = 6, /* log2 of a block of 64 KiB, in KiB */
};

typedef struct BeginMagic {
        uint32_t at;
        const char *text;
} BeginMagic;

static const BeginMagic begin_magics[] = {
        { 3, "NTFS    " },
        { 3, "EXFAT   " },
        { 3, "-FVE-FS-" },
        { 54, "FAT12   " },
        { 54, "FAT16   " },
        { 82, "FAT32   " },
        { 0, "XFSB" },
        { 0, "hsqs" },
        { 0, "LUKS\xba\xbe" },
        { 512, "LABELONE" },
        { 4096, "LABELONE" },
        { 4086, "SWAPSPACE2" },
        { 1024, "H+" },
        { 1024, "HX" },
        { 3, "ReFS" },
        { 32, "NXSB" },
        { 1024, "\xe2\xe1\xf5\xe0" /* EROFS */ },
        { 1024, "\x10\x20\xf5\xf2" /* F2FS */ },
        { 0, "VMFS" },
};

static bool begin_has(const uint8_t *buf, size_t len, const BeginMagic *m)
{
        size_t text_len = strlen(m->text);
        return m->at + text_len <= len && memcmp(buf + m->at, m->text, text_len) == 0;
}

/* Its superblock has but two bytes of a magic; its block size and revision have few values. */
static bool begin_is_ext(const uint8_t *buf, size_t len)
{
        const uint8_t *super = buf + BEGIN_EXT_AT;
        le32 block;
        le16 magic;

        if (len < BEGIN_EXT_AT + 96)
                return false;
        memcpy(&block, super + 24, sizeof(block));
        memcpy(&magic, super + 56, sizeof(magic));
        return from_le16(magic) == BEGIN_EXT_MAGIC && from_le32(block) <= BEGIN_EXT_BLOCK_MAX;
}

/* What has no place to lie at has no begin either. */
bool parse_begins_known(const PartitionSource *s, uint64_t off)
{
        uint8_t buf[BEGIN_LEN];

        if (off >= s->size)
                return false;
        size_t len = (size_t)u64_min(sizeof(buf), s->size - off);
        if (s->read(s->arg, buf, len, off) < 0)
                return false;
        for (size_t i = 0; i < sizeof(begin_magics) / sizeof(begin_magics[0]); i++)
                if (begin_has(buf, len, &begin_magics[i]))
                        return true;
        if (begin_is_ext(buf, len))
                return true;
        if (!in_range(off, BEGIN_FAR + 128, s->size) ||
            s->read(s->arg, buf, 128, off + BEGIN_FAR) < 0)
                return false;
        return memcmp(buf + 64, "_BHRfS_M", 8) == 0;
}
