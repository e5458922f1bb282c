/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What attributes.c says of the view: modes, owners, times, health, extended attributes. */
#include "bench.h"

#include <string.h>

static void test_changes_of_mode_and_owner(void **state)
{
        static const struct {
                const char *name;
                bool allow_other;
                ViewChange change;
                int result;
                mode_t mode;
                uid_t uid;
                gid_t gid;
        } cases[] = {
                { "chmod 000", false, { .has_mode = true, .mode = 0 }, 0, 0, 1000, 100 },
                { "chmod 700", false, { .has_mode = true, .mode = 0700 }, 0, 0700, 1000, 100 },
                { "chmod 444", false, { .has_mode = true, .mode = 0444 }, -EPERM, 0600, 1000, 100 },
                { "chmod 601", false, { .has_mode = true, .mode = 0601 }, -EPERM, 0600, 1000, 100 },
                { "chmod 444, others",
                  true,
                  { .has_mode = true, .mode = 0444 },
                  0,
                  0444,
                  1000,
                  100 },
                { "chown to itself", false, { .has_uid = true, .uid = 1000 }, 0, 0600, 1000, 100 },
                { "chgrp to itself", false, { .has_gid = true, .gid = 100 }, 0, 0600, 1000, 100 },
                { "chown", false, { .has_uid = true, .uid = 1 }, -EPERM, 0600, 1000, 100 },
                { "chgrp", false, { .has_gid = true, .gid = 1 }, -EPERM, 0600, 1000, 100 },
                { "chown, others",
                  true,
                  { .has_uid = true, .uid = 1, .has_gid = true, .gid = 2 },
                  0,
                  0600,
                  1,
                  2 },
                { "all or none",
                  false,
                  { .has_uid = true, .uid = 1000, .has_mode = true, .mode = 0755 },
                  -EPERM,
                  0600,
                  1000,
                  100 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                ViewOptions options = writable;
                ViewStat s = { 0 };
                Bench b;

                options.allow_other = cases[i].allow_other;
                bench_open(&b, &options);
                int r = view_change(b.view, &cases[i].change);
                assert_int_equal(view_get_stat(b.view, &s), 0);
                if (r != cases[i].result || s.mode != cases[i].mode || s.uid != cases[i].uid ||
                    s.gid != cases[i].gid)
                        fail_msg("%s: %d, %o %u:%u", cases[i].name, r, s.mode, s.uid, s.gid);
                bench_close(&b);
        }
}

static void test_set_id_bits_end_with_a_write(void **state)
{
        ViewStat s = { 0 };
        size_t done = 0;
        Bench b;

        bench_open(&b, &writable);
        assert_int_equal(view_change(b.view, &(ViewChange){ .has_mode = true, .mode = 06700 }), 0);
        assert_int_equal(view_get_stat(b.view, &s), 0);
        assert_int_equal(s.mode, 06700);
        assert_int_equal(view_write(b.view, "x", 1, 0, &done), 0);
        assert_int_equal(view_get_stat(b.view, &s), 0);
        assert_int_equal(s.mode, 0700);
        bench_close(&b);
}

static void test_times_are_the_image_s_until_written(void **state)
{
        ViewStat first = { 0 }, later = { 0 };
        struct timespec then = { .tv_sec = 1000, .tv_nsec = 5 };
        size_t done = 0;
        Bench b;

        bench_open(&b, &writable);
        assert_int_equal(view_get_stat(b.view, &first), 0);
        assert_int_equal(view_get_stat(b.view, &later), 0);
        assert_memory_equal(&first, &later, sizeof(first));

        ViewChange touch = { .has_mtime = true, .mtime = then, .has_atime = true, .atime = then };
        assert_int_equal(view_change(b.view, &touch), 0);
        assert_int_equal(view_get_stat(b.view, &later), 0);
        assert_int_equal(later.mtime.tv_sec, 1000);
        assert_int_equal(later.mtime.tv_nsec, 5);
        assert_int_equal(later.atime.tv_sec, 1000);

        assert_int_equal(view_write(b.view, "x", 1, 0, &done), 0);
        assert_int_equal(view_get_stat(b.view, &later), 0);
        assert_true(later.mtime.tv_sec > 1000);
        assert_int_equal(later.atime.tv_sec, 1000);
        bench_close(&b);
}

static void test_blocks_are_sensible(void **state)
{
        ViewStat s = { 0 };
        Bench b;

        bench_open(&b, &read_only);
        assert_int_equal(view_get_stat(b.view, &s), 0);
        assert_int_equal(s.block_size, 4096);
        assert_true(s.allocated >= DISK_SIZE);
        bench_close(&b);
}

static void test_faults_are_counted_and_answered(void **state)
{
        static const struct {
                const char *name;
                int code, answer;
                uint64_t errors;
        } cases[] = {
                { "I/O error", EIO, -EIO, 1 },
                { "damage inside the image", EBADMSG, -EIO, 1 },
                { "the file ends too early", ENODATA, -EIO, 1 },
                { "no space", ENOSPC, -ENOSPC, 1 },
                { "no memory", ENOMEM, -ENOMEM, 1 },
                { "cannot", EOPNOTSUPP, -EOPNOTSUPP, 0 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                HealthCounts counts;
                char buf[512];
                size_t done = 77;
                Bench b;

                bench_open(&b, &writable);
                b.plan.code = cases[i].code;
                b.plan.fail_at = b.plan.count + 1;
                int r = view_read(b.view, buf, sizeof(buf), 1024, &done);
                view_get_counts(b.view, &counts);
                if (r != cases[i].answer || counts.errors != cases[i].errors)
                        fail_msg("%s: %d, %ju errors", cases[i].name, r, (uintmax_t)counts.errors);
                assert_int_equal(done, 77);
                assert_int_equal(counts.reads, 0);
                if (counts.errors > 0) {
                        assert_int_equal(counts.first.code, cases[i].code);
                        assert_int_equal(counts.first.op, HEALTH_READ);
                        assert_int_equal(counts.first.off, 1024);
                        assert_int_equal(counts.first.len, 512);
                }
                assert_int_equal(view_read(b.view, buf, sizeof(buf), 1024, &done), 0);
                bench_close(&b);
        }
}

static void test_after_a_failed_flush_writing_ends(void **state)
{
        HealthCounts counts;
        Fault fault;
        uint64_t count = 0;
        size_t done = 0;
        char c;
        Bench b;

        bench_open(&b, &writable);
        b.plan.fail_at = b.plan.count + 1;
        assert_int_equal(view_flush(b.view), -EIO);
        assert_int_equal(view_flush(b.view), -EIO);
        assert_int_equal(view_write(b.view, "x", 1, 0, &done), -EIO);
        assert_int_equal(view_read(b.view, &c, 1, 0, &done), 0);
        view_get_counts(b.view, &counts);
        assert_int_equal(counts.errors, 3);
        assert_int_equal(counts.first.op, HEALTH_SYNC);
        assert_int_equal(view_take_report(b.view, 0, &fault, &count), 0);
        assert_int_equal(count, 3);
        bench_close(&b);
}

static void test_attributes(void **state)
{
        static const struct {
                const char *name;
                int result;
                const char *begins;
        } cases[] = {
                { "user.rawview.image", 0, "/vm/disk.raw" },
                { "user.rawview.format", 0, "raw" },
                { "user.rawview.state", 0, "{\"image\":\"/vm/disk.raw\",\"format\":\"raw\"," },
                { "user.rawview.use", 0, "readers=0 writers=0 errors=0 pids=" },
                { "user.rawview", -ENODATA, NULL },
                { "security.capability", -ENODATA, NULL },
                { "", -ENODATA, NULL },
                { "trusted.libvirt.security.ref_dac", -EOPNOTSUPP, NULL },
        };
        Bench b;

        bench_open(&b, &writable);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_free_ char *text = NULL;
                assert_int_equal(view_get_attribute(b.view, cases[i].name, &text), cases[i].result);
                if (cases[i].begins)
                        assert_memory_equal(text, cases[i].begins, strlen(cases[i].begins));
        }
        for (const char *name = view_attribute_names;
             name < view_attribute_names + view_attribute_names_len; name += strlen(name) + 1) {
                _cleanup_free_ char *text = NULL;
                assert_int_equal(view_get_attribute(b.view, name, &text), 0);
        }
        bench_close(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_changes_of_mode_and_owner),
                cmocka_unit_test(test_set_id_bits_end_with_a_write),
                cmocka_unit_test(test_times_are_the_image_s_until_written),
                cmocka_unit_test(test_blocks_are_sensible),
                cmocka_unit_test(test_faults_are_counted_and_answered),
                cmocka_unit_test(test_after_a_failed_flush_writing_ends),
                cmocka_unit_test(test_attributes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
