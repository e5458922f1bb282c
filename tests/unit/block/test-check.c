/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include "block/check.h"

#include <errno.h>
#include <stdio.h>

typedef struct Told {
        char text[256];
        unsigned count;
} Told;

static void told(void *arg, const char *text)
{
        Told *t = arg;

        t->count++;
        snprintf(t->text + strlen(t->text), sizeof(t->text) - strlen(t->text), "%s;", text);
}

static int finder_open(Node *n, Opener *opener, Err *err)
{
        n->size = 4096;
        return 0;
}

static void finder_close(Node *n)
{
}

static int finder_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        *ret = (Extent){ .kind = EXTENT_HOLE, .off = off, .len = len };
        return 0;
}

static int finder_check(Node *n, CheckReport *report)
{
        /* The lock that keeps everybody else away. */
        assert_int_equal(pthread_rwlock_tryrdlock(&n->layout), EBUSY);
        if (report->repair == CHECK_REPAIR_ALL) {
                report->corruptions_fixed = 2;
                return 0;
        }
        check_corruption(report, "wrong at %d", 7);
        check_corruption(report, "wrong at %d", 8);
        check_leak(report, "lost");
        check_tell(report, "by the way");
        report->image_end = 512;
        return 1;
}

static int broken_check(Node *n, CheckReport *report)
{
        return n->writable ? err_set(&report->err, EBADMSG, "worse than that") : -EIO;
}

static const Format finder = {
        .name = "finder",
        .open = finder_open,
        .close = finder_close,
        .map = finder_map,
        .check = finder_check,
};

static const Format broken = {
        .name = "broken",
        .open = finder_open,
        .close = finder_close,
        .map = finder_map,
        .check = broken_check,
};

static Node *open_on(const Format *format, bool writable, bool for_check, Cache *c)
{
        NodeOptions options = { .writable = writable, .for_check = for_check, .cache = c };
        Store *s = NULL;
        Node *n = NULL;

        assert_int_equal(mem_store_new(NULL, 4096, &s), 0);
        assert_int_equal(node_open(format, s, &options, NULL, &n, NULL), 0);
        return n;
}

static void test_findings_are_counted_and_told(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *n = open_on(&finder, false, false, c);
        Told all = { "" };
        CheckReport report = { .tell = told, .arg = &all, .leaks = 77, .check_errors = 3 };

        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions, 2);
        assert_int_equal(report.leaks, 1);
        assert_int_equal(report.check_errors, 0);
        assert_int_equal(report.image_end, 512);
        assert_string_equal(all.text, "wrong at 7;wrong at 8;lost;by the way;");

        /* Nobody has to listen. */
        report.tell = NULL;
        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions, 2);
        assert_int_equal(all.count, 4);
}

static void test_who_may_repair(void **state)
{
        static const struct {
                bool writable, for_check;
                int r;
        } cases[] = {
                { false, false, -EROFS },
                { true, false, -EROFS },
                { false, true, -EROFS },
                { true, true, 0 },
        };
        _cleanup_cache_ Cache *c = new_cache();

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_node_ Node *n = open_on(&finder, cases[i].writable, cases[i].for_check, c);
                CheckReport report = { .repair = CHECK_REPAIR_ALL };
                assert_int_equal(node_check(n, &report), cases[i].r);
                assert_int_equal(report.corruptions_fixed, cases[i].r == 0 ? 2 : 0);
                assert_int_equal(report.err.text[0] != '\0', cases[i].r < 0);
        }
}

static void test_what_cannot_be_completed(void **state)
{
        _cleanup_cache_ Cache *c = new_cache();
        _cleanup_node_ Node *silent = open_on(&broken, false, false, c);
        _cleanup_node_ Node *says_why = open_on(&broken, true, true, c);
        _cleanup_node_ Node *raw = open_fake("....", 0, false, c);
        CheckReport report = { .repair = CHECK_LOOK };

        assert_int_equal(node_check(silent, &report), -EIO);
        assert_int_equal(report.check_errors, 1);
        assert_string_equal(report.err.text, "cannot check it: Input/output error");
        assert_int_equal(node_check(says_why, &report), -EBADMSG);
        assert_string_equal(report.err.text, "worse than that");

        /* The error of before does not stay in the report. */
        assert_int_equal(node_check(raw, &report), -EOPNOTSUPP);
        assert_int_equal(report.check_errors, 0);
        assert_string_equal(report.err.text, "the format fake has nothing that could be checked");
}

static void test_what_a_repair_has_left(void **state)
{
        CheckReport report = { .leaks = 7, .corruptions_fixed = 2 };
        Err err = { "" };

        assert_int_equal(check_refuse_unclean(&report, &err), 0);
        assert_string_equal(err.text, "");
        report.corruptions = 3;
        assert_int_equal(check_refuse_unclean(&report, &err), -EUCLEAN);
        assert_string_equal(
                err.text,
                "the image was not closed cleanly, and 3 errors are left after its repair; "
                "`rawview check` lists them");
}

static void heard(void *listener, const char *pass, uint64_t done, uint64_t whole)
{
        ++*(unsigned *)listener;
}

static void test_looking_again(void **state)
{
        unsigned steps = 0;
        Told t = { .count = 0 };
        CheckReport report = {
                .repair = CHECK_REPAIR_ALL,
                .tell = told,
                .arg = &t,
                .listener = { heard, &steps },
        };

        check_corruption(&report, "one");
        check_leak(&report, "two");
        check_begin_again(&report);
        check_begin_pass(&report, "checking", 2);
        check_step(&report, 1);
        check_leak(&report, "three");
        check_end_again(&report);
        assert_int_equal(report.corruptions, 0);
        assert_int_equal(report.leaks, 1);
        assert_string_equal(t.text, "one;two;");
        assert_int_equal(report.repair, CHECK_REPAIR_ALL);

        check_begin_pass(&report, "repairing", 2);
        check_step(&report, 1);
        /* And once the end of the pass before. */
        assert_int_equal(steps, 3);
        check_tell(&report, "four");
        assert_string_equal(t.text, "one;two;four;");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_findings_are_counted_and_told),
                cmocka_unit_test(test_who_may_repair),
                cmocka_unit_test(test_what_cannot_be_completed),
                cmocka_unit_test(test_what_a_repair_has_left),
                cmocka_unit_test(test_looking_again),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
