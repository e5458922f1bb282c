/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/view-service.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t service_read(int folder, const char *path, char *text, size_t room)
{
        _cleanup_close_ int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, room - 1);

        text[n < 0 ? 0 : n] = '\0';
        return n;
}

/* "123 (name) S 1 …" */
static bool service_read_process(const char *pid, const char *name, ViewProcess *ret, pid_t *parent)
{
        char path[64], text[512];

        snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
        if (service_read(AT_FDCWD, path, text, sizeof(text)) <= 0)
                return false;
        char *open = strchr(text, '('), *close = strrchr(text, ')');
        if (!open || !close || (size_t)(close - open - 1) != strlen(name) ||
            strncmp(open + 1, name, strlen(name)) != 0 ||
            sscanf(close + 1, " %c %d", &ret->state, parent) != 2)
                return false;
        ret->pid = atoi(pid);
        snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
        if (service_read(AT_FDCWD, path, text, sizeof(text)) > 0) {
                const char *tracer = strstr(text, "\nTracerPid:");
                ret->tracer = tracer ? atoi(tracer + strlen("\nTracerPid:")) : 0;
        }
        return true;
}

typedef enum ServiceTie {
        SERVICE_TIE_NONE,
        SERVICE_TIE_IMAGE,      /* it has the image open; of that there may be several views */
        SERVICE_TIE_CONNECTION, /* this very mount, which newer kernels tell */
} ServiceTie;

/* A link to an open file is read without asking its file system. */
static ServiceTie service_tie(const char *pid, const MountEntry *e)
{
        char path[64], link[PATH_MAX], text[1024], wanted[64];
        ServiceTie tie = SERVICE_TIE_NONE;

        snprintf(wanted, sizeof(wanted), "\nfuse_connection:\t%u\n", e->device_minor);
        snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
        _cleanup_dir_ DIR *fds = opendir(path);
        snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
        _cleanup_close_ int notes = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (!fds || notes < 0)
                return tie;
        for (struct dirent *at; (at = readdir(fds));) {
                if (!isdigit((unsigned char)at->d_name[0]))
                        continue;
                if (service_read(notes, at->d_name, text, sizeof(text)) > 0 && strstr(text, wanted))
                        return SERVICE_TIE_CONNECTION;
                ssize_t n = readlinkat(dirfd(fds), at->d_name, link, sizeof(link) - 1);
                link[n < 0 ? 0 : n] = '\0';
                if (n > 0 && strcmp(link, e->source) == 0)
                        tie = SERVICE_TIE_IMAGE;
        }
        return tie;
}

/* Anybody may call a process so: it must be that of who has mounted the view. What may not be looked at is shown as root's. */
static bool service_may_be_of(const char *pid, const MountEntry *e)
{
        char path[64];
        struct stat st;
        uid_t user = 0;

        snprintf(path, sizeof(path), "/proc/%.20s", pid);
        return stat(path, &st) == 0 && mount_entry_get_user(e, &user) &&
               (st.st_uid == user || st.st_uid == 0);
}

static void service_find_daemon(DIR *proc, const MountEntry *e, ViewProcess *ret)
{
        ServiceTie best = SERVICE_TIE_NONE;
        size_t alike = 0;
        pid_t parent;

        rewinddir(proc);
        for (struct dirent *at; (at = readdir(proc));) {
                ViewProcess p = { 0 };
                if (!isdigit((unsigned char)at->d_name[0]) ||
                    !service_read_process(at->d_name, "rawviewd", &p, &parent) ||
                    !service_may_be_of(at->d_name, e))
                        continue;
                ServiceTie tie = service_tie(at->d_name, e);
                if (tie == SERVICE_TIE_NONE || tie < best)
                        continue;
                alike = tie == best ? alike + 1 : 1;
                best = tie;
                *ret = p;
        }
        if (alike != 1)
                *ret = (ViewProcess){ 0 };
}

void view_service_find(const MountEntry *e, ViewService *ret)
{
        _cleanup_dir_ DIR *proc = opendir("/proc");
        pid_t parent = 0;

        memset(ret, 0, sizeof(*ret));
        if (!proc)
                return;
        service_find_daemon(proc, e, &ret->daemon);
        if (ret->daemon.pid == 0)
                return;
        rewinddir(proc);
        for (struct dirent *at; (at = readdir(proc));) {
                ViewProcess p = { 0 };
                if (isdigit((unsigned char)at->d_name[0]) &&
                    service_read_process(at->d_name, "rawview-worker", &p, &parent) &&
                    parent == ret->daemon.pid)
                        ret->worker = p;
        }
}
