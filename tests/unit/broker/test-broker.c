/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/broker.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define NAMES_COUNT 7
static const char *const names[NAMES_COUNT] = { "top.qcow2", "data.raw", "base.qcow2", "fifo",
                                                "link",      "d.001",    "d.002" };

typedef struct Folder {
        char path[64];
} Folder;

static int folder_setup(void **state)
{
        Folder *f = calloc(1, sizeof(*f));
        char path[128];

        snprintf(f->path, sizeof(f->path), "/tmp/test-broker-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        for (int i = 0; i < NAMES_COUNT; i++) {
                snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
                int r = strcmp(names[i], "fifo") == 0 || strcmp(names[i], "d.002") == 0
                                ? mkfifo(path, 0600)
                        : strcmp(names[i], "link") == 0
                                ? symlink("base.qcow2", path)
                                : close(open(path, O_CREAT | O_WRONLY, 0600));
                if (r < 0)
                        return -1;
        }
        *state = f;
        return 0;
}

static int folder_teardown(void **state)
{
        Folder *f = *state;
        char path[128];

        for (int i = 0; i < NAMES_COUNT; i++) {
                snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
                unlink(path);
        }
        int r = rmdir(f->path);
        free(f);
        return r;
}

static int open_by(const Folder *f, const char *name, BrokerRules rules, Broker *ret, Err *err)
{
        char path[128];

        rules.lock_help = "ask a friend";
        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        _cleanup_close_ int fd = open(path, (rules.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
        assert_true(fd >= 0);
        int r = broker_init(ret, &rules, fd, err);
        if (r == 0)
                fd_take(&fd);
        return r;
}

static int open_named(const Folder *f, const char *name, bool writable, Broker *ret, Err *err)
{
        BrokerRules rules = { .policy = REFERENCES_DIRECTORY, .writable = writable };
        return open_by(f, name, rules, ret, err);
}

/* The same without locks. */
static int open_sharing(const Folder *f, const char *name, Broker *ret)
{
        BrokerRules rules = { .policy = REFERENCES_DIRECTORY, .force_share = true };
        return open_by(f, name, rules, ret, NULL);
}

static MessageOpen ask(uint32_t namer, bool writable, const char *name)
{
        MessageOpen m = { .namer = namer, .writable = writable };
        snprintf(m.name, sizeof(m.name), "%s", name);
        return m;
}

/* Of what it names only the image is given, under whatever name, and of nothing more is told than that it is not. */
static void test_an_overlay_names_the_image_alone(void **state)
{
        const Folder *f = *state;
        BrokerRules rules = { .policy = REFERENCES_NONE, .hides_reasons = true };
        char path[128], absolute[128];
        Message answer;
        Broker i, other;
        int fd = -1;
        Err err = { "" };

        assert_int_equal(open_by(f, "top.qcow2", rules, &i, NULL), 0);
        snprintf(path, sizeof(path), "%s/data.raw", f->path);
        snprintf(absolute, sizeof(absolute), "%s/top.qcow2", f->path);
        int over = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(broker_add_overlay(&i, over, path, NULL), 0);
        const char *const own[] = { "top.qcow2", "./top.qcow2", absolute };
        for (size_t n = 0; n < 3; n++) {
                MessageOpen m = ask(1, false, own[n]);
                assert_int_equal(broker_answer(&i, &m, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind, MESSAGE_OPENED);
                assert_int_equal(answer.opened.layer, 0);
                assert_int_equal(fd, i.layers[0].fd);
        }
        const char *const others[] = { "base.qcow2", "data.raw", "missing", "/etc/passwd", "" };
        for (size_t n = 0; n < 5; n++) {
                MessageOpen m = ask(1, n == 1, others[n]);
                assert_int_equal(broker_answer(&i, &m, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind, MESSAGE_REFUSED);
                assert_string_equal(answer.error.text, "refused");
                assert_int_equal(fd, -1);
        }
        /* The image itself is bound by the policy as ever, and the overlay is locked as what is written. */
        MessageOpen m = ask(0, false, "base.qcow2");
        assert_int_equal(broker_answer(&i, &m, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_int_equal(i.count, 2);
        assert_int_equal(open_named(f, "data.raw", false, &other, &err), -EAGAIN);
        assert_int_equal(open_named(f, "top.qcow2", false, &other, NULL), 0);
        broker_done(&other);
        assert_int_equal(broker_sync(&i, NULL), 0);
        broker_done(&i);
}

static void test_layers_are_numbered_in_their_order(void **state)
{
        Broker i;
        Message answer;
        int fd = -1;

        assert_int_equal(open_named(*state, "top.qcow2", false, &i, NULL), 0);
        MessageOpen first = ask(0, false, "base.qcow2"), second = ask(1, false, "data.raw");
        assert_int_equal(broker_answer(&i, &first, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        assert_int_equal(answer.opened.layer, 1);
        assert_int_equal(fd, i.layers[1].fd);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(broker_answer(&i, &second, &answer, &fd, NULL), 0);
        assert_int_equal(answer.opened.layer, 2);
        assert_int_equal(i.count, 3);
        broker_done(&i);
}

static void test_refusals(void **state)
{
        static const struct {
                bool writable_view;
                uint32_t namer, writable;
                const char *name;
                int code;
                const char *text;
        } cases[] = {
                { false, 0, 1, "data.raw", EACCES, "only for a writable view" },
                { false, 0, 0, "../escape", EACCES, "References=directory" },
                { false, 0, 0, "/etc/passwd", EACCES, "References=directory" },
                { false, 0, 0, "fifo", EACCES, "a fifo" },
                { false, 0, 0, "missing", ENOENT, "No such file" },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Broker i;
                Message answer;
                int fd = 5;
                MessageOpen m = ask(cases[c].namer, cases[c].writable, cases[c].name);
                assert_int_equal(open_named(*state, "top.qcow2", cases[c].writable_view, &i, NULL),
                                 0);
                assert_int_equal(broker_answer(&i, &m, &answer, &fd, NULL), 0);
                if (answer.kind != MESSAGE_REFUSED || answer.error.code != cases[c].code ||
                    !strstr(answer.error.text, cases[c].text) || fd != -1)
                        fail_msg("case %zu: kind %u, code %d, '%s'", c, answer.kind,
                                 answer.error.code, answer.error.text);
                assert_int_equal(i.count, 1);
                broker_done(&i);
        }
}

/* What root alone may see is remembered: a view that is up can be shown to others later. */
static void test_what_is_for_root_alone(void **state)
{
        static const struct {
                bool others_see, by_owner, opened, for_root;
        } cases[] = {
                { false, true, true, false },
                { false, false, true, true },
                { true, true, true, false },
                { true, false, false, false },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                BrokerRules rules = {
                        .policy = REFERENCES_DIRECTORY,
                        .has_namer = true,
                        .namer = geteuid() + (cases[c].by_owner ? 0 : 1),
                        .others_see = cases[c].others_see,
                };
                MessageOpen m = ask(0, false, "base.qcow2");
                Message answer;
                Broker i;
                int fd = -1;

                assert_int_equal(open_by(*state, "top.qcow2", rules, &i, NULL), 0);
                assert_int_equal(broker_answer(&i, &m, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind == MESSAGE_OPENED, cases[c].opened);
                assert_int_equal(i.is_for_root, cases[c].for_root);
                broker_done(&i);
        }
}

static void test_writing_belongs_to_the_top_alone(void **state)
{
        Broker i;
        Message answer;
        int fd = -1;
        MessageOpen data = ask(0, true, "data.raw"), base = ask(0, false, "base.qcow2"),
                    below = ask(2, true, "data.raw");

        assert_int_equal(open_named(*state, "top.qcow2", true, &i, NULL), 0);
        assert_int_equal(broker_answer(&i, &data, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
        assert_int_equal(broker_answer(&i, &base, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_int_equal(broker_answer(&i, &below, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_int_equal(answer.error.code, EACCES);
        assert_int_equal(broker_sync(&i, NULL), 0);
        broker_done(&i);
}

static void test_the_image_is_locked(void **state)
{
        for (int first = 0; first < 2; first++)
                for (int second = 0; second < 2; second++) {
                        Broker a, b;
                        Err err = { "" };
                        assert_int_equal(open_named(*state, "top.qcow2", first, &a, NULL), 0);
                        int r = open_named(*state, "top.qcow2", second, &b, &err);
                        assert_int_equal(r, first || second ? -EAGAIN : 0);
                        if (r == 0)
                                broker_done(&b);
                        else if (!strstr(err.text, "is in use by ") ||
                                 !strstr(err.text, "; ask a friend"))
                                fail_msg("'%s'", err.text);
                        assert_int_equal(open_sharing(*state, "top.qcow2", &b), 0);
                        broker_done(&b);
                        broker_done(&a);
                }
}

static void test_what_shares_by_force_locks_nothing(void **state)
{
        Broker sharing, writer;
        Message answer;
        int fd = -1;
        MessageOpen data = ask(0, false, "data.raw");

        assert_int_equal(open_sharing(*state, "top.qcow2", &sharing), 0);
        assert_int_equal(broker_answer(&sharing, &data, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        for (int n = 0; n < 2; n++) {
                assert_int_equal(
                        open_named(*state, n ? "data.raw" : "top.qcow2", true, &writer, NULL), 0);
                if (n) {
                        assert_int_equal(broker_answer(&sharing, &data, &answer, &fd, NULL), 0);
                        assert_int_equal(answer.kind, MESSAGE_OPENED);
                }
                broker_done(&writer);
        }
        broker_done(&sharing);
}

static void test_layers_are_locked(void **state)
{
        /* How a layer is opened, and as what somebody else has it. */
        static const struct {
                bool writable, theirs_is_writable, refused;
        } cases[] = {
                { false, false, false },
                { false, true, true },
                { true, false, true },
                { true, true, true },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Broker ours, theirs;
                Message answer;
                int fd = -1;
                MessageOpen data = ask(0, cases[c].writable, "data.raw");
                assert_int_equal(
                        open_named(*state, "data.raw", cases[c].theirs_is_writable, &theirs, NULL),
                        0);
                assert_int_equal(open_named(*state, "top.qcow2", true, &ours, NULL), 0);
                assert_int_equal(broker_answer(&ours, &data, &answer, &fd, NULL), 0);
                if ((answer.kind == MESSAGE_REFUSED) != cases[c].refused)
                        fail_msg("case %zu: kind %u", c, answer.kind);
                if (cases[c].refused) {
                        assert_int_equal(answer.error.code, EAGAIN);
                        assert_non_null(strstr(answer.error.text, "is in use by "));
                        assert_int_equal(ours.count, 1);
                        assert_int_equal(fd, -1);
                }
                broker_done(&theirs);
                /* The same question again, now that nobody is in the way. */
                assert_int_equal(broker_answer(&ours, &data, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind, MESSAGE_OPENED);
                /* And now it is ours. */
                Err err = { "" };
                assert_int_equal(open_named(*state, "data.raw", true, &theirs, &err), -EAGAIN);
                broker_done(&ours);
                assert_int_equal(open_named(*state, "data.raw", true, &theirs, NULL), 0);
                broker_done(&theirs);
        }
}

static void test_there_is_an_end_to_it(void **state)
{
        Broker i;
        Message answer;
        int fd = -1;
        MessageOpen m = ask(0, false, "base.qcow2");

        assert_int_equal(open_named(*state, "top.qcow2", false, &i, NULL), 0);
        for (int n = 1; n < BROKER_LAYERS_MAX; n++) {
                assert_int_equal(broker_answer(&i, &m, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind, MESSAGE_OPENED);
        }
        assert_int_equal(broker_answer(&i, &m, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_int_equal(answer.error.code, EFBIG);
        broker_done(&i);
}

/* What no image makes anybody ask: the asker has been taken over. */
static void test_nonsense_is_the_end(void **state)
{
        static const uint32_t namers[] = { 1, BROKER_LAYERS_MAX - 1, BROKER_LAYERS_MAX,
                                           UINT32_MAX };
        Broker b;
        Message answer;
        int fd = -1;
        Err err = { "" };

        for (size_t n = 0; n < sizeof(namers) / sizeof(namers[0]); n++) {
                MessageOpen m = ask(namers[n], false, "base.qcow2");
                assert_int_equal(open_named(*state, "top.qcow2", false, &b, NULL), 0);
                assert_int_equal(broker_answer(&b, &m, &answer, &fd, &err), -EPROTO);
                assert_non_null(strstr(err.text, "was never opened"));
                assert_int_equal(b.count, 1);
                broker_done(&b);
        }
}

/* One that feels its way through the folder. */
static void test_questions_are_counted(void **state)
{
        MessageOpen m = ask(0, false, "missing");
        Broker b;
        Message answer;
        int fd = -1, count = 0;
        Err err = { "" };

        assert_int_equal(open_named(*state, "top.qcow2", false, &b, NULL), 0);
        while (broker_answer(&b, &m, &answer, &fd, &err) == 0)
                count++;
        assert_int_equal(count, BROKER_FILES_MAX);
        assert_string_equal(err.text, "it asked for more than 1000 files");
        broker_done(&b);
}

/* Of a name's links only who may know is told, and of nothing else. */
static void test_passphrases_are_for_layers(void **state)
{
        static const struct {
                uint32_t layer;
                const char *what, *text;
        } cases[] = {
                { 0, "luks", NULL },
                { 1, "qcow2-aes", NULL },
                { 2, "luks", "it asked for the passphrase of layer 2, which was never opened" },
                { UINT32_MAX, "luks", "layer 4294967295" },
                { 0, "", "has a name that is none" },
                { 0, "LUKS", "has a name that is none" },
                { 0, "x\033[2J", "has a name that is none" },
        };
        Broker b;
        Message answer;
        Err err = { "" };
        int fd = -1, count = 0, r = 0;

        assert_int_equal(open_named(*state, "top.qcow2", false, &b, NULL), 0);
        MessageOpen base = ask(0, false, "base.qcow2");
        assert_int_equal(broker_answer(&b, &base, &answer, &fd, NULL), 0);
        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++, count++) {
                MessageSecretWanted m = { .layer = cases[c].layer };
                strcpy(m.what, cases[c].what);
                assert_int_equal(broker_check_secret_wanted(&b, &m, &err),
                                 cases[c].text ? -EPROTO : 0);
                if (cases[c].text)
                        assert_non_null(strstr(err.text, cases[c].text));
        }
        for (; r == 0 && count < 1000; count++) {
                MessageSecretWanted m = { .what = "luks" };
                r = broker_check_secret_wanted(&b, &m, &err);
        }
        assert_int_equal(count, BROKER_SECRETS_MAX + 1);
        assert_string_equal(err.text, "it asked for more than 128 passphrases");
        broker_done(&b);
}

static void test_where_a_link_leads(void **state)
{
        const Folder *f = *state;
        char base[128];

        snprintf(base, sizeof(base), "%s/base.qcow2", f->path);
        for (int tells = 0; tells < 2; tells++) {
                BrokerRules rules = { .policy = REFERENCES_DIRECTORY, .tells_links = tells };
                MessageOpen link = ask(0, false, "link"), file = ask(0, false, "base.qcow2");
                Broker b;
                Message answer;
                int fd = -1;

                assert_int_equal(open_by(f, "top.qcow2", rules, &b, NULL), 0);
                assert_int_equal(broker_answer(&b, &link, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind, MESSAGE_OPENED);
                assert_string_equal(answer.opened.target, tells ? base : "");
                assert_int_equal(broker_answer(&b, &file, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind, MESSAGE_OPENED);
                assert_string_equal(answer.opened.target, "");
                broker_done(&b);
        }
}

static void test_reasons_can_be_hidden(void **state)
{
        static const struct {
                bool hides;
                const char *name;
                int said_code;
                const char *said;
                int code;
                const char *text;
        } cases[] = {
                { true, "gone.raw", EACCES, "backing file 'gone.raw': refused", ENOENT,
                  "backing file 'gone.raw': No such file or directory" },
                { true, "fifo", EACCES, "backing file 'fifo': refused", EACCES,
                  "backing file 'fifo': refused: it is a fifo" },
                { true, "gone.raw", EACCES, "refused", ENOENT, "No such file or directory" },
                { true, "gone.raw", EACCES, "cut of", ENOENT, "cut of: No such file or directory" },
                { true, "gone.raw", EBADMSG, "it is refused", EBADMSG, "it is refused" },
                { true, "gone.raw", -1, "", EIO, "" },
                { true, NULL, EACCES, "refused", EACCES, "refused" },
                { false, "gone.raw", ENOENT, "No such file or directory", ENOENT,
                  "No such file or directory" },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                BrokerRules rules = { .policy = REFERENCES_DIRECTORY,
                                      .hides_reasons = cases[c].hides };
                MessageError said = { .code = cases[c].said_code };
                Broker b;
                Message answer;
                Err err;
                int fd = -1;

                assert_int_equal(open_by(*state, "top.qcow2", rules, &b, NULL), 0);
                if (cases[c].name) {
                        MessageOpen question = ask(0, false, cases[c].name);
                        assert_int_equal(broker_answer(&b, &question, &answer, &fd, NULL), 0);
                        assert_int_equal(answer.kind, MESSAGE_REFUSED);
                        assert_int_equal(answer.error.code,
                                         cases[c].hides ? EACCES : cases[c].code);
                        assert_string_equal(answer.error.text,
                                            cases[c].hides ? "refused" : cases[c].text);
                }
                snprintf(said.text, sizeof(said.text), "%s", cases[c].said);
                int code = -broker_explain(&b, &said, &err);
                if (code != cases[c].code ||
                    strncmp(err.text, cases[c].text, strlen(cases[c].text)) != 0)
                        fail_msg("case %zu: %d, '%s'", c, code, err.text);
                broker_done(&b);
        }
}

/* A disk in parts has to know where it ends; what else there is and what is not is nobody's affair. */
static void test_a_part_that_is_missing(void **state)
{
        static const struct {
                const char *top, *name;
                int code;
        } cases[] = {
                { "d.001", "d.003", ENOENT },     { "d.001", "d.000", ENOENT },
                { "d.001", "d.002", EACCES },     { "d.001", "d.0003", EACCES },
                { "d.001", "d.03", EACCES },      { "d.001", "d.00a", EACCES },
                { "d.001", "e.003", EACCES },     { "d.001", "x/d.003", EACCES },
                { "d.001", "./d.003", EACCES },   { "top.qcow2", "top.qcow3", EACCES },
                { "top.qcow2", "d.003", EACCES },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                BrokerRules rules = { .policy = REFERENCES_DIRECTORY, .hides_reasons = true };
                MessageOpen question = ask(0, false, cases[c].name);
                Broker b;
                Message answer;
                int fd = -1;
                assert_int_equal(open_by(*state, cases[c].top, rules, &b, NULL), 0);
                assert_int_equal(broker_answer(&b, &question, &answer, &fd, NULL), 0);
                assert_int_equal(answer.kind, MESSAGE_REFUSED);
                assert_int_equal(answer.error.code, cases[c].code);
                broker_done(&b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_layers_are_numbered_in_their_order),
                cmocka_unit_test(test_an_overlay_names_the_image_alone),
                cmocka_unit_test(test_a_part_that_is_missing),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_what_is_for_root_alone),
                cmocka_unit_test(test_writing_belongs_to_the_top_alone),
                cmocka_unit_test(test_the_image_is_locked),
                cmocka_unit_test(test_what_shares_by_force_locks_nothing),
                cmocka_unit_test(test_layers_are_locked),
                cmocka_unit_test(test_there_is_an_end_to_it),
                cmocka_unit_test(test_nonsense_is_the_end),
                cmocka_unit_test(test_questions_are_counted),
                cmocka_unit_test(test_passphrases_are_for_layers),
                cmocka_unit_test(test_where_a_link_leads),
                cmocka_unit_test(test_reasons_can_be_hidden),
        };
        return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
