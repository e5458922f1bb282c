/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/cache.h"
#include "block/check.h"
#include "block/node.h"
#include "tests/unit/fd-count.h"
#include "tests/unit/format/vhd-image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_vhd;

enum {
        DISK = 10 * 4096,
        BLOCK = 4096,
        PLACE = 512 + BLOCK,
};

typedef struct Case {
        const char *name;
        void (*damage)(VhdImage *i);
        uint64_t corruptions, leaks;
        uint64_t corruptions_left, leaks_left; /* after a repair of all */
        const char *words;
} Case;

static void damage_nothing(VhdImage *i)
{
}

static void damage_front(VhdImage *i)
{
        i->bytes[70]++;
}

static void damage_front_cookie(VhdImage *i)
{
        i->bytes[0]++;
}

static void damage_end(VhdImage *i)
{
        i->bytes[i->len - 500]++;
}

static void damage_end_away(VhdImage *i)
{
        i->len -= 512;
}

static void damage_end_other(VhdImage *i)
{
        i->bytes[i->len - 512 + VHD_IMAGE_ID]++;
        vhd_image_sum(i, i->len - 512, 512, VHD_IMAGE_SUM);
}

static void damage_header(VhdImage *i)
{
        i->bytes[VHD_IMAGE_HEADER_SUM]++;
}

static void damage_over_another(VhdImage *i)
{
        vhd_image_put(i, VHD_IMAGE_BAT + 8, 4, 4);
}

static void damage_over_bat(VhdImage *i)
{
        vhd_image_put(i, VHD_IMAGE_BAT + 8, 4, 3);
}

static void damage_past_end(VhdImage *i)
{
        vhd_image_put(i, VHD_IMAGE_BAT + 8, 4, 5000);
}

/* Three places and a bit behind the last block, as an interrupted writer leaves them. */
static void damage_more_at_end(VhdImage *i)
{
        memmove(i->bytes + i->len + 3 * PLACE, i->bytes + i->len - 512, 512);
        i->len += 3 * PLACE + 512;
}

static void damage_front_and_end(VhdImage *i)
{
        damage_more_at_end(i);
        damage_front(i);
}

/* The second of three. */
static void damage_unreferred(VhdImage *i)
{
        vhd_image_put(i, VHD_IMAGE_BAT + 4, 4, UINT32_MAX);
}

static const Case cases[] = {
        { "sound", damage_nothing, 0, 0, 0, 0, "" },
        { "front broken", damage_front, 1, 0, 0, 0, "in the first sector has a wrong checksum" },
        { "front gone", damage_front_cookie, 1, 0, 0, 0, "in the first sector is missing" },
        { "end broken", damage_end, 0, 1, 0, 0, "at the end of the file has a wrong checksum" },
        { "end gone", damage_end_away, 0, 1, 0, 0, "at the end of the file is missing" },
        { "end another", damage_end_other, 0, 1, 0, 0, "is not its copy in front" },
        { "header", damage_header, 1, 0, 1, 0, "the dynamic disk header is not that" },
        { "over another", damage_over_another, 1, 1, 1, 1, "a block at 2048 lies over another" },
        { "over the BAT", damage_over_bat, 2, 1, 2, 1, "a block at 1536 lies over the footer" },
        { "past the end", damage_past_end, 1, 1, 1, 1, "ends past the end of the file" },
        { "more at the end", damage_more_at_end, 0, 3, 0, 0, "bytes behind the last block" },
        { "front and end", damage_front_and_end, 1, 3, 0, 0, "bytes behind the last block" },
        { "in no use", damage_unreferred, 0, 1, 0, 1, "room for 1 blocks between the others" },
};

static char told[2000];

static void hear(void *arg, const char *text)
{
        snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", text);
}

static void check(Node *n, CheckRepair repair, CheckReport *ret)
{
        told[0] = '\0';
        *ret = (CheckReport){ .repair = repair, .tell = hear };
        if (node_check(n, ret) < 0)
                fail_msg("%s", ret->err.text);
}

static Node *open_node(Store *s, Cache *c)
{
        NodeOptions options = { .writable = true, .for_check = true, .cache = c };
        Node *n = NULL;
        Err err = { "" };

        if (node_open(&format_vhd, s, &options, NULL, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

static void run_case(const Case *k)
{
        static VhdImage image;
        CheckReport report;
        Cache *c = NULL;

        vhd_image_begin(&image, 3, BLOCK, DISK);
        for (unsigned i = 0; i < 3; i++)
                vhd_image_block(&image, i, 'a', 0xff);
        vhd_image_finish(&image);
        k->damage(&image);
        assert_int_equal(cache_new(0, &c), 0);
        Node *n = open_node(vhd_image_store(&image), c);

        check(n, CHECK_LOOK, &report);
        if (report.corruptions != k->corruptions || report.leaks != k->leaks ||
            !strstr(told, k->words))
                fail_msg("%s: %u corruptions, %u leaks: %s", k->name, (unsigned)report.corruptions,
                         (unsigned)report.leaks, told);
        check(n, CHECK_REPAIR_ALL, &report);
        if (report.corruptions != k->corruptions_left || report.leaks != k->leaks_left ||
            report.corruptions_fixed != k->corruptions - k->corruptions_left ||
            report.leaks_fixed != k->leaks - k->leaks_left)
                fail_msg("%s: %u corruptions, %u leaks are left: %s", k->name,
                         (unsigned)report.corruptions, (unsigned)report.leaks, told);
        /* What it has done is seen by whoever opens it. */
        memset(&image, 0, sizeof(image));
        uint64_t size = 0;
        assert_int_equal(store_get_size(n->store, &size), 0);
        image.len = (size_t)size;
        assert_int_equal(store_read(n->store, image.bytes, image.len, 0), 0);
        node_close(n);
        n = open_node(vhd_image_store(&image), c);
        check(n, CHECK_LOOK, &report);
        assert_int_equal(report.corruptions, k->corruptions_left);
        assert_int_equal(report.leaks, k->leaks_left);
        node_close(n);
        cache_free(c);
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                run_case(&cases[i]);
}

static void test_what_is_counted(void **state)
{
        static VhdImage image;
        CheckReport report;
        Cache *c = NULL;

        vhd_image_begin(&image, 3, BLOCK, DISK);
        vhd_image_block(&image, 4, 'a', 0xff);
        vhd_image_finish(&image);
        assert_int_equal(cache_new(0, &c), 0);
        Node *n = open_node(vhd_image_store(&image), c);
        check(n, CHECK_LOOK, &report);
        assert_int_equal(report.total_clusters, 10);
        assert_int_equal(report.allocated_clusters, 1);
        assert_int_equal(report.image_end, VHD_IMAGE_BLOCKS + PLACE + 512);
        node_close(n);
        cache_free(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_what_is_counted),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
