/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The run-time folder, where views are put that cannot cover their image, and pid files are written. */
#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "base/safe-path.h"
#include "cli/doctor.h"
#include "cli/own-place.h"
#include "cli/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* What makes one, for this shell. */
static void folder_say_unset(Doctor *d, const char *text)
{
        char usual[64], mend[256];
        struct stat st;

        snprintf(usual, sizeof(usual), "/run/user/%u", (unsigned)geteuid());
        bool is_there = stat(usual, &st) == 0 && st.st_uid == geteuid();
        if (is_there || sd_booted() > 0)
                snprintf(mend, sizeof(mend), "%sexport XDG_RUNTIME_DIR=%s",
                         is_there ? "" : "loginctl enable-linger; ", usual);
        else
                snprintf(mend, sizeof(mend), "export XDG_RUNTIME_DIR=$(mktemp -d)");
        doctor_say(d, DOCTOR_NOTE, "XDG_RUNTIME_DIR", mend,
                   "%s: an image that cannot be covered is shown nowhere unless a mount point is "
                   "named",
                   text);
}

/* XDG_RUNTIME_DIR, which may be left behind by su, or by a session that is over. */
static bool folder_look_at_user(Doctor *d)
{
        const char *run = getenv("XDG_RUNTIME_DIR");
        _cleanup_free_ char *text = NULL;
        char name[64];
        struct stat st;
        int n = 0;

        if (geteuid() == 0)
                return true;
        if (!run || run[0] == '\0') {
                folder_say_unset(d, "is not set");
                return false;
        }
        if (run[0] != '/')
                n = asprintf(&text, "is %s, which is no absolute path", run);
        else if (stat(run, &st) < 0)
                n = asprintf(&text, "is %s, which cannot be had (%s)", run, strerror(errno));
        else if (!S_ISDIR(st.st_mode))
                n = asprintf(&text, "is %s, which is no folder", run);
        else if (st.st_uid != geteuid()) {
                safe_path_name_user(st.st_uid, name);
                n = asprintf(&text, "is %s, which belongs to %s", run, name);
        } else
                return true;
        folder_say_unset(d, n < 0 ? "is wrong" : text);
        return false;
}

/* A file system in memory is as large as root likes. `option` is size or nr_inodes, `count` what it has now. */
static char *folder_mend_full(int fd, const struct statfs *fs, const char *option, uint64_t count)
{
        _cleanup_mount_table_ MountTable mounts = { 0 };
        const MountEntry *e = NULL;
        uint64_t id = 0;
        char *mend = NULL;
        int n;

        if (mount_id_of_fd(fd, &id) >= 0 && mount_table_read(&mounts, NULL) >= 0)
                e = mount_table_find(&mounts, id);
        _cleanup_free_ char *word = e ? text_shell_word(e->target) : NULL;
        if (fs->f_type == TMPFS_MAGIC && word)
                n = asprintf(&mend, DOCTOR_ROOT "mount -o remount,%s=%llu %s", option,
                             (unsigned long long)count * 2, word);
        else
                n = asprintf(&mend, "files there that nobody needs, removed");
        return n < 0 ? NULL : mend;
}

static void folder_say_refused(Doctor *d, const char *folder, int fd, int error)
{
        _cleanup_free_ char *word = text_shell_word(folder), *mend = NULL;
        struct statfs fs;
        int n = 0;

        if (error == ENOSPC && fstatfs(fd, &fs) == 0) {
                bool no_inode = fs.f_files > 0 && fs.f_ffree == 0;
                mend = no_inode ? folder_mend_full(fd, &fs, "nr_inodes", fs.f_files)
                                : folder_mend_full(fd, &fs, "size",
                                                   fs.f_blocks * (uint64_t)fs.f_bsize);
                doctor_say(d, DOCTOR_BAD, folder, mend,
                           no_inode ? "has no inode left: no view can be put there"
                                    : "is full: no view can be put there");
                return;
        }
        if (error == EROFS) {
                doctor_say(d, DOCTOR_NOTE, folder, "a mount point of your own, as the second word",
                           "is on a file system that is mounted read-only: no view can be put "
                           "there");
                return;
        }
        if (error == EACCES)
                n = asprintf(&mend, "chmod u+rwx %s", word ? word : folder);
        else if (error == EDQUOT)
                n = asprintf(&mend, "files there that nobody needs, removed");
        doctor_say(d, DOCTOR_BAD, folder, n < 0 ? NULL : mend,
                   "takes no file (%s): no view can be put there", strerror(error));
}

/* A file without a name is what a view needs of it, and leaves nothing behind. */
static void folder_look_at_room(Doctor *d, const char *folder)
{
        struct statfs fs;

        _cleanup_close_ int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                folder_say_refused(d, folder, fd, errno);
                return;
        }
        _cleanup_close_ int file = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        int error = file < 0 ? errno : 0;
        if (error == EOPNOTSUPP || error == EISDIR)
                error = access(folder, W_OK | X_OK) < 0 ? errno : 0;
        if (error != 0) {
                folder_say_refused(d, folder, fd, error);
                return;
        }
        if (fstatfs(fd, &fs) == 0 && fs.f_blocks > 0 && fs.f_bavail == 0) {
                _cleanup_free_ char *mend =
                        folder_mend_full(fd, &fs, "size", fs.f_blocks * (uint64_t)fs.f_bsize);
                doctor_say(d, DOCTOR_NOTE, folder, mend,
                           "has no space left: a view finds its place there, but a pid file "
                           "cannot be written");
                return;
        }
        doctor_say(d, DOCTOR_OK, folder, NULL, "has room for mount points");
}

void doctor_look_at_folder(Doctor *d)
{
        _cleanup_free_ char *folder = NULL, *word = NULL, *mend = NULL;
        char name[64];
        struct stat st;
        int n = 0;

        if (!folder_look_at_user(d) || own_place_get_folder(&folder, NULL) < 0)
                return;
        word = text_shell_word(folder);
        if (lstat(folder, &st) < 0) {
                /* It is made when it is needed. */
                char *slash = strrchr(folder, '/');
                if (errno == ENOENT && slash != folder)
                        *slash = '\0';
                folder_look_at_room(d, folder);
        } else if (!S_ISDIR(st.st_mode)) {
                n = asprintf(&mend, "rm %s", word ? word : folder);
                doctor_say(d, DOCTOR_BAD, folder, n < 0 ? NULL : mend,
                           "is no folder: no view can be put there");
        } else if (st.st_uid != geteuid()) {
                safe_path_name_user(st.st_uid, name);
                n = geteuid() == 0 ? asprintf(&mend, "chown root: %s", word ? word : folder)
                                   : asprintf(&mend, "mv %s %s.old", word ? word : folder,
                                              word ? word : folder);
                doctor_say(d, DOCTOR_BAD, folder, n < 0 ? NULL : mend,
                           "belongs to %s: no view is put there", name);
        } else {
                folder_look_at_room(d, folder);
        }
}
