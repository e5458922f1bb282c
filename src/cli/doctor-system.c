/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "broker/user.h"
#include "build-config.h"
#include "cli/daemon.h"
#include "cli/doctor.h"
#include "cli/own-place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
        LANDLOCK_ASK_VERSION = 1, /* LANDLOCK_CREATE_RULESET_VERSION */
};

typedef struct KernelFeature {
        unsigned major, minor;
        const char *lost;
} KernelFeature;

/* In the order in which kernels have got them. */
static const KernelFeature kernel_features[] = {
        { 5, 13, "Landlock, which keeps the process that reads an image from opening anything" },
        { 6, 8,
          "numbers of mounts that are never used again: in rare cases a view may be taken for "
          "another one at its end" },
        { 6, 9, "passthrough: views of plain files are served by a process, and are slower" },
        { 6, 14, "writes past the page cache that go side by side" },
};

static void system_look_at_kernel(Doctor *d)
{
        unsigned major = 0, minor = 0;
        struct utsname name;

        if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
                return;
        for (size_t i = 0; i < sizeof(kernel_features) / sizeof(kernel_features[0]); i++) {
                const KernelFeature *f = &kernel_features[i];
                char mend[64];
                if (major > f->major || (major == f->major && minor >= f->minor))
                        continue;
                snprintf(mend, sizeof(mend), "a kernel from %u.%u on", f->major, f->minor);
                doctor_say(d, DOCTOR_NOTE, "kernel", mend, "Linux %u.%u has not: %s", major, minor,
                           f->lost);
        }
        if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_ASK_VERSION) < 0)
                doctor_say(d, DOCTOR_NOTE, "Landlock",
                           "lsm=landlock,… on the kernel's command line",
                           "is not to be had (%s): the process that reads an image is confined by "
                           "less",
                           strerror(errno));
        else
                doctor_say(d, DOCTOR_OK, "Landlock", NULL, "is there");
        if (access("/proc/sys/kernel/seccomp/actions_avail", F_OK) < 0)
                doctor_say(d, DOCTOR_NOTE, "seccomp", "a kernel with CONFIG_SECCOMP_FILTER",
                           "is not to be had: the process that reads an image is confined by less");
        else
                doctor_say(d, DOCTOR_OK, "seccomp", NULL, "is there");
}

static void system_look_at_program(Doctor *d, const char *path)
{
        if (access(path, X_OK) == 0)
                doctor_say(d, DOCTOR_OK, path, NULL, "can be run");
        else
                doctor_say(d, DOCTOR_BAD, path, "apt install --reinstall rawview",
                           "cannot be run: %s", strerror(errno));
}

/* The worker lies beside the service. */
static void system_look_at_programs(Doctor *d)
{
        char service[PATH_MAX], worker[PATH_MAX];
        uint32_t uid, gid;

        daemon_find(service);
        system_look_at_program(d, service);
        int folder = (int)(strrchr(service, '/') - service);
        if (snprintf(worker, sizeof(worker), "%.*s/rawview-worker", folder, service) < PATH_MAX)
                system_look_at_program(d, worker);
        if (geteuid() != 0)
                return;
        if (broker_find_user(&uid, &gid))
                doctor_say(d, DOCTOR_OK, "rawview", NULL, "is there, the user of workers");
        else
                doctor_say(
                        d, DOCTOR_NOTE, "rawview", "systemd-sysusers rawview.conf",
                        "is missing, the user as whom images are read: root's views are read by a "
                        "process of root's, confined by less");
}

static void system_look_at_folder(Doctor *d)
{
        _cleanup_free_ char *folder = NULL;
        struct statvfs fs;
        Err err;

        if (own_place_get_folder(&folder, &err) < 0) {
                doctor_say(d, DOCTOR_NOTE, "XDG_RUNTIME_DIR", "loginctl enable-linger",
                           "is not set: an image that cannot be covered is shown nowhere unless a "
                           "mount point is named");
                return;
        }
        char *slash = strrchr(folder, '/');
        if (access(folder, F_OK) < 0 && slash && slash != folder)
                *slash = '\0';
        if (access(folder, W_OK) < 0)
                doctor_say(d, DOCTOR_NOTE, folder, "a mount point of your own, as the second word",
                           "cannot be written to (%s): no view can be put there", strerror(errno));
        else if (statvfs(folder, &fs) == 0 && fs.f_blocks > 0 &&
                 (fs.f_bavail == 0 || (fs.f_files > 0 && fs.f_favail == 0)))
                doctor_say(d, DOCTOR_BAD, folder, "files there that nobody needs, removed",
                           "is full: no mount point can be made there");
        else
                doctor_say(d, DOCTOR_OK, folder, NULL, "has room for mount points");
}

void doctor_look_at_system(Doctor *d)
{
        system_look_at_kernel(d);
        system_look_at_programs(d);
        system_look_at_folder(d);
}
