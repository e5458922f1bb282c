/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which images are written to. */
#include "format/vmdk/write/writer.h"

#include "base/bits.h"
#include "format/vmdk/check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Is there anything about the disk as a whole that forbids it? */
static int writer_check_disk(const Node *n, Err *err)
{
        const Vmdk *v = n->state;
        const VmdkDescriptor *d = &v->descriptor;

        if (!d->store)
                return err_set(err, EROFS,
                               "the extent has no descriptor and so cannot tell others that it has "
                               "changed: it can only be opened read-only");
        if (d->is_tracked)
                return err_set(
                        err, EROFS,
                        "changeTrackPath: somebody else wants to know of every change, so it "
                        "can only be opened read-only");
        return 0;
}

static int writer_check_sparse(const VmdkExtent *x, Err *err)
{
        if (x->kind != VMDK_HOSTED)
                return err_set(err, EROFS, "a snapshot of ESX (%s) can only be opened read-only",
                               x->type);
        if (x->coded)
                return err_set(err, EROFS,
                               "compressed grains (streamOptimized) can only be opened read-only");
        if (x->version > 2)
                return err_set(
                        err, EROFS,
                        "version %" PRIu32
                        " keeps account of changes in a way that is not known: it can only be "
                        "opened read-only",
                        x->version);
        return 0;
}

static int writer_check_extent(const VmdkExtent *x, Err *err)
{
        uint64_t end = vmdk_end(x);

        if (x->access != VMDK_RW || x->kind == VMDK_ZERO)
                return err_set(err, EROFS, "it is %s, so the disk can only be opened read-only",
                               x->kind == VMDK_ZERO       ? "ZERO"
                               : x->access == VMDK_RDONLY ? "RDONLY"
                                                          : "NOACCESS");
        if (!x->store)
                return err_set(err, EROFS, "its file may not be opened");
        if (vmdk_is_sparse(x))
                return writer_check_sparse(x, err);
        if (!in_range(x->pos, x->len, end))
                return err_set(err, ENODATA,
                               "its file was cut off (%" PRIu64 " bytes of %" PRIu64
                               "): it can only be opened read-only",
                               end, x->pos + x->len);
        return 0;
}

/* A grain has to lie within what is locked when it gets its place, whatever the extents before it are. */
static int writer_set_granule(Node *n, Err *err)
{
        const Vmdk *v = n->state;

        n->granule = VMDK_SECTOR;
        for (size_t i = 0; i < v->extent_count; i++)
                n->granule = u64_max(n->granule, v->extents[i].grain);
        for (size_t i = 0; i < v->extent_count; i++)
                if (vmdk_is_sparse(&v->extents[i]) && !is_aligned(v->extents[i].off, n->granule))
                        return err_set(err, EROFS,
                                       "extent %zu begins at sector %" PRIu64
                                       ", in the middle of a grain of %" PRIu64
                                       " sectors: the disk can only be opened read-only",
                                       i + 1, v->extents[i].off / VMDK_SECTOR,
                                       n->granule / VMDK_SECTOR);
        return 0;
}

static int writer_check_extents(Node *n, Err *err)
{
        Vmdk *v = n->state;

        for (size_t i = 0; i < v->extent_count; i++) {
                VmdkExtent *x = &v->extents[i];
                int r = writer_check_extent(x, err);
                if (r >= 0 && vmdk_is_sparse(x))
                        r = vmdk_check_sound(n, x, err);
                if (r < 0)
                        return err_prefix(err, r, "extent %zu", i + 1);
        }
        return 0;
}

int vmdk_writer_open(Node *n, Err *err)
{
        Vmdk *v = n->state;

        int r = writer_check_disk(n, err);
        if (r >= 0)
                r = writer_check_extents(n, err);
        if (r >= 0)
                r = writer_set_granule(n, err);
        if (r < 0)
                return r;
        VmdkWriter *w = calloc(1, sizeof(*w));
        if (!w)
                return err_set(err, ENOMEM, "%m");
        pthread_mutex_init(&w->commit_lock, NULL);
        pthread_mutex_init(&w->lock, NULL);
        v->writer = w;
        return 0;
}

void vmdk_writer_close(Node *n)
{
        Vmdk *v = n->state;
        VmdkWriter *w = v->writer;

        if (!w)
                return;
        for (size_t i = 0; i < w->changed.count; i++)
                cache_put(n->cache, w->changed.changes[i].entry);
        free(w->changed.changes);
        pthread_mutex_destroy(&w->lock);
        pthread_mutex_destroy(&w->commit_lock);
        free(w);
        v->writer = NULL;
}
