/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/qcow2.h"
#include "format/qcow2/check/check.h"
#include "format/qcow2/write/writer.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "block/name.h"
#include "block/opener.h"
#include "block/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(QCOW2_L1_COUNT_MAX * sizeof(be64) <= LIMIT_TABLE_SIZE, "an L1 table can be read");
_Static_assert(1 << QCOW2_CLUSTER_BITS_MAX <= LIMIT_CODED_LEN, "a cluster can be unpacked");

#define _cleanup_file_name_ _cleanup_(file_name_done)

/* Version 1 has the same magic and is another format. Versions to come are ours: open refuses them in words. */
static int qcow2_probe(const Probe *p)
{
        be32 version;

        memcpy(&version, p->head + offsetof(Qcow2DiskHeader, version), sizeof(version));
        return from_be32(version) >= 2;
}

void *qcow2_table_to_host(void *table, uint64_t count)
{
        uint8_t *bytes = table;

        for (uint64_t i = 0; i < count; i++) {
                be64 raw;
                memcpy(&raw, bytes + i * sizeof(raw), sizeof(raw));
                uint64_t value = from_be64(raw);
                memcpy(bytes + i * sizeof(raw), &value, sizeof(value));
        }
        return table;
}

static void qcow2_close(Node *n)
{
        Qcow2 *q = n->state;

        if (!q)
                return;
        qcow2_writer_close(n);
        qcow2_crypt_close(q);
        qcow2_free_spare_decoders(q);
        cache_release(n->cache, q->reserved);
        free(q->l1);
        free(q->data_name);
        *q = (Qcow2){ 0 };
}

static void qcow2_set_geometry(Qcow2 *q)
{
        const Qcow2Header *h = &q->header;

        q->extended = h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2;
        q->cluster_size = qcow2_cluster_size(h);
        q->entry_bits = q->extended ? 4 : 3;
        q->l1_bits = 2 * h->cluster_bits - q->entry_bits;
        q->slice_len = (uint32_t)u64_min(q->cluster_size, QCOW2_SLICE_LEN_MAX);
}

int qcow2_reserve(Node *n, uint64_t len, const char *what, Err *err)
{
        Qcow2 *q = n->state;

        int r = table_reserve(n->cache, len, what, err);
        if (r >= 0)
                q->reserved += len;
        return r;
}

void qcow2_release_memory(Node *n, uint64_t len)
{
        Qcow2 *q = n->state;

        q->reserved -= len;
        cache_release(n->cache, len);
}

/* The disk itself, or the snapshot that is to be shown, with its own size and L1 table. */
static int qcow2_open_disk(Node *n, Qcow2 *q, Err *err)
{
        _cleanup_snapshot_ Qcow2Snapshot s = { 0 };
        uint64_t size = q->header.size;
        uint64_t pos = q->header.l1_pos;
        void *l1 = NULL;

        if (n->snapshot && qcow2_has_data_file(&q->header))
                return err_set(err, EOPNOTSUPP,
                               "an image with an external data file has no snapshots to show");
        int r = qcow2_snapshot_find(n, n->snapshot, &s, err);
        if (r < 0)
                return r;
        q->l1_count = q->header.l1_count;
        if (n->snapshot) {
                q->shows_snapshot = true;
                q->l1_count = s.l1_count;
                pos = s.l1_pos;
                size = s.disk_size;
                r = qcow2_check_l1(&q->header, pos, q->l1_count, size, " of the snapshot", err);
                if (r < 0)
                        return r;
        }
        const char *what = n->snapshot ? "L1 table of the snapshot" : "L1 table";
        r = qcow2_reserve(n, q->l1_count * sizeof(be64), what, err);
        if (r >= 0)
                r = table_read(n->store, pos, q->l1_count, sizeof(be64), what, &l1, err);
        if (r < 0)
                return r;
        q->l1 = qcow2_table_to_host(l1, q->l1_count);
        /* A disk is whole sectors: QEMU shows the rest of the last one as zeroes too. */
        n->size = round_up(size, QCOW2_SECTOR);
        return 0;
}

/* Clusters that lie where the guest sees them would lie over the tables. */
static int qcow2_check_data_file(Node *n, Store *data, Err *err)
{
        StoreStat image = { 0 }, other = { 0 };

        int r = store_get_stat(n->store, &image);
        if (r == 0)
                r = store_get_stat(data, &other);
        if (r < 0)
                return err_set(err, -r, "cannot look at it: %m");
        if (image.device == other.device && image.inode == other.inode &&
            (image.device != 0 || image.inode != 0))
                return err_set(err, ELOOP, "is the image itself");
        return 0;
}

static int qcow2_open_data_file(Node *n, Qcow2 *q, Opener *opener, Err *err)
{
        _cleanup_file_name_ FileName name = { 0 };
        _cleanup_store_ Store *store = NULL;

        if (!q->data_name) {
                q->host_store = n->store;
                return 0;
        }
        if (!opener)
                return 0;
        int r = file_name_parse(q->data_name, &name, err);
        if (r < 0)
                return err_prefix(err, r, "data file '%s'", q->data_name);
        if (name.format && strcmp(name.format, "raw") != 0)
                return err_set(err, EOPNOTSUPP,
                               "data file '%s': its format can only be raw, not '%s'", q->data_name,
                               name.format);
        r = opener->open(opener, n->store, name.path,
                         n->writable ? STORE_WRITABLE : STORE_READ_ONLY, &store, err);
        if (r < 0)
                return err_prefix(err, r, "data file '%s'", q->data_name);
        r = qcow2_check_data_file(n, store, err);
        if (r < 0)
                return err_prefix(err, r, "data file '%s'", q->data_name);
        r = node_adopt_store(n, store);
        if (r < 0)
                return err_set(err, -r, "%m");
        q->host_store = TAKE(store);
        return 0;
}

/* What may be read may be too damaged to be written to. */
static int qcow2_refuse_writing(Node *n, const Qcow2 *q, Err *err)
{
        if (n->snapshot)
                return err_set(err, EROFS, "a snapshot can only be opened read-only");
        if (q->header.incompatible & QCOW2_INCOMPATIBLE_CORRUPT)
                return err_set(err, EUCLEAN,
                               "the image is marked as corrupt: it can be opened read-only, or "
                               "repaired with 'rawview check -r all'");
        return 0;
}

static int qcow2_read_header(Node *n, Qcow2 *q, Err *err)
{
        int r = store_get_size(n->store, &q->file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = qcow2_header_read(n->store, q->file_size, &q->header, err);
        if (r < 0 || n->for_check)
                return r;
        return qcow2_check_refcount_table(&q->header, q->file_size, err);
}

/* Before anybody writes: is that allowed, and are the refcounts right? */
static int qcow2_open_for_writing(Node *n, Qcow2 *q, Err *err)
{
        int r = qcow2_refuse_writing(n, q, err);
        if (r < 0 || !(q->header.incompatible & QCOW2_INCOMPATIBLE_DIRTY))
                return r;
        r = qcow2_repair_dirty(n, err);
        if (r < 0)
                return r;
        n->repaired = true;
        /* The repair may have moved the refcount table. */
        return qcow2_read_header(n, q, err);
}

/* With clusters that were given out before anybody wrote to them, the holes of the file tell what was written. That they are many,
 * and not two or three that were written in part, is seen by what the file takes. qemu-img looks there under about the same condition. */
static int qcow2_look_for_holes(Node *n, Qcow2 *q, Err *err)
{
        StoreStat st = { 0 };

        int r = store_get_stat(n->store, &st);
        if (r < 0)
                return err_set(err, -r, "cannot look at the file: %m");
        q->tells_places = true;
        uint64_t there = st.allocated / q->cluster_size;
        q->is_sparse = div_round_up(q->file_size, q->cluster_size) >=
                       u64_max(there + there / 9, there + 2);
        return 0;
}

static int qcow2_open(Node *n, Opener *opener, Err *err)
{
        Qcow2 *q = n->state;

        int r = qcow2_read_header(n, q, err);
        if (r < 0)
                return r;
        qcow2_set_geometry(q);
        r = qcow2_extensions_read(n, q, err);
        if (r < 0)
                return r;
        /* The tables that a check looks at are never encrypted, and it reads them all itself. */
        if (n->for_check) {
                n->size = round_up(q->header.size, QCOW2_SECTOR);
                return 0;
        }
        r = qcow2_crypt_read(n, err);
        if (r < 0)
                return r;
        if (n->writable) {
                r = qcow2_open_for_writing(n, q, err);
                if (r < 0)
                        return r;
        }
        r = qcow2_open_disk(n, q, err);
        if (r < 0)
                return r;
        r = qcow2_open_data_file(n, q, opener, err);
        if (r >= 0)
                r = qcow2_unlock(n, opener, err);
        if (r >= 0 && n->stays_locked)
                r = qcow2_look_for_holes(n, q, err);
        if (r < 0 || !n->writable)
                return r;
        return qcow2_writer_open(n, err);
}

const Format format_qcow2 = {
        .name = "qcow2",
        .magic = { { .at = 0, .len = 4, .bytes = "QFI\xfb" } },
        .state_size = sizeof(Qcow2),
        .has_snapshots = true,
        .probe = qcow2_probe,
        .create = qcow2_create,
        .open = qcow2_open,
        .close = qcow2_close,
        .map = qcow2_map,
        .read_coded = qcow2_read_coded,
        .check = qcow2_check,
        .alloc = qcow2_alloc,
        .publish = qcow2_publish,
        .release = qcow2_release,
        .write_back = qcow2_commit,
        .discard = qcow2_discard,
        .resize = qcow2_resize,
        .describe = qcow2_describe,
};
