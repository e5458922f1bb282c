/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/blocking.h"
#include "base/cleanup.h"
#include "store/store.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "../fd-count.h"
#include "dirty-pages.h"

/* How often the store has asked the kernel for a sync, which this stands for. */
static unsigned syncs;

int fdatasync(int fd)
{
        syncs++;
        return (int)syscall(SYS_fdatasync, fd);
}

enum {
        KIB = 1024,
        MIB = 1024 * 1024,
};

/* A file without a name, on the disk where the tests run. */
static int open_file(void)
{
        char name[] = "/var/tmp/rawview-test-fd-XXXXXX";
        int fd = mkostemp(name, O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(unlink(name), 0);
        return fd;
}

static Store *open_store(int fd, StoreMode mode)
{
        Store *s = NULL;
        Err err = { "" };
        assert_int_equal(store_open_fd(fd, mode, &s, &err), 0);
        return s;
}

static Store *open_new(StoreMode mode)
{
        return open_store(open_file(), mode);
}

static uint64_t size_of(Store *s)
{
        uint64_t size = 0;
        assert_int_equal(store_get_size(s, &size), 0);
        return size;
}

static void assert_filled(Store *s, uint8_t byte, size_t len, uint64_t pos)
{
        _cleanup_free_ uint8_t *buf = malloc(len);
        assert_int_equal(store_read(s, buf, len, pos), 0);
        for (size_t i = 0; i < len; i++)
                if (buf[i] != byte)
                        fail_msg("byte %zu is %u, not %u", i, buf[i], byte);
}

static void write_filled(Store *s, uint8_t byte, size_t len, uint64_t pos)
{
        _cleanup_free_ uint8_t *buf = malloc(len);
        memset(buf, byte, len);
        assert_int_equal(store_write(s, buf, len, pos), 0);
}

static void test_reads_are_whole_or_an_error(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);
        char buf[8];

        assert_int_equal(store_write(s, "0123456789", 10, 0), 0);
        assert_int_equal(store_read(s, buf, 8, 2), 0);
        assert_memory_equal(buf, "23456789", 8);
        assert_int_equal(store_read(s, buf, 8, 3), -ENODATA);
        assert_int_equal(store_read(s, buf, 1, 10), -ENODATA);
        assert_int_equal(store_read(s, buf, 1, UINT64_MAX), -ENODATA);
        assert_int_equal(store_read(s, buf, 0, 10), 0);
}

static void test_padded_reads_end_in_zeroes(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);
        char buf[6] = "......";

        assert_int_equal(store_write(s, "0123456789", 10, 0), 0);
        assert_int_equal(store_read_padded(s, buf, 6, 7), 0);
        assert_memory_equal(buf, "789\0\0\0", 6);
        memset(buf, '.', 6);
        assert_int_equal(store_read_padded(s, buf, 6, 10), 0);
        assert_memory_equal(buf, "\0\0\0\0\0\0", 6);
        memset(buf, '.', 6);
        assert_int_equal(store_read_padded(s, buf, 6, UINT64_MAX - 2), 0);
        assert_memory_equal(buf, "\0\0\0\0\0\0", 6);
}

static void test_writing_past_the_end_grows(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);

        assert_int_equal(store_write(s, "x", 1, 100), 0);
        assert_int_equal(size_of(s), 101);
        assert_filled(s, 0, 100, 0);
        assert_int_equal(store_set_size(s, 50), 0);
        assert_int_equal(size_of(s), 50);
        assert_int_equal(store_set_size(s, 200), 0);
        assert_filled(s, 0, 200, 0);
        assert_int_equal(store_sync(s), 0);
}

static void test_sizes_that_no_file_has(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);

        assert_int_equal(store_set_size(s, INT64_MAX), -EFBIG);
        assert_int_equal(store_set_size(s, UINT64_MAX), -EFBIG);
        assert_int_equal(store_write(s, "x", 1, INT64_MAX), -EFBIG);
        assert_int_equal(store_write(s, "xy", 2, UINT64_MAX), -EFBIG);
        assert_int_equal(store_allocate(s, INT64_MAX, 1), -EFBIG);
        assert_int_equal(size_of(s), 0);
}

static void test_a_huge_sparse_file_is_a_size_like_any(void **state)
{
        int fd = memfd_create("huge", MFD_CLOEXEC);
        assert_true(fd >= 0);
        _cleanup_store_ Store *s = open_store(fd, STORE_WRITABLE);
        uint64_t huge = (uint64_t)INT64_MAX - 4096;
        char buf[2];
        StoreRun run;

        assert_int_equal(store_set_size(s, huge), 0);
        assert_int_equal(store_write(s, "z", 1, huge - 1), 0);
        assert_int_equal(store_read_padded(s, buf, 2, huge - 1), 0);
        assert_memory_equal(buf, "z\0", 2);
        assert_int_equal(store_find_run(s, 0, &run), 0);
        assert_true(run.is_hole);
        assert_true(run.end > huge - MIB && run.end < huge);
}

static void test_a_file_too_long_is_refused(void **state)
{
        _cleanup_close_ int fd = memfd_create("long", MFD_CLOEXEC);
        Store *s = NULL;
        Err err = { "" };

        if (ftruncate(fd, INT64_MAX) < 0)
                skip();
        assert_int_equal(store_open_fd(fd, STORE_READ_ONLY, &s, &err), -EFBIG);
        assert_string_equal(err.text, "9223372036854775807 bytes are too many for one file");
}

static void test_read_only_refuses_every_change(void **state)
{
        int fd = open_file();
        assert_int_equal(pwrite(fd, "abcdefgh", 8, 0), 8);
        _cleanup_store_ Store *s = open_store(fd, STORE_READ_ONLY);
        char buf[8];

        assert_int_equal(store_write(s, "x", 1, 0), -EBADF);
        assert_int_equal(store_set_size(s, 4), -EBADF);
        assert_int_equal(store_punch(s, 0, 4), -EBADF);
        assert_int_equal(store_punch(s, 100, 4), -EBADF);
        assert_int_equal(store_zero(s, 0, 4), -EBADF);
        assert_int_equal(store_allocate(s, 0, 4), -EBADF);
        assert_int_equal(store_sync(s), 0);
        assert_int_equal(store_read(s, buf, 8, 0), 0);
        assert_memory_equal(buf, "abcdefgh", 8);
}

static void test_only_files_and_block_devices(void **state)
{
        static const char *const names[] = { "/tmp", "/dev/null" };

        for (size_t i = 0; i < 2; i++) {
                _cleanup_close_ int fd = open(names[i], O_RDONLY | O_CLOEXEC);
                Store *s = NULL;
                Err err = { "" };
                assert_int_equal(store_open_fd(fd, STORE_READ_ONLY, &s, &err), -EINVAL);
                assert_string_equal(err.text, "is neither a regular file nor a block device");
                assert_null(s);
                /* It is still the caller's. */
                assert_true(fcntl(fd, F_GETFD) >= 0);
        }

        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        _cleanup_close_ int in = ends[0], out = ends[1];
        Store *s = NULL;
        assert_int_equal(store_open_fd(in, STORE_READ_ONLY, &s, NULL), -EINVAL);
        assert_int_equal(store_open_fd(-1, STORE_READ_ONLY, &s, NULL), -EBADF);
        assert_true(out >= 0);
}

static void test_runs_of_a_sparse_file(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);
        static const struct {
                uint64_t pos;
                bool is_hole;
                uint64_t end;
        } runs[] = {
                { 0, true, MIB },
                { MIB - 1, true, MIB },
                { MIB, false, MIB + 64 * KIB },
                { MIB + 10, false, MIB + 64 * KIB },
                { MIB + 64 * KIB, true, 3 * MIB },
                { 3 * MIB, false, 3 * MIB + 4 * KIB },
                { 3 * MIB + 4 * KIB, true, 4 * MIB },
                { 4 * MIB - 1, true, 4 * MIB },
                { 4 * MIB, true, UINT64_MAX },
                { UINT64_MAX, true, UINT64_MAX },
        };

        write_filled(s, 'x', 64 * KIB, MIB);
        write_filled(s, 'y', 4 * KIB, 3 * MIB);
        assert_int_equal(store_set_size(s, 4 * MIB), 0);
        for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
                StoreRun run = { 0 };
                assert_int_equal(store_find_run(s, runs[i].pos, &run), 0);
                if (run.is_hole != runs[i].is_hole || run.end != runs[i].end)
                        fail_msg("run %zu: hole %d to %llu", i, run.is_hole,
                                 (unsigned long long)run.end);
        }
}

static void test_punching_gives_space_back(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);
        StoreStat before, after;

        write_filled(s, 'x', MIB, 0);
        assert_int_equal(store_sync(s), 0);
        assert_int_equal(store_get_stat(s, &before), 0);
        assert_int_equal(store_punch(s, 256 * KIB + 1, 512 * KIB), 0);
        assert_int_equal(store_get_stat(s, &after), 0);
        assert_true(after.allocated < before.allocated);
        assert_filled(s, 'x', 256 * KIB + 1, 0);
        assert_filled(s, 0, 512 * KIB, 256 * KIB + 1);
        assert_filled(s, 'x', 256 * KIB - 1, 768 * KIB + 1);

        assert_int_equal(store_punch(s, MIB - 1, MIB), 0);
        assert_int_equal(store_punch(s, MIB, MIB), 0);
        assert_int_equal(store_punch(s, UINT64_MAX, UINT64_MAX), 0);
        assert_int_equal(store_punch(s, 0, 0), 0);
        assert_int_equal(size_of(s), MIB);
        assert_filled(s, 0, 1, MIB - 1);
        assert_filled(s, 'x', 1, MIB - 2);
}

static void test_zeroing_keeps_the_size(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);

        write_filled(s, 'x', 64 * KIB, 0);
        assert_int_equal(store_zero(s, 100, 10000), 0);
        assert_int_equal(store_zero(s, 64 * KIB - 5, 1000), 0);
        assert_int_equal(store_zero(s, 64 * KIB, 1000), 0);
        assert_int_equal(size_of(s), 64 * KIB);
        assert_filled(s, 'x', 100, 0);
        assert_filled(s, 0, 10000, 100);
        assert_filled(s, 'x', 64 * KIB - 5 - 10100, 10100);
        assert_filled(s, 0, 5, 64 * KIB - 5);
}

static void test_allocating_reserves_and_changes_nothing(void **state)
{
        _cleanup_store_ Store *s = open_new(STORE_WRITABLE);
        StoreStat stat;

        write_filled(s, 'x', 10, 0);
        int r = store_allocate(s, 0, MIB);
        if (r == -EOPNOTSUPP)
                skip();
        assert_int_equal(r, 0);
        assert_int_equal(size_of(s), 10);
        assert_filled(s, 'x', 10, 0);
        assert_int_equal(store_get_stat(s, &stat), 0);
        assert_true(stat.allocated >= MIB);
}

static void test_stat_tells_files_apart(void **state)
{
        int fd = open_file();
        int again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        _cleanup_store_ Store *a = open_store(fd, STORE_WRITABLE);
        _cleanup_store_ Store *same = open_store(again, STORE_READ_ONLY);
        _cleanup_store_ Store *other = open_new(STORE_WRITABLE);
        StoreStat a_stat, same_stat, other_stat;

        write_filled(a, 'x', 64 * KIB, MIB);
        assert_int_equal(store_sync(a), 0);
        assert_int_equal(store_get_stat(a, &a_stat), 0);
        assert_int_equal(store_get_stat(same, &same_stat), 0);
        assert_int_equal(store_get_stat(other, &other_stat), 0);
        assert_int_equal(a_stat.inode, same_stat.inode);
        assert_int_equal(a_stat.device, same_stat.device);
        assert_int_not_equal(a_stat.inode, other_stat.inode);
        assert_in_range(a_stat.allocated, 64 * KIB, 512 * KIB);
        assert_true(a_stat.mtime.tv_sec > 0);
}

/* A loop device that goes away with its last descriptor; -1 where there can be none. */
static int open_loop(int file)
{
        _cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        char name[32];
        struct loop_config config = { .fd = (uint32_t)file, .info.lo_flags = LO_FLAGS_AUTOCLEAR };

        int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
                return -1;
        snprintf(name, sizeof(name), "/dev/loop%d", number);
        _cleanup_close_ int loop = open(name, O_RDWR | O_CLOEXEC);
        if (loop < 0 || ioctl(loop, LOOP_CONFIGURE, &config) < 0)
                return -1;
        return fd_take(&loop);
}

static void test_a_block_device_has_one_size(void **state)
{
        _cleanup_close_ int file = open_file();
        assert_int_equal(ftruncate(file, MIB), 0);
        int loop = open_loop(file);
        if (loop < 0)
                skip();

        _cleanup_store_ Store *s = open_store(loop, STORE_WRITABLE);
        StoreRun run;
        StoreStat stat;
        assert_int_equal(size_of(s), MIB);
        write_filled(s, 'x', 8 * KIB, MIB - 8 * KIB);
        assert_int_equal(store_write(s, "xy", 2, MIB - 1), -ENOSPC);
        assert_int_equal(store_set_size(s, MIB), 0);
        assert_int_equal(store_set_size(s, 2 * MIB), -EOPNOTSUPP);
        assert_int_equal(store_find_run(s, 0, &run), 0);
        assert_false(run.is_hole);
        assert_int_equal(run.end, MIB);
        /* What its sectors do not divide is zeroed all the same. */
        assert_int_equal(store_zero(s, MIB - 8 * KIB + 1, 10), 0);
        assert_filled(s, 0, 10, MIB - 8 * KIB + 1);
        assert_filled(s, 'x', 1, MIB - 8 * KIB);
        assert_filled(s, 'x', 8 * KIB - 11, MIB - 8 * KIB + 11);
        assert_int_equal(store_punch(s, MIB - 4 * KIB, 4 * KIB), 0);
        assert_filled(s, 0, 4 * KIB, MIB - 4 * KIB);
        assert_int_equal(store_sync(s), 0);
        assert_int_equal(store_get_stat(s, &stat), 0);
        assert_int_equal(stat.allocated, MIB);
        assert_true(stat.device != 0);
}

static void test_long_writes_go_on_to_the_disk(void **state)
{
        int fd = open_file();
        _cleanup_store_ Store *s = open_store(fd, STORE_WRITABLE);

        write_filled(s, 'a', 4 * KIB, 8 * MIB);
        if (dirty_pages(fd, 8 * MIB, 4 * KIB) == 0) {
                print_message("this kernel or file system does not tell what is dirty\n");
                s = store_free(s);
                skip();
        }
        write_filled(s, 'b', MIB, 0);
        assert_true(becomes_clean(fd, 0, MIB));
        assert_filled(s, 'b', MIB, 0);
}

/* What nobody can find after a crash need not be on the disk before it. */
static void test_what_is_volatile_is_never_synced(void **state)
{
        int kept = open_file(), fd = open_file();
        _cleanup_store_ Store *s = open_store(kept, STORE_WRITABLE);
        _cleanup_store_ Store *v = open_store(fd, STORE_VOLATILE);

        syncs = 0;
        write_filled(s, 'a', MIB, 0);
        assert_int_equal(store_sync(s), 0);
        assert_int_equal(syncs, 1);
        write_filled(v, 'b', MIB, 0);
        assert_int_equal(store_sync(v), 0);
        assert_int_equal(syncs, 1);
        assert_filled(v, 'b', MIB, 0);
        assert_int_equal(store_set_size(v, 2 * MIB), 0);
        assert_int_equal(store_sync(v), 0);
        assert_int_equal(syncs, 1);
        assert_int_equal(size_of(v), 2 * MIB);
}

static void count_wait(void *arg)
{
        (*(unsigned *)arg)++;
}

static void test_who_watches_hears_of_waits_for_the_disk(void **state)
{
        static uint8_t bytes[64 * KIB];
        int fd = open_file();
        Store *s = open_store(fd, STORE_WRITABLE);
        struct iovec iov = { bytes, 1 };
        unsigned waits = 0;

        assert_int_equal(store_write(s, bytes, sizeof(bytes), 0), 0);
        blocking_watch(count_wait, &waits);
        assert_int_equal(store_sync(s), 0);
        assert_int_equal(waits, 1);
        /* What is in the kernel's cache is had at once. */
        assert_int_equal(store_read(s, bytes, sizeof(bytes), 0), 0);
        assert_int_equal(waits, 1);

        assert_int_equal(store_sync(s), 0);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        bool is_cold = preadv2(fd, &iov, 1, 32 * KIB, RWF_NOWAIT) < 0;
        waits = 0;
        assert_filled(s, 0, 1, 63 * KIB);
        blocking_watch(NULL, NULL);
        assert_true(!is_cold || waits > 0);
        store_free(s);
        if (!is_cold)
                skip();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads_are_whole_or_an_error),
                cmocka_unit_test(test_padded_reads_end_in_zeroes),
                cmocka_unit_test(test_writing_past_the_end_grows),
                cmocka_unit_test(test_long_writes_go_on_to_the_disk),
                cmocka_unit_test(test_what_is_volatile_is_never_synced),
                cmocka_unit_test(test_sizes_that_no_file_has),
                cmocka_unit_test(test_a_huge_sparse_file_is_a_size_like_any),
                cmocka_unit_test(test_a_file_too_long_is_refused),
                cmocka_unit_test(test_read_only_refuses_every_change),
                cmocka_unit_test(test_only_files_and_block_devices),
                cmocka_unit_test(test_runs_of_a_sparse_file),
                cmocka_unit_test(test_punching_gives_space_back),
                cmocka_unit_test(test_zeroing_keeps_the_size),
                cmocka_unit_test(test_allocating_reserves_and_changes_nothing),
                cmocka_unit_test(test_stat_tells_files_apart),
                cmocka_unit_test(test_a_block_device_has_one_size),
                cmocka_unit_test(test_who_watches_hears_of_waits_for_the_disk),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
