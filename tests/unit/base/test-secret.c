/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t pos);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t pos);
int __real_munmap(void *p, size_t len);
int __wrap_munmap(void *p, size_t len);

static bool locking_is_refused;
static int refusals;

void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t pos)
{
        if (locking_is_refused && flags & MAP_LOCKED) {
                refusals++;
                return MAP_FAILED;
        }
        return __real_mmap64(at, len, prot, flags, fd, pos);
}

/* What is given back holds nothing. */
static size_t given_back;
static bool was_wiped;

int __wrap_munmap(void *p, size_t len)
{
        given_back = len;
        was_wiped = true;
        for (size_t i = 0; i < len; i++)
                was_wiped = was_wiped && ((uint8_t *)p)[i] == 0;
        return __real_munmap(p, len);
}

/* The kernel's flags of the mapping in which `p` lies: "rd wr … lo … wf dd". */
static void find_flags(const void *p, char ret[512])
{
        char line[512];
        bool inside = false;
        FILE *f = fopen("/proc/self/smaps", "re");

        ret[0] = '\0';
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                unsigned long start, end;
                if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
                        inside = (unsigned long)p >= start && (unsigned long)p < end;
                else if (inside && strncmp(line, "VmFlags:", 8) == 0)
                        strcpy(ret, line + 8);
        }
        fclose(f);
}

static void test_its_pages_are_kept_apart(void **state)
{
        _cleanup_secret_ Secret *s = secret_new();
        char flags[512];

        assert_non_null(s);
        assert_int_equal(s->len, 0);
        find_flags(s, flags);
        if (!strstr(flags, " dd") || !strstr(flags, " wf"))
                fail_msg("flags%s", flags);
        /* Where the limit of locked memory permits, as it does for root. */
        if (geteuid() == 0 && !strstr(flags, " lo"))
                fail_msg("flags%s", flags);
}

static void test_it_is_wiped(void **state)
{
        Secret *s = secret_new();

        s->len = SECRET_MAX;
        memset(s->bytes, 'x', SECRET_MAX);
        was_wiped = false;
        s = secret_free(s);
        assert_null(s);
        assert_int_equal(given_back, sizeof(Secret));
        assert_true(was_wiped);
        assert_null(secret_free(NULL));
        {
                _cleanup_secret_ Secret *local = secret_new();
                local->bytes[0] = 'x';
                given_back = 0;
        }
        assert_int_equal(given_back, sizeof(Secret));
        assert_true(was_wiped);
}

static void test_memory_that_cannot_be_locked(void **state)
{
        locking_is_refused = true;
        _cleanup_secret_ Secret *s = secret_new();
        locking_is_refused = false;

        assert_int_equal(refusals, 1);
        assert_non_null(s);
        s->bytes[SECRET_MAX - 1] = 'x';
}

static void test_a_child_has_none(void **state)
{
        _cleanup_secret_ Secret *s = secret_new();
        int status = -1;

        s->bytes[7] = 'x';
        pid_t pid = fork();
        if (pid == 0)
                _exit(s->bytes[7]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(s->bytes[7], 'x');
}

static void test_the_last_byte(void **state)
{
        static const struct {
                const char *text;
                bool newline;
        } cases[] = {
                { "", false }, { "a", false }, { "a\n", true }, { "\n", true }, { "a\nb", false }
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_secret_ Secret *s = secret_new();
                s->len = strlen(cases[i].text);
                memcpy(s->bytes, cases[i].text, s->len);
                assert_int_equal(secret_ends_with_newline(s), cases[i].newline);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_its_pages_are_kept_apart),
                cmocka_unit_test(test_it_is_wiped),
                cmocka_unit_test(test_memory_that_cannot_be_locked),
                cmocka_unit_test(test_a_child_has_none),
                cmocka_unit_test(test_the_last_byte),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
