/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reference/reference.h"

#include "base/cleanup.h"
#include "base/fd-path.h"
#include "base/safe-path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
        /* openat2 gives EAGAIN when something was renamed meanwhile; nobody renames that often. */
        REFERENCE_TRIES = 16,
};

/* What is wanted where a name is a symbolic link. */
typedef enum ReferenceEnd {
        REFERENCE_TARGET,
        REFERENCE_LINK,
} ReferenceEnd;

/* "/a/./b//../c" becomes "/a/c", without a look at the file system: what a ".." behind a symbolic link would
 * really mean does not matter, because the result is opened beneath an allowed folder or not at all. */
static void reference_tidy(char *path)
{
        char *to = path;

        for (const char *from = path; *from;) {
                from += strspn(from, "/");
                size_t len = strcspn(from, "/");
                if (len == 0 || (len == 1 && from[0] == '.')) {
                        from += len;
                        continue;
                }
                if (len == 2 && from[0] == '.' && from[1] == '.') {
                        while (to > path && *--to != '/')
                                ;
                        from += len;
                        continue;
                }
                *to++ = '/';
                memmove(to, from, len);
                to += len;
                from += len;
        }
        if (to == path)
                *to++ = '/';
        *to = '\0';
}

/* The length of the folder part of an absolute path, without its last slash (0 for the root). */
static size_t reference_folder_len(const char *path)
{
        return (size_t)(strrchr(path, '/') - path);
}

static int reference_join(const char *namer, const char *name, char **ret, Err *err)
{
        size_t folder = name[0] == '/' ? 0 : reference_folder_len(namer);

        if (folder + 1 + strlen(name) >= PATH_MAX)
                return err_set(err, ENAMETOOLONG, "'%.64s…': the name is too long", name);
        char *path = malloc(folder + 1 + strlen(name) + 1);
        if (!path)
                return err_set(err, ENOMEM, "%m");
        memcpy(path, namer, folder);
        path[folder] = '/';
        strcpy(path + folder + 1, name);
        *ret = path;
        return 0;
}

/* What of `path` lies beneath `folder`, or NULL. Both are tidy. */
static const char *reference_beneath(const char *folder, const char *path)
{
        size_t len = strlen(folder);

        if (strcmp(folder, "/") == 0)
                return path + 1;
        if (strncmp(path, folder, len) != 0 || path[len] != '/')
                return NULL;
        return path + len + 1;
}

/* Gives an O_PATH descriptor: nothing is opened in earnest before its type is known. */
static int reference_resolve(int folder, const char *rest, ReferenceEnd end)
{
        struct open_how how = {
                .flags = O_PATH | O_CLOEXEC | (end == REFERENCE_LINK ? O_NOFOLLOW : 0),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        long fd = -1;

        for (int i = 0; i < REFERENCE_TRIES; i++) {
                fd = syscall(SYS_openat2, folder, rest, &how, sizeof(how));
                if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
                        break;
        }
        return fd < 0 ? -errno : (int)fd;
}

/* Tries one folder, under the name that people gave it or the one it really has. `own` is what the real one must be, or
 * NULL. -EXDEV: the path does not lie beneath it. */
static int reference_try_folder(int dir,
                                const char *folder,
                                const char *own,
                                const char *path,
                                ReferenceEnd end,
                                int *ret,
                                Err *err)
{
        _cleanup_free_ char *real = NULL, *given = strdup(folder);
        if (!given)
                return err_set(err, ENOMEM, "%m");
        reference_tidy(given);
        int r = fd_path(dir, &real, err);
        if (r < 0)
                return r;
        if (own && strcmp(real, own) != 0)
                return -EXDEV;

        const char *rest = reference_beneath(real, path);
        if (!rest)
                rest = reference_beneath(given, path);
        if (!rest)
                return -EXDEV;

        int fd = reference_resolve(dir, rest, end);
        if (fd == -ENOSYS)
                return err_set(err, EACCES,
                               "refused: this kernel cannot keep names within a folder (openat2 is "
                               "missing); References=any opens them unchecked");
        /* ELOOP: a magic link, or too many links. */
        if (fd == -ELOOP)
                fd = -EXDEV;
        if (fd == -EXDEV)
                return -EXDEV;
        if (fd < 0)
                return err_set(err, -fd, "%m");
        *ret = fd;
        return 0;
}

static int reference_try_path(
        const char *folder, const char *own, const char *path, ReferenceEnd end, int *ret, Err *err)
{
        _cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return -EXDEV;
        return reference_try_folder(dir, folder, own, path, end, ret, err);
}

/* The folder of the image, by its real name and by the one that leads there over symbolic links. */
static int reference_try_own_folder(
        const ReferenceRules *rules, const char *path, ReferenceEnd end, int *ret, Err *err)
{
        char own[PATH_MAX], given[PATH_MAX];

        snprintf(own, sizeof(own), "%.*s", (int)reference_folder_len(rules->top), rules->top);
        if (!own[0])
                strcpy(own, "/");
        int r = reference_try_path(own, NULL, path, end, ret, err);
        if (r != -EXDEV || !rules->given)
                return r;
        snprintf(given, sizeof(given), "%.*s/", (int)reference_folder_len(rules->given),
                 rules->given);
        return reference_try_path(given, own, path, end, ret, err);
}

static int reference_try_allowed(const ReferenceRules *rules,
                                 const char *path,
                                 ReferenceEnd end,
                                 PathChooser *ret_bound,
                                 int *ret,
                                 Err *err)
{
        int r = -EXDEV;

        for (char *const *a = rules->allowed; r == -EXDEV && a && *a; a++) {
                _cleanup_close_ int dir = -1;
                r = safe_path_open(*a, rules->path_rule, PATH_FOLDER, ret_bound, &dir, err);
                if (r == -EPERM)
                        return err_prefix(err, -EACCES, "AllowedPaths=%s", *a);
                r = r < 0 ? -EXDEV : reference_try_folder(dir, *a, NULL, path, end, ret, err);
        }
        return r;
}

static bool reference_is_theirs(const ReferenceRules *rules,
                                const PathChooser *bound,
                                const struct stat *st,
                                bool writable)
{
        if (st->st_uid != bound->uid)
                return false;
        return !rules->has_namers ||
               (st->st_gid == rules->namers && st->st_mode & (writable ? S_IWGRP : S_IRGRP));
}

/* What everybody may read is for everybody only in folders that everybody may enter. Those above the image are those through
 * which whoever knows the image has come. */
static int reference_check_way(const ReferenceRules *rules, const char *path, Err *err)
{
        _cleanup_close_ int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const char *part = path + 1;

        for (const char *slash; at >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
                char name[NAME_MAX + 1];
                struct stat st;
                size_t len = (size_t)(slash - path) + 1;
                snprintf(name, sizeof(name), "%.*s", (int)(slash - part), part);
                int next = openat(at, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
                cleanup_close(&at);
                at = next;
                if (at < 0 || fstat(at, &st) < 0)
                        return err_set(err, errno, "cannot look at its folder: %m");
                if (st.st_mode & S_IXOTH || strncmp(path, rules->top, len) == 0 ||
                    (st.st_uid == rules->namer && !rules->has_namers))
                        continue;
                return err_set(err, EACCES,
                               "refused: the folder %.*s is not for everybody, and the view is not "
                               "for root alone",
                               (int)len - 1, path);
        }
        return 0;
}

/* Who chose what was found gets no more than what is open to that user. */
static int reference_check_owner(
        const ReferenceRules *rules, const PathChooser *bound, int fd, bool writable, Err *err)
{
        char owner[64], user[64];
        struct stat st;

        if (!bound->known)
                return 0;
        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (reference_is_theirs(rules, bound, &st, writable))
                return 0;
        if (!writable && st.st_mode & S_IROTH) {
                _cleanup_free_ char *path = NULL;
                int r = fd_path(fd, &path, err);
                return r < 0 ? r : reference_check_way(rules, path, err);
        }
        safe_path_name_user(st.st_uid, owner);
        safe_path_name_user(bound->uid, user);
        return err_set(
                err, EACCES,
                "refused: it belongs to %s, %s to %s%s; let both belong to the same user, or "
                "allow it with References=chain and a folder of root's in AllowedPaths=",
                owner, bound->why, user,
                rules->has_namers ? " and to all who may write to it" : "");
}

/* *ret_bound: whose file it must be. */
static int reference_find(const ReferenceRules *rules,
                          const char *path,
                          ReferenceEnd end,
                          PathChooser *ret_bound,
                          int *ret,
                          Err *err)
{
        *ret_bound = (PathChooser){ 0 };
        if (rules->policy == REFERENCES_ANY) {
                int fd = open(path, O_PATH | O_CLOEXEC | (end == REFERENCE_LINK ? O_NOFOLLOW : 0));
                if (fd < 0)
                        return err_set(err, errno, "%m");
                *ret = fd;
                return 0;
        }

        int r = rules->policy == REFERENCES_CHAIN
                        ? reference_try_allowed(rules, path, end, ret_bound, ret, err)
                        : -EXDEV;
        if (r == -EXDEV) {
                *ret_bound = (PathChooser){
                        .known = rules->has_namer,
                        .uid = rules->namer,
                        .why = "the image that names it",
                };
                r = reference_try_own_folder(rules, path, end, ret, err);
        }
        if (r != -EXDEV)
                return r;
        if (rules->policy == REFERENCES_CHAIN)
                return err_set(err, EACCES,
                               "refused: it is outside the folder of the image and outside "
                               "AllowedPaths= (References=chain); add its folder there, or use "
                               "References=any");
        return err_set(err, EACCES,
                       "refused: it is outside the folder of the image (References=directory); "
                       "References=chain with its folder in AllowedPaths=, or References=any, "
                       "would allow it");
}

/* An O_PATH descriptor of what the name means in the image at `namer`. */
static int reference_look_up(const ReferenceRules *rules,
                             const char *namer,
                             const char *name,
                             ReferenceEnd end,
                             PathChooser *ret_bound,
                             int *ret,
                             Err *err)
{
        _cleanup_free_ char *path = NULL;

        int r = reference_join(namer, name, &path, err);
        if (r < 0)
                return r;
        if (rules->policy != REFERENCES_ANY)
                reference_tidy(path);
        return reference_find(rules, path, end, ret_bound, ret, err);
}

static const char *reference_type_name(mode_t mode)
{
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return "a folder";
        case S_IFIFO:
                return "a fifo";
        case S_IFSOCK:
                return "a socket";
        case S_IFCHR:
                return "a character device";
        case S_IFBLK:
                return "a block device";
        default:
                return "no regular file";
        }
}

static int reference_check_type(const ReferenceRules *rules, int fd, Err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (S_ISREG(st.st_mode))
                return 0;
        if (S_ISBLK(st.st_mode) && rules->policy == REFERENCES_ANY)
                return 0;
        return err_set(err, EACCES, "refused: it is %s, and an image may name regular files only%s",
                       reference_type_name(st.st_mode),
                       S_ISBLK(st.st_mode) ? " (References=any allows block devices, too)" : "");
}

/* From the O_PATH descriptor of a checked file to one that reads. */
static int reference_reopen(int path_fd, bool writable, int *ret, Err *err)
{
        int r = safe_path_reopen(path_fd, (writable ? O_RDWR : O_RDONLY) | O_NOCTTY, ret);
        return r < 0 ? err_set(err, -r, "cannot open it%s: %m", writable ? " for writing" : "") : 0;
}

int reference_open(const ReferenceRules *rules,
                   const char *namer,
                   const char *name,
                   bool writable,
                   int *ret_fd,
                   char **ret_path,
                   Err *err)
{
        if (!name[0])
                return err_set(err, ENOENT, "the name is empty");
        if (rules->policy == REFERENCES_NONE)
                return err_set(err, EACCES,
                               "refused: the image may not name other files (References=none); "
                               "References=directory, chain or any would allow it");

        _cleanup_free_ char *real = NULL;
        _cleanup_close_ int found = -1, fd = -1;
        PathChooser bound;
        int r = reference_look_up(rules, namer, name, REFERENCE_TARGET, &bound, &found, err);
        if (r < 0)
                return r;
        r = reference_check_type(rules, found, err);
        if (r >= 0 && (writable || rules->others_see))
                r = reference_check_owner(rules, &bound, found, writable, err);
        if (r < 0)
                return r;
        r = reference_reopen(found, writable, &fd, err);
        if (r < 0)
                return r;
        r = fd_path(fd, &real, err);
        if (r < 0)
                return r;
        *ret_fd = fd_take(&fd);
        *ret_path = TAKE(real);
        return 0;
}

bool reference_is_link(const ReferenceRules *rules, const char *namer, const char *name)
{
        _cleanup_close_ int fd = -1;
        struct stat st;
        PathChooser bound;

        return rules->policy != REFERENCES_NONE &&
               reference_look_up(rules, namer, name, REFERENCE_LINK, &bound, &fd, NULL) >= 0 &&
               fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}
