/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/describe.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char *print(const Config *c, const char *name, DescribeShape shape)
{
        static char file[] = "/etc/rawview/a\nb.image", drop_in[] = "/run/rawview/\xff.conf";
        char *files[] = { file, drop_in, NULL };
        char *text = NULL;
        size_t len = 0;

        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        int r = describe_print(out, name, c, &(Descriptor){ files }, shape);
        fclose(out);
        assert_int_equal(r, 0);
        return text;
}

static void expect(const char *text, const char *part)
{
        if (!strstr(text, part))
                fail_msg("no '%s' in:\n%s", part, text);
}

static void set_all(Config *c)
{
        static const char *const options[][2] = {
                { "path", "/a \"b\\c\x1b\xc3\xa4\xff\xe2\x80\xae" },
                { "allowed-paths", "/x '/y z'" },
                { "allowed-paths", "/q\\\"" },
                { "writable", NULL },
                { "mode", "0640" },
                { "owner", "17" },
                { "cache-size", "32M" },
                { "references", "chain" },
        };

        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
                assert_int_equal(config_set_option(c, options[i][0], options[i][1], NULL), 0);
}

static void test_json(void **state)
{
        static const char *const parts[] = {
                "{\n  \"name\": \"a\\u000ab\",\n  \"files\": [\"/etc/rawview/a\\u000ab.image\", "
                "\"/run/rawview/\\ufffd.conf\"],\n  \"settings\": [\n    {\"section\": \"Image\", "
                "\"key\": \"Path\", \"value\": \"/a \\\"b\\\\c\\u001b\xc3\xa4\\ufffd\\u202e\", "
                "\"sources\": [\"--path\"]},\n",
                "\"key\": \"Format\", \"value\": \"auto\", \"sources\": []},\n",
                "\"key\": \"Snapshot\", \"value\": null, \"sources\": []},\n",
                "\"value\": [\"/x\", \"/y z\", \"/q\\\"\"], \"sources\": [\"--allowed-paths\",",
                "\"--allowed-paths\", \"--allowed-paths\"]},\n",
                "\"key\": \"Writable\", \"value\": true,",
                "\"key\": \"Growable\", \"value\": false,",
                "\"key\": \"Owner\", \"value\": \"17\",",
                "\"key\": \"Group\", \"value\": null,",
                "\"key\": \"Mode\", \"value\": \"0640\",",
                "\"key\": \"CacheSize\", \"value\": 33554432,",
                "\"key\": \"Automatic\", \"value\": false, \"sources\": []},\n",
                "\"key\": \"NoFail\", \"value\": false, \"sources\": []}\n  ]\n}\n",
        };
        _cleanup_config_ Config c;

        config_init(&c);
        set_all(&c);
        _cleanup_free_ char *text = print(&c, "a\nb", DESCRIBE_JSON);
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
                expect(text, parts[i]);

        _cleanup_free_ char *nameless = print(&c, NULL, DESCRIBE_JSON);
        expect(nameless, "{\n  \"name\": null,\n");
}

static void test_human(void **state)
{
        static const char *const parts[] = {
                "# /etc/rawview/a?b.image\n# /run/rawview/?.conf\n[Image]\nPath=/a \"b\\c?\xc3\xa4??",
                "\nFormat=auto                             default\n",
                "\nSnapshot=                               default\n",
                "\nReferences=chain                        --references\n",
                "\nAllowedPaths=/x /y\\ z /q\\\"              --allowed-paths, --allowed-paths\n",
                "\n\n[View]\nMountPoint=",
                "\nWritable=yes                            --writable\n",
                "\nOwner=17                                --owner\n",
                "\nMode=0640                               --mode\n",
                "\nCacheSize=32M                           --cache-size\n",
                "\n\n[Install]\nAutomatic=no                            default\nNoFail=no                               default\n",
        };
        _cleanup_config_ Config c;

        config_init(&c);
        set_all(&c);
        _cleanup_free_ char *text = print(&c, "web", DESCRIBE_HUMAN);
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
                expect(text, parts[i]);
}

static void test_a_full_disk_is_an_error(void **state)
{
        _cleanup_config_ Config c;

        config_init(&c);
        FILE *out = fopen("/dev/full", "we");
        if (!out)
                skip();
        int r = describe_print(out, "web", &c, &(Descriptor){ NULL }, DESCRIBE_HUMAN);
        fclose(out);
        assert_int_equal(r, -ENOSPC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_human),
                cmocka_unit_test(test_a_full_disk_is_an_error),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
