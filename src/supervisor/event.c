/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/event.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/utf8.h"
#include "supervisor/event-id.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* The place in this file would be the same for all of them. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>

enum {
        EVENT_LINE_MAX = 2048,
        EVENT_FIELDS_MAX = 16,
        /* Three paths, a line, and names. */
        EVENT_TEXT_MAX = 3 * PATH_MAX + EVENT_LINE_MAX + 2048,
};

static const struct {
        const char *id;
        LogLevel level;
} event_table[] = {
        [EVENT_READY] = { EVENT_ID_READY, LOG_LEVEL_INFO },
        [EVENT_STOPPED] = { EVENT_ID_STOPPED, LOG_LEVEL_INFO },
        [EVENT_ALLOW_OTHER] = { EVENT_ID_ALLOW_OTHER, LOG_LEVEL_INFO },
        [EVENT_REPAIRED] = { EVENT_ID_REPAIRED, LOG_LEVEL_NOTICE },
        [EVENT_NEEDS_REPAIR] = { EVENT_ID_NEEDS_REPAIR, LOG_LEVEL_ERROR },
        [EVENT_CORRUPT] = { EVENT_ID_CORRUPT, LOG_LEVEL_ERROR },
        [EVENT_UNSUPPORTED] = { EVENT_ID_UNSUPPORTED, LOG_LEVEL_ERROR },
        [EVENT_IO_ERROR] = { EVENT_ID_IO_ERROR, LOG_LEVEL_ERROR },
        [EVENT_WORKER_DIED] = { EVENT_ID_WORKER_DIED, LOG_LEVEL_ERROR },
        [EVENT_LOCKED] = { EVENT_ID_LOCKED, LOG_LEVEL_ERROR },
        [EVENT_OCCUPIED] = { EVENT_ID_OCCUPIED, LOG_LEVEL_ERROR },
        [EVENT_FORBIDDEN] = { EVENT_ID_FORBIDDEN, LOG_LEVEL_ERROR },
        [EVENT_PASSPHRASE] = { EVENT_ID_PASSPHRASE, LOG_LEVEL_ERROR },
        [EVENT_MISSING] = { EVENT_ID_MISSING, LOG_LEVEL_ERROR },
        [EVENT_DESCRIPTOR] = { EVENT_ID_DESCRIPTOR, LOG_LEVEL_ERROR },
        [EVENT_DIGEST] = { EVENT_ID_DIGEST, LOG_LEVEL_NOTICE },
        [EVENT_UNCHANGED] = { EVENT_ID_UNCHANGED, LOG_LEVEL_NOTICE },
        [EVENT_CHANGED] = { EVENT_ID_CHANGED, LOG_LEVEL_ERROR },
        [EVENT_LOOP_LOST] = { EVENT_ID_LOOP_LOST, LOG_LEVEL_ERROR },
        [EVENT_FAILED] = { EVENT_ID_FAILED, LOG_LEVEL_ERROR },
};

/* "NAME=value" one after the other, as the journal takes them: with lengths, so that no value ends early. */
typedef struct EventFields {
        char text[EVENT_TEXT_MAX];
        size_t used;
        struct iovec fields[EVENT_FIELDS_MAX];
        int count;
} EventFields;

/* What is empty, or does not fit, is left out: half a path would be another one. */
static void event_add(EventFields *f, const char *name, const char *value)
{
        size_t left = sizeof(f->text) - f->used;
        char *start = f->text + f->used;

        if (!value || !*value || f->count == EVENT_FIELDS_MAX)
                return;
        int n = snprintf(start, left, "%s=%s", name, value);
        if (n < 0 || (size_t)n >= left)
                return;
        utf8_make_printable(start + strlen(name) + 1);
        size_t len = strlen(start);
        f->fields[f->count++] = (struct iovec){ .iov_base = start, .iov_len = len };
        f->used += len + 1;
}

static void event_add_number(EventFields *f, const char *name, int value)
{
        char text[16];

        snprintf(text, sizeof(text), "%d", value);
        event_add(f, name, text);
}

/* Of a process that ends right after its last entry journald may find out too late which unit it belonged to.
 * `journalctl -u` looks at these fields, too, and believes them of the unit's user. */
static void event_add_unit(EventFields *f)
{
        _cleanup_free_ char *unit = NULL;

        /* A command typed in a terminal runs in a unit, too, but is not its service. */
        if (!getenv("NOTIFY_SOCKET"))
                return;
        if (sd_pid_get_user_unit(0, &unit) >= 0)
                event_add(f, "OBJECT_SYSTEMD_USER_UNIT", unit);
        else if (sd_pid_get_unit(0, &unit) >= 0)
                event_add(f, "OBJECT_SYSTEMD_UNIT", unit);
}

static int event_send(Event event, const EventSubject *subject, int code, const char *line)
{
        EventFields f = { .used = 0 };

        event_add(&f, "MESSAGE", line);
        event_add(&f, "MESSAGE_ID", event_table[event].id);
        event_add_number(&f, "PRIORITY", event_table[event].level);
        event_add(&f, "SYSLOG_IDENTIFIER", "rawviewd");
        if (code > 0)
                event_add_number(&f, "ERRNO", code);
        event_add_unit(&f);
        event_add(&f, "RAWVIEW_INSTANCE", subject->instance);
        event_add(&f, "RAWVIEW_FORMAT", subject->format);
        event_add(&f, "RAWVIEW_IMAGE", subject->image);
        event_add(&f, "RAWVIEW_MOUNTPOINT", subject->mount_point);
        event_add(&f, "RAWVIEW_FILE", subject->file);
        event_add(&f, "RAWVIEW_SHA256", subject->sha256);
        return sd_journal_sendv(f.fields, f.count);
}

void event_log(Event event, const EventSubject *subject, int code, const char *fmt, ...)
{
        int saved = errno;
        char line[EVENT_LINE_MAX];
        LogLevel level = event_table[event].level;
        va_list args;

        if (!log_wants(level))
                return;
        va_start(args, fmt);
        errno = saved;
        int n = vsnprintf(line, sizeof(line), fmt, args);
        va_end(args);
        if (n >= 0 && (!log_is_journal() || event_send(event, subject, code, line) < 0))
                log_line(level, "%s", line);
        errno = saved;
}

static Event event_choose_for_image(int code)
{
        switch (code) {
        case EBUSY:
        case EAGAIN:
                return EVENT_LOCKED;
        case EACCES:
        case EPERM:
        case EROFS:
                return EVENT_FORBIDDEN;
        case ENOENT:
                return EVENT_MISSING;
        case EIO:
        case ENOTCONN:
                return EVENT_IO_ERROR;
        default:
                return EVENT_FAILED;
        }
}

static Event event_choose_for_target(int code)
{
        Event event = event_choose_for_image(code);
        return event == EVENT_LOCKED ? EVENT_OCCUPIED : event;
}

/* These are the errors of formats, of which some mean something else where a file is opened. */
static Event event_choose_for_content(int code)
{
        switch (code) {
        case EBADMSG:
        case ENODATA:
        case EFBIG:
                return EVENT_CORRUPT;
        case EUCLEAN:
                return EVENT_NEEDS_REPAIR;
        case EOPNOTSUPP:
                return EVENT_UNSUPPORTED;
        case ENOKEY:
        case EKEYREJECTED:
                return EVENT_PASSPHRASE;
        default:
                return event_choose_for_image(code);
        }
}

Event event_choose_fault(int code)
{
        return code == EBADMSG || code == EUCLEAN || code == ENODATA ? EVENT_CORRUPT
                                                                     : EVENT_IO_ERROR;
}

static Event event_choose_for_service(int code)
{
        switch (code) {
        case EBADMSG:
        case EUCLEAN:
        case ENODATA:
        case EIO:
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
                return event_choose_fault(code);
        case ETIMEDOUT:
                return EVENT_WORKER_DIED;
        default:
                return EVENT_FAILED;
        }
}

Event event_choose(Phase phase, int code)
{
        if (phase == PHASE_DESCRIPTOR)
                return EVENT_DESCRIPTOR;
        if (code == ECHILD)
                return EVENT_WORKER_DIED;
        switch (phase) {
        case PHASE_TARGET:
        case PHASE_MOUNT:
                return event_choose_for_target(code);
        case PHASE_IMAGE:
                return event_choose_for_image(code);
        case PHASE_OPEN:
                return event_choose_for_content(code);
        case PHASE_PROVE:
                return EVENT_CHANGED;
        default:
                return event_choose_for_service(code);
        }
}
