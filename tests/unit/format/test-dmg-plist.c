/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/dmg/dmg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was visited, one after the other with a '|' behind each. */
static int collect(void *arg, DmgSource *table, Err *err)
{
        char *seen = arg;

        assert_true(table->is_text);
        size_t len = (size_t)(table->end - table->at);
        if (len == 1 && table->at[0] == '!')
                return err_set(err, EDOM, "no more");
        strncat(seen, (const char *)table->at, len);
        strcat(seen, "|");
        return 0;
}

#define PLIST(inside)                                                              \
        "<plist><dict><key>resource-fork</key><dict><key>blkx</key><array>" inside \
        "</array></dict></dict></plist>"
#define ENTRY(inside) "<dict><key>Data</key><data>" inside "</data></dict>"

typedef struct Case {
        const char *text;
        int r;
        const char *seen, *words;
} Case;

static const Case cases[] = {
        { PLIST(""), 0, "", NULL },
        { PLIST(ENTRY("QQ==")), 0, "QQ==|", NULL },
        { PLIST(ENTRY("a") "<!-- - -- ->" ENTRY("b")), -EBADMSG, "a|", "comment has no end" },
        { PLIST(ENTRY("a") "<!-- - -> > -->" ENTRY("b")), 0, "a|b|", NULL },
        { PLIST(ENTRY("")), 0, "|", NULL },
        { PLIST("<dict/>"), -EBADMSG, "", "is no <dict>" },
        { PLIST("<dict></dict>" ENTRY("a")), 0, "a|", NULL },
        { PLIST("<dict><key>Data</key><data>a</data><key>Data</key><data>b</data></dict>"), 0,
          "a|b|", NULL },
        { PLIST("<dict><key>ID</key><string>0</string><key>Data</key><data>a</data></dict>"), 0,
          "a|", NULL },
        { PLIST("<dict><key>x</key><string/><key>Data</key><data>a</data></dict>"), 0, "a|", NULL },
        { PLIST("<dict><key>x</key><a><b><c/></b></a><key>Data</key><data>a</data></dict>"), 0,
          "a|", NULL },
        { PLIST("<dict><key>x</key><a><b><c></b></a></dict>"), -EBADMSG, "", "property list" },
        { PLIST("<dict><key>Data</key><data>a<b></data></dict>"), -EBADMSG, "", "no </data>" },
        { PLIST("<dict><key>Data</key></dict>"), -EBADMSG, "", "no <data>" },
        { PLIST("<dict><key>Da<!-- -->ta</key></dict>"), -EBADMSG, "", "comment" },
        { PLIST(ENTRY("a") ENTRY("!") ENTRY("b")), -EDOM, "a|", "no more" },
        { "<plist\n version='1.0' ><dict ><key\t>resource-fork</key ><dict><key>blkx</key><array>" ENTRY(
                  "a") "</array>",
          0, "a|", NULL },
        { "", -EBADMSG, "", "no <plist>" },
        { "<", -EBADMSG, "", "tag has no end" },
        { "<>", -EBADMSG, "", "no <plist>" },
        { "</>", -EBADMSG, "", "no <plist>" },
        { "<plist/>", -EBADMSG, "", "no <plist>" },
        { "<!", -EBADMSG, "", "may begin with" },
        { "<!--", -EBADMSG, "", "comment" },
        { "<!-->", -EBADMSG, "", "comment" },
        { "<?", -EBADMSG, "", "no end" },
        { "<plist><dict><key>resource-fork</key><dict><key>blkx</key><array>", -EBADMSG, "",
          "is no <dict>" },
        { "<plist><dict><key>resource-fork</key><dict><key>blk", -EBADMSG, "", "no </key>" },
        { "<plist><dict><key>a</key><b>", -EBADMSG, "", "no value" },
        { "<plist><dict><key>a</key>", -EBADMSG, "", "no value" },
};

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                char seen[256] = "";
                Err err = { "" };
                size_t len = strlen(c->text);
                /* Exactly as long, so that nobody reads further. */
                uint8_t *text = malloc(len + 1);
                assert_non_null(text);
                memcpy(text, c->text, len);
                text[len] = '>';
                int r = dmg_plist_visit(text, len, collect, seen, &err);
                free(text);
                if (r != c->r || strcmp(seen, c->seen) != 0 ||
                    (c->words && !strstr(err.text, c->words)))
                        fail_msg("%s: %d, '%s', '%s'", c->text, r, seen, err.text);
        }
}

/* However deep it is. */
static void test_deep(void **state)
{
        enum { DEEP = 100000 };
        const char *head = "<plist><dict><key>a</key>", *tail = "<key>b</key><c/></dict>";
        char *text = malloc(DEEP * 7 + 100), *at = text;
        Err err = { "" };

        assert_non_null(text);
        at = stpcpy(at, head);
        for (size_t i = 0; i < DEEP; i++)
                at = stpcpy(at, "<a>");
        for (size_t i = 0; i < DEEP; i++)
                at = stpcpy(at, "</a>");
        at = stpcpy(at, tail);
        assert_int_equal(dmg_plist_visit((uint8_t *)text, (size_t)(at - text), collect, NULL, &err),
                         -EBADMSG);
        assert_non_null(strstr(err.text, "no key 'resource-fork'"));
        free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_deep),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
