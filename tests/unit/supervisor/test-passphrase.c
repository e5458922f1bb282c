/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The folders of a user stand for those of the system, which a test cannot have: only whoever is not root looks there. */
#include "supervisor/passphrase.h"

#include "../fd-count.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test-passphrase-XXXXXX";

static const char *const places[] = { "credentials/rawview.passphrase",
                                      "etc/rawview/keys.d/web.key", "run/rawview/keys.d/web.key",
                                      "given" };

static void set_folder(const char *variable, const char *name)
{
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        setenv(variable, path, 1);
}

static int setup(void **state)
{
        static const char *const folders[] = { "credentials",        "etc", "etc/rawview",
                                               "etc/rawview/keys.d", "run", "run/rawview",
                                               "run/rawview/keys.d" };
        uid_t user = geteuid() == 0 ? 65534 : geteuid();

        if (!mkdtemp(folder) || chdir(folder) < 0 || chown(folder, user, -1) < 0 ||
            (geteuid() == 0 && setresuid(user, user, user) < 0))
                return -1;
        umask(077);
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
                if (mkdir(folders[i], 0700) < 0)
                        return -1;
        set_folder("XDG_CONFIG_HOME", "etc");
        set_folder("XDG_RUNTIME_DIR", "run");
        return fd_count_setup(state);
}

/* The topmost folder lies in root's; it is left empty there when we are not. */
static int teardown(void **state)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -rf %s/*; rmdir %s 2>/dev/null; true", folder,
                 folder);
        return system(command) != 0 ? -1 : fd_count_teardown(state);
}

static void put(const char *place, const char *text)
{
        _cleanup_close_ int fd = open(place, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void take_all(void)
{
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
                unlink(places[i]);
}

/* From the last to be looked at to the first. */
static void test_the_order(void **state)
{
        char given[PATH_MAX], from[PASSPHRASE_FROM_MAX], wanted[PASSPHRASE_FROM_MAX];
        PassphraseSources sources = { .instance = "web", .rule = PATH_RULE_KERNEL };
        Secret *s = NULL;

        set_folder("CREDENTIALS_DIRECTORY", "credentials");
        take_all();
        assert_int_equal(passphrase_find(&sources, &s, from, NULL), 0);
        assert_null(s);

        put("run/rawview/keys.d/web.key", "4");
        assert_int_equal(passphrase_find(&sources, &s, from, NULL), 1);
        assert_memory_equal(s->bytes, "4", 1);
        snprintf(wanted, sizeof(wanted), "%s/run/rawview/keys.d/web.key", folder);
        assert_string_equal(from, wanted);
        s = secret_free(s);

        put("etc/rawview/keys.d/web.key", "3");
        assert_int_equal(passphrase_find(&sources, &s, from, NULL), 1);
        assert_memory_equal(s->bytes, "3", 1);
        s = secret_free(s);

        put("credentials/rawview.passphrase", "2\n");
        assert_int_equal(passphrase_find(&sources, &s, from, NULL), 1);
        assert_int_equal(s->len, 2);
        assert_memory_equal(s->bytes, "2\n", 2);
        assert_string_equal(from, "the credential rawview.passphrase");
        s = secret_free(s);

        put("given", "1");
        snprintf(given, sizeof(given), "%s/given", folder);
        sources.key_file = given;
        assert_int_equal(passphrase_find(&sources, &s, from, NULL), 1);
        assert_memory_equal(s->bytes, "1", 1);
        snprintf(wanted, sizeof(wanted), "KeyFile=%s", given);
        assert_string_equal(from, wanted);
        s = secret_free(s);
}

static void test_what_belongs_to_another_name(void **state)
{
        char from[PASSPHRASE_FROM_MAX];
        PassphraseSources other = { .instance = "other", .rule = PATH_RULE_KERNEL };
        PassphraseSources none = { .rule = PATH_RULE_KERNEL };
        Secret *s = NULL;

        unsetenv("CREDENTIALS_DIRECTORY");
        take_all();
        put("etc/rawview/keys.d/web.key", "3");
        put("credentials/rawview.passphrase", "2");
        assert_int_equal(passphrase_find(&other, &s, from, NULL), 0);
        assert_int_equal(passphrase_find(&none, &s, from, NULL), 0);
        /* No absolute path is none. */
        setenv("CREDENTIALS_DIRECTORY", "credentials", 1);
        assert_int_equal(passphrase_find(&none, &s, from, NULL), 0);
}

/* Another one in the place of the one that was meant would be worse than none. */
static void test_nothing_is_passed_over(void **state)
{
        static const struct {
                const char *place, *text;
                int code;
        } cases[] = {
                { NULL, "KeyFile=/nowhere/key: cannot open it: No such file or directory", ENOENT },
                { "credentials/rawview.passphrase", "/credentials/rawview.passphrase: is empty",
                  EINVAL },
                { "etc/rawview/keys.d/web.key", "/etc/rawview/keys.d/web.key: is empty", EINVAL },
        };

        set_folder("CREDENTIALS_DIRECTORY", "credentials");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                PassphraseSources sources = { .key_file = cases[i].place ? NULL : "/nowhere/key",
                                              .instance = "web",
                                              .rule = PATH_RULE_KERNEL };
                char from[PASSPHRASE_FROM_MAX];
                Secret *s = NULL;
                Err err = { "" };

                take_all();
                put("run/rawview/keys.d/web.key", "4");
                if (cases[i].place)
                        put(cases[i].place, "");
                assert_int_equal(passphrase_find(&sources, &s, from, &err), -cases[i].code);
                assert_null(s);
                if (!strstr(err.text, cases[i].text))
                        fail_msg("'%s', not '%s'", err.text, cases[i].text);
        }
}

/* A folder in which others write is no place for keys. */
static void test_keys_must_be_trusted(void **state)
{
        PassphraseSources sources = { .instance = "web", .rule = PATH_RULE_KERNEL };
        char from[PASSPHRASE_FROM_MAX];
        Secret *s = NULL;

        unsetenv("CREDENTIALS_DIRECTORY");
        take_all();
        put("etc/rawview/keys.d/web.key", "3");
        assert_int_equal(chmod("etc/rawview/keys.d", 0777), 0);
        assert_int_equal(passphrase_find(&sources, &s, from, NULL), -EPERM);
        assert_int_equal(chmod("etc/rawview/keys.d", 0700), 0);
        assert_int_equal(passphrase_find(&sources, &s, from, NULL), 1);
        s = secret_free(s);
}

static void test_ways_are_told(void **state)
{
        PassphraseSources named = { .instance = "web" }, nameless = { .instance = NULL };
        char text[400];

        passphrase_explain(&named, text, sizeof(text));
        assert_non_null(strstr(text, "KeyFile="));
        assert_non_null(strstr(text, "/etc/rawview/keys.d/web.key"));
        assert_non_null(strstr(text, "LoadCredential=rawview.passphrase:FILE"));
        passphrase_explain(&nameless, text, sizeof(text));
        assert_non_null(strstr(text, "--key-file=FILE"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_order),
                cmocka_unit_test(test_what_belongs_to_another_name),
                cmocka_unit_test(test_nothing_is_passed_over),
                cmocka_unit_test(test_keys_must_be_trusted),
                cmocka_unit_test(test_ways_are_told),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
