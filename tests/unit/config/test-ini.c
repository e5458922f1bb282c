/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Warnings {
        unsigned count;
        char last[512];
} Warnings;

static void warnings_add(void *arg, const char *text)
{
        Warnings *w = arg;
        w->count++;
        snprintf(w->last, sizeof(w->last), "%s", text);
}

/* A file of this process, so that tests may run side by side. */
static void ini_name(char ret[64])
{
        snprintf(ret, 64, "/tmp/test-ini-%d.image", getpid());
}

static int ini_read_text(const char *text, size_t len, Config *c, Warnings *w, Err *err)
{
        char name[64];
        ini_name(name);
        FILE *f = fopen(name, "we");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, len, f), len);
        fclose(f);
        int r = config_read(c, name, "web", warnings_add, w, err);
        unlink(name);
        return r;
}

static void test_good_file(void **state)
{
        static const char text[] = "\xef\xbb\xbf# a comment\n"
                                   "; another\n"
                                   "\n"
                                   "[Image]\n"
                                   "  Path = /vm/%i.qcow2  \n"
                                   "Format=qcow2\r\n"
                                   "References=chain\n"
                                   "AllowedPaths=/a \\\n"
                                   "# between\n"
                                   "  '/b c'\n"
                                   "AllowedPaths=/100%%\n"
                                   "[View]\n"
                                   "Writable=maybe-not\n"
                                   "Writable=\n"
                                   "CacheSize=32M";
        _cleanup_config_ Config c;
        Warnings w = { 0 };
        Err err = { "" };
        config_init(&c);

        /* The wrong value is an error even where a later line resets the key. */
        assert_int_equal(ini_read_text(text, sizeof(text) - 1, &c, &w, &err), -EINVAL);
        assert_non_null(strstr(err.text, ".image:13: Writable: 'maybe-not' is not a boolean"));
        assert_string_equal(c.path, "/vm/web.qcow2");
        assert_string_equal(c.format, "qcow2");
        assert_string_equal(c.allowed_paths[0], "/a");
        assert_string_equal(c.allowed_paths[1], "/b c");
        assert_string_equal(c.allowed_paths[2], "/100%");
        assert_int_equal(w.count, 0);
}

static void test_last_line_without_newline(void **state)
{
        static const char text[] = "[View]\nCacheSize=32M";
        _cleanup_config_ Config c;
        Warnings w = { 0 };
        config_init(&c);
        assert_int_equal(ini_read_text(text, sizeof(text) - 1, &c, &w, NULL), 0);
        assert_int_equal(c.cache_size, 32 << 20);
}

static void test_continuation_at_the_end(void **state)
{
        static const char text[] = "[Image]\nPath=/a\\";
        _cleanup_config_ Config c;
        Warnings w = { 0 };
        config_init(&c);
        assert_int_equal(ini_read_text(text, sizeof(text) - 1, &c, &w, NULL), 0);
        assert_string_equal(c.path, "/a");
}

static void test_unknown_things_are_ignored_aloud(void **state)
{
        static const struct {
                const char *text, *warning;
                unsigned count;
        } cases[] = {
                { "[Image]\nPath=/a\nColour=red\n",
                  ".image:3: unknown key 'Colour' in section [Image], ignored", 1 },
                { "[Image]\nPath=/a\n[Mystery]\nA=1\nB=2\n[View]\nWritable=yes\n",
                  ".image:3: unknown section [Mystery], ignored", 1 },
                { "[Image]\nPath=/a\nMountPoint=/b\n",
                  "unknown key 'MountPoint' in section [Image], ignored", 1 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_config_ Config c;
                Warnings w = { 0 };
                Err err = { "" };
                config_init(&c);
                int r = ini_read_text(cases[i].text, strlen(cases[i].text), &c, &w, &err);
                if (r != 0 || w.count != cases[i].count || !strstr(w.last, cases[i].warning))
                        fail_msg("case %zu: %d '%s', %u warnings, last '%s'", i, r, err.text,
                                 w.count, w.last);
                assert_string_equal(c.path, "/a");
        }
}

static void test_errors_name_the_place(void **state)
{
        static const struct {
                const char *text, *message;
        } cases[] = {
                { "Path=/a\n", ".image:1: Path= stands before the first section" },
                { "[Image]\n\nnonsense\n", ".image:3: 'nonsense' is neither KEY=VALUE" },
                { "[Image\n", ".image:1: '[Image' is no section" },
                { "[]\n", "empty or too long" },
                { "[Image]\nPath=relative\n",
                  ".image:2: Path: 'relative' is not an absolute path" },
                { "[Image]\nPath=/%z\n", ".image:2: Path: specifier '%z' is unknown" },
                { "[Image]\nPath=/a%\n", "is unknown; allowed are" },
                { "[View]\nCacheSize=\\\n\\\n12\n", ".image:2: CacheSize: '12' is out of range" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_config_ Config c;
                Warnings w = { 0 };
                Err err = { "" };
                config_init(&c);
                int r = ini_read_text(cases[i].text, strlen(cases[i].text), &c, &w, &err);
                if (r != -EINVAL || !strstr(err.text, cases[i].message))
                        fail_msg("case %zu: %d '%s'", i, r, err.text);
        }
}

static void test_a_nul_byte_is_an_error(void **state)
{
        static const char text[] = "[Image]\nPath=/a\0b\n";
        _cleanup_config_ Config c;
        Warnings w = { 0 };
        Err err = { "" };
        config_init(&c);
        assert_int_equal(ini_read_text(text, sizeof(text) - 1, &c, &w, &err), -EINVAL);
        assert_non_null(strstr(err.text, ":2: the line holds a NUL byte"));
}

static void test_only_regular_files(void **state)
{
        char name[64];
        _cleanup_config_ Config c;
        Err err = { "" };
        config_init(&c);
        ini_name(name);

        assert_int_equal(config_read(&c, "/tmp", "web", NULL, NULL, &err), -EINVAL);
        assert_int_equal(config_read(&c, "/tmp/no-such.image", "web", NULL, NULL, &err), -ENOENT);
        assert_non_null(strstr(err.text, "/tmp/no-such.image: "));
        assert_int_equal(mkfifo(name, 0600), 0);
        int r = config_read(&c, name, "web", NULL, NULL, &err);
        unlink(name);
        assert_int_equal(r, -EINVAL);
}

static int ini_read_name(const char *name, Err *err)
{
        _cleanup_config_ Config c;
        config_init(&c);
        return config_read(&c, name, "web", NULL, NULL, err);
}

static void test_masked(void **state)
{
        char name[64];
        Err err = { "" };

        ini_name(name);
        assert_int_equal(symlink("/dev/null", name), 0);
        int r = ini_read_name(name, &err);
        unlink(name);
        assert_int_equal(r, 1);
        assert_string_equal(err.text, "");
}

static void test_a_large_file_is_not_read(void **state)
{
        char name[64];
        Err err = { "" };

        ini_name(name);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, 1 << 30), 0);
        close(fd);
        int r = ini_read_name(name, &err);
        unlink(name);
        assert_int_equal(r, -EFBIG);
        assert_non_null(strstr(err.text, "1073741824 bytes are too many for a descriptor"));
}

/* A file of the kernel's says that it is empty. */
static void test_a_file_that_lies_about_its_size(void **state)
{
        Err err = { "" };

        assert_int_equal(ini_read_name("/proc/meminfo", &err), -EINVAL);
        assert_non_null(strstr(err.text, "/proc/meminfo:1: "));
}

/* In one line, and in one that goes on and on. */
static void test_long_lines(void **state)
{
        static char text[300000];
        _cleanup_config_ Config c;
        Warnings w = { 0 };
        Err err = { "" };
        config_init(&c);

        memset(text, 'a', sizeof(text));
        memcpy(text, "[Image]\nPath=/", 14);
        assert_int_equal(ini_read_text(text, sizeof(text), &c, &w, &err), -EINVAL);
        assert_non_null(strstr(err.text, ".image:2: a line of more than 65536 bytes"));
        for (size_t i = 14; i + 1 < sizeof(text); i += 2)
                memcpy(text + i, "\\\n", 2);
        assert_int_equal(ini_read_text(text, sizeof(text), &c, &w, &err), -EINVAL);
        assert_non_null(strstr(err.text, ".image:2: a line of more than 65536 bytes"));
}

static void test_only_who_is_trusted_writes_it(void **state)
{
        static const struct {
                mode_t mode;
                uid_t owner; /* 0: ours */
                const char *text;
        } cases[] = {
                { 0644, 0, NULL },
                { 0600, 0, NULL },
                { 0646, 0, " and has mode 0646; it and all that leads to it must be writable by" },
                { 0644, 64001, " belongs to user 64001 and has mode 0644; it" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                char name[64];
                Err err = { "" };
                if (cases[i].owner && geteuid() != 0)
                        continue;
                ini_name(name);
                close(open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
                if (cases[i].owner)
                        assert_int_equal(chown(name, cases[i].owner, 0), 0);
                assert_int_equal(chmod(name, cases[i].mode), 0);
                int r = ini_read_name(name, &err);
                unlink(name);
                if (r != (cases[i].text ? -EPERM : 0) ||
                    (cases[i].text && !strstr(err.text, cases[i].text)))
                        fail_msg("case %zu: %d '%s'", i, r, err.text);
        }
}

/* What the tests write is for root and its owner, whoever runs them. */
static int mask_setup(void **state)
{
        umask(022);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_file),
                cmocka_unit_test(test_last_line_without_newline),
                cmocka_unit_test(test_continuation_at_the_end),
                cmocka_unit_test(test_unknown_things_are_ignored_aloud),
                cmocka_unit_test(test_errors_name_the_place),
                cmocka_unit_test(test_a_nul_byte_is_an_error),
                cmocka_unit_test(test_only_regular_files),
                cmocka_unit_test(test_masked),
                cmocka_unit_test(test_a_large_file_is_not_read),
                cmocka_unit_test(test_a_file_that_lies_about_its_size),
                cmocka_unit_test(test_long_lines),
                cmocka_unit_test(test_only_who_is_trusted_writes_it),
        };
        return cmocka_run_group_tests(tests, mask_setup, NULL);
}
