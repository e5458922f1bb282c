/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/manager.h"

#include "service-manager.h"

#include <errno.h>
#include <sys/prctl.h>

typedef struct Scene {
        Config config;
        ManagerOptions options;
        char top[16], over[16];
        Manager m;
} Scene;

static void scene_begin(Scene *s)
{
        *s = (Scene){ .config.writable = true, .top = "/vm/top", .over = "/vm/over" };
        s->m.config = &s->config;
        s->m.options = &s->options;
        s->m.image.count = 1;
        s->m.image.layers[0].path = s->top;
        s->m.image.layers[1].path = s->over;
        s->m.stage = STAGE_OPENING;
        progressing_begin(&s->m);
}

static int say(Scene *s, uint32_t pass, uint32_t percent, Err *err)
{
        MessageProgress p = { .pass = pass, .percent = percent };
        return progressing_take(&s->m, &p, err);
}

static void test_what_the_service_manager_hears(void **state)
{
        Scene s;
        int heard = manager_listen();

        scene_begin(&s);
        assert_int_equal(say(&s, MESSAGE_PASS_CHECKING, 7, NULL), 0);
        expect_heard(heard, "EXTEND_TIMEOUT_USEC=60000000");
        expect_heard(heard, "STATUS=Checking top before it is written to: 7%");
        s.m.image.count = 2;
        s.m.image.overlay = 1;
        assert_int_equal(say(&s, MESSAGE_PASS_REPAIRING, 100, NULL), 0);
        expect_heard(heard, "EXTEND_TIMEOUT_USEC=60000000");
        expect_heard(heard, "STATUS=Repairing over before it is written to: 100%");
        assert_true(s.m.progressing.said_ms > 0);
        progressing_done(&s.m.progressing);
        manager_close(heard);
}

static void test_who_says_too_much(void **state)
{
        Scene s;
        Err err = { "" };
        int r = 0;

        scene_begin(&s);
        for (unsigned i = 0; i < 1000 && r == 0; i++)
                r = say(&s, MESSAGE_PASS_CHECKING, 1 + i % 100, &err);
        assert_int_equal(r, -EPROTO);
        assert_non_null(strstr(err.text, "without end"));
        progressing_done(&s.m.progressing);

        /* Slowly, but again and again from the beginning. */
        scene_begin(&s);
        r = 0;
        for (unsigned i = 0; i < 3000 && r == 0; i++) {
                s.m.progressing.messages = 0;
                r = say(&s, MESSAGE_PASS_CHECKING, 50, &err);
        }
        assert_int_equal(r, -EPROTO);
        assert_non_null(strstr(err.text, "goes over the image without end"));
        progressing_done(&s.m.progressing);
}

static void test_the_name_says_it_at_the_end(void **state)
{
        char before[16] = "", name[16] = "";
        Scene s;

        scene_begin(&s);
        assert_int_equal(prctl(PR_GET_NAME, before), 0);
        progressing_show(&s.m, "reading", 1, 4);
        assert_int_equal(prctl(PR_GET_NAME, name), 0);
        assert_string_equal(name, before);
        s.m.stage = STAGE_SERVING;
        progressing_show(&s.m, "reading", 1, 4);
        assert_int_equal(prctl(PR_GET_NAME, name), 0);
        assert_string_equal(name, "rawviewd 25%");
        progressing_show(&s.m, "reading", 0, 0);
        assert_int_equal(prctl(PR_GET_NAME, name), 0);
        assert_string_equal(name, "rawviewd 100%");
        progressing_done(&s.m.progressing);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_the_service_manager_hears),
                cmocka_unit_test(test_who_says_too_much),
                cmocka_unit_test(test_the_name_says_it_at_the_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
