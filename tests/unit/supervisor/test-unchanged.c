/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/manager.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum {
        MIB = 1 << 20,
};

typedef struct Scene {
        Config config;
        char top[16], over[16], base[16];
        Manager m;
} Scene;

/* An image, an overlay and a backing file. */
static void scene_begin(Scene *s)
{
        *s = (Scene){ .config.assert_unchanged = true,
                      .top = "/vm/top",
                      .over = "/vm/over",
                      .base = "/vm/base" };
        s->m.config = &s->config;
        s->m.image.count = 3;
        s->m.image.overlay = 1;
        s->m.image.layers[0].path = s->top;
        s->m.image.layers[1].path = s->over;
        s->m.image.layers[2].path = s->base;
        for (size_t i = 0; i < s->m.image.count; i++)
                s->m.image.layers[i].fd = -1;
        s->m.stage = STAGE_OPENING;
}

static int say(Scene *s, uint32_t layer, uint64_t done, uint64_t total, int sum, Err *err)
{
        MessageDigest d = { .layer = layer, .done = done, .total = total, .is_done = sum >= 0 };
        memset(d.sha256, sum >= 0 ? sum : 0, sizeof(d.sha256));
        return unchanged_take(&s->m, &d, err);
}

static void expect_judgement(const Scene *s, int r, const char *text)
{
        Err err = { "" };
        int got = unchanged_judge(&s->m, &err);
        if (got != r || !strstr(err.text, text))
                fail_msg("%d, %s", got, err.text);
}

static void test_what_is_the_same(void **state)
{
        Scene s;
        scene_begin(&s);
        for (s.m.stage = STAGE_OPENING; s.m.stage <= STAGE_SERVING; s.m.stage += STAGE_SERVING) {
                assert_true(unchanged_may_be_said(&s.m));
                assert_int_equal(say(&s, 0, 0, 3 * MIB, -1, NULL), 0);
                assert_int_equal(say(&s, 0, MIB, 3 * MIB, -1, NULL), 0);
                assert_int_equal(say(&s, 0, 3 * MIB, 3 * MIB, 7, NULL), 0);
                assert_int_equal(say(&s, 2, 0, 0, 8, NULL), 0);
        }
        expect_judgement(&s, 0, "");
        unchanged_done(&s.m.unchanged);
}

static void test_what_is_not(void **state)
{
        Scene s;
        scene_begin(&s);
        expect_judgement(&s, -ESTALE, "is not known");
        assert_int_equal(say(&s, 0, MIB, MIB, 7, NULL), 0);
        assert_int_equal(say(&s, 2, MIB, MIB, 7, NULL), 0);
        s.m.stage = STAGE_SERVING;
        assert_int_equal(say(&s, 0, MIB, MIB, 7, NULL), 0);
        expect_judgement(&s, -ESTALE, "/vm/base was not read to its end again");
        assert_int_equal(say(&s, 2, 0, MIB, -1, NULL), 0);
        expect_judgement(&s, -ESTALE, "/vm/base was not read to its end again");
        assert_int_equal(say(&s, 2, MIB, MIB, 9, NULL), 0);
        expect_judgement(&s, -ESTALE, "/vm/base has changed while it was shown");
        s.config.assert_unchanged = false;
        expect_judgement(&s, 0, "");
        unchanged_done(&s.m.unchanged);
}

static void test_what_nobody_says_who_reads(void **state)
{
        static const struct {
                uint32_t layer;
                uint64_t done, total;
                const char *text;
        } cases[] = {
                { 3, 0, 1, "no part of the image" }, { 1, 0, 1, "no part of the image" },
                { 0, 2, 1, "coming farther" },       { 0, MIB + 1, 9 * MIB, "coming farther" },
                { 0, 0, 9 * MIB, "coming farther" },
        };
        Scene s;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Err err = { "" };
                scene_begin(&s);
                assert_int_equal(say(&s, 0, MIB, 9 * MIB, -1, NULL), 0);
                assert_int_equal(say(&s, cases[i].layer, cases[i].done, cases[i].total, -1, &err),
                                 -EPROTO);
                if (!strstr(err.text, cases[i].text))
                        fail_msg("case %zu: %s", i, err.text);
                unchanged_done(&s.m.unchanged);
        }
        /* A second end of the same file. */
        scene_begin(&s);
        assert_int_equal(say(&s, 0, MIB, MIB, 7, NULL), 0);
        assert_int_equal(say(&s, 0, MIB, MIB, 7, NULL), -EPROTO);
        unchanged_done(&s.m.unchanged);
}

/* Who could claim any length could keep a stop waiting for ever. */
static void test_no_more_is_read_than_there_is(void **state)
{
        Err err = { "" };
        Scene s;

        scene_begin(&s);
        assert_int_equal(say(&s, 0, UINT64_MAX - 1, UINT64_MAX, -1, &err), -EPROTO);
        assert_non_null(strstr(err.text, "more than there is"));
        int fd = memfd_create("image", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, 2 * MIB), 0);
        s.m.image.layers[0].fd = fd;
        assert_int_equal(say(&s, 0, 0, 2 * MIB, -1, NULL), 0);
        assert_int_equal(say(&s, 0, MIB, 2 * MIB + 1, -1, NULL), -EPROTO);
        assert_int_equal(say(&s, 0, 2 * MIB, 2 * MIB, 7, NULL), 0);
        close(fd);
        unchanged_done(&s.m.unchanged);
}

static void test_when_it_may_be_said(void **state)
{
        Scene s;
        scene_begin(&s);
        s.m.stage = STAGE_SEALED;
        assert_false(unchanged_may_be_said(&s.m));
        s.m.stage = STAGE_SERVING;
        assert_true(unchanged_may_be_said(&s.m));
        s.config.assert_unchanged = false;
        assert_false(unchanged_may_be_said(&s.m));
}

static void test_who_makes_progress_is_waited_for(void **state)
{
        Scene s;
        scene_begin(&s);
        assert_int_equal(unchanged_extend(&s.m, 5000, 100), 5000);
        s.m.unchanged.said_ms = 4800;
        assert_int_equal(unchanged_extend(&s.m, 5000, 100), 5000);
        s.m.unchanged.said_ms = 6000;
        assert_int_equal(unchanged_extend(&s.m, 5000, 100), 6100);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_the_same),
                cmocka_unit_test(test_what_is_not),
                cmocka_unit_test(test_what_nobody_says_who_reads),
                cmocka_unit_test(test_no_more_is_read_than_there_is),
                cmocka_unit_test(test_when_it_may_be_said),
                cmocka_unit_test(test_who_makes_progress_is_waited_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
