/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/image.h"

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

#define NAMES_COUNT 4
static const char *const names[NAMES_COUNT] = { "top.qcow2", "data.raw", "base.qcow2", "fifo" };

typedef struct Folder {
        char path[64];
} Folder;

static int folder_setup(void **state)
{
        Folder *f = calloc(1, sizeof(*f));
        char path[128];

        snprintf(f->path, sizeof(f->path), "/tmp/test-image-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        for (int i = 0; i < NAMES_COUNT; i++) {
                snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
                if (i == NAMES_COUNT - 1 ? mkfifo(path, 0600)
                                         : close(open(path, O_CREAT | O_WRONLY, 0600)))
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

static int open_named(const Folder *f, const char *name, bool writable, Image *ret, Err *err)
{
        _cleanup_config_ Config c;
        char path[128];

        config_init(&c);
        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        assert_int_equal(config_set_option(&c, "path", path, NULL), 0);
        c.writable = writable;
        int r = image_open(&c, ret, err);
        if (r == 0)
                ret->given = NULL;
        return r;
}

/* The same without locks. */
static int open_sharing(const Folder *f, const char *name, Image *ret)
{
        _cleanup_config_ Config c;
        char path[128];

        config_init(&c);
        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        assert_int_equal(config_set_option(&c, "path", path, NULL), 0);
        c.force_share = true;
        int r = image_open(&c, ret, NULL);
        if (r == 0)
                ret->given = NULL;
        return r;
}

static MessageOpen ask(uint32_t namer, bool writable, const char *name)
{
        MessageOpen m = { .namer = namer, .writable = writable };
        snprintf(m.name, sizeof(m.name), "%s", name);
        return m;
}

static void test_what_is_no_image(void **state)
{
        Image i;
        Err err = { "" };

        assert_int_equal(open_named(*state, "missing", false, &i, &err), -ENOENT);
        assert_non_null(strstr(err.text, "cannot open it"));
        assert_int_equal(open_named(*state, "fifo", false, &i, &err), -EINVAL);
        assert_int_equal(open_named(*state, ".", false, &i, &err), -EINVAL);
        assert_int_equal(open_named(*state, "missing", true, &i, &err), -ENOENT);
        assert_non_null(strstr(err.text, "for writing"));
}

static void test_layers_are_numbered_in_their_order(void **state)
{
        Image i;
        Message answer;
        int fd = -1;

        assert_int_equal(open_named(*state, "top.qcow2", false, &i, NULL), 0);
        MessageOpen first = ask(0, false, "base.qcow2"), second = ask(1, false, "data.raw");
        image_answer(&i, &first, &answer, &fd);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        assert_int_equal(answer.opened.layer, 1);
        assert_int_equal(fd, i.layers[1].fd);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        image_answer(&i, &second, &answer, &fd);
        assert_int_equal(answer.opened.layer, 2);
        assert_int_equal(i.count, 3);
        image_done(&i);
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
                { false, 1, 0, "base.qcow2", EINVAL, "layer 1 was never opened" },
                { false, UINT32_MAX, 0, "base.qcow2", EINVAL, "was never opened" },
                { false, 0, 1, "data.raw", EACCES, "only for a writable view" },
                { false, 0, 0, "../escape", EACCES, "References=directory" },
                { false, 0, 0, "/etc/passwd", EACCES, "References=directory" },
                { false, 0, 0, "fifo", EACCES, "a fifo" },
                { false, 0, 0, "missing", ENOENT, "No such file" },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Image i;
                Message answer;
                int fd = 5;
                MessageOpen m = ask(cases[c].namer, cases[c].writable, cases[c].name);
                assert_int_equal(open_named(*state, "top.qcow2", cases[c].writable_view, &i, NULL),
                                 0);
                image_answer(&i, &m, &answer, &fd);
                if (answer.kind != MESSAGE_REFUSED || answer.error.code != cases[c].code ||
                    !strstr(answer.error.text, cases[c].text) || fd != -1)
                        fail_msg("case %zu: kind %u, code %d, '%s'", c, answer.kind,
                                 answer.error.code, answer.error.text);
                assert_int_equal(i.count, 1);
                image_done(&i);
        }
}

static void test_writing_belongs_to_the_top_alone(void **state)
{
        Image i;
        Message answer;
        int fd = -1;
        MessageOpen data = ask(0, true, "data.raw"), base = ask(0, false, "base.qcow2"),
                    below = ask(2, true, "data.raw");

        assert_int_equal(open_named(*state, "top.qcow2", true, &i, NULL), 0);
        image_answer(&i, &data, &answer, &fd);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
        image_answer(&i, &base, &answer, &fd);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        image_answer(&i, &below, &answer, &fd);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_int_equal(answer.error.code, EACCES);
        assert_int_equal(image_sync(&i, NULL), 0);
        image_done(&i);
}

static void test_the_image_is_locked(void **state)
{
        for (int first = 0; first < 2; first++)
                for (int second = 0; second < 2; second++) {
                        Image a, b;
                        Err err = { "" };
                        assert_int_equal(open_named(*state, "top.qcow2", first, &a, NULL), 0);
                        int r = open_named(*state, "top.qcow2", second, &b, &err);
                        assert_int_equal(r, first || second ? -EAGAIN : 0);
                        if (r == 0)
                                image_done(&b);
                        else if (!strstr(err.text, "is in use by ") ||
                                 !strstr(err.text, "; --force-share (ForceShare=yes) shows"))
                                fail_msg("'%s'", err.text);
                        assert_int_equal(open_sharing(*state, "top.qcow2", &b), 0);
                        image_done(&b);
                        image_done(&a);
                }
}

static void test_what_shares_by_force_locks_nothing(void **state)
{
        Image sharing, writer;
        Message answer;
        int fd = -1;
        MessageOpen data = ask(0, false, "data.raw");

        assert_int_equal(open_sharing(*state, "top.qcow2", &sharing), 0);
        image_answer(&sharing, &data, &answer, &fd);
        assert_int_equal(answer.kind, MESSAGE_OPENED);
        for (int n = 0; n < 2; n++) {
                assert_int_equal(
                        open_named(*state, n ? "data.raw" : "top.qcow2", true, &writer, NULL), 0);
                if (n) {
                        image_answer(&sharing, &data, &answer, &fd);
                        assert_int_equal(answer.kind, MESSAGE_OPENED);
                }
                image_done(&writer);
        }
        image_done(&sharing);
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
                Image ours, theirs;
                Message answer;
                int fd = -1;
                MessageOpen data = ask(0, cases[c].writable, "data.raw");
                assert_int_equal(
                        open_named(*state, "data.raw", cases[c].theirs_is_writable, &theirs, NULL),
                        0);
                assert_int_equal(open_named(*state, "top.qcow2", true, &ours, NULL), 0);
                image_answer(&ours, &data, &answer, &fd);
                if ((answer.kind == MESSAGE_REFUSED) != cases[c].refused)
                        fail_msg("case %zu: kind %u", c, answer.kind);
                if (cases[c].refused) {
                        assert_int_equal(answer.error.code, EAGAIN);
                        assert_non_null(strstr(answer.error.text, "is in use by "));
                        assert_int_equal(ours.count, 1);
                        assert_int_equal(fd, -1);
                }
                image_done(&theirs);
                /* The same question again, now that nobody is in the way. */
                image_answer(&ours, &data, &answer, &fd);
                assert_int_equal(answer.kind, MESSAGE_OPENED);
                /* And now it is ours. */
                Err err = { "" };
                assert_int_equal(open_named(*state, "data.raw", true, &theirs, &err), -EAGAIN);
                image_done(&ours);
                assert_int_equal(open_named(*state, "data.raw", true, &theirs, NULL), 0);
                image_done(&theirs);
        }
}

static void test_there_is_an_end_to_it(void **state)
{
        Image i;
        Message answer;
        int fd = -1;
        MessageOpen m = ask(0, false, "base.qcow2");

        assert_int_equal(open_named(*state, "top.qcow2", false, &i, NULL), 0);
        for (int n = 1; n < IMAGE_LAYERS_MAX; n++) {
                image_answer(&i, &m, &answer, &fd);
                assert_int_equal(answer.kind, MESSAGE_OPENED);
        }
        image_answer(&i, &m, &answer, &fd);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_int_equal(answer.error.code, EFBIG);
        image_done(&i);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_no_image),
                cmocka_unit_test(test_layers_are_numbered_in_their_order),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_writing_belongs_to_the_top_alone),
                cmocka_unit_test(test_the_image_is_locked),
                cmocka_unit_test(test_what_shares_by_force_locks_nothing),
                cmocka_unit_test(test_layers_are_locked),
                cmocka_unit_test(test_there_is_an_end_to_it),
        };
        return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
