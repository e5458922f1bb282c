/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table: the head of a block and its chunks, each of which is checked before anything is made of it. */
#include "base/bits.h"
#include "format/dmg/dmg.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int dmg_block_begin(DmgSource *table, DmgBlock *ret, Err *err)
{
        DmgDiskBlock head;
        uint64_t end;

        if (dmg_source_read(table, &head, sizeof(head)) < sizeof(head)) {
                if (table->is_broken)
                        return err_set(err, EBADMSG, "a block's table is no base64");
                return err_set(err, EBADMSG,
                               "a block's table is shorter than its head of %zu bytes",
                               sizeof(head));
        }
        if (memcmp(head.magic, "mish", sizeof(head.magic)) != 0)
                return err_set(err, EBADMSG, "a block's table does not begin with 'mish'");
        if (from_be32(head.version) != DMG_MISH_VERSION)
                return err_set(err, EOPNOTSUPP, "a block's table has version %" PRIu32 ", not %d",
                               from_be32(head.version), DMG_MISH_VERSION);
        DmgBlock b = {
                .first = from_be64(head.first_sector),
                .count = from_be64(head.sector_count),
                .data_offset = from_be64(head.data_offset),
                .chunk_count = from_be32(head.chunk_count),
                .checksum = head.checksum,
        };
        if (__builtin_add_overflow(b.first, b.count, &end) || end > LIMIT_DISK_SIZE / DMG_SECTOR)
                return err_set(err, EFBIG,
                               "a block of %" PRIu64 " sectors at sector %" PRIu64
                               " is beyond the limit of %" PRIu64 " bytes",
                               b.count, b.first, LIMIT_DISK_SIZE);
        *ret = b;
        return 0;
}

static int dmg_chunk_error(Err *err, int code, uint64_t sector, const char *what)
{
        return err_set(err, code, "the chunk at sector %" PRIu64 " %s", sector, what);
}

/* Unpacked as a whole, so its lengths are bounded. */
static int dmg_check_packed(const DmgChunk *c, uint64_t len, Err *err)
{
        const char *name = dmg_codec_name(c->type);

        if (!name)
                return err_set(err, EOPNOTSUPP,
                               "the chunk at sector %" PRIu64 " has the unknown type 0x%08" PRIx32,
                               c->sector, (uint32_t)c->type);
        if (!dmg_codec_is_there(c->type))
                return err_set(err, EOPNOTSUPP,
                               "the chunk at sector %" PRIu64
                               " is packed with %s, which this build cannot unpack",
                               c->sector, name);
        if (c->count > LIMIT_CODED_LEN / DMG_SECTOR)
                return err_set(err, EFBIG,
                               "the packed chunk at sector %" PRIu64 " has %" PRIu64
                               " sectors, more than the limit of %" PRIu64,
                               c->sector, c->count, LIMIT_CODED_LEN / DMG_SECTOR);
        if (len > 2 * c->count * DMG_SECTOR + DMG_PACKED_SLACK)
                return err_set(err, EFBIG,
                               "the chunk at sector %" PRIu64 " takes %" PRIu64
                               " bytes packed, which is more than twice its %" PRIu64 " bytes",
                               c->sector, len, c->count * DMG_SECTOR);
        return 0;
}

/* Where its bytes are: behind three offsets. */
static int dmg_place(
        const Dmg *d, const DmgBlock *b, uint64_t offset, uint64_t len, DmgChunk *c, Err *err)
{
        uint64_t pos;

        if (__builtin_add_overflow(from_be64(d->trailer.data_pos), b->data_offset, &pos) ||
            __builtin_add_overflow(pos, offset, &pos) ||
            !in_range(pos, len, d->file_size - DMG_TRAILER_LEN))
                return err_set(err, EBADMSG,
                               "the chunk at sector %" PRIu64 ", %" PRIu64
                               " bytes at offset %" PRIu64
                               ", does not lie within the file of %" PRIu64 " bytes",
                               c->sector, len, offset, d->file_size);
        c->pos = pos;
        return 0;
}

/* Checks a chunk with something in it. */
static int dmg_take(
        const Dmg *d, const DmgBlock *b, const DmgDiskChunk *disk, DmgChunk *c, Err *err)
{
        uint64_t len = from_be64(disk->len), end;

        if (__builtin_add_overflow(b->first, from_be64(disk->sector), &c->sector) ||
            __builtin_add_overflow(c->sector, c->count, &end) || end > LIMIT_DISK_SIZE / DMG_SECTOR)
                return err_set(err, EFBIG,
                               "a chunk of %" PRIu64 " sectors at sector %" PRIu64
                               " is beyond the limit of %" PRIu64 " bytes",
                               c->count, from_be64(disk->sector), LIMIT_DISK_SIZE);
        if (c->type == DMG_ZERO || c->type == DMG_IGNORE) {
                c->type = DMG_ZERO;
                return 0;
        }
        if (c->type != DMG_RAW) {
                int r = dmg_check_packed(c, len, err);
                if (r < 0)
                        return r;
                c->packed_len = (uint32_t)len;
        } else if (len < c->count * DMG_SECTOR) {
                return dmg_chunk_error(err, EBADMSG, c->sector,
                                       "is not packed and shorter than its sectors");
        }
        return dmg_place(d, b, from_be64(disk->offset), len, c, err);
}

int dmg_block_next(const Dmg *d, DmgSource *table, DmgBlock *b, DmgChunk *ret, Err *err)
{
        for (; b->chunks_seen < b->chunk_count; b->chunks_seen++) {
                DmgDiskChunk disk;

                if (dmg_source_read(table, &disk, sizeof(disk)) < sizeof(disk)) {
                        if (table->is_broken)
                                return err_set(err, EBADMSG, "a block's table is no base64");
                        return err_set(err, EBADMSG,
                                       "the table of the block at sector %" PRIu64
                                       " ends before its %" PRIu32 " chunks",
                                       b->first, b->chunk_count);
                }
                DmgChunk c = { .count = from_be64(disk.sector_count),
                               .type = (DmgType)from_be32(disk.type) };
                if (c.type == DMG_COMMENT)
                        continue;
                if (b->has_ended)
                        return dmg_chunk_error(err, EBADMSG, from_be64(disk.sector),
                                               "stands behind the end of its block's list");
                if (c.type == DMG_END) {
                        b->has_ended = true;
                        continue;
                }
                int r = dmg_take(d, b, &disk, &c, err);
                if (r < 0)
                        return r;
                if (c.count == 0)
                        continue;
                b->chunks_seen++;
                *ret = c;
                return 1;
        }
        return 0;
}
