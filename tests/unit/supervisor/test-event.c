/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/event.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "supervisor/event-id.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        ENTRY_FIELDS_MAX = 32,
};

/* What was sent to the journal last. */
static struct {
        char *fields[ENTRY_FIELDS_MAX];
        int count;
        int sent;   /* so often */
        int result; /* what the journal answers */
} entry;

/* In the place of libsystemd's, see meson.build. */
int __wrap_sd_journal_sendv(const struct iovec *parts, int n);
int __wrap_sd_journal_sendv(const struct iovec *parts, int n)
{
        for (int i = 0; i < entry.count; i++)
                free(entry.fields[i]);
        entry.count = 0;
        for (int i = 0; i < n && i < ENTRY_FIELDS_MAX; i++) {
                entry.fields[i] = calloc(1, parts[i].iov_len + 1);
                memcpy(entry.fields[i], parts[i].iov_base, parts[i].iov_len);
                /* The journal would take it for a byte of the value. */
                assert_int_equal(strlen(entry.fields[i]), parts[i].iov_len);
                entry.count++;
        }
        entry.sent++;
        return entry.result;
}

/* NULL: there is none. Twice the same is an error. */
static const char *entry_get(const char *name)
{
        const char *found = NULL;

        for (int i = 0; i < entry.count; i++) {
                size_t len = strlen(name);
                if (strncmp(entry.fields[i], name, len) != 0 || entry.fields[i][len] != '=')
                        continue;
                assert_null(found);
                found = entry.fields[i] + len + 1;
        }
        return found;
}

static void expect_field(const char *name, const char *wanted)
{
        const char *value = entry_get(name);

        if (!value || !wanted)
                assert_true(value == wanted);
        else
                assert_string_equal(value, wanted);
}

/* stderr is a pipe, and the journal's if `journal`. */
typedef struct Rig {
        int stderr_fd, heard;
} Rig;

static void rig_start(Rig *rig, bool journal, LogLevel level)
{
        char stream[64];
        struct stat st;
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        *rig = (Rig){ .stderr_fd = dup(STDERR_FILENO), .heard = ends[0] };
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        fstat(STDERR_FILENO, &st);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
                 (uintmax_t)st.st_ino + !journal);
        setenv("JOURNAL_STREAM", stream, 1);
        log_open("rawview", level);
        __wrap_sd_journal_sendv(NULL, 0);
        entry.sent = entry.result = 0;
}

/* What was said on stderr. */
static void rig_end(Rig *rig, char *ret, size_t size)
{
        dup2(rig->stderr_fd, STDERR_FILENO);
        close(rig->stderr_fd);
        ssize_t n = read(rig->heard, ret, size - 1);
        ret[n < 0 ? 0 : n] = '\0';
        close(rig->heard);
        unsetenv("JOURNAL_STREAM");
        log_open("rawview", LOG_LEVEL_NOTICE);
}

static void test_an_entry(void **state)
{
        EventSubject subject = {
                .image = "/vm/web.qcow2",
                .format = "qcow2",
                .mount_point = "/run/rawview/web",
                .instance = "web",
        };
        char said[256];
        Rig rig;

        rig_start(&rig, true, LOG_LEVEL_INFO);
        errno = ENOSPC;
        event_log(EVENT_IO_ERROR, &subject, errno, "%s: write: %m", "/vm/web.qcow2");
        int left = errno;
        rig_end(&rig, said, sizeof(said));
        assert_int_equal(left, ENOSPC);
        assert_string_equal(said, "");
        assert_int_equal(entry.sent, 1);
        expect_field("MESSAGE", "/vm/web.qcow2: write: No space left on device");
        expect_field("MESSAGE_ID", EVENT_ID_IO_ERROR);
        expect_field("PRIORITY", "3");
        expect_field("SYSLOG_IDENTIFIER", "rawviewd");
        expect_field("ERRNO", "28");
        expect_field("RAWVIEW_IMAGE", "/vm/web.qcow2");
        expect_field("RAWVIEW_FORMAT", "qcow2");
        expect_field("RAWVIEW_MOUNTPOINT", "/run/rawview/web");
        expect_field("RAWVIEW_INSTANCE", "web");
        assert_int_equal(entry.count, 9);
}

static void test_what_is_not_known_is_no_field(void **state)
{
        EventSubject subject = { .image = "/vm/web.qcow2", .format = "" };
        char said[256];
        Rig rig;

        rig_start(&rig, true, LOG_LEVEL_INFO);
        event_log(EVENT_READY, &subject, 0, "up");
        rig_end(&rig, said, sizeof(said));
        assert_int_equal(entry.count, 5);
        expect_field("MESSAGE_ID", EVENT_ID_READY);
        expect_field("PRIORITY", "6");
        expect_field("ERRNO", NULL);
        expect_field("RAWVIEW_IMAGE", "/vm/web.qcow2");
        expect_field("RAWVIEW_FORMAT", NULL);
}

/* Names that a guest, a worker or a user has made. */
static void test_hostile_values_stay_values(void **state)
{
        EventSubject subject = {
                .image = "/vm/a\nMESSAGE_ID=00000000000000000000000000000000\nPRIORITY=0",
                .format = "q\r\033[2J",
                .mount_point = "/mp\xff\xc2\x9b",
                .instance = "w\nRAWVIEW_IMAGE=/etc/shadow",
        };
        char said[256];
        Rig rig;

        rig_start(&rig, true, LOG_LEVEL_INFO);
        event_log(EVENT_CORRUPT, &subject, EBADMSG, "%s",
                  "backing file 'x\nRAWVIEW_INSTANCE=other\n\xe2\x80\xa8.");
        rig_end(&rig, said, sizeof(said));
        assert_int_equal(entry.count, 9);
        for (int i = 0; i < entry.count; i++)
                assert_null(strpbrk(entry.fields[i], "\n\r\033\x9b\xff"));
        expect_field("MESSAGE", "backing file 'x?RAWVIEW_INSTANCE=other??.");
        expect_field("MESSAGE_ID", EVENT_ID_CORRUPT);
        expect_field("PRIORITY", "3");
        expect_field("RAWVIEW_IMAGE",
                     "/vm/a?MESSAGE_ID=00000000000000000000000000000000?PRIORITY=0");
        expect_field("RAWVIEW_FORMAT", "q??[2J");
        expect_field("RAWVIEW_MOUNTPOINT", "/mp??");
        expect_field("RAWVIEW_INSTANCE", "w?RAWVIEW_IMAGE=/etc/shadow");
}

static void test_long_values(void **state)
{
        _cleanup_free_ char *path = calloc(1, PATH_MAX), *absurd = calloc(1, 64 * 1024);
        EventSubject subject = { .image = path, .mount_point = path, .instance = absurd };
        char said[256];
        Rig rig;

        memset(path, 'p', PATH_MAX - 1);
        memset(absurd, 'a', 64 * 1024 - 1);
        rig_start(&rig, true, LOG_LEVEL_INFO);
        event_log(EVENT_FAILED, &subject, 0, "%s", absurd);
        rig_end(&rig, said, sizeof(said));
        expect_field("RAWVIEW_IMAGE", path);
        expect_field("RAWVIEW_MOUNTPOINT", path);
        expect_field("RAWVIEW_INSTANCE", NULL);
        assert_in_range(strlen(entry_get("MESSAGE")), 1000, 2047);
}

static void test_never_in_both_places(void **state)
{
        static const struct {
                const char *name;
                bool journal;
                LogLevel level;
                int result, sent;
                const char *said;
        } cases[] = {
                { "a terminal", false, LOG_LEVEL_NOTICE, 0, 0, "rawview: a: x?y\n" },
                { "the journal", true, LOG_LEVEL_NOTICE, 0, 1, "" },
                { "a journal that takes nothing", true, LOG_LEVEL_NOTICE, -ENOMEM, 1,
                  "<3>a: x?y\n" },
                { "nobody wants to know", true, (LogLevel)2, 0, 0, "" },
                { "nor on a terminal", false, (LogLevel)2, 0, 0, "" },
        };
        EventSubject subject = { .image = "a" };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                char said[256];
                Rig rig;
                rig_start(&rig, cases[c].journal, cases[c].level);
                entry.result = cases[c].result;
                event_log(EVENT_LOCKED, &subject, EAGAIN, "%s: %s", "a", "x\ny");
                rig_end(&rig, said, sizeof(said));
                if (strcmp(said, cases[c].said) != 0 || entry.sent != cases[c].sent)
                        fail_msg("%s: sent %d, said '%s'", cases[c].name, entry.sent, said);
        }
}

static void test_each_has_an_id_of_its_own(void **state)
{
        char ids[EVENT_FAILED + 1][33];
        EventSubject subject = { .image = "a" };

        for (Event e = 0; e <= EVENT_FAILED; e++) {
                char said[256];
                Rig rig;
                rig_start(&rig, true, LOG_LEVEL_DEBUG);
                event_log(e, &subject, 0, "x");
                rig_end(&rig, said, sizeof(said));
                assert_non_null(entry_get("MESSAGE_ID"));
                assert_int_equal(strlen(entry_get("MESSAGE_ID")), 32);
                strcpy(ids[e], entry_get("MESSAGE_ID"));
                for (Event other = 0; other < e; other++)
                        assert_string_not_equal(ids[e], ids[other]);
        }
}

static void test_choice(void **state)
{
        static const struct {
                Phase phase;
                int code;
                Event event;
        } cases[] = {
                { PHASE_DESCRIPTOR, EINVAL, EVENT_DESCRIPTOR },
                { PHASE_DESCRIPTOR, EPERM, EVENT_DESCRIPTOR },
                { PHASE_TARGET, ENOENT, EVENT_MISSING },
                { PHASE_TARGET, EBUSY, EVENT_OCCUPIED },
                { PHASE_TARGET, EPERM, EVENT_FORBIDDEN },
                { PHASE_TARGET, EISDIR, EVENT_FAILED },
                { PHASE_IMAGE, ENOENT, EVENT_MISSING },
                { PHASE_IMAGE, EAGAIN, EVENT_LOCKED },
                { PHASE_IMAGE, EACCES, EVENT_FORBIDDEN },
                { PHASE_IMAGE, EROFS, EVENT_FORBIDDEN },
                { PHASE_IMAGE, EIO, EVENT_IO_ERROR },
                { PHASE_IMAGE, ENOTCONN, EVENT_IO_ERROR },
                { PHASE_IMAGE, EFBIG, EVENT_FAILED },
                { PHASE_OPEN, EBADMSG, EVENT_CORRUPT },
                { PHASE_OPEN, ENODATA, EVENT_CORRUPT },
                { PHASE_OPEN, EFBIG, EVENT_CORRUPT },
                { PHASE_OPEN, EUCLEAN, EVENT_NEEDS_REPAIR },
                { PHASE_OPEN, EOPNOTSUPP, EVENT_UNSUPPORTED },
                { PHASE_OPEN, EAGAIN, EVENT_LOCKED },
                { PHASE_OPEN, EACCES, EVENT_FORBIDDEN },
                { PHASE_OPEN, ENOKEY, EVENT_PASSPHRASE },
                { PHASE_OPEN, EKEYREJECTED, EVENT_PASSPHRASE },
                { PHASE_OPEN, ENOENT, EVENT_MISSING },
                { PHASE_OPEN, EIO, EVENT_IO_ERROR },
                { PHASE_OPEN, ECHILD, EVENT_WORKER_DIED },
                { PHASE_OPEN, ENOMEM, EVENT_FAILED },
                { PHASE_MOUNT, EBUSY, EVENT_OCCUPIED },
                { PHASE_MOUNT, EPERM, EVENT_FORBIDDEN },
                { PHASE_MOUNT, ENODEV, EVENT_FAILED },
                { PHASE_SERVE, ECHILD, EVENT_WORKER_DIED },
                { PHASE_SERVE, ETIMEDOUT, EVENT_WORKER_DIED },
                { PHASE_SERVE, EIO, EVENT_IO_ERROR },
                { PHASE_SERVE, ENOSPC, EVENT_IO_ERROR },
                { PHASE_SERVE, EBADMSG, EVENT_CORRUPT },
                { PHASE_SERVE, EPIPE, EVENT_FAILED },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Event event = event_choose(cases[i].phase, cases[i].code);
                if (event != cases[i].event)
                        fail_msg("phase %d, errno %d: %d", cases[i].phase, cases[i].code, event);
        }
        assert_int_equal(event_choose_fault(EIO), EVENT_IO_ERROR);
        assert_int_equal(event_choose_fault(EFBIG), EVENT_IO_ERROR);
        assert_int_equal(event_choose_fault(EBADMSG), EVENT_CORRUPT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_entry),
                cmocka_unit_test(test_what_is_not_known_is_no_field),
                cmocka_unit_test(test_hostile_values_stay_values),
                cmocka_unit_test(test_long_values),
                cmocka_unit_test(test_never_in_both_places),
                cmocka_unit_test(test_each_has_an_id_of_its_own),
                cmocka_unit_test(test_choice),
        };
        /* As if under a unit, and then there would be its name, too. */
        unsetenv("NOTIFY_SOCKET");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
