/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/difference.h"

#include "base/cleanup.h"
#include "config/value.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct Line {
        const char *section, *key, *value;
} Line;

enum {
        LINES_MAX = 4,
};

/* As a descriptor with these lines, one after the other, is understood. */
static void read_lines(Config *c, const Line *lines, const Config *shown)
{
        config_init(c);
        assert_int_equal(config_set_key(c, "Image", "Path", "/vm/web.qcow2", "w:1", NULL), 0);
        for (int i = 0; i < LINES_MAX && lines[i].key; i++) {
                char source[16];
                snprintf(source, sizeof(source), "w:%d", i + 2);
                assert_int_equal(config_set_key(c, lines[i].section, lines[i].key, lines[i].value,
                                                source, NULL),
                                 0);
        }
        assert_int_equal(config_settle(c, NULL), 0);
        if (shown)
                config_keep_defaults(shown, c);
}

/* "Key source" for each difference, with a blank between them. */
static void differences(const Config *shown, const Config *wanted, char ret[256])
{
        ConfigDifference found[CONFIG_KEYS_MAX];
        size_t count = 0;

        ret[0] = '\0';
        assert_int_equal(config_compare(shown, wanted, found, &count), 0);
        for (size_t i = 0; i < count; i++)
                snprintf(ret + strlen(ret), 256 - strlen(ret), "%s%s %s", i > 0 ? ", " : "",
                         found[i].key, found[i].source ?: "default");
}

static void test_what_differs(void **state)
{
        static const struct {
                const char *name;
                Line shown[LINES_MAX], wanted[LINES_MAX];
                const char *text;
        } cases[] = {
                { "nothing", { { NULL } }, { { NULL } }, "" },
                { "the same from another line",
                  { { "View", "Mode", "0440" } },
                  { { "View", "CacheSize", "16M" }, { "View", "Mode", "440" } },
                  "" },
                { "one more", { { NULL } }, { { "View", "Owner", "1" } }, "Owner w:2" },
                { "one less", { { "View", "Owner", "1" } }, { { NULL } }, "Owner default" },
                { "emptied",
                  { { "View", "Group", "1" } },
                  { { "View", "Group", "" } },
                  "Group default" },
                { "root is not nobody in particular",
                  { { NULL } },
                  { { "View", "Owner", "0" } },
                  "Owner w:2" },
                { "in the order of the table",
                  { { "View", "CacheSize", "8M" } },
                  { { "View", "LogLevel", "debug" },
                    { "View", "CacheSize", "32M" },
                    { "View", "MountPoint", "/b" } },
                  "MountPoint w:4, CacheSize w:3, LogLevel w:2" },
                { "what follows from another key is none",
                  { { NULL } },
                  { { "Image", "Path", "/vm/other" }, { "View", "Writable", "yes" } },
                  "Path w:2, Writable w:3" },
                { "a mode that is a default again is that of the view",
                  { { "View", "Mode", "0400" } },
                  { { "View", "Writable", "yes" } },
                  "Writable w:2" },
                { "and differs where the view does",
                  { { "View", "Mode", "0440" }, { "View", "Writable", "yes" } },
                  { { NULL } },
                  "Writable default, Mode default" },
                { "a list that is longer",
                  { { "Image", "References", "chain" }, { "Image", "AllowedPaths", "/a" } },
                  { { "Image", "References", "chain" },
                    { "Image", "AllowedPaths", "/a" },
                    { "Image", "AllowedPaths", "/b" } },
                  "AllowedPaths w:4" },
                { "the next boot",
                  { { NULL } },
                  { { "Install", "Automatic", "1" } },
                  "Automatic w:2" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_config_ Config shown, wanted;
                char text[256];

                read_lines(&shown, cases[i].shown, NULL);
                read_lines(&wanted, cases[i].wanted, &shown);
                differences(&shown, &wanted, text);
                if (strcmp(text, cases[i].text) != 0)
                        fail_msg("%s: '%s', not '%s'", cases[i].name, text, cases[i].text);
        }
}

/* What is not among these wants a restart: to forget one here is a lie to whoever reloads. */
static void test_what_can_change(void **state)
{
        static const struct {
                const char *key;
                ConfigEffect effect;
        } cases[] = {
                { "Owner", CONFIG_SETS_OWNER },        { "Group", CONFIG_SETS_GROUP },
                { "Mode", CONFIG_SETS_MODE },          { "CacheSize", CONFIG_SETS_CACHE_SIZE },
                { "LogLevel", CONFIG_SETS_LOG_LEVEL }, { "Automatic", CONFIG_AT_BOOT },
                { "NoFail", CONFIG_AT_BOOT },
        };
        const size_t count = sizeof(cases) / sizeof(cases[0]);
        _cleanup_config_ Config c;
        ConfigSetting s = { 0 };
        size_t found = 0;

        config_init(&c);
        for (size_t i = 0; config_get_setting(&c, i, &s) > 0; i++) {
                ConfigEffect expected = CONFIG_AT_RESTART;
                free(s.text);
                for (size_t n = 0; n < count; n++)
                        if (strcmp(cases[n].key, s.key) == 0) {
                                expected = cases[n].effect;
                                found++;
                        }
                if (s.effect != expected)
                        fail_msg("%s: %d, not %d", s.key, s.effect, expected);
        }
        assert_int_equal(found, count);
}

static void test_adopting(void **state)
{
        static const Line before[LINES_MAX] = { { "View", "Owner", "1" },
                                                { "View", "Mode", "0440" } };
        static const Line after[LINES_MAX] = { { "View", "Mode", "0444" },
                                               { "View", "CacheSize", "8M" },
                                               { "Image", "Format", "raw" },
                                               { "View", "LogLevel", "info" } };
        _cleanup_config_ Config shown, wanted;
        ConfigDifference found[CONFIG_KEYS_MAX];
        size_t count = 0;
        char text[256];

        read_lines(&shown, before, NULL);
        read_lines(&wanted, after, &shown);
        assert_int_equal(config_compare(&shown, &wanted, found, &count), 0);
        assert_int_equal(count, 5);
        for (size_t i = 0; i < count; i++)
                config_adopt(&shown, &wanted, &found[i]);
        assert_string_equal(shown.format, "raw");
        assert_false(shown.has_owner);
        assert_int_equal(shown.owner, 0);
        assert_true(shown.has_mode);
        assert_int_equal(shown.mode, 0444);
        assert_int_equal(shown.cache_size, 8 << 20);
        assert_int_equal(shown.log_level, CONFIG_LOG_INFO);
        assert_null(wanted.format);

        config_done(&wanted);
        read_lines(&wanted, after, &shown);
        differences(&shown, &wanted, text);
        assert_string_equal(text, "");
}

static void test_every_type_moves(void **state)
{
        static const Line lines[][LINES_MAX] = {
                { { "Image", "Snapshot", "s" } },
                { { "Image", "Format", "raw" } },
                { { "View", "MountPoint", "/b" } },
                { { "Image", "References", "chain" }, { "Image", "AllowedPaths", "/a '/b c'" } },
                { { "View", "Writable", "yes" } },
                { { "View", "CacheSize", "3M" } },
                { { "View", "Owner", "2" }, { "View", "Group", "3" }, { "View", "Mode", "0" } },
        };
        static const Line none[LINES_MAX] = { { NULL } };

        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                _cleanup_config_ Config shown, wanted, again;
                ConfigDifference found[CONFIG_KEYS_MAX];
                size_t count = 0;
                char text[256];

                read_lines(&shown, none, NULL);
                read_lines(&wanted, lines[i], &shown);
                read_lines(&again, lines[i], &shown);
                assert_int_equal(config_compare(&shown, &wanted, found, &count), 0);
                assert_in_range(count, 1, 3);
                for (size_t d = 0; d < count; d++)
                        config_adopt(&shown, &wanted, &found[d]);
                differences(&shown, &again, text);
                assert_string_equal(text, "");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_differs),
                cmocka_unit_test(test_what_can_change),
                cmocka_unit_test(test_adopting),
                cmocka_unit_test(test_every_type_moves),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
