/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel.h"

#include "base/fuse-newer.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

static const ViewOptions read_only = { .mode = 0400, .uid = 7, .gid = 8 };
static const ViewOptions writable = { .mode = 0600, .uid = 7, .gid = 8, .writable = true };
static const ViewOptions growable = { .mode = 0600, .writable = true, .growable = true };

static void kernel_setup(Kernel *k, const ViewOptions *options)
{
        kernel_open(k, *options);
        kernel_start(k);
}

static struct fuse_attr kernel_getattr(Kernel *k)
{
        struct fuse_getattr_in in = { 0 };
        struct fuse_attr_out out;
        static Answer a;

        assert_int_equal(kernel_ask(k, FUSE_GETATTR, &in, sizeof(in), &a), 0);
        assert_int_equal(a.len, sizeof(out));
        memcpy(&out, a.body, sizeof(out));
        /* The kernel asks again only when it must. */
        assert_true(out.attr_valid >= 86400);
        return out.attr;
}

static void test_getattr(void **state)
{
        Kernel k;

        kernel_setup(&k, &writable);
        struct fuse_attr attr = kernel_getattr(&k);
        assert_int_equal(attr.ino, 1);
        assert_int_equal(attr.mode, S_IFREG | 0600);
        assert_int_equal(attr.nlink, 1);
        assert_int_equal(attr.uid, 7);
        assert_int_equal(attr.gid, 8);
        assert_int_equal(attr.size, KERNEL_DISK_SIZE);
        assert_int_equal(attr.blksize, 4096);
        assert_true(attr.blocks * 512 >= KERNEL_DISK_SIZE);
        kernel_close(&k);
}

static void test_read(void **state)
{
        static const struct {
                uint64_t off;
                uint32_t size;
                int error;
                size_t len;
        } cases[] = {
                { 0, 4096, 0, 4096 },
                { 34464, 65536, 0, 65536 },
                { 99999, 4096, 0, 1 },
                { 100000, 4096, 0, 0 },
                { 1, 1, 0, 1 },
                { 0, 65537, -EINVAL, 0 },
                { (uint64_t)1 << 63, 1, -EINVAL, 0 },
        };
        static Answer a;
        Kernel k;

        kernel_setup(&k, &read_only);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct fuse_read_in in = { .offset = cases[i].off, .size = cases[i].size };
                assert_int_equal(kernel_ask(&k, FUSE_READ, &in, sizeof(in), &a), cases[i].error);
                assert_int_equal(a.len, cases[i].len);
                for (size_t j = 0; j < a.len; j++)
                        assert_int_equal(a.body[j], (cases[i].off + j) % 251);
        }
        kernel_close(&k);
}

static int kernel_write(Kernel *k, uint64_t off, const void *bytes, size_t len, uint32_t *ret)
{
        struct fuse_write_in in = { .offset = off, .size = (uint32_t)len };
        struct fuse_write_out out = { 0 };
        static Answer a;

        uint64_t unique = kernel_send(k, FUSE_WRITE, &in, sizeof(in), bytes, len);
        kernel_hear(k, &a);
        assert_int_equal(a.header.unique, unique);
        memcpy(&out, a.body, a.len);
        *ret = out.size;
        return a.header.error;
}

static void test_write(void **state)
{
        static uint8_t bytes[KERNEL_MAX_WRITE];
        struct fuse_read_in in = { .offset = 1000, .size = sizeof(bytes) };
        static Answer a;
        uint32_t done = 0;
        Kernel k;

        memset(bytes, 0xee, sizeof(bytes));
        kernel_setup(&k, &writable);
        assert_int_equal(kernel_write(&k, 1000, bytes, sizeof(bytes), &done), 0);
        assert_int_equal(done, sizeof(bytes));
        assert_int_equal(kernel_ask(&k, FUSE_READ, &in, sizeof(in), &a), 0);
        assert_memory_equal(a.body, bytes, sizeof(bytes));
        assert_int_equal(kernel_write(&k, 99990, bytes, 100, &done), 0);
        assert_int_equal(done, 10);
        assert_int_equal(kernel_write(&k, 100000, bytes, 100, &done), -ENOSPC);
        assert_int_equal(kernel_write(&k, (uint64_t)1 << 63, bytes, 1, &done), -EINVAL);
        kernel_close(&k);
}

static void test_open(void **state)
{
        static const struct {
                const ViewOptions *options;
                uint32_t flags, flags2;
                int error;
                bool is_direct;
        } cases[] = {
                { &read_only, O_RDONLY, 0, 0, false },
                { &read_only, O_RDWR, 0, -EROFS, false },
                { &writable, O_RDWR, 0, 0, false },
                { &read_only, O_WRONLY, 0, -EROFS, false },
                { &writable, O_WRONLY | O_TRUNC, 0, 0, false },
                { &writable, O_RDWR | O_DIRECT, 0, 0, false },
                { &writable, O_RDWR | O_DIRECT, FUSE_NEWER_DIRECT_IO_ALLOW_MMAP, 0, true },
                { &writable, O_RDWR, FUSE_NEWER_DIRECT_IO_ALLOW_MMAP, 0, false },
                { &writable, O_WRONLY | O_DIRECT, FUSE_NEWER_DIRECT_IO_ALLOW_MMAP, 0, false },
                { &writable, O_RDONLY | O_DIRECT, FUSE_NEWER_DIRECT_IO_ALLOW_MMAP, 0, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct fuse_open_in in = { .flags = cases[i].flags };
                struct fuse_release_in release = { 0 };
                struct fuse_open_out out;
                static Answer a;
                Kernel k;

                kernel_open(&k, *cases[i].options);
                k.answer.init.flags |= cases[i].flags2 ? FUSE_INIT_EXT : 0;
                k.answer.init.flags2 = cases[i].flags2;
                kernel_start(&k);
                assert_int_equal(kernel_ask(&k, FUSE_OPEN, &in, sizeof(in), &a), cases[i].error);
                if (cases[i].error == 0) {
                        assert_int_equal(a.len, sizeof(out));
                        memcpy(&out, a.body, sizeof(out));
                        assert_int_equal(
                                out.open_flags,
                                FOPEN_KEEP_CACHE | FOPEN_NOFLUSH |
                                        (cases[i].is_direct
                                                 ? FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES
                                                 : 0));
                        assert_int_equal(
                                kernel_ask(&k, FUSE_RELEASE, &release, sizeof(release), &a), 0);
                }
                assert_int_equal(kernel_getattr(&k).size, KERNEL_DISK_SIZE);
                kernel_close(&k);
        }
}

/* A file that the kernel has in hand serves every open, and refuses none that the view does not refuse. */
static void test_open_with_a_file_of_the_kernels(void **state)
{
        static const struct {
                const ViewOptions *options;
                uint32_t flags;
                int error;
        } cases[] = {
                { &read_only, O_RDONLY, 0 },           { &read_only, O_RDONLY | O_DIRECT, 0 },
                { &read_only, O_RDWR, -EROFS },        { &growable, O_RDWR, 0 },
                { &growable, O_WRONLY | O_DIRECT, 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct fuse_open_in in = { .flags = cases[i].flags };
                ViewOptions view = *cases[i].options;
                ServeOptions serve;
                FuseNewerOpenOut out;
                static Answer a;
                Kernel k;

                view.passthrough = true;
                kernel_open(&k, view);
                serve = kernel_options(&k);
                serve.backing_id = 7;
                assert_int_equal(serve_start(&serve, &k.serve, NULL), 0);
                assert_int_equal(kernel_ask(&k, FUSE_OPEN, &in, sizeof(in), &a), cases[i].error);
                if (cases[i].error == 0) {
                        assert_int_equal(a.len, sizeof(out));
                        memcpy(&out, a.body, sizeof(out));
                        assert_int_equal(out.open_flags,
                                         FUSE_NEWER_OPEN_PASSTHROUGH | FOPEN_NOFLUSH);
                        assert_int_equal(out.backing_id, 7);
                }
                kernel_close(&k);
        }
}

/* What the kernel knows of the view can be wrong at once where it writes past us. */
static void test_attributes_that_change_without_us(void **state)
{
        static const struct {
                const ViewOptions *options;
                bool passthrough, stay;
        } cases[] = {
                { &read_only, false, true },
                { &read_only, true, true },
                { &growable, false, true },
                { &growable, true, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct fuse_getattr_in in = { 0 };
                struct fuse_attr_out out;
                ViewOptions view = *cases[i].options;
                static Answer a;
                Kernel k;

                view.passthrough = cases[i].passthrough;
                kernel_setup(&k, &view);
                assert_int_equal(kernel_ask(&k, FUSE_GETATTR, &in, sizeof(in), &a), 0);
                memcpy(&out, a.body, sizeof(out));
                assert_int_equal(out.attr_valid > 0, cases[i].stay);
                kernel_close(&k);
        }
}

static void kernel_expect_use(Kernel *k, const char *expected)
{
        _cleanup_free_ char *text = NULL;

        assert_int_equal(view_get_attribute(k->view, "user.rawview.use", &text), 0);
        assert_string_equal(text, expected);
}

static void test_who_has_it_open_is_counted(void **state)
{
        struct fuse_open_in in = { .flags = O_RDWR };
        struct fuse_release_in release = { .flags = O_RDWR };
        struct fuse_open_out out;
        static Answer a;
        Kernel k;

        kernel_setup(&k, &writable);
        k.pid = 4711;
        assert_int_equal(kernel_ask(&k, FUSE_OPEN, &in, sizeof(in), &a), 0);
        memcpy(&out, a.body, sizeof(out));
        kernel_expect_use(&k, "readers=0 writers=1 errors=0 pids=4711");
        view_refuse_opening(k.view, 18);
        assert_int_equal(kernel_ask(&k, FUSE_OPEN, &in, sizeof(in), &a), -ESHUTDOWN);
        release.fh = out.fh;
        assert_int_equal(kernel_ask(&k, FUSE_RELEASE, &release, sizeof(release), &a), 0);
        kernel_expect_use(&k, "readers=0 writers=0 errors=0 pids=");
        k.pid = 18;
        assert_int_equal(kernel_ask(&k, FUSE_OPEN, &in, sizeof(in), &a), 0);
        kernel_close(&k);
}

static void test_setattr(void **state)
{
        static const struct {
                const char *name;
                const ViewOptions *options;
                struct fuse_setattr_in in;
                int error;
                uint64_t size;
                uint32_t mode;
        } cases[] = {
                { "ftruncate",
                  &growable,
                  { .valid = FATTR_SIZE | FATTR_FH, .size = 5 },
                  0,
                  5,
                  0600 },
                { "truncate", &growable, { .valid = FATTR_SIZE, .size = 123456 }, 0, 123456, 0600 },
                { "not growable",
                  &writable,
                  { .valid = FATTR_SIZE, .size = 5 },
                  -EPERM,
                  100000,
                  0600 },
                { "O_TRUNC",
                  &writable,
                  { .valid = FATTR_SIZE | FATTR_LOCKOWNER },
                  0,
                  100000,
                  0600 },
                { "ftruncate to 0",
                  &writable,
                  { .valid = FATTR_SIZE | FATTR_FH },
                  -EPERM,
                  100000,
                  0600 },
                { "negative",
                  &growable,
                  { .valid = FATTR_SIZE, .size = UINT64_MAX },
                  -EINVAL,
                  100000,
                  0600 },
                { "mode",
                  &writable,
                  { .valid = FATTR_MODE, .mode = S_IFREG | 0700 },
                  0,
                  100000,
                  0700 },
                { "uid", &writable, { .valid = FATTR_UID, .uid = 1 }, -EPERM, 100000, 0600 },
                { "gid", &writable, { .valid = FATTR_GID, .gid = 8 }, 0, 100000, 0600 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                static Answer a;
                Kernel k;

                kernel_setup(&k, cases[i].options);
                int error = kernel_ask(&k, FUSE_SETATTR, &cases[i].in, sizeof(cases[i].in), &a);
                struct fuse_attr attr = kernel_getattr(&k);
                if (error != cases[i].error || attr.size != cases[i].size ||
                    attr.mode != (S_IFREG | cases[i].mode))
                        fail_msg("%s: %d, size %ju, mode %o", cases[i].name, error,
                                 (uintmax_t)attr.size, attr.mode);
                if (error == 0)
                        assert_memory_equal(a.body + offsetof(struct fuse_attr_out, attr), &attr,
                                            sizeof(attr));
                kernel_close(&k);
        }
}

static void test_setattr_times(void **state)
{
        struct fuse_setattr_in in = {
                .valid = FATTR_ATIME | FATTR_MTIME | FATTR_MTIME_NOW,
                .atime = 1000,
                .atimensec = 999,
                .mtime = 5,
        };
        static Answer a;
        Kernel k;

        kernel_setup(&k, &writable);
        assert_int_equal(kernel_ask(&k, FUSE_SETATTR, &in, sizeof(in), &a), 0);
        struct fuse_attr attr = kernel_getattr(&k);
        assert_int_equal(attr.atime, 1000);
        assert_int_equal(attr.atimensec, 999);
        assert_true(attr.mtime > 1000);
        kernel_close(&k);
}

static void test_fallocate(void **state)
{
        static const struct {
                const char *name;
                uint32_t mode;
                uint64_t off, len;
                int error;
                uint64_t size;
        } cases[] = {
                { "allocate", 0, 0, 4096, 0, 100000 },
                { "allocate past the end", 0, 100000, 65536, 0, 165536 },
                { "keep size", FALLOC_FL_KEEP_SIZE, 100000, 65536, 0, 100000 },
                { "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096, 0, 100000 },
                { "punch past the end", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 200000, 4096, 0,
                  100000 },
                { "punch without keep", FALLOC_FL_PUNCH_HOLE, 0, 4096, -EOPNOTSUPP, 100000 },
                { "zero", FALLOC_FL_ZERO_RANGE, 99999, 4096, 0, 104095 },
                { "zero, keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 99999, 4096, 0,
                  100000 },
                { "collapse", FALLOC_FL_COLLAPSE_RANGE, 0, 4096, -EOPNOTSUPP, 100000 },
                { "insert", FALLOC_FL_INSERT_RANGE, 0, 4096, -EOPNOTSUPP, 100000 },
                { "unshare", FALLOC_FL_UNSHARE_RANGE, 0, 4096, -EOPNOTSUPP, 100000 },
                { "nothing", 0, 0, 0, -EINVAL, 100000 },
                { "negative", 0, UINT64_MAX, 1, -EINVAL, 100000 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct fuse_fallocate_in in = { .mode = cases[i].mode,
                                                .offset = cases[i].off,
                                                .length = cases[i].len };
                static Answer a;
                Kernel k;

                kernel_setup(&k, &writable);
                int error = kernel_ask(&k, FUSE_FALLOCATE, &in, sizeof(in), &a);
                uint64_t size = kernel_getattr(&k).size;
                if (error != cases[i].error || size != cases[i].size)
                        fail_msg("%s: %d, size %ju", cases[i].name, error, (uintmax_t)size);
                kernel_close(&k);
        }
}

static void test_lseek(void **state)
{
        static const struct {
                uint64_t off;
                uint32_t whence;
                int error;
                uint64_t found;
        } cases[] = {
                { 0, SEEK_DATA, 0, 0 },
                { 0, SEEK_HOLE, 0, 8192 },
                { 9000, SEEK_DATA, 0, 16384 },
                { 20000, SEEK_HOLE, 0, 100000 },
                { 100000, SEEK_HOLE, -ENXIO, 0 },
                { 0, SEEK_END, -EINVAL, 0 },
                { UINT64_MAX, SEEK_DATA, -ENXIO, 0 },
        };
        struct fuse_fallocate_in punch = { .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                           .offset = 8192,
                                           .length = 8192 };
        static Answer a;
        Kernel k;

        kernel_setup(&k, &writable);
        assert_int_equal(kernel_ask(&k, FUSE_FALLOCATE, &punch, sizeof(punch), &a), 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct fuse_lseek_in in = { .offset = cases[i].off, .whence = cases[i].whence };
                struct fuse_lseek_out out;

                assert_int_equal(kernel_ask(&k, FUSE_LSEEK, &in, sizeof(in), &a), cases[i].error);
                if (cases[i].error == 0) {
                        memcpy(&out, a.body, sizeof(out));
                        assert_int_equal(out.offset, cases[i].found);
                }
        }
        kernel_close(&k);
}

static void test_statfs(void **state)
{
        struct fuse_statfs_out out;
        static Answer a;
        Kernel k;

        kernel_setup(&k, &read_only);
        assert_int_equal(kernel_ask(&k, FUSE_STATFS, NULL, 0, &a), 0);
        assert_int_equal(a.len, sizeof(out));
        memcpy(&out, a.body, sizeof(out));
        assert_int_equal(out.st.bsize, 4096);
        assert_int_equal(out.st.blocks, 25);
        assert_int_equal(out.st.bfree, 0);
        assert_int_equal(out.st.namelen, 255);
        kernel_close(&k);
}

static int kernel_getxattr(Kernel *k, const char *name, uint32_t size, Answer *ret)
{
        struct fuse_getxattr_in in = { .size = size };
        uint64_t unique = kernel_send(k, FUSE_GETXATTR, &in, sizeof(in), name, strlen(name) + 1);

        kernel_hear(k, ret);
        assert_int_equal(ret->header.unique, unique);
        return ret->header.error;
}

static void test_xattrs(void **state)
{
        static const char names[] = "user.rawview.image\0user.rawview.format\0user.rawview.state"
                                    "\0user.rawview.use";
        struct fuse_getxattr_in list = { .size = 1000 };
        struct fuse_getxattr_out out;
        static Answer a;
        Kernel k;

        kernel_setup(&k, &read_only);
        assert_int_equal(kernel_getxattr(&k, "user.rawview.image", 0, &a), 0);
        memcpy(&out, a.body, sizeof(out));
        assert_int_equal(out.size, strlen("/vm/disk.raw"));
        assert_int_equal(kernel_getxattr(&k, "user.rawview.image", out.size - 1, &a), -ERANGE);
        assert_int_equal(kernel_getxattr(&k, "user.rawview.image", out.size, &a), 0);
        assert_int_equal(a.len, out.size);
        assert_memory_equal(a.body, "/vm/disk.raw", out.size);
        /* ENOSYS would end all asking for xattrs. */
        assert_int_equal(kernel_getxattr(&k, "security.capability", 20, &a), -ENODATA);

        assert_int_equal(kernel_ask(&k, FUSE_LISTXATTR, &list, sizeof(list), &a), 0);
        assert_int_equal(a.len, sizeof(names));
        assert_memory_equal(a.body, names, sizeof(names));
        list.size = 0;
        assert_int_equal(kernel_ask(&k, FUSE_LISTXATTR, &list, sizeof(list), &a), 0);
        memcpy(&out, a.body, sizeof(out));
        assert_int_equal(out.size, sizeof(names));
        kernel_close(&k);
}

static void test_errors_reach_the_client_as_numbers(void **state)
{
        struct fuse_read_in in = { .size = 512 };
        struct fuse_fsync_in fsync_in = { 0 };
        static Answer a;
        uint32_t done = 0;
        Kernel k;

        kernel_setup(&k, &writable);
        assert_int_equal(kernel_ask(&k, FUSE_FSYNC, &fsync_in, sizeof(fsync_in), &a), 0);
        assert_int_equal(kernel_write(&k, 0, "!", 1, &done), 0);
        k.plan.code = EBADMSG;
        k.plan.stays = true;
        k.plan.fail_at = 1;
        assert_int_equal(kernel_ask(&k, FUSE_READ, &in, sizeof(in), &a), -EIO);
        assert_int_equal(kernel_ask(&k, FUSE_FSYNC, &fsync_in, sizeof(fsync_in), &a), -EIO);
        kernel_close(&k);
}

static void test_what_is_not_ours_is_refused(void **state)
{
        static const uint32_t opcodes[] = {
                FUSE_FLUSH, FUSE_IOCTL, FUSE_POLL, FUSE_COPY_FILE_RANGE, FUSE_ACCESS, 4000,
        };
        uint8_t body[80] = { 0 };
        static Answer a;
        Kernel k;

        kernel_setup(&k, &writable);
        for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
                assert_int_equal(kernel_ask(&k, opcodes[i], body, sizeof(body), &a), -ENOSYS);
        kernel_close(&k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_getattr),
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_open),
                cmocka_unit_test(test_open_with_a_file_of_the_kernels),
                cmocka_unit_test(test_attributes_that_change_without_us),
                cmocka_unit_test(test_who_has_it_open_is_counted),
                cmocka_unit_test(test_setattr),
                cmocka_unit_test(test_setattr_times),
                cmocka_unit_test(test_fallocate),
                cmocka_unit_test(test_lseek),
                cmocka_unit_test(test_statfs),
                cmocka_unit_test(test_xattrs),
                cmocka_unit_test(test_errors_reach_the_client_as_numbers),
                cmocka_unit_test(test_what_is_not_ours_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
