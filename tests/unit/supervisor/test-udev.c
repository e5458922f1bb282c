/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of udev's database means that it has done with a device. */
#include "supervisor/udev.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <systemd/sd-device.h>

#include <cmocka.h>

/* In the place of the database. */
static struct {
        bool there;
        struct stat st;
        char path[64];
        int device, initialized; /* what libsystemd says */
        int released;
} database;

int __wrap_access(const char *path, int mode);
int __wrap_stat64(const char *path, struct stat *ret);
int __wrap_sd_device_new_from_devname(sd_device **ret, const char *name);
int __wrap_sd_device_get_is_initialized(sd_device *device);
sd_device *__wrap_sd_device_unref(sd_device *device);

int __wrap_access(const char *path, int mode)
{
        assert_string_equal(path, "/run/udev/control");
        return database.there ? 0 : -1;
}

int __wrap_stat64(const char *path, struct stat *ret)
{
        strncpy(database.path, path, sizeof(database.path) - 1);
        if (!database.there) {
                errno = ENOENT;
                return -1;
        }
        *ret = database.st;
        return 0;
}

int __wrap_sd_device_new_from_devname(sd_device **ret, const char *name)
{
        assert_string_equal(name, "/dev/loop3p1");
        if (database.device >= 0)
                *ret = (sd_device *)&database;
        return database.device;
}

int __wrap_sd_device_get_is_initialized(sd_device *device)
{
        assert_ptr_equal(device, &database);
        return database.initialized;
}

sd_device *__wrap_sd_device_unref(sd_device *device)
{
        database.released += device != NULL;
        return NULL;
}

static void set_entry(ino_t inode, int64_t seconds, int64_t nanoseconds)
{
        database.there = true;
        database.st = (struct stat){ .st_ino = inode };
        database.st.st_mtim = (struct timespec){ .tv_sec = seconds, .tv_nsec = nanoseconds };
}

static void test_is_it_there(void **state)
{
        database.there = false;
        assert_false(udev_is_running());
        database.there = true;
        assert_true(udev_is_running());
}

static void test_each_new_entry_is_seen(void **state)
{
        dev_t device = makedev(7, 300);

        database.there = false;
        UdevMark none = udev_mark(device);
        assert_string_equal(database.path, "/run/udev/data/b7:300");
        assert_int_equal(none.inode, 0);
        assert_false(udev_has_moved(device, &none));
        set_entry(10, 20, 30);
        assert_true(udev_has_moved(device, &none));
        UdevMark first = udev_mark(device);
        assert_false(udev_has_moved(device, &first));
        /* A new file with the number of the one that it replaces, and another one in the same moment. */
        set_entry(10, 20, 31);
        assert_true(udev_has_moved(device, &first));
        set_entry(10, 21, 30);
        assert_true(udev_has_moved(device, &first));
        set_entry(11, 20, 30);
        assert_true(udev_has_moved(device, &first));
        /* That it has gone is no answer. */
        database.there = false;
        assert_false(udev_has_moved(device, &first));
}

static void test_rules_have_run(void **state)
{
        static const struct {
                int device, initialized;
                bool known;
        } cases[] = {
                { 0, 1, true },
                { 0, 0, false },
                { 0, -ENODATA, false },
                { -ENODEV, 1, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                database.device = cases[i].device;
                database.initialized = cases[i].initialized;
                database.released = 0;
                assert_int_equal(udev_knows("/dev/loop3p1"), cases[i].known);
                assert_int_equal(database.released, cases[i].device >= 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_is_it_there),
                cmocka_unit_test(test_each_new_entry_is_seen),
                cmocka_unit_test(test_rules_have_run),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
