/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is what AppArmor and SELinux are to enforce in force? */
#include "base/cleanup.h"
#include "build-config.h"
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define POLICY_APPARMOR "/sys/module/apparmor/parameters/enabled"
#define POLICY_PROFILES "/sys/kernel/security/apparmor/policy/profiles"
#define POLICY_SELINUX "/sys/fs/selinux"
#define POLICY_MODULE "/usr/share/selinux/packages/rawview.pp"
#define POLICY_LABEL "system_u:object_r:rawviewd_exec_t:s0"

#ifdef RAWVIEW_APPARMORDIR
/* What the kernel says of a profile, which everybody may read, unlike the list of all. "": it is not loaded. */
static void policy_find_mode(const char *name, char ret[64])
{
        char pattern[128];
        glob_t found = { 0 };

        ret[0] = '\0';
        snprintf(pattern, sizeof(pattern), POLICY_PROFILES "/%s.*/mode", name);
        if (glob(pattern, 0, NULL, &found) == 0) {
                _cleanup_stream_ FILE *f = fopen(found.gl_pathv[0], "re");
                if (f && fgets(ret, 64, f))
                        ret[strcspn(ret, "\n")] = '\0';
        }
        globfree(&found);
}

static void policy_look_at_profile(Doctor *d, const char *name)
{
        char mode[64], mend[128];

        policy_find_mode(name, mode);
        if (mode[0] == '\0') {
                doctor_say(d, DOCTOR_NOTE, "AppArmor",
                           DOCTOR_ROOT "apparmor_parser -r " RAWVIEW_APPARMORDIR "/rawview",
                           "has not loaded the profile %s: that program is confined by less", name);
        } else if (strcmp(mode, "enforce") != 0) {
                snprintf(mend, sizeof(mend), DOCTOR_ROOT "aa-enforce %s", name);
                doctor_say(d, DOCTOR_NOTE, "AppArmor", mend,
                           "only watches the profile %s (%s): that program is confined by less",
                           name, mode);
        } else {
                doctor_say(d, DOCTOR_OK, "AppArmor", NULL, "enforces the profile %s", name);
        }
}

static void policy_look_at_apparmor(Doctor *d)
{
        _cleanup_stream_ FILE *enabled = fopen(POLICY_APPARMOR, "re");

        if (!enabled || fgetc(enabled) != 'Y')
                return;
        if (access(RAWVIEW_APPARMORDIR "/rawview", F_OK) < 0) {
                doctor_say(d, DOCTOR_NOTE, RAWVIEW_APPARMORDIR "/rawview", doctor_reinstall(),
                           "is missing: AppArmor does not confine the service");
                return;
        }
        if (access(POLICY_PROFILES, R_OK | X_OK) < 0) {
                doctor_say(d, DOCTOR_OK, "AppArmor", NULL,
                           "may have loaded the profiles or not: this user cannot see that");
                return;
        }
        policy_look_at_profile(d, "rawviewd");
        policy_look_at_profile(d, "rawview-worker");
}
#else
static void policy_look_at_apparmor(Doctor *d)
{
}
#endif

/* The kernel takes a context only if it knows each part of it. */
static bool policy_knows_label(void)
{
        _cleanup_close_ int fd = open(POLICY_SELINUX "/context", O_RDWR | O_CLOEXEC);

        return fd < 0 || write(fd, POLICY_LABEL, sizeof(POLICY_LABEL)) >= 0 || errno != EINVAL;
}

static void policy_look_at_selinux(Doctor *d)
{
        static const char program[] = RAWVIEW_LIBEXECDIR "/rawviewd";
        char label[256];

        if (access(POLICY_SELINUX "/enforce", F_OK) < 0 || access(program, F_OK) < 0)
                return;
        if (!policy_knows_label()) {
                bool is_there = access(POLICY_MODULE, F_OK) == 0;
                doctor_say(d, DOCTOR_NOTE, "SELinux",
                           is_there
                                   ? DOCTOR_ROOT "semodule -i " POLICY_MODULE
                                                 " && restorecon -R " RAWVIEW_LIBEXECDIR
                                                 " /etc/rawview /run/rawview"
                                   : "the package rawview-selinux, or policy/selinux of the source",
                           "has not loaded the module rawview: the service is confined by less");
                return;
        }
        ssize_t n = getxattr(program, "security.selinux", label, sizeof(label) - 1);
        label[n < 0 ? 0 : n] = '\0';
        if (!strstr(label, ":rawviewd_exec_t:"))
                doctor_say(d, DOCTOR_NOTE, program,
                           DOCTOR_ROOT "restorecon -R " RAWVIEW_LIBEXECDIR
                                       " /etc/rawview /run/rawview",
                           "has the label %s: the service is confined by less",
                           label[0] ? label : "of nothing");
        else
                doctor_say(d, DOCTOR_OK, "SELinux", NULL, "has the module rawview");
}

void doctor_look_at_policy(Doctor *d)
{
        policy_look_at_apparmor(d);
        policy_look_at_selinux(d);
}
