/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/holder.h"

#include "../fd-count.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FILE_NAME "/tmp/test-holder-XXXXXX"

static int open_new(void)
{
        char name[] = FILE_NAME;
        int fd = mkostemp(name, O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(unlink(name), 0);
        return fd;
}

static void set_lock(int fd, int command, short type, int first, int count)
{
        struct flock l = { .l_type = type, .l_start = first, .l_len = count };
        assert_int_equal(fcntl(fd, command, &l), 0);
}

static void test_a_file_is_called_as_in_lists_of_locks(void **state)
{
        _cleanup_close_ int fd = open_new();
        LockedFile before, while_locked;

        locked_file_of_fd(fd, &before);
        set_lock(fd, F_OFD_SETLK, F_RDLCK, 100, 1);
        locked_file_of_fd(fd, &while_locked);
        assert_non_null(strchr(while_locked.name, ':'));
        /* The same on most file systems, and on that of the tests. */
        assert_string_equal(before.name, while_locked.name);
}

static void test_ranges_and_kinds(void **state)
{
        static const struct {
                int command;
                short type;
                int first, count; /* 0: to the end */
                unsigned byte;
                bool found;
        } cases[] = {
                { F_OFD_SETLK, F_RDLCK, 201, 1, 200, false },
                { F_OFD_SETLK, F_RDLCK, 201, 1, 201, true },
                { F_OFD_SETLK, F_RDLCK, 201, 1, 202, false },
                { F_OFD_SETLK, F_WRLCK, 100, 4, 99, false },
                { F_OFD_SETLK, F_WRLCK, 100, 4, 100, true },
                { F_OFD_SETLK, F_WRLCK, 100, 4, 103, true },
                { F_OFD_SETLK, F_WRLCK, 100, 4, 104, false },
                { F_OFD_SETLK, F_RDLCK, 0, 0, 203, true },
                { F_OFD_SETLK, F_RDLCK, 202, 0, 201, false },
                { F_SETLK, F_WRLCK, 0, 0, 101, true },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                _cleanup_close_ int fd = open_new(), other = open_new();
                LockedFile file, unlocked;
                Holder h = { 0 };
                set_lock(fd, cases[c].command, cases[c].type, cases[c].first, cases[c].count);
                locked_file_of_fd(fd, &file);
                locked_file_of_fd(other, &unlocked);
                if (holder_find(&file, cases[c].byte, &h) != cases[c].found)
                        fail_msg("case %zu: found %d", c, !cases[c].found);
                if (cases[c].found) {
                        assert_int_equal(h.pid, getpid());
                        assert_string_equal(h.name, "test-lock-holde");
                }
                /* Nobody holds the same byte of another file. */
                assert_false(holder_find(&unlocked, cases[c].byte, &h));
        }
}

static void test_the_lock_is_found_among_many(void **state)
{
        _cleanup_close_ int fd = open_new();
        LockedFile file;
        Holder h = { 0 };

        for (int byte = 0; byte < 40; byte += 2)
                set_lock(fd, F_OFD_SETLK, F_RDLCK, byte, 1);
        locked_file_of_fd(fd, &file);
        assert_true(holder_find(&file, 38, &h));
        assert_false(holder_find(&file, 39, &h));
}

static void test_processes(void **state)
{
        Holder h = { 0 };

        assert_true(holder_of_pid(getpid(), &h));
        assert_int_equal(h.pid, getpid());
        assert_string_equal(h.name, "test-lock-holde");
        assert_false(holder_of_pid(INT32_MAX, &h));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_file_is_called_as_in_lists_of_locks),
                cmocka_unit_test(test_ranges_and_kinds),
                cmocka_unit_test(test_the_lock_is_found_among_many),
                cmocka_unit_test(test_processes),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
