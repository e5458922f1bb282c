/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow/qcow.h"

#include "base/bits.h"
#include "block/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const uint8_t qcow_magic[4] = { 'Q', 'F', 'I', 0xfb };
static const uint8_t qcow_xen_magic[4] = { 'X', 'E', 'N', 0xfb };

static int qcow_load_header(Store *s, QcowDiskHeader *ret, Err *err)
{
        int r = store_read_named(s, ret, sizeof(*ret), 0, "the header", err);
        if (r < 0)
                return r;
        if (memcmp(ret->magic, qcow_magic, sizeof(qcow_magic)) != 0)
                return err_set(err, EBADMSG, "the file does not begin with \"QFI\\xfb\"");
        if (from_be32(ret->version) != 1)
                return err_set(err, EOPNOTSUPP, "version %" PRIu32 " is not 1",
                               from_be32(ret->version));
        return 0;
}

static int qcow_parse_geometry(const QcowDiskHeader *d, QcowHeader *h, Err *err)
{
        h->cluster_bits = d->cluster_bits;
        h->l2_bits = d->l2_bits;
        h->crypt_method = from_be32(d->crypt_method);
        h->size = from_be64(d->size);
        if (h->cluster_bits < QCOW_CLUSTER_BITS_MIN || h->cluster_bits > QCOW_CLUSTER_BITS_MAX)
                return err_set(err, EBADMSG, "cluster_bits %" PRIu32 " is not within %d to %d",
                               h->cluster_bits, QCOW_CLUSTER_BITS_MIN, QCOW_CLUSTER_BITS_MAX);
        if (h->l2_bits < QCOW_L2_BITS_MIN || h->l2_bits > QCOW_L2_BITS_MAX)
                return err_set(err, EBADMSG, "l2_bits %" PRIu32 " is not within %d to %d",
                               h->l2_bits, QCOW_L2_BITS_MIN, QCOW_L2_BITS_MAX);
        if (h->crypt_method > QCOW_CRYPT_AES)
                return err_set(err, EBADMSG, "crypt_method %" PRIu32 " is neither 0 nor 1 (AES)",
                               h->crypt_method);
        if (h->size <= 1)
                return err_set(err, EBADMSG, "size %" PRIu64 " is not more than 1", h->size);
        if (h->size > LIMIT_DISK_SIZE)
                return err_set(err, EFBIG, "size %" PRIu64 " is more than the limit of %" PRIu64,
                               h->size, LIMIT_DISK_SIZE);
        return 0;
}

static int qcow_parse_l1(const QcowDiskHeader *d, QcowHeader *h, uint64_t file_size, Err *err)
{
        h->l1_pos = from_be64(d->l1_table_offset);
        h->l1_count = div_round_up(h->size, UINT64_C(1) << (h->cluster_bits + h->l2_bits));
        if (h->l1_count > LIMIT_TABLE_SIZE / sizeof(be64))
                return err_set(err, EFBIG,
                               "size %" PRIu64 " needs an L1 table of %" PRIu64
                               " entries, more than %" PRIu64,
                               h->size, h->l1_count, LIMIT_TABLE_SIZE / sizeof(be64));
        if (!is_aligned(h->l1_pos, sizeof(be64)) || h->l1_pos < sizeof(*d))
                return err_set(err, EBADMSG,
                               "l1_table_offset %" PRIu64 " is no multiple of 8 behind the header",
                               h->l1_pos);
        if (!in_range(h->l1_pos, h->l1_count * sizeof(be64), file_size))
                return err_set(err, ENODATA,
                               "l1_table_offset %" PRIu64 ": the file (%" PRIu64
                               " bytes) ends before the end of the L1 table",
                               h->l1_pos, file_size);
        return 0;
}

static int qcow_parse_backing(const QcowDiskHeader *d, QcowHeader *h, uint64_t file_size, Err *err)
{
        h->len = sizeof(*d);
        h->backing_pos = from_be64(d->backing_file_offset);
        if (h->backing_pos == 0)
                return 0;
        h->backing_len = from_be32(d->backing_file_size);
        if (h->backing_len > LIMIT_NAME_LEN)
                return err_set(err, EBADMSG, "backing_file_size %" PRIu32 " is more than %d",
                               h->backing_len, LIMIT_NAME_LEN);
        if (h->backing_pos < sizeof(*d) || !in_range(h->backing_pos, h->backing_len, file_size))
                return err_set(err, EBADMSG,
                               "backing_file_offset %" PRIu64
                               " is not behind the header and within the file",
                               h->backing_pos);
        /* What lies in front of the L1 table belongs to the header; a name may stand elsewhere. */
        if (h->backing_pos < h->l1_pos)
                h->len = u64_max(h->len, h->backing_pos + h->backing_len);
        return 0;
}

/* Xen's blktap kept the L1 table as its processor has numbers, unless a flag says otherwise. */
static int qcow_read_xen(Store *s, QcowHeader *h, Err *err)
{
        QcowDiskXen x = { 0 };

        /* Then something else stands there. */
        if (h->backing_pos == sizeof(QcowDiskHeader) ||
            h->l1_pos < sizeof(QcowDiskHeader) + sizeof(x))
                return 0;
        int r = store_read_padded(s, &x, sizeof(x), sizeof(QcowDiskHeader));
        if (r < 0)
                return err_set(err, -r, "cannot read what follows the header: %m");
        if (memcmp(x.magic, qcow_xen_magic, sizeof(x.magic)) != 0)
                return 0;
        h->xen = from_be32(x.flags) & QCOW_XEN_BIG_ENDIAN ? QCOW_XEN_BIG : QCOW_XEN_NATIVE;
        return 0;
}

int qcow_header_read(Store *s, QcowHeader *ret, Err *err)
{
        QcowDiskHeader d;
        QcowHeader h = { 0 };
        uint64_t file_size = 0;

        int r = store_get_size(s, &file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = qcow_load_header(s, &d, err);
        if (r >= 0)
                r = qcow_parse_geometry(&d, &h, err);
        if (r >= 0)
                r = qcow_parse_l1(&d, &h, file_size, err);
        if (r >= 0)
                r = qcow_parse_backing(&d, &h, file_size, err);
        if (r >= 0)
                r = qcow_read_xen(s, &h, err);
        if (r < 0)
                return r;
        *ret = h;
        return 0;
}
