/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/unit-text.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
        TEXT_MAX = 40,
        ROUNDS = 200000,
};

/* Bytes that mean something to systemd, among others, so that chance meets all of them together. */
static const char alphabet[] = "a/%\"'\\ \t\n\r=#;[]$-.:_\x7f\x01\xc3\xa4\xe2\x80\xa8\xff";

static void text_draw(uint64_t *random, char ret[TEXT_MAX])
{
        size_t len = 0;

        for (size_t count = (*random >> 40) % (TEXT_MAX - 1); len < count; len++) {
                *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                ret[len] = alphabet[(*random >> 33) % (sizeof(alphabet) - 1)];
        }
        *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ret[len] = '\0';
}

static char *text_put(void (*put)(FILE *, const char *), const char *text)
{
        char *line = NULL;
        size_t len = 0;

        FILE *out = open_memstream(&line, &len);
        assert_non_null(out);
        put(out, text);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(strlen(line), len);
        return line;
}

/* What systemd makes of it: one word, where a quote holds together and a backslash takes the next sign; then "%%". */
static bool text_read_word(const char *line, char ret[2 * TEXT_MAX])
{
        char quote = 0;

        for (; *line && (quote || !strchr(" \t", *line)); line++) {
                if (*line == quote)
                        quote = 0;
                else if (!quote && (*line == '"' || *line == '\''))
                        quote = *line;
                else if (*line == '\\' && !*++line)
                        return false;
                else if (*line == '%' && *++line != '%')
                        return false;
                else
                        *ret++ = *line;
        }
        *ret = '\0';
        return !quote && !*line;
}

static bool text_read_rest(const char *line, char ret[2 * TEXT_MAX])
{
        for (; *line; line++) {
                if (*line == '%' && *++line != '%')
                        return false;
                *ret++ = *line;
        }
        *ret = '\0';
        return true;
}

/* Whatever a value is: it stays one value on one line, and says the same. */
static void test_no_value_leaves_its_line(void **state)
{
        uint64_t random = 20261128;
        unsigned said = 0;

        for (int i = 0; i < ROUNDS; i++) {
                char text[TEXT_MAX], got[2 * TEXT_MAX];
                text_draw(&random, text);
                if (!unit_text_is_sayable(text)) {
                        assert_true(strpbrk(text, "\t\n\r\x7f\x01\xff\xc3\xe2\xa4\x80\xa8"));
                        continue;
                }
                said++;
                assert_null(strpbrk(text, "\t\n\r\x7f\x01\xff"));
                _cleanup_free_ char *word = text_put(unit_text_put_word, text);
                if (strchr(word, '\n') || !text_read_word(word, got) || strcmp(got, text) != 0)
                        fail_msg("'%s' became the word '%s'", text, word);
                _cleanup_free_ char *rest = text_put(unit_text_put, text);
                if (strchr(rest, '\n') || !text_read_rest(rest, got) || strcmp(got, text) != 0)
                        fail_msg("'%s' became the line '%s'", text, rest);
        }
        assert_in_range(said, ROUNDS / 50, ROUNDS);
}

static void test_what_can_be_said(void **state)
{
        static const char *const good[] = { "", "/a b", "/\xc3\xa4", "/%i\\x\"" };
        static const char *const bad[] = { "/a\nb", "/\r",   "/\t",       "/\x1b[2J",
                                           "/\xff", "/\xc3", "/\xc2\x85", "/\xe2\x80\xa8" };

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                assert_true(unit_text_is_sayable(good[i]));
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_false(unit_text_is_sayable(bad[i]));
}

/* `systemd-escape --path --suffix=device` says the same. */
static void test_devices(void **state)
{
        static const struct {
                const char *path, *unit;
        } cases[] = {
                { "/dev/vda", "dev-vda.device" },
                { "/dev/disk/by-id/virtio-q", "dev-disk-by\\x2did-virtio\\x2dq.device" },
                { "//dev/./vg0//a b/", "dev-vg0-a\\x20b.device" },
                { "/dev/.hidden", "dev-.hidden.device" },
                { "/.dev/x", "\\x2edev-x.device" },
                { "/dev/\xc3\xa4", "dev-\\xc3\\xa4.device" },
                { "/dev/../srv/x", NULL },
                { "/dev/..", NULL },
                { "/dev/", NULL },
                { "/dev/./", NULL },
                { "//", NULL },
                { "/dev/...", "dev-....device" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_free_ char *unit = NULL;
                Err err = { "" };
                int r = unit_text_name_device(cases[i].path, &unit, &err);
                if (r != (cases[i].unit ? 0 : -EINVAL) ||
                    (unit && strcmp(unit, cases[i].unit) != 0))
                        fail_msg("%s: %d '%s' '%s'", cases[i].path, r, unit ?: "", err.text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_value_leaves_its_line),
                cmocka_unit_test(test_what_can_be_said),
                cmocka_unit_test(test_devices),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
