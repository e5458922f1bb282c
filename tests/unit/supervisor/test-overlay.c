/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/overlay.h"

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

typedef struct Scene {
        char folder[64], path[128];
        Config config;
        Broker image;
} Scene;

static int make_file(const Scene *s, const char *name, mode_t mode)
{
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", s->folder, name);
        int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, mode);
        assert_true(fd >= 0);
        return fd;
}

static int scene_setup(void **state)
{
        Scene *s = calloc(1, sizeof(*s));
        BrokerRules rules = { .policy = REFERENCES_NONE };

        snprintf(s->folder, sizeof(s->folder), "/tmp/test-overlay-XXXXXX");
        if (!mkdtemp(s->folder))
                return -1;
        *state = s;
        config_init(&s->config);
        return broker_init(&s->image, &rules, make_file(s, "disk.raw", 0600), NULL);
}

static int scene_teardown(void **state)
{
        Scene *s = *state;
        char command[128];

        broker_done(&s->image);
        config_done(&s->config);
        snprintf(command, sizeof(command), "rm -r %s", s->folder);
        int r = system(command);
        free(s);
        return r;
}

static int open_named(Scene *s, const char *name, Overlay *ret, Err *err)
{
        snprintf(s->path, sizeof(s->path),
                 name[0] == '/' || !strchr(name, '.') ? "%.0s%s" : "%s/%s", s->folder, name);
        assert_int_equal(config_set_option(&s->config, "overlay", s->path, NULL), 0);
        *ret = OVERLAY_NONE;
        return overlay_open(&s->config, PATH_RULE_LINKS, &s->image, ret, err);
}

/* So that the next one can be opened. */
static void forget_overlay(Scene *s)
{
        if (s->image.count < 2)
                return;
        Layer *l = &s->image.layers[--s->image.count];
        close(l->fd);
        free(l->path);
        s->image.overlay = 0;
}

static bool is_there(const Scene *s)
{
        return access(s->path, F_OK) == 0;
}

static size_t count_names(const Scene *s)
{
        _cleanup_dir_ DIR *d = opendir(s->folder);
        size_t count = 0;
        while (readdir(d))
                count++;
        return count - 2;
}

static void test_none_is_asked_for(void **state)
{
        Scene *s = *state;
        Overlay o = OVERLAY_NONE;

        assert_int_equal(overlay_open(&s->config, PATH_RULE_LINKS, &s->image, &o, NULL), 0);
        assert_int_equal(o.fd, -1);
        assert_int_equal(s->image.count, 1);
        assert_int_equal(overlay_publish(&o, NULL), 0);
        overlay_done(&o);
}

/* It has no name before it is whole, and is then locked and for nobody else. */
static void test_a_new_one(void **state)
{
        Scene *s = *state;
        Message m;
        struct stat st;
        Overlay o;

        assert_int_equal(open_named(s, "new.qcow2", &o, NULL), 0);
        assert_true(o.is_new);
        assert_false(is_there(s));
        assert_int_equal(s->image.overlay, 1);
        assert_int_equal(overlay_describe(&o, &s->config, &s->image, &m, NULL), 0);
        assert_int_equal(m.kind, MESSAGE_OVERLAY);
        assert_true(m.overlay.is_new);
        assert_string_equal(m.overlay.path, s->path);
        assert_string_equal(m.overlay.backing, s->image.layers[0].path);
        assert_int_equal(overlay_publish(&o, NULL), 0);
        assert_int_equal(stat(s->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        overlay_done(&o);
        assert_int_equal(count_names(s), 2);
}

static void test_a_start_that_fails_leaves_nothing(void **state)
{
        Scene *s = *state;
        Overlay o;

        assert_int_equal(open_named(s, "new.qcow2", &o, NULL), 0);
        overlay_done(&o);
        assert_int_equal(count_names(s), 1);
}

/* A file system without files that have no name. */
static void test_one_that_was_made_under_another_name(void **state)
{
        Scene *s = *state;
        Overlay o;

        for (int keep = 0; keep < 2; keep++) {
                assert_int_equal(open_named(s, "new.qcow2", &o, NULL), 0);
                snprintf(o.draft, sizeof(o.draft), ".draft");
                close(make_file(s, ".draft", 0600));
                if (keep)
                        assert_int_equal(overlay_publish(&o, NULL), 0);
                overlay_done(&o);
                assert_int_equal(is_there(s), keep);
                assert_int_equal(count_names(s), 1 + keep);
                forget_overlay(s);
        }
}

static void test_somebody_was_faster(void **state)
{
        Scene *s = *state;
        Err err = { "" };
        Overlay o;

        assert_int_equal(open_named(s, "new.qcow2", &o, NULL), 0);
        close(make_file(s, "new.qcow2", 0600));
        assert_int_equal(overlay_publish(&o, &err), -EEXIST);
        assert_string_equal(err.text, "cannot give the new overlay its name: File exists");
        overlay_done(&o);
}

static void test_one_that_is_there(void **state)
{
        Scene *s = *state;
        Overlay o;

        close(make_file(s, "old.qcow2", 0644));
        assert_int_equal(open_named(s, "old.qcow2", &o, NULL), 0);
        assert_false(o.is_new);
        assert_int_equal(fcntl(o.fd, F_GETFL) & O_ACCMODE, O_RDWR);
        assert_int_equal(overlay_publish(&o, NULL), 0);
        overlay_done(&o);
        assert_true(is_there(s));
}

static void test_a_volatile_one(void **state)
{
        Scene *s = *state;
        struct stat st;
        Overlay o;

        assert_int_equal(open_named(s, "volatile", &o, NULL), 0);
        assert_true(o.is_new);
        assert_int_equal(fstat(o.fd, &st), 0);
        assert_int_equal(st.st_nlink, 0);
        assert_int_equal(overlay_publish(&o, NULL), 0);
        overlay_done(&o);
        assert_int_equal(count_names(s), 1);
}

static void test_what_is_refused(void **state)
{
        static const struct {
                const char *name;
                int r;
                const char *text;
        } cases[] = {
                { "disk.raw", -EINVAL, "is the image itself" },
                { "fold.er", -EINVAL, "is not a regular file" },
                { "pi.pe", -EINVAL, "is not a regular file" },
                { "fold.er/", -EINVAL, "is not a regular file" },
                { "dang.ling", -EEXIST, "cannot give the new overlay its name" },
                { "nowhere.d/o.qcow2", -ENOENT, "No such file or directory" },
        };
        Scene *s = *state;
        char path[256];

        snprintf(path, sizeof(path), "%s/fold.er", s->folder);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof(path), "%s/pi.pe", s->folder);
        assert_int_equal(mkfifo(path, 0600), 0);
        snprintf(path, sizeof(path), "%s/dang.ling", s->folder);
        assert_int_equal(symlink("nothing", path), 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Err err = { "" };
                Overlay o;
                int r = open_named(s, cases[i].name, &o, &err);
                if (r >= 0)
                        r = overlay_publish(&o, &err);
                overlay_done(&o);
                if (r != cases[i].r || !strstr(err.text, cases[i].text))
                        fail_msg("%s: %d, %s", cases[i].name, r, err.text);
                forget_overlay(s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_none_is_asked_for, scene_setup,
                                                scene_teardown),
                cmocka_unit_test_setup_teardown(test_a_new_one, scene_setup, scene_teardown),
                cmocka_unit_test_setup_teardown(test_a_start_that_fails_leaves_nothing, scene_setup,
                                                scene_teardown),
                cmocka_unit_test_setup_teardown(test_one_that_was_made_under_another_name,
                                                scene_setup, scene_teardown),
                cmocka_unit_test_setup_teardown(test_somebody_was_faster, scene_setup,
                                                scene_teardown),
                cmocka_unit_test_setup_teardown(test_one_that_is_there, scene_setup,
                                                scene_teardown),
                cmocka_unit_test_setup_teardown(test_a_volatile_one, scene_setup, scene_teardown),
                cmocka_unit_test_setup_teardown(test_what_is_refused, scene_setup, scene_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
