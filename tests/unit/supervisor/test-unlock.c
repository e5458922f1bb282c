/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/unlock.h"

#include "../fd-count.h"
#include "base/cleanup.h"
#include "ipc/channel.h"
#include "supervisor/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test-unlock-XXXXXX";
static char key[PATH_MAX];

static int setup(void **state)
{
        if (!mkdtemp(folder))
                return -1;
        snprintf(key, sizeof(key), "%s/key", folder);
        unsetenv("CREDENTIALS_DIRECTORY");
        return fd_count_setup(state);
}

static int teardown(void **state)
{
        unlink(key);
        return rmdir(folder) < 0 ? -1 : fd_count_teardown(state);
}

/* A supervisor as far as it answers for passphrases; two layers are open. */
typedef struct Rig {
        Manager m;
        Config config;
        ManagerOptions options;
        int worker_end;
} Rig;

static void rig_start(Rig *rig, const char *key_file)
{
        int ends[2];

        *rig = (Rig){ .m = { .config = &rig->config, .options = &rig->options },
                      .options.rule = PATH_RULE_KERNEL };
        config_init(&rig->config);
        rig->config.path = strdup("/vm/top");
        rig->config.key_file = key_file ? strdup(key_file) : NULL;
        rig->m.image = (Broker){ .count = 2 };
        for (int i = 0; i < 2; i++)
                rig->m.image.layers[i] =
                        (Layer){ .fd = -1, .path = strdup(i ? "/vm/base\033" : "/vm/top") };
        assert_int_equal(channel_pair(ends, NULL), 0);
        rig->m.worker = (Worker){ .pid = -1, .pidfd = -1, .channel = ends[0], .words = -1 };
        rig->worker_end = ends[1];
}

static void rig_end(Rig *rig)
{
        unlock_done(&rig->m.unlock);
        broker_done(&rig->m.image);
        worker_done(&rig->m.worker);
        cleanup_close(&rig->worker_end);
        config_done(&rig->config);
}

static int rig_want(Rig *rig, uint32_t layer, Err *err)
{
        MessageSecretWanted wanted = { .layer = layer, .what = "luks" };

        return unlock_take(&rig->m, &wanted, err);
}

static void rig_expect_secret(Rig *rig, const char *text)
{
        Message m;

        assert_int_equal(channel_receive(rig->worker_end, &m, NULL, NULL), 1);
        assert_int_equal(m.kind, MESSAGE_SECRET);
        assert_int_equal(m.secret.len, strlen(text));
        assert_memory_equal(m.secret.bytes, text, m.secret.len);
}

/* All that a worker may learn. */
static void rig_expect_refusal(Rig *rig, int code)
{
        Message m;

        assert_int_equal(channel_receive(rig->worker_end, &m, NULL, NULL), 1);
        assert_int_equal(m.kind, MESSAGE_REFUSED);
        assert_int_equal(m.error.code, code);
        assert_string_equal(m.error.text,
                            code == EKEYREJECTED ? "wrong passphrase" : "no passphrase");
}

static void rig_expect_story(const Rig *rig, int code, const char *said, const char *wanted)
{
        Err err;

        err_set(&err, code, "%s", said);
        assert_int_equal(unlock_explain(&rig->m.unlock, -code, &err), -code);
        if (strncmp(err.text, wanted, strlen(wanted)) != 0)
                fail_msg("'%s', not '%s'", err.text, wanted);
}

static void write_key(const char *text)
{
        _cleanup_close_ int fd = open(key, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_a_file_answers_once_for_each_layer(void **state)
{
        char wanted[PATH_MAX + 64];
        Rig rig;

        write_key("sesame");
        rig_start(&rig, key);
        assert_false(rig.m.unlock.is_given);
        assert_int_equal(rig_want(&rig, 0, NULL), 0);
        rig_expect_secret(&rig, "sesame");
        assert_true(rig.m.unlock.is_given);
        assert_int_equal(rig_want(&rig, 1, NULL), 0);
        rig_expect_secret(&rig, "sesame");
        assert_int_equal(rig_want(&rig, 1, NULL), 0);
        rig_expect_refusal(&rig, EKEYREJECTED);
        snprintf(wanted, sizeof(wanted), "luks: wrong passphrase (from KeyFile=%s)", key);
        rig_expect_story(&rig, EKEYREJECTED, "luks: wrong passphrase", wanted);
        snprintf(wanted, sizeof(wanted), "in other words: wrong passphrase (from KeyFile=%s)", key);
        rig_expect_story(&rig, EKEYREJECTED, "in other words", wanted);
        rig_expect_story(&rig, EBADMSG, "luks: wrong passphrase", "luks: wrong passphrase");
        rig_end(&rig);
}

static void test_a_newline_is_a_hint(void **state)
{
        Err err = { "luks: wrong passphrase" };
        Rig rig;

        write_key("sesame\n");
        rig_start(&rig, key);
        assert_int_equal(rig_want(&rig, 0, NULL), 0);
        rig_expect_secret(&rig, "sesame\n");
        assert_int_equal(rig_want(&rig, 0, NULL), 0);
        rig_expect_refusal(&rig, EKEYREJECTED);
        unlock_explain(&rig.m.unlock, -EKEYREJECTED, &err);
        assert_non_null(strstr(err.text, "the newline at its end counts"));
        assert_null(strstr(err.text, "sesame"));
        rig_end(&rig);
}

static void test_a_file_that_cannot_be_used(void **state)
{
        Rig rig;

        rig_start(&rig, "/nowhere/key");
        for (int i = 0; i < 2; i++) {
                assert_int_equal(rig_want(&rig, 0, NULL), 0);
                rig_expect_refusal(&rig, ENOKEY);
        }
        assert_int_equal(rig_want(&rig, 1, NULL), 0);
        rig_expect_refusal(&rig, ENOKEY);
        assert_false(rig.m.unlock.is_given);
        rig_expect_story(&rig, ENOKEY, "luks: no passphrase",
                         "luks: no passphrase: KeyFile=/nowhere/key: cannot open it: No such file");
        rig_end(&rig);
}

/* Before anything was asked there is nothing to explain. */
static void test_what_was_never_asked_for(void **state)
{
        Rig rig;

        rig_start(&rig, NULL);
        rig_expect_story(&rig, ENOKEY, "luks: no passphrase", "luks: no passphrase");
        assert_int_equal(unlock_poll_fd(&rig.m.unlock), -1);
        assert_int_equal(unlock_limit(&rig.m.unlock, -1), -1);
        assert_int_equal(unlock_limit(&rig.m.unlock, 5), 5);
        assert_int_equal(unlock_go_on(&rig.m, true, NULL), 0);
        rig_end(&rig);
}

static void test_nonsense_is_the_end(void **state)
{
        Err err = { "" };
        Rig rig;

        write_key("sesame");
        rig_start(&rig, key);
        assert_int_equal(rig_want(&rig, 2, &err), -EPROTO);
        assert_string_equal(err.text,
                            "it asked for the passphrase of layer 2, which was never opened");
        int r = 0, count = 0;
        for (; r == 0 && count < 1000; count++) {
                Message m;
                r = rig_want(&rig, 0, &err);
                if (r == 0)
                        assert_int_equal(channel_receive(rig.worker_end, &m, NULL, NULL), 1);
        }
        assert_int_equal(r, -EPROTO);
        assert_in_range(count, 2, 200);
        rig_end(&rig);
}

/* A person at a terminal, which is our standard input. */
typedef struct Person {
        int keys, saved;
} Person;

static void person_come(Person *p)
{
        p->keys = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_int_equal(grantpt(p->keys), 0);
        assert_int_equal(unlockpt(p->keys), 0);
        _cleanup_close_ int screen = open(ptsname(p->keys), O_RDWR | O_NOCTTY | O_CLOEXEC);
        p->saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
        assert_int_equal(dup2(screen, STDIN_FILENO), STDIN_FILENO);
}

static void person_go(Person *p)
{
        dup2(p->saved, STDIN_FILENO);
        cleanup_close(&p->saved);
        cleanup_close(&p->keys);
}

static void person_answer(Person *p, Rig *rig, const char *question, const char *answer)
{
        char shown[256] = "";
        size_t len = 0;

        assert_true(rig->m.unlock.is_asking);
        assert_true(unlock_poll_fd(&rig->m.unlock) >= 0);
        assert_in_range(unlock_limit(&rig->m.unlock, -1), 1, 90000);
        assert_int_equal(unlock_limit(&rig->m.unlock, 5), 5);
        assert_int_equal(unlock_go_on(&rig->m, false, NULL), 0);
        assert_true(rig->m.unlock.is_asking);
        while (!strstr(shown, question)) {
                struct pollfd ready = { .fd = p->keys, .events = POLLIN };
                if (poll(&ready, 1, 10000) <= 0)
                        fail_msg("it shows '%s'", shown);
                ssize_t n = read(p->keys, shown + len, sizeof(shown) - 1 - len);
                assert_true(n > 0);
                len += (size_t)n;
        }
        assert_int_equal(write(p->keys, answer, strlen(answer)), (ssize_t)strlen(answer));
        assert_int_equal(unlock_go_on(&rig->m, true, NULL), 0);
        assert_false(rig->m.unlock.is_asking);
}

static void test_a_person_may_err_three_times(void **state)
{
        static const char *const answers[] = { "one\n", "two\n", "three\n" };
        static const char *const heard[] = { "one", "two", "three" };
        Person person;
        Rig rig;

        person_come(&person);
        rig_start(&rig, NULL);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(rig_want(&rig, 0, NULL), 0);
                person_answer(&person, &rig,
                              i ? "That was wrong. Passphrase of /vm/top (luks): "
                                : "Passphrase of /vm/top (luks): ",
                              answers[i]);
                rig_expect_secret(&rig, heard[i]);
        }
        assert_int_equal(rig_want(&rig, 0, NULL), 0);
        rig_expect_refusal(&rig, EKEYREJECTED);
        rig_expect_story(&rig, EKEYREJECTED, "luks: wrong passphrase",
                         "luks: wrong passphrase (3 were tried)");
        rig_end(&rig);
        person_go(&person);
}

/* One name has what a terminal must not get. */
static void test_each_layer_has_its_question(void **state)
{
        Person person;
        Rig rig;

        person_come(&person);
        rig_start(&rig, NULL);
        assert_int_equal(rig_want(&rig, 0, NULL), 0);
        person_answer(&person, &rig, "Passphrase of /vm/top (luks): ", "one\n");
        rig_expect_secret(&rig, "one");
        assert_int_equal(rig_want(&rig, 1, NULL), 0);
        person_answer(&person, &rig, "Passphrase of /vm/base? (luks): ", "\n");
        rig_expect_refusal(&rig, ENOKEY);
        rig_expect_story(&rig, ENOKEY, "x: no passphrase",
                         "x: no passphrase (the answer was empty): --key-file=FILE");
        /* Who gave up is left alone. */
        assert_int_equal(rig_want(&rig, 1, NULL), 0);
        rig_expect_refusal(&rig, ENOKEY);
        assert_false(rig.m.unlock.is_asking);
        rig_end(&rig);
        person_go(&person);
}

static void test_nobody_is_there(void **state)
{
        int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10),
            null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        Rig rig;

        if (access("/run/systemd/system", F_OK) == 0 && geteuid() == 0)
                skip();
        dup2(null, STDIN_FILENO);
        rig_start(&rig, NULL);
        rig.options.instance = "web";
        assert_int_equal(rig_want(&rig, 0, NULL), 0);
        rig_expect_refusal(&rig, ENOKEY);
        rig_expect_story(&rig, ENOKEY, "luks: no passphrase",
                         "luks: no passphrase (there is nobody to ask): KeyFile= names a file");
        rig_end(&rig);
        dup2(saved, STDIN_FILENO);
        close(saved);
        close(null);
}

static void test_the_question_ends_with_the_view(void **state)
{
        Person person;
        Rig rig;

        person_come(&person);
        rig_start(&rig, NULL);
        assert_int_equal(rig_want(&rig, 0, NULL), 0);
        assert_true(rig.m.unlock.is_asking);
        rig_end(&rig);
        person_go(&person);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_file_answers_once_for_each_layer),
                cmocka_unit_test(test_a_newline_is_a_hint),
                cmocka_unit_test(test_a_file_that_cannot_be_used),
                cmocka_unit_test(test_what_was_never_asked_for),
                cmocka_unit_test(test_nonsense_is_the_end),
                cmocka_unit_test(test_a_person_may_err_three_times),
                cmocka_unit_test(test_each_layer_has_its_question),
                cmocka_unit_test(test_nobody_is_there),
                cmocka_unit_test(test_the_question_ends_with_the_view),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
