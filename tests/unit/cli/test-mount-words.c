/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/mount-words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* All words of `text`, each behind a '|'. */
static int join_words(const char *text, char *ret)
{
        char *word = malloc(strlen(text) + 1);
        int r;

        assert_non_null(word);
        ret[0] = '\0';
        while ((r = mount_words_next(&text, word)) > 0)
                strcat(strcat(ret, "|"), word);
        free(word);
        return r;
}

static void test_words(void **state)
{
        static const struct {
                const char *text, *words;
                int result;
        } cases[] = {
                { "", "", 0 },
                { ",,", "", 0 },
                { "ro", "|ro", 0 },
                { "ro,format=qcow2", "|ro|format=qcow2", 0 },
                { ",ro,,rw,", "|ro|rw", 0 },
                { "snapshot=a\\,b,ro", "|snapshot=a,b|ro", 0 },
                { "snapshot=\"a,b\",ro", "|snapshot=a,b|ro", 0 },
                { "snapshot=\"a\\\"b\"", "|snapshot=a\"b", 0 },
                { "snapshot=a\\\\,ro", "|snapshot=a\\|ro", 0 },
                { "a\\", "|a\\", 0 },
                { "snapshot=\"\",ro", "|snapshot=|ro", 0 },
                { "ro,snapshot=\"a,b", "|ro", -EINVAL },
                { "\"", "", -EINVAL },
        };
        char got[256];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int r = join_words(cases[i].text, got);
                if (r != cases[i].result || strcmp(got, cases[i].words) != 0)
                        fail_msg("'%s': %d '%s'", cases[i].text, r, got);
        }
}

/* What mount(8) of util-linux 2.38 and mount.fuse3 3.14 were seen to hand on, and what interfaces promise. */
static void test_ignored(void **state)
{
        static const char *const ignored[] = {
                "dev",         "suid",          "exec",
                "nodev",       "nosuid",        "noexec",
                "_netdev",     "nofail",        "auto",
                "noauto",      "user",          "users",
                "owner",       "group",         "comment",
                "relatime",    "noatime",       "defaults",
                "x-gvfs-hide", "X-mount.mkdir", "default_permissions",
                "fsname",      "subtype",
        };
        static const char *const ours[] = {
                "",       "ro",      "rw",        "format",      "allow_other", "allow-other",
                "sync",   "remount", "offset",    "loop",        "x",           "xattr",
                "owners", "nofai",   "partition", "view-offset", "writable",    "Owner",
        };

        for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
                if (!mount_word_is_ignored(ignored[i], false))
                        fail_msg("'%s' is not ignored", ignored[i]);
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
                if (mount_word_is_ignored(ours[i], false))
                        fail_msg("'%s' is ignored", ours[i]);
        assert_true(mount_word_is_ignored("user", true));
        assert_true(mount_word_is_ignored("comment", true));
        assert_false(mount_word_is_ignored("owner", true));
        assert_false(mount_word_is_ignored("group", true));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_ignored),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
