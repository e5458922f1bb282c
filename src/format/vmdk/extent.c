/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The extents of a disk: what the descriptor says of them becomes open files, by way of the opener alone. Which names it
 * accepts is its policy; here no file may be used twice in a way in which it would be two things at once.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "block/opener.h"
#include "block/table.h"
#include "format/vmdk/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The disk has grown by an extent of x->len bytes. */
static int extent_append(Node *n, const VmdkExtent *x, Err *err)
{
        Vmdk *v = n->state;

        /* Neither is more than LIMIT_DISK_SIZE yet. */
        if (x->len > LIMIT_DISK_SIZE - n->size)
                return err_set(err, EFBIG, "with it the disk is larger than the limit of %" PRIu64,
                               LIMIT_DISK_SIZE);
        n->size += x->len;
        v->extent_count++;
        return 0;
}

/* How long its file is, and which one. */
static int extent_measure(VmdkExtent *x, Err *err)
{
        uint64_t size = 0;
        StoreStat st = { 0 };

        int r = store_get_size(x->store, &size);
        if (r >= 0)
                r = store_get_stat(x->store, &st);
        if (r < 0)
                return err_set(err, -r, "cannot look at its file: %m");
        atomic_store(&x->end, size);
        x->device = st.device;
        x->inode = st.inode;
        return 0;
}

static bool extent_overlaps(const VmdkExtent *a, const VmdkExtent *b)
{
        return a->pos < b->pos + b->len && b->pos < a->pos + a->len;
}

/* Stretches of one file may be several FLAT extents, as long as they are apart. */
static int extent_check_apart(const Vmdk *v, const VmdkExtent *x, Err *err)
{
        for (size_t i = 0; i < v->extent_count; i++) {
                const VmdkExtent *other = &v->extents[i];
                if (other->store != x->store || !extent_overlaps(x, other))
                        continue;
                return err_set(err, EBADMSG,
                               "it lies over extent %zu, in the same file from byte %" PRIu64 " on",
                               i + 1, other->pos);
        }
        return 0;
}

/* The file of an earlier FLAT extent of the same name, if this is one, too. */
static Store *extent_find_open(const Vmdk *v, const VmdkExtent *x)
{
        for (size_t i = 0; i < v->extent_count; i++) {
                const VmdkExtent *other = &v->extents[i];
                if (x->kind == VMDK_FLAT && other->kind == VMDK_FLAT && other->store &&
                    x->access == other->access && strcmp(x->name, other->name) == 0)
                        return other->store;
        }
        return NULL;
}

/* A file that was opened now is neither the descriptor nor that of another extent. */
static int extent_check_new(const Node *n, const VmdkExtent *x, Err *err)
{
        const Vmdk *v = n->state;
        StoreStat own = { 0 };

        if (x->device == 0 && x->inode == 0)
                return 0;
        int r = store_get_stat(n->store, &own);
        if (r < 0)
                return err_set(err, -r, "cannot look at the descriptor: %m");
        if (own.device == x->device && own.inode == x->inode)
                return err_set(err, ELOOP, "it is the descriptor itself");
        for (size_t i = 0; i < v->extent_count; i++)
                if (v->extents[i].device == x->device && v->extents[i].inode == x->inode)
                        return err_set(err, ELOOP, "its file is that of extent %zu already", i + 1);
        return 0;
}

/* On Windows a name may have been a path, which says nothing here; the file was beside its descriptor most likely. */
static const char *name_without_windows_path(const char *name)
{
        const char *last = strrchr(name, '\\');

        return last && last[1] != '\0' ? last + 1 : NULL;
}

static int extent_ask(Node *n, Opener *opener, const VmdkExtent *x, Store **ret, Err *err)
{
        StoreMode mode = n->writable && x->access == VMDK_RW ? STORE_WRITABLE : STORE_READ_ONLY;
        const char *other = name_without_windows_path(x->name);

        int r = opener->open(opener, n->store, x->name, mode, ret, err);
        return r < 0 && other ? opener->open(opener, n->store, other, mode, ret, err) : r;
}

/* The node owns the file afterwards. */
static int extent_open_file(Node *n, Opener *opener, VmdkExtent *x, Err *err)
{
        const Vmdk *v = n->state;
        _cleanup_store_ Store *s = NULL;

        x->store = extent_find_open(v, x);
        if (x->store) {
                int r = extent_measure(x, err);
                return r < 0 ? r : extent_check_apart(v, x, err);
        }
        int r = extent_ask(n, opener, x, &s, err);
        if (r < 0)
                return r;
        x->store = s;
        r = extent_measure(x, err);
        if (r >= 0)
                r = extent_check_new(n, x, err);
        if (r < 0)
                return r;
        r = node_adopt_store(n, s);
        if (r < 0)
                return err_set(err, -r, "%m");
        TAKE(s);
        return vmdk_header_read(x, err);
}

static int extent_fill(VmdkExtent *x, const VmdkLine *l, Err *err)
{
        x->kind = l->kind;
        x->access = l->access;
        x->len = l->sectors * VMDK_SECTOR;
        if (__builtin_mul_overflow(l->pos_sectors, (uint64_t)VMDK_SECTOR, &x->pos) ||
            x->pos > LIMIT_DISK_SIZE)
                return err_set(err, EFBIG, "sector %" PRIu64 " is beyond the end of any file",
                               l->pos_sectors);
        x->type = strndup(l->type.at, l->type.len);
        if (l->name.at)
                x->name = strndup(l->name.at, l->name.len);
        return x->type && (x->name || !l->name.at) ? 0 : err_set(err, ENOMEM, "%m");
}

/* What nobody may read is not opened, nor is anything where there is nobody to ask. */
static int extent_open(Node *n, Opener *opener, VmdkExtent *x, const VmdkLine *l, Err *err)
{
        int r = extent_fill(x, l, err);
        if (r < 0)
                return r;
        x->off = n->size;
        if (x->kind != VMDK_ZERO && x->access != VMDK_NOACCESS && opener) {
                r = extent_open_file(n, opener, x, err);
                if (r < 0)
                        return r;
        }
        return extent_append(n, x, err);
}

static int extents_allocate(Node *n, size_t count, size_t text_len, Err *err)
{
        Vmdk *v = n->state;
        uint64_t cost = count * sizeof(VmdkExtent) + text_len;

        int r = table_reserve(n->cache, cost, "extents", err);
        if (r < 0)
                return r;
        v->reserved = cost;
        v->extents = calloc(count, sizeof(VmdkExtent));
        v->extent_room = v->extents ? count : 0;
        return v->extents ? 0 : err_set(err, ENOMEM, "%m");
}

int vmdk_extents_open(Node *n, Opener *opener, Err *err)
{
        Vmdk *v = n->state;
        const VmdkDescriptor *d = &v->descriptor;
        size_t at = 0;

        int r = extents_allocate(n, d->extent_count, d->len, err);
        while (r >= 0) {
                VmdkLine line = { 0 };
                r = vmdk_descriptor_next(d, &at, &line, err);
                if (r <= 0)
                        return r;
                VmdkExtent *x = &v->extents[v->extent_count];
                r = extent_open(n, opener, x, &line, err);
                if (r < 0 && x->name)
                        err_prefix(err, r, "extent %zu '%s'", v->extent_count + 1, x->name);
                else if (r < 0)
                        err_prefix(err, r, "extent %zu", v->extent_count + 1);
        }
        return r;
}

int vmdk_extent_own(Node *n, VmdkKind kind, Err *err)
{
        Vmdk *v = n->state;

        int r = extents_allocate(n, 1, 0, err);
        if (r < 0)
                return r;
        VmdkExtent *x = v->extents;
        x->kind = kind;
        x->store = n->store;
        r = extent_measure(x, err);
        if (r >= 0)
                r = vmdk_header_read(x, err);
        return r < 0 ? r : extent_append(n, x, err);
}

void vmdk_extents_done(Node *n)
{
        Vmdk *v = n->state;

        /* One more than are counted may have been begun. */
        for (size_t i = 0; i < v->extent_room; i++) {
                free(v->extents[i].name);
                free(v->extents[i].type);
        }
        cache_release(n->cache, v->reserved);
        free(v->extents);
        v->extents = NULL;
        v->extent_count = v->extent_room = 0;
        v->reserved = 0;
}
