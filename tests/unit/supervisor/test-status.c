/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/status.h"

#include "service-manager.h"
#include "supervisor/manager.h"

static void test_how_it_is_used(void **state)
{
        static const struct {
                LookUse use;
                bool late;
                const char *end;
        } cases[] = {
                { { .readers = 0 }, false, "" },
                { { .readers = 1 }, false, "; 1 reader" },
                { { .readers = 3, .writers = 1 }, false, "; 3 readers, 1 writer" },
                { { .writers = 2 }, false, "; 2 writers" },
                { { .readers = 2, .errors = 1 },
                  false,
                  "; 2 readers; 1 I/O error, see the journal" },
                { { .errors = 2 }, true, "; 2 I/O errors, see the journal; does not answer" },
                { { .readers = UINT64_MAX }, false, "; 18446744073709551615 readers" },
        };
        char path[] = "/vm/web.qcow2", mount_point[] = "/run/rawview/web";
        Config config = { .writable = true };
        Manager m = { .config = &config,
                      .image.layers[0].path = path,
                      .sealed = { .size = 20ULL << 30, .format = "qcow2" },
                      .target.path = mount_point };
        char text[STATUS_TEXT_MAX], expected[STATUS_TEXT_MAX];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                m.pulse.use = cases[i].use;
                m.pulse.late = cases[i].late;
                snprintf(expected, sizeof(expected),
                         "web.qcow2 (qcow2, 20G, writable) as /run/rawview/web%s", cases[i].end);
                status_format(&m, text, sizeof(text));
                assert_string_equal(text, expected);
                for (size_t size = 1; size < strlen(expected); size += 7) {
                        status_format(&m, text, size);
                        assert_int_equal(strlen(text), size - 1);
                }
        }
}

static void test_what_takes_the_writes(void **state)
{
        char path[] = "web.raw", mount_point[] = "/mp", text[STATUS_TEXT_MAX];
        char kept[] = "/srv/o.qcow2", none[] = "volatile";
        Config config = { .writable = true, .overlay = kept };
        Manager m = { .config = &config,
                      .image.layers[0].path = path,
                      .sealed = { .size = 512, .format = "raw" },
                      .target.path = mount_point };

        status_format(&m, text, sizeof(text));
        assert_string_equal(text, "web.raw (raw, 512B, writable, overlay o.qcow2) as /mp");
        config.overlay = none;
        status_format(&m, text, sizeof(text));
        assert_string_equal(text, "web.raw (raw, 512B, writable, volatile overlay) as /mp");
}

static void test_what_has_become_of_the_loop_device(void **state)
{
        char path[] = "web.raw", mount_point[] = "/mp", text[STATUS_TEXT_MAX];
        Config config = { .writable = false };
        Manager m = { .config = &config,
                      .image.layers[0].path = path,
                      .sealed = { .size = 512, .format = "raw" },
                      .target.path = mount_point,
                      .loop = { .pid = 1, .report.number = 7 } };

        status_format(&m, text, sizeof(text));
        assert_string_equal(text, "web.raw (raw, 512B, read-only) as /mp; /dev/loop7");
        m.loop.pid = -1;
        m.loop_lost = true;
        status_format(&m, text, sizeof(text));
        assert_string_equal(text, "web.raw (raw, 512B, read-only) as /mp; its loop device is "
                                  "lost, see the journal");
}

static void test_what_a_reload_left_undone(void **state)
{
        char path[] = "web.raw", mount_point[] = "/mp", text[STATUS_TEXT_MAX];
        Config config = { .writable = false };
        Manager m = { .config = &config,
                      .image.layers[0].path = path,
                      .sealed = { .size = 512, .format = "raw" },
                      .target.path = mount_point,
                      .pulse.use.readers = 1,
                      .reload_note = "restart for MountPoint=" };

        status_format(&m, text, sizeof(text));
        assert_string_equal(
                text, "web.raw (raw, 512B, read-only) as /mp; 1 reader; restart for MountPoint=");
}

static void test_said_when_it_has_changed(void **state)
{
        char path[] = "web.raw", mount_point[] = "/mp";
        Config config = { .writable = false };
        Manager m = { .config = &config,
                      .image.layers[0].path = path,
                      .sealed = { .size = 512, .format = "raw" },
                      .target.path = mount_point };
        int s = manager_listen();

        status_ready(&m);
        expect_heard(s, "READY=1\nSTATUS=web.raw (raw, 512B, read-only) as /mp");
        status_update(&m);
        expect_silence(s);
        m.pulse.use.readers = 1;
        status_update(&m);
        expect_heard(s, "STATUS=web.raw (raw, 512B, read-only) as /mp; 1 reader");
        status_ending(&m, "Writing to %s", "a\nREADY=1");
        expect_heard(s, "STOPPING=1\nSTATUS=Writing to a?READY=1");
        status_ending(&m, "Writing to %s", "a\nREADY=1");
        expect_silence(s);
        m.pulse.use.readers = 0;
        status_update(&m);
        expect_silence(s);
        status_ending(&m, "Unmounting");
        expect_heard(s, "STATUS=Unmounting");
        manager_close(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_how_it_is_used),
                cmocka_unit_test(test_what_takes_the_writes),
                cmocka_unit_test(test_what_has_become_of_the_loop_device),
                cmocka_unit_test(test_what_a_reload_left_undone),
                cmocka_unit_test(test_said_when_it_has_changed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
