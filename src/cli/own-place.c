/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/own-place.h"

#include "base/cleanup.h"
#include "base/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        OWN_PLACE_NUMBER_MAX = 1000,
};

typedef enum OwnPlaceKind {
        OWN_PLACE_FILE,
        OWN_PLACE_FOLDER,
} OwnPlaceKind;

/* What ends so in this folder is a descriptor. */
#define DESCRIPTOR_END ".image"

static bool own_place_is_on_view(int fd)
{
        _cleanup_mount_table_ MountTable mounts = { 0 };
        uint64_t id = 0;

        if (mount_id_of_fd(fd, &id) < 0 || mount_table_read(&mounts, NULL) < 0)
                return false;
        const MountEntry *e = mount_table_find(&mounts, id);
        return e && strcmp(e->type, MOUNT_TYPE_VIEW) == 0;
}

bool own_place_is_needed(const char *image)
{
        char link[64];
        struct statx st;

        _cleanup_close_ int fd = open(image, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || own_place_is_on_view(fd) ||
            statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
                return false;
        switch (st.stx_mode & S_IFMT) {
        case S_IFLNK:
        case S_IFBLK:
                return true;
        case S_IFREG:
                break;
        default:
                return false;
        }
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return faccessat(AT_FDCWD, link, R_OK, AT_EACCESS) == 0 &&
               faccessat(AT_FDCWD, link, W_OK, AT_EACCESS) < 0;
}

int own_place_get_folder(char **ret, Err *err)
{
        const char *run = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
        char *folder = NULL;

        if (!run || run[0] != '/')
                return err_set(err, ENOENT, "XDG_RUNTIME_DIR does not name a folder");
        if (asprintf(&folder, "%s/rawview", run) < 0)
                return err_set(err, ENOMEM, "%m");
        *ret = folder;
        return 0;
}

/* Root's is for everybody to look into, as tmpfiles.d makes it. */
static int own_place_open_folder(const char *path, int *ret, Err *err)
{
        struct stat st;

        if (mkdir(path, geteuid() == 0 ? 0755 : 0700) < 0 && errno != EEXIST)
                return err_set(err, errno, "cannot make the folder %s: %m", path);
        _cleanup_close_ int fd = open(path, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot open the folder %s: %m", path);
        if (st.st_uid != geteuid())
                return err_set(err, EPERM, "the folder %s belongs to somebody else", path);
        *ret = fd_take(&fd);
        return 0;
}

static int own_place_name(const char *image, unsigned number, char **ret)
{
        const char *slash = strrchr(image, '/');
        const char *name = slash ? slash + 1 : image;
        size_t len = strlen(name), end = strlen(DESCRIPTOR_END);
        bool hidden = len >= end && strcmp(name + len - end, DESCRIPTOR_END) == 0;
        int n = number > 1 ? asprintf(ret, "%s.%u", name, number)
                           : asprintf(ret, "%s%s", name, hidden ? ".raw" : "");

        return n < 0 ? -ENOMEM : 0;
}

/* Sets errno. */
static int own_place_create(int folder, const char *name, OwnPlaceKind kind)
{
        if (kind == OWN_PLACE_FOLDER)
                return mkdirat(folder, name, 0700);
        _cleanup_close_ int fd =
                openat(folder, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
        return fd < 0 ? -1 : 0;
}

/* *ret_name is what it is called in the folder. */
static int own_place_make_in(
        int folder, const char *image, OwnPlaceKind kind, char **ret_name, Err *err)
{
        for (unsigned number = 1; number <= OWN_PLACE_NUMBER_MAX; number++) {
                _cleanup_free_ char *name = NULL;
                if (own_place_name(image, number, &name) < 0)
                        return err_set(err, ENOMEM, "%m");
                if (own_place_create(folder, name, kind) == 0) {
                        *ret_name = TAKE(name);
                        return 0;
                }
                if (errno != EEXIST)
                        return err_set(err, errno, "cannot make a place for the view: %m");
        }
        return err_set(err, EEXIST, "there are %d views of that name already",
                       OWN_PLACE_NUMBER_MAX);
}

static int own_place_make_kind(const char *image, OwnPlaceKind kind, char **ret, Err *err)
{
        _cleanup_free_ char *path = NULL, *name = NULL;
        _cleanup_close_ int folder = -1;

        int r = own_place_get_folder(&path, err);
        if (r >= 0)
                r = own_place_open_folder(path, &folder, err);
        if (r >= 0)
                r = own_place_make_in(folder, image, kind, &name, err);
        if (r >= 0 && asprintf(ret, "%s/%s", path, name) < 0)
                r = err_set(err, ENOMEM, "%m");
        return r;
}

int own_place_make(const char *image, char **ret, Err *err)
{
        Err why = { "" };

        int r = own_place_make_kind(image, OWN_PLACE_FILE, ret, &why);
        if (r < 0)
                return err_set(err, -r,
                               "a view cannot cover it (it is not writable by you, or no plain "
                               "file), nor be shown elsewhere by itself: %s; name a mount point",
                               why.text);
        return 0;
}

int own_place_make_folder(const char *image, char **ret, Err *err)
{
        Err why = { "" };

        int r = own_place_make_kind(image, OWN_PLACE_FOLDER, ret, &why);
        return r < 0 ? err_set(err, -r, "%s; name a folder for its partitions", why.text) : 0;
}

void own_place_clean(int folder, const char *name)
{
        _cleanup_free_ char *path = NULL;
        struct stat wanted, is, st;

        if (own_place_get_folder(&path, NULL) < 0 || stat(path, &wanted) < 0 ||
            fstat(folder, &is) < 0 || wanted.st_dev != is.st_dev || wanted.st_ino != is.st_ino)
                return;
        _cleanup_close_ int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || own_place_is_on_view(fd) || fstat(fd, &st) < 0)
                return;
        if (S_ISREG(st.st_mode) && st.st_size == 0 && st.st_uid == geteuid())
                unlinkat(folder, name, 0);
        else if (S_ISDIR(st.st_mode) && st.st_uid == geteuid())
                unlinkat(folder, name, AT_REMOVEDIR);
}
