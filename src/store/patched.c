/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/patched.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        PATCHED_PIECE = 16 << 20, /* written from one word to the next */
};

typedef struct Patch {
        uint64_t pos, len;
        const uint8_t *bytes; /* a part of one of `copies`; NULL: zeroes */
} Patch;

typedef struct PatchedStore {
        Store store;
        Store *inner; /* borrowed */

        /* Fixed before other threads know it. */
        Patch *patches; /* owned; sorted by pos, none over another */
        size_t count;
        uint8_t **copies; /* owned, and what they point to */
        size_t copy_count;
        uint64_t size; /* at least */
} PatchedStore;

static uint64_t patch_end(const Patch *p)
{
        return p->pos + p->len;
}

/* The first patch that ends behind `pos`. */
static size_t patched_find(const PatchedStore *p, uint64_t pos)
{
        size_t low = 0, high = p->count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (patch_end(&p->patches[middle]) > pos)
                        high = middle;
                else
                        low = middle + 1;
        }
        return low;
}

static int patched_get_size(Store *s, uint64_t *ret)
{
        PatchedStore *p = (PatchedStore *)s;
        uint64_t size = 0;

        int r = store_get_size(p->inner, &size);
        if (r >= 0)
                *ret = u64_max(size, p->size);
        return r;
}

/* What lies at `pos`: a patch, or the store below up to the next one. *ret_len is how far of `len`. */
static const Patch *patched_look(const PatchedStore *p,
                                 uint64_t pos,
                                 uint64_t len,
                                 uint64_t *ret_len)
{
        size_t i = patched_find(p, pos);
        const Patch *patch = i < p->count ? &p->patches[i] : NULL;

        if (patch && patch->pos <= pos) {
                *ret_len = u64_min(len, patch_end(patch) - pos);
                return patch;
        }
        *ret_len = patch ? u64_min(len, patch->pos - pos) : len;
        return NULL;
}

static int patched_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        PatchedStore *p = (PatchedStore *)s;
        uint8_t *to = buf;
        uint64_t size = 0;

        int r = patched_get_size(s, &size);
        if (r < 0)
                return r;
        len = (size_t)u64_min(len, size - u64_min(pos, size));
        *ret_done = len;
        while (len > 0) {
                uint64_t part = 0;
                const Patch *patch = patched_look(p, pos, len, &part);
                if (!patch)
                        r = store_read_padded(p->inner, to, (size_t)part, pos);
                else if (patch->bytes)
                        memcpy(to, patch->bytes + (pos - patch->pos), (size_t)part);
                else
                        memset(to, 0, (size_t)part);
                if (r < 0)
                        return r;
                to += part;
                pos += part;
                len -= (size_t)part;
        }
        return 0;
}

static int patched_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        return -EBADF;
}

static int patched_set_size(Store *s, uint64_t size)
{
        return -EBADF;
}

/* There is never anything to make durable. */
static int patched_sync(Store *s)
{
        return 0;
}

static int patched_find_run(Store *s, uint64_t pos, StoreRun *ret)
{
        PatchedStore *p = (PatchedStore *)s;
        uint64_t size = 0, len = 0;

        int r = patched_get_size(s, &size);
        if (r < 0)
                return r;
        const Patch *patch = patched_look(p, pos, size - pos, &len);
        if (patch) {
                *ret = (StoreRun){ .is_hole = !patch->bytes, .end = pos + len };
                return 0;
        }
        r = store_find_run(p->inner, pos, ret);
        if (r >= 0)
                ret->end = u64_min(ret->end, pos + len);
        return r;
}

static int patched_get_stat(Store *s, StoreStat *ret)
{
        return store_get_stat(((PatchedStore *)s)->inner, ret);
}

static void patched_free(Store *s)
{
        PatchedStore *p = (PatchedStore *)s;

        for (size_t i = 0; i < p->copy_count; i++)
                free(p->copies[i]);
        free(p->copies);
        free(p->patches);
        free(p);
}

static const StoreOps patched_ops = {
        .read = patched_read,
        .write = patched_write,
        .get_size = patched_get_size,
        .set_size = patched_set_size,
        .sync = patched_sync,
        .find_run = patched_find_run,
        .get_stat = patched_get_stat,
        .free = patched_free,
};

int patched_store_new(Store *inner, Store **ret)
{
        PatchedStore *p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->store.ops = &patched_ops;
        p->inner = inner;
        *ret = &p->store;
        return 0;
}

/* Keeps a copy of the bytes for as long as the store lives. */
static int patched_copy(PatchedStore *p, const void *bytes, uint64_t len, const uint8_t **ret)
{
        uint8_t **grown = reallocarray(p->copies, p->copy_count + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        p->copies = grown;
        uint8_t *copy = malloc((size_t)len);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, bytes, (size_t)len);
        p->copies[p->copy_count++] = copy;
        *ret = copy;
        return 0;
}

/* Puts `patch` where the patches from `first` to before `end` are, of which the outer two may stick out. */
static void patched_replace(PatchedStore *p, const Patch *patch, size_t first, size_t end)
{
        Patch row[3];
        size_t count = 0;

        if (first < end && p->patches[first].pos < patch->pos) {
                row[count] = p->patches[first];
                row[count++].len = patch->pos - p->patches[first].pos;
        }
        row[count++] = *patch;
        if (first < end && patch_end(&p->patches[end - 1]) > patch_end(patch)) {
                const Patch *last = &p->patches[end - 1];
                uint64_t skip = patch_end(patch) - last->pos;
                row[count++] = (Patch){
                        .pos = last->pos + skip,
                        .len = last->len - skip,
                        .bytes = last->bytes ? last->bytes + skip : NULL,
                };
        }
        memmove(p->patches + first + count, p->patches + end, (p->count - end) * sizeof(*row));
        memcpy(p->patches + first, row, count * sizeof(*row));
        p->count = p->count - (end - first) + count;
}

int patched_store_put(Store *s, const void *bytes, uint64_t len, uint64_t pos)
{
        PatchedStore *p = (PatchedStore *)s;
        Patch patch = { .pos = pos, .len = len };
        uint64_t last = 0;

        if (len == 0)
                return 0;
        if (__builtin_add_overflow(pos, len, &last))
                return -EINVAL;
        if (p->count + 2 > PATCHED_MAX || p->copy_count + 1 > PATCHED_MAX)
                return -EFBIG;
        Patch *grown = reallocarray(p->patches, p->count + 2, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        p->patches = grown;
        int r = bytes ? patched_copy(p, bytes, len, &patch.bytes) : 0;
        if (r < 0)
                return r;
        size_t first = patched_find(p, pos), end = first;
        while (end < p->count && p->patches[end].pos < last)
                end++;
        patched_replace(p, &patch, first, end);
        p->size = u64_max(p->size, last);
        return 0;
}

void patched_store_extend(Store *s, uint64_t size)
{
        PatchedStore *p = (PatchedStore *)s;

        p->size = u64_max(p->size, size);
}

uint64_t patched_store_get_len(const Store *s)
{
        const PatchedStore *p = (const PatchedStore *)s;
        uint64_t len = 0;

        for (size_t i = 0; i < p->count; i++)
                len += p->patches[i].len;
        return len;
}

/* Zeroes are many where the host has to write them itself. */
static int patched_apply_one(
        PatchedStore *p, const Patch *patch, PatchedStep step, void *arg, uint64_t done)
{
        int r = 0;

        for (uint64_t at = 0; at < patch->len && r >= 0; at += PATCHED_PIECE) {
                uint64_t len = u64_min(patch->len - at, PATCHED_PIECE);
                if (step)
                        step(arg, done + at);
                r = patch->bytes
                            ? store_write(p->inner, patch->bytes + at, (size_t)len, patch->pos + at)
                            : store_zero(p->inner, patch->pos + at, len);
        }
        return r;
}

int patched_store_apply(Store *s, PatchedStep step, void *arg)
{
        PatchedStore *p = (PatchedStore *)s;
        uint64_t old = 0, done = 0;

        int r = store_get_size(p->inner, &old);
        if (r >= 0 && p->size > old)
                r = store_set_size(p->inner, p->size);
        for (size_t i = 0; i < p->count && r >= 0; i++) {
                r = patched_apply_one(p, &p->patches[i], step, arg, done);
                done += p->patches[i].len;
        }
        return r;
}
