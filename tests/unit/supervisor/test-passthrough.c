/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/passthrough.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        FILE_SIZE = 8192,
};

/* A supervisor that has one image, a file on disk, and what its worker has said of it. */
typedef struct Rig {
        Manager m;
        Config config;
        char path[64];
} Rig;

static void rig_open(Rig *rig, int access)
{
        *rig = (Rig){ .path = "/var/tmp/test-passthrough-XXXXXX" };
        int fd = mkstemp(rig->path);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
        close(fd);
        config_init(&rig->config);
        rig->m.config = &rig->config;
        rig->m.mount = MOUNT_NONE;
        rig->m.image.layers[0].fd = open(rig->path, access | O_CLOEXEC);
        rig->m.image.count = 1;
        rig->m.sealed = (MessageSealed){ .size = FILE_SIZE, .plain = 1, .format = "raw" };
}

static void rig_close(Rig *rig)
{
        cleanup_close(&rig->m.image.layers[0].fd);
        config_done(&rig->config);
        unlink(rig->path);
}

static void change_nothing(Rig *rig)
{
}

static void make_growable(Rig *rig)
{
        rig->config.writable = rig->config.growable = true;
}

static void make_writable(Rig *rig)
{
        rig->config.writable = true;
}

static void say_nothing(Rig *rig)
{
        rig->m.sealed.plain = 0;
}

static void say_another(Rig *rig)
{
        rig->m.sealed.plain = 2;
}

static void say_shorter(Rig *rig)
{
        rig->m.sealed.size = FILE_SIZE - 1;
}

static void say_longer(Rig *rig)
{
        rig->m.sealed.size = FILE_SIZE + 1;
}

static void give_passphrase(Rig *rig)
{
        rig->m.unlock.is_given = true;
}

static void adopt(Rig *rig)
{
        rig->m.mount.adopted = true;
}

static void take_snapshot(Rig *rig)
{
        rig->config.snapshot = strdup("before");
}

static void take_window(Rig *rig)
{
        rig->config.offset = 512;
}

static void take_shorter_window(Rig *rig)
{
        rig->config.size = 512;
}

static void take_partition(Rig *rig)
{
        rig->config.partition = strdup("1");
}

static void take_overlay(Rig *rig)
{
        rig->config.overlay = strdup("volatile");
}

/* A device is no file, and has its size elsewhere. */
static void become_device(Rig *rig)
{
        cleanup_close(&rig->m.image.layers[0].fd);
        rig->m.image.layers[0].fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        rig->m.sealed.size = 0;
}

static void test_what_is_handed_over(void **state)
{
        static const struct {
                const char *name;
                int access;
                void (*change)(Rig *rig);
                bool chosen;
        } cases[] = {
                { "read-only", O_RDONLY, change_nothing, true },
                { "growable", O_RDWR, make_growable, true },
                { "writable, must not grow", O_RDWR, make_writable, false },
                { "read-only view of what was opened for writing", O_RDWR, change_nothing, false },
                { "growable view of what was not", O_RDONLY, make_growable, false },
                { "not plain", O_RDONLY, say_nothing, false },
                { "a layer that is not there", O_RDONLY, say_another, false },
                { "a longer file", O_RDONLY, say_shorter, false },
                { "a shorter file", O_RDONLY, say_longer, false },
                { "encrypted", O_RDONLY, give_passphrase, false },
                { "somebody else's mount", O_RDONLY, adopt, false },
                { "snapshot", O_RDONLY, take_snapshot, false },
                { "from there on", O_RDONLY, take_window, false },
                { "up to there", O_RDONLY, take_shorter_window, false },
                { "partition", O_RDONLY, take_partition, false },
                { "overlay", O_RDONLY, take_overlay, false },
                { "device", O_RDONLY, become_device, false },
        };
        bool is_root = geteuid() == 0;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Rig rig;

                rig_open(&rig, cases[i].access);
                cases[i].change(&rig);
                int fd = passthrough_choose(&rig.m);
                int expected = cases[i].chosen && is_root ? rig.m.image.layers[0].fd : -1;
                if (fd != expected)
                        fail_msg("%s: %d, not %d", cases[i].name, fd, expected);
                rig_close(&rig);
        }
}

/* Only the image itself is written to past the worker. */
static void test_no_other_layer_for_writing(void **state)
{
        Rig rig;

        rig_open(&rig, O_RDWR);
        make_growable(&rig);
        rig.m.image.layers[1] = rig.m.image.layers[0];
        rig.m.image.count = 2;
        rig.m.sealed.plain = 2;
        assert_int_equal(passthrough_choose(&rig.m), -1);
        rig_close(&rig);
}

/* What is no connection takes nothing. */
static void test_a_refusal_is_no_failure(void **state)
{
        Mount m = MOUNT_NONE;

        m.fuse_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_int_equal(passthrough_open(&m, m.fuse_fd), 0);
        passthrough_close(&m, 0);
        passthrough_close(&m, 1);
        mount_close(&m);
        passthrough_close(&m, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_handed_over),
                cmocka_unit_test(test_no_other_layer_for_writing),
                cmocka_unit_test(test_a_refusal_is_no_failure),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
