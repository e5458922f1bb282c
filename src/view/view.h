/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A View is what is shown of an open image: a disk, or a window of it, as one regular file with the attributes and
 * the behaviour of a file: reads end at its end, writes past the end grow it or are cut, holes can be punched.
 *
 * It borrows its Node, which outlives it. All functions may be called from any thread, except view_new and
 * view_free. Results are 0 or a negative errno that may be handed to the client: what is wrong inside an image
 * reaches it as EIO, while view_get_counts() keeps the first real cause.
 *
 * size_lock is the outermost lock: it is taken before any lock of the Node.
 */
#pragma once

#include "base/err.h"
#include "view/health.h"
#include "view/state.h"
#include "view/use.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

typedef struct Node Node;
typedef struct View View;

typedef struct ViewOptions {
        bool writable; /* the node must be so, too */
        bool growable; /* with the whole disk only, not with a window */
        /* The kernel reads and writes the image's file by itself, past us, and lets it grow: a view of that kind is read-only,
         * or it is a growable one of a raw image. */
        bool passthrough;
        /* The window; len 0: the whole disk from `start` to wherever it ends. */
        uint64_t start, len;
        uid_t uid;
        gid_t gid;
        mode_t mode;      /* without the type */
        bool allow_other; /* the mount lets others in: mode bits and owners for them make sense */
        /* For user.rawview.*; copied. */
        const char *image, *unit;
        /* What takes the writes, as people know it; then the node is that, and below it lies the image. NULL: nothing does. */
        const char *overlay;
        unsigned layer;   /* which layer of the chain is shown; 0: the image itself */
        bool layer_alone; /* without what lies below */
        /* Of all files of the image, as they were at first; borrowed. NULL: nobody has looked. */
        const StateDigest *digests;
        size_t digest_count;
        /* Of the same image: who opens one of both counts as a user of both, and none is opened any more once the other is not. It
         * outlives this one. NULL: there is none. */
        View *sibling;
        int64_t pid;
        uint32_t barriers; /* base/barrier.h: what keeps this process in */
        int wake_fd; /* an eventfd, borrowed: written to when there is a fault to report; -1: none */
} ViewOptions;

/* A window that does not lie within the disk: EINVAL. */
int view_new(Node *n, const ViewOptions *options, View **ret, Err *err);

/* Does not flush. Accepts NULL; returns NULL. */
View *view_free(View *v);

/* Counts an open file, for which `flags` are those of open(2); *ret_id belongs into view_close(). EROFS: a read-only view;
 * ESHUTDOWN: it is about to end. */
int view_open(View *v, int flags, pid_t pid, uint64_t *ret_id);
void view_close(View *v, int flags, uint64_t id);

/* As use_end(). */
void view_refuse_opening(View *v, pid_t exempt);

/* Which loop device its own service has attached to it, as a number or in the words of state.h. */
void view_set_loop(View *v, int loop);

/* Less than `len` only at the end of the view. */
int view_read(View *v, void *buf, size_t len, uint64_t off, size_t *ret_done);

/* EROFS on a read-only view. Past the end a growable view grows first; any other cuts the write at the end, and
 * answers ENOSPC when nothing is left of it. */
int view_write(View *v, const void *buf, size_t len, uint64_t off, size_t *ret_done);

int view_flush(View *v);

/* The last flush, when nobody can write any more: the image was closed cleanly. */
int view_finish(View *v);

typedef enum ViewFind {
        VIEW_FIND_DATA,
        VIEW_FIND_HOLE,
} ViewFind;

/* As lseek(2) says: the end is a hole; ENXIO past the end, and where no data follows. */
int view_find(View *v, ViewFind what, uint64_t off, uint64_t *ret);

/* What fallocate(2) calls FALLOC_FL_KEEP_SIZE, or its absence. */
typedef enum ViewEnd {
        VIEW_END_KEEP,
        VIEW_END_MOVE,
} ViewEnd;

/* What lies past the end is left alone with VIEW_END_KEEP; with VIEW_END_MOVE the view grows to hold it, even one
 * that is not growable: whoever calls fallocate asks for just that. EROFS on a read-only view. */
int view_allocate(View *v, uint64_t off, uint64_t len, ViewEnd end);
int view_zero(View *v, uint64_t off, uint64_t len, ViewEnd end);
int view_punch(View *v, uint64_t off, uint64_t len);

typedef struct ViewChange {
        bool has_size, has_mode, has_uid, has_gid, has_atime, has_mtime;
        bool by_path; /* the size is asked for by open() with O_TRUNC or truncate(), not ftruncate() */
        uint64_t size;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        struct timespec atime, mtime;
} ViewChange;

/* All of it or, with an error, none. Modes and owners that concern others than the owner need allow_other (EPERM).
 * All but the size lives in memory only.
 *
 * Another size needs a growable view (EPERM). One exception: emptying any other writable view by path is success and
 * changes nothing, because that is what open() with O_TRUNC asks for, and the kernel does not tell it from
 * truncate(). `dd of=VIEW` has to work as on a disk. The other way, FUSE_ATOMIC_O_TRUNC, is not fit for use: the kernel
 * then believes the view empty until somebody asks for its size, and whoever reads it meanwhile, for example a loop
 * device, meets an end that is not there. */
int view_change(View *v, const ViewChange *change);

typedef struct ViewStat {
        uint64_t size;
        uint64_t allocated; /* bytes on the host; of a window with many runs of data an estimate */
        uint32_t block_size;
        mode_t mode; /* without the type */
        uid_t uid;
        gid_t gid;
        struct timespec atime, mtime, ctime;
} ViewStat;

int view_get_stat(View *v, ViewStat *ret);

/* The text of "user.rawview.image", ".format", ".state" or ".use" as new memory; free() it. ENODATA: no such name.
 * EOPNOTSUPP: nothing of that kind can be there. */
int view_get_attribute(View *v, const char *name, char **ret);

/* The names of these, each with its NUL, one after the other. */
extern const char view_attribute_names[];
extern const size_t view_attribute_names_len;

void view_get_counts(View *v, HealthCounts *ret);

/* As health_take_report(). */
int view_take_report(View *v, time_t now, Fault *ret, uint64_t *ret_count);

bool view_is_writable(const View *v);

/* Size, times and contents change without our being asked. */
bool view_is_written_past_us(const View *v);

static inline void view_freep(View **v)
{
        *v = view_free(*v);
}
#define _cleanup_view_ __attribute__((cleanup(view_freep)))
