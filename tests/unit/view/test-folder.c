/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Views of one image side by side. */
#include "bench.h"

#include "view/folder.h"

#include <fcntl.h>
#include <string.h>

static void test_entries_are_found_by_name(void **state)
{
        Bench b;
        bench_open_node(&b, false, 0);
        Folder *f = folder_new(2);
        View *disk = NULL, *part = NULL;
        ViewOptions options = read_only;

        assert_non_null(f);
        assert_int_equal(view_new(b.node, &options, &disk, NULL), 0);
        options.start = 1000;
        options.len = 100;
        options.sibling = disk;
        assert_int_equal(view_new(b.node, &options, &part, NULL), 0);
        folder_add(f, "disk", disk, false);
        folder_add(f, "p1", part, true);
        assert_int_equal(folder_find(f, "disk"), 0);
        assert_int_equal(folder_find(f, "p1"), 1);
        assert_true(f->entries[1].is_uncached);
        assert_int_equal(folder_find(f, "p"), -1);
        assert_int_equal(folder_find(f, "p11"), -1);
        assert_int_equal(folder_find(f, ""), -1);
        assert_int_equal(view_size(disk), DISK_SIZE);
        assert_int_equal(view_size(part), 100);
        assert_null(folder_free(f));
        assert_null(folder_free(NULL));
        bench_close(&b);
}

/* Who has one of them open has the image in use, and a view that is about to end opens none of them. */
static void test_siblings_are_used_together(void **state)
{
        ViewOptions options = read_only;
        char *text = NULL;
        View *part = NULL;
        uint64_t id = 0;
        Bench b;

        bench_open(&b, &options);
        options.start = 1000;
        options.sibling = b.view;
        assert_int_equal(view_new(b.node, &options, &part, NULL), 0);
        assert_int_equal(view_open(part, O_RDONLY, 4711, &id), 0);
        assert_int_equal(view_get_attribute(b.view, "user.rawview.use", &text), 0);
        assert_non_null(strstr(text, "readers=1 writers=0"));
        assert_non_null(strstr(text, "pids=4711"));
        free(text);
        view_refuse_opening(b.view, 0);
        assert_int_equal(view_open(part, O_RDONLY, 4711, &id), -ESHUTDOWN);
        view_free(part);
        bench_close(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_entries_are_found_by_name),
                cmocka_unit_test(test_siblings_are_used_together),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
