/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/image.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "lock/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int image_path_of_fd(int fd, char **ret, Err *err)
{
        char link[64], path[PATH_MAX];

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return err_set(err, errno, "cannot read %s: %m", link);
        path[n] = '\0';
        char *copy = strdup(path);
        if (!copy)
                return err_set(err, ENOMEM, "%m");
        *ret = copy;
        return 0;
}

/* O_NONBLOCK: a fifo does not block us; it is refused right afterwards. */
static int image_open_file(const Config *c, int *ret, Err *err)
{
        int mode = c->writable ? O_RDWR : O_RDONLY;
        struct stat st;

        _cleanup_close_ int fd = open(c->path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 && errno == ENOTCONN)
                return err_set(err, errno,
                               "is covered by a dead view; 'rawview umount --stale' "
                               "takes it away");
        if (fd < 0)
                return err_set(err, errno, "cannot open it%s: %m",
                               c->writable ? " for writing" : "");
        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return err_set(err, EINVAL, "is neither a regular file nor a block device");
        if (fcntl(fd, F_SETFL, 0) < 0)
                return err_set(err, errno, "cannot change its flags: %m");
        *ret = fd_take(&fd);
        return 0;
}

/* The worker is given this very open file, so the lock is held until both have closed it. */
static int image_lock(Image *i, int fd, const char *path, bool writable, Err *err)
{
        Err why = { "" };

        if (i->force_share)
                return 0;
        int r = lock_take(fd, writable ? LOCK_WRITER : LOCK_READER, &why);
        if (r == LOCK_UNKNOWN_HERE && !i->lock_is_warned) {
                log_line(LOG_LEVEL_WARNING, "%s: %s", path, why.text);
                i->lock_is_warned = true;
        }
        if (r == -EAGAIN)
                return err_set(
                        err, EAGAIN,
                        "%s; --force-share (ForceShare=yes) shows it all the same, read-only",
                        why.text);
        return r < 0 ? err_set(err, -r, "%s", why.text) : 0;
}

int image_open(const Config *c, Image *ret, Err *err)
{
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *path = NULL;

        int r = image_open_file(c, &fd, err);
        if (r < 0)
                return r;
        r = image_path_of_fd(fd, &path, err);
        if (r < 0)
                return r;

        Image image = {
                .count = 1,
                .writable = c->writable,
                .force_share = c->force_share,
                .policy = c->references,
                .allowed = c->allowed_paths,
                .given = c->path,
        };
        r = image_lock(&image, fd, path, c->writable, err);
        if (r < 0)
                return r;
        if (c->force_share)
                log_line(LOG_LEVEL_WARNING,
                         "%s: no image locks are taken or tested (ForceShare=yes): while another "
                         "program writes to it, what is read may be inconsistent",
                         path);
        image.layers[0] = (Layer){ .fd = fd_take(&fd), .path = TAKE(path) };
        *ret = image;
        return 0;
}

static void layer_done(Layer *l)
{
        cleanup_close(&l->fd);
        free(l->path);
}

static int image_open_layer(Image *i, const MessageOpen *ask, Err *err)
{
        if (ask->namer >= i->count)
                return err_set(err, EINVAL, "layer %u was never opened", ask->namer);
        if (i->count == IMAGE_LAYERS_MAX)
                return err_set(err, EFBIG, "the image names more than %d files",
                               IMAGE_LAYERS_MAX - 1);
        if (ask->writable && (!i->writable || ask->namer != 0))
                return err_set(err, EACCES,
                               "refused: only what belongs to the image itself is "
                               "opened for writing, and only for a writable view");

        ReferenceRules rules = {
                .policy = i->policy,
                .allowed = i->allowed,
                .top = i->layers[0].path,
                .given = i->given,
        };
        Layer layer = { .fd = -1 };
        int r = reference_open(&rules, i->layers[ask->namer].path, ask->name, ask->writable,
                               &layer.fd, &layer.path, err);
        if (r < 0)
                return r;
        r = image_lock(i, layer.fd, layer.path, ask->writable, err);
        if (r < 0) {
                layer_done(&layer);
                return r;
        }
        i->layers[i->count++] = layer;
        return 0;
}

void image_answer(Image *i, const MessageOpen *ask, Message *answer, int *ret_fd)
{
        Err err = { "" };

        *answer = (Message){ 0 };
        int r = image_open_layer(i, ask, &err);
        if (r < 0) {
                answer->kind = MESSAGE_REFUSED;
                answer->error.code = -r;
                snprintf(answer->error.text, sizeof(answer->error.text), "%s", err.text);
                *ret_fd = -1;
                return;
        }
        answer->kind = MESSAGE_OPENED;
        answer->opened.layer = (uint32_t)(i->count - 1);
        *ret_fd = i->layers[i->count - 1].fd;
}

int image_sync(Image *i, Err *err)
{
        for (size_t l = 0; i->writable && l < i->count; l++) {
                int flags = fcntl(i->layers[l].fd, F_GETFL);
                if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
                        continue;
                if (fdatasync(i->layers[l].fd) < 0)
                        return err_set(err, errno, "cannot bring %s to disk: %m",
                                       i->layers[l].path);
        }
        return 0;
}

void image_done(Image *i)
{
        for (size_t l = 0; l < i->count; l++)
                layer_done(&i->layers[l]);
        i->count = 0;
}
