/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/safe-path.h"

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

enum {
        ALICE = 64001,
        BOB = 64002,
};

/* In the order in which it is made; what has a target is a link, what has a slash at its end a folder. A target with a
 * '=' in front is a second name of that file. */
static const struct {
        const char *name, *target;
        uid_t uid;
        gid_t gid;
        mode_t mode;
} tree[] = {
        { "secret", NULL, 0, 0, 0600 },
        { "public", NULL, 0, 0, 0644 },
        { "twice", NULL, 0, 0, 0600 },
        { "hers", NULL, ALICE, ALICE, 0600 },
        { "link", "secret", 0, 0, 0 },
        { "to-alice", "alice/disk", 0, 0, 0 },
        { "loop", "loop", 0, 0, 0 },
        { "order", NULL, 0, 0, 0644 },
        { "order-for-all", NULL, 0, 0, 0666 },
        { "order-for-group", NULL, 0, ALICE, 0664 },
        { "order-for-roots", NULL, 0, 0, 0664 },
        { "order-link", "order", 0, 0, 0 },
        { "order-by-alice", "order", ALICE, ALICE, 0 },
        { "closed/", NULL, 0, 0, 0700 },
        { "closed/hers", NULL, ALICE, ALICE, 0600 },
        { "alice/", NULL, ALICE, ALICE, 0775 },
        { "alice/disk", NULL, ALICE, ALICE, 0600 },
        { "alice/of-root", NULL, 0, 0, 0600 },
        { "alice/readable", NULL, 0, 0, 0644 },
        { "alice/of-bob", NULL, BOB, BOB, 0600 },
        { "alice/link", "disk", ALICE, ALICE, 0 },
        { "alice/out", "../secret", ALICE, ALICE, 0 },
        { "alice/out-twice", "out", ALICE, ALICE, 0 },
        { "alice/out-hers", "../hers", ALICE, ALICE, 0 },
        { "alice/out-public", "../public", ALICE, ALICE, 0 },
        { "alice/out-closed", "../closed/hers", ALICE, ALICE, 0 },
        { "alice/etc", "/etc", ALICE, ALICE, 0 },
        { "alice/of-roots", "../secret", 0, 0, 0 },
        { "alice/null", "/dev/null", ALICE, ALICE, 0 },
        { "alice/sub/", NULL, 0, 0, 0755 },
        { "alice/sub/disk", NULL, ALICE, ALICE, 0600 },
        { "alice/sub/of-root", NULL, 0, 0, 0600 },
        { "bob/", NULL, BOB, BOB, 0755 },
        { "bob/link", "../alice/disk", BOB, BOB, 0 },
        { "sticky/", NULL, 0, 0, 01777 },
        { "sticky/of-root", NULL, 0, 0, 0600 },
        { "sticky/disk", NULL, ALICE, ALICE, 0600 },
        { "sticky/link", "../secret", ALICE, ALICE, 0 },
        { "sticky/of-roots", "../secret", 0, 0, 0 },
        { "sticky/twice", "=twice", 0, 0, 0 },
        { "sticky/alice/", NULL, ALICE, ALICE, 0755 },
        { "sticky/alice/of-root", NULL, 0, 0, 0600 },
        { "shared/", NULL, 0, 0, 0777 },
        { "shared/of-root", NULL, 0, 0, 0600 },
        { "shared/disk", NULL, ALICE, ALICE, 0600 },
        { "group/", NULL, 0, ALICE, 0770 },
        { "group/of-root", NULL, 0, 0, 0600 },
        { "roots/", NULL, 0, 0, 0775 },
        { "roots/of-root", NULL, 0, 0, 0600 },
};

static int tree_make(size_t i)
{
        const char *name = tree[i].name, *target = tree[i].target;
        size_t len = strlen(name);

        if (target && target[0] == '=')
                return link(target + 1, name);
        if (target)
                return symlink(target, name) < 0 ? -1 : lchown(name, tree[i].uid, tree[i].gid);
        int r = name[len - 1] == '/' ? mkdir(name, 0700)
                                     : close(open(name, O_CREAT | O_EXCL | O_WRONLY, 0600));
        return r < 0 || chown(name, tree[i].uid, tree[i].gid) < 0 ? -1 : chmod(name, tree[i].mode);
}

static int tree_setup(void **state)
{
        char *root = strdup("/tmp/test-safe-path-XXXXXX");

        umask(022);
        if (!mkdtemp(root) || chmod(root, 0755) < 0 || chdir(root) < 0)
                return -1;
        *state = root;
        for (size_t i = 0; geteuid() == 0 && i < sizeof(tree) / sizeof(tree[0]); i++)
                if (tree_make(i) < 0)
                        return -1;
        return 0;
}

static int tree_teardown(void **state)
{
        char *root = *state;

        for (size_t i = sizeof(tree) / sizeof(tree[0]); geteuid() == 0 && i-- > 0;)
                remove(tree[i].name);
        int r = chdir("/") < 0 ? -1 : rmdir(root);
        free(root);
        return r;
}

typedef struct Case {
        const char *path;
        PathRule rule;
        PathUse use;
        int r;
        const char *text;
} Case;

static void see(const Case *c)
{
        _cleanup_close_ int fd = -1;
        Err err = { "" };
        struct stat st, reached;

        int r = safe_path_open(c->path, c->rule, c->use, NULL, &fd, &err);
        if (r != c->r || (c->text && !strstr(err.text, c->text)))
                fail_msg("%s, rule %d, use %d: %d '%s'", c->path, c->rule, c->use, r, err.text);
        if (r < 0) {
                assert_int_equal(fd, -1);
                return;
        }
        assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(c->use == PATH_COVER ? lstat(c->path, &reached) : stat(c->path, &reached),
                         0);
        assert_int_equal(st.st_ino, reached.st_ino);
}

#define OWNERS PATH_RULE_OWNERS
#define LINKS PATH_RULE_LINKS
#define KERNEL PATH_RULE_KERNEL
#define TRUSTED PATH_RULE_TRUSTED

static void test_who_is_led_where(void **state)
{
        static const Case cases[] = {
                /* Folders of root alone may lead anywhere. */
                { "secret", OWNERS, PATH_WRITE, 0, NULL },
                { "hers", OWNERS, PATH_WRITE, 0, NULL },
                { "link", OWNERS, PATH_WRITE, 0, NULL },
                { "to-alice", OWNERS, PATH_WRITE, 0, NULL },
                { "to-alice", OWNERS, PATH_COVER, 0, NULL },
                { "closed/hers", OWNERS, PATH_WRITE, 0, NULL },
                { "roots/of-root", OWNERS, PATH_WRITE, 0, NULL },
                { "/etc/passwd", OWNERS, PATH_WRITE, 0, NULL },
                { "/dev/null", OWNERS, PATH_WRITE, 0, NULL },
                { "./alice/../secret", LINKS, PATH_WRITE, 0, NULL },
                /* In a folder of alice's lies what is hers. */
                { "alice/disk", OWNERS, PATH_WRITE, 0, NULL },
                { "alice/link", OWNERS, PATH_WRITE, 0, NULL },
                { "alice//sub/./disk", OWNERS, PATH_WRITE, 0, NULL },
                { "alice/of-root", OWNERS, PATH_READ, -EPERM, "refused: it belongs to root, but" },
                { "alice/of-root", OWNERS, PATH_READ, -EPERM, "/alice, on the way to it, to user" },
                { "alice/of-bob", OWNERS, PATH_READ, -EPERM, "it belongs to user 64002" },
                { "alice/sub/of-root", OWNERS, PATH_READ, -EPERM, "/alice, on the way" },
                { "alice/readable", OWNERS, PATH_READ, 0, NULL },
                { "alice/readable", OWNERS, PATH_WRITE, -EPERM, "belongs to root" },
                { "alice/readable", OWNERS, PATH_COVER, -EPERM, "belongs to root" },
                { "alice/of-roots", OWNERS, PATH_READ, -EPERM, "/alice, on the way" },
                { "alice/../secret", OWNERS, PATH_READ, 0, NULL },
                /* Root who names it by hand may have put it there. */
                { "alice/of-root", LINKS, PATH_WRITE, 0, NULL },
                { "alice/of-bob", LINKS, PATH_WRITE, 0, NULL },
                { "alice/of-roots", LINKS, PATH_WRITE, 0, NULL },
                /* A link of hers leads to what is hers. */
                { "alice/out", OWNERS, PATH_READ, -EPERM, "it belongs to root, but the link /tmp" },
                { "alice/out", LINKS, PATH_READ, -EPERM, "/alice/out, on the way to it, to user" },
                { "alice/out-twice", LINKS, PATH_READ, -EPERM, "/alice/out-twice, on the way" },
                { "alice/out-hers", OWNERS, PATH_WRITE, 0, NULL },
                { "alice/out-hers", LINKS, PATH_WRITE, 0, NULL },
                { "alice/out-public", LINKS, PATH_READ, 0, NULL },
                { "alice/out-public", LINKS, PATH_WRITE, -EPERM, "belongs to root" },
                { "alice/out-closed", LINKS, PATH_READ, -EPERM, "/closed, which is not for every" },
                { "alice/etc/shadow", LINKS, PATH_READ, -EPERM, "belongs to root" },
                { "alice/etc/passwd", LINKS, PATH_READ, 0, NULL },
                { "alice/etc/passwd", LINKS, PATH_COVER, -EPERM, "belongs to root" },
                { "alice/null", LINKS, PATH_READ, -EPERM, "belongs to root" },
                { "bob/link", OWNERS, PATH_READ, -EPERM, "of user 64002 leads to the folder" },
                { "bob/link", LINKS, PATH_READ, -EPERM, "belongs to user 64001" },
                /* In a sticky folder things belong to who put them there. */
                { "sticky/of-root", OWNERS, PATH_WRITE, 0, NULL },
                { "sticky/disk", OWNERS, PATH_WRITE, 0, NULL },
                { "sticky/link", OWNERS, PATH_READ, -EPERM, "/sticky/link, on the way" },
                { "sticky/link", LINKS, PATH_READ, -EPERM, "/sticky/link, on the way" },
                { "sticky/of-roots", OWNERS, PATH_WRITE, 0, NULL },
                { "sticky/twice", OWNERS, PATH_READ, -EPERM, "it has 2 names" },
                { "sticky/twice", LINKS, PATH_READ, -EPERM, "it has 2 names" },
                { "twice", OWNERS, PATH_WRITE, 0, NULL },
                { "sticky/alice/of-root", OWNERS, PATH_READ, -EPERM, "/sticky/alice, on the way" },
                { "sticky/alice/of-root", LINKS, PATH_READ, 0, NULL },
                /* Where many write and there is no sticky bit, root's file may be any of root's. */
                { "shared/of-root", OWNERS, PATH_READ, -EPERM, "(mode 0777)" },
                { "shared/of-root", LINKS, PATH_READ, 0, NULL },
                { "shared/disk", OWNERS, PATH_WRITE, 0, NULL },
                { "group/of-root", OWNERS, PATH_READ, -EPERM, "(mode 0770)" },
                /* For users the kernel decides. */
                { "alice/out", KERNEL, PATH_WRITE, 0, NULL },
        };

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                see(&cases[i]);
}

static void test_orders(void **state)
{
        static const Case cases[] = {
                { "order", TRUSTED, PATH_READ, 0, NULL },
                { "order-link", TRUSTED, PATH_READ, 0, NULL },
                { "order-for-roots", TRUSTED, PATH_READ, 0, NULL },
                { "/dev/null", TRUSTED, PATH_READ, 0, NULL },
                { "sticky/of-root", TRUSTED, PATH_READ, 0, NULL },
                { "order-for-all", TRUSTED, PATH_READ, -EPERM, "to root and has mode 0666" },
                { "order-for-group", TRUSTED, PATH_READ, -EPERM, "to root and has mode 0664" },
                { "hers", TRUSTED, PATH_READ, -EPERM, "to user 64001 and has mode 0600" },
                { "order-by-alice", TRUSTED, PATH_READ, -EPERM, "the link /tmp/" },
                { "alice/readable", TRUSTED, PATH_READ, -EPERM, "alice belongs to user 64001 and" },
                { "shared/of-root", TRUSTED, PATH_READ, -EPERM, "shared belongs to root and has" },
                { "sticky/link", TRUSTED, PATH_READ, -EPERM, "sticky/link belongs to user 64001" },
        };

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                see(&cases[i]);
}

static void test_what_is_no_path(void **state)
{
        static char deep[5000];
        static const Case cases[] = {
                { "missing", LINKS, PATH_READ, -ENOENT, "No such file" },
                { "", LINKS, PATH_READ, -ENOENT, "No such file" },
                { "missing/file", OWNERS, PATH_READ, -ENOENT, "No such file" },
                { "/etc/passwd/x", OWNERS, PATH_READ, -ENOTDIR, "Not a directory" },
                { "/etc/passwd/", OWNERS, PATH_READ, -ENOTDIR, "Not a directory" },
                { "/etc/passwd/..", OWNERS, PATH_READ, -ENOTDIR, "Not a directory" },
                { "/proc/self/fd/0", OWNERS, PATH_READ, -ELOOP, "a link in /proc" },
                { "/proc/1/root/etc/passwd", LINKS, PATH_READ, -ELOOP, "a link in /proc" },
                { "/proc/1/exe", TRUSTED, PATH_READ, -ELOOP, "a link in /proc" },
                { "/", OWNERS, PATH_FOLDER, 0, NULL },
                { "/etc/", OWNERS, PATH_FOLDER, 0, NULL },
                { "/..//../etc/.", OWNERS, PATH_FOLDER, 0, NULL },
                { deep, OWNERS, PATH_READ, -ENAMETOOLONG, "too long" },
                { deep + 4000, OWNERS, PATH_READ, -ENAMETOOLONG, "too long" },
        };

        memset(deep, 'a', sizeof(deep) - 1);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (geteuid() == 0 || !strstr(cases[i].path, "/1/"))
                        see(&cases[i]);
}

static void test_links_in_a_circle(void **state)
{
        static const Case c = { "loop", OWNERS, PATH_READ, -ELOOP, "Too many levels" };

        if (geteuid() != 0)
                skip();
        see(&c);
}

/* The chooser, and the last step alone. */
static void test_the_last_step(void **state)
{
        static const struct {
                const char *folder, *name;
                PathRule rule;
                bool known;
                int r;
        } cases[] = {
                { "alice", "disk", OWNERS, false, 0 },
                { "alice", "of-root", OWNERS, false, -EPERM },
                { "alice", "of-root", LINKS, false, 0 },
                { "alice/etc", "passwd", LINKS, true, -EPERM },
                { "alice/sub", "disk", OWNERS, true, 0 },
                { "alice/sub", "of-root", OWNERS, true, -EPERM },
                { "sticky", "disk", OWNERS, false, 0 },
                { "sticky/alice", "of-root", OWNERS, true, -EPERM },
                { "sticky", "twice", LINKS, false, -EPERM },
                { "alice", "of-root", KERNEL, false, 0 },
        };

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_close_ int folder = -1, fd = -1;
                PathChooser chooser = { 0 };
                assert_int_equal(safe_path_open(cases[i].folder, cases[i].rule, PATH_FOLDER,
                                                &chooser, &folder, NULL),
                                 0);
                assert_int_equal(chooser.known, cases[i].known);
                if (chooser.known)
                        assert_int_equal(chooser.uid, ALICE);
                fd = openat(folder, cases[i].name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                int r = safe_path_check(&chooser, cases[i].rule, PATH_COVER, folder, fd, NULL);
                if (r != cases[i].r)
                        fail_msg("%s/%s: %d", cases[i].folder, cases[i].name, r);
        }
}

/* What was looked at is what gets opened. */
static void test_a_swap_gains_nothing(void **state)
{
        _cleanup_close_ int fd = -1, opened = -1;
        struct stat before, after;

        assert_int_equal(close(open("swapped", O_CREAT | O_WRONLY, 0600)), 0);
        assert_int_equal(stat("swapped", &before), 0);
        assert_int_equal(safe_path_open("swapped", OWNERS, PATH_WRITE, NULL, &fd, NULL), 0);
        assert_int_equal(unlink("swapped"), 0);
        assert_int_equal(symlink("/etc/passwd", "swapped"), 0);
        assert_int_equal(safe_path_reopen(fd, O_RDWR, &opened), 0);
        assert_int_equal(unlink("swapped"), 0);
        assert_int_equal(fstat(opened, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(fcntl(opened, F_GETFD), FD_CLOEXEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_is_led_where),
                cmocka_unit_test(test_orders),
                cmocka_unit_test(test_what_is_no_path),
                cmocka_unit_test(test_links_in_a_circle),
                cmocka_unit_test(test_the_last_step),
                cmocka_unit_test(test_a_swap_gains_nothing),
        };
        return cmocka_run_group_tests(tests, tree_setup, tree_teardown);
}
