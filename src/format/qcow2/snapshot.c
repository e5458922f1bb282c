/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshot table. Its entries have different lengths, so it is walked entry by entry and never held in memory
 * as a whole.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/table.h"
#include "format/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* How many snapshots the text lists when the wanted one is not there. */
        QCOW2_SNAPSHOTS_LISTED = 8,
        /* Version 3 demands at least the first two fields of the extra data. */
        QCOW2_SNAPSHOT_EXTRA_MIN = offsetof(Qcow2DiskSnapshotExtra, icount),
};

void qcow2_snapshot_done(Qcow2Snapshot *s)
{
        free(s->id);
        free(s->name);
        *s = (Qcow2Snapshot){ 0 };
}

static int qcow2_snapshot_text(
        const char *what, uint64_t index, const uint8_t *bytes, size_t len, char **ret, Err *err)
{
        if (memchr(bytes, 0, len))
                return err_set(err, EBADMSG, "the %s of snapshot %" PRIu64 " has a NUL byte in it",
                               what, index);
        char *text = strndup((const char *)bytes, len);
        if (!text)
                return err_set(err, ENOMEM, "%m");
        *ret = text;
        return 0;
}

static int qcow2_snapshot_check(const Qcow2Header *h,
                                const Qcow2DiskSnapshot *d,
                                uint64_t index,
                                Err *err)
{
        uint32_t extra = from_be32(d->extra_size);

        if (extra > QCOW2_SNAPSHOT_EXTRA_MAX)
                return err_set(err, EFBIG,
                               "snapshot %" PRIu64 ": extra_data_size %" PRIu32 " is more than %d",
                               index, extra, QCOW2_SNAPSHOT_EXTRA_MAX);
        if (h->version >= 3 && extra < QCOW2_SNAPSHOT_EXTRA_MIN)
                return err_set(err, EBADMSG,
                               "snapshot %" PRIu64 ": extra_data_size %" PRIu32 " is less than %d",
                               index, extra, QCOW2_SNAPSHOT_EXTRA_MIN);
        return 0;
}

/* `body` is what follows the fixed part: extra data, id, name. */
static int qcow2_snapshot_parse(const Qcow2Header *h,
                                const Qcow2DiskSnapshot *d,
                                const uint8_t *body,
                                uint64_t index,
                                Qcow2Snapshot *ret,
                                Err *err)
{
        uint32_t extra_len = from_be32(d->extra_size);
        _cleanup_snapshot_ Qcow2Snapshot s = {
                .l1_pos = from_be64(d->l1_table_offset),
                .l1_count = from_be32(d->l1_size),
                .date_sec = from_be32(d->date_sec),
                .date_nsec = from_be32(d->date_nsec),
                .vm_clock_nsec = from_be64(d->vm_clock_nsec),
                .vm_state_size = from_be32(d->vm_state_size),
                .disk_size = h->size,
        };
        Qcow2DiskSnapshotExtra extra = { 0 };

        memcpy(&extra, body, u64_min(extra_len, sizeof(extra)));
        if (extra_len >= offsetof(Qcow2DiskSnapshotExtra, disk_size))
                s.vm_state_size = from_be64(extra.vm_state_size);
        if (extra_len >= offsetof(Qcow2DiskSnapshotExtra, icount))
                s.disk_size = from_be64(extra.disk_size);
        if (extra_len >= sizeof(extra)) {
                s.icount = from_be64(extra.icount);
                s.has_icount = s.icount != UINT64_MAX;
        }

        const uint8_t *id = body + extra_len;
        const uint8_t *name = id + from_be16(d->id_size);
        int r = qcow2_snapshot_text("id", index, id, from_be16(d->id_size), &s.id, err);
        if (r < 0)
                return r;
        r = qcow2_snapshot_text("name", index, name, from_be16(d->name_size), &s.name, err);
        if (r < 0)
                return r;

        *ret = s;
        s.id = s.name = NULL;
        return 0;
}

int qcow2_snapshot_next(Node *n, Qcow2Cursor *c, Qcow2Snapshot *ret, Err *err)
{
        const Qcow2 *q = n->state;
        const Qcow2Header *h = &q->header;
        _cleanup_free_ void *whole = NULL;
        Qcow2DiskSnapshot d;

        if (c->index == h->snapshot_count)
                return 0;
        uint64_t pos = h->snapshots_pos + c->done;
        int r = store_read(n->store, &d, sizeof(d), pos);
        if (r == -ENODATA)
                return err_set(err, ENODATA,
                               "the file ends within snapshot %" PRIu64 " of %" PRIu64, c->index,
                               h->snapshot_count);
        if (r < 0)
                return err_set(err, -r, "cannot read the snapshot table: %m");
        r = qcow2_snapshot_check(h, &d, c->index, err);
        if (r < 0)
                return r;

        pos += sizeof(d);
        uint64_t len =
                (uint64_t)from_be32(d.extra_size) + from_be16(d.id_size) + from_be16(d.name_size);
        if (!in_range(pos, len, q->file_size))
                return err_set(err, ENODATA,
                               "the file ends within snapshot %" PRIu64 " of %" PRIu64, c->index,
                               h->snapshot_count);
        c->done += round_up(sizeof(d) + len, 8);
        if (c->done > QCOW2_SNAPSHOT_TABLE_LEN_MAX)
                return err_set(err, EFBIG, "the snapshot table is longer than %d bytes",
                               QCOW2_SNAPSHOT_TABLE_LEN_MAX);
        /* With the fixed part once more, so that an entry without name and id is no special case. */
        r = table_read(n->store, pos - sizeof(d), sizeof(d) + len, 1, "snapshot table", &whole,
                       err);
        if (r < 0)
                return r;
        r = qcow2_snapshot_parse(h, &d, (const uint8_t *)whole + sizeof(d), c->index, ret, err);
        if (r < 0)
                return r;
        c->index++;
        return 1;
}

/* Appends "1 (name)" to the list of what there is. */
static void qcow2_snapshot_list(char *list, size_t size, uint64_t index, const Qcow2Snapshot *s)
{
        size_t used = strlen(list);

        if (index < QCOW2_SNAPSHOTS_LISTED)
                snprintf(list + used, size - used, "%s%.20s (%.40s)", index ? ", " : "", s->id,
                         s->name);
        else if (index == QCOW2_SNAPSHOTS_LISTED)
                snprintf(list + used, size - used, ", …");
}

int qcow2_snapshot_find(Node *n, const char *wanted, Qcow2Snapshot *ret, Err *err)
{
        _cleanup_snapshot_ Qcow2Snapshot by_id = { 0 }, by_name = { 0 };
        Qcow2Cursor cursor = { 0 };
        char list[400] = "";
        int r = 0;

        if (n->is_below)
                return 0;

        for (;;) {
                _cleanup_snapshot_ Qcow2Snapshot s = { 0 };
                uint64_t index = cursor.index;

                r = qcow2_snapshot_next(n, &cursor, &s, err);
                if (r <= 0)
                        break;
                qcow2_snapshot_list(list, sizeof(list), index, &s);
                Qcow2Snapshot *found = !wanted || by_id.id           ? NULL
                                       : strcmp(s.id, wanted) == 0   ? &by_id
                                       : by_name.id                  ? NULL
                                       : strcmp(s.name, wanted) == 0 ? &by_name
                                                                     : NULL;
                if (found) {
                        *found = s;
                        s.id = s.name = NULL;
                }
        }
        if (r < 0)
                return r;
        if (!wanted)
                return 0;

        Qcow2Snapshot *found = by_id.id ? &by_id : &by_name;
        if (!found->id && cursor.index == 0)
                return err_set(err, ENOENT, "there is no snapshot '%s': the image has none",
                               wanted);
        if (!found->id)
                return err_set(err, ENOENT,
                               "there is no snapshot '%s'; the image has %" PRIu64 ": %s", wanted,
                               cursor.index, list);
        *ret = *found;
        found->id = found->name = NULL;
        return 0;
}
