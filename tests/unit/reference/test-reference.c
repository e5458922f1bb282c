/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reference/reference.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A folder of its own for the whole group:
 *   vm/web.qcow2  vm/base.qcow2  vm/sub/deep.qcow2  vm/fifo  vm/sub/
 *   vm/inside -> base.qcow2   vm/outside -> ../other/secret   vm/absolute -> ROOT/vm/base.qcow2
 *   vm/way -> ../other        vm/null -> /dev/null
 *   other/secret              link-to-other -> other */
typedef struct Tree {
        char root[PATH_MAX / 4];
        char top[PATH_MAX / 2];
} Tree;

static void tree_path(const Tree *t, const char *name, char ret[PATH_MAX])
{
        snprintf(ret, PATH_MAX, "%s/%s", t->root, name);
}

static int tree_file(const Tree *t, const char *name)
{
        char path[PATH_MAX];
        tree_path(t, name, path);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        return fd < 0 ? -1 : close(fd);
}

static int tree_link(const Tree *t, const char *to, const char *name)
{
        char path[PATH_MAX];
        tree_path(t, name, path);
        return symlink(to, path);
}

static int tree_setup(void **state)
{
        Tree *t = calloc(1, sizeof(*t));
        char path[PATH_MAX], base[PATH_MAX];

        snprintf(t->root, sizeof(t->root), "/tmp/test-reference-XXXXXX");
        if (!mkdtemp(t->root))
                return -1;
        const char *const folders[] = { "vm", "vm/sub", "other" };
        for (size_t i = 0; i < 3; i++) {
                tree_path(t, folders[i], path);
                if (mkdir(path, 0700) < 0)
                        return -1;
        }
        const char *const files[] = { "vm/web.qcow2", "vm/base.qcow2", "vm/sub/deep.qcow2",
                                      "other/secret" };
        for (size_t i = 0; i < 4; i++)
                if (tree_file(t, files[i]) < 0)
                        return -1;
        tree_path(t, "vm/fifo", path);
        tree_path(t, "vm/base.qcow2", base);
        if (mkfifo(path, 0600) < 0 || tree_link(t, "base.qcow2", "vm/inside") < 0 ||
            tree_link(t, "../other/secret", "vm/outside") < 0 ||
            tree_link(t, base, "vm/absolute") < 0 || tree_link(t, "../other", "vm/way") < 0 ||
            tree_link(t, "/dev/null", "vm/null") < 0 || tree_link(t, "other", "link-to-other") < 0)
                return -1;
        snprintf(t->top, sizeof(t->top), "%s/vm/web.qcow2", t->root);
        *state = t;
        return 0;
}

static int tree_teardown(void **state)
{
        Tree *t = *state;
        const char *const names[] = {
                "vm/web.qcow2", "vm/base.qcow2", "vm/sub/deep.qcow2", "other/secret",
                "vm/fifo",      "vm/inside",     "vm/outside",        "vm/absolute",
                "vm/way",       "vm/null",       "link-to-other",     "vm/sub",
                "vm",           "other",
        };
        char path[PATH_MAX];
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                tree_path(t, names[i], path);
                remove(path);
        }
        int r = rmdir(t->root);
        free(t);
        return r;
}

typedef struct Case {
        const char *title;
        ReferencePolicy policy;
        const char *allowed; /* beneath the root of the tree; NULL: none */
        const char *namer;   /* beneath the root */
        const char *name;    /* '@' at its start stands for the root */
        int expected;
        const char *found; /* beneath the root; or what the text must hold */
} Case;

#define WEB "vm/web.qcow2"

static const Case cases[] = {
        { "none refuses", REFERENCES_NONE, NULL, WEB, "base.qcow2", -EACCES, "References=none" },
        { "beside", REFERENCES_DIRECTORY, NULL, WEB, "base.qcow2", 0, "vm/base.qcow2" },
        { "beneath", REFERENCES_DIRECTORY, NULL, WEB, "sub/deep.qcow2", 0, "vm/sub/deep.qcow2" },
        { "dots", REFERENCES_DIRECTORY, NULL, WEB, "./sub//../base.qcow2", 0, "vm/base.qcow2" },
        { "absolute beneath", REFERENCES_DIRECTORY, NULL, WEB, "@/vm/base.qcow2", 0,
          "vm/base.qcow2" },
        { "up from a namer below", REFERENCES_DIRECTORY, NULL, "vm/sub/deep.qcow2", "../base.qcow2",
          0, "vm/base.qcow2" },
        { "relative to the namer", REFERENCES_DIRECTORY, NULL, "vm/sub/deep.qcow2", "deep.qcow2", 0,
          "vm/sub/deep.qcow2" },
        { "link that stays", REFERENCES_DIRECTORY, NULL, WEB, "inside", 0, "vm/base.qcow2" },
        { "missing", REFERENCES_DIRECTORY, NULL, WEB, "nothing", -ENOENT, "No such file" },
        { "empty", REFERENCES_DIRECTORY, NULL, WEB, "", -ENOENT, "empty" },
        { "dot dot", REFERENCES_DIRECTORY, NULL, WEB, "../other/secret", -EACCES,
          "References=chain" },
        { "many dot dots", REFERENCES_DIRECTORY, NULL, WEB, "../../../../../../etc/passwd", -EACCES,
          "AllowedPaths=" },
        { "absolute outside", REFERENCES_DIRECTORY, NULL, WEB, "/etc/passwd", -EACCES,
          "References=any" },
        { "link outside", REFERENCES_DIRECTORY, NULL, WEB, "outside", -EACCES, "outside" },
        { "absolute link", REFERENCES_DIRECTORY, NULL, WEB, "absolute", -EACCES, "outside" },
        { "folder link outside", REFERENCES_DIRECTORY, NULL, WEB, "way/secret", -EACCES,
          "outside" },
        { "link to a device", REFERENCES_DIRECTORY, NULL, WEB, "null", -EACCES, "outside" },
        { "name like the folder", REFERENCES_DIRECTORY, NULL, WEB, "@/vm-not/x", -EACCES,
          "outside" },
        { "fifo", REFERENCES_DIRECTORY, NULL, WEB, "fifo", -EACCES, "a fifo" },
        { "folder", REFERENCES_DIRECTORY, NULL, WEB, "sub", -EACCES, "a folder" },
        { "magic link", REFERENCES_DIRECTORY, NULL, WEB, "/proc/self/fd/0", -EACCES, "outside" },
        { "chain: own folder", REFERENCES_CHAIN, NULL, WEB, "base.qcow2", 0, "vm/base.qcow2" },
        { "chain: not listed", REFERENCES_CHAIN, NULL, WEB, "../other/secret", -EACCES,
          "AllowedPaths=" },
        { "chain: listed, relative", REFERENCES_CHAIN, "other", WEB, "../other/secret", 0,
          "other/secret" },
        { "chain: listed, absolute", REFERENCES_CHAIN, "other", WEB, "@/other/secret", 0,
          "other/secret" },
        { "chain: listed under another name", REFERENCES_CHAIN, "link-to-other", WEB,
          "@/link-to-other/secret", 0, "other/secret" },
        { "chain: listed folder is missing", REFERENCES_CHAIN, "gone", WEB, "../other/secret",
          -EACCES, "AllowedPaths=" },
        { "directory ignores the list", REFERENCES_DIRECTORY, "other", WEB, "../other/secret",
          -EACCES, "References=directory" },
        { "any: outside", REFERENCES_ANY, NULL, WEB, "../other/secret", 0, "other/secret" },
        { "any: link outside", REFERENCES_ANY, NULL, WEB, "outside", 0, "other/secret" },
        { "any: no device", REFERENCES_ANY, NULL, WEB, "/dev/null", -EACCES, "character device" },
        { "any: no fifo", REFERENCES_ANY, NULL, WEB, "fifo", -EACCES, "a fifo" },
};

static void run_case(const Tree *t, const Case *c)
{
        char namer[PATH_MAX], name[PATH_MAX], allowed[PATH_MAX], found[PATH_MAX];
        char *folders[] = { allowed, NULL };

        tree_path(t, c->namer, namer);
        tree_path(t, c->allowed ? c->allowed : "", allowed);
        tree_path(t, c->found, found);
        snprintf(name, sizeof(name), "%s%s", c->name[0] == '@' ? t->root : "",
                 c->name + (c->name[0] == '@'));
        ReferenceRules rules = {
                .policy = c->policy,
                .allowed = c->allowed ? folders : NULL,
                .top = t->top,
        };
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *path = NULL;
        Err err = { "" };

        int r = reference_open(&rules, namer, name, false, &fd, &path, &err);
        if (r != c->expected)
                fail_msg("%s: %d, not %d (%s)", c->title, r, c->expected, err.text);
        if (r == 0 && strcmp(path, found) != 0)
                fail_msg("%s: found %s", c->title, path);
        if (r < 0 && !strstr(err.text, c->found))
                fail_msg("%s: says '%s'", c->title, err.text);
        if (r < 0 && (fd >= 0 || path))
                fail_msg("%s: touched its results", c->title);
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                run_case(*state, &cases[i]);
}

/* /vm -> /srv/vm: an image that was given as /vm/web.qcow2 names /vm/base.qcow2. */
static void test_the_folder_under_another_name(void **state)
{
        static const struct {
                const char *given, *name;
                int expected;
        } givens[] = {
                { "link-to-vm/web.qcow2", "link-to-vm/base.qcow2", 0 },
                { "link-to-vm/web.qcow2", "link-to-vm/sub/deep.qcow2", 0 },
                { "link-to-vm/web.qcow2", "link-to-vm/../other/secret", -EACCES },
                { "link-to-vm/web.qcow2", "link-to-vm/outside", -EACCES },
                { "link-to-vm/web.qcow2", "other/secret", -EACCES },
                /* The image itself was a link: the folder of the link is not its folder. */
                { "other/web-link", "other/secret", -EACCES },
                { "no-such-folder/web.qcow2", "no-such-folder/base.qcow2", -EACCES },
                { NULL, "link-to-vm/base.qcow2", -EACCES },
        };
        const Tree *t = *state;

        assert_int_equal(tree_link(t, "vm", "link-to-vm"), 0);
        for (size_t i = 0; i < sizeof(givens) / sizeof(givens[0]); i++) {
                char given[PATH_MAX], name[PATH_MAX];
                _cleanup_close_ int fd = -1;
                _cleanup_free_ char *path = NULL;
                if (givens[i].given)
                        tree_path(t, givens[i].given, given);
                tree_path(t, givens[i].name, name);
                ReferenceRules rules = {
                        .policy = REFERENCES_DIRECTORY,
                        .top = t->top,
                        .given = givens[i].given ? given : NULL,
                };
                int r = reference_open(&rules, t->top, name, false, &fd, &path, NULL);
                if (r != givens[i].expected)
                        fail_msg("%s from %s: %d", name, givens[i].given, r);
        }
        char link[PATH_MAX];
        tree_path(t, "link-to-vm", link);
        unlink(link);
}

static void test_writable_only_when_asked(void **state)
{
        const Tree *t = *state;
        ReferenceRules rules = { .policy = REFERENCES_DIRECTORY, .top = t->top };

        for (int writable = 0; writable < 2; writable++) {
                _cleanup_close_ int fd = -1;
                _cleanup_free_ char *path = NULL;
                assert_int_equal(
                        reference_open(&rules, t->top, "base.qcow2", writable, &fd, &path, NULL),
                        0);
                int flags = fcntl(fd, F_GETFL);
                assert_int_equal(flags & O_ACCMODE, writable ? O_RDWR : O_RDONLY);
                assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        }
}

static void test_what_is_a_link(void **state)
{
        static const struct {
                ReferencePolicy policy;
                const char *name;
                bool is_link;
        } links[] = {
                { REFERENCES_DIRECTORY, "inside", true },
                { REFERENCES_DIRECTORY, "base.qcow2", false },
                { REFERENCES_DIRECTORY, "sub/../inside", true },
                { REFERENCES_DIRECTORY, "missing", false },
                { REFERENCES_DIRECTORY, "way/secret", false },
                { REFERENCES_DIRECTORY, "../link-to-other", false },
                { REFERENCES_ANY, "../link-to-other", true },
                { REFERENCES_ANY, "way/secret", false },
                { REFERENCES_NONE, "inside", false },
        };
        const Tree *t = *state;

        for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
                ReferenceRules rules = { .policy = links[i].policy, .top = t->top };
                if (reference_is_link(&rules, t->top, links[i].name) != links[i].is_link)
                        fail_msg("policy %d, %s", links[i].policy, links[i].name);
        }
}

static void test_too_long_a_name(void **state)
{
        const Tree *t = *state;
        ReferenceRules rules = { .policy = REFERENCES_DIRECTORY, .top = t->top };
        char name[PATH_MAX + 10];
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *path = NULL;

        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(reference_open(&rules, t->top, name, false, &fd, &path, NULL),
                         -ENAMETOOLONG);
}

/* All files are ours; somebody else wrote the names. */
static void test_a_namer_gets_no_more_than_is_the_namers(void **state)
{
        Tree *t = *state;
        char vm[PATH_MAX], base[PATH_MAX];
        char *const allowed[] = { vm, NULL };
        static const struct {
                ReferencePolicy policy;
                bool ours;
                mode_t mode;
                bool writable;
                int r;
        } asked[] = {
                { REFERENCES_DIRECTORY, false, 0600, false, -EACCES },
                { REFERENCES_DIRECTORY, true, 0600, false, 0 },
                { REFERENCES_DIRECTORY, true, 0600, true, 0 },
                { REFERENCES_DIRECTORY, false, 0604, false, 0 },
                { REFERENCES_DIRECTORY, false, 0606, true, -EACCES },
                { REFERENCES_CHAIN, false, 0600, false, 0 },
                { REFERENCES_ANY, false, 0600, false, 0 },
        };

        tree_path(t, "vm", vm);
        tree_path(t, "vm/base.qcow2", base);
        for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
                ReferenceRules rules = {
                        .policy = asked[i].policy,
                        .allowed = allowed,
                        .top = t->top,
                        .has_namer = true,
                        .others_see = true,
                        .namer = asked[i].ours ? geteuid() : geteuid() + 1,
                };
                _cleanup_free_ char *path = NULL;
                _cleanup_close_ int fd = -1;
                Err err = { "" };
                assert_int_equal(chmod(base, asked[i].mode), 0);
                int r = reference_open(&rules, t->top, "base.qcow2", asked[i].writable, &fd, &path,
                                       &err);
                if (r != asked[i].r || (r < 0 && !strstr(err.text, "refused: it belongs to ")))
                        fail_msg("case %zu: %d '%s'", i, r, err.text);
        }
        assert_int_equal(chmod(base, 0600), 0);
}

/* Nobody gains by what root alone sees, but by what root writes. */
static void test_what_root_alone_sees(void **state)
{
        Tree *t = *state;
        ReferenceRules rules = {
                .policy = REFERENCES_DIRECTORY,
                .top = t->top,
                .has_namer = true,
                .namer = geteuid() + 1,
        };

        for (int writable = 0; writable < 2; writable++) {
                _cleanup_free_ char *path = NULL;
                _cleanup_close_ int fd = -1;
                assert_int_equal(
                        reference_open(&rules, t->top, "base.qcow2", writable, &fd, &path, NULL),
                        writable ? -EACCES : 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_the_folder_under_another_name),
                cmocka_unit_test(test_writable_only_when_asked),
                cmocka_unit_test(test_what_is_a_link),
                cmocka_unit_test(test_too_long_a_name),
                cmocka_unit_test(test_a_namer_gets_no_more_than_is_the_namers),
                cmocka_unit_test(test_what_root_alone_sees),
        };
        return cmocka_run_group_tests(tests, tree_setup, tree_teardown);
}
