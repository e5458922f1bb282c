/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/attempt.h"
#include "base/cleanup.h"
#include "build-config.h"
#include "cli/doctor.h"
#include "cli/text.h"

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

/* What rawviewd means with its exit status, and what helps first, before a restart. */
typedef struct UnitReason {
        int status;
        const char *meaning;
        const char *command; /* IMAGE and NAME, alone at the end, stand for those of the unit */
        const char *advice;  /* where no command helps */
} UnitReason;

static const UnitReason unit_reasons[] = {
        { 64, "wrong usage", NULL, NULL },
        { 65, "the image is damaged, or of a kind that cannot be read", "rawview check IMAGE",
          NULL },
        { 66, "there is no image", NULL, "the image put there, or Path= of the descriptor" },
        { 69, "something that is needed is missing", NULL, NULL },
        { 74, "I/O error", "journalctl -k", NULL },
        { 75, "locked by another program", NULL, "the end of the program that holds the image" },
        { 77, "not permitted", NULL, NULL },
        { 78, "bad descriptor", RAWVIEW_LIBEXECDIR "/rawviewd --check NAME", NULL },
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

/* What a failed unit said last. */
typedef struct LastWords {
        char *text, *image, *name; /* NULL: not known */
} LastWords;

static void last_words_done(LastWords *w)
{
        free(w->text);
        free(w->image);
        free(w->name);
}
#define _cleanup_last_words_ __attribute__((cleanup(last_words_done)))

/* The value of a field. free() it; NULL: there is none. */
static char *unit_get_field(sd_journal *j, const char *field)
{
        const void *bytes = NULL;
        size_t len = 0, skip = strlen(field) + 1;

        if (sd_journal_get_data(j, field, &bytes, &len) < 0 || len <= skip)
                return NULL;
        return strndup((const char *)bytes + skip, len - skip);
}

/* The last error that the unit has left in the journal since its last start, as far as it may be read. */
static void unit_find_last_words(const char *unit, bool of_user, uint64_t started, LastWords *ret)
{
        _cleanup_free_ char *match = NULL;
        sd_journal *j = NULL;
        uint64_t when = 0;

        if (asprintf(&match, "%s=%s", of_user ? "_SYSTEMD_USER_UNIT" : "_SYSTEMD_UNIT", unit) < 0 ||
            sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0) {
                match = NULL;
                return;
        }
        bool reads = sd_journal_add_match(j, match, 0) >= 0 && sd_journal_seek_tail(j) >= 0;
        for (int i = 0; reads && !ret->text && i < UNITS_JOURNAL_MAX; i++) {
                if (sd_journal_previous(j) <= 0 || sd_journal_get_realtime_usec(j, &when) < 0 ||
                    when < started)
                        break;
                _cleanup_free_ char *priority = unit_get_field(j, "PRIORITY");
                if (!priority || strlen(priority) != 1 || priority[0] > '3')
                        continue;
                ret->text = unit_get_field(j, "MESSAGE");
                ret->image = unit_get_field(j, "RAWVIEW_IMAGE");
                ret->name = unit_get_field(j, "RAWVIEW_INSTANCE");
        }
        sd_journal_close(j);
}

static char *unit_get_text(sd_bus *bus, const char *path, const char *property)
{
        char *text = NULL;

        if (sd_bus_get_property_string(bus, units_manager, path, "org.freedesktop.systemd1.Service",
                                       property, NULL, &text) < 0)
                return NULL;
        return text;
}

/* What comes before the restart. free() it; NULL: nothing. */
static char *unit_first_step(const UnitReason *reason, const LastWords *words)
{
        char *step = NULL;

        if (!reason || (!reason->command && !reason->advice))
                return NULL;
        if (!reason->command)
                return asprintf(&step, "%s, then: ", reason->advice) < 0 ? NULL : step;
        const char *last = strrchr(reason->command, ' ') + 1;
        const char *value = strcmp(last, "IMAGE") == 0  ? words->image
                            : strcmp(last, "NAME") == 0 ? words->name
                                                        : NULL;
        _cleanup_free_ char *word = value ? text_shell_word(value) : NULL;
        int n = asprintf(&step, "%.*s%s; ", (int)(last - reason->command), reason->command,
                         word ? word : last);
        return n < 0 ? NULL : step;
}

typedef struct UnitState {
        int32_t status;
        uint64_t started;
        int needs_reload;
} UnitState;

static void unit_get_state(sd_bus *bus, const FailedUnit *u, UnitState *ret)
{
        static const char service[] = "org.freedesktop.systemd1.Service";

        *ret = (UnitState){ 0 };
        (void)sd_bus_get_property_trivial(bus, units_manager, u->path, service, "ExecMainStatus",
                                          NULL, 'i', &ret->status);
        (void)sd_bus_get_property_trivial(bus, units_manager, u->path, service,
                                          "ExecMainStartTimestamp", NULL, 't', &ret->started);
        (void)sd_bus_get_property_trivial(bus, units_manager, u->path,
                                          "org.freedesktop.systemd1.Unit", "NeedDaemonReload", NULL,
                                          'b', &ret->needs_reload);
}

static void unit_say(Doctor *d, sd_bus *bus, const FailedUnit *u, bool of_user)
{
        const char *user = of_user ? " --user" : "";
        _cleanup_free_ char *result = unit_get_text(bus, u->path, "Result");
        _cleanup_free_ char *status_text = unit_get_text(bus, u->path, "StatusText");
        _cleanup_free_ char *mend = NULL, *reload = NULL, *unit = text_shell_word(u->name);
        _cleanup_last_words_ LastWords words = { NULL };
        char status[32] = "";
        UnitState state;

        unit_get_state(bus, u, &state);
        unit_find_last_words(u->name, of_user, state.started, &words);
        if (state.status != 0)
                snprintf(status, sizeof(status), ", status %d", state.status);
        const UnitReason *reason = unit_find_reason(state.status);
        _cleanup_free_ char *first = unit_first_step(reason, &words);
        if (state.needs_reload && asprintf(&reload, "systemctl%s daemon-reload; ", user) < 0)
                reload = NULL;
        if (asprintf(&mend, "%s%ssystemctl%s restart %s   (more: journalctl%s -u %s)",
                     reload ? reload : "", first ? first : "", user, unit ? unit : u->name, user,
                     unit ? unit : u->name) < 0)
                mend = NULL;
        const char *last = words.text                      ? words.text
                           : status_text && status_text[0] ? status_text
                                                           : NULL;
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
