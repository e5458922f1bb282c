/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/node.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "block/request.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Writers first: a stream of reads must not keep a discard or a resize waiting for ever. */
static int node_init_layout(Node *n)
{
        pthread_rwlockattr_t attr;
        int r = pthread_rwlockattr_init(&attr);
        if (r != 0)
                return -r;
        r = pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        if (r == 0)
                r = pthread_rwlock_init(&n->layout, &attr);
        pthread_rwlockattr_destroy(&attr);
        return -r;
}

static int node_init_locks(Node *n)
{
        int r = node_init_layout(n);
        if (r < 0)
                return r;
        r = -pthread_mutex_init(&n->flush_lock, NULL);
        if (r < 0) {
                pthread_rwlock_destroy(&n->layout);
                return r;
        }
        r = range_lock_init(&n->range_lock);
        if (r < 0) {
                pthread_mutex_destroy(&n->flush_lock);
                pthread_rwlock_destroy(&n->layout);
        }
        return r;
}

/* A node with its locks and nothing in it. */
static int node_new(const Format *format, const NodeOptions *options, Node **ret)
{
        Node *n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        int r = node_init_locks(n);
        if (r < 0) {
                free(n);
                return r;
        }
        n->format = format;
        n->cache = options->cache;
        n->writable = options->writable;
        n->for_check = options->for_check;
        n->is_below = options->is_below;
        n->stays_locked = options->stays_locked;
        n->listener = options->listener;
        *ret = n;
        return 0;
}

static int node_allocate_state(Node *n, const NodeOptions *options)
{
        n->snapshot = options->snapshot ? strdup(options->snapshot) : NULL;
        n->file_name = options->file_name ? strdup(options->file_name) : NULL;
        n->state = calloc(1, u64_max(n->format->state_size, 1));
        return n->state && (n->snapshot || !options->snapshot) &&
                               (n->file_name || !options->file_name)
                       ? 0
                       : -ENOMEM;
}

static void node_free_layer(Node *n)
{
        if (n->state)
                n->format->close(n);
        cache_drop_owner(n->cache, n);
        for (size_t i = 0; i < n->extra_count; i++)
                store_free(n->extra_stores[i]);
        free(n->extra_stores);
        store_free(n->store);
        free(n->state);
        free(n->snapshot);
        free(n->file_name);
        free(n->backing_name);
        free(n->backing_format);
        for (size_t i = 0; n->backing_others && n->backing_others[i]; i++)
                free(n->backing_others[i]);
        free(n->backing_others);
        range_lock_done(&n->range_lock);
        pthread_mutex_destroy(&n->flush_lock);
        pthread_rwlock_destroy(&n->layout);
        free(n);
}

Node *node_close(Node *n)
{
        while (n) {
                Node *backing = n->backing;
                node_free_layer(n);
                n = backing;
        }
        return NULL;
}

/* What every driver has to leave behind when its open succeeds. */
static int node_check_opened(Node *n, Err *err)
{
        assert(n->granule == 0 || n->format->alloc || !n->writable);

        if (n->size > LIMIT_DISK_SIZE)
                return err_set(err, EFBIG,
                               "the disk size %" PRIu64 " is more than the limit of %" PRIu64,
                               n->size, LIMIT_DISK_SIZE);
        return 0;
}

/* Nobody is shown a disk in the place of a snapshot. */
static int node_check_snapshot(const Node *n, Err *err)
{
        const char *lie = n->format->snapshots_lie;

        if (!n->snapshot || n->format->has_snapshots)
                return 0;
        return err_set(err, ENOENT, "snapshot '%s': a %s image has no snapshots%s%s", n->snapshot,
                       n->format->name, lie ? " in it: " : "", lie ? lie : "");
}

static int node_open_format(Node *n, Opener *opener, Err *err)
{
        Err inner = { "" };
        int r = node_check_snapshot(n, &inner);
        if (r >= 0)
                r = n->format->open(n, opener, &inner);
        if (r >= 0)
                r = node_check_opened(n, &inner);
        if (r >= 0)
                return 0;
        if (inner.text[0] == '\0')
                err_set(&inner, -r, "cannot open it: %m");
        return err_set(err, -r, "%s: %s", n->format->name, inner.text);
}

int node_open(const Format *format,
              Store *s,
              const NodeOptions *options,
              Opener *opener,
              Node **ret,
              Err *err)
{
        _cleanup_node_ Node *n = NULL;

        int r = node_new(format, options, &n);
        if (r < 0)
                return err_set(err, -r, "%s: %m", format->name);
        r = node_allocate_state(n, options);
        if (r < 0)
                return err_set(err, -r, "%s: %m", format->name);

        n->store = s;
        r = node_open_format(n, opener, err);
        if (r < 0) {
                /* The caller keeps its store. */
                n->store = NULL;
                return r;
        }
        *ret = TAKE(n);
        return 0;
}

int node_read_backing_name(Node *n, uint64_t pos, uint32_t len, Err *err)
{
        if (len == 0)
                return 0;
        _cleanup_free_ char *name = calloc(1, (size_t)len + 1);
        if (!name)
                return err_set(err, ENOMEM, "%m");
        int r = store_read_named(n->store, name, len, pos, "the name of the backing file", err);
        if (r < 0)
                return r;
        if (strlen(name) != len)
                return err_set(err, EBADMSG, "the name of the backing file contains a NUL");
        n->backing_name = TAKE(name);
        return 0;
}

int node_add_backing_other(Node *n, const char *name)
{
        size_t count = 0;

        while (n->backing_others && n->backing_others[count])
                count++;
        if (count == LIMIT_BACKING_OTHERS)
                return -EFBIG;
        char **grown = reallocarray(n->backing_others, count + 2, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        n->backing_others = grown;
        grown[count] = strdup(name);
        grown[count + 1] = NULL;
        return grown[count] ? 0 : -ENOMEM;
}

int node_adopt_store(Node *n, Store *s)
{
        Store **grown = reallocarray(n->extra_stores, n->extra_count + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        n->extra_stores = grown;
        n->extra_stores[n->extra_count++] = s;
        return 0;
}

uint64_t node_get_size(Node *n)
{
        pthread_rwlock_rdlock(&n->layout);
        uint64_t size = n->size;
        pthread_rwlock_unlock(&n->layout);
        return size;
}

uint32_t node_get_sector_size(const Node *n)
{
        for (; n; n = n->backing)
                if (n->sector_size > 0)
                        return n->sector_size;
        return 0;
}

int node_may_write(Node *n)
{
        if (!n->writable)
                return -EROFS;
        return atomic_load(&n->broken) ? -EIO : 0;
}

/* New bytes read as zeroes: not as what the last granule still holds behind the old end, nor as what a longer layer
 * below has there. */
static int node_clear_grown(Node *n, uint64_t old_size)
{
        uint64_t end = old_size;

        if (n->granule > 0)
                end = multiple_up(old_size, n->granule);
        if (n->backing)
                end = u64_max(end, node_get_size(n->backing));
        end = u64_min(end, n->size);
        return end <= old_size ? 0
                               : node_fill_locked(n, FILL_ZEROES, NULL, end - old_size, old_size);
}

/* What is cut off within the last granule goes at once: whoever makes the disk longer again, and be it another
 * program, finds zeroes. */
static int node_clear_cut(Node *n, uint64_t size)
{
        if (size >= n->size || n->granule == 0)
                return 0;
        uint64_t end = u64_min(n->size, multiple_up(size, n->granule));
        return node_fill_locked(n, FILL_ZEROES, NULL, end - size, size);
}

static int node_resize_locked(Node *n, uint64_t size)
{
        uint64_t old_size = n->size;

        int r = n->format->resize(n, size);
        if (r < 0)
                return r;
        /* The disk is shorter already: what cannot be cleared now is cleared when we make it longer again. */
        r = node_clear_cut(n, size);
        n->size = size;
        if (r < 0)
                return r;
        r = node_clear_grown(n, old_size);
        if (r < 0) {
                n->format->resize(n, old_size);
                n->size = old_size;
        }
        return r;
}

int node_resize(Node *n, uint64_t size)
{
        int r = node_may_write(n);
        if (r < 0)
                return r;
        if (!n->format->resize)
                return -EOPNOTSUPP;
        if (size > LIMIT_DISK_SIZE)
                return -EFBIG;

        pthread_rwlock_wrlock(&n->layout);
        r = size == n->size ? 0 : node_resize_locked(n, size);
        pthread_rwlock_unlock(&n->layout);
        return r;
}

int node_sync(Node *n)
{
        int r = store_sync(n->store);
        for (size_t i = 0; i < n->extra_count; i++) {
                int k = store_sync(n->extra_stores[i]);
                r = r < 0 ? r : k;
        }
        if (r < 0)
                atomic_store(&n->broken, true);
        return r;
}

static int node_flush_locked(Node *n)
{
        /* Asked again under the lock: the flush that we waited for may have been the one that failed. */
        int r = node_may_write(n);
        if (r < 0)
                return r;
        if (n->format->write_back) {
                r = n->format->write_back(n);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return node_sync(n);
}

int node_flush(Node *n)
{
        int r = 0;

        if (!n->writable)
                return 0;
        pthread_rwlock_rdlock(&n->layout);
        LOCKED(&n->flush_lock)
        {
                r = node_flush_locked(n);
        }
        pthread_rwlock_unlock(&n->layout);
        return r;
}

static int node_finish_locked(Node *n)
{
        int r = node_may_write(n);
        if (r >= 0)
                r = n->format->finish(n);
        return r < 0 ? r : node_sync(n);
}

int node_finish(Node *n)
{
        int r = node_flush(n);
        if (r < 0 || !n->writable || !n->format->finish)
                return r;
        pthread_rwlock_wrlock(&n->layout);
        r = node_finish_locked(n);
        pthread_rwlock_unlock(&n->layout);
        return r;
}

Store *node_get_plain(Node *n)
{
        Extent e = { 0 };
        uint64_t len = 0;

        pthread_rwlock_rdlock(&n->layout);
        uint64_t size = n->size;
        int r = size > 0 ? n->format->map(n, 0, size, &e) : -ENODATA;
        pthread_rwlock_unlock(&n->layout);
        if (r < 0 || e.kind != EXTENT_DATA || e.off != 0 || e.pos != 0 || e.len < size)
                return NULL;
        return store_get_size(e.store, &len) >= 0 && len == size ? e.store : NULL;
}

int node_follow(Node *n)
{
        uint64_t size = 0;

        store_note_foreign_change(n->store);
        int r = store_get_size(n->store, &size);
        if (r < 0 || size == node_get_size(n))
                return r;
        pthread_rwlock_wrlock(&n->layout);
        r = store_get_size(n->store, &size);
        if (r >= 0)
                n->size = size;
        pthread_rwlock_unlock(&n->layout);
        return r;
}

static bool time_is_later(const struct timespec *a, const struct timespec *b)
{
        return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static void time_keep_latest(struct timespec *latest, const struct timespec *t)
{
        if (time_is_later(t, latest))
                *latest = *t;
}

/* The sum of the space and the latest of the times of all files of one layer. */
static int node_get_layer_stat(Node *n, StoreStat *ret)
{
        StoreStat all = { 0 };
        int r = store_get_stat(n->store, &all);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n->extra_count; i++) {
                StoreStat extra = { 0 };
                r = store_get_stat(n->extra_stores[i], &extra);
                if (r < 0)
                        return r;
                all.allocated += extra.allocated;
                time_keep_latest(&all.atime, &extra.atime);
                time_keep_latest(&all.mtime, &extra.mtime);
                time_keep_latest(&all.ctime, &extra.ctime);
        }
        *ret = all;
        return 0;
}

int node_get_stat(Node *n, StoreStat *ret)
{
        StoreStat top = { 0 };
        int r = node_get_layer_stat(n, &top);
        if (r < 0)
                return r;
        for (Node *below = n->backing; below; below = below->backing) {
                StoreStat layer = { 0 };
                r = node_get_layer_stat(below, &layer);
                if (r < 0)
                        return r;
                top.allocated += layer.allocated;
        }
        *ret = top;
        return 0;
}
