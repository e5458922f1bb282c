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

typedef struct Folder {
        char path[64];
} Folder;

static void folder_name(const Folder *f, const char *name, char ret[128])
{
        snprintf(ret, 128, "%s/%s", f->path, name);
}

static int folder_setup(void **state)
{
        Folder *f = calloc(1, sizeof(*f));
        char fifo[128], disk[128];

        snprintf(f->path, sizeof(f->path), "/tmp/test-image-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        folder_name(f, "fifo", fifo);
        folder_name(f, "disk", disk);
        *state = f;
        return mkfifo(fifo, 0600) < 0 ? -1 : close(open(disk, O_CREAT | O_WRONLY, 0600));
}

static int folder_teardown(void **state)
{
        Folder *f = *state;
        char fifo[128], disk[128];

        folder_name(f, "fifo", fifo);
        folder_name(f, "disk", disk);
        unlink(fifo);
        unlink(disk);
        int r = rmdir(f->path);
        free(f);
        return r;
}

/* The Config is the broker's for as long as that lives. */
static void describe(Config *c, const Folder *f, const char *name)
{
        char path[128];

        config_init(c);
        folder_name(f, name, path);
        assert_int_equal(config_set_option(c, "path", path, NULL), 0);
}

static int open_named(const Folder *f, const char *name, bool writable, Err *err)
{
        _cleanup_config_ Config c;
        Broker b;

        describe(&c, f, name);
        c.writable = writable;
        int r = image_open(&c, PATH_RULE_LINKS, &b, err);
        if (r == 0)
                broker_done(&b);
        return r;
}

static void test_what_is_no_image(void **state)
{
        Err err = { "" };

        assert_int_equal(open_named(*state, "missing", false, &err), -ENOENT);
        assert_non_null(strstr(err.text, "cannot open it"));
        assert_int_equal(open_named(*state, "fifo", false, &err), -EINVAL);
        assert_int_equal(open_named(*state, ".", false, &err), -EINVAL);
        assert_int_equal(open_named(*state, "missing", true, &err), -ENOENT);
        assert_non_null(strstr(err.text, "for writing"));
}

static void test_it_is_locked(void **state)
{
        for (int writable = 0; writable < 2; writable++) {
                _cleanup_config_ Config c;
                Err err = { "" };
                Broker b;

                describe(&c, *state, "disk");
                c.writable = writable;
                assert_int_equal(image_open(&c, PATH_RULE_LINKS, &b, NULL), 0);
                assert_int_equal(fcntl(b.layers[0].fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK),
                                 writable ? O_RDWR : O_RDONLY);
                assert_int_equal(open_named(*state, "disk", true, &err), -EAGAIN);
                assert_non_null(strstr(err.text, "is in use by "));
                assert_non_null(strstr(err.text, "; --force-share (ForceShare=yes) shows"));
                assert_int_equal(open_named(*state, "disk", false, &err), writable ? -EAGAIN : 0);
                broker_done(&b);
        }
}

static void test_by_force_nothing_is_locked(void **state)
{
        _cleanup_config_ Config c;
        Broker b;

        describe(&c, *state, "disk");
        c.force_share = true;
        assert_int_equal(image_open(&c, PATH_RULE_LINKS, &b, NULL), 0);
        assert_int_equal(open_named(*state, "disk", true, NULL), 0);
        broker_done(&b);
}

/* What a descriptor says is what the broker goes by. */
static void test_the_rules_are_the_config_s(void **state)
{
        _cleanup_config_ Config c;
        Message answer;
        int fd = -1;
        MessageOpen m = { .name = "disk" };
        Broker b;

        describe(&c, *state, "disk");
        c.references = REFERENCES_NONE;
        assert_int_equal(image_open(&c, PATH_RULE_LINKS, &b, NULL), 0);
        assert_int_equal(broker_answer(&b, &m, &answer, &fd, NULL), 0);
        assert_int_equal(answer.kind, MESSAGE_REFUSED);
        assert_string_equal(answer.error.text, "refused");
        assert_false(b.rules.tells_links);
        broker_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_no_image),
                cmocka_unit_test(test_it_is_locked),
                cmocka_unit_test(test_by_force_nothing_is_locked),
                cmocka_unit_test(test_the_rules_are_the_config_s),
        };
        return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
