/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/cache.h"
#include "block/limits.h"
#include "view/inner.h"
#include "view/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
        /* Of so many runs of data a window's space is counted exactly. */
        VIEW_RUNS_MAX = 1024,
};

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

/* What of a window takes space, as far as that can be found out in a moment: the rest counts as data, which is what it is to
 * whoever reads it. size_lock is held. */
static uint64_t view_count_allocated(View *v, uint64_t size, uint64_t whole)
{
        uint64_t off = 0, sum = 0;

        for (unsigned i = 0; i < VIEW_RUNS_MAX && off < size && sum < whole; i++) {
                uint64_t begin = 0, end = 0;
                int r = node_find(v->node, NODE_FIND_DATA, v->start + off, &begin);
                if (r == -ENXIO || (r >= 0 && begin - v->start >= size))
                        return sum;
                if (r >= 0)
                        r = node_find(v->node, NODE_FIND_HOLE, begin, &end);
                /* Data that is a hole: it took too long to find any. */
                if (r < 0 || end <= begin)
                        break;
                off = u64_min(end - v->start, size);
                sum += off - (begin - v->start);
        }
        return u64_min(sum + size - off, whole);
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
        if (view_is_window(v))
                ret->allocated = view_count_allocated(v, ret->size, stat.allocated);
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

/* That of the image, whatever lies over it. */
static const char *view_format_name(const View *v)
{
        const Node *n = v->overlay && v->node->backing ? v->node->backing : v->node;
        return n->format->name;
}

static int view_get_state(View *v, char **ret)
{
        ViewStat stat;
        int r = view_get_stat(v, &stat);
        if (r < 0)
                return r;

        StateFacts facts = {
                .image = v->image,
                .format = view_format_name(v),
                .overlay = v->overlay,
                .layer = v->layer,
                .layer_alone = v->layer_alone,
                .digests = v->digests,
                .digest_count = v->digest_count,
                .unit = v->unit,
                .pid = v->pid,
                .barriers = v->barriers,
                .loop = v->loop,
                .writable = v->writable,
                .passthrough = v->passthrough,
                .size = stat.size,
                .sector_size = node_get_sector_size(v->node),
                .is_window = view_is_window(v),
                .start = v->start,
                .since = v->since,
        };
        use_get_counts(v->use, &facts.readers, &facts.writers);
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
        use_format(v->use, counts.errors, text);
        return view_copy_text(text, ret);
}

int view_get_attribute(View *v, const char *name, char **ret)
{
        if (strcmp(name, "user.rawview.image") == 0)
                return view_copy_text(v->image, ret);
        if (strcmp(name, "user.rawview.format") == 0)
                return view_copy_text(view_format_name(v), ret);
        if (strcmp(name, "user.rawview.state") == 0)
                return view_get_state(v, ret);
        if (strcmp(name, "user.rawview.use") == 0)
                return view_get_use(v, ret);
        /* libvirt asks for one of these before it sets some, and goes without where there can be none. */
        return strncmp(name, "trusted.", strlen("trusted.")) == 0 ? -EOPNOTSUPP : -ENODATA;
}
