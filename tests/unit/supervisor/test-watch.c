/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/watch.h"

#include "base/cleanup.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A supervisor whose worker is a child that says nothing; what it should say, the test says at its end. */
typedef struct Rig {
        Manager m;
        Config config;
        ManagerOptions options;
        int worker_end;
} Rig;

static void rig_start(Rig *rig, Stage stage, int child_status)
{
        int ends[2];
        sigset_t set;

        *rig = (Rig){ .m = { .config = &rig->config,
                             .options = &rig->options,
                             .stage = stage,
                             .signals = -1,
                             .hangups = -1,
                             .waiter = -1 } };
        config_init(&rig->config);
        rig->config.path = strdup("/dev/null");
        /* Nobody is asked. */
        rig->config.key_file = strdup("/nowhere/key");
        rig->m.image = (Broker){
                .layers[0] = { .fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                               .path = strdup("/tmp/no-such-folder/a.qcow2") },
                .count = 1,
                .rules = { .policy = REFERENCES_NONE, .hides_reasons = true },
        };
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        rig->m.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        rig->m.hangups = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

        assert_int_equal(channel_pair(ends, NULL), 0);
        pid_t pid = fork();
        if (pid == 0) {
                /* A test that fails must not leave it behind. */
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (child_status < 0)
                        for (;;)
                                pause();
                _exit(child_status);
        }
        rig->m.worker = (Worker){
                .pid = pid,
                .pidfd = (int)syscall(SYS_pidfd_open, pid, 0U),
                .channel = ends[0],
                .words = -1,
        };
        rig->worker_end = ends[1];
}

static void rig_end(Rig *rig)
{
        cleanup_close(&rig->worker_end);
        worker_done(&rig->m.worker);
        broker_done(&rig->m.image);
        cleanup_close(&rig->m.signals);
        cleanup_close(&rig->m.hangups);
        config_done(&rig->config);
}

static void rig_say(Rig *rig, Message *message)
{
        assert_int_equal(channel_send(rig->worker_end, message, -1, NULL), 0);
        assert_int_equal(watch_step(&rig->m, -1, 5000), 0);
}

static void test_each_word_has_its_time(void **state)
{
        static const struct {
                Stage stage;
                MessageKind kind;
                bool allowed;
        } cases[] = {
                { STAGE_OPENING, MESSAGE_OPEN, true },
                { STAGE_OPENING, MESSAGE_SEALED, true },
                { STAGE_OPENING, MESSAGE_FAILED, true },
                { STAGE_OPENING, MESSAGE_SECRET_WANTED, true },
                { STAGE_OPENING, MESSAGE_SECRET, false },
                { STAGE_SEALED, MESSAGE_SECRET_WANTED, false },
                { STAGE_SERVING, MESSAGE_SECRET_WANTED, false },
                { STAGE_OPENING, MESSAGE_SERVING, false },
                { STAGE_OPENING, MESSAGE_FAULT, false },
                { STAGE_OPENING, MESSAGE_DONE, false },
                { STAGE_SEALED, MESSAGE_OPEN, false },
                { STAGE_SEALED, MESSAGE_SEALED, false },
                { STAGE_SEALED, MESSAGE_SERVING, false },
                { STAGE_STARTING, MESSAGE_OPEN, false },
                { STAGE_STARTING, MESSAGE_SERVING, true },
                { STAGE_STARTING, MESSAGE_FAILED, true },
                { STAGE_SERVING, MESSAGE_OPEN, false },
                { STAGE_SERVING, MESSAGE_FAILED, false },
                { STAGE_SERVING, MESSAGE_FAULT, true },
                { STAGE_SERVING, MESSAGE_DONE, true },
                { STAGE_SERVING, MESSAGE_CHANGE, false },
                { STAGE_SERVING, MESSAGE_CHANGED, false },
                { STAGE_DONE, MESSAGE_FAULT, false },
                { STAGE_DONE, MESSAGE_DONE, false },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Rig rig;
                Message message = { .kind = cases[c].kind };
                if (cases[c].kind == MESSAGE_SEALED) {
                        strcpy(message.sealed.format, "raw");
                        message.sealed.sector_size = 512;
                }
                if (cases[c].kind == MESSAGE_SECRET_WANTED)
                        strcpy(message.secret_wanted.what, "luks");
                if (cases[c].kind == MESSAGE_CHANGE)
                        message.change.what = MESSAGE_CHANGE_MODE;
                rig_start(&rig, cases[c].stage, -1);
                rig_say(&rig, &message);
                bool violated = strstr(rig.m.failure.text, "broke the rules") != NULL;
                if (violated == cases[c].allowed)
                        fail_msg("stage %d, message %d: '%s'", cases[c].stage, cases[c].kind,
                                 rig.m.failure.text);
                /* Who breaks the rules is killed. */
                if (violated)
                        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
                rig_end(&rig);
        }
}

static void test_a_request_is_answered(void **state)
{
        Rig rig;
        Message message = { .kind = MESSAGE_OPEN }, answer;
        int fd = -1;

        rig_start(&rig, STAGE_OPENING, -1);
        strcpy(message.open.name, "base.raw");
        rig_say(&rig, &message);
        assert_int_equal(channel_receive(rig.worker_end, &answer, &fd, NULL), 1);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_int_equal(answer.error.code, EACCES);
        assert_string_equal(answer.error.text, "refused");

        Message failed = { .kind = MESSAGE_FAILED,
                           .error = { .code = EACCES,
                                      .text = "backing file 'base.raw': refused" } };
        rig_say(&rig, &failed);
        assert_non_null(strstr(rig.m.failure.text, "backing file 'base.raw': refused: the image"));
        assert_non_null(strstr(rig.m.failure.text, "References=none"));
        rig_end(&rig);
}

static void test_a_passphrase_is_answered_for(void **state)
{
        Rig rig;
        Message wanted = { .kind = MESSAGE_SECRET_WANTED, .secret_wanted.what = "luks" }, answer;
        Message failed = { .kind = MESSAGE_FAILED,
                           .error = { .code = ENOKEY, .text = "luks: no passphrase" } };

        rig_start(&rig, STAGE_OPENING, -1);
        rig_say(&rig, &wanted);
        assert_int_equal(channel_receive(rig.worker_end, &answer, NULL, NULL), 1);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_string_equal(answer.error.text, "no passphrase");
        rig_say(&rig, &failed);
        assert_int_equal(rig.m.failure_code, ENOKEY);
        assert_string_equal(rig.m.failure.text,
                            "luks: no passphrase: KeyFile=/nowhere/key: cannot open it: No such "
                            "file or directory");
        rig_end(&rig);

        rig_start(&rig, STAGE_OPENING, -1);
        wanted.secret_wanted.layer = 1;
        rig_say(&rig, &wanted);
        assert_non_null(strstr(rig.m.failure.text, "the passphrase of layer 1"));
        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
        rig_end(&rig);
}

/* A person thinks, and the worker has nothing to say meanwhile. */
static void test_who_waits_for_a_passphrase_is_silent(void **state)
{
        static const MessageKind kinds[] = { MESSAGE_OPEN, MESSAGE_SECRET_WANTED, MESSAGE_SEALED };

        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
                Message message = { .kind = kinds[k] };
                int ends[2];
                Rig rig;

                rig_start(&rig, STAGE_OPENING, -1);
                assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
                rig.m.unlock.is_asking = true;
                rig.m.unlock.ask = (Ask){ .fd = ends[0],
                                          .pid = -1,
                                          .pidfd = -1,
                                          .end_ms = watch_now_ms() + 60000,
                                          .heard = secret_new() };
                rig_say(&rig, &message);
                assert_string_equal(
                        rig.m.failure.text,
                        "the worker broke the rules (a message at the wrong time) and was "
                        "ended");
                assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
                unlock_done(&rig.m.unlock);
                close(ends[1]);
                rig_end(&rig);
        }
}

static void test_sealed_and_done_are_kept(void **state)
{
        Rig rig;
        Message sealed = { .kind = MESSAGE_SEALED }, done = { .kind = MESSAGE_DONE };

        rig_start(&rig, STAGE_OPENING, -1);
        sealed.sealed.size = 4096;
        sealed.sealed.sector_size = 4096;
        strcpy(sealed.sealed.format, "qcow2");
        rig_say(&rig, &sealed);
        assert_int_equal(rig.m.stage, STAGE_SEALED);
        assert_int_equal(rig.m.sealed.size, 4096);

        rig.m.stage = STAGE_SERVING;
        done.done.code = ENOSPC;
        strcpy(done.done.text, "cannot flush the image: No space left on device");
        rig_say(&rig, &done);
        assert_int_equal(rig.m.stage, STAGE_DONE);
        assert_int_equal(rig.m.done.code, ENOSPC);
        assert_int_equal(rig.m.failure_code, 0);
        rig_end(&rig);
}

static void test_a_disk_that_is_a_file(void **state)
{
        static const struct {
                uint32_t plain;
                bool allowed;
        } cases[] = { { 0, true }, { 1, true }, { 2, false }, { UINT32_MAX, false } };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Message sealed = {
                        .kind = MESSAGE_SEALED,
                        .sealed.plain = cases[c].plain,
                        .sealed.sector_size = 512,
                };
                Rig rig;

                rig_start(&rig, STAGE_OPENING, -1);
                strcpy(sealed.sealed.format, "raw");
                rig_say(&rig, &sealed);
                assert_int_equal(rig.m.stage == STAGE_SEALED, cases[c].allowed);
                if (!cases[c].allowed) {
                        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
                        assert_non_null(strstr(rig.m.failure.text, "never opened"));
                }
                rig_end(&rig);
        }
}

static void test_nonsense_ends_the_worker(void **state)
{
        Rig rig;

        rig_start(&rig, STAGE_SERVING, -1);
        assert_int_equal(write(rig.worker_end, "x", 1), 1);
        assert_int_equal(watch_step(&rig.m, -1, 5000), 0);
        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
        assert_non_null(strstr(rig.m.failure.text, "broke the rules"));
        rig_end(&rig);
}

static void test_names_of_formats_and_sectors(void **state)
{
        static const struct {
                const char *name;
                uint32_t sector_size;
                bool allowed;
        } cases[] = {
                { "qcow2", 512, true },    { "luks-2", 4096, true },
                { "", 512, false },        { "x\nMAINPID=1\nREADY=1", 512, false },
                { "\033[2J", 512, false }, { "QCOW2", 512, false },
                { "raw", 0, false },       { "raw", 1024, false },
                { "raw", 511, false },     { "raw", UINT32_MAX, false },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Rig rig;
                Message sealed = {
                        .kind = MESSAGE_SEALED,
                        .sealed.sector_size = cases[c].sector_size,
                };
                rig_start(&rig, STAGE_OPENING, -1);
                strcpy(sealed.sealed.format, cases[c].name);
                rig_say(&rig, &sealed);
                assert_int_equal(rig.m.stage == STAGE_SEALED, cases[c].allowed);
                assert_int_equal(rig.m.failure_code, cases[c].allowed ? 0 : ECHILD);
                rig_end(&rig);
        }
}

static void test_failures_have_words(void **state)
{
        static const struct {
                int code;
                const char *text, *heard;
                int code_heard;
        } cases[] = {
                { EBADMSG, "qcow2: version 4", "qcow2: version 4", EBADMSG },
                { 0, "x\nREADY=1", "x?READY=1", EIO },
                { -5, "", "the worker failed and does not say why", EIO },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Rig rig;
                Message failed = { .kind = MESSAGE_FAILED }, done = { .kind = MESSAGE_DONE };
                rig_start(&rig, STAGE_OPENING, -1);
                failed.error.code = cases[c].code;
                strcpy(failed.error.text, cases[c].text);
                rig_say(&rig, &failed);
                assert_int_equal(rig.m.failure_code, cases[c].code_heard);
                assert_string_equal(rig.m.failure.text, cases[c].heard);

                rig.m.stage = STAGE_SERVING;
                done.done.code = EIO;
                rig_say(&rig, &done);
                assert_true(rig.m.done.text[0]);
                rig_end(&rig);
        }
}

/* One for each question, and no more. */
static void test_changes_are_answered_once(void **state)
{
        Rig rig;
        Message changed = { .kind = MESSAGE_CHANGED };

        rig_start(&rig, STAGE_SERVING, -1);
        rig.m.changes_unanswered = 2;
        changed.changed = (MessageChanged){ .what = MESSAGE_CHANGE_MODE, .cache_size = 1 };
        rig_say(&rig, &changed);
        changed.changed = (MessageChanged){ .what = MESSAGE_CHANGE_CACHE, .cache_size = 2 };
        rig_say(&rig, &changed);
        assert_int_equal(rig.m.failure_code, 0);
        assert_int_equal(rig.m.changes_unanswered, 0);
        assert_int_equal(rig.m.changed.what, MESSAGE_CHANGE_CACHE);
        assert_int_equal(rig.m.changed.cache_size, 2);

        rig_say(&rig, &changed);
        assert_non_null(strstr(rig.m.failure.text, "broke the rules"));
        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
        rig_end(&rig);
}

/* Faults are counted from messages; the count that they carry is only told. */
static void test_a_flood_of_faults(void **state)
{
        Rig rig;
        int heard = 0;

        rig_start(&rig, STAGE_SERVING, -1);
        for (; heard < 1000 && rig.m.failure_code == 0; heard++) {
                Message fault = { .kind = MESSAGE_FAULT, .fault.code = EIO };
                rig_say(&rig, &fault);
        }
        assert_in_range(heard, 10, 100);
        assert_non_null(strstr(rig.m.failure.text, "without end"));
        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
        rig_end(&rig);
}

static void test_descriptors_are_not_taken(void **state)
{
        Rig rig;
        Message open = { .kind = MESSAGE_OPEN };

        rig_start(&rig, STAGE_OPENING, -1);
        assert_int_equal(channel_send(rig.worker_end, &open, STDIN_FILENO, NULL), 0);
        assert_int_equal(watch_step(&rig.m, -1, 5000), 0);
        assert_non_null(strstr(rig.m.failure.text, "too many descriptors"));
        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
        rig_end(&rig);
}

static void test_who_says_goodbye_must_go(void **state)
{
        for (int by_closing = 0; by_closing < 2; by_closing++) {
                Rig rig;
                Message done = { .kind = MESSAGE_DONE };
                rig_start(&rig, STAGE_SERVING, -1);
                assert_int_equal(rig.m.end_ms, 0);
                if (by_closing) {
                        /* The child has this end as well. */
                        shutdown(rig.worker_end, SHUT_RDWR);
                        assert_int_equal(watch_step(&rig.m, -1, 5000), 0);
                } else {
                        rig_say(&rig, &done);
                }
                assert_int_equal(rig.m.failure_code, 0);
                assert_true(rig.m.end_ms > watch_now_ms());
                assert_int_equal(watch_worker_end(&rig.m, 20), -ETIMEDOUT);

                /* Time goes by. */
                rig.m.end_ms = watch_now_ms() - 1;
                assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
                assert_int_equal(rig.m.failure_code, ECHILD);
                assert_non_null(strstr(rig.m.failure.text, "did not end"));
                rig_end(&rig);
        }
}

static void test_nobody_waits_any_more(void **state)
{
        Rig rig;
        int ends[2];

        rig_start(&rig, STAGE_OPENING, -1);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        rig.m.waiter = ends[1];
        assert_int_equal(watch_step(&rig.m, -1, 20), 0);
        assert_int_equal(rig.m.failure_code, 0);
        close(ends[0]);
        assert_int_equal(watch_step(&rig.m, -1, 5000), 0);
        assert_int_equal(rig.m.failure_code, EPIPE);
        close(ends[1]);
        rig_end(&rig);
}

static void test_how_a_worker_ends(void **state)
{
        static const struct {
                Stage stage;
                int status; /* -1: SIGKILL */
                const char *text;
        } cases[] = {
                { STAGE_DONE, 0, "" },
                { STAGE_DONE, 1, "ended with status 1" },
                { STAGE_SERVING, 0, "the worker ended" },
                { STAGE_OPENING, 3, "ended with status 3" },
                { STAGE_SERVING, -1, "signal 9 (Killed)" },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Rig rig;
                rig_start(&rig, cases[c].stage, cases[c].status);
                if (cases[c].status < 0)
                        kill(rig.m.worker.pid, SIGKILL);
                cleanup_close(&rig.worker_end);
                rig.worker_end = -1;
                assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
                assert_true(rig.m.worker_gone);
                assert_int_equal(rig.m.failure_code, cases[c].text[0] ? ECHILD : 0);
                assert_non_null(strstr(rig.m.failure.text, cases[c].text));
                rig_end(&rig);
        }
}

static void test_its_last_words_are_heard(void **state)
{
        Rig rig;
        Message done = { .kind = MESSAGE_DONE };

        rig_start(&rig, STAGE_SERVING, 0);
        assert_int_equal(channel_send(rig.worker_end, &done, -1, NULL), 0);
        cleanup_close(&rig.worker_end);
        rig.worker_end = -1;
        assert_int_equal(watch_worker_end(&rig.m, 5000), 0);
        assert_int_equal(rig.m.stage, STAGE_DONE);
        assert_int_equal(rig.m.failure_code, 0);
        rig_end(&rig);
}

static void test_signals(void **state)
{
        Rig rig;

        rig_start(&rig, STAGE_SERVING, -1);
        kill(getpid(), SIGTERM);
        assert_int_equal(watch_step(&rig.m, -1, 5000), 0);
        assert_int_equal(rig.m.stop_asked, 1);
        assert_false(rig.m.reload_asked);
        rig_end(&rig);
}

/* It waits for who reloads, and wakes nobody a second time. */
static void test_a_hangup_stays_until_it_is_taken(void **state)
{
        struct signalfd_siginfo s;
        Rig rig;

        rig_start(&rig, STAGE_OPENING, -1);
        kill(getpid(), SIGHUP);
        assert_int_equal(watch_step(&rig.m, -1, 5000), 0);
        assert_true(rig.m.reload_asked);
        assert_int_equal(rig.m.stop_asked, 0);
        int64_t before = watch_now_ms();
        assert_int_equal(watch_step(&rig.m, -1, 50), 0);
        assert_true(watch_now_ms() - before >= 40);
        assert_int_equal(read(rig.m.hangups, &s, sizeof(s)), sizeof(s));
        assert_int_equal(s.ssi_signo, SIGHUP);
        rig_end(&rig);
}

/* This process leaves its terminal, if it has one, for a session of its own. */
static void test_a_terminal_that_goes_away(void **state)
{
        struct signalfd_siginfo s;
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                Rig rig;
                setsid();
                rig_start(&rig, STAGE_SERVING, -1);
                rig.m.terminal = true;
                kill(getpid(), SIGHUP);
                (void)watch_step(&rig.m, -1, 5000);
                unsigned first = rig.m.stop_asked;
                (void)!read(rig.m.hangups, &s, sizeof(s));
                rig.m.reload_asked = false;
                kill(getpid(), SIGHUP);
                (void)watch_step(&rig.m, -1, 5000);
                worker_kill(&rig.m.worker);
                _exit(first == 1 && rig.m.stop_asked == 1 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_something_else_to_wait_for(void **state)
{
        Rig rig;
        int ends[2];

        rig_start(&rig, STAGE_SERVING, -1);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_int_equal(watch_step(&rig.m, ends[0], 10), 0);
        assert_int_equal(write(ends[1], "x", 1), 1);
        assert_int_equal(watch_step(&rig.m, ends[0], 5000), 1);
        assert_int_equal(watch_worker_end(&rig.m, 20), -ETIMEDOUT);
        close(ends[0]);
        close(ends[1]);
        rig_end(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_word_has_its_time),
                cmocka_unit_test(test_a_request_is_answered),
                cmocka_unit_test(test_a_passphrase_is_answered_for),
                cmocka_unit_test(test_who_waits_for_a_passphrase_is_silent),
                cmocka_unit_test(test_sealed_and_done_are_kept),
                cmocka_unit_test(test_a_disk_that_is_a_file),
                cmocka_unit_test(test_nonsense_ends_the_worker),
                cmocka_unit_test(test_names_of_formats_and_sectors),
                cmocka_unit_test(test_failures_have_words),
                cmocka_unit_test(test_changes_are_answered_once),
                cmocka_unit_test(test_a_flood_of_faults),
                cmocka_unit_test(test_descriptors_are_not_taken),
                cmocka_unit_test(test_who_says_goodbye_must_go),
                cmocka_unit_test(test_nobody_waits_any_more),
                cmocka_unit_test(test_how_a_worker_ends),
                cmocka_unit_test(test_its_last_words_are_heard),
                cmocka_unit_test(test_signals),
                cmocka_unit_test(test_a_hangup_stays_until_it_is_taken),
                cmocka_unit_test(test_a_terminal_that_goes_away),
                cmocka_unit_test(test_something_else_to_wait_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
