/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_defaults(void **state)
{
        _cleanup_config_ Config c;
        config_init(&c);

        assert_null(c.path);
        assert_null(c.format);
        assert_int_equal(c.references, REFERENCES_DIRECTORY);
        assert_int_equal(c.allow_other, CONFIG_AUTO);
        assert_false(c.writable || c.growable || c.force_share || c.automatic);
        assert_int_equal(c.cache_size, 16 << 20);
        assert_int_equal(c.log_level, CONFIG_LOG_AUTO);
}

static void test_settling(void **state)
{
        static const struct {
                const char *writable, *mode, *mount_point;
                mode_t expected_mode;
                const char *expected_mount_point;
        } cases[] = {
                { "no", NULL, NULL, 0400, "/a.qcow2" },
                { "yes", NULL, NULL, 0600, "/a.qcow2" },
                { "yes", "0", "/b", 0, "/b" },
                { "no", "0444", "/b", 0444, "/b" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_config_ Config c;
                config_init(&c);
                assert_int_equal(config_set_option(&c, "path", "/a.qcow2", NULL), 0);
                assert_int_equal(config_set_option(&c, "writable", cases[i].writable, NULL), 0);
                if (cases[i].mode)
                        assert_int_equal(config_set_option(&c, "mode", cases[i].mode, NULL), 0);
                if (cases[i].mount_point)
                        assert_int_equal(
                                config_set_option(&c, "mount-point", cases[i].mount_point, NULL),
                                0);
                assert_int_equal(config_settle(&c, NULL), 0);
                assert_int_equal(c.mode, cases[i].expected_mode);
                assert_string_equal(c.mount_point, cases[i].expected_mount_point);
        }
}

static void test_refusals(void **state)
{
        static const struct {
                const char *options[2][2];
                int r;
                const char *text;
        } cases[] = {
                { { { NULL } }, -EINVAL, "Path= is missing" },
                { { { "overlay", "volatile" }, { "writable", "no" } },
                  -EINVAL,
                  "makes the view writable, which Writable=no" },
                { { { "overlay", "/o.qcow2" }, { "snapshot", "s" } }, -EINVAL, "with Snapshot=" },
                { { { "layer", "32" } }, -EINVAL, "'32' is not allowed" },
                { { { "layer", "1,both" } }, -EINVAL, "'1,both' is not allowed" },
                { { { "layer", "-1" } }, -EINVAL, "'-1' is not allowed" },
                { { { "layer", "1" }, { "writable", "1" } }, -EINVAL, "with Writable=yes" },
                { { { "layer", "0" }, { "overlay", "volatile" } }, -EINVAL, "or Overlay=" },
                { { { "assert-unchanged", "1" }, { "writable", "1" } },
                  -EINVAL,
                  "AssertUnchanged=yes" },
                { { { "overlay", "/o" }, { "force-share", "1" } }, -EINVAL, "with ForceShare=yes" },
                { { { "partition", "1" }, { "view-offset", "1M" } },
                  -EINVAL,
                  "Partition= (--partition)" },
                { { { "partition", "1" }, { "view-size", "1M" } },
                  -EINVAL,
                  "Partition= (--partition)" },
                { { { "partitions", "yes" }, { "partition", "1" } },
                  -EINVAL,
                  "cannot be combined with Partition=" },
                { { { "partitions", "yes" }, { "view-size", "1M" } },
                  -EINVAL,
                  "cannot be combined with Partition=" },
                { { { "partitions", "yes" }, { "loop", "yes" } },
                  -EINVAL,
                  "cannot be combined with Loop=" },
                { { { "partitions", "yes" } }, -EINVAL, "needs MountPoint=, a folder" },
                { { { "growable", "yes" } }, -EINVAL, "Growable=yes (--growable) needs" },
                { { { "snapshot", "s" }, { "writable", "yes" } },
                  -EINVAL,
                  "a snapshot is read-only" },
                { { { "force-share", "1" }, { "writable", "1" } }, -EINVAL, "ForceShare=yes" },
                { { { "allowed-paths", "/a" } }, -EINVAL, "needs References=chain" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_config_ Config c;
                Err err = { "" };
                config_init(&c);
                if (i > 0)
                        assert_int_equal(config_set_option(&c, "path", "/a.qcow2", NULL), 0);
                for (int o = 0; o < 2 && cases[i].options[o][0]; o++)
                        assert_int_equal(config_set_option(&c, cases[i].options[o][0],
                                                           cases[i].options[o][1], NULL),
                                         0);
                int r = config_settle(&c, &err);
                if (r != cases[i].r || !strstr(err.text, cases[i].text))
                        fail_msg("case %zu: %d '%s'", i, r, err.text);
        }
}

static void test_options_can_be_listed(void **state)
{
        ConfigOption o;
        bool saw_writable = false, saw_format = false;

        for (size_t i = 0; config_get_option(i, &o); i++) {
                assert_non_null(o.doc);
                assert_non_null(o.value);
                if (strcmp(o.name, "writable") == 0)
                        saw_writable = !o.needs_value && !o.is_path;
                if (strcmp(o.name, "format") == 0)
                        saw_format = o.needs_value && !o.is_path;
                assert_string_not_equal(o.name, "automatic");
        }
        assert_true(saw_writable && saw_format);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_settling),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_options_can_be_listed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
