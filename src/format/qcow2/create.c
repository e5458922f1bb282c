/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A new image, version 3, in which nothing is allocated: all that is read comes from its backing file. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "format/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* What everybody makes; larger ones where the L1 table would get too long. */
        QCOW2_CREATE_CLUSTER_BITS = 16,
        /* One cluster each: header, refcount table, its one block. The L1 table follows. */
        QCOW2_CREATE_REFCOUNT_TABLE = 1,
        QCOW2_CREATE_REFCOUNT_BLOCK = 2,
        QCOW2_CREATE_L1 = 3,
};

typedef struct Qcow2Plan {
        uint32_t cluster_bits;
        uint64_t cluster_size, size, l1_count, cluster_count;
} Qcow2Plan;

static int qcow2_plan(const Creation *c, Qcow2Plan *ret, Err *err)
{
        Qcow2Plan p = { .cluster_bits = QCOW2_CREATE_CLUSTER_BITS };

        p.size = round_up(u64_min(c->size, INT64_MAX), QCOW2_SECTOR);
        p.l1_count = div_round_up(p.size, UINT64_C(1) << (2 * p.cluster_bits - 3));
        while (p.l1_count > QCOW2_L1_COUNT_MAX && p.cluster_bits < QCOW2_CLUSTER_BITS_MAX) {
                p.cluster_bits++;
                p.l1_count = div_round_up(p.size, UINT64_C(1) << (2 * p.cluster_bits - 3));
        }
        if (p.l1_count > QCOW2_L1_COUNT_MAX)
                return err_set(err, EFBIG, "a disk of %" PRIu64 " bytes is too large for a qcow2",
                               c->size);
        p.cluster_size = UINT64_C(1) << p.cluster_bits;
        p.cluster_count = QCOW2_CREATE_L1 + div_round_up(p.l1_count * sizeof(be64), p.cluster_size);
        *ret = p;
        return 0;
}

_Static_assert((QCOW2_L1_COUNT_MAX * sizeof(be64) >> QCOW2_CREATE_CLUSTER_BITS) + QCOW2_CREATE_L1 <
                       (1 << QCOW2_CREATE_CLUSTER_BITS) / sizeof(be16),
               "one refcount block counts all clusters of a new image");

/* Texts are told apart by their lengths; none may be longer than a reader takes. */
static int qcow2_check_texts(const Creation *c, Err *err)
{
        size_t name_len = strlen(c->backing_name), format_len = strlen(c->backing_format);

        if (name_len == 0 || name_len > LIMIT_NAME_LEN)
                return err_set(err, ENAMETOOLONG,
                               "the backing file's path has %zu bytes, and a qcow2 can name one of "
                               "%d at most",
                               name_len, LIMIT_NAME_LEN);
        if (format_len == 0 || format_len > QCOW2_FORMAT_NAME_MAX)
                return err_set(err, ENAMETOOLONG, "'%s' is no name of a format", c->backing_format);
        return 0;
}

static int qcow2_create_refcounts(Store *s, const Qcow2Plan *p)
{
        _cleanup_free_ be16 *counts = calloc(p->cluster_count, sizeof(*counts));
        be64 block = to_be64(QCOW2_CREATE_REFCOUNT_BLOCK * p->cluster_size);

        if (!counts)
                return -ENOMEM;
        for (uint64_t i = 0; i < p->cluster_count; i++)
                counts[i] = to_be16(1);
        int r = store_write(s, counts, p->cluster_count * sizeof(*counts),
                            QCOW2_CREATE_REFCOUNT_BLOCK * p->cluster_size);
        if (r < 0)
                return r;
        return store_write(s, &block, sizeof(block), QCOW2_CREATE_REFCOUNT_TABLE * p->cluster_size);
}

/* Header, the extension that says what format lies below, the end of extensions, the name of what lies below: all but the
 * magic. */
static int qcow2_create_header(Store *s, const Qcow2Plan *p, const Creation *c)
{
        uint8_t bytes[sizeof(Qcow2DiskHeader) + 3 * sizeof(Qcow2DiskExtension) +
                      QCOW2_FORMAT_NAME_MAX + LIMIT_NAME_LEN] = { 0 };
        size_t name_len = strlen(c->backing_name), format_len = strlen(c->backing_format);
        size_t at = sizeof(Qcow2DiskHeader);
        Qcow2DiskExtension format = { to_be32(QCOW2_EXTENSION_BACKING_FORMAT),
                                      to_be32((uint32_t)format_len) };

        memcpy(bytes + at, &format, sizeof(format));
        memcpy(bytes + at + sizeof(format), c->backing_format, format_len);
        at += sizeof(format) + round_up(format_len, 8) + sizeof(Qcow2DiskExtension);

        Qcow2DiskHeader h = {
                .version = to_be32(3),
                .backing_file_offset = to_be64(at),
                .backing_file_size = to_be32((uint32_t)name_len),
                .cluster_bits = to_be32(p->cluster_bits),
                .size = to_be64(p->size),
                .l1_size = to_be32((uint32_t)p->l1_count),
                .l1_table_offset = to_be64(QCOW2_CREATE_L1 * p->cluster_size),
                .refcount_table_offset = to_be64(QCOW2_CREATE_REFCOUNT_TABLE * p->cluster_size),
                .refcount_table_clusters = to_be32(1),
                .refcount_order = to_be32(QCOW2_V2_REFCOUNT_ORDER),
                .header_length = to_be32(sizeof(h)),
        };
        memcpy(bytes, &h, sizeof(h));
        memcpy(bytes + at, c->backing_name, name_len);
        return store_write(s, bytes, at + name_len, 0);
}

/* The magic makes an image of it: so it comes when all else is on disk, and whole as it lies in one sector. */
static int qcow2_create_all(Store *s, const Qcow2Plan *p, const Creation *c)
{
        int r = store_set_size(s, p->cluster_count * p->cluster_size);
        if (r >= 0)
                r = qcow2_create_refcounts(s, p);
        if (r >= 0)
                r = qcow2_create_header(s, p, c);
        if (r >= 0)
                r = store_sync(s);
        if (r >= 0)
                r = store_write(s, qcow2_magic, sizeof(qcow2_magic), 0);
        return r < 0 ? r : store_sync(s);
}

int qcow2_create(Store *s, const Creation *c, Err *err)
{
        uint64_t len = 0;
        Qcow2Plan plan;

        int r = qcow2_check_texts(c, err);
        if (r >= 0)
                r = qcow2_plan(c, &plan, err);
        if (r < 0)
                return r;
        r = store_get_size(s, &len);
        if (r >= 0 && len > 0)
                return err_set(err, EEXIST,
                               "the file for a new image has %" PRIu64 " bytes already", len);
        if (r >= 0)
                r = qcow2_create_all(s, &plan, c);
        return r < 0 ? err_set(err, -r, "cannot make a new image: %m") : 0;
}
