/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/cache.h"
#include "block/chain.h"
#include "block/node.h"
#include "fake/shelf.h"
#include "format/formats.h"
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
        DISK = 40 * 1024,
        BLOCK = 4096,
        NAMES_LEN = 256,
};

typedef struct Locator {
        const char *code; /* NULL ends the list */
        const char *text; /* ASCII, which becomes UTF-16 where the code begins with W2 */
        uint64_t length;  /* what the locator says; 0: as long as it is */
} Locator;

static VhdImage image;

static void put_locator(unsigned slot, const Locator *l)
{
        uint8_t bytes[64];
        size_t len = strlen(l->text);

        memcpy(bytes, l->text, len);
        if (memcmp(l->code, "W2", 2) == 0) {
                for (size_t k = 0; k < strlen(l->text); k++) {
                        bytes[2 * k] = (uint8_t)l->text[k];
                        bytes[2 * k + 1] = 0;
                }
                len *= 2;
        }
        vhd_image_locator(&image, slot, l->code, bytes, len);
        if (l->length > 0)
                vhd_image_put(&image, VHD_IMAGE_LOCATORS + 24 * slot + 8, 4, l->length);
}

static void make_image(const Locator *l, const char *header_name)
{
        vhd_image_begin(&image, 4, BLOCK, DISK);
        for (unsigned i = 0; l[i].code; i++)
                put_locator(i, &l[i]);
        for (size_t i = 0; header_name && i < strlen(header_name); i++)
                image.bytes[VHD_IMAGE_PARENT_NAME + 2 * i + 1] = (uint8_t)header_name[i];
        vhd_image_finish(&image);
}

/* All names, with blanks between them. */
static void get_names(char names[NAMES_LEN])
{
        Cache *c = NULL;
        Node *n = NULL;
        Err err = { "" };
        Store *s = vhd_image_store(&image);
        assert_int_equal(cache_new(0, &c), 0);
        NodeOptions options = { .cache = c };

        int r = node_open(&format_vhd, s, &options, NULL, &n, &err);
        snprintf(names, NAMES_LEN, "%s", r < 0 ? err.text : n->backing_name);
        for (size_t i = 0; n && n->backing_others && n->backing_others[i]; i++) {
                strcat(names, " ");
                strcat(names, n->backing_others[i]);
        }
        if (n)
                assert_string_equal(n->backing_format, "vhd");
        else
                store_free(s);
        node_close(n);
        cache_free(c);
}

static void test_names(void **state)
{
        static const struct {
                const char *name;
                Locator locators[4];
                const char *header_name, *names;
        } cases[] = {
                { "relative", { { "W2ru", ".\\p.vhd" } }, NULL, "p.vhd" },
                { "below", { { "W2ru", "a\\b\\p.vhd" } }, NULL, "a/b/p.vhd p.vhd" },
                { "above", { { "W2ru", "..\\p.vhd" } }, NULL, "../p.vhd p.vhd" },
                { "absolute", { { "W2ku", "C:\\vm\\p.vhd" } }, NULL, "p.vhd" },
                { "share", { { "W2ku", "\\\\server\\vm\\p.vhd" } }, NULL, "p.vhd" },
                { "on a drive", { { "W2ku", "C:p.vhd" } }, NULL, "p.vhd" },
                { "a relative one that is not",
                  { { "W2ru", "C:\\vm\\p.vhd" }, { "W2ru", "\\vm\\q.vhd" } },
                  NULL,
                  "p.vhd q.vhd" },
                { "in turn",
                  { { "W2ku", "C:\\c.vhd" },
                    { "MacX", "file://localhost/vm/d.vhd" },
                    { "W2ru", "x\\b.vhd" } },
                  "C:\\e.vhd",
                  "x/b.vhd c.vhd d.vhd e.vhd b.vhd" },
                { "each once", { { "W2ru", "p.vhd" }, { "W2ku", "D:\\p.vhd" } }, "p.vhd", "p.vhd" },
                { "only in the header", { { 0 } }, "p.vhd", "p.vhd" },
                { "escaped", { { "MacX", "file:///a/My%20Disk%2evhd" } }, NULL, "My Disk.vhd" },
                { "badly escaped",
                  { { "MacX", "file:///a/p%2" }, { "MacX", "a/p%00" }, { "MacX", "a%2fp" } },
                  "p.vhd",
                  "p.vhd" },
                { "8-bit and unknown ones are passed over",
                  { { "Wi2r", "q.vhd" }, { "Wi2k", "C:\\q.vhd" }, { "Mac ", "alias" } },
                  "p.vhd",
                  "p.vhd" },
                { "no protocol",
                  { { "W2ru", "nbd:x" }, { "W2ru", "json:{}" }, { "W2ru", "a\\b:c" } },
                  NULL,
                  "./nbd:x ./json:{} a/b:c ./b:c" },
                { "no file",
                  { { "W2ru", ".." }, { "W2ru", "a\\" }, { "W2ku", "C:\\" } },
                  NULL,
                  "vhd: neither a parent locator nor the header names the parent" },
                { "odd length", { { "W2ru", "q.vhd", 9 } }, "p.vhd", "p.vhd" },
                { "past the end", { { "W2ru", "q.vhd", 4000 } }, "p.vhd", "p.vhd" },
                { "too long", { { "W2ru", "q.vhd", UINT32_MAX } }, "p.vhd", "p.vhd" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char names[NAMES_LEN];
                make_image(cases[i].locators, cases[i].header_name);
                get_names(names);
                if (strcmp(names, cases[i].names) != 0)
                        fail_msg("%s: '%s'", cases[i].name, names);
        }
}

static int open_chain(Shelf *shelf, Node **ret, Cache *c, Err *err)
{
        Store *s = vhd_image_store(&image);
        ChainRequest request = {
                .formats = all_formats, .raw = &format_raw, .opener = &shelf->opener, .cache = c
        };

        int r = chain_open(&request, s, ret, err);
        if (r < 0)
                store_free(s);
        return r;
}

static void test_which_parent(void **state)
{
        static VhdImage parent;
        static const Locator two[] = { { "W2ru", "gone.vhd" }, { "W2ku", "C:\\p.vhd" }, { 0 } };

        for (int other = 0; other < 2; other++) {
                Shelf shelf;
                Cache *c = NULL;
                Node *n = NULL;
                Err err = { "" };
                uint8_t byte = 0;
                vhd_image_begin(&parent, 3, BLOCK, DISK);
                vhd_image_block(&parent, 0, 'p', 0xff);
                parent.bytes[VHD_IMAGE_ID] += (uint8_t)other;
                vhd_image_finish(&parent);
                make_image(two, NULL);
                shelf_init(&shelf);
                assert_int_equal(cache_new(0, &c), 0);
                assert_int_equal(shelf_put(&shelf, "p.vhd", 0, vhd_image_store(&parent)), 0);
                int r = open_chain(&shelf, &n, c, &err);
                assert_int_equal(r, other ? -EBADMSG : 0);
                if (other) {
                        assert_non_null(strstr(err.text, "31313233-3435-3637-3839-616263646566"));
                        assert_non_null(strstr(err.text, "30313233-3435-3637-3839-616263646566"));
                } else {
                        assert_int_equal(node_read(n, &byte, 1, 700), 0);
                        assert_int_equal(byte, 'p');
                }
                node_close(n);
                cache_free(c);
                shelf_done(&shelf);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_which_parent),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
