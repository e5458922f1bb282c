/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/overlay.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
        OVERLAY_MODE = 0600,
};

/* An ordinary user may have a place of the own for such files. */
static const char *overlay_volatile_folder(void)
{
        const char *own = geteuid() == 0 ? NULL : getenv("TMPDIR");
        return own && own[0] == '/' ? own : "/var/tmp";
}

/* File systems that cannot make a file without a name: it gets one that nobody looks for. */
static int overlay_draft(Overlay *o, int *ret, Err *err)
{
        uint64_t number;

        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
                return err_set(err, errno, "cannot make up a name: %m");
        snprintf(o->draft, sizeof(o->draft), ".rawview-overlay-%016llx",
                 (unsigned long long)number);
        *ret = openat(o->folder, o->draft, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      OVERLAY_MODE);
        if (*ret < 0) {
                o->draft[0] = '\0';
                return err_set(err, errno, "cannot make it: %m");
        }
        return 0;
}

static int overlay_make(Overlay *o, int *ret, Err *err)
{
        *ret = openat(o->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, OVERLAY_MODE);
        if (*ret >= 0)
                return 0;
        if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)
                return overlay_draft(o, ret, err);
        return err_set(err, errno, "cannot make it: %m");
}

static int overlay_make_volatile(Overlay *o, int *ret, Err *err)
{
        const char *folder = overlay_volatile_folder();

        o->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (o->folder < 0)
                return err_set(err, errno, "%s: %m", folder);
        int r = overlay_make(o, ret, err);
        if (r < 0)
                return err_prefix(err, r, "%s", folder);
        if (o->draft[0])
                unlinkat(o->folder, o->draft, 0);
        o->draft[0] = '\0';
        cleanup_close(&o->folder);
        o->folder = -1;
        return 0;
}

/* Nobody but root and the caller may lead us to a folder where a file would be made. */
static int overlay_make_kept(const Config *c, PathRule rule, Overlay *o, int *ret, Err *err)
{
        const char *name = strrchr(c->overlay, '/') + 1;
        PathChooser chooser = { 0 };
        char folder[PATH_MAX], user[64];

        if (!*name || strlen(name) >= sizeof(o->name))
                return err_set(err, EINVAL, "is no name of a file");
        strcpy(o->name, name);
        if (snprintf(folder, sizeof(folder), "%.*s", (int)(name - c->overlay), c->overlay) >=
            (int)sizeof(folder))
                return err_set(err, ENAMETOOLONG, "%m");
        int r = safe_path_open(folder, rule, PATH_FOLDER, &chooser, &o->folder, err);
        if (r < 0)
                return r;
        if (chooser.known) {
                safe_path_name_user(chooser.uid, user);
                return err_set(err, EPERM, "refused: %s, on the way to it, belongs to %s",
                               chooser.why, user);
        }
        return overlay_make(o, ret, err);
}

/* Before it is locked: who names the image, or a part of it, is to hear that. */
static int overlay_check(int fd, const Broker *image, Err *err)
{
        struct stat st, own;

        if (fstat(fd, &st) < 0 || fstat(image->layers[0].fd, &own) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (!S_ISREG(st.st_mode))
                return err_set(err, EINVAL, "is not a regular file");
        if (st.st_dev == own.st_dev && st.st_ino == own.st_ino)
                return err_set(err, EINVAL, "is the image itself");
        return 0;
}

static int overlay_open_kept(
        const Config *c, PathRule rule, const Broker *image, Overlay *o, int *ret, Err *err)
{
        _cleanup_close_ int found = -1;

        int r = safe_path_open(c->overlay, rule, PATH_WRITE, NULL, &found, err);
        if (r == -ENOENT) {
                o->is_new = true;
                return overlay_make_kept(c, rule, o, ret, err);
        }
        if (r >= 0)
                r = overlay_check(found, image, err);
        if (r < 0)
                return r;
        r = safe_path_reopen(found, O_RDWR | O_NOCTTY, ret);
        return r < 0 ? err_set(err, -r, "cannot open it for writing: %m") : 0;
}

int overlay_open(const Config *c, PathRule rule, Broker *image, Overlay *ret, Err *err)
{
        Overlay o = OVERLAY_NONE;
        _cleanup_close_ int fd = -1;
        int r;

        if (!c->overlay)
                return 0;
        if (config_overlay_is_volatile(c)) {
                o.is_new = true;
                r = overlay_make_volatile(&o, &fd, err);
        } else
                r = overlay_open_kept(c, rule, image, &o, &fd, err);
        if (r >= 0)
                r = broker_add_overlay(image, fd, c->overlay, err);
        image->overlay_is_volatile = config_overlay_is_volatile(c);
        if (r < 0) {
                overlay_done(&o);
                return err_prefix(err, r, "overlay %s", c->overlay);
        }
        o.fd = fd_take(&fd);
        *ret = o;
        return 0;
}

/* A regular file by the path at which it is, links followed. A device by the name that it was given: what that leads to is
 * called otherwise after the next boot. */
static const char *overlay_name_image(const Config *c, const Broker *image)
{
        struct stat st;

        return fstat(image->layers[0].fd, &st) == 0 && S_ISBLK(st.st_mode) ? c->path
                                                                           : image->layers[0].path;
}

int overlay_describe(const Overlay *o, const Config *c, const Broker *image, Message *ret, Err *err)
{
        const char *name = overlay_name_image(c, image);
        MessageOverlay *overlay = &ret->overlay;

        *ret = (Message){
                .kind = MESSAGE_OVERLAY,
                .overlay.is_new = o->is_new,
                .overlay.is_volatile = image->overlay_is_volatile,
        };
        if (strlen(name) >= sizeof(overlay->backing))
                return err_set(err, ENAMETOOLONG,
                               "overlay %s: the image's path has %zu bytes, and a qcow2 can name "
                               "one of %zu at most",
                               c->overlay, strlen(name), sizeof(overlay->backing) - 1);
        snprintf(overlay->path, sizeof(overlay->path), "%s", c->overlay);
        snprintf(overlay->backing, sizeof(overlay->backing), "%s", name);
        return 0;
}

static int overlay_give_name(const Overlay *o)
{
        char link[64];

        if (!o->draft[0]) {
                snprintf(link, sizeof(link), "/proc/self/fd/%d", o->fd);
                return linkat(AT_FDCWD, link, o->folder, o->name, AT_SYMLINK_FOLLOW);
        }
        if (renameat2(o->folder, o->draft, o->folder, o->name, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL || linkat(o->folder, o->draft, o->folder, o->name, 0) < 0)
                return -1;
        return unlinkat(o->folder, o->draft, 0);
}

int overlay_publish(Overlay *o, Err *err)
{
        if (o->folder < 0)
                return 0;
        if (overlay_give_name(o) < 0)
                return err_set(err, errno, "cannot give the new overlay its name: %m");
        o->draft[0] = '\0';

        _cleanup_close_ int folder = openat(o->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = folder < 0 || fsync(folder) < 0 ? -errno : 0;
        cleanup_close(&o->folder);
        o->folder = -1;
        return r < 0 ? err_set(err, -r, "cannot bring the new overlay's folder to disk: %m") : 0;
}

void overlay_done(Overlay *o)
{
        if (o->folder >= 0 && o->draft[0])
                unlinkat(o->folder, o->draft, 0);
        cleanup_close(&o->folder);
        *o = OVERLAY_NONE;
}
