/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/limits.h"
#include "block/name.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_names_that_mean_a_file(void **state)
{
        static const struct {
                const char *name, *path, *format;
        } cases[] = {
                { "base.qcow2", "base.qcow2", NULL },
                { "../x/base", "../x/base", NULL },
                { "/var/lib/a:b", "/var/lib/a:b", NULL },
                { "./a:b", "./a:b", NULL },
                { "file:base", "base", NULL },
                { "file:///abs", "///abs", NULL },
                { "file:a:b", "a:b", NULL },
                { "json", "json", NULL },
                { "a\nb", "a\nb", NULL },
                { "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"x\"}}",
                  "x", "qcow2" },
                { "json:{ \"file\" : { \"filename\":\"nbd:x\" , \"driver\":\"file\" }, "
                  "\"driver\":\"raw\" }",
                  "nbd:x", "raw" },
                { "json:{\"driver\":\"raw\",\"file.filename\":\"x\",\"file.driver\":\"file\"}", "x",
                  "raw" },
                { "json:{\"file.filename\":\"x\"}", "x", NULL },
                { "json:{\"driver\":\"file\",\"filename\":\"a/b\"}", "a/b", NULL },
                { "json:{\"driver\":\"host_device\",\"filename\":\"/dev/vg/a\"}", "/dev/vg/a",
                  NULL },
                { "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"host_device\",\"filename\":\"/d\"}}",
                  "/d", "raw" },
                { "json:{\"driver\":\"\\u0071cow2\",\"file\":{\"filename\":\"\\u00e9\"}}",
                  "\xc3\xa9", "qcow2" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                FileName f = { 0 };
                Err err = { "" };
                if (file_name_parse(cases[i].name, &f, &err) < 0)
                        fail_msg("%s: %s", cases[i].name, err.text);
                assert_string_equal(f.path, cases[i].path);
                if (cases[i].format)
                        assert_string_equal(f.format, cases[i].format);
                else
                        assert_null(f.format);
                file_name_done(&f);
                assert_null(f.path);
        }
}

static void test_names_that_are_refused(void **state)
{
        static const struct {
                const char *name;
                int result;
                const char *text;
        } cases[] = {
                { "", -EBADMSG, "the name is empty" },
                { "file:", -EBADMSG, "the name is empty" },
                { "nbd:localhost:10809", -EOPNOTSUPP, "protocol 'nbd:' is not a local file" },
                { "http://h/x", -EOPNOTSUPP, "protocol 'http:' is not a local file" },
                { "a:b/c", -EOPNOTSUPP, "protocol 'a:' is not a local file" },
                { ":x", -EOPNOTSUPP, "protocol ':' is not a local file" },
                { "JSON:{}", -EOPNOTSUPP, "protocol 'JSON:' is not a local file" },
                { "json:", -EBADMSG, "what follows json: is not a JSON object" },
                { "json:{", -EBADMSG, "what follows json: is not a JSON object" },
                { "json:[]", -EBADMSG, "what follows json: is not a JSON object" },
                { "json:\"x\"", -EBADMSG, "what follows json: is not a JSON object" },
                { "json:{\"driver\":\"file\",\"filename\":\"x\"}}", -EBADMSG,
                  "what follows json: is not a JSON object" },
                { "json:{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}", -EBADMSG,
                  "what follows json: is not a JSON object" },
                { "json:{}", -EOPNOTSUPP, "a json: name gives no 'filename'" },
                { "json:{\"driver\":\"qcow2\"}", -EOPNOTSUPP, "a json: name gives no 'filename'" },
                { "json:{\"driver\":\"file\"}", -EOPNOTSUPP, "a json: name gives no 'filename'" },
                { "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\"}}", -EOPNOTSUPP,
                  "a json: name gives no 'filename'" },
                { "json:{\"driver\":\"nbd\",\"host\":\"x\"}", -EOPNOTSUPP,
                  "a json: name with 'host' in it does not mean a local file alone" },
                { "json:{\"driver\":\"raw\",\"offset\":512,\"file\":{\"driver\":\"file\"}}",
                  -EOPNOTSUPP,
                  "a json: name with 'offset' in it does not mean a local file alone" },
                { "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"nbd\",\"path\":\"x\"}}",
                  -EOPNOTSUPP,
                  "a json: name with 'file.path' in it does not mean a local file alone" },
                { "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"https\",\"filename\":\"x\"}}",
                  -EOPNOTSUPP, "driver 'https' in a json: name does not mean a local file" },
                { "json:{\"driver\":\"qcow2\",\"filename\":\"x\"}", -EOPNOTSUPP,
                  "driver 'qcow2' in a json: name does not mean a local file" },
                { "json:{\"driver\":\"qcow2\",\"file\":\"node0\"}", -EOPNOTSUPP,
                  "'file' in a json: name is not an object" },
                { "json:{\"driver\":7}", -EOPNOTSUPP, "'driver' in a json: name is not a string" },
                { "json:{\"driver\":\"file\",\"filename\":\"a\\u0000b\"}", -EBADMSG,
                  "'filename' in a json: name has a zero byte in it" },
                { "json:{\"file.filename\":\"x\",\"file\":{\"filename\":\"y\"}}", -EBADMSG,
                  "a json: name gives 'filename' twice" },
                { "json:{\"driver\":\"file\",\"filename\":\"x\",\"file.filename\":\"y\"}", -EBADMSG,
                  "a json: name gives two files" },
                { "json:{\"driver\":\"file\",\"filename\":\"\"}", -EBADMSG, "the name is empty" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                FileName f = { 0 };
                Err err = { "" };
                int r = file_name_parse(cases[i].name, &f, &err);
                if (r != cases[i].result || strcmp(err.text, cases[i].text) != 0)
                        fail_msg("%s: %d, %s", cases[i].name, r, err.text);
                assert_null(f.path);
                assert_null(f.format);
        }
}

static void test_length_has_a_limit(void **state)
{
        char name[LIMIT_NAME_LEN + 2];
        FileName f = { 0 };
        Err err = { "" };

        memset(name, 'x', sizeof(name));
        name[LIMIT_NAME_LEN + 1] = '\0';
        assert_int_equal(file_name_parse(name, &f, &err), -EFBIG);
        assert_string_equal(err.text, "the name is 1024 bytes long; the limit is 1023");
        name[LIMIT_NAME_LEN] = '\0';
        assert_int_equal(file_name_parse(name, &f, &err), 0);
        assert_int_equal(strlen(f.path), LIMIT_NAME_LEN);
        file_name_done(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_that_mean_a_file),
                cmocka_unit_test(test_names_that_are_refused),
                cmocka_unit_test(test_length_has_a_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
