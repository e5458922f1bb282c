/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/ask.h"

#include "../fd-count.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        PATIENCE_MS = 10 * 1000,
};

static char folder[] = "/tmp/test-ask-XXXXXX";

static int setup(void **state)
{
        return mkdtemp(folder) && chdir(folder) == 0 ? fd_count_setup(state) : -1;
}

static int teardown(void **state)
{
        static const char *const names[] = { "program", "heard", "ready" };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                unlink(names[i]);
        return chdir("/") < 0 || rmdir(folder) < 0 ? -1 : fd_count_teardown(state);
}

/* A script in the place of systemd-ask-password, which first notes what it was given. */
static void write_program(const char *script)
{
        FILE *f = fopen("program", "we");

        assert_non_null(f);
        fprintf(f,
                "#!/bin/sh\nfor word in \"$@\"; do echo \"$word\"; done >%s/heard\n"
                "env | grep -v '^PWD=\\|^_=\\|^SHLVL=\\|^OLDPWD=' | sort >>%s/heard\n"
                "ls /proc/$$/fd >>%s/heard\n%s\n",
                folder, folder, folder, script);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(chmod("program", 0700), 0);
}

static void read_file(const char *name, char ret[1024])
{
        _cleanup_close_ int fd = open(name, O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, ret, 1023);

        ret[n < 0 ? 0 : n] = '\0';
}

/* Until it is answered or refused. */
static int wait_for_answer(Ask *a, Err *err)
{
        for (;;) {
                struct pollfd p = { .fd = a->fd, .events = POLLIN };
                int left = ask_left_ms(a);
                int n = poll(&p, 1, left < PATIENCE_MS ? left : PATIENCE_MS);
                assert_true(n > 0 || ask_left_ms(a) == 0);
                int r = ask_take(a, n > 0, err);
                if (r != 0)
                        return r;
        }
}

static AskQuestion question(int limit_s)
{
        static char program[PATH_MAX];

        snprintf(program, sizeof(program), "%s/program", folder);
        return (AskQuestion){ .text = "Passphrase of a b:",
                              .id = "rawview:web",
                              .limit_s = limit_s,
                              .program = program };
}

static void test_what_the_program_is_given(void **state)
{
        AskQuestion q = question(30);
        char heard[1024];
        Ask a;

        setenv("SECRET_ENVIRONMENT", "x", 1);
        write_program("echo open sesame");
        assert_int_equal(ask_agents(&q, &a, NULL), 0);
        assert_int_equal(wait_for_answer(&a, NULL), 1);
        assert_int_equal(a.heard->len, 11);
        assert_memory_equal(a.heard->bytes, "open sesame", 11);
        ask_done(&a);
        read_file("heard", heard);
        assert_non_null(strstr(heard, "--no-tty\n--icon=drive-harddisk\n--id=rawview:web\n"
                                      "--timeout=30\n--\nPassphrase of a b:\n"
                                      "LC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n"));
        assert_null(strstr(heard, "SECRET"));
        assert_null(strstr(heard, "\n3\n"));
}

static void test_how_the_program_answers(void **state)
{
        static const struct {
                const char *script;
                size_t len; /* 0: none */
                const char *text;
        } cases[] = {
                { "printf sesame", 6, NULL },
                { "printf 'sesame\\n'", 6, NULL },
                { "printf 'sesame\\n\\n'", 7, NULL },
                { "printf ses; sleep 0.1; printf ame", 6, NULL },
                { "head -c 8192 /dev/zero", 8192, NULL },
                { "head -c 8193 /dev/zero", 0, "the answer has more than 8192 bytes" },
                { "yes", 0, "the answer has more than 8192 bytes" },
                { "", 0, "the answer was empty" },
                { "echo", 0, "the answer was empty" },
                { "echo sesame; exit 1", 0, "systemd-ask-password got no answer" },
                { "kill -9 $$", 0, "systemd-ask-password got no answer" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                AskQuestion q = question(30);
                Err err = { "" };
                Ask a;

                write_program(cases[i].script);
                assert_int_equal(ask_agents(&q, &a, NULL), 0);
                int r = wait_for_answer(&a, &err);
                if (r != (cases[i].len > 0 ? 1 : -ENOKEY) ||
                    (cases[i].text && strcmp(err.text, cases[i].text) != 0))
                        fail_msg("'%s': %d, '%s'", cases[i].script, r, err.text);
                if (r == 1)
                        assert_int_equal(a.heard->len, cases[i].len);
                ask_done(&a);
                assert_null(a.heard);
        }
}

static void test_a_program_that_is_not_there(void **state)
{
        AskQuestion q = question(30);
        Err err = { "" };
        Ask a;

        unlink("program");
        assert_int_equal(ask_agents(&q, &a, NULL), 0);
        assert_int_equal(wait_for_answer(&a, &err), -ENOKEY);
        assert_string_equal(err.text, "/usr/bin/systemd-ask-password cannot be run");
        ask_done(&a);
}

/* Its own limit ends the program, and ours one that does not keep to it. */
static void test_nobody_answers(void **state)
{
        static const char *const scripts[] = { "sleep 1; exit 1", "exec sleep 1000" };

        for (size_t i = 0; i < 2; i++) {
                AskQuestion q = question(1);
                Err err = { "" };
                Ask a;

                write_program(scripts[i]);
                assert_int_equal(ask_agents(&q, &a, NULL), 0);
                if (i == 1)
                        a.end_ms -= 5000;
                assert_int_equal(wait_for_answer(&a, &err), -ENOKEY);
                assert_string_equal(err.text, "nobody answered within 1 s");
                ask_done(&a);
        }
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static bool file_is_there(const char *name)
{
        for (int i = 0; i < PATIENCE_MS / 10; i++) {
                if (access(name, F_OK) == 0)
                        return true;
                usleep(10000);
        }
        return false;
}

/* A question that is not needed any more is taken back in order, and by force from who does not listen. */
static void test_it_is_taken_back(void **state)
{
        static const char *const scripts[] = {
                "trap 'rm ready; kill $!; exit 1' TERM; sleep 1000 & : >ready; wait",
                "trap '' TERM; : >ready; exec sleep 1000"
        };

        for (size_t i = 0; i < 2; i++) {
                AskQuestion q = question(30);
                Ask a;

                unlink("ready");
                write_program(scripts[i]);
                assert_int_equal(ask_agents(&q, &a, NULL), 0);
                assert_true(file_is_there("ready"));
                ask_done(&a);
                assert_int_equal(access("ready", F_OK), i == 0 ? -1 : 0);
                assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        }
}

typedef struct Terminal {
        int keys, screen;
} Terminal;

static void terminal_open(Terminal *t)
{
        t->keys = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(t->keys >= 0);
        assert_int_equal(grantpt(t->keys), 0);
        assert_int_equal(unlockpt(t->keys), 0);
        t->screen = open(ptsname(t->keys), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(t->screen >= 0);
}

static void terminal_close(Terminal *t)
{
        cleanup_close(&t->screen);
        cleanup_close(&t->keys);
}

static void terminal_type(Terminal *t, const char *text)
{
        assert_int_equal(write(t->keys, text, strlen(text)), (ssize_t)strlen(text));
}

static void terminal_expect(Terminal *t, const char *text)
{
        char shown[256] = "";
        size_t len = 0;

        while (!strstr(shown, text)) {
                ssize_t n = read(t->keys, shown + len, sizeof(shown) - 1 - len);
                assert_true(n > 0);
                len += (size_t)n;
        }
}

static bool terminal_echoes(const Terminal *t)
{
        struct termios mode;

        assert_int_equal(tcgetattr(t->screen, &mode), 0);
        return mode.c_lflag & ECHO;
}

static void test_a_terminal(void **state)
{
        static const struct {
                const char *typed;
                size_t len;
                const char *text;
        } cases[] = {
                { "sesame\n", 6, NULL },
                { "sesame\r", 6, NULL },
                { "sesx\177ame\n", 6, NULL },
                { "\n", 0, "the answer was empty" },
                { "\004", 0, "the answer was empty" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                AskQuestion q = question(30);
                Terminal t;
                Err err = { "" };
                Ask a;

                terminal_open(&t);
                /* Its echo says that it has arrived. */
                terminal_type(&t, "typed before\n");
                terminal_expect(&t, "typed before");
                assert_true(ask_may_use_terminal(t.screen));
                assert_int_equal(ask_on_terminal(&q, t.screen, &a, NULL), 0);
                assert_false(terminal_echoes(&t));
                terminal_expect(&t, "Passphrase of a b: ");
                terminal_type(&t, cases[i].typed);
                assert_int_equal(wait_for_answer(&a, &err), cases[i].len > 0 ? 1 : -ENOKEY);
                if (cases[i].text)
                        assert_string_equal(err.text, cases[i].text);
                else
                        assert_memory_equal(a.heard->bytes, "sesame", a.heard->len);
                assert_int_equal(a.heard->len, cases[i].len);
                ask_done(&a);
                assert_true(terminal_echoes(&t));
                terminal_close(&t);
        }
}

static void test_a_terminal_where_nobody_sits(void **state)
{
        AskQuestion q = question(1);
        Err err = { "" };
        Terminal t;
        Ask a;
        int file = open("/dev/null", O_RDWR | O_CLOEXEC);

        terminal_open(&t);
        assert_int_equal(ask_on_terminal(&q, t.screen, &a, NULL), 0);
        terminal_type(&t, "half an answ");
        assert_int_equal(wait_for_answer(&a, &err), -ENOKEY);
        assert_string_equal(err.text, "nobody answered within 1 s");
        ask_done(&a);
        assert_true(terminal_echoes(&t));
        terminal_close(&t);

        assert_false(ask_may_use_terminal(file));
        assert_true(ask_on_terminal(&q, file, &a, &err) < 0);
        close(file);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_the_program_is_given),
                cmocka_unit_test(test_how_the_program_answers),
                cmocka_unit_test(test_a_program_that_is_not_there),
                cmocka_unit_test(test_nobody_answers),
                cmocka_unit_test(test_it_is_taken_back),
                cmocka_unit_test(test_a_terminal),
                cmocka_unit_test(test_a_terminal_where_nobody_sits),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
