/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qed/qed.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/info.h"
#include "block/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int qed_read_header(Store *s, QedDiskHeader *ret, Err *err)
{
        int r = store_read_named(s, ret, sizeof(*ret), 0, "the header", err);
        if (r < 0)
                return r;
        if (memcmp(ret->magic, "QED", sizeof(ret->magic)) != 0)
                return err_set(err, EBADMSG, "the file does not begin with \"QED\\0\"");
        return 0;
}

static int qed_parse_features(const QedDiskHeader *d, QedHeader *h, Err *err)
{
        h->features = from_le64(d->features);
        h->autoclear = from_le64(d->autoclear_features);
        uint64_t unknown = h->features & ~QED_FEATURES_KNOWN;
        if (unknown)
                return err_set(err, EOPNOTSUPP, "features: bit %d is a feature that is not known",
                               __builtin_ctzll(unknown));
        return 0;
}

static int qed_parse_geometry(const QedDiskHeader *d, QedHeader *h, Err *err)
{
        uint32_t cluster = from_le32(d->cluster_size), table = from_le32(d->table_size);

        if (!is_power_of_two(cluster) || cluster < QED_CLUSTER_SIZE_MIN ||
            cluster > QED_CLUSTER_SIZE_MAX)
                return err_set(err, EBADMSG,
                               "cluster_size %" PRIu32 " is no power of two within %d to %d",
                               cluster, QED_CLUSTER_SIZE_MIN, QED_CLUSTER_SIZE_MAX);
        if (!is_power_of_two(table) || table > QED_TABLE_SIZE_MAX)
                return err_set(err, EBADMSG, "table_size %" PRIu32 " is not 1, 2, 4, 8 or %d",
                               table, QED_TABLE_SIZE_MAX);
        h->cluster_bits = (uint32_t)__builtin_ctz(cluster);
        h->table_len = (uint64_t)table * cluster;
        h->table_bits = (uint32_t)__builtin_ctzll(h->table_len) - 3;
        return 0;
}

static int qed_parse_size(const QedDiskHeader *d, QedHeader *h, Err *err)
{
        uint64_t most = UINT64_C(1) << h->table_bits;

        h->size = from_le64(d->image_size);
        if (!is_aligned(h->size, QED_SECTOR))
                return err_set(err, EBADMSG, "image_size %" PRIu64 " is not a multiple of %d",
                               h->size, QED_SECTOR);
        if (div_round_up(div_round_up(h->size, UINT64_C(1) << h->cluster_bits), most) > most)
                return err_set(err, EBADMSG,
                               "image_size %" PRIu64 " is more than tables of %" PRIu64
                               " entries can map",
                               h->size, most);
        return 0;
}

bool qed_is_cluster(const QedHeader *h, uint64_t pos, uint64_t end)
{
        return is_aligned(pos, UINT64_C(1) << h->cluster_bits) && pos >= h->len && pos < end;
}

static int qed_parse_places(const QedDiskHeader *d, QedHeader *h, uint64_t file_size, Err *err)
{
        uint32_t clusters = from_le32(d->header_size);

        h->len = (uint64_t)clusters << h->cluster_bits;
        if (clusters == 0)
                return err_set(err, EBADMSG, "header_size is 0");
        if (h->len > file_size)
                return err_set(err, ENODATA,
                               "header_size %" PRIu32 ": the file (%" PRIu64
                               " bytes) ends within these clusters",
                               clusters, file_size);
        h->l1_pos = from_le64(d->l1_table_offset);
        if (!is_aligned(h->l1_pos, UINT64_C(1) << h->cluster_bits) || h->l1_pos < h->len)
                return err_set(err, EBADMSG,
                               "l1_table_offset %" PRIu64
                               " is no place of a cluster behind the header",
                               h->l1_pos);
        if (!in_range(h->l1_pos, h->table_len, file_size))
                return err_set(err, ENODATA,
                               "l1_table_offset %" PRIu64 ": the file (%" PRIu64
                               " bytes) ends before the end of the L1 table",
                               h->l1_pos, file_size);
        return 0;
}

static int qed_parse_backing(const QedDiskHeader *d, QedHeader *h, Err *err)
{
        if (!(h->features & QED_FEATURE_BACKING))
                return 0;
        h->backing_pos = from_le32(d->backing_filename_offset);
        h->backing_len = from_le32(d->backing_filename_size);
        if (h->backing_len > LIMIT_NAME_LEN)
                return err_set(err, EBADMSG, "backing_filename_size %" PRIu32 " is more than %d",
                               h->backing_len, LIMIT_NAME_LEN);
        if (h->backing_pos < sizeof(*d) || !in_range(h->backing_pos, h->backing_len, h->len))
                return err_set(err, EBADMSG,
                               "backing_filename_offset %" PRIu32
                               " is not within the header's clusters",
                               h->backing_pos);
        return 0;
}

static int qed_header_read(Store *s, uint64_t file_size, QedHeader *ret, Err *err)
{
        QedDiskHeader d;
        QedHeader h = { 0 };

        int r = qed_read_header(s, &d, err);
        /* Before anything that an unknown feature may have given another meaning. */
        if (r >= 0)
                r = qed_parse_features(&d, &h, err);
        if (r >= 0)
                r = qed_parse_geometry(&d, &h, err);
        if (r >= 0)
                r = qed_parse_size(&d, &h, err);
        if (r >= 0)
                r = qed_parse_places(&d, &h, file_size, err);
        if (r >= 0)
                r = qed_parse_backing(&d, &h, err);
        if (r < 0)
                return r;
        *ret = h;
        return 0;
}

/* The name of the layer below, and that it is raw, if it is; another format cannot be stated. */
static int qed_read_backing(Node *n, const QedHeader *h, Err *err)
{
        int r = node_read_backing_name(n, h->backing_pos, h->backing_len, err);
        if (r < 0 || !n->backing_name || !(h->features & QED_FEATURE_RAW_BACKING))
                return r;
        n->backing_format = strdup("raw");
        return n->backing_format ? 0 : err_set(err, ENOMEM, "%m");
}

static uint64_t qed_get(const void *entry)
{
        le64 raw;
        memcpy(&raw, entry, sizeof(raw));
        return from_le64(raw);
}

static void qed_put(void *entry, uint64_t value)
{
        le64 raw = to_le64(value);
        memcpy(entry, &raw, sizeof(raw));
}

/* An image that needs a check is only read as it would be after the check: an entry that leads nowhere is none. A
 * writable open repairs before. */
static bool qed_forgives(const Node *n)
{
        const Qed *q = n->state;

        return q->header.features & QED_FEATURE_NEED_CHECK;
}

static int qed_classify(Node *n, uint64_t off, uint64_t entry, Extent *ret)
{
        const Qed *q = n->state;

        ret->kind = EXTENT_BELOW;
        if (entry == 0)
                return 0;
        if (entry == QED_ENTRY_ZERO) {
                ret->kind = EXTENT_HOLE;
                return 0;
        }
        if (!qed_is_cluster(&q->header, entry, atomic_load(&q->tree.end)))
                return qed_forgives(n) ? 0 : -EIO;
        ret->kind = EXTENT_DATA;
        ret->pos = entry;
        ret->in_place = atomic_load_explicit(&q->prepared, memory_order_acquire);
        return 0;
}

static int qed_has_table(Node *n, uint64_t pos)
{
        const Qed *q = n->state;
        uint64_t end = atomic_load(&q->tree.end);

        if (qed_forgives(n))
                return qed_is_cluster(&q->header, pos, end) &&
                       in_range(pos, q->header.table_len, end);
        return qed_is_cluster(&q->header, pos, end) ? 1 : -EIO;
}

int qed_write_field(Node *n, size_t at, uint64_t value)
{
        le64 raw = to_le64(value);
        return store_write(n->store, &raw, sizeof(raw), at);
}

static int qed_write_size(Node *n, uint64_t size)
{
        return qed_write_field(n, offsetof(QedDiskHeader, image_size), size);
}

static const TableTreeOps qed_ops = {
        .get_table = qed_get,
        .put_table = qed_put,
        .get = qed_get,
        .put = qed_put,
        .classify = qed_classify,
        .has_table = qed_has_table,
        .write_header = qed_write_size,
        .zero = TABLE_ZERO_ENTRY,
        .zero_entry = QED_ENTRY_ZERO,
};

static int qed_open_tables(Node *n, Qed *q, Err *err)
{
        q->tree.ops = &qed_ops;
        q->tree.cluster_bits = q->header.cluster_bits;
        q->tree.table_bits = q->header.table_bits;
        q->tree.header_len = q->header.len;
        q->tree.l1_pos = q->header.l1_pos;
        q->tree.l1_count = table_tree_count_l1(&q->tree, q->header.size);
        q->tree.l1_len = q->header.table_len;
        q->tree.l1_max = UINT64_C(1) << q->header.table_bits;
        q->tree.size_in_header = q->header.size;
        return table_tree_init(n, &q->tree, err);
}

static int qed_open(Node *n, Opener *opener, Err *err)
{
        Qed *q = n->state;
        uint64_t file_size = 0;

        int r = store_get_size(n->store, &file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = qed_header_read(n->store, file_size, &q->header, err);
        if (r >= 0)
                r = qed_read_backing(n, &q->header, err);
        if (r < 0)
                return r;
        n->size = q->header.size;
        if (n->for_check)
                return 0;
        if (n->writable && (q->header.features & QED_FEATURE_NEED_CHECK)) {
                r = qed_repair(n, err);
                if (r < 0)
                        return r;
                n->repaired = true;
        }
        r = qed_open_tables(n, q, err);
        if (r < 0 || !n->writable)
                return r;
        n->granule = table_tree_cluster_size(&q->tree);
        return table_tree_begin_writing(n, &q->tree, err);
}

static void qed_close(Node *n)
{
        Qed *q = n->state;

        if (q)
                table_tree_done(n, &q->tree);
}

/* Features that every writer has to know are dropped, and the last cluster of the file is made whole. */
static int qed_prepare_locked(Node *n, Qed *q)
{
        uint64_t end = atomic_load(&q->tree.end);
        int r = 0;

        if (atomic_load(&q->prepared))
                return 0;
        if (q->header.autoclear != 0)
                r = qed_write_field(n, offsetof(QedDiskHeader, autoclear_features), 0);
        if (r >= 0 && end != q->tree.file_size) {
                r = store_set_size(n->store, end);
                r = r == -EOPNOTSUPP ? 0 : r;
        }
        if (r >= 0)
                r = node_sync(n);
        if (r < 0)
                return r;
        atomic_store_explicit(&q->prepared, true, memory_order_release);
        return 1;
}

/* Before the first change. 1: done just now, so what map said of places may not hold any more. */
static int qed_prepare(Node *n)
{
        Qed *q = n->state;
        int r = 0;

        if (atomic_load_explicit(&q->prepared, memory_order_acquire))
                return 0;
        LOCKED(&q->tree.commit_lock)
        {
                r = qed_prepare_locked(n, q);
        }
        return r;
}

static int qed_mark_locked(Node *n, Qed *q)
{
        if (atomic_load(&q->marked))
                return 0;
        int r = qed_write_field(n, offsetof(QedDiskHeader, features),
                                q->header.features | QED_FEATURE_NEED_CHECK);
        if (r >= 0)
                r = node_sync(n);
        if (r < 0)
                return r;
        atomic_store_explicit(&q->marked, true, memory_order_release);
        return 0;
}

/* Before tables change: until it is closed cleanly the image needs a check. Our order of writing leaves nothing to repair
 * but leaks, which others need not know. */
static int qed_mark(Node *n)
{
        Qed *q = n->state;
        int r = 0;

        if (atomic_load_explicit(&q->marked, memory_order_acquire))
                return 0;
        LOCKED(&q->tree.commit_lock)
        {
                r = qed_mark_locked(n, q);
        }
        return r;
}

static int qed_finish(Node *n)
{
        Qed *q = n->state;

        if (!atomic_load(&q->marked))
                return 0;
        int r = qed_write_field(n, offsetof(QedDiskHeader, features), q->header.features);
        if (r < 0)
                return r;
        atomic_store(&q->marked, false);
        return 0;
}

static int qed_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Qed *q = n->state;
        return table_tree_map(n, &q->tree, off, len, ret);
}

static int qed_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        Qed *q = n->state;

        int r = qed_prepare(n);
        if (r != 0)
                return r < 0 ? r : -EAGAIN;
        r = qed_mark(n);
        return r < 0 ? r : table_tree_alloc(n, &q->tree, off, len, ret);
}

static int qed_publish(Node *n, const Extent *e)
{
        Qed *q = n->state;
        return table_tree_publish(n, &q->tree, e);
}

static void qed_release(Node *n, const Extent *e)
{
        Qed *q = n->state;
        table_tree_release(n, &q->tree, e);
}

static int qed_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        Qed *q = n->state;

        int r = qed_prepare(n);
        if (r >= 0)
                r = qed_mark(n);
        return r < 0 ? r : table_tree_discard(n, &q->tree, off, len, ret_off, ret_len);
}

static int qed_write_back(Node *n)
{
        Qed *q = n->state;
        return table_tree_write_back(n, &q->tree);
}

static int qed_resize(Node *n, uint64_t size)
{
        Qed *q = n->state;

        int r = qed_prepare(n);
        if (r >= 0)
                r = qed_mark(n);
        return r < 0 ? r : table_tree_resize(n, &q->tree, round_up(size, QED_SECTOR));
}

static int qed_describe(Node *n, Info *info)
{
        const Qed *q = n->state;

        info->cluster_size = UINT64_C(1) << q->header.cluster_bits;
        info->dirty = q->header.features & QED_FEATURE_NEED_CHECK;
        return 0;
}

const Format format_qed = {
        .name = "qed",
        .magic = { { .at = 0, .len = 4, .bytes = "QED\0" } },
        .state_size = sizeof(Qed),
        .open = qed_open,
        .close = qed_close,
        .map = qed_map,
        .alloc = qed_alloc,
        .publish = qed_publish,
        .release = qed_release,
        .write_back = qed_write_back,
        .finish = qed_finish,
        .discard = qed_discard,
        .resize = qed_resize,
        .check = qed_check,
        .describe = qed_describe,
};
