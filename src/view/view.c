/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/view.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "block/node.h"
#include "view/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
        /* stdio reads this much at a time: below it costs round trips, above it costs every reader memory. */
        VIEW_BLOCK_SIZE_MIN = 4096,
        VIEW_BLOCK_SIZE_MAX = 1024 * 1024,
};

struct View {
        /* Fixed after view_new. */
        Node *node;
        bool writable, growable, allow_other, passthrough;
        uint64_t start, len; /* len 0: to the end of the disk */
        uint32_t block_size;
        char *image, *unit;
        int64_t pid;
        uint32_t barriers;
        time_t since;

        Health health;
        Use use;

        /* Shared while the end of the view is relied on, exclusive while it moves. */
        pthread_rwlock_t size_lock;

        pthread_mutex_t lock;
        mode_t mode;                         /* guarded by lock */
        uid_t uid;                           /* guarded by lock */
        gid_t gid;                           /* guarded by lock */
        struct timespec atime, mtime, ctime; /* guarded by lock */
        struct timespec file_mtime; /* of the file, when it was last looked at; guarded by lock */
};

static void size_lock_give(pthread_rwlock_t **l)
{
        pthread_rwlock_unlock(*l);
}
#define _cleanup_size_lock_ __attribute__((unused)) _cleanup_(size_lock_give)

static pthread_rwlock_t *size_lock_take_shared(View *v)
{
        pthread_rwlock_rdlock(&v->size_lock);
        return &v->size_lock;
}

static pthread_rwlock_t *size_lock_take_exclusive(View *v)
{
        pthread_rwlock_wrlock(&v->size_lock);
        return &v->size_lock;
}

/* size_lock is held. */
static uint64_t view_size_locked(View *v)
{
        uint64_t size = node_get_size(v->node);

        if (v->len > 0)
                return v->len;
        return size - u64_min(v->start, size);
}

static struct timespec view_now(void)
{
        struct timespec now;
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        return now;
}

/* Contents have changed: as for any file, the times move and set-id bits go. */
static void view_touch(View *v)
{
        struct timespec now = view_now();

        LOCKED(&v->lock)
        {
                v->mtime = now;
                v->ctime = now;
                v->mode &= (mode_t) ~(S_ISUID | S_ISGID);
        }
}

bool view_is_written_past_us(const View *v)
{
        return v->passthrough && v->writable;
}

/* From what the image's layers say to what a client of a file expects. What is an answer and no fault (cannot do
 * that here) is not counted. */
static int view_answer(View *v, HealthOp op, uint64_t off, uint64_t len, int r)
{
        if (r >= 0 || r == -EOPNOTSUPP || r == -ENXIO || r == -EROFS || r == -EFBIG)
                return r;

        Fault fault = { .code = -r, .op = op, .off = off, .len = len, .when = time(NULL) };
        health_fault(&v->health, &fault);
        return r == -ENOSPC || r == -EDQUOT || r == -ENOMEM ? r : -EIO;
}

/* Catches up with what the kernel has written past us: size, times, what there is to flush. The times are those of the file
 * once it was written to; before that they may be others, which somebody has set. No lock is held. */
static int view_follow(View *v)
{
        StoreStat stat;

        if (!view_is_written_past_us(v))
                return 0;
        int r = node_follow(v->node);
        if (r >= 0)
                r = node_get_stat(v->node, &stat);
        if (r < 0)
                return view_answer(v, HEALTH_OTHER, 0, 0, r);
        LOCKED(&v->lock)
        {
                if (stat.mtime.tv_sec != v->file_mtime.tv_sec ||
                    stat.mtime.tv_nsec != v->file_mtime.tv_nsec) {
                        v->file_mtime = stat.mtime;
                        v->mtime = stat.mtime;
                        v->ctime = stat.ctime;
                        v->mode &= (mode_t) ~(S_ISUID | S_ISGID);
                }
        }
        return 0;
}

static int view_init_locks(View *v, int wake_fd)
{
        int r = -pthread_rwlock_init(&v->size_lock, NULL);
        if (r < 0)
                return r;
        r = -pthread_mutex_init(&v->lock, NULL);
        if (r < 0) {
                pthread_rwlock_destroy(&v->size_lock);
                return r;
        }
        r = health_init(&v->health, wake_fd);
        if (r >= 0) {
                r = use_init(&v->use);
                if (r >= 0)
                        return 0;
                health_done(&v->health);
        }
        pthread_mutex_destroy(&v->lock);
        pthread_rwlock_destroy(&v->size_lock);
        return r;
}

/* What programs are told to write at a time: whole granules, where these are what a file system would have. */
static uint32_t view_block_size(uint64_t granule)
{
        uint64_t size = is_power_of_two(granule) ? granule : VIEW_BLOCK_SIZE_MIN;
        return (uint32_t)u64_min(u64_max(size, VIEW_BLOCK_SIZE_MIN), VIEW_BLOCK_SIZE_MAX);
}

int view_new(Node *n, const ViewOptions *options, View **ret, Err *err)
{
        uint64_t size = node_get_size(n);
        if (!in_range(options->start, options->len, size))
                return err_set(err, EINVAL, "a window of %llu bytes at %llu is not within %llu",
                               (unsigned long long)options->len, (unsigned long long)options->start,
                               (unsigned long long)size);

        StoreStat stat;
        int r = node_get_stat(n, &stat);
        if (r < 0)
                return err_set(err, -r, "cannot get the image's times: %m");

        _cleanup_free_ char *image = strdup(options->image);
        _cleanup_free_ char *unit = strdup(options->unit);
        _cleanup_free_ View *v = calloc(1, sizeof(*v));
        if (!image || !unit || !v)
                return err_set(err, ENOMEM, "%m");
        r = view_init_locks(v, options->wake_fd);
        if (r < 0)
                return err_set(err, -r, "cannot make a lock: %m");

        v->node = n;
        v->writable = options->writable;
        v->growable = options->writable && options->growable && options->len == 0;
        v->allow_other = options->allow_other;
        v->passthrough = options->passthrough;
        v->start = options->start;
        v->len = options->len;
        v->block_size = view_block_size(n->granule);
        v->image = TAKE(image);
        v->unit = TAKE(unit);
        v->pid = options->pid;
        v->barriers = options->barriers;
        v->since = time(NULL);
        v->mode = options->mode & 07777;
        v->uid = options->uid;
        v->gid = options->gid;
        v->atime = stat.atime;
        v->mtime = stat.mtime;
        v->ctime = stat.ctime;
        v->file_mtime = stat.mtime;
        *ret = TAKE(v);
        return 0;
}

View *view_free(View *v)
{
        if (!v)
                return NULL;
        use_done(&v->use);
        health_done(&v->health);
        pthread_mutex_destroy(&v->lock);
        pthread_rwlock_destroy(&v->size_lock);
        free(v->image);
        free(v->unit);
        free(v);
        return NULL;
}

static UseAccess view_access(int flags)
{
        return (flags & O_ACCMODE) == O_RDONLY ? USE_READING : USE_WRITING;
}

int view_open(View *v, int flags, pid_t pid, uint64_t *ret_id)
{
        if (view_access(flags) == USE_WRITING && !v->writable)
                return -EROFS;
        return use_open(&v->use, view_access(flags), pid, ret_id);
}

void view_close(View *v, int flags, uint64_t id)
{
        use_close(&v->use, view_access(flags), id);
}

void view_refuse_opening(View *v, pid_t exempt)
{
        use_end(&v->use, exempt);
}

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

/* Without allow_other nobody but the owner gets in, so that bits and owners for others would be a lie. */
static int view_check_change(View *v, const ViewChange *change)
{
        if (v->allow_other)
                return 0;
        if (change->has_mode && (change->mode & 077))
                return -EPERM;
        LOCKED(&v->lock)
        {
                if ((change->has_uid && change->uid != v->uid) ||
                    (change->has_gid && change->gid != v->gid))
                        return -EPERM;
        }
        return 0;
}

static int view_set_size(View *v, uint64_t size, bool by_path)
{
        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_exclusive(v);

        if (!v->writable)
                return -EROFS;
        if (size == view_size_locked(v))
                return 0;
        if (!v->growable)
                return size == 0 && by_path ? 0 : -EPERM;
        if (size > LIMIT_DISK_SIZE - v->start)
                return -EFBIG;
        int r = view_answer(v, HEALTH_OTHER, size, 0, node_resize(v->node, v->start + size));
        if (r >= 0)
                view_touch(v);
        return r;
}

int view_change(View *v, const ViewChange *change)
{
        int r = view_check_change(v, change);
        if (r >= 0)
                r = view_follow(v);
        if (r < 0)
                return r;
        if (change->has_size) {
                r = view_set_size(v, change->size, change->by_path);
                if (r < 0)
                        return r;
        }

        LOCKED(&v->lock)
        {
                if (change->has_uid)
                        v->uid = change->uid;
                if (change->has_gid)
                        v->gid = change->gid;
                if (change->has_uid || change->has_gid)
                        v->mode &= (mode_t) ~(S_ISUID | S_ISGID);
                if (change->has_mode)
                        v->mode = change->mode & 07777;
                if (change->has_atime)
                        v->atime = change->atime;
                if (change->has_mtime)
                        v->mtime = change->mtime;
                v->ctime = view_now();
        }
        return 0;
}

int view_get_stat(View *v, ViewStat *ret)
{
        StoreStat stat;
        int r = view_follow(v);
        if (r < 0)
                return r;
        r = node_get_stat(v->node, &stat);
        if (r < 0)
                return view_answer(v, HEALTH_OTHER, 0, 0, r);

        _cleanup_size_lock_ pthread_rwlock_t *held = size_lock_take_shared(v);
        *ret = (ViewStat){
                .size = view_size_locked(v),
                .allocated = stat.allocated,
                .block_size = v->block_size,
        };
        LOCKED(&v->lock)
        {
                ret->mode = v->mode;
                ret->uid = v->uid;
                ret->gid = v->gid;
                ret->atime = v->atime;
                ret->mtime = v->mtime;
                ret->ctime = v->ctime;
        }
        return 0;
}

const char view_attribute_names[] =
        "user.rawview.image\0user.rawview.format\0user.rawview.state\0user.rawview.use";
const size_t view_attribute_names_len = sizeof(view_attribute_names);

static int view_get_state(View *v, char **ret)
{
        ViewStat stat;
        int r = view_get_stat(v, &stat);
        if (r < 0)
                return r;

        StateFacts facts = {
                .image = v->image,
                .format = v->node->format->name,
                .unit = v->unit,
                .pid = v->pid,
                .barriers = v->barriers,
                .writable = v->writable,
                .passthrough = v->passthrough,
                .size = stat.size,
                .since = v->since,
        };
        health_get_counts(&v->health, &facts.counts);
        cache_get_stat(v->node->cache, &facts.cache);
        return state_format(&facts, ret);
}

static int view_copy_text(const char *text, char **ret)
{
        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int view_get_use(View *v, char **ret)
{
        char text[USE_TEXT_MAX];
        HealthCounts counts;

        health_get_counts(&v->health, &counts);
        use_format(&v->use, counts.errors, text);
        return view_copy_text(text, ret);
}

int view_get_attribute(View *v, const char *name, char **ret)
{
        if (strcmp(name, "user.rawview.image") == 0)
                return view_copy_text(v->image, ret);
        if (strcmp(name, "user.rawview.format") == 0)
                return view_copy_text(v->node->format->name, ret);
        if (strcmp(name, "user.rawview.state") == 0)
                return view_get_state(v, ret);
        if (strcmp(name, "user.rawview.use") == 0)
                return view_get_use(v, ret);
        /* libvirt asks for one of these before it sets some, and goes without where there can be none. */
        return strncmp(name, "trusted.", strlen("trusted.")) == 0 ? -EOPNOTSUPP : -ENODATA;
}

void view_get_counts(View *v, HealthCounts *ret)
{
        health_get_counts(&v->health, ret);
}

int view_take_report(View *v, time_t now, Fault *ret, uint64_t *ret_count)
{
        return health_take_report(&v->health, now, ret, ret_count);
}

bool view_is_writable(const View *v)
{
        return v->writable;
}
