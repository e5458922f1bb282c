/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow/qcow.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/info.h"
#include "block/limits.h"
#include "block/opener.h"
#include "codec/inflate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Versions 2 and 3 have the same magic and are another format. */
static int qcow_probe(const Probe *p)
{
        be32 version;

        memcpy(&version, p->head + offsetof(QcowDiskHeader, version), sizeof(version));
        return from_be32(version) == 1;
}

static uint64_t qcow_get(const void *entry)
{
        be64 raw;
        memcpy(&raw, entry, sizeof(raw));
        return from_be64(raw);
}

static void qcow_put(void *entry, uint64_t value)
{
        be64 raw = to_be64(value);
        memcpy(entry, &raw, sizeof(raw));
}

static uint64_t qcow_get_le(const void *entry)
{
        le64 raw;
        memcpy(&raw, entry, sizeof(raw));
        return from_le64(raw);
}

static void qcow_put_le(void *entry, uint64_t value)
{
        le64 raw = to_le64(value);
        memcpy(entry, &raw, sizeof(raw));
}

static QcowCoded qcow_coded_place(const QcowHeader *h, uint64_t entry)
{
        unsigned pos_bits = 63 - h->cluster_bits;
        uint64_t cluster = UINT64_C(1) << h->cluster_bits;

        return (QcowCoded){ entry & ((UINT64_C(1) << pos_bits) - 1),
                            entry >> pos_bits & (cluster - 1) };
}

static int qcow_classify_coded(const Qcow *q, uint64_t entry, Extent *ret)
{
        QcowCoded place = qcow_coded_place(&q->header, entry);

        if (place.len == 0 || !in_range(place.pos, place.len, atomic_load(&q->tree.end)))
                return -EIO;
        ret->kind = EXTENT_CODED;
        ret->cookie = entry;
        return 0;
}

/* Sectors are numbered by where the guest sees them. That is no store that decrypts, so it is coded, a cluster at a time. */
static int qcow_classify_aes(uint64_t off, Extent *ret)
{
        ret->kind = EXTENT_CODED;
        /* No entry of a compressed cluster: that has the highest bit. */
        ret->cookie = off / QCOW_SECTOR;
        return 0;
}

static int qcow_read_aes(Node *n, const Extent *e, void *buf)
{
        const Qcow *q = n->state;

        if (!q->aes)
                return -ENOKEY;
        int r = store_read_padded(n->store, buf, (size_t)e->len, e->pos);
        return r < 0 ? r : sector_cipher_decrypt(q->aes, e->off / QCOW_SECTOR, buf, (size_t)e->len);
}

/* Any passphrase fits: nothing in the image says which one is right. */
static int qcow_fits(void *arg, const Secret *s, Err *err)
{
        Qcow *q = arg;
        return sector_cipher_new_qcow(s, &q->aes, err);
}

static int qcow_unlock(Node *n, Qcow *q, Opener *opener, Err *err)
{
        if (q->header.crypt_method != QCOW_CRYPT_AES || n->stays_locked)
                return 0;
        if (n->writable)
                return err_set(
                        err, EOPNOTSUPP,
                        "the image is encrypted with crypt_method 1 (AES), and such an image "
                        "can only be opened read-only");
        return opener_unlock(opener, n->store, "qcow", qcow_fits, q, err);
}

static int qcow_classify(Node *n, uint64_t off, uint64_t entry, Extent *ret)
{
        const Qcow *q = n->state;

        if (entry & QCOW_ENTRY_COMPRESSED)
                return qcow_classify_coded(q, entry, ret);
        ret->kind = EXTENT_BELOW;
        if (entry == 0)
                return 0;
        if (!is_aligned(entry, QCOW_SECTOR) ||
            !in_range(entry, UINT64_C(1) << q->header.cluster_bits, INT64_MAX))
                return -EIO;
        /* Past the end of the file are zeroes, as QEMU has it. */
        ret->pos = entry;
        if (q->header.crypt_method == QCOW_CRYPT_AES)
                return qcow_classify_aes(off, ret);
        ret->kind = EXTENT_DATA;
        ret->in_place = true;
        return 0;
}

static int qcow_has_table(Node *n, uint64_t pos)
{
        const Qcow *q = n->state;

        return pos >= sizeof(QcowDiskHeader) && pos < atomic_load(&q->tree.end) ? 1 : -EIO;
}

/* The size and the place of the L1 table hold together only: in one write within the first sector. */
static int qcow_write_header(Node *n, uint64_t size)
{
        const Qcow *q = n->state;
        QcowDiskHeader d;
        const size_t first = offsetof(QcowDiskHeader, size);

        int r = store_read(n->store, &d, sizeof(d), 0);
        if (r < 0)
                return r == -ENODATA ? -EIO : r;
        d.size = to_be64(size);
        d.l1_table_offset = to_be64(q->tree.l1_pos);
        return store_write(n->store, (uint8_t *)&d + first, sizeof(d) - first, first);
}

static const TableTreeOps qcow_ops = {
        .get_table = qcow_get,
        .put_table = qcow_put,
        .get = qcow_get,
        .put = qcow_put,
        .classify = qcow_classify,
        .has_table = qcow_has_table,
        .write_header = qcow_write_header,
        .zero = TABLE_ZERO_NONE,
};

/* The L1 table of Xen's blktap on x86. */
static const TableTreeOps qcow_xen_ops = {
        .get_table = qcow_get_le,
        .put_table = qcow_put_le,
        .get = qcow_get,
        .put = qcow_put,
        .classify = qcow_classify,
        .has_table = qcow_has_table,
        .write_header = qcow_write_header,
        .zero = TABLE_ZERO_NONE,
};

static int qcow_read_coded(Node *n, const Extent *e, void *buf)
{
        const Qcow *q = n->state;
        if (!(e->cookie & QCOW_ENTRY_COMPRESSED))
                return qcow_read_aes(n, e, buf);
        QcowCoded place = qcow_coded_place(&q->header, e->cookie);

        /* Less than a cluster, by the width of the field. */
        _cleanup_free_ uint8_t *packed = malloc((size_t)place.len);
        if (!packed)
                return -ENOMEM;
        int r = store_read(n->store, packed, (size_t)place.len, place.pos);
        if (r < 0)
                return r == -ENODATA ? -EIO : r;
        return inflate_exactly(INFLATE_RAW, packed, (size_t)place.len, buf, (size_t)e->len);
}

static int qcow_open_tables(Node *n, Qcow *q, Err *err)
{
        const QcowHeader *h = &q->header;

        q->tree.ops = h->xen == QCOW_XEN_NATIVE ? &qcow_xen_ops : &qcow_ops;
        q->tree.cluster_bits = h->cluster_bits;
        q->tree.table_bits = h->l2_bits;
        q->tree.header_len = h->len;
        q->tree.l1_pos = h->l1_pos;
        q->tree.l1_count = h->l1_count;
        q->tree.l1_len = h->l1_count * sizeof(be64);
        q->tree.l1_max = LIMIT_TABLE_SIZE / sizeof(be64);
        q->tree.size_in_header = h->size;
        return table_tree_init(n, &q->tree, err);
}

/* The format of the layer below is not stated anywhere but, perhaps, in its name. */
static int qcow_open(Node *n, Opener *opener, Err *err)
{
        Qcow *q = n->state;

        int r = qcow_header_read(n->store, &q->header, err);
        if (r >= 0)
                r = node_read_backing_name(n, q->header.backing_pos, q->header.backing_len, err);
        if (r < 0)
                return r;
        /* A disk is whole sectors. */
        n->size = round_up(q->header.size, QCOW_SECTOR);
        if (n->for_check)
                return 0;
        r = qcow_unlock(n, q, opener, err);
        if (r < 0)
                return r;
        r = qcow_open_tables(n, q, err);
        if (r < 0 || !n->writable)
                return r;
        /* The extension has a checksum of the L1 table. */
        if (q->header.xen != QCOW_XEN_NONE)
                return err_set(err, EOPNOTSUPP,
                               "it has Xen's extension of the header, so it can only be opened "
                               "read-only");
        if (q->header.backing_len > 0 && q->header.backing_pos > q->header.l1_pos)
                return err_set(err, EOPNOTSUPP,
                               "backing_file_offset %" PRIu64
                               " is behind the L1 table, where guest data may be: it can only be "
                               "opened read-only",
                               q->header.backing_pos);
        n->granule = table_tree_cluster_size(&q->tree);
        return table_tree_begin_writing(n, &q->tree, err);
}

static void qcow_close(Node *n)
{
        Qcow *q = n->state;

        if (!q)
                return;
        table_tree_done(n, &q->tree);
        q->aes = sector_cipher_free(q->aes);
}

static int qcow_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Qcow *q = n->state;
        return table_tree_map(n, &q->tree, off, len, ret);
}

static int qcow_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Qcow *q = n->state;
        return table_tree_alloc(n, &q->tree, off, len, ret);
}

static int qcow_publish(Node *n, const Extent *e)
{
        Qcow *q = n->state;
        return table_tree_publish(n, &q->tree, e);
}

static void qcow_release(Node *n, const Extent *e)
{
        Qcow *q = n->state;
        table_tree_release(n, &q->tree, e);
}

static int qcow_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        Qcow *q = n->state;
        return table_tree_discard(n, &q->tree, off, len, ret_off, ret_len);
}

static int qcow_write_back(Node *n)
{
        Qcow *q = n->state;
        return table_tree_write_back(n, &q->tree);
}

static int qcow_resize(Node *n, uint64_t size)
{
        Qcow *q = n->state;

        /* A disk of nothing is not allowed. */
        if (size == 0)
                return -EOPNOTSUPP;
        return table_tree_resize(n, &q->tree, round_up(size, QCOW_SECTOR));
}

static int qcow_describe(Node *n, Info *info)
{
        const Qcow *q = n->state;

        info->cluster_size = UINT64_C(1) << q->header.cluster_bits;
        info->encrypted = q->header.crypt_method != QCOW_CRYPT_NONE;
        return 0;
}

const Format format_qcow = {
        .name = "qcow",
        .magic = { { .at = 0, .len = 4, .bytes = "QFI\xfb" } },
        .state_size = sizeof(Qcow),
        .probe = qcow_probe,
        .open = qcow_open,
        .close = qcow_close,
        .map = qcow_map,
        .read_coded = qcow_read_coded,
        .alloc = qcow_alloc,
        .publish = qcow_publish,
        .release = qcow_release,
        .write_back = qcow_write_back,
        .discard = qcow_discard,
        .resize = qcow_resize,
        .describe = qcow_describe,
};
