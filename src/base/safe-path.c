/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/safe-path.h"

#include "base/cleanup.h"
#include "base/fd-path.h"
#include "base/mountinfo.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

enum {
        /* As the kernel's own limit. */
        SAFE_PATH_LINKS_MAX = 40,
};

/* Something on the way. */
typedef struct Spot {
        int fd; /* O_PATH */
        mode_t mode;
        uid_t uid;
        gid_t gid;
        bool listed; /* mode and group do not say all: there is a list of rights (ACL) */
        unsigned links;
} Spot;

static void spot_done(Spot *s)
{
        cleanup_close(&s->fd);
}
#define _cleanup_spot_ __attribute__((cleanup(spot_done)))

typedef struct Walk {
        PathRule rule;
        Spot at;
        PathChooser chooser;
        char rest[PATH_MAX]; /* what is still to be walked */
        unsigned links;
        /* Of the mount that was looked up last: who serves it, if that is a user. */
        uint64_t mount_id;
        bool served;
        uid_t server;
} Walk;

static void walk_done(Walk *w)
{
        cleanup_close(&w->at.fd);
}
#define _cleanup_walk_ __attribute__((cleanup(walk_done)))

static bool safe_path_trusts(uid_t uid)
{
        return uid == 0 || uid == geteuid();
}

void safe_path_name_user(uid_t uid, char ret[64])
{
        const struct passwd *user = getpwuid(uid);

        if (user)
                snprintf(ret, 64, "%s", user->pw_name);
        else
                snprintf(ret, 64, "user %u", uid);
}

/* "the folder /home/alice" */
static void spot_describe(const Spot *s, char *ret, size_t size)
{
        const char *what = S_ISLNK(s->mode)   ? "the link"
                           : S_ISDIR(s->mode) ? "the folder"
                                              : "the file";
        _cleanup_free_ char *path = NULL;

        (void)fd_path(s->fd, &path, NULL);
        snprintf(ret, size, "%s %.150s", what, path ?: "");
}

/* A file system in user space can say of its files what it likes. */
static int walk_find_server(Walk *w, int fd, Err *err)
{
        _cleanup_mount_table_ MountTable table = { 0 };
        uint64_t id = 0;

        int r = mount_id_of_fd(fd, &id);
        if (r < 0)
                return err_set(err, -r, "cannot tell which mount it lies in: %m");
        if (id == w->mount_id)
                return 0;
        r = mount_table_read(&table, err);
        if (r < 0)
                return r;
        const MountEntry *e = mount_table_find(&table, id);
        w->mount_id = id;
        w->server = 0;
        w->served = e && mount_entry_get_user(e, &w->server);
        return 0;
}

/* The bits of the group say what its list of rights gives at most, to whomever. */
static bool safe_path_has_list(int fd)
{
        char link[64];

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return getxattr(link, "system.posix_acl_access", NULL, 0) > 0;
}

/* More than its owner. Root's group is root. */
static bool safe_path_mode_is_shared(mode_t mode, gid_t gid, bool listed)
{
        return mode & S_IWOTH || (mode & S_IWGRP && (gid != 0 || listed));
}

bool safe_path_is_shared(int fd, const struct stat *st)
{
        return safe_path_mode_is_shared(st->st_mode, st->st_gid,
                                        st->st_mode & S_IWGRP && safe_path_has_list(fd));
}

/* What a user has mounted for that user alone tells root nothing of itself. It can be named all the same, and is neither a folder nor
 * a link as far as anybody knows here. */
static int walk_look_at_closed(const Walk *w, struct statx *ret, Err *err)
{
        if (errno != EACCES || w->rule != PATH_RULE_LINKS || !w->served)
                return err_set(err, errno, "%m");
        *ret = (struct statx){ .stx_uid = w->server, .stx_nlink = 1 };
        return 0;
}

/* Takes `fd` over, and closes it on failure. */
static int walk_look(Walk *w, int fd, Spot *ret, Err *err)
{
        struct statx st;

        int r = w->rule == PATH_RULE_KERNEL ? 0 : walk_find_server(w, fd, err);
        if (r == 0 && statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) < 0)
                r = walk_look_at_closed(w, &st, err);
        if (r < 0) {
                cleanup_close(&fd);
                return r;
        }
        *ret = (Spot){
                .fd = fd,
                .mode = st.stx_mode,
                .uid = w->served && w->server != 0 ? w->server : st.stx_uid,
                .gid = st.stx_gid,
                .listed = w->rule != PATH_RULE_KERNEL && !w->served && st.stx_mode & S_IWGRP &&
                          safe_path_has_list(fd),
                .links = st.stx_nlink,
        };
        return 0;
}

static bool spot_is_writable_by_others(const Spot *s)
{
        return safe_path_mode_is_shared(s->mode, s->gid, s->listed);
}

static int walk_refuse_order(const Spot *s, Err *err)
{
        char what[192], owner[64];

        spot_describe(s, what, sizeof(what));
        safe_path_name_user(s->uid, owner);
        return err_set(err, EPERM,
                       "refused: %s belongs to %s and has mode %04o; it and all that leads to it "
                       "must be writable by %s alone",
                       what, owner, s->mode & 07777, geteuid() == 0 ? "root" : "you and root");
}

/* `s` belongs to somebody, who could put something else in its place or in it. */
static int walk_doubt(Walk *w, const Spot *s, Err *err)
{
        PathChooser *c = &w->chooser;

        if (safe_path_trusts(s->uid) || (c->known && c->uid == s->uid))
                return 0;
        if (w->rule == PATH_RULE_TRUSTED)
                return walk_refuse_order(s, err);
        if (c->known) {
                char what[192], first[64], second[64];
                spot_describe(s, what, sizeof(what));
                safe_path_name_user(c->uid, first);
                safe_path_name_user(s->uid, second);
                return err_set(err, EPERM, "refused: %s of %s leads to %s of %s", c->why, first,
                               what, second);
        }
        c->known = true;
        c->uid = s->uid;
        spot_describe(s, c->why, sizeof(c->why));
        return 0;
}

/* What root owns in such a folder may have been moved there by others, or be a second name of another file. */
static int walk_refuse_shared(const Spot *folder, Err *err)
{
        char what[192];

        spot_describe(folder, what, sizeof(what));
        return err_set(err, EPERM,
                       "refused: it belongs to root, and others than root may write to %s (mode "
                       "%04o); take that from them, or give the folder the sticky bit (chmod +t)",
                       what, folder->mode & 07777);
}

static int walk_refuse_second_name(const Spot *folder, const Spot *s, Err *err)
{
        char what[192];

        spot_describe(folder, what, sizeof(what));
        return err_set(err, EPERM,
                       "refused: it has %u names (hard links), and one of them is in %s, where "
                       "others may write (mode %04o)",
                       s->links, what, folder->mode & 07777);
}

/* Who could choose that `s` is what lies in the folder `f`? */
static int walk_weigh(Walk *w, const Spot *f, const Spot *s, Err *err)
{
        bool shared = spot_is_writable_by_others(f);

        if (w->rule == PATH_RULE_KERNEL)
                return 0;
        if (shared && S_ISREG(s->mode) && s->links > 1)
                return walk_refuse_second_name(f, s, err);
        int r = S_ISLNK(s->mode) ? walk_doubt(w, s, err) : 0;
        if (r < 0 || w->rule == PATH_RULE_LINKS)
                return r;
        if (!safe_path_trusts(f->uid))
                return walk_doubt(w, f, err);
        if (!shared)
                return 0;
        if (!safe_path_trusts(s->uid))
                return walk_doubt(w, s, err);
        if (f->mode & S_ISVTX)
                return 0;
        return w->rule == PATH_RULE_TRUSTED ? walk_refuse_order(f, err)
                                            : walk_refuse_shared(f, err);
}

/* A chooser leads us through no folder that is closed to the chooser. */
static int walk_check_way(const Walk *w, const Spot *s, Err *err)
{
        const PathChooser *c = &w->chooser;
        char what[192], user[64];

        if (!c->known || c->uid == s->uid || !S_ISDIR(s->mode) || s->mode & S_IXOTH)
                return 0;
        spot_describe(s, what, sizeof(what));
        safe_path_name_user(c->uid, user);
        return err_set(err, EPERM, "refused: %s of %s leads to %s, which is not for everybody",
                       c->why, user, what);
}

/* What lies at the end. */
static int walk_judge(const Walk *w, const Spot *s, PathUse use, Err *err)
{
        const PathChooser *c = &w->chooser;
        char owner[64], user[64];

        if (w->rule == PATH_RULE_TRUSTED) {
                if (!S_ISREG(s->mode) ||
                    (safe_path_trusts(s->uid) && !spot_is_writable_by_others(s)))
                        return 0;
                return walk_refuse_order(s, err);
        }
        if (!c->known || c->uid == s->uid || use == PATH_FOLDER)
                return 0;
        if (use == PATH_READ && S_ISREG(s->mode) && s->mode & S_IROTH)
                return 0;
        safe_path_name_user(s->uid, owner);
        safe_path_name_user(c->uid, user);
        return err_set(err, EPERM,
                       "refused: it belongs to %s, but %s, on the way to it, to %s, who could put "
                       "another file there; let both belong to the same user",
                       owner, c->why, user);
}

/* With O_DIRECTORY first, which is what makes the kernel mount an automount point. */
static int walk_open_part(const Walk *w, const char *name, Err *err)
{
        int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;

        int fd = openat(w->at.fd, name, flags | O_DIRECTORY);
        if (fd < 0 && errno == ENOTDIR && S_ISDIR(w->at.mode))
                fd = openat(w->at.fd, name, flags);
        return fd < 0 ? err_set(err, errno, "%m") : fd;
}

static int walk_go_to(Walk *w, const char *start, Err *err)
{
        Spot s;

        int fd = open(start, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return err_set(err, errno, "%m");
        int r = walk_look(w, fd, &s, err);
        if (r < 0)
                return r;
        cleanup_close(&w->at.fd);
        w->at = s;
        return walk_check_way(w, &s, err);
}

/* Puts what a link says in front of what is still to be walked. */
static int walk_follow(Walk *w, int fd, Err *err)
{
        char text[PATH_MAX], rest[PATH_MAX];
        struct statfs fs;

        if (++w->links > SAFE_PATH_LINKS_MAX)
                return err_set(err, ELOOP, "%m");
        if (fstatfs(fd, &fs) < 0)
                return err_set(err, errno, "%m");
        if (fs.f_type == PROC_SUPER_MAGIC)
                return err_set(err, ELOOP, "is or lies behind a link in /proc");
        ssize_t n = readlinkat(fd, "", text, sizeof(text) - 1);
        if (n < 0)
                return err_set(err, errno, "%m");
        text[n] = '\0';
        strcpy(rest, w->rest);
        if (snprintf(w->rest, sizeof(w->rest), "%s%s", text, rest) >= (int)sizeof(w->rest))
                return err_set(err, ENAMETOOLONG, "%m");
        return text[0] == '/' ? walk_go_to(w, "/", err) : 0;
}

/* Takes the first part off what is still to be walked; false: there is none. */
static bool walk_take_part(Walk *w, char name[PATH_MAX])
{
        size_t slashes = strspn(w->rest, "/"), len = strcspn(w->rest + slashes, "/");

        memcpy(name, w->rest + slashes, len);
        name[len] = '\0';
        memmove(w->rest, w->rest + slashes + len, strlen(w->rest + slashes + len) + 1);
        return len > 0;
}

static int walk_step(Walk *w, const char *name, PathUse use, Err *err)
{
        Spot s;

        int fd = walk_open_part(w, name, err);
        if (fd < 0)
                return fd;
        int r = walk_look(w, fd, &s, err);
        if (r < 0)
                return r;

        _cleanup_close_ int owned = s.fd;
        bool up = strcmp(name, "..") == 0;
        r = up ? 0 : walk_weigh(w, &w->at, &s, err);
        if (r < 0)
                return r;
        if (S_ISLNK(s.mode) && (use != PATH_COVER || w->rest[0]))
                return walk_follow(w, s.fd, err);
        r = walk_check_way(w, &s, err);
        if (r < 0)
                return r;
        cleanup_close(&w->at.fd);
        w->at = s;
        fd_take(&owned);
        return 0;
}

static int walk_run(Walk *w, const char *path, PathUse use, Err *err)
{
        char name[PATH_MAX];

        if (!path[0])
                return err_set(err, ENOENT, "%m");
        if (snprintf(w->rest, sizeof(w->rest), "%s", path) >= (int)sizeof(w->rest))
                return err_set(err, ENAMETOOLONG, "%m");
        int r = walk_go_to(w, path[0] == '/' ? "/" : ".", err);
        while (r >= 0 && w->rest[0]) {
                /* Behind a slash there must be a folder, even if nothing follows. */
                if (!S_ISDIR(w->at.mode))
                        return err_set(err, ENOTDIR, "%m");
                if (walk_take_part(w, name))
                        r = walk_step(w, name, use, err);
        }
        return r < 0 ? r : walk_judge(w, &w->at, use, err);
}

static int safe_path_open_as_kernel(const char *path, PathUse use, int *ret, Err *err)
{
        int fd = open(path, O_PATH | O_CLOEXEC | (use == PATH_COVER ? O_NOFOLLOW : 0));
        if (fd < 0)
                return err_set(err, errno, "%m");
        *ret = fd;
        return 0;
}

int safe_path_open(
        const char *path, PathRule rule, PathUse use, PathChooser *ret_chooser, int *ret, Err *err)
{
        _cleanup_walk_ Walk w = { .rule = rule, .at.fd = -1 };

        int r = rule == PATH_RULE_KERNEL ? safe_path_open_as_kernel(path, use, &w.at.fd, err)
                                         : walk_run(&w, path, use, err);
        if (r < 0)
                return r;
        if (ret_chooser)
                *ret_chooser = w.chooser;
        *ret = fd_take(&w.at.fd);
        return 0;
}

int safe_path_check(
        const PathChooser *chooser, PathRule rule, PathUse use, int folder, int fd, Err *err)
{
        Walk w = { .rule = rule, .at.fd = -1, .chooser = *chooser };
        _cleanup_spot_ Spot f = { .fd = -1 }, s = { .fd = -1 };

        if (rule == PATH_RULE_KERNEL)
                return 0;
        /* Copies, because a look that fails closes what it looked at. */
        int r = walk_look(&w, fcntl(folder, F_DUPFD_CLOEXEC, 3), &f, err);
        if (r >= 0)
                r = walk_look(&w, fcntl(fd, F_DUPFD_CLOEXEC, 3), &s, err);
        if (r < 0)
                return r;
        r = walk_weigh(&w, &f, &s, err);
        return r < 0 ? r : walk_judge(&w, &s, use, err);
}

int safe_path_reopen(int fd, int flags, int *ret)
{
        char link[64];

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        int opened = open(link, flags | O_CLOEXEC);
        if (opened < 0)
                return -errno;
        *ret = opened;
        return 0;
}
