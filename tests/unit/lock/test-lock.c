/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/lock.h"

#include "../fd-count.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#define FILE_NAME "/tmp/test-lock-XXXXXX"

/* Makes the kernel answer a lock call with an errno, after some that it answers itself. */
static struct {
        int code, after;
} broken;

int __real_fcntl(int fd, int command, void *arg);
int __wrap_fcntl(int fd, int command, void *arg);
int __real_fcntl64(int fd, int command, void *arg);
int __wrap_fcntl64(int fd, int command, void *arg);

static int fcntl_or_break(int fd, int command, void *arg)
{
        bool is_lock = command == F_OFD_GETLK ||
                       (command == F_OFD_SETLK && ((struct flock *)arg)->l_type != F_UNLCK);
        if (is_lock && broken.code != 0 && broken.after-- == 0) {
                errno = broken.code;
                return -1;
        }
        return __real_fcntl64(fd, command, arg);
}

int __wrap_fcntl(int fd, int command, void *arg)
{
        return fcntl_or_break(fd, command, arg);
}

int __wrap_fcntl64(int fd, int command, void *arg)
{
        return fcntl_or_break(fd, command, arg);
}

typedef struct File {
        char name[sizeof(FILE_NAME)];
} File;

static int file_setup(void **state)
{
        File *f = malloc(sizeof(*f));
        if (!f)
                return -1;
        strcpy(f->name, FILE_NAME);
        *state = f;
        broken.code = 0;
        int fd = mkstemp(f->name);
        return fd < 0 ? -1 : close(fd);
}

static int file_teardown(void **state)
{
        File *f = *state;
        int r = unlink(f->name);
        free(f);
        return r;
}

/* Each call is an open file of its own, whose locks exclude those of the others as another program's would. */
static int open_again(const File *f)
{
        int fd = open(f->name, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static int set_lock(int fd, int command, short type, int first, int count)
{
        struct flock l = { .l_type = type, .l_start = first, .l_len = count };
        return fcntl(fd, command, &l) < 0 ? -errno : 0;
}

/* "100 201 203": the bytes that somebody has locked. */
static const char *bytes_locked(const File *f, char ret[1024])
{
        _cleanup_close_ int fd = open_again(f);
        size_t len = 0;

        ret[0] = '\0';
        for (int byte = 0; byte < 300; byte++) {
                struct flock l = { .l_type = F_WRLCK, .l_start = byte, .l_len = 1 };
                assert_int_equal(fcntl(fd, F_OFD_GETLK, &l), 0);
                if (l.l_type != F_UNLCK)
                        len += (size_t)snprintf(ret + len, 1024 - len, "%s%d", len ? " " : "",
                                                byte);
        }
        return ret;
}

static const char *const held[] = {
        [LOCK_READER] = "100 201 203",
        [LOCK_WRITER] = "100 101 103 201 203",
};

static void test_what_each_role_holds(void **state)
{
        char text[1024];

        for (LockRole role = LOCK_READER; role <= LOCK_WRITER; role++) {
                int fd = open_again(*state);
                assert_int_equal(lock_take(fd, role, NULL), 0);
                assert_string_equal(bytes_locked(*state, text), held[role]);
                int copy = dup(fd);
                close(fd);
                /* It belongs to the open file, not to the descriptor. */
                assert_string_equal(bytes_locked(*state, text), held[role]);
                close(copy);
                assert_string_equal(bytes_locked(*state, text), "");
        }
}

/* A reader needs no right to write. */
static void test_a_descriptor_that_only_reads(void **state)
{
        const File *f = *state;
        _cleanup_close_ int fd = open(f->name, O_RDONLY | O_CLOEXEC);

        assert_int_equal(lock_take(fd, LOCK_READER, NULL), 0);
}

static void test_the_table_byte_by_byte(void **state)
{
        /* NULL: that role does not mind. */
        static const struct {
                int byte;
                const char *reader, *writer;
        } cases[] = {
                { 99, NULL, NULL },
                { 100, NULL, NULL },
                { 101, "writes to it", "writes to it" },
                { 102, NULL, NULL },
                { 103, "changes its size", "changes its size" },
                { 104, NULL, NULL },
                { 199, NULL, NULL },
                { 200, "lets nobody else read it", "lets nobody else read it" },
                { 201, NULL, "lets nobody else write to it" },
                { 202, NULL, NULL },
                { 203, NULL, "lets nobody else change its size" },
                { 204, NULL, NULL },
        };
        char text[1024], alone[16];

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
                for (LockRole role = LOCK_READER; role <= LOCK_WRITER; role++) {
                        const char *why = role == LOCK_READER ? cases[c].reader : cases[c].writer;
                        _cleanup_close_ int other = open_again(*state);
                        _cleanup_close_ int fd = open_again(*state);
                        Err err = { "" };
                        assert_int_equal(set_lock(other, F_OFD_SETLK, F_RDLCK, cases[c].byte, 1),
                                         0);
                        int r = lock_take(fd, role, &err);
                        if (r != (why ? -EAGAIN : 0) || (why && !strstr(err.text, why)))
                                fail_msg("byte %d, role %d: %d, '%s'", cases[c].byte, (int)role, r,
                                         err.text);
                        /* On a conflict all is let go again. */
                        snprintf(alone, sizeof(alone), "%d", cases[c].byte);
                        if (why)
                                assert_string_equal(bytes_locked(*state, text), alone);
                }
}

static void test_who_goes_with_whom(void **state)
{
        for (LockRole first = LOCK_READER; first <= LOCK_WRITER; first++)
                for (LockRole second = LOCK_READER; second <= LOCK_WRITER; second++) {
                        bool share = first == LOCK_READER && second == LOCK_READER;
                        _cleanup_close_ int a = open_again(*state), b = open_again(*state);
                        char text[1024];
                        assert_int_equal(lock_take(a, first, NULL), 0);
                        assert_int_equal(lock_take(b, second, NULL), share ? 0 : -EAGAIN);
                        assert_string_equal(bytes_locked(*state, text), held[first]);
                        /* What was refused is granted once the other has gone. */
                        cleanup_close(&a);
                        a = -1;
                        assert_int_equal(lock_take(b, second, NULL), 0);
                        assert_string_equal(bytes_locked(*state, text), held[second]);
                }
}

/* A program that locks as QEMU does not: the whole file, against everybody. */
static void test_a_lock_against_everybody(void **state)
{
        _cleanup_close_ int other = open_again(*state), fd = open_again(*state);
        Err err = { "" };

        assert_int_equal(set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 0), 0);
        assert_int_equal(lock_take(fd, LOCK_READER, &err), -EAGAIN);
        assert_non_null(strstr(err.text, "has locked it"));
        assert_int_equal(lock_take(fd, LOCK_WRITER, &err), -EAGAIN);
}

typedef struct Child {
        pid_t pid;
        int hold; /* closed: it ends */
} Child;

/* A process that has the file open with a lock of the given kind on its first 250 bytes. */
static Child child_start(const File *f, int command, short type)
{
        int go[2], up[2];
        char byte = 0;

        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        assert_int_equal(pipe2(up, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                close(go[1]);
                prctl(PR_SET_NAME, "a (b) c:d");
                int fd = open(f->name, O_RDWR | O_CLOEXEC);
                byte = set_lock(fd, command, type, 0, 250) == 0;
                _exit(write(up[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0);
        }
        close(go[0]);
        close(up[1]);
        assert_int_equal(read(up[0], &byte, 1), 1);
        assert_int_equal(byte, 1);
        close(up[0]);
        return (Child){ .pid = pid, .hold = go[1] };
}

static void child_end(const Child *c)
{
        int status = -1;
        close(c->hold);
        assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
        assert_int_equal(status, 0);
}

static void test_the_holder_is_named(void **state)
{
        static const struct {
                int command;
                short type;
        } cases[] = {
                { F_OFD_SETLK, F_RDLCK },
                { F_OFD_SETLK, F_WRLCK },
                { F_SETLK, F_RDLCK },
                { F_SETLK, F_WRLCK },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
                for (LockRole role = LOCK_READER; role <= LOCK_WRITER; role++) {
                        Child child = child_start(*state, cases[c].command, cases[c].type);
                        _cleanup_close_ int fd = open_again(*state);
                        Err err = { "" };
                        char want[128];
                        snprintf(want, sizeof(want), "is in use by a (b) c:d (pid %d), which ",
                                 (int)child.pid);
                        assert_int_equal(lock_take(fd, role, &err), -EAGAIN);
                        child_end(&child);
                        if (strncmp(err.text, want, strlen(want)) != 0)
                                fail_msg("case %zu: '%s'", c, err.text);
                        assert_int_equal(lock_take(fd, role, &err), 0);
                }
}

static void test_where_there_are_no_locks(void **state)
{
        static const struct {
                int code, after, r;
                const char *text;
        } cases[] = {
                { EINVAL, 0, LOCK_UNKNOWN_HERE, "has no image locks (Invalid argument)" },
                { ENOLCK, 0, LOCK_UNKNOWN_HERE, "has no image locks (No locks available)" },
                { ENOSYS, 2, LOCK_UNKNOWN_HERE, "has no image locks" },
                { EOPNOTSUPP, 3, LOCK_UNKNOWN_HERE, "has no image locks" },
                { EIO, 0, -EIO, "cannot be locked: Input/output error" },
                { EIO, 4, -EIO, "cannot be locked" },
        };
        char text[1024];

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                _cleanup_close_ int fd = open_again(*state);
                Err err = { "" };
                broken.code = cases[c].code;
                broken.after = cases[c].after;
                int r = lock_take(fd, LOCK_READER, &err);
                broken.code = 0;
                if (r != cases[c].r || !strstr(err.text, cases[c].text))
                        fail_msg("case %zu: %d, '%s'", c, r, err.text);
                assert_string_equal(bytes_locked(*state, text), "");
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, file_setup, file_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_what_each_role_holds),     TEST(test_a_descriptor_that_only_reads),
                TEST(test_the_table_byte_by_byte),   TEST(test_who_goes_with_whom),
                TEST(test_a_lock_against_everybody), TEST(test_the_holder_is_named),
                TEST(test_where_there_are_no_locks),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
