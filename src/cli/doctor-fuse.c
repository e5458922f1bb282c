/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FUSE_DEVICE "/dev/fuse"
#define FUSE_CONF "/etc/fuse.conf"

enum {
        FUSE_MAJOR = 10,
        FUSE_MINOR = 229,
        FUSE_MOUNTS_DEFAULT = 1000, /* of fusermount3 */
        CAP_SYS_ADMIN_BIT = 21,
};

/* Does a line of the file begin with these words? `ret` gets what follows in the last one, which is the one that counts. */
static bool fuse_find_line(const char *path, const char *word, char *ret, size_t room)
{
        _cleanup_stream_ FILE *f = fopen(path, "re");
        bool found = false;
        char line[512];

        while (f && fgets(line, sizeof(line), f)) {
                const char *at = line + strspn(line, " \t");
                if (strncmp(at, word, strlen(word)) != 0)
                        continue;
                snprintf(ret, room, "%s", at + strlen(word));
                ret[strcspn(ret, "\n")] = '\0';
                found = true;
        }
        return found;
}

static bool fuse_is_in_kernel(void)
{
        char rest[8];

        return fuse_find_line("/proc/filesystems", "nodev\tfuse", rest, sizeof(rest));
}

static void fuse_say_missing(Doctor *d)
{
        if (fuse_is_in_kernel())
                doctor_say(d, DOCTOR_BAD, FUSE_DEVICE,
                           DOCTOR_ROOT "mknod -m 666 " FUSE_DEVICE
                                       " c 10 229   (a container: start it with "
                                       "--device " FUSE_DEVICE ")",
                           "is missing, though the kernel has FUSE");
        else
                doctor_say(d, DOCTOR_BAD, FUSE_DEVICE, DOCTOR_ROOT "modprobe fuse",
                           "is missing, and the kernel has no FUSE: its module is not loaded");
}

static void fuse_say_refused(Doctor *d, int error, mode_t mode)
{
        if (error == ENODEV || error == ENXIO)
                doctor_say(d, DOCTOR_BAD, FUSE_DEVICE, DOCTOR_ROOT "modprobe fuse",
                           "cannot be opened: the module of FUSE is not loaded");
        else if ((mode & 0666) != 0666)
                doctor_say(d, DOCTOR_BAD, FUSE_DEVICE, DOCTOR_ROOT "chmod 666 " FUSE_DEVICE,
                           "cannot be opened by this user: its mode is %04o",
                           (unsigned)mode & 07777);
        else
                doctor_say(d, DOCTOR_BAD, FUSE_DEVICE,
                           "DeviceAllow=" FUSE_DEVICE " rw in the unit   (a container: start it "
                           "with --device " FUSE_DEVICE ")",
                           "cannot be opened (%s): the device policy of this service or container, "
                           "or a mount option nodev, refuses it",
                           strerror(error));
}

static void fuse_look_at_device(Doctor *d)
{
        struct stat st;

        if (stat(FUSE_DEVICE, &st) < 0) {
                fuse_say_missing(d);
                return;
        }
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(FUSE_MAJOR, FUSE_MINOR)) {
                doctor_say(d, DOCTOR_BAD, FUSE_DEVICE,
                           DOCTOR_ROOT "rm " FUSE_DEVICE " && mknod -m 666 " FUSE_DEVICE
                                       " c 10 229",
                           "is not the character device 10:229");
                return;
        }
        _cleanup_close_ int fd = open(FUSE_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                fuse_say_refused(d, errno, st.st_mode);
        else
                doctor_say(d, DOCTOR_OK, FUSE_DEVICE, NULL, "can be opened");
}

static bool fuse_find_program(char *path, size_t room)
{
        static const char *const folders[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
                snprintf(path, room, "%s/fusermount3", folders[i]);
                if (access(path, F_OK) == 0)
                        return true;
        }
        return false;
}

/* What an ordinary user mounts with; to root it is others' matter. */
static void fuse_look_at_program(Doctor *d)
{
        DoctorGrade grade = geteuid() == 0 ? DOCTOR_NOTE : DOCTOR_BAD;
        char path[64], mend[256];
        struct stat st;
        struct statvfs fs;

        if (!fuse_find_program(path, sizeof(path)) || stat(path, &st) < 0) {
                doctor_say(d, grade, "fusermount3",
                           access("/usr/bin/dnf", X_OK) == 0 ? DOCTOR_ROOT "dnf install fuse3"
                           : access("/usr/bin/zypper", X_OK) == 0
                                   ? DOCTOR_ROOT "zypper install fuse3"
                                   : DOCTOR_ROOT "apt-get install fuse3",
                           "is missing; ordinary users mount with it");
                return;
        }
        if (st.st_uid != 0 || !(st.st_mode & S_ISUID)) {
                snprintf(mend, sizeof(mend), DOCTOR_ROOT "chown root %s && chmod 4755 %s", path,
                         path);
                doctor_say(d, grade, path, mend,
                           "is not set-user-ID root, so that ordinary users cannot mount");
        } else if (access(path, X_OK) < 0) {
                snprintf(mend, sizeof(mend), DOCTOR_ROOT "chmod 4755 %s", path);
                doctor_say(d, grade, path, mend, "may not be executed by this user");
        } else if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID)) {
                doctor_say(
                        d, grade, path, DOCTOR_ROOT "mount -o remount,suid FILE-SYSTEM",
                        "lies on a file system that is mounted nosuid, so that it gets no rights");
        } else if (geteuid() != 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
                doctor_say(d, DOCTOR_BAD, path, "NoNewPrivileges=no in the unit that started this",
                           "gets no rights here: this process may not gain any (no_new_privs)");
        } else {
                doctor_say(d, DOCTOR_OK, path, NULL, "is set-user-ID root");
        }
}

static size_t fuse_count_mounts(void)
{
        _cleanup_mount_table_ MountTable t = { 0 };
        size_t count = 0;
        Err err;

        if (mount_table_read(&t, &err) < 0)
                return 0;
        for (size_t i = 0; i < t.count; i++)
                count += strncmp(t.entries[i].type, "fuse", 4) == 0 &&
                         strcmp(t.entries[i].type, "fusectl") != 0;
        return count;
}

static void fuse_look_at_conf(Doctor *d)
{
        char value[64] = "", mend[128];
        size_t count = fuse_count_mounts();
        unsigned long most = FUSE_MOUNTS_DEFAULT;

        if (geteuid() == 0)
                return;
        if (access(FUSE_CONF, F_OK) == 0 && access(FUSE_CONF, R_OK) < 0) {
                doctor_say(d, DOCTOR_NOTE, FUSE_CONF, DOCTOR_ROOT "chmod 644 " FUSE_CONF,
                           "cannot be read by this user");
                return;
        }
        if (fuse_find_line(FUSE_CONF, "mount_max", value, sizeof(value)))
                most = strtoul(value + strspn(value, " \t="), NULL, 10);
        if (count >= most) {
                snprintf(mend, sizeof(mend), DOCTOR_ROOT "echo mount_max = %zu >>" FUSE_CONF,
                         count + FUSE_MOUNTS_DEFAULT);
                doctor_say(d, DOCTOR_BAD, FUSE_CONF, mend,
                           "allows %lu mounts of ordinary users (mount_max), and there are %zu",
                           most, count);
        }
        if (fuse_find_line(FUSE_CONF, "user_allow_other", value, sizeof(value)))
                doctor_say(d, DOCTOR_OK, FUSE_CONF, NULL, "has user_allow_other");
        else
                doctor_say(
                        d, DOCTOR_NOTE, FUSE_CONF, DOCTOR_ROOT "echo user_allow_other >>" FUSE_CONF,
                        "has no user_allow_other: nobody else, root neither, can use your views");
}

/* Root that may not mount, as in most containers. */
static void fuse_look_at_rights(Doctor *d)
{
        char value[64] = "";

        if (geteuid() != 0 || !fuse_find_line("/proc/self/status", "CapEff:", value, sizeof(value)))
                return;
        if (strtoull(value, NULL, 16) >> CAP_SYS_ADMIN_BIT & 1)
                doctor_say(d, DOCTOR_OK, "root", NULL, "may mount");
        else
                doctor_say(d, DOCTOR_BAD, "root",
                           "a container: start it with --cap-add SYS_ADMIN --device " FUSE_DEVICE,
                           "has no CAP_SYS_ADMIN here, and can mount nothing");
}

void doctor_look_at_fuse(Doctor *d)
{
        fuse_look_at_device(d);
        fuse_look_at_program(d);
        fuse_look_at_conf(d);
        fuse_look_at_rights(d);
}
