/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a check finds, and that who wants to write is told the same. */
#include "vhdx-image.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/check.h"
#include "block/limits.h"
#include "block/node.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_vhdx;

enum {
        FIRST = VHDX_IMAGE_BLOCKS,
        SECOND = VHDX_IMAGE_BLOCKS + VHDX_IMAGE_MIB,
        END = VHDX_IMAGE_BLOCKS + 2 * VHDX_IMAGE_MIB,
};

static void make(const uint64_t bat[4], uint32_t flags, Store **ret)
{
        VhdxImage image = {
                .size = 4 * VHDX_IMAGE_MIB,
                .file_len = END,
                .bat = bat,
                .bat_count = 4,
                .flags = flags,
        };
        _cleanup_free_ uint8_t *bytes = vhdx_image_new(&image);

        assert_non_null(bytes);
        assert_int_equal(mem_store_new(bytes, image.file_len, ret), 0);
}

/* How many corruptions there are. */
static uint64_t check(const uint64_t bat[4])
{
        CheckReport report = { .repair = CHECK_LOOK };
        NodeOptions options = { .for_check = true };
        Store *s = NULL;
        Node *n = NULL;

        make(bat, 0, &s);
        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &options.cache), 0);
        assert_int_equal(node_open(&format_vhdx, s, &options, NULL, &n, NULL), 0);
        assert_int_equal(node_check(n, &report), 0);
        node_close(n);
        cache_free(options.cache);
        return report.corruptions;
}

static int open_writable(const uint64_t bat[4], Err *err)
{
        NodeOptions options = { .writable = true };
        Store *s = NULL;
        Node *n = NULL;

        make(bat, 0, &s);
        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &options.cache), 0);
        int r = node_open(&format_vhdx, s, &options, NULL, &n, err);
        if (r < 0)
                store_free(s);
        node_close(n);
        cache_free(options.cache);
        return r;
}

static void test_findings(void **state)
{
        static const struct {
                const char *name;
                uint64_t bat[4];
                uint64_t corruptions;
                const char *words;
        } cases[] = {
                { "sound", { FIRST | 6, 2, SECOND | 6, 3 }, 0, NULL },
                { "a place is kept for a block without data",
                  { FIRST | 2, 0, SECOND | 1, 0 },
                  0,
                  NULL },
                { "a kept place that is none", { FIRST | 6, FIRST | 2, 0, 5 }, 0, NULL },
                { "a kept place that was given to another block",
                  { FIRST | 3, FIRST | 6, 0, 0 },
                  0,
                  NULL },
                { "over another block", { FIRST | 6, FIRST | 6, 0, 0 }, 1, "block 1" },
                { "over the BAT", { VHDX_IMAGE_BAT | 6, 0, 0, 0 }, 1, "over something else" },
                { "over the log", { VHDX_IMAGE_LOG | 6, 0, 0, 0 }, 1, "over something else" },
                { "over the headers", { 6, 0, 0, 0 }, 1, "headers" },
                { "past the end", { 0, 0, 0, END | 6 }, 1, "past the end" },
                { "far past the end",
                  { 0, UINT64_C(0xfffffffffff00006), 0, 0 },
                  1,
                  "past the end" },
                { "reserved bits", { FIRST | 6 | 8, 0, 0, 0 }, 1, "reserved bits" },
                { "a state that there is not", { 0, 4, 0, 0 }, 1, "state 4" },
                { "partially present", { 0, 0, FIRST | 7, 0 }, 1, "state 7" },
                { "all of it", { 4, 7, 6, END | 6 }, 4, "state 4" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Err err = { "" };
                uint64_t found = check(cases[i].bat);
                int r = open_writable(cases[i].bat, &err);
                if (found != cases[i].corruptions)
                        fail_msg("%s: %d corruptions", cases[i].name, (int)found);
                if (r != (found ? -EBADMSG : 0))
                        fail_msg("%s: opened with %d: %s", cases[i].name, r, err.text);
                if (cases[i].words && !strstr(err.text, cases[i].words))
                        fail_msg("%s: '%s'", cases[i].name, err.text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_findings),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
