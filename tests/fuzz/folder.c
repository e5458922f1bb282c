/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder.h"

#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Folder {
        char root[PATH_MAX / 4];
        char image[PATH_MAX], inside[PATH_MAX], deep[PATH_MAX], given[PATH_MAX];
        char allowed_path[PATH_MAX], own[PATH_MAX];
        char *allowed[2];
} Folder;

static int folder_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
        return remove(path);
}

static Folder *folder_get(void);

static void folder_remove(void)
{
        nftw(folder_get()->root, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void folder_say(const char *root, char *ret, const char *name)
{
        snprintf(ret, PATH_MAX, "%s/%s", root, name);
}

static void folder_make_file(const char *name)
{
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || close(fd) < 0)
                exit(1);
}

static void folder_fill(void)
{
        static const char *const folders[] = { "in", "in/sub", "in/folder", "out", "allowed" };
        static const char *const files[] = { "in/disk",    "in/base",      "in/sub/deep", "in/ä b",
                                             "out/secret", "allowed/base", "in-beside" };
        /* What leads out, and what only seems to. */
        static const char *const links[][2] = {
                { "../out", "in/away" },
                { "../out/secret", "in/secret" },
                { "/", "in/slash" },
                { "..", "in/sub/up" },
                { "../..", "in/sub/upper" },
                { "base", "in/link" },
                { "sub/deep", "in/link2" },
                { "loop", "in/loop" },
                { "/proc/self/fd/0", "in/magic" },
                { "/proc/self/root", "in/root" },
                { "/dev/null", "in/null" },
                { "in", "given" },
                { "../out", "allowed/away" },
                { "../in", "allowed/in" },
        };
        bool ok = true;

        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
                ok = ok && mkdir(folders[i], 0700) == 0;
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
                folder_make_file(files[i]);
        for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
                ok = ok && symlink(links[i][0], links[i][1]) == 0;
        if (!ok || mkfifo("in/fifo", 0600) < 0)
                exit(1);
}

static Folder *folder_get(void)
{
        static Folder folder;
        const char *place = getenv("TMPDIR");
        char template[PATH_MAX / 4];

        if (folder.root[0])
                return &folder;
        snprintf(template, sizeof(template), "%s/fuzz-XXXXXX", place ? place : "/tmp");
        int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (back < 0 || !mkdtemp(template) || chdir(template) < 0 ||
            !getcwd(folder.root, sizeof(folder.root)))
                exit(1);
        atexit(folder_remove);
        folder_fill();
        if (fchdir(back) < 0 || close(back) < 0)
                exit(1);
        folder_say(folder.root, folder.image, "in/disk");
        folder_say(folder.root, folder.inside, "in/base");
        folder_say(folder.root, folder.deep, "in/sub/deep");
        folder_say(folder.root, folder.given, "given/disk");
        folder_say(folder.root, folder.allowed_path, "allowed");
        folder_say(folder.root, folder.own, "own");
        folder.allowed[0] = folder.allowed_path;
        return &folder;
}

ReferenceRules fuzz_folder_rules(uint64_t choice)
{
        Folder *f = folder_get();

        return (ReferenceRules){
                .policy = (ReferencePolicy)(choice % 4),
                .allowed = choice & 4 ? NULL : f->allowed,
                .top = f->image,
                .given = choice & 8 ? f->given : NULL,
        };
}

const char *fuzz_folder_namer(uint64_t choice)
{
        Folder *f = folder_get();

        return choice % 3 == 0 ? f->image : choice % 3 == 1 ? f->inside : f->deep;
}

static bool folder_has(const char *root, const char *name, const char *path)
{
        size_t len = strlen(root);

        return strncmp(path, root, len) == 0 && strncmp(path + len, name, strlen(name)) == 0;
}

void fuzz_folder_require(const ReferenceRules *rules, int fd, const char *path)
{
        const Folder *f = folder_get();
        char link[64], real[PATH_MAX];
        struct stat st;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, real, sizeof(real) - 1);
        fuzz_require(n > 0 && fstat(fd, &st) == 0, "what was opened can be looked at");
        real[n] = '\0';
        fuzz_require(strcmp(real, path) == 0, "the path is that of the file");
        fuzz_require(S_ISREG(st.st_mode), "only regular files are opened");
        fuzz_require(fcntl(fd, F_GETFD) & FD_CLOEXEC, "the descriptor is close-on-exec");
        fuzz_require(rules->policy != REFERENCES_NONE, "with `none` nothing is opened");
        if (rules->policy == REFERENCES_DIRECTORY)
                fuzz_require(folder_has(f->root, "/in/", real), "it lies beneath the folder");
        if (rules->policy == REFERENCES_CHAIN)
                fuzz_require(folder_has(f->root, "/in/", real) ||
                                     (rules->allowed && folder_has(f->root, "/allowed/", real)),
                             "it lies beneath a folder that is allowed");
}

bool fuzz_folder_may_ask(const ReferenceRules *rules, const char *name)
{
        static const char *const away[] = { "..", "slash", "root", "magic" };

        if (rules->policy != REFERENCES_ANY)
                return true;
        for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++)
                if (strstr(name, away[i]))
                        return false;
        return name[0] != '/';
}

int fuzz_folder_file(const char **ret_path)
{
        const Folder *f = folder_get();
        int fd = open(f->own, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
                exit(1);
        *ret_path = f->own;
        return fd;
}
