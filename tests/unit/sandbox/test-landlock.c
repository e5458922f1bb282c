/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Landlock stops by itself, without the filter in front of it. */
#include "inmate.h"
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int enter(void)
{
        prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL);
        return landlock_enter(NULL);
}

static int act_open(void)
{
        return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int act_create(void)
{
        return open("/tmp/rawview-inmate", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 ? errno : 0;
}

static int act_list(void)
{
        return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ? errno : 0;
}

static int act_exec(void)
{
        execl("/bin/true", "true", (char *)NULL);
        return errno;
}

static int act_mount(void)
{
        return mount("none", "/tmp", "tmpfs", 0, NULL) < 0 ? errno : 0;
}

static int act_use_open(void)
{
        int fd = memfd_create("image", MFD_CLOEXEC);

        if (fd < 0 || enter() < 0 || ftruncate(fd, 4096) < 0 || pwrite(fd, "x", 1, 0) != 1)
                return errno;
        return 0;
}

static int enter_nothing(void)
{
        return 0;
}

static bool landlock_is_here(void)
{
        return syscall(SYS_landlock_create_ruleset, NULL, 0UL, 1UL) > 0;
}

static void test_nothing_can_be_reached(void **state)
{
        static const struct {
                const char *name;
                int (*act)(void);
                int status;
        } cases[] = {
                { "open", act_open, EACCES },  { "create", act_create, EACCES },
                { "list", act_list, EACCES },  { "exec", act_exec, EACCES },
                { "mount", act_mount, EPERM },
        };

        if (!landlock_is_here())
                skip();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Inmate inmate = { enter, cases[i].act };
                int status = inmate_run(&inmate);
                if (!WIFEXITED(status) || WEXITSTATUS(status) != cases[i].status)
                        fail_msg("%s: wait status %#x", cases[i].name, status);
        }
}

static void test_open_descriptors_stay(void **state)
{
        if (!landlock_is_here())
                skip();
        Inmate inmate = { enter_nothing, act_use_open };
        assert_int_equal(inmate_run(&inmate), 0);
}

/* The same acts succeed without the barrier, so that the tests above can fail. */
static void test_free_without(void **state)
{
        Inmate opens = { enter_nothing, act_open }, lists = { enter_nothing, act_list };

        assert_int_equal(inmate_run(&opens), 0);
        assert_int_equal(inmate_run(&lists), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_can_be_reached),
                cmocka_unit_test(test_open_descriptors_stay),
                cmocka_unit_test(test_free_without),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
