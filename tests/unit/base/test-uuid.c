/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char bat[] = "2dc27766-f623-4200-9d64-115e9bfd4a08";

/* The GUID of the BAT region of a VHDX, as it lies there. */
static const le_guid bat_on_disk = { {
        0x66,
        0x77,
        0xc2,
        0x2d,
        0x23,
        0xf6,
        0x00,
        0x42,
        0x9d,
        0x64,
        0x11,
        0x5e,
        0x9b,
        0xfd,
        0x4a,
        0x08,
} };

static void test_text(void **state)
{
        char text[UUID_TEXT_LEN + 1];
        Uuid u = uuid_from_guid(bat_on_disk);

        uuid_format(&u, text);
        assert_string_equal(text, bat);

        Uuid plain = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255 } };
        uuid_format(&plain, text);
        assert_string_equal(text, "00010203-0405-0607-0809-0a0b0c0d0eff");
}

static void test_to_disk(void **state)
{
        Uuid u;

        assert_true(uuid_parse(bat, &u));
        le_guid g = uuid_to_guid(u);
        assert_memory_equal(&g, &bat_on_disk, sizeof(g));
}

static void test_what_is_one(void **state)
{
        static const struct {
                const char *text;
                bool is;
        } cases[] = {
                { "2DC27766-F623-4200-9D64-115E9BFD4A08", true },
                { "{2DC27766-f623-4200-9D64-115E9BFD4A08}", true },
                { "", false },
                { "{", false },
                { "{2DC27766-F623-4200-9D64-115E9BFD4A08", false },
                { "2DC27766-F623-4200-9D64-115E9BFD4A08}", false },
                { "2DC27766-F623-4200-9D64-115E9BFD4A0", false },
                { "2DC27766-F623-4200-9D64-115E9BFD4A088", false },
                { "2DC27766-F623-4200-9D64-115E9BFD4A0G", false },
                { "2DC27766-F623-4200-9D64-115E9BFD4A 8", false },
                { "2DC27766-F623-4200-9D64-115E9BFD4A0\xe9", false },
                { "2DC27766F623-4200-9D64-115E9BFD4A08", false },
                { "2DC27766--623-4200-9D64-115E9BFD4A08", false },
        };
        Uuid u, wanted = uuid_from_guid(bat_on_disk);

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                if (uuid_parse(cases[i].text, &u) != cases[i].is)
                        fail_msg("'%s'", cases[i].text);
                if (cases[i].is)
                        assert_true(uuid_equal(&u, &wanted));
        }
}

static void test_new_ones(void **state)
{
        Uuid zero = { { 0 } }, a, b;

        assert_true(uuid_is_zero(&zero));
        assert_int_equal(uuid_make(&a), 0);
        assert_int_equal(uuid_make(&b), 0);
        assert_false(uuid_is_zero(&a));
        assert_false(uuid_equal(&a, &b));
        assert_int_equal(a.b[6] >> 4, 4);
        assert_int_equal(a.b[8] >> 6, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_to_disk),
                cmocka_unit_test(test_what_is_one),
                cmocka_unit_test(test_new_ones),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
