/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What systemd, udev and polkit are to find of rawview, where they look, and whether it belongs to this command. */
#include "base/attempt.h"
#include "base/cleanup.h"
#include "build-config.h"
#include "cli/daemon.h"
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
        INSTALLED_VERSION_MAX = 64,
        INSTALLED_LIMIT_MS = 3000,
};

typedef struct InstalledPiece {
        const char *path, *lost;
        const char *only_with; /* NULL: always */
} InstalledPiece;

#define INSTALLED_UNIT "rawview@.service"
#define INSTALLED_SYSUSERS RAWVIEW_SYSUSERSDIR "/rawview.conf"
#define INSTALLED_TMPFILES RAWVIEW_TMPFILESDIR "/rawview.conf"

static const InstalledPiece installed_pieces[] = {
        { RAWVIEW_UNITDIR "/rawview.target", "systemctl enable rawview@NAME has no effect", NULL },
        { RAWVIEW_USERUNITDIR "/rawview.target",
          "systemctl --user enable rawview@NAME has no effect", NULL },
        { RAWVIEW_GENERATORDIR "/rawview-generator", "Automatic=yes shows nothing at boot", NULL },
        { RAWVIEW_USERGENERATORDIR "/rawview-generator", "Automatic=yes shows nothing at login",
          NULL },
        { INSTALLED_SYSUSERS, "systemd makes no user for the process that reads images", NULL },
        { INSTALLED_TMPFILES, "nobody makes /etc/rawview and /run/rawview", NULL },
        { RAWVIEW_UDEVRULESDIR "/61-rawview.rules",
          "loop devices over views are not in /dev/disk/by-rawview", "/run/udev" },
        { RAWVIEW_UDEVDIR "/rawview-id", "loop devices over views are not in /dev/disk/by-rawview",
          "/run/udev" },
#ifdef RAWVIEW_POLKITRULESDIR
        { RAWVIEW_POLKITRULESDIR "/rawview.rules",
          "members of the group rawview may not start views", "/usr/share/polkit-1/actions" },
#endif
};

const char *doctor_reinstall(void)
{
        if (access("/usr/bin/apt-get", X_OK) == 0)
                return DOCTOR_ROOT "apt-get install --reinstall rawview";
        if (access("/usr/bin/dnf", X_OK) == 0)
                return DOCTOR_ROOT "dnf reinstall rawview";
        if (access("/usr/bin/zypper", X_OK) == 0)
                return DOCTOR_ROOT "zypper install --force rawview";
        return "the package rawview, installed again";
}

/* In a child: the program may be anything by now. "rawviewd 0.1.0" */
static int installed_attempt(const void *arg, int folder, void *result)
{
        const char *program = arg;
        char *const argv[] = { (char *)program, (char *)"--version", NULL };
        char text[INSTALLED_VERSION_MAX] = "";
        posix_spawn_file_actions_t actions;
        int ends[2];
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
        int r = posix_spawn(&pid, program, &actions, NULL, argv, environ);
        close(ends[1]);
        if (r != 0)
                return -r;
        ssize_t n = read(ends[0], text, sizeof(text) - 1);
        text[n < 0 ? 0 : n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        char *version = strrchr(text, ' ');
        if (strncmp(text, "rawviewd ", 9) != 0 || !version)
                return -ENODATA;
        snprintf(result, INSTALLED_VERSION_MAX, "%s", version + 1);
        return 0;
}

static void installed_compare(Doctor *d, const char *about, const char *program)
{
        char version[INSTALLED_VERSION_MAX] = "";
        Attempt attempt;

        int r = attempt_start(installed_attempt, program, -1, sizeof(version), &attempt);
        if (r >= 0)
                r = attempt_finish(&attempt, INSTALLED_LIMIT_MS, version);
        if (r < 0)
                doctor_say(d, DOCTOR_BAD, about, doctor_reinstall(),
                           "%s%s does not say its version: %s", about == program ? "" : "starts ",
                           about == program ? "it" : program, strerror(-r));
        else if (strcmp(version, RAWVIEW_VERSION) != 0)
                doctor_say(d, DOCTOR_BAD, about, doctor_reinstall(),
                           "%s of version %s, and this command is %s",
                           about == program ? "is" : "starts a rawviewd", version, RAWVIEW_VERSION);
        else
                doctor_say(d, DOCTOR_OK, about, NULL, "is of the version of this command");
}

/* The first that systemd finds. "": there is none. */
static void installed_find_unit(const char *const *folders, char path[PATH_MAX])
{
        for (; *folders; folders++) {
                snprintf(path, PATH_MAX, "%s/" INSTALLED_UNIT, *folders);
                if (access(path, F_OK) == 0)
                        return;
        }
        path[0] = '\0';
}

/* The program behind the first ExecStart=. */
static bool installed_read_unit(const char *path, char program[PATH_MAX])
{
        _cleanup_stream_ FILE *f = fopen(path, "re");
        _cleanup_free_ char *line = NULL;
        size_t room = 0;

        while (f && getline(&line, &room, f) > 0) {
                const char *at = line + strspn(line, " \t");
                if (strncmp(at, "ExecStart=", 10) != 0)
                        continue;
                at += 10;
                at += strspn(at, "@-:+!");
                snprintf(program, PATH_MAX, "%.*s", (int)strcspn(at, " \t\n"), at);
                return program[0] == '/';
        }
        return false;
}

static void installed_look_at_unit(Doctor *d, const char *const *folders, const char *user)
{
        char path[PATH_MAX], link[PATH_MAX], program[PATH_MAX], mend[128];

        installed_find_unit(folders, path);
        if (path[0] == '\0') {
                doctor_say(d, DOCTOR_NOTE, INSTALLED_UNIT, doctor_reinstall(),
                           "is missing: systemctl %sstart rawview@NAME starts nothing", user);
                return;
        }
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        link[n < 0 ? 0 : n] = '\0';
        if (strcmp(link, "/dev/null") == 0) {
                snprintf(mend, sizeof(mend), DOCTOR_ROOT "systemctl %sunmask " INSTALLED_UNIT,
                         user[0] && strncmp(path, "/etc", 4) == 0 ? "--global " : user);
                doctor_say(d, DOCTOR_NOTE, path, mend,
                           "is masked: systemctl %sstart rawview@NAME starts nothing", user);
                return;
        }
        if (!installed_read_unit(path, program))
                doctor_say(d, DOCTOR_BAD, path, doctor_reinstall(), "has no ExecStart=");
        else if (access(program, X_OK) < 0)
                doctor_say(d, DOCTOR_BAD, path, doctor_reinstall(),
                           "starts %s, which cannot be run: %s", program, strerror(errno));
        else
                installed_compare(d, path, program);
}

static void installed_look_at_units(Doctor *d)
{
        /* systemd.unit(5), and where this was installed. */
        static const char *const system[] = { "/etc/systemd/system",
                                              "/run/systemd/system",
                                              "/usr/local/lib/systemd/system",
                                              "/usr/lib/systemd/system",
                                              "/lib/systemd/system",
                                              RAWVIEW_UNITDIR,
                                              NULL };
        static const char *const user[] = { "/etc/systemd/user",           "/run/systemd/user",
                                            "/usr/local/lib/systemd/user", "/usr/lib/systemd/user",
                                            RAWVIEW_USERUNITDIR,           NULL };

        installed_look_at_unit(d, system, "");
        installed_look_at_unit(d, user, "--user ");
}

static void installed_look_at_pieces(Doctor *d)
{
        for (size_t i = 0; i < sizeof(installed_pieces) / sizeof(installed_pieces[0]); i++) {
                const InstalledPiece *p = &installed_pieces[i];
                if (p->only_with && access(p->only_with, F_OK) < 0)
                        continue;
                /* A folder that is closed to this user says nothing of what is in it. */
                if (access(p->path, F_OK) < 0 && errno == ENOENT)
                        doctor_say(d, DOCTOR_NOTE, p->path, doctor_reinstall(), "is missing: %s",
                                   p->lost);
                else
                        doctor_say(d, DOCTOR_OK, p->path, NULL, "is there");
        }
        if (access("/etc/rawview", F_OK) < 0 && access(INSTALLED_TMPFILES, F_OK) == 0)
                doctor_say(d, DOCTOR_NOTE, "/etc/rawview",
                           DOCTOR_ROOT "systemd-tmpfiles --create rawview.conf",
                           "is missing, the folder of descriptors");
}

void doctor_look_at_installed(Doctor *d)
{
        char service[PATH_MAX];

        daemon_find(service);
        if (access(service, X_OK) == 0)
                installed_compare(d, service, service);
        if (sd_booted() <= 0)
                return;
        if (access(RAWVIEW_LIBEXECDIR "/rawviewd", F_OK) < 0 && access(service, F_OK) == 0) {
                doctor_say(d, DOCTOR_NOTE, "rawview", "meson install",
                           "runs from where it was built: there are no units of it");
                return;
        }
        installed_look_at_units(d);
        installed_look_at_pieces(d);
}
