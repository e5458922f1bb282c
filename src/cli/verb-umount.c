/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview umount: ends views, and returns when their images are closed. */
#include "base/cleanup.h"
#include "base/fd-path.h"
#include "base/log.h"
#include "base/mountinfo.h"
#include "base/safe-path.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/loop-of-view.h"
#include "cli/own-place.h"
#include "cli/umount-wait.h"
#include "cli/umount.h"
#include "cli/view-look.h"
#include "lock/holder.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

enum {
        /* For a loop device, of which others may not let go. */
        UMOUNT_LOOP_MS = 60 * 1000,
        /* A stop that flushes or proves much takes long; a daemon that has hung must not hold us for ever. */
        UMOUNT_PATIENCE_MS = 120 * 1000,
        UMOUNT_TRIES = 30,
        UMOUNT_TRY_MS = 100,
        /* "Writes to it", of QEMU's image locks. */
        UMOUNT_WRITER_BYTE = 101,
};

typedef struct UmountOptions {
        bool all, stale;
} UmountOptions;

static int umount_print_help(void)
{
        puts("Usage: rawview umount VIEW|IMAGE…\n"
             "       rawview umount --all | --stale\n"
             "\n"
             "Ends views. Returns when everything written is on disk and the images are\n"
             "closed.\n"
             "\n"
             "Options:\n"
             "      --all    all views that you may end\n"
             "      --stale  what is left of views whose daemon died, and nothing else\n"
             "  -h, --help   this text");
        return cli_end(CLI_OK);
}

/* fusermount3 is set-uid: it ends a mount of its caller's. `lazy` detaches what is in use. */
static int umount_as_user(const char *path, bool lazy, Err *err)
{
        char *const argv[] = { (char *)"fusermount3", (char *)(lazy ? "-uz" : "-u"), (char *)"--",
                               (char *)path, NULL };
        char *const environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                      (char *)"LC_ALL=C", NULL };
        pid_t pid = 0;
        int status = 0;

        int r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environment);
        if (r != 0)
                return err_set(err, r, "cannot run fusermount3: %m");
        if (waitpid(pid, &status, 0) < 0)
                return err_set(err, errno, "cannot wait for fusermount3: %m");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return err_set(err, EPERM, "fusermount3 could not unmount it");
        return 0;
}

/* The folder in which the view lies. Its path may lead elsewhere by now: whoever owns a folder on the way can rename it.
 * A mount point cannot be renamed, so that its name in that folder stays what it is until it is unmounted. */
static int umount_hold(const MountEntry *e, int *ret, Err *err)
{
        const char *name = strrchr(e->target, '/') + 1;
        _cleanup_free_ char *path = strndup(e->target, (size_t)(name - e->target));
        uint64_t id = 0;

        if (!path)
                return err_set(err, ENOMEM, "%m");
        _cleanup_close_ int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return err_set(err, errno, "cannot open its folder: %m");
        _cleanup_close_ int view = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (view < 0)
                return err_set(err, errno, "%m");
        int r = mount_id_of_fd(view, &id);
        if (r < 0)
                return err_set(err, -r, "cannot find out what is mounted there: %m");
        if (id != e->id)
                return err_set(err, EINVAL, "is not there any more, or something else covers it");
        *ret = fd_take(&folder);
        return 0;
}

static int umount_as_root(int folder, const char *name, UmountHow how, Err *err)
{
        char path[PATH_MAX];
        int flags = how == UMOUNT_LAZY ? MNT_DETACH : how == UMOUNT_FORCE ? MNT_FORCE : 0;

        snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", folder, name);
        if (umount2(path, UMOUNT_NOFOLLOW | flags) == 0)
                return 0;
        if (errno == EBUSY)
                return err_set(err, EBUSY, "the view is in use");
        return err_set(err, errno, "cannot unmount it: %m");
}

/* With the loop device of the view's own; udev, which looks at each that was written to, has it open for a moment more. So has a
 * child of ours that looked at a view which `is_stuck`, until it has died. */
static int umount_with_loop(const MountEntry *e, int folder, UmountHow how, bool is_stuck, Err *err)
{
        const char *name = strrchr(e->target, '/') + 1;
        int released = how == UMOUNT_LAZY ? 0 : loop_of_view_release(e, UMOUNT_LOOP_MS, err);

        if (released < 0)
                return released;
        int r = umount_as_root(folder, name, how, err);
        for (int i = 0; r == -EBUSY && (released > 0 || is_stuck) && i < UMOUNT_TRIES; i++) {
                poll(NULL, 0, UMOUNT_TRY_MS);
                r = umount_as_root(folder, name, how, err);
        }
        return r;
}

/* At its end it may have a number behind its name. */
static bool umount_is_daemon(const char *name)
{
        size_t len = strlen("rawviewd");

        return strncmp(name, "rawviewd", len) == 0 && strchr("\n ", name[len]);
}

/* The pid is what a worker says, which may be a guest's by now: only a daemon is waited for. */
static int umount_open_daemon(const ViewLook *look, pid_t *ret_pid)
{
        char path[32], name[32] = "";
        pid_t pid = view_look_pid(look);
        _cleanup_close_ int daemon = pid > 0 ? pidfd_open(pid, 0) : -1;

        if (daemon < 0)
                return -1;
        snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, name, sizeof(name) - 1) < 0 || !umount_is_daemon(name))
                return -1;
        *ret_pid = pid;
        return fd_take(&daemon);
}

static bool umount_is_mounted_by(const MountEntry *e, uid_t uid)
{
        uid_t user = 0;

        return mount_entry_get_user(e, &user) && user == uid;
}

/* A worker that has much to write may be too busy to say who its daemon is. The locks of an image that is written to are
 * one daemon's alone; what others have mounted may lie where looking takes for ever. */
static int umount_open_writer(const MountEntry *e, pid_t *ret_pid)
{
        LockedFile file;
        Holder holder;

        if (!mount_options_have(e->super_options, "rw", NULL) ||
            !umount_is_mounted_by(e, geteuid()))
                return -1;
        _cleanup_close_ int image = open(e->source, O_PATH | O_CLOEXEC);
        if (image < 0)
                return -1;
        locked_file_of_fd(image, &file);
        if (!holder_find(&file, UMOUNT_WRITER_BYTE, &holder) || !umount_is_daemon(holder.name))
                return -1;
        *ret_pid = holder.pid;
        return pidfd_open(holder.pid, 0);
}

/* The same view may be mounted in a second place, by mount --bind. Its daemon goes on as long as one of them is there. To be
 * asked before: once the view is gone its device number may be another's. */
static bool umount_leaves_another(const MountEntry *e)
{
        _cleanup_mount_table_ MountTable mounts = { 0 };

        if (mount_table_read(&mounts, NULL) < 0)
                return false;
        for (size_t i = 0; i < mounts.count; i++) {
                const MountEntry *other = &mounts.entries[i];
                if (other->id != e->id && other->device_major == e->device_major &&
                    other->device_minor == e->device_minor)
                        return true;
        }
        return false;
}

static int umount_view(const MountEntry *e, UmountHow how, Err *err)
{
        const char *name = strrchr(e->target, '/') + 1;
        UmountWait wait = {
                .image = e->source,
                .is_written = mount_options_have(e->super_options, "rw", NULL),
                .patience_ms = UMOUNT_PATIENCE_MS,
        };
        ViewLook look;
        _cleanup_close_ int folder = -1, daemon = -1;

        int r = umount_hold(e, &folder, err);
        if (r < 0)
                return r;
        view_look_in(folder, name, &look);
        daemon = umount_open_daemon(&look, &wait.pid);
        bool another = umount_leaves_another(e);
        if (look.condition == VIEW_STALE)
                how = UMOUNT_LAZY;
        r = geteuid() == 0 ? umount_with_loop(e, folder, how, look.condition == VIEW_STUCK, err)
                           : umount_as_user(e->target, how == UMOUNT_LAZY, err);
        if (r >= 0 && look.condition == VIEW_STALE)
                own_place_clean(folder, name);
        if (r < 0 || how == UMOUNT_LAZY || another)
                return r;
        if (daemon < 0)
                daemon = umount_open_writer(e, &wait.pid);
        wait.daemon = daemon;
        return daemon < 0 ? 0 : umount_wait(&wait, err);
}

/* Root unmounts what root has named, and not what somebody's link leads to. */
static int umount_open(const char *name, int *ret, Err *err)
{
        PathRule rule = geteuid() == 0 ? PATH_RULE_LINKS : PATH_RULE_KERNEL;
        PathChooser chooser = { 0 };
        char user[64];

        int r = safe_path_open(name, rule, PATH_FOLDER, &chooser, ret, err);
        if (r < 0 || !chooser.known)
                return r;
        cleanup_close(ret);
        *ret = -1;
        safe_path_name_user(chooser.uid, user);
        return err_set(err, EPERM, "refused: %s, on the way to it, belongs to %s", chooser.why,
                       user);
}

static bool umount_is_view(const MountEntry *e)
{
        return strcmp(e->type, MOUNT_TYPE_VIEW) == 0;
}

/* The view that `fd` leads into, as the mount table has it. EINVAL: it leads into none. */
static int umount_find_view(const MountTable *mounts, int fd, const MountEntry **ret, Err *err)
{
        uint64_t id = 0;

        int r = mount_id_of_fd(fd, &id);
        if (r < 0)
                return err_set(err, -r, "cannot find out what is mounted there: %m");
        const MountEntry *e = mount_table_find(mounts, id);
        if (!e || !umount_is_view(e))
                return err_set(err, EINVAL, "is not a view");
        *ret = e;
        return 0;
}

/* May this user end it? Root may; others what they mounted. */
static bool umount_is_ours(const MountEntry *e)
{
        return geteuid() == 0 || umount_is_mounted_by(e, getuid());
}

/* The only one of ours that shows `image`; nothing is asked of any file system, since a user may have mounted whatever says
 * that it is a view of it. */
static int umount_find_shown(const MountTable *mounts,
                             const char *image,
                             const MountEntry **ret,
                             Err *err)
{
        char places[256] = "";
        size_t count = 0, others = 0;

        for (size_t i = 0; i < mounts->count; i++) {
                const MountEntry *e = &mounts->entries[i];
                size_t len = strlen(places);
                if (!umount_is_view(e) || strcmp(e->source, image) != 0)
                        continue;
                if (!umount_is_ours(e)) {
                        others++;
                        continue;
                }
                snprintf(places + len, sizeof(places) - len, "%s%s", count > 0 ? ", " : "",
                         e->target);
                *ret = e;
                count++;
        }
        if (count == 1)
                return 0;
        if (count > 1)
                return err_set(err, EINVAL, "is shown in %zu places; name one of them: %s", count,
                               places);
        if (others > 0)
                return err_set(err, EPERM, "is shown by somebody else, who alone can end that");
        return err_set(err, EINVAL, "is not a view, and no view shows it");
}

/* A view, or an image that is shown elsewhere; that may be gone by now, and only its path is left. */
static int umount_find(const MountTable *mounts, const char *name, const MountEntry **ret, Err *err)
{
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *path = NULL;
        Err ignored = { "" };

        int r = umount_open(name, &fd, err);
        if (r >= 0 && umount_find_view(mounts, fd, ret, &ignored) == 0)
                return 0;
        if (r >= 0) {
                r = fd_path(fd, &path, err);
                return r < 0 ? r : umount_find_shown(mounts, path, ret, err);
        }
        if (r != -ENOENT || daemon_make_absolute(name, &path, &ignored) < 0)
                return r;
        int shown = umount_find_shown(mounts, path, ret, &ignored);
        if (shown < 0 && *ret)
                err_set(err, -shown, "%s", ignored.text);
        return shown < 0 ? r : 0;
}

static int umount_named(const MountTable *mounts, char **names)
{
        int status = CLI_OK;

        for (char **name = names; *name; name++) {
                const MountEntry *e = NULL;
                Err err;
                int r = umount_find(mounts, *name, &e, &err);
                if (r >= 0)
                        r = umount_view(e, UMOUNT_CLEAN, &err);
                if (r < 0)
                        status = cli_fail(*name, &err);
        }
        return status;
}

int umount_path(const char *path, UmountHow how, Err *err)
{
        _cleanup_mount_table_ MountTable mounts = { 0 };
        _cleanup_close_ int fd = -1;
        const MountEntry *e = NULL;

        int r = mount_table_read(&mounts, err);
        if (r >= 0)
                r = umount_open(path, &fd, err);
        if (r >= 0)
                r = umount_find_view(&mounts, fd, &e, err);
        if (r < 0)
                return r;
        if (!umount_is_ours(e))
                return err_set(err, EPERM, "was mounted by somebody else");
        /* It would be a use of the view. */
        cleanup_close(&fd);
        fd = -1;
        return umount_view(e, how, err);
}

static int umount_all(const MountTable *mounts, bool only_stale)
{
        _cleanup_free_ const MountEntry **ours = calloc(mounts->count + 1, sizeof(*ours));
        _cleanup_free_ ViewLook *looks = NULL;
        int status = CLI_OK;
        size_t count = 0;
        Err err;

        /* The last mounted first: a view may show what lies in a file system on another view. */
        for (size_t i = mounts->count; ours && i-- > 0;)
                if (umount_is_view(&mounts->entries[i]) && umount_is_ours(&mounts->entries[i]))
                        ours[count++] = &mounts->entries[i];
        if (only_stale)
                looks = calloc(count + 1, sizeof(*looks));
        if (!ours || (only_stale && !looks)) {
                err_set(&err, ENOMEM, "%m");
                return cli_fail("umount", &err);
        }
        if (only_stale)
                view_look_all(ours, count, NULL, looks);
        for (size_t i = 0; i < count; i++) {
                const MountEntry *e = ours[i];
                if (only_stale && looks[i].condition != VIEW_STALE)
                        continue;
                if (umount_view(e, UMOUNT_CLEAN, &err) < 0)
                        status = cli_fail(e->target, &err);
        }
        return status;
}

int verb_umount(int argc, char **argv)
{
        enum {
                OPTION_ALL = 256,
                OPTION_STALE,
        };
        static const struct option known[] = {
                { "all", no_argument, NULL, OPTION_ALL },
                { "stale", no_argument, NULL, OPTION_STALE },
                { "help", no_argument, NULL, 'h' },
                { NULL },
        };
        UmountOptions options = { 0 };

        for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) >= 0;)
                switch (c) {
                case OPTION_ALL:
                        options.all = true;
                        break;
                case OPTION_STALE:
                        options.stale = true;
                        break;
                case 'h':
                        return umount_print_help();
                default:
                        return cli_see_help("umount");
                }
        if ((optind < argc) + options.all + options.stale != 1)
                return cli_usage("umount", "give either names of views, or --all, or --stale");

        _cleanup_mount_table_ MountTable mounts = { 0 };
        Err err;
        if (mount_table_read(&mounts, &err) < 0)
                return cli_fail("umount", &err);
        return optind < argc ? umount_named(&mounts, argv + optind)
                             : umount_all(&mounts, options.stale);
}
