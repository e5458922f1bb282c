/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bits.h"
#include "block/limits.h"
#include "format/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Whatever fits the L1 table is a disk that we can show. */
_Static_assert((uint64_t)QCOW2_L1_COUNT_MAX << (2 * QCOW2_CLUSTER_BITS_MAX - 3) <= LIMIT_DISK_SIZE,
               "a full L1 table is within the limit of disks");

const uint8_t qcow2_magic[4] = { 'Q', 'F', 'I', 0xfb };

static void qcow2_header_parse(const Qcow2DiskHeader *d, Qcow2Header *h)
{
        *h = (Qcow2Header){
                .version = from_be32(d->version),
                .header_len = QCOW2_V2_HEADER_LEN,
                .cluster_bits = from_be32(d->cluster_bits),
                .refcount_order = QCOW2_V2_REFCOUNT_ORDER,
                .crypt_method = from_be32(d->crypt_method),
                .backing_len = from_be32(d->backing_file_size),
                .backing_pos = from_be64(d->backing_file_offset),
                .size = from_be64(d->size),
                .l1_count = from_be32(d->l1_size),
                .l1_pos = from_be64(d->l1_table_offset),
                .refcount_table_pos = from_be64(d->refcount_table_offset),
                .refcount_table_clusters = from_be32(d->refcount_table_clusters),
                .snapshot_count = from_be32(d->nb_snapshots),
                .snapshots_pos = from_be64(d->snapshots_offset),
        };
}

static void qcow2_header_parse_v3(const Qcow2DiskHeader *d, Qcow2Header *h)
{
        h->incompatible = from_be64(d->incompatible_features);
        h->compatible = from_be64(d->compatible_features);
        h->autoclear = from_be64(d->autoclear_features);
        h->refcount_order = from_be32(d->refcount_order);
        h->header_len = from_be32(d->header_length);
        h->compression = d->compression_type;
}

static int qcow2_read_part(Store *s, void *buf, size_t len, uint64_t pos, Err *err)
{
        return store_read_named(s, buf, len, pos, "the header", err);
}

static int qcow2_header_load(Store *s, Qcow2Header *h, Err *err)
{
        Qcow2DiskHeader d = { 0 };

        int r = qcow2_read_part(s, &d, QCOW2_V2_HEADER_LEN, 0, err);
        if (r < 0)
                return r;
        if (memcmp(d.magic, qcow2_magic, sizeof(d.magic)) != 0)
                return err_set(err, EBADMSG, "the file does not begin with \"QFI\\xfb\"");
        qcow2_header_parse(&d, h);
        if (h->version != 2 && h->version != 3)
                return err_set(err, EOPNOTSUPP, "version %" PRIu32 " is neither 2 nor 3",
                               h->version);
        if (h->version == 2)
                return 0;

        r = qcow2_read_part(s, &d.incompatible_features, QCOW2_V3_HEADER_LEN - QCOW2_V2_HEADER_LEN,
                            QCOW2_V2_HEADER_LEN, err);
        if (r < 0)
                return r;
        /* This field came later than version 3: a shorter header means 0, deflate. */
        if (from_be32(d.header_length) > QCOW2_V3_HEADER_LEN) {
                r = qcow2_read_part(s, &d.compression_type, sizeof(d.compression_type),
                                    QCOW2_V3_HEADER_LEN, err);
                if (r < 0)
                        return r;
        }
        qcow2_header_parse_v3(&d, h);
        return 0;
}

/* What all other checks lean on. */
static int qcow2_check_basics(const Qcow2Header *h, Err *err)
{
        if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN || h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
                return err_set(err, EBADMSG, "cluster_bits %" PRIu32 " is not within %d to %d",
                               h->cluster_bits, QCOW2_CLUSTER_BITS_MIN, QCOW2_CLUSTER_BITS_MAX);
        if (h->version >= 3 &&
            (h->header_len < QCOW2_V3_HEADER_LEN || h->header_len > qcow2_cluster_size(h)))
                return err_set(err, EBADMSG,
                               "header_length %" PRIu32
                               " is not within %d and the cluster size %" PRIu64,
                               h->header_len, QCOW2_V3_HEADER_LEN, qcow2_cluster_size(h));
        if (h->refcount_order > QCOW2_REFCOUNT_ORDER_MAX)
                return err_set(err, EBADMSG, "refcount_order %" PRIu32 " is not within 0 to %d",
                               h->refcount_order, QCOW2_REFCOUNT_ORDER_MAX);
        if (h->crypt_method > QCOW2_CRYPT_LUKS)
                return err_set(err, EBADMSG, "crypt_method %" PRIu32 " is not within 0 to %d",
                               h->crypt_method, QCOW2_CRYPT_LUKS);
        return 0;
}

static int qcow2_check_features(const Qcow2Header *h, Err *err)
{
        bool has_bit = h->incompatible & QCOW2_INCOMPATIBLE_COMPRESSION;

        if (h->compression > QCOW2_COMPRESSION_ZSTD)
                return err_set(err, EOPNOTSUPP,
                               "compression_type %u is neither 0 (deflate) nor 1 (zstd)",
                               (unsigned)h->compression);
        if (has_bit != (h->compression != QCOW2_COMPRESSION_DEFLATE))
                return err_set(err, EBADMSG,
                               "compression_type %u contradicts incompatible bit 3, which is %s",
                               (unsigned)h->compression, has_bit ? "set" : "clear");
        if ((h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2) &&
            h->cluster_bits < QCOW2_EXTENDED_CLUSTER_BITS_MIN)
                return err_set(err, EBADMSG,
                               "cluster_bits %" PRIu32 " is below %d, the least for extended L2 "
                               "entries",
                               h->cluster_bits, QCOW2_EXTENDED_CLUSTER_BITS_MIN);
        return 0;
}

int qcow2_check_place(const Qcow2Header *h,
                      const char *field,
                      const char *whose,
                      uint64_t pos,
                      uint64_t len,
                      Err *err)
{
        if (!is_aligned(pos, qcow2_cluster_size(h)))
                return err_set(err, EBADMSG,
                               "%s %" PRIu64 "%s is not a multiple of the cluster size %" PRIu64,
                               field, pos, whose, qcow2_cluster_size(h));
        if (pos == 0)
                return err_set(err, EBADMSG, "%s 0%s is where the header is", field, whose);
        if (!in_range(pos, len, INT64_MAX))
                return err_set(err, EBADMSG,
                               "%s %" PRIu64 "%s leaves no room for a table of %" PRIu64 " bytes",
                               field, pos, whose, len);
        return 0;
}

int qcow2_check_l1(const Qcow2Header *h,
                   uint64_t pos,
                   uint64_t count,
                   uint64_t size,
                   const char *whose,
                   Err *err)
{
        uint32_t entry_bits = h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2 ? 4 : 3;
        uint64_t range = UINT64_C(1) << (2 * h->cluster_bits - entry_bits);
        uint64_t needed = div_round_up(size, range);

        if (needed > QCOW2_L1_COUNT_MAX)
                return err_set(err, EFBIG,
                               "size %" PRIu64 "%s needs an L1 table of %" PRIu64
                               " entries, more than %d",
                               size, whose, needed, QCOW2_L1_COUNT_MAX);
        if (count > QCOW2_L1_COUNT_MAX)
                return err_set(err, EFBIG, "l1_size %" PRIu64 "%s is more than %d", count, whose,
                               QCOW2_L1_COUNT_MAX);
        if (count < needed)
                return err_set(err, EBADMSG,
                               "l1_size %" PRIu64 "%s is less than the %" PRIu64
                               " entries that a size of %" PRIu64 " needs",
                               count, whose, needed, size);
        if (count == 0)
                return 0;
        return qcow2_check_place(h, "l1_table_offset", whose, pos, count * sizeof(be64), err);
}

static int qcow2_check_in_file(const char *field, uint64_t pos, uint64_t file_size, Err *err)
{
        if (pos >= file_size)
                return err_set(err, ENODATA,
                               "%s %" PRIu64 " is past the end of the file (%" PRIu64 " bytes)",
                               field, pos, file_size);
        return 0;
}

int qcow2_check_refcount_table(const Qcow2Header *h, uint64_t file_size, Err *err)
{
        uint64_t len = h->refcount_table_clusters << h->cluster_bits;

        if (len == 0)
                return err_set(err, EBADMSG, "refcount_table_clusters is 0");
        if (len > QCOW2_REFCOUNT_TABLE_LEN_MAX)
                return err_set(err, EFBIG,
                               "refcount_table_clusters %" PRIu64 " is more than %" PRIu64,
                               h->refcount_table_clusters,
                               (uint64_t)QCOW2_REFCOUNT_TABLE_LEN_MAX >> h->cluster_bits);
        int r = qcow2_check_place(h, "refcount_table_offset", "", h->refcount_table_pos, len, err);
        if (r < 0)
                return r;
        return qcow2_check_in_file("refcount_table_offset", h->refcount_table_pos, file_size, err);
}

static int qcow2_check_snapshots(const Qcow2Header *h, uint64_t file_size, Err *err)
{
        /* Entries may be longer; this is the least. */
        uint64_t len = h->snapshot_count * sizeof(Qcow2DiskSnapshot);

        if (h->snapshot_count == 0)
                return 0;
        if (h->snapshot_count > QCOW2_SNAPSHOT_COUNT_MAX)
                return err_set(err, EFBIG, "nb_snapshots %" PRIu64 " is more than %d",
                               h->snapshot_count, QCOW2_SNAPSHOT_COUNT_MAX);
        int r = qcow2_check_place(h, "snapshots_offset", "", h->snapshots_pos, len, err);
        if (r < 0)
                return r;
        r = qcow2_check_in_file("snapshots_offset", h->snapshots_pos, file_size, err);
        if (r < 0)
                return r;
        if (len > file_size - h->snapshots_pos)
                return err_set(err, ENODATA,
                               "nb_snapshots %" PRIu64 ": the file ends within the snapshot table",
                               h->snapshot_count);
        return 0;
}

static int qcow2_check_backing(const Qcow2Header *h, Err *err)
{
        uint64_t cluster_size = qcow2_cluster_size(h);

        if (h->backing_pos == 0)
                return 0;
        if (h->backing_pos < h->header_len || h->backing_pos > cluster_size)
                return err_set(err, EBADMSG,
                               "backing_file_offset %" PRIu64
                               " is not within the header's end %" PRIu32
                               " and the cluster size %" PRIu64,
                               h->backing_pos, h->header_len, cluster_size);
        if (h->backing_len > u64_min(LIMIT_NAME_LEN, cluster_size - h->backing_pos))
                return err_set(err, EBADMSG, "backing_file_size %" PRIu32 " is more than %" PRIu64,
                               h->backing_len,
                               u64_min(LIMIT_NAME_LEN, cluster_size - h->backing_pos));
        if (qcow2_has_data_file(h) && (h->autoclear & QCOW2_AUTOCLEAR_DATA_FILE_RAW))
                return err_set(err, EBADMSG,
                               "backing_file_offset %" PRIu64 ": a raw external data file "
                               "(autoclear bit 1) excludes a backing file",
                               h->backing_pos);
        return 0;
}

int qcow2_header_read(Store *s, uint64_t file_size, Qcow2Header *ret, Err *err)
{
        Qcow2Header h;

        int r = qcow2_header_load(s, &h, err);
        if (r < 0)
                return r;
        r = qcow2_check_basics(&h, err);
        if (r < 0)
                return r;
        /* Before anything that an unknown feature may have given another meaning. */
        if (h.incompatible & ~QCOW2_INCOMPATIBLE_KNOWN)
                return qcow2_refuse_features(s, &h, err);
        r = qcow2_check_features(&h, err);
        if (r < 0)
                return r;
        r = qcow2_check_l1(&h, h.l1_pos, h.l1_count, h.size, "", err);
        if (r < 0)
                return r;
        r = qcow2_check_snapshots(&h, file_size, err);
        if (r < 0)
                return r;
        r = qcow2_check_backing(&h, err);
        if (r < 0)
                return r;

        *ret = h;
        return 0;
}
