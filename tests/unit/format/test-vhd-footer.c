/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/cache.h"
#include "block/node.h"
#include "block/probe.h"
#include "tests/unit/fd-count.h"
#include "tests/unit/format/vhd-image.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_vhd;

enum {
        DISK = 40 * 1024,
        BLOCK = 4096,
};

static VhdImage image;

static int open_image(const VhdImage *i, uint64_t *ret_size, Err *err)
{
        Cache *c = NULL;
        Node *n = NULL;
        Store *s = vhd_image_store(i);
        assert_int_equal(cache_new(0, &c), 0);
        NodeOptions options = { .cache = c };

        int r = node_open(&format_vhd, s, &options, NULL, &n, err);
        *ret_size = n ? node_get_size(n) : 0;
        if (!n)
                store_free(s);
        node_close(n);
        cache_free(c);
        return r;
}

static void expect_size(const char *name, uint64_t wanted)
{
        uint64_t size = 0;
        Err err = { "" };

        if (open_image(&image, &size, &err) < 0)
                fail_msg("%s: %s", name, err.text);
        if (size != wanted)
                fail_msg("%s: %" PRIu64 " bytes", name, size);
}

static void expect_refusal(const char *words, int code)
{
        uint64_t size = 0;
        Err err = { "" };

        assert_int_equal(open_image(&image, &size, &err), -code);
        if (!strstr(err.text, words))
                fail_msg("'%s' is not in: %s", words, err.text);
}

static void put_geometry(uint32_t cylinders, uint32_t heads, uint32_t sectors)
{
        vhd_image_put(&image, VHD_IMAGE_GEOMETRY, 2, cylinders);
        vhd_image_put(&image, VHD_IMAGE_GEOMETRY + 2, 1, heads);
        vhd_image_put(&image, VHD_IMAGE_GEOMETRY + 3, 1, sectors);
}

/* 2 * 4 * 11 sectors are 45056 bytes, the current size 40960. */
static void test_which_size(void **state)
{
        static const struct {
                const char *creator;
                uint32_t cylinders;
                uint64_t size;
        } cases[] = {
                { "vpc ", 2, 45056 }, { "qemu", 2, 45056 }, { "qem2", 2, DISK },
                { "win ", 2, DISK },  { "vs  ", 2, DISK },  { "d2v ", 1, DISK },
                { "tap", 2, DISK },   { "CTXS", 2, DISK },  { "qemu", 1, 22528 },
                { "qemu", 0, DISK },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                vhd_image_begin(&image, 3, BLOCK, DISK + BLOCK);
                vhd_image_put(&image, VHD_IMAGE_CURRENT_SIZE, 8, DISK);
                memset(image.bytes + VHD_IMAGE_CREATOR, 0, 4);
                memcpy(image.bytes + VHD_IMAGE_CREATOR, cases[i].creator, strlen(cases[i].creator));
                put_geometry(cases[i].cylinders, 4, 11);
                vhd_image_finish(&image);
                expect_size(cases[i].creator, cases[i].size);
        }
        vhd_image_begin(&image, 3, BLOCK, DISK);
        memcpy(image.bytes + VHD_IMAGE_CREATOR, "qemu", 4);
        put_geometry(65535, 16, 255);
        vhd_image_finish(&image);
        expect_size("the largest geometry", DISK);
}

/* A geometry that was rounded up counts only as far as there is a file. */
static void test_fixed_geometry(void **state)
{
        for (int longer = 0; longer < 2; longer++) {
                vhd_image_begin(&image, 2, BLOCK, DISK);
                memcpy(image.bytes + VHD_IMAGE_CREATOR, "vpc ", 4);
                put_geometry(2, 4, 11);
                image.len += longer ? 4096 : 0;
                vhd_image_finish(&image);
                expect_size("fixed", longer ? 45056 : DISK);
        }
}

static void test_which_footer(void **state)
{
        vhd_image_begin(&image, 3, BLOCK, DISK);
        vhd_image_finish(&image);
        uint64_t end = image.len - 512;
        VhdImage sound = image;

        expect_size("both", DISK);
        image.bytes[70]++;
        expect_size("front broken", DISK);
        image.bytes[end + 70]++;
        expect_refusal("and there is no other good footer", EBADMSG);
        image = sound;
        image.bytes[end + 70]++;
        expect_size("end broken", DISK);
        image.bytes[end]++;
        expect_size("end missing", DISK);
        image.bytes[0]++;
        expect_refusal("there is no footer ('conectix')", EBADMSG);

        /* They disagree: the one in front counts. */
        image = sound;
        vhd_image_put(&image, end + VHD_IMAGE_CURRENT_SIZE, 8, DISK - 512);
        vhd_image_sum(&image, end, 512, VHD_IMAGE_SUM);
        expect_size("front", DISK);
        vhd_image_put(&image, end + VHD_IMAGE_TYPE, 4, 2);
        vhd_image_sum(&image, end, 512, VHD_IMAGE_SUM);
        expect_refusal("disk type is 2, and its copy in the first sector 3", EBADMSG);

        /* The last byte of an old footer was left away. */
        image = sound;
        image.len--;
        image.bytes[70]++;
        expect_size("511 bytes", DISK);
}

/* What a guest can put into its first sector makes no other disk of it. */
static void test_guest_in_fixed(void **state)
{
        VhdImage other;

        vhd_image_begin(&other, 3, BLOCK, DISK);
        vhd_image_finish(&other);
        vhd_image_begin(&image, 2, BLOCK, DISK);
        vhd_image_finish(&image);
        memcpy(image.bytes, "conectix", 8);
        expect_size("cookie", DISK);
        memcpy(image.bytes, image.bytes + DISK, 512);
        expect_size("its own footer", DISK);
        memcpy(image.bytes, other.bytes, 1024);
        expect_refusal("--format=raw", EBADMSG);
        image.len -= 512;
        memcpy(image.bytes, image.bytes + DISK, 512);
        expect_refusal("disk type 2 in the first sector", EBADMSG);
}

static const Format *probe(bool *ret_both)
{
        static const Format *const formats[] = { &format_vhd, NULL };
        const Format *found = NULL;
        Store *s = vhd_image_store(&image);

        *ret_both = probe_format(formats, s, false, &found, NULL) < 0;
        store_free(s);
        return found;
}

static void test_probe(void **state)
{
        bool failed = false;

        vhd_image_begin(&image, 3, BLOCK, DISK);
        vhd_image_finish(&image);
        assert_ptr_equal(probe(&failed), &format_vhd);
        for (size_t cut = 0; cut < 2; cut++) {
                vhd_image_begin(&image, 2, BLOCK, DISK);
                vhd_image_finish(&image);
                image.len -= cut;
                assert_ptr_equal(probe(&failed), &format_vhd);
                /* Not a fixed disk, or not as long as it says. */
                image.bytes[DISK + 100]++;
                assert_null(probe(&failed));
                vhd_image_put(&image, DISK + VHD_IMAGE_CURRENT_SIZE, 8, DISK - 512);
                vhd_image_sum(&image, DISK, 512, VHD_IMAGE_SUM);
                assert_null(probe(&failed));
                vhd_image_put(&image, DISK + VHD_IMAGE_CURRENT_SIZE, 8, DISK);
                vhd_image_put(&image, DISK + VHD_IMAGE_TYPE, 4, 3);
                vhd_image_sum(&image, DISK, 512, VHD_IMAGE_SUM);
                assert_null(probe(&failed));
        }
        assert_false(failed);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_which_size),   cmocka_unit_test(test_fixed_geometry),
                cmocka_unit_test(test_which_footer), cmocka_unit_test(test_guest_in_fixed),
                cmocka_unit_test(test_probe),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
