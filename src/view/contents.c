/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/limits.h"
#include "view/inner.h"

#include <errno.h>

int view_read(View *v, void *buf, size_t len, uint64_t off, size_t *ret_done)
{
        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_shared(v);
        uint64_t size = view_size_locked(v);
        size_t n = off < size ? (size_t)u64_min(len, size - off) : 0;

        if (n > 0) {
                int r = node_read(v->node, buf, n, v->start + off);
                if (r < 0)
                        return view_answer(v, HEALTH_READ, off, n, r);
        }
        health_count_read(&v->health, n);
        *ret_done = n;
        return 0;
}

/* size_lock is held exclusively. The disk may become larger than that, never smaller. */
static int view_grow_locked(View *v, uint64_t size)
{
        uint64_t now = view_size_locked(v);

        if (size <= now)
                return 0;
        if (v->len > 0)
                return -ENOSPC;
        if (size > LIMIT_DISK_SIZE - v->start)
                return -EFBIG;
        int r = view_answer(v, HEALTH_OTHER, now, size - now,
                            node_resize(v->node, v->start + size));
        if (r >= 0)
                view_touch(v);
        return r;
}

static int view_grow(View *v, uint64_t size)
{
        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_exclusive(v);
        return view_grow_locked(v, size);
}

/* 1: the view is too short, and growing it comes first. */
static int view_write_within(View *v, const void *buf, size_t len, uint64_t off, size_t *ret_done)
{
        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_shared(v);
        uint64_t size = view_size_locked(v);

        if (!in_range(off, len, size)) {
                if (v->growable)
                        return 1;
                if (off >= size)
                        return -ENOSPC;
                len = (size_t)(size - off);
        }
        int r = node_write(v->node, buf, len, v->start + off);
        if (r < 0)
                return view_answer(v, HEALTH_WRITE, off, len, r);
        *ret_done = len;
        return 0;
}

int view_write(View *v, const void *buf, size_t len, uint64_t off, size_t *ret_done)
{
        size_t done = 0;
        int r;

        if (!v->writable)
                return -EROFS;
        if (!in_range(off, len, LIMIT_DISK_SIZE))
                return -EFBIG;
        if (len > 0) {
                /* More than one round only when somebody shortens the view in between. */
                while ((r = view_write_within(v, buf, len, off, &done)) == 1) {
                        r = view_grow(v, off + len);
                        if (r < 0)
                                return r;
                }
                if (r < 0)
                        return r;
                view_touch(v);
        }
        health_count_write(&v->health, done);
        *ret_done = done;
        return 0;
}

int view_flush(View *v)
{
        int r = view_follow(v);
        return r < 0 ? r : view_answer(v, HEALTH_SYNC, 0, 0, node_flush(v->node));
}

int view_finish(View *v)
{
        int r = view_follow(v);
        return r < 0 ? r : view_answer(v, HEALTH_SYNC, 0, 0, node_finish(v->node));
}

int view_find(View *v, ViewFind what, uint64_t off, uint64_t *ret)
{
        int r = view_follow(v);
        if (r < 0)
                return r;

        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_shared(v);
        uint64_t size = view_size_locked(v);
        uint64_t found = 0;

        if (off >= size)
                return -ENXIO;
        r = node_find(v->node, what == VIEW_FIND_DATA ? NODE_FIND_DATA : NODE_FIND_HOLE,
                      v->start + off, &found);
        if (r < 0)
                return view_answer(v, HEALTH_READ, off, 0, r);

        found -= v->start;
        if (found >= size && what == VIEW_FIND_DATA)
                return -ENXIO;
        *ret = u64_min(found, size);
        return 0;
}

typedef int (*NodeRange)(Node *n, uint64_t off, uint64_t len);

/* One of node_allocate, node_zero, node_discard, on the part of the range that lies within the view. */
static int view_range_locked(View *v, NodeRange change, uint64_t off, uint64_t len)
{
        uint64_t size = view_size_locked(v);

        if (off >= size)
                return 0;
        len = u64_min(len, size - off);
        int r = change(v->node, v->start + off, len);
        if (r >= 0)
                view_touch(v);
        return view_answer(v, HEALTH_WRITE, off, len, r);
}

/* A view that had to grow for nothing is as long as before afterwards. */
static int view_range_growing(View *v, NodeRange change, uint64_t off, uint64_t len)
{
        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_exclusive(v);
        uint64_t before = view_size_locked(v);

        int r = view_grow_locked(v, off + len);
        if (r < 0)
                return r;
        r = view_range_locked(v, change, off, len);
        if (r < 0 && view_size_locked(v) > before)
                (void)node_resize(v->node, v->start + before);
        return r;
}

static int view_range(View *v, NodeRange change, uint64_t off, uint64_t len, ViewEnd end)
{
        if (!v->writable)
                return -EROFS;
        if (!in_range(off, len, LIMIT_DISK_SIZE))
                return -EFBIG;
        int r = view_follow(v);
        if (r < 0)
                return r;
        if (end == VIEW_END_MOVE)
                return view_range_growing(v, change, off, len);

        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_shared(v);
        return view_range_locked(v, change, off, len);
}

int view_allocate(View *v, uint64_t off, uint64_t len, ViewEnd end)
{
        return view_range(v, node_allocate, off, len, end);
}

int view_zero(View *v, uint64_t off, uint64_t len, ViewEnd end)
{
        return view_range(v, node_zero, off, len, end);
}

int view_punch(View *v, uint64_t off, uint64_t len)
{
        return view_range(v, node_discard, off, len, VIEW_END_KEEP);
}
