/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include "base/cleanup.h"
#include "block/check.h"
#include "block/limits.h"
#include "store/mem.h"
#include "store/recorder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_qcow2;

#define TIB (UINT64_C(1) << 40)
#define NAME "/srv/images/web disk.vmdk"

static int create(Store *s, uint64_t size, const char *name, const char *format, Err *err)
{
        Creation c = { .size = size, .backing_name = name, .backing_format = format };
        return format_qcow2.create(s, &c, err);
}

/* Opened for writing, all refcounts looked at, closed. */
static void look_at(Store *s, uint64_t size, const char *name, const char *format)
{
        _cleanup_cache_ Cache *c = NULL;
        NodeOptions writing = { .writable = true }, checking = { .for_check = true };
        Node *n = NULL;
        Err err = { "" };

        assert_int_equal(cache_new(64 << 20, &c), 0);
        writing.cache = checking.cache = c;
        if (node_open(&format_qcow2, s, &writing, NULL, &n, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(node_get_size(n), size);
        assert_string_equal(n->backing_name, name);
        assert_string_equal(n->backing_format, format);
        n->store = NULL;
        node_close(n);

        CheckReport report = { 0 };
        if (node_open(&format_qcow2, s, &checking, NULL, &n, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions, 0);
        assert_int_equal(report.leaks, 0);
        n->store = NULL;
        node_close(n);
}

static void test_sizes(void **state)
{
        char longest[LIMIT_NAME_LEN + 1];
        memset(longest, 'x', LIMIT_NAME_LEN);
        longest[0] = '/';
        longest[LIMIT_NAME_LEN] = '\0';
        const struct {
                uint64_t size, expected;
                const char *name, *format;
        } cases[] = {
                { 0, 0, NAME, "raw" },
                { 1, 512, NAME, "vmdk" },
                { 1 << 20, 1 << 20, "a", "vpc" },
                { TIB + 512, TIB + 512, NAME, "qcow2" },
                { 3 * 1024 * TIB, 3 * 1024 * TIB, NAME, "vhdx" },
                { 2048 * 1024 * TIB, 2048 * 1024 * TIB, longest, "fifteenletters1" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_store_ Store *s = NULL;
                Err err = { "" };
                assert_int_equal(mem_store_new(NULL, 0, &s), 0);
                int r = create(s, cases[i].size, cases[i].name, cases[i].format, &err);
                if (r < 0)
                        fail_msg("case %zu: %s", i, err.text);
                look_at(s, cases[i].expected, cases[i].name, cases[i].format);
        }
}

static void test_what_is_refused(void **state)
{
        char too_long[LIMIT_NAME_LEN + 2];
        memset(too_long, 'x', LIMIT_NAME_LEN + 1);
        too_long[LIMIT_NAME_LEN + 1] = '\0';
        const struct {
                uint64_t size;
                const char *name, *format, *bytes;
                int r;
                const char *text;
        } cases[] = {
                { LIMIT_DISK_SIZE, NAME, "raw", "", -EFBIG, "is too large for a qcow2" },
                { 1024, too_long, "raw", "", -ENAMETOOLONG, "path has 1024 bytes" },
                { 1024, "", "raw", "", -ENAMETOOLONG, "path has 0 bytes" },
                { 1024, NAME, "sixteen-letters-", "", -ENAMETOOLONG, "is no name of a format" },
                { 1024, NAME, "raw", "x", -EEXIST, "has 1 bytes already" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_store_ Store *s = NULL;
                uint64_t len = 0;
                Err err = { "" };
                assert_int_equal(mem_store_new(cases[i].bytes, strlen(cases[i].bytes), &s), 0);
                assert_int_equal(create(s, cases[i].size, cases[i].name, cases[i].format, &err),
                                 cases[i].r);
                if (!strstr(err.text, cases[i].text))
                        fail_msg("case %zu: %s", i, err.text);
                assert_int_equal(store_get_size(s, &len), 0);
                assert_int_equal(len, strlen(cases[i].bytes));
        }
}

/* Whenever the power fails: all of it is there, or it is no image. Once it is said to be done, all of it is. */
static void test_power_fails(void **state)
{
        _cleanup_recording_ Recording *recording = NULL;
        Store *inner = NULL;
        _cleanup_store_ Store *s = NULL;
        char name[1000];
        size_t none = 0, all = 0;

        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(mem_store_new(NULL, 0, &inner), 0);
        assert_int_equal(recorder_store_new(inner, &recording, &s), 0);
        assert_int_equal(create(s, 20 * TIB, name, "qcow2", NULL), 0);
        size_t count = recording_get_count(recording);
        for (size_t at = 0; at <= count; at++)
                for (uint64_t choice = 0; choice < 64; choice++) {
                        _cleanup_store_ Store *left = NULL;
                        char magic[4] = { 0 };
                        assert_int_equal(recording_replay(recording, at, choice, &left), 0);
                        assert_int_equal(store_read_padded(left, magic, sizeof(magic), 0), 0);
                        if (memcmp(magic, "QFI\xfb", 4) != 0) {
                                none++;
                                assert_true(at < count);
                                continue;
                        }
                        all++;
                        look_at(left, 20 * TIB, name, "qcow2");
                }
        assert_true(none > 0 && all > 64);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_what_is_refused),
                cmocka_unit_test(test_power_fails),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
