/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/holder.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
        /* Descriptors that are looked at in all. A busy host has some ten thousand; this many take about 0.2 seconds. */
        HOLDER_LOOKS_MAX = 32768,
        /* Locks stand before all that makes a long fdinfo long; a disk image has five at most. */
        HOLDER_TEXT_MAX = 4096,
};

/* A lock as a line of fdinfo shows it. */
typedef struct LockLine {
        LockedFile file;
        uint64_t first, last;
} LockLine;

/* Files of /proc, whole or as much as fits. Empty when it cannot be read. */
static void holder_read(int dir, const char *name, char *ret, size_t size)
{
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        size_t len = 0;

        while (fd >= 0 && len < size - 1) {
                ssize_t n = read(fd, ret + len, size - 1 - len);
                if (n <= 0)
                        break;
                len += (size_t)n;
        }
        ret[len] = '\0';
}

/* "lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:1234 201 201", where the last word may be EOF. */
static bool lock_line_parse(const char *line, LockLine *ret)
{
        char kind[16], last[24];

        if (sscanf(line, "lock: %*[0-9]: %15s %*s %*s %*s %63s %" SCNu64 " %23s", kind,
                   ret->file.name, &ret->first, last) != 4)
                return false;
        if (strcmp(kind, "OFDLCK") != 0 && strcmp(kind, "POSIX") != 0)
                return false;
        ret->last = strcmp(last, "EOF") == 0 ? UINT64_MAX : strtoull(last, NULL, 10);
        return true;
}

/* The next lock of a text of fdinfo; NULL after the last one. */
static const char *lock_line_next(const char *text, LockLine *ret)
{
        while (text && *text) {
                bool found = lock_line_parse(text, ret);
                const char *end = strchr(text, '\n');
                text = end ? end + 1 : text + strlen(text);
                if (found)
                        return text;
        }
        return NULL;
}

void locked_file_of_fd(int fd, LockedFile *ret)
{
        char name[64], text[HOLDER_TEXT_MAX];
        struct stat st = { 0 };
        LockLine line;

        snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
        holder_read(AT_FDCWD, name, text, sizeof(text));
        if (lock_line_next(text, &line)) {
                *ret = line.file;
                return;
        }
        if (fstat(fd, &st) < 0)
                st = (struct stat){ 0 };
        snprintf(ret->name, sizeof(ret->name), "%02x:%02x:%ju", major(st.st_dev), minor(st.st_dev),
                 (uintmax_t)st.st_ino);
}

static bool holder_has_lock(int fdinfo, const char *name, const LockedFile *file, unsigned byte)
{
        char text[HOLDER_TEXT_MAX];
        LockLine line;

        holder_read(fdinfo, name, text, sizeof(text));
        for (const char *t = lock_line_next(text, &line); t; t = lock_line_next(t, &line))
                if (line.first <= byte && byte <= line.last &&
                    strcmp(line.file.name, file->name) == 0)
                        return true;
        return false;
}

/* `looks` is what is left of the bound. */
static bool holder_is(int proc, const char *pid, const LockedFile *file, unsigned byte, int *looks)
{
        char name[64];

        snprintf(name, sizeof(name), "%.16s/fdinfo", pid);
        int fd = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return false;
        _cleanup_dir_ DIR *fdinfo = fdopendir(fd);
        if (!fdinfo) {
                close(fd);
                return false;
        }
        for (struct dirent *e = readdir(fdinfo); e && *looks > 0; e = readdir(fdinfo)) {
                if (e->d_name[0] == '.')
                        continue;
                --*looks;
                if (holder_has_lock(fd, e->d_name, file, byte))
                        return true;
        }
        return false;
}

bool holder_of_pid(pid_t pid, Holder *ret)
{
        char name[64];
        Holder h = { .pid = pid };

        snprintf(name, sizeof(name), "/proc/%d/comm", (int)pid);
        holder_read(AT_FDCWD, name, h.name, sizeof(h.name));
        h.name[strcspn(h.name, "\n")] = '\0';
        if (!h.name[0])
                return false;
        *ret = h;
        return true;
}

bool holder_find(const LockedFile *file, unsigned byte, Holder *ret)
{
        _cleanup_dir_ DIR *proc = opendir("/proc");
        int looks = HOLDER_LOOKS_MAX;

        if (!proc)
                return false;
        for (struct dirent *e = readdir(proc); e && looks > 0; e = readdir(proc)) {
                if (e->d_name[0] < '1' || e->d_name[0] > '9')
                        continue;
                if (holder_is(dirfd(proc), e->d_name, file, byte, &looks))
                        return holder_of_pid((pid_t)strtol(e->d_name, NULL, 10), ret);
        }
        return false;
}
