/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CRC-32 that hdiutil leaves everywhere: of each block's unpacked bytes, of those CRCs, and of the data fork as it lies in
 * the file. Whatever is not there is not missed.
 */
#include "block/check.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "codec/sum.h"
#include "format/dmg/dmg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <zlib.h>

enum {
        DMG_CHECK_PIECE = 1 << 20,
        /* As block/ counts what unpacking an extent takes. */
        DMG_CHECK_COST = 3,
};

typedef struct DmgCheck {
        Node *node;
        CheckReport *report;
        uint32_t master; /* the CRC of the blocks' CRCs so far */
        bool has_master; /* some block has one */
        uint64_t
                bytes_left; /* of chunks: blocks that lie over each other may not make a check endless */
        uint64_t done;      /* bytes of the data fork and of the disk so far */
        uint8_t *buf;       /* owned; as long as the longest packed chunk, or a piece */
} DmgCheck;

/* Of a checksum that there is; others are told. */
static bool dmg_has_crc(CheckReport *report, const DmgChecksum *c, const char *what)
{
        uint32_t type = from_be32(c->type);

        if (type == DMG_CHECKSUM_CRC32)
                return true;
        if (type != DMG_CHECKSUM_NONE)
                check_tell(report,
                           "The checksum of the %s is of type %" PRIu32 ", which is not looked at",
                           what, type);
        return false;
}

/* `crc` after `len` zeroes, however many: as many halves as the number has bits. */
static uint32_t dmg_crc_zeroes(uint32_t crc, uint64_t len)
{
        uint8_t zero = 0;
        uint32_t run = (uint32_t)crc32(0, &zero, 1);
        uint64_t run_len = 1;

        for (; len > 0; len >>= 1) {
                if (len & 1)
                        crc = (uint32_t)crc32_combine(crc, run, (z_off_t)run_len);
                if (len > 1)
                        run = (uint32_t)crc32_combine(run, run, (z_off_t)run_len);
                run_len <<= 1;
        }
        return crc;
}

static void dmg_check_went_on(DmgCheck *k, uint64_t len)
{
        k->done += len;
        check_step(k->report, k->done);
}

/* The CRC goes on over bytes as they lie in the file. */
static int dmg_crc_store(DmgCheck *k, uint64_t pos, uint64_t len, uint32_t *crc)
{
        while (len > 0) {
                size_t part = (size_t)u64_min(len, DMG_CHECK_PIECE);
                int r = store_read(k->node->store, k->buf, part, pos);
                if (r < 0)
                        return r;
                *crc = crc32_over(*crc, k->buf, part);
                dmg_check_went_on(k, part);
                pos += part;
                len -= part;
        }
        return 0;
}

/* The CRC goes on over guest bytes, up to `end` or the end of an extent. */
static int dmg_crc_extent(DmgCheck *k, uint64_t off, uint64_t end, uint64_t *ret_len, uint32_t *crc)
{
        Extent e;
        int r = dmg_map(k->node, off, end - off, &e);
        if (r < 0)
                return r;
        uint64_t from = off - e.off, len = u64_min(end - off, e.len - from);
        *ret_len = len;
        if (e.kind == EXTENT_HOLE) {
                *crc = dmg_crc_zeroes(*crc, len);
                dmg_check_went_on(k, len);
                return 0;
        }
        if (k->bytes_left < len)
                return -ELOOP;
        k->bytes_left -= len;
        if (e.kind == EXTENT_DATA)
                return dmg_crc_store(k, e.pos + from, len, crc);
        r = dmg_read_coded(k->node, &e, k->buf);
        if (r < 0)
                return r;
        *crc = crc32_over(*crc, k->buf + from, (size_t)len);
        dmg_check_went_on(k, len);
        return 0;
}

static int dmg_crc_block(DmgCheck *k, const DmgBlock *b, uint32_t *ret)
{
        uint64_t off = b->first * DMG_SECTOR,
                 end = u64_min(off + b->count * DMG_SECTOR, k->node->size);
        uint32_t crc = 0;

        while (off < end) {
                uint64_t len = 0;
                int r = dmg_crc_extent(k, off, end, &len, &crc);
                if (r == -EIO || r == -ENODATA)
                        check_corruption(k->report,
                                         "The chunk at sector %" PRIu64 " cannot be unpacked",
                                         off / DMG_SECTOR);
                if (r < 0)
                        return r;
                off += len;
        }
        *ret = crc;
        return 0;
}

static int dmg_check_block(void *arg, DmgSource *table, Err *err)
{
        DmgCheck *k = arg;
        DmgBlock b;
        uint32_t crc = 0;

        int r = dmg_block_begin(table, &b, err);
        if (r < 0 || !dmg_has_crc(k->report, &b.checksum, "block"))
                return r;
        k->master = (uint32_t)crc32(k->master, b.checksum.value.b, sizeof(b.checksum.value));
        k->has_master = true;
        r = dmg_crc_block(k, &b, &crc);
        if (r == -EIO || r == -ENODATA)
                return 0;
        if (r == -ELOOP)
                return err_set(err, EBADMSG, "blocks lie over each other");
        if (r < 0)
                return err_set(err, -r, "cannot read the block at sector %" PRIu64 ": %m", b.first);
        if (crc != from_be32(b.checksum.value))
                check_corruption(k->report,
                                 "The block at sector %" PRIu64 " has the CRC %08" PRIx32
                                 ", not %08" PRIx32,
                                 b.first, crc, from_be32(b.checksum.value));
        return 0;
}

static int dmg_check_blocks(DmgCheck *k)
{
        const Dmg *d = k->node->state;
        CheckReport *report = k->report;
        DmgTables tables = { 0 };

        int r = dmg_tables_read(k->node, &tables, &report->err);
        if (r < 0)
                return r;
        r = dmg_tables_visit(&tables, dmg_check_block, k, &report->err);
        dmg_tables_done(k->node, &tables);
        if (r < 0 || !k->has_master || !dmg_has_crc(report, &d->trailer.master_checksum, "image"))
                return r;
        if (k->master != from_be32(d->trailer.master_checksum.value))
                check_corruption(report,
                                 "The checksums of the blocks have the CRC %08" PRIx32
                                 ", not %08" PRIx32,
                                 k->master, from_be32(d->trailer.master_checksum.value));
        return 0;
}

static int dmg_check_fork(DmgCheck *k)
{
        const Dmg *d = k->node->state;
        const DmgTrailer *t = &d->trailer;
        uint32_t crc = 0;

        if (!dmg_has_crc(k->report, &t->data_checksum, "data fork"))
                return 0;
        int r = dmg_crc_store(k, from_be64(t->data_pos), from_be64(t->data_len), &crc);
        if (r < 0)
                return err_set(&k->report->err, -r, "cannot read the data fork: %m");
        if (crc != from_be32(t->data_checksum.value))
                check_corruption(k->report,
                                 "The data fork has the CRC %08" PRIx32 ", not %08" PRIx32, crc,
                                 from_be32(t->data_checksum.value));
        return 0;
}

int dmg_check(Node *n, CheckReport *report)
{
        const Dmg *d = n->state;
        DmgCheck k = { .node = n, .report = report };
        uint64_t longest = DMG_CHECK_PIECE;

        for (uint64_t i = 0; i < d->chunk_count; i++) {
                const DmgChunk *c = &d->chunks[i];
                if (c->type == DMG_ZERO)
                        continue;
                k.bytes_left += c->count * DMG_SECTOR;
                if (c->type != DMG_RAW)
                        longest = u64_max(longest, c->count * DMG_SECTOR);
        }
        report->image_end = d->file_size;
        uint64_t cost = DMG_CHECK_COST * longest + n->decode_cost;
        cache_borrow(n->cache, cost);
        k.buf = malloc(longest);
        bool has_fork = from_be32(d->trailer.data_checksum.type) == DMG_CHECKSUM_CRC32;
        check_begin_pass(report, "checking",
                         n->size + (has_fork ? from_be64(d->trailer.data_len) : 0));
        int r = k.buf ? dmg_check_fork(&k) : err_set(&report->err, ENOMEM, "%m");
        if (r >= 0)
                r = dmg_check_blocks(&k);
        free(k.buf);
        cache_give_back(n->cache, cost);
        return r;
}
