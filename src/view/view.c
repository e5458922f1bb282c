/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/inner.h"

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

uint64_t view_size_locked(View *v)
{
        uint64_t size = node_get_size(v->node);

        if (v->len > 0)
                return v->len;
        return size - u64_min(v->start, size);
}

struct timespec view_now(void)
{
        struct timespec now;
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        return now;
}

void view_touch(View *v)
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

int view_answer(View *v, HealthOp op, uint64_t off, uint64_t len, int r)
{
        if (r >= 0 || r == -EOPNOTSUPP || r == -ENXIO || r == -EROFS || r == -EFBIG)
                return r;

        Fault fault = { .code = -r, .op = op, .off = off, .len = len, .when = time(NULL) };
        health_fault(&v->health, &fault);
        return r == -ENOSPC || r == -EDQUOT || r == -ENOMEM ? r : -EIO;
}

int view_follow(View *v)
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
                r = use_init(&v->own_use);
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
        _cleanup_free_ char *overlay = options->overlay ? strdup(options->overlay) : NULL;
        _cleanup_free_ View *v = calloc(1, sizeof(*v));
        if (!image || !unit || (options->overlay && !overlay) || !v)
                return err_set(err, ENOMEM, "%m");
        r = view_init_locks(v, options->wake_fd);
        if (r < 0)
                return err_set(err, -r, "cannot make a lock: %m");

        v->node = n;
        v->use = options->sibling ? options->sibling->use : &v->own_use;
        v->writable = options->writable;
        v->growable =
                options->writable && options->growable && options->start == 0 && options->len == 0;
        v->allow_other = options->allow_other;
        v->passthrough = options->passthrough;
        v->start = options->start;
        v->len = options->len;
        v->block_size = view_block_size(n->granule);
        v->image = TAKE(image);
        v->unit = TAKE(unit);
        v->overlay = TAKE(overlay);
        v->layer = options->layer;
        v->layer_alone = options->layer_alone;
        v->digests = options->digests;
        v->digest_count = options->digest_count;
        v->pid = options->pid;
        v->barriers = options->barriers;
        v->since = time(NULL);
        v->loop = STATE_LOOP_NONE;
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
        use_done(&v->own_use);
        health_done(&v->health);
        pthread_mutex_destroy(&v->lock);
        pthread_rwlock_destroy(&v->size_lock);
        free(v->image);
        free(v->unit);
        free(v->overlay);
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
        return use_open(v->use, view_access(flags), pid, ret_id);
}

void view_close(View *v, int flags, uint64_t id)
{
        use_close(v->use, view_access(flags), id);
}

void view_refuse_opening(View *v, pid_t exempt)
{
        use_end(v->use, exempt);
}

void view_set_loop(View *v, int loop)
{
        v->loop = loop;
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
