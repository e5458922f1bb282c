/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/key-file.h"

#include "../fd-count.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/test-key-file-XXXXXX";

static int setup(void **state)
{
        return mkdtemp(folder) && chdir(folder) == 0 ? fd_count_setup(state) : -1;
}

static int teardown(void **state)
{
        static const char *const names[] = { "key", "fifo", "folder", "link" };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                remove(names[i]);
        return chdir("/") < 0 || rmdir(folder) < 0 ? -1 : fd_count_teardown(state);
}

static void write_key(const void *bytes, size_t len, mode_t mode)
{
        _cleanup_close_ int fd = open("key", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

        assert_int_equal(fchmod(fd, mode), 0);
        assert_int_equal(write(fd, bytes, len), (ssize_t)len);
}

/* With stderr going to memory, whose text is in `ret` then. */
static int read_hearing(const char *path, Secret **key, char ret[512])
{
        _cleanup_close_ int file = memfd_create("words", MFD_CLOEXEC);
        _cleanup_close_ int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);

        dup2(file, STDERR_FILENO);
        int r = key_file_read(path, PATH_RULE_LINKS, key, NULL);
        dup2(saved, STDERR_FILENO);
        ssize_t n = pread(file, ret, 511, 0);
        ret[n < 0 ? 0 : n] = '\0';
        return r;
}

static void test_it_is_taken_as_it_is(void **state)
{
        static const struct {
                const char *bytes;
                size_t len;
        } cases[] = { { "x", 1 }, { "open sesame\n", 12 }, { "\0\n\xff\0", 4 } };
        uint8_t most[SECRET_MAX];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_secret_ Secret *s = NULL;
                write_key(cases[i].bytes, cases[i].len, 0600);
                assert_int_equal(key_file_read("key", PATH_RULE_LINKS, &s, NULL), 0);
                assert_int_equal(s->len, cases[i].len);
                assert_memory_equal(s->bytes, cases[i].bytes, cases[i].len);
        }
        _cleanup_secret_ Secret *s = NULL;
        memset(most, 'm', sizeof(most));
        write_key(most, sizeof(most), 0600);
        assert_int_equal(key_file_read("key", PATH_RULE_LINKS, &s, NULL), 0);
        assert_int_equal(s->len, SECRET_MAX);
        assert_memory_equal(s->bytes, most, sizeof(most));
}

static void test_what_is_none(void **state)
{
        static const struct {
                const char *path;
                int code;
                const char *text;
        } cases[] = {
                { "missing", ENOENT, "cannot open it: No such file" },
                { "folder", EINVAL, "is no regular file" },
                { "fifo", EINVAL, "is no regular file" },
                { "/dev/zero", EINVAL, "is no regular file" },
                { "key/x", ENOTDIR, "cannot open it: Not a directory" },
        };
        uint8_t bytes[SECRET_MAX + 1] = { 0 };
        Secret *s = NULL;
        Err err = { "" };

        assert_int_equal(mkdir("folder", 0700), 0);
        assert_int_equal(mkfifo("fifo", 0600), 0);
        write_key("x", 1, 0600);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                assert_int_equal(key_file_read(cases[i].path, PATH_RULE_LINKS, &s, &err),
                                 -cases[i].code);
                if (strncmp(err.text, cases[i].text, strlen(cases[i].text)) != 0)
                        fail_msg("%s: '%s'", cases[i].path, err.text);
        }
        write_key("", 0, 0600);
        assert_int_equal(key_file_read("key", PATH_RULE_LINKS, &s, &err), -EINVAL);
        assert_string_equal(err.text, "is empty");
        write_key(bytes, sizeof(bytes), 0600);
        assert_int_equal(key_file_read("key", PATH_RULE_LINKS, &s, &err), -EFBIG);
        assert_string_equal(err.text, "holds more than 8192 bytes");
        assert_null(s);
}

static void test_one_that_is_open_to_all_is_told_of(void **state)
{
        static const struct {
                mode_t mode;
                bool told;
        } cases[] = { { 0400, false }, { 0640, false }, { 0604, true }, { 0602, true } };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_secret_ Secret *s = NULL;
                char words[512];
                write_key("hidden", 6, cases[i].mode);
                assert_int_equal(read_hearing("key", &s, words), 0);
                if ((strstr(words, "key: holds a passphrase, and is open to everybody (mode 0") !=
                     NULL) != cases[i].told)
                        fail_msg("mode %o: '%s'", cases[i].mode, words);
                assert_null(strstr(words, "hidden"));
        }
}

/* Another user's link to what is root's. */
static void test_nobody_leads_there(void **state)
{
        Secret *s = NULL;
        Err err = { "" };

        if (geteuid() != 0)
                skip();
        assert_int_equal(chmod(folder, 0711), 0);
        write_key("x", 1, 0600);
        assert_int_equal(symlink("key", "link"), 0);
        assert_int_equal(lchown("link", 1, 1), 0);
        assert_int_equal(key_file_read("link", PATH_RULE_LINKS, &s, &err), -EPERM);
        assert_non_null(strstr(err.text, "the link"));
        assert_null(s);
        assert_int_equal(key_file_read("link", PATH_RULE_KERNEL, &s, &err), 0);
        s = secret_free(s);
        assert_int_equal(chown("key", 1, 1), 0);
        assert_int_equal(key_file_read("key", PATH_RULE_TRUSTED, &s, &err), -EPERM);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_it_is_taken_as_it_is),
                cmocka_unit_test(test_what_is_none),
                cmocka_unit_test(test_one_that_is_open_to_all_is_told_of),
                cmocka_unit_test(test_nobody_leads_there),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
