/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/value.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Options and what they set; `text` must stand in the error. */
typedef struct Case {
        const char *option, *value;
        int r;
        const char *text;
} Case;

static const Case refused[] = {
        { "path", "relative.qcow2", -EINVAL, "absolute path" },
        { "format", "qcow2 ", -EINVAL, "format: 'qcow2 ' is not a name" },
        { "writable", "maybe", -EINVAL, "yes, no, true, false, on, off, 1, 0" },
        { "writable", "2", -EINVAL, "writable: '2' is not a boolean" },
        { "cache-size", "1X", -EINVAL, "K, M, G or T" },
        { "cache-size", "5", -EINVAL, "allowed are 1M to 64G" },
        { "cache-size", "65G", -EINVAL, "'65G' is out of range" },
        { "cache-size", "999999999999999999999", -EINVAL, "out of range" },
        { "cache-size", "-1", -EINVAL, "is not a size" },
        { "allow-other", "perhaps", -EINVAL, "allowed are auto, yes, no" },
        { "references", "all", -EINVAL, "allowed are none, directory, chain, any" },
        { "mode", "0800", -EINVAL, "octal digits up to 0777" },
        { "mode", "7777", -EINVAL, "is not a file mode" },
        { "mode", "rw", -EINVAL, "is not a file mode" },
        { "owner", "nobody-of-this-name", -EINVAL, "there is no user" },
        { "owner", "4294967295", -EINVAL, "there is no user" },
        { "group", "nobody-of-this-name", -EINVAL, "there is no group" },
        { "allowed-paths", "/a b", -EINVAL, "'b' is not an absolute path" },
        { "allowed-paths", "\"/a", -EINVAL, "is not closed" },
        { "no-such-option", "1", -ENOENT, "there is no option 'no-such-option'" },
        { "automatic", "yes", -ENOENT, "there is no option" },
        { "format", NULL, -EINVAL, "format: a value is missing" },
};

static void test_wrong_values_say_what_is_allowed(void **state)
{
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
                const Case *c = &refused[i];
                _cleanup_config_ Config config;
                Err err = { "" };
                config_init(&config);
                int r = config_set_option(&config, c->option, c->value, &err);
                if (r != c->r || !strstr(err.text, c->text))
                        fail_msg("%s=%s: %d '%s'", c->option, c->value ? c->value : "(none)", r,
                                 err.text);
        }
}

/* For who cannot wait for a user database. */
static void test_users_that_are_not_looked_up(void **state)
{
        _cleanup_config_ Config config;

        config_init(&config);
        config.without_users = true;
        assert_int_equal(config_set_option(&config, "owner", "nobody-of-this-name", NULL), 0);
        assert_int_equal(config_set_option(&config, "group", "nobody-of-this-name", NULL), 0);
        assert_int_equal(config_set_option(&config, "mode", "0640", NULL), 0);
        assert_false(config.has_owner);
        assert_false(config.has_group);
        assert_true(config.has_mode);
}

static void test_booleans(void **state)
{
        static const struct {
                const char *text;
                bool is;
        } words[] = { { "yes", true }, { "no", false },  { "true", true }, { "False", false },
                      { "ON", true },  { "off", false }, { "1", true },    { "0", false },
                      { NULL, true },  { "", false } };

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                _cleanup_config_ Config c;
                config_init(&c);
                c.writable = !words[i].is;
                assert_int_equal(config_set_option(&c, "writable", words[i].text, NULL), 0);
                assert_int_equal(c.writable, words[i].is);
        }
}

static void test_numbers_and_names(void **state)
{
        _cleanup_config_ Config c;
        config_init(&c);

        assert_int_equal(config_set_option(&c, "cache-size", "64M", NULL), 0);
        assert_int_equal(c.cache_size, 64 << 20);
        assert_int_equal(config_set_option(&c, "mode", "0640", NULL), 0);
        assert_int_equal(c.mode, 0640);
        assert_true(c.has_mode);
        assert_int_equal(config_set_option(&c, "owner", "root", NULL), 0);
        assert_true(c.has_owner && c.owner == 0);
        assert_int_equal(config_set_option(&c, "owner", "4242", NULL), 0);
        assert_int_equal(c.owner, 4242);
        assert_int_equal(config_set_option(&c, "group", "17", NULL), 0);
        assert_true(c.has_group && c.group == 17);
        assert_int_equal(config_set_option(&c, "owner", "", NULL), 0);
        assert_false(c.has_owner);
        assert_int_equal(config_set_option(&c, "allow_other", "no", NULL), 0);
        assert_int_equal(c.allow_other, CONFIG_NO);
        assert_int_equal(config_set_option(&c, "references", "any", NULL), 0);
        assert_int_equal(config_set_option(&c, "references", "", NULL), 0);
        assert_int_equal(c.references, REFERENCES_DIRECTORY);
        assert_int_equal(config_set_option(&c, "format", "qcow2", NULL), 0);
        assert_string_equal(c.format, "qcow2");
        assert_int_equal(config_set_option(&c, "format", "auto", NULL), 0);
        assert_null(c.format);
}

static void test_lists_append_and_reset(void **state)
{
        _cleanup_config_ Config c;
        config_init(&c);

        assert_int_equal(config_set_option(&c, "allowed-paths", " /a  '/b c' ", NULL), 0);
        assert_int_equal(config_set_option(&c, "allowed-paths", "/d\\ e \"/f\"", NULL), 0);
        assert_string_equal(c.allowed_paths[0], "/a");
        assert_string_equal(c.allowed_paths[1], "/b c");
        assert_string_equal(c.allowed_paths[2], "/d e");
        assert_string_equal(c.allowed_paths[3], "/f");
        assert_null(c.allowed_paths[4]);

        /* One wrong word changes nothing. */
        assert_int_equal(config_set_option(&c, "allowed-paths", "/g h", NULL), -EINVAL);
        assert_null(c.allowed_paths[4]);
        assert_int_equal(config_set_option(&c, "allowed-paths", "", NULL), 0);
        assert_null(c.allowed_paths);
        assert_int_equal(config_set_option(&c, "allowed-paths", " \t ", NULL), 0);
        assert_null(c.allowed_paths);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_wrong_values_say_what_is_allowed),
                cmocka_unit_test(test_users_that_are_not_looked_up),
                cmocka_unit_test(test_booleans),
                cmocka_unit_test(test_numbers_and_names),
                cmocka_unit_test(test_lists_append_and_reset),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
