/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Refusals of AppArmor and SELinux: in the journal, where the kernel speaks ("audit: type=1400 …") and where journald listens to
 * audit itself ("AVC avc: …"), and in the log of auditd, which takes them away from the kernel's.
 */
#include "base/attempt.h"
#include "base/cleanup.h"
#include "cli/denial.h"
#include "cli/doctor.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#define DENIALS_PROFILES "/sys/kernel/security/apparmor/policy/profiles"
#define DENIALS_LOG "/var/log/audit/audit.log"

enum {
        DENIALS_LOOKED_AT = 20000, /* messages of the kernel */
        DENIALS_LOG_MAX = 1 << 20, /* bytes, the last of the log */
        DENIALS_AGE_SEC = 3600,
        DENIALS_SHOWN = 4,
        DENIALS_MAX = 16,
        DENIALS_LIMIT_MS = 2000,
};

typedef struct Denials {
        uint64_t oldest; /* microseconds since 1970; what is older counts no more */
        bool has_log;
        size_t count;
        Denial list[DENIALS_MAX]; /* of several alike the newest that was met first */
} Denials;

static uint64_t denials_time(struct timespec t)
{
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Has anything of this pattern been made since? What is not there any more has no say: `missing`. */
static bool denials_made_since(const char *pattern, uint64_t when, bool missing)
{
        glob_t found = { 0 };
        bool made = missing;
        struct stat st;

        if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
                made = false;
                for (size_t i = 0; i < found.gl_pathc && !made; i++)
                        made = stat(found.gl_pathv[i], &st) == 0 && denials_time(st.st_mtim) > when;
        }
        globfree(&found);
        return made;
}

/* It may lie where looking takes for ever. */
static int denials_attempt(const void *arg, int folder, void *result)
{
        const char *path = arg;
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        *(uint64_t *)result = denials_time(st.st_ctim);
        return 0;
}

static bool denials_object_changed_since(const char *path, uint64_t when)
{
        Attempt attempt;
        uint64_t changed = 0;

        if (path[0] != '/')
                return false;
        int r = attempt_start(denials_attempt, path, -1, sizeof(changed), &attempt);
        if (r >= 0)
                r = attempt_finish(&attempt, DENIALS_LIMIT_MS, &changed);
        return r >= 0 && changed > when;
}

/* Whoever has mended it since is not told again: the profile was loaded anew or taken away, or the policy loaded, or the file has another label. */
static bool denials_is_over(const Denial *d, uint64_t when)
{
        char pattern[sizeof(d->profile) + 128];

        if (d->by == DENIAL_BY_SELINUX)
                return denials_made_since("/sys/fs/selinux/class", when, false) ||
                       denials_object_changed_since(d->object, when);
        if (strpbrk(d->profile, "*?[\\/"))
                return false;
        snprintf(pattern, sizeof(pattern), DENIALS_PROFILES "/%s.*/*", d->profile);
        return denials_made_since(pattern, when, access(DENIALS_PROFILES, R_OK | X_OK) == 0);
}

/* `when` is what the journal says; what the message says is the same moment, but of the kernel's clock. */
static void denials_take(Denials *a, const char *text, uint64_t when)
{
        Denial *d = &a->list[a->count];

        if (a->count == DENIALS_MAX || !denial_parse(text, d) || when < a->oldest)
                return;
        for (size_t i = 0; i < a->count; i++)
                if (denial_equal(&a->list[i], d))
                        return;
        if (!denials_is_over(d, when))
                a->count++;
}

/* Returns whether this user sees what the kernel says. */
static bool denials_read_journal(Denials *a)
{
        sd_journal *j = NULL;
        uint64_t when = 0;
        bool sees = false;

        if (sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM) < 0)
                return false;
        bool reads = sd_journal_add_match(j, "_TRANSPORT=kernel", 0) >= 0 &&
                     sd_journal_add_match(j, "_TRANSPORT=audit", 0) >= 0 &&
                     sd_journal_seek_tail(j) >= 0;
        for (int i = 0; reads && a->count < DENIALS_MAX && i < DENIALS_LOOKED_AT; i++) {
                const void *bytes = NULL;
                size_t len = 0;
                if (sd_journal_previous(j) <= 0)
                        break;
                sees = true;
                if (sd_journal_get_realtime_usec(j, &when) < 0 || when < a->oldest)
                        break;
                if (sd_journal_get_data(j, "MESSAGE", &bytes, &len) < 0)
                        continue;
                _cleanup_free_ char *text = strndup(bytes, len);
                if (text)
                        denials_take(a, text, when);
        }
        sd_journal_close(j);
        return sees;
}

static bool denials_read_log(Denials *a)
{
        _cleanup_stream_ FILE *f = fopen(DENIALS_LOG, "re");
        _cleanup_free_ char *line = NULL;
        size_t room = 0;
        uint64_t when = 0;

        if (!f)
                return false;
        /* From the middle of a line on, perhaps, which is then no refusal. */
        if (fseek(f, -(long)DENIALS_LOG_MAX, SEEK_END) < 0)
                rewind(f);
        while (getline(&line, &room, f) > 0)
                if (denial_find_time(line, &when))
                        denials_take(a, line, when);
        return true;
}

static void denials_say(Doctor *d, const Denial *denial, bool has_log)
{
        _cleanup_free_ char *text = denial_describe(denial);
        _cleanup_free_ char *line = denial_mend(denial, has_log), *mend = NULL;

        if (line && asprintf(&mend, DOCTOR_ROOT "%s", line) < 0)
                mend = NULL;

        doctor_say(d, denial->was_let_pass ? DOCTOR_NOTE : DOCTOR_BAD,
                   denial->by == DENIAL_BY_APPARMOR ? "AppArmor" : "SELinux", mend, "%s",
                   text ? text : "has refused something");
}

void doctor_look_at_denials(Doctor *d)
{
        _cleanup_free_ Denials *a = calloc(1, sizeof(*a));
        struct timespec now;

        if (!a)
                return;
        clock_gettime(CLOCK_REALTIME, &now);
        a->oldest = denials_time(now) - (uint64_t)DENIALS_AGE_SEC * 1000000;
        a->has_log = access(DENIALS_LOG, F_OK) == 0;
        bool sees = denials_read_journal(a);
        sees = denials_read_log(a) || sees;
        for (size_t i = 0; i < a->count && i < DENIALS_SHOWN; i++)
                denials_say(d, &a->list[i], a->has_log);
        if (a->count > DENIALS_SHOWN)
                doctor_say(d, DOCTOR_NOTE, "refusals", "the lines above, then: rawview doctor",
                           "%zu more are there within the last hour", a->count - DENIALS_SHOWN);
        else if (a->count == 0 && sees)
                doctor_say(d, DOCTOR_OK, "refusals", NULL,
                           "there is none of AppArmor or SELinux within the last hour");
        else if (a->count == 0)
                doctor_say(d, DOCTOR_OK, "refusals", NULL,
                           "of AppArmor or SELinux are not for this user to see");
}
