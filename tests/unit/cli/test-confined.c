/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A child that does what it likes, and what its parent makes of it. No sandbox here: these children are worse. */
#include "cli/confined.h"

#include "../fd-count.h"
#include "base/cleanup.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

enum {
        /* What a child exits with when what it expected did not happen. */
        CHILD_SURPRISED = 77,
};

static _Noreturn void wait_for_ever(void)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
                pause();
}

static int ask(int channel, uint32_t namer, uint32_t writable, const char *name, Message *answer)
{
        Message m = { .kind = MESSAGE_OPEN, .open = { .namer = namer, .writable = writable } };
        int fd = -1;

        snprintf(m.open.name, sizeof(m.open.name), "%s", name);
        if (channel_send(channel, &m, -1, NULL) < 0 ||
            channel_receive(channel, answer, &fd, NULL) != 1)
                return -EPIPE;
        cleanup_close(&fd);
        return 0;
}

static int end_with_3(void *arg, int channel, pid_t parent)
{
        return parent == getppid() ? 3 : CHILD_SURPRISED;
}

static int end_by_signal(void *arg, int channel, pid_t parent)
{
        signal(SIGSYS, SIG_DFL);
        raise(SIGSYS);
        return CHILD_SURPRISED;
}

static int end_by_alarm(void *arg, int channel, pid_t parent)
{
        signal(SIGALRM, SIG_DFL);
        raise(SIGALRM);
        return CHILD_SURPRISED;
}

static int end_without_channel(void *arg, int channel, pid_t parent)
{
        close(channel);
        usleep(50000);
        return 4;
}

static int get_a_file(void *arg, int channel, pid_t parent)
{
        Message m;

        return ask(channel, 0, 0, "base", &m) == 0 && m.kind == MESSAGE_OPENED ? 0
                                                                               : CHILD_SURPRISED;
}

static int get_what_is_refused(void *arg, int channel, pid_t parent)
{
        static const struct {
                uint32_t writable;
                const char *name;
                int code;
        } cases[] = {
                { 1, "base", EACCES },        { UINT32_MAX, "base", EACCES },  { 0, "", ENOENT },
                { 0, "missing", ENOENT },     { 0, "../x/base", EACCES },      { 0, ".", EACCES },
                { 0, "/etc/shadow", EACCES }, { 0, "/proc/self/mem", EACCES },
        };
        Message m;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (ask(channel, 0, cases[i].writable, cases[i].name, &m) < 0 ||
                    m.kind != MESSAGE_REFUSED || m.error.code != cases[i].code)
                        return CHILD_SURPRISED;
        return 0;
}

static int ask_for_another_layer(void *arg, int channel, pid_t parent)
{
        Message m;

        ask(channel, 1, 0, "base", &m);
        wait_for_ever();
}

/* The limit of files is refused first; whoever goes on asking is ended. */
static int ask_without_end(void *arg, int channel, pid_t parent)
{
        Message m = { 0 };
        int refused = 0;

        while (ask(channel, 0, 0, "base", &m) == 0)
                refused += m.kind == MESSAGE_REFUSED && m.error.code == EFBIG;
        if (refused != BROKER_FILES_MAX - BROKER_LAYERS_MAX + 1)
                return CHILD_SURPRISED;
        wait_for_ever();
}

/* So many that no answer finds room any more. */
static int ask_without_listening(void *arg, int channel, pid_t parent)
{
        Message m = { .kind = MESSAGE_OPEN, .open.name = "base" };

        while (channel_send(channel, &m, -1, NULL) == 0)
                if (fcntl(channel, F_SETFL, O_NONBLOCK) < 0)
                        return CHILD_SURPRISED;
        return 0;
}

static int want(int channel, uint32_t layer, Message *answer)
{
        Message m = { .kind = MESSAGE_SECRET_WANTED,
                      .secret_wanted = { .layer = layer, .what = "luks" } };

        return channel_send(channel, &m, -1, NULL) < 0 ||
                               channel_receive(channel, answer, NULL, NULL) != 1
                       ? -EPIPE
                       : 0;
}

static int want_a_passphrase(void *arg, int channel, pid_t parent)
{
        Message m;

        return want(channel, 0, &m) == 0 && m.kind == MESSAGE_REFUSED && m.error.code == ENOKEY &&
                               strstr(m.error.text, "this command takes none")
                       ? 0
                       : CHILD_SURPRISED;
}

static int want_of_another_layer(void *arg, int channel, pid_t parent)
{
        Message m;

        want(channel, 1, &m);
        wait_for_ever();
}

static int want_without_end(void *arg, int channel, pid_t parent)
{
        Message m;

        while (want(channel, 0, &m) == 0)
                ;
        wait_for_ever();
}

static int name_without_end(void *arg, int channel, pid_t parent)
{
        Message m = { .kind = MESSAGE_OPEN };

        memset(m.open.name, 'x', sizeof(m.open.name));
        channel_send(channel, &m, -1, NULL);
        wait_for_ever();
}

static int send_a_descriptor(void *arg, int channel, pid_t parent)
{
        Message m = { .kind = MESSAGE_OPEN, .open.name = "base" };

        channel_send(channel, &m, channel, NULL);
        wait_for_ever();
}

static int send_another_kind(void *arg, int channel, pid_t parent)
{
        Message m = { .kind = MESSAGE_SEALED };

        channel_send(channel, &m, -1, NULL);
        wait_for_ever();
}

static int send_rubbish(void *arg, int channel, pid_t parent)
{
        send(channel, "rubbish", 7, 0);
        wait_for_ever();
}

typedef struct Case {
        const char *name;
        int (*run)(void *arg, int channel, pid_t parent);
        int status;
        const char *text; /* the only line on stderr, behind the names of program and file */
} Case;

#define RULES(why) "the confined process broke the rules (" why ") and was ended"

static const Case cases[] = {
        { "a status is passed on", end_with_3, 3, NULL },
        { "a signal is told", end_by_signal, 1,
          "the confined process was ended by signal 31 (Bad system call)" },
        { "a time limit is told as one", end_by_alarm, 1,
          "the confined process did not come to an end in the time that it has" },
        { "one that asks no more is waited for", end_without_channel, 4, NULL },
        { "a file", get_a_file, 0, NULL },
        { "refusals", get_what_is_refused, 0, NULL },
        { "wrong namer", ask_for_another_layer, 1,
          RULES("it asked for what layer 1 names, which was never opened") },
        { "endless names", ask_without_end, 1, RULES("it asked for more than 1000 files") },
        { "a passphrase", want_a_passphrase, 0, NULL },
        { "a passphrase of another layer", want_of_another_layer, 1,
          RULES("it asked for the passphrase of layer 1, which was never opened") },
        { "endless passphrases", want_without_end, 1,
          RULES("it asked for more than 128 passphrases") },
        { "a name without end", name_without_end, 1, RULES("message OPEN has a text without end") },
        { "a descriptor of its own", send_a_descriptor, 1,
          RULES("message came with too many descriptors") },
        { "another kind", send_another_kind, 1, RULES("a message at the wrong time") },
        { "rubbish", send_rubbish, 1, RULES("message of 7 bytes has no header") },
};

typedef struct Folder {
        char path[64], top[80], base[80];
} Folder;

static void folder_make(Folder *f)
{
        snprintf(f->path, sizeof(f->path), "/tmp/test-confined-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        snprintf(f->top, sizeof(f->top), "%s/top", f->path);
        snprintf(f->base, sizeof(f->base), "%s/base", f->path);
        close(open(f->top, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        close(open(f->base, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static void folder_remove(Folder *f)
{
        unlink(f->top);
        unlink(f->base);
        rmdir(f->path);
}

/* Takes `fd`, the image. */
static int run_on(int fd, int (*run)(void *arg, int channel, pid_t parent))
{
        BrokerRules rules = { .policy = REFERENCES_DIRECTORY, .lock_help = "" };
        Broker broker;

        assert_int_equal(broker_init(&broker, &rules, fd, NULL), 0);
        ConfinedTask task = { .file = "top", .broker = &broker, .run = run };
        int status = confined_run(&task);
        broker_done(&broker);
        return status;
}

static int run_task(int (*run)(void *arg, int channel, pid_t parent))
{
        Folder f;

        folder_make(&f);
        int status = run_on(open(f.top, O_RDONLY | O_CLOEXEC), run);
        folder_remove(&f);
        /* Nobody is left behind, not even a zombie. */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        return status;
}

/* Runs with one of the standard descriptors going to memory, whose text is in `ret` then. */
static int run_reading(int (*run)(void *, int, pid_t), int std, char *ret, size_t size)
{
        _cleanup_close_ int file = memfd_create("words", MFD_CLOEXEC);
        _cleanup_close_ int saved = fcntl(std, F_DUPFD_CLOEXEC, 10);

        assert_true(file >= 0 && saved >= 0);
        assert_int_equal(dup2(file, std), std);
        int status = run_task(run);
        assert_int_equal(dup2(saved, std), std);
        ssize_t n = pread(file, ret, size - 1, 0);
        ret[n < 0 ? 0 : n] = '\0';
        return status;
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char text[1024], wanted[1024] = "";
                int status = run_reading(cases[i].run, STDERR_FILENO, text, sizeof(text));

                if (cases[i].text)
                        snprintf(wanted, sizeof(wanted), ": top: %s\n", cases[i].text);
                const char *end = strstr(text, ": top: ");
                if (status != cases[i].status || strcmp(end ? end : text, wanted) != 0)
                        fail_msg("%s: status %d, '%s'", cases[i].name, status, text);
        }
}

static void test_a_full_channel_hangs_nobody(void **state)
{
        char text[1024];

        run_reading(ask_without_listening, STDERR_FILENO, text, sizeof(text));
}

static int print_more(void *arg, int channel, pid_t parent)
{
        printf("after");
        return 0;
}

static void test_nothing_is_printed_twice(void **state)
{
        _cleanup_close_ int file = memfd_create("words", MFD_CLOEXEC);
        _cleanup_close_ int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
        char text[64] = "";

        fflush(stdout);
        assert_int_equal(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
        printf("before ");
        int status = run_task(print_more);
        fflush(stdout);
        assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
        assert_int_equal(status, 0);
        assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
        assert_string_equal(text, "before after");
}

static void test_ignored_children_are_judged_as_well(void **state)
{
        signal(SIGCHLD, SIG_IGN);
        assert_int_equal(run_task(end_with_3), 3);
        signal(SIGCHLD, SIG_DFL);
}

static int end_by_pipe(void *arg, int channel, pid_t parent)
{
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
        return CHILD_SURPRISED;
}

/* `rawview info … | head -n 1` ends as any other program does there. */
static void test_what_ends_both(void **state)
{
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
                _exit(run_on(memfd_create("image", MFD_CLOEXEC), end_by_pipe));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGPIPE);
}

static int end_by_interrupt(void *arg, int channel, pid_t parent)
{
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
        return CHILD_SURPRISED;
}

/* Who holds Ctrl-C back, to tidy up, has it still to come, and says nothing of it. */
static void test_what_ends_both_later(void **state)
{
        sigset_t held, before, waiting;
        char text[1024];

        sigemptyset(&held);
        sigaddset(&held, SIGINT);
        sigprocmask(SIG_BLOCK, &held, &before);
        int status = run_reading(end_by_interrupt, STDERR_FILENO, text, sizeof(text));
        sigpending(&waiting);
        signal(SIGINT, SIG_IGN);
        sigprocmask(SIG_SETMASK, &before, NULL);
        signal(SIGINT, SIG_DFL);
        assert_int_equal(status, 1);
        assert_string_equal(text, "");
        assert_true(sigismember(&waiting, SIGINT));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_a_full_channel_hangs_nobody),
                cmocka_unit_test(test_nothing_is_printed_twice),
                cmocka_unit_test(test_ignored_children_are_judged_as_well),
                cmocka_unit_test(test_what_ends_both),
                cmocka_unit_test(test_what_ends_both_later),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
