/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "broker/user.h"
#include "build-config.h"
#include "cli/daemon.h"
#include "cli/doctor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
        /* What Linux 5.9 brought is used without asking. */
        KERNEL_MAJOR = 5,
        KERNEL_MINOR = 9,
        LANDLOCK_ASK_VERSION = 1, /* LANDLOCK_CREATE_RULESET_VERSION */
};

typedef struct KernelFeature {
        unsigned major, minor;
        const char *lost;
} KernelFeature;

/* In the order in which kernels have got them. */
static const KernelFeature kernel_features[] = {
        { 5, 13, "Landlock, which confines the process that reads an image" },
        { 6, 8,
          "numbers of mounts that are never used again, so that no view is taken for another" },
        { 6, 9, "passthrough, which makes views of plain files as fast as the files" },
        { 6, 14, "writes past the page cache side by side" },
};

/* All that is missing is one note: who has an older kernel knows it, and has it on purpose. */
static void system_look_at_version(Doctor *d)
{
        const size_t count = sizeof(kernel_features) / sizeof(kernel_features[0]);
        unsigned major = 0, minor = 0;
        char lost[1024] = "", mend[64] = "";
        struct utsname name;

        if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
                return;
        if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR)) {
                snprintf(mend, sizeof(mend), "a kernel from %d.%d on", KERNEL_MAJOR, KERNEL_MINOR);
                doctor_say(d, DOCTOR_BAD, "kernel", mend,
                           "Linux %u.%u is too old: it lacks close_range or openat2", major, minor);
                return;
        }
        for (size_t i = 0; i < count; i++) {
                const KernelFeature *f = &kernel_features[i];
                size_t len = strlen(lost);
                if (major > f->major || (major == f->major && minor >= f->minor))
                        continue;
                snprintf(lost + len, sizeof(lost) - len, "%s%s (%u.%u)", len ? "; " : "", f->lost,
                         f->major, f->minor);
                snprintf(mend, sizeof(mend), "a kernel from %u.%u on", f->major, f->minor);
        }
        if (lost[0])
                doctor_say(d, DOCTOR_NOTE, "kernel", mend, "Linux %u.%u does without: %s", major,
                           minor, lost);
        else
                doctor_say(d, DOCTOR_OK, "kernel", NULL, "Linux %u.%u has all that is of use",
                           major, minor);
}

static void system_look_at_sandbox(Doctor *d)
{
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
                doctor_say(d, DOCTOR_BAD, path, doctor_reinstall(), "cannot be run: %s",
                           strerror(errno));
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
                doctor_say(d, DOCTOR_OK, "user rawview", NULL, "is there, who reads images");
        else
                doctor_say(
                        d, DOCTOR_NOTE, "user rawview", DOCTOR_ROOT "systemd-sysusers rawview.conf",
                        "does not exist: the images of root's views are read by a process of root's, "
                        "confined by less");
}

void doctor_look_at_system(Doctor *d)
{
        system_look_at_version(d);
        system_look_at_sandbox(d);
        system_look_at_programs(d);
}
