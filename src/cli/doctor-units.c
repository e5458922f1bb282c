/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/attempt.h"
#include "base/cleanup.h"
#include "cli/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define UNITS_LIMIT_USEC (UINT64_C(3) * 1000000)

enum {
        UNITS_LIMIT_MS = 10000, /* for all of it */
        UNITS_MAX = 64,
        UNITS_JOURNAL_MAX = 2000,
};

static const char units_manager[] = "org.freedesktop.systemd1";

/* What rawviewd means with its exit status, and what helps. */
typedef struct UnitReason {
        int status;
        const char *meaning, *mend;
} UnitReason;

static const UnitReason unit_reasons[] = {
        { 64, "wrong usage", NULL },
        { 65, "the image is damaged, or of a kind that cannot be read", "rawview check IMAGE" },
        { 66, "there is no image", "Path= of the descriptor" },
        { 69, "something that is needed is missing", NULL },
        { 74, "I/O error", "journalctl -k" },
        { 75, "locked by another program", "the end of the program that holds the image" },
        { 77, "not permitted", NULL },
        { 78, "bad descriptor", NULL },
};

typedef struct FailedUnit {
        char *name, *path;
} FailedUnit;

static const UnitReason *unit_find_reason(int status)
{
        for (size_t i = 0; i < sizeof(unit_reasons) / sizeof(unit_reasons[0]); i++)
                if (unit_reasons[i].status == status)
                        return &unit_reasons[i];
        return NULL;
}

/* The last error that the unit has left in the journal, as far as it may be read. free() it; NULL: there is none. */
static char *unit_find_last_words(const char *unit, bool of_user)
{
        _cleanup_free_ char *match = NULL;
        sd_journal *j = NULL;
        char *found = NULL;

        if (asprintf(&match, "%s=%s", of_user ? "_SYSTEMD_USER_UNIT" : "_SYSTEMD_UNIT", unit) < 0 ||
            sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0) {
                match = NULL;
                return NULL;
        }
        bool reads = sd_journal_add_match(j, match, 0) >= 0 && sd_journal_seek_tail(j) >= 0;
        for (int i = 0; reads && !found && i < UNITS_JOURNAL_MAX; i++) {
                const void *bytes = NULL;
                size_t len = 0;
                if (sd_journal_previous(j) <= 0)
                        break;
                if (sd_journal_get_data(j, "PRIORITY", &bytes, &len) < 0 || len != 10 ||
                    ((const char *)bytes)[9] > '3')
                        continue;
                if (sd_journal_get_data(j, "MESSAGE", &bytes, &len) >= 0 && len > 8)
                        found = strndup((const char *)bytes + 8, len - 8);
        }
        sd_journal_close(j);
        return found;
}

static char *unit_get_text(sd_bus *bus, const char *path, const char *property)
{
        char *text = NULL;

        if (sd_bus_get_property_string(bus, units_manager, path, "org.freedesktop.systemd1.Service",
                                       property, NULL, &text) < 0)
                return NULL;
        return text;
}

static void unit_say(Doctor *d, sd_bus *bus, const FailedUnit *u, bool of_user)
{
        const char *user = of_user ? " --user" : "";
        _cleanup_free_ char *result = unit_get_text(bus, u->path, "Result");
        _cleanup_free_ char *status_text = unit_get_text(bus, u->path, "StatusText");
        _cleanup_free_ char *words = unit_find_last_words(u->name, of_user);
        _cleanup_free_ char *mend = NULL;
        char status[32] = "";
        int32_t code = 0;

        if (sd_bus_get_property_trivial(bus, units_manager, u->path,
                                        "org.freedesktop.systemd1.Service", "ExecMainStatus", NULL,
                                        'i', &code) >= 0 &&
            code != 0)
                snprintf(status, sizeof(status), ", status %d", code);
        const UnitReason *reason = unit_find_reason(code);
        if (asprintf(&mend, "%s%ssystemctl%s restart %s   (more: journalctl%s -u %s)",
                     reason && reason->mend ? reason->mend : "",
                     reason && reason->mend ? ", then: " : "", user, u->name, user, u->name) < 0)
                mend = NULL;
        const char *last = words ? words : status_text && status_text[0] ? status_text : NULL;
        doctor_say(d, DOCTOR_BAD, u->name, mend, "has failed: %s%s%s%s%s%s%s",
                   result ? result : "no reason is known", status, reason ? " (" : "",
                   reason ? reason->meaning : "", reason ? ")" : "", last ? ": " : "",
                   last ? last : "");
}

/* a(ssssssouso): name, description, load, active and sub state, followed, path, and a job. */
static int units_read(sd_bus_message *m, FailedUnit *ret, size_t *ret_count)
{
        const char *name, *active, *sub, *path;
        int r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");

        while (r >= 0 && *ret_count < UNITS_MAX) {
                r = sd_bus_message_read(m, "(ssssssouso)", &name, NULL, NULL, &active, &sub, NULL,
                                        &path, NULL, NULL, NULL);
                if (r <= 0)
                        break;
                if (strcmp(active, "failed") != 0 && strcmp(sub, "auto-restart") != 0)
                        continue;
                FailedUnit *u = &ret[*ret_count];
                *u = (FailedUnit){ .name = strdup(name), .path = strdup(path) };
                *ret_count += 1;
                if (!u->name || !u->path)
                        return -1;
        }
        return r;
}

static void units_of(Doctor *d, sd_bus *bus, bool of_user)
{
        FailedUnit units[UNITS_MAX];
        sd_bus_message *ask = NULL, *answer = NULL;
        size_t count = 0;

        sd_bus_set_method_call_timeout(bus, UNITS_LIMIT_USEC);
        int r = sd_bus_message_new_method_call(
                bus, &ask, units_manager, "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager", "ListUnitsByPatterns");
        if (r >= 0)
                r = sd_bus_message_append(ask, "asas", 0, 1, "rawview@*.service");
        if (r >= 0)
                r = sd_bus_call(bus, ask, UNITS_LIMIT_USEC, NULL, &answer);
        if (r >= 0)
                r = units_read(answer, units, &count);
        for (size_t i = 0; i < count; i++) {
                if (units[i].name && units[i].path)
                        unit_say(d, bus, &units[i], of_user);
                free(units[i].name);
                free(units[i].path);
        }
        sd_bus_message_unref(ask);
        sd_bus_message_unref(answer);
        if (r >= 0 && count == 0)
                doctor_say(d, DOCTOR_OK, of_user ? "units of the user" : "units", NULL,
                           "none has failed");
}

/* In a process of its own: libsystemd waits for a bus that accepts and says nothing, whatever the limit of a call is. */
static int units_attempt(const void *arg, int folder, void *result)
{
        Doctor *d = *(Doctor *const *)arg;
        sd_bus *bus = NULL;

        if (sd_bus_open_system(&bus) >= 0)
                units_of(d, bus, false);
        bus = sd_bus_flush_close_unref(bus);
        if (getenv("XDG_RUNTIME_DIR") && sd_bus_open_user(&bus) >= 0)
                units_of(d, bus, true);
        sd_bus_close_unref(bus);
        return 0;
}

/* Without a manager there are no units, which is no fault: a container has none. What was said before the time was up is
 * counted in memory that both share. */
void doctor_look_at_units(Doctor *d)
{
        Attempt attempt;
        Doctor *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (shared == MAP_FAILED)
                return;
        *shared = *d;
        fflush(stdout);
        int r = attempt_start(units_attempt, &shared, -1, 0, &attempt);
        if (r >= 0)
                r = attempt_finish(&attempt, UNITS_LIMIT_MS, NULL);
        *d = *shared;
        munmap(shared, sizeof(*shared));
        if (r == -ETIMEDOUT)
                doctor_say(d, DOCTOR_BAD, "units", "journalctl -b -u dbus -u init.scope",
                           "the service manager, or the message bus, gives no answer within %d "
                           "seconds",
                           UNITS_LIMIT_MS / 1000);
}
