/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/descriptor.h"

#include "base/cleanup.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Something in the made-up root. "-> x" is a link to x. */
typedef struct Thing {
        const char *path, *content;
        mode_t mode; /* 0: as it is made */
} Thing;

typedef struct Case {
        const char *name;
        Thing things[8];
        int r;
        const char *text;               /* in the error, or in the last warning */
        const char *path, *mount_point; /* of the Config */
        const char *files[6];           /* what was read */
        const char *path_sources[2];    /* of Path= */
} Case;

/* The search path is a, b, c, d; c never exists. */
static const Case cases[] = {
        { "the first folder that has it wins",
          { { "b/web.image", "[Image]\nPath=/b\n" }, { "d/web.image", "[Image]\nPath=/d\n" } },
          .path = "/b",
          .files = { "b/web.image" },
          .path_sources = { "b/web.image:2" } },
        { "the last folder is good enough",
          { { "d/web.image", "[Image]\n\nPath=/d/%i\n" } },
          .path = "/d/web",
          .files = { "d/web.image" },
          .path_sources = { "d/web.image:3" } },
        { "nothing is found",
          { { "a/other.image", "[Image]\nPath=/a\n" }, { "a/web.image.d/1.conf", "" } },
          .r = -ENOENT,
          .text = "there is no web.image in a, b, c or d" },
        { "a link to /dev/null masks what lies further back",
          { { "a/web.image", "-> /dev/null" }, { "d/web.image", "[Image]\nPath=/d\n" } },
          .r = -EINVAL,
          .text = "a/web.image: is masked (it leads to /dev/null)" },
        { "a mask further back hides nothing",
          { { "a/web.image", "[Image]\nPath=/a\n" }, { "d/web.image", "-> /dev/null" } },
          .path = "/a",
          .files = { "a/web.image" } },
        { "a link that leads nowhere is not passed over",
          { { "a/web.image", "-> /nowhere/at/all" }, { "d/web.image", "[Image]\nPath=/d\n" } },
          .r = -ENOENT,
          .text = "a/web.image: cannot open it: " },
        { "a descriptor that others may write to is not passed over",
          { { "b/web.image", "[Image]\nPath=/b\n", 0666 },
            { "d/web.image", "[Image]\nPath=/d\n" } },
          .r = -EPERM,
          .text = "b/web.image: refused: the file " },
        { "a folder that others may write to",
          { { "b/web.image", "[Image]\nPath=/b\n" }, { "b", NULL, 0777 } },
          .r = -EPERM,
          .text = "b/web.image: refused: the folder " },
        { "drop-ins of all folders by file name, after the descriptor",
          { { "b/web.image", "[Image]\nPath=/b\n[View]\nMountPoint=/b\n" },
            { "d/web.image.d/10-x.conf", "[Image]\nPath=/10\n[View]\nMountPoint=/10\n" },
            { "a/web.image.d/20-x.conf", "[Image]\nPath=/20\n" },
            { "b/web.image.d/15-x.conf", "[Image]\nPath=/15\n[View]\nMountPoint=/15\n" } },
          .path = "/20",
          .mount_point = "/15",
          .files = { "b/web.image", "d/web.image.d/10-x.conf", "b/web.image.d/15-x.conf",
                     "a/web.image.d/20-x.conf" },
          .path_sources = { "a/web.image.d/20-x.conf:2" } },
        { "of drop-ins with one name that of the first folder counts",
          { { "d/web.image", "[Image]\nPath=/d\n" },
            { "d/web.image.d/x.conf", "[Image]\nPath=/wrong\n" },
            { "a/web.image.d/x.conf", "[View]\nMountPoint=/m\n" },
            { "b/web.image.d/x.conf", "[Image]\nPath=/wrong\n" } },
          .path = "/d",
          .mount_point = "/m",
          .files = { "d/web.image", "a/web.image.d/x.conf" } },
        { "a masked drop-in, in the folder itself and further back",
          { { "d/web.image", "[Image]\nPath=/d\n" },
            { "d/web.image.d/x.conf", "[Image]\nPath=/wrong\n" },
            { "a/web.image.d/x.conf", "-> /dev/null" },
            { "a/web.image.d/y.conf", "-> /dev/null" } },
          .path = "/d",
          .files = { "d/web.image" } },
        { "what is no drop-in",
          { { "a/web.image", "[Image]\nPath=/a\n" },
            { "a/web.image.d/.x.conf", "[Image]\nPath=/wrong\n" },
            { "a/web.image.d/x.conf~", "[Image]\nPath=/wrong\n" },
            { "a/web.image.d/.conf", "[Image]\nPath=/wrong\n" },
            { "a/web.image.d/README", "nonsense" },
            { "a/other.image.d/x.conf", "[Image]\nPath=/wrong\n" } },
          .path = "/a",
          .files = { "a/web.image" } },
        { "a drop-in begins without a section",
          { { "a/web.image", "[Image]\nPath=/a\n" }, { "a/web.image.d/x.conf", "Path=/b\n" } },
          .r = -EINVAL,
          .text = "a/web.image.d/x.conf:1: Path= stands before the first section" },
        { "a wrong value in a drop-in",
          { { "a/web.image", "[Image]\nPath=/a\n" },
            { "d/web.image.d/x.conf", "[View]\n\nWritable=perhaps\n" } },
          .r = -EINVAL,
          .text = "d/web.image.d/x.conf:3: Writable: 'perhaps' is not a boolean; allowed are yes" },
        { "an unknown key in a drop-in is a warning",
          { { "a/web.image", "[Image]\nPath=/a\n" },
            { "d/web.image.d/x.conf", "[View]\nColour=red\n" } },
          .path = "/a",
          .text = "d/web.image.d/x.conf:2: unknown key 'Colour' in section [View], ignored",
          .files = { "a/web.image", "d/web.image.d/x.conf" } },
        { "a drop-in that others may write to",
          { { "a/web.image", "[Image]\nPath=/a\n" },
            { "d/web.image.d/x.conf", "[View]\nWritable=yes\n", 0666 } },
          .r = -EPERM,
          .text = "d/web.image.d/x.conf: refused: the file " },
        { "a folder of drop-ins that others may write to, so that they could mask",
          { { "a/web.image", "[Image]\nPath=/a\n" },
            { "b/web.image.d/x.conf", "-> /dev/null" },
            { "b/web.image.d", NULL, 0777 },
            { "d/web.image.d/x.conf", "[View]\nWritable=yes\n" } },
          .r = -EPERM,
          .text = "b/web.image.d/x.conf: refused: the folder " },
        { "a drop-in that leads nowhere",
          { { "a/web.image", "[Image]\nPath=/a\n" },
            { "a/web.image.d/x.conf", "-> /nowhere/at/all" } },
          .r = -ENOENT,
          .text = "a/web.image.d/x.conf: cannot open it: " },
        { "a drop-in that is a folder",
          { { "a/web.image", "[Image]\nPath=/a\n" }, { "a/web.image.d/x.conf/y", "" } },
          .r = -EINVAL,
          .text = "a/web.image.d/x.conf: is not a regular file" },
        { "a file in the place of the folder of drop-ins",
          { { "a/web.image", "[Image]\nPath=/a\n" }, { "d/web.image.d", "" } },
          .r = -ENOTDIR,
          .text = "d/web.image.d: cannot open it: " },
        { "an empty value in a drop-in resets",
          { { "a/web.image", "[Image]\nPath=/a\n[View]\nMountPoint=/m\n" },
            { "a/web.image.d/x.conf", "[View]\nMountPoint=\n" } },
          .path = "/a",
          .files = { "a/web.image", "a/web.image.d/x.conf" } },
};

static int root_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
        return remove(path);
}

/* A folder of this process, which becomes the working folder. */
static void root_make(char ret[64])
{
        strcpy(ret, "/tmp/test-descriptor.XXXXXX");
        assert_non_null(mkdtemp(ret));
        assert_int_equal(chmod(ret, 0755), 0);
        assert_int_equal(chdir(ret), 0);
        assert_int_equal(mkdir("a", 0755), 0);
        assert_int_equal(mkdir("b", 0755), 0);
        assert_int_equal(mkdir("d", 0755), 0);
}

static void root_drop(const char *root)
{
        assert_int_equal(chdir("/"), 0);
        assert_int_equal(nftw(root, root_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void root_put(const Thing *t)
{
        char parent[PATH_MAX];

        for (const char *slash = t->path; (slash = strchr(slash, '/')); slash++) {
                snprintf(parent, sizeof(parent), "%.*s", (int)(slash - t->path), t->path);
                if (mkdir(parent, 0755) < 0)
                        assert_int_equal(errno, EEXIST);
        }
        if (t->content && strncmp(t->content, "-> ", 3) == 0) {
                assert_int_equal(symlink(t->content + 3, t->path), 0);
        } else if (t->content) {
                FILE *f = fopen(t->path, "we");
                assert_non_null(f);
                fputs(t->content, f);
                assert_int_equal(fclose(f), 0);
        }
        if (t->mode)
                assert_int_equal(chmod(t->path, t->mode), 0);
}

static void warnings_keep(void *arg, const char *text)
{
        snprintf(arg, sizeof(Err), "%s", text);
}

static bool same_text(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_list(char *const *list, const char *const *expected)
{
        while (list && *list && *expected && strcmp(*list, *expected) == 0) {
                list++;
                expected++;
        }
        return (!list || !*list) && !*expected;
}

static int root_read(Config *c, Descriptor *d, Err *err)
{
        static const char *const folders[] = { "a", "b", "c", "d", NULL };

        return descriptor_read(c, folders, "web", warnings_keep, err, d, err);
}

static void case_judge(const Case *t, int r, const Config *c, const Descriptor *d, const Err *err)
{
        if (r != t->r || (t->text ? !strstr(err->text, t->text) : err->text[0] != '\0'))
                fail_msg("%s: %d '%s'", t->name, r, err->text);
        if (d->masked != (r < 0 && strstr(err->text, "is masked")))
                fail_msg("%s: masked is not told from broken", t->name);
        if (r < 0) {
                assert_null(d->files);
                return;
        }
        if (!same_text(c->path, t->path) || !same_text(c->mount_point, t->mount_point))
                fail_msg("%s: Path=%s MountPoint=%s", t->name, c->path, c->mount_point);
        if (!same_list(d->files, t->files))
                fail_msg("%s: the wrong files were read", t->name);

        ConfigSetting s = { 0 };
        assert_int_equal(config_get_setting(c, 0, &s), 1);
        assert_string_equal(s.text, t->path);
        free(s.text);
        if (t->path_sources[0] && !same_list(s.sources, t->path_sources))
                fail_msg("%s: Path= is said to come from %s", t->name,
                         s.sources ? s.sources[0] : "nowhere");
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_descriptor_ Descriptor d = { 0 };
                _cleanup_config_ Config c;
                Err err = { "" };
                char root[64];

                config_init(&c);
                root_make(root);
                for (const Thing *t = cases[i].things; t < cases[i].things + 8 && t->path; t++)
                        root_put(t);
                int r = root_read(&c, &d, &err);
                root_drop(root);
                case_judge(&cases[i], r, &c, &d, &err);
        }
}

static void test_lists_over_several_files(void **state)
{
        static const Thing things[] = {
                { "a/web.image", "[Image]\nAllowedPaths=/lost\n" },
                { "a/web.image.d/1.conf", "[Image]\nAllowedPaths=\nAllowedPaths=/b \\\n '/c d'\n" },
                { "b/web.image.d/2.conf", "[Image]\nAllowedPaths=/100%%\n" },
        };
        static const char *const paths[] = { "/b", "/c d", "/100%", NULL };
        static const char *const sources[] = { "a/web.image.d/1.conf:3", "b/web.image.d/2.conf:2",
                                               NULL };
        _cleanup_descriptor_ Descriptor d = { 0 };
        _cleanup_config_ Config c;
        ConfigSetting s = { 0 };
        Err err = { "" };
        char root[64];

        config_init(&c);
        root_make(root);
        for (size_t i = 0; i < sizeof(things) / sizeof(things[0]); i++)
                root_put(&things[i]);
        int r = root_read(&c, &d, &err);
        root_drop(root);
        assert_int_equal(r, 0);
        assert_true(same_list(c.allowed_paths, paths));
        for (size_t i = 0; config_get_setting(&c, i, &s) > 0; i++) {
                if (strcmp(s.key, "AllowedPaths") == 0) {
                        assert_true(same_list(s.sources, sources));
                        assert_string_equal(s.text, "/b /c\\ d /100%");
                }
                free(s.text);
        }
}

static void test_too_many_drop_ins(void **state)
{
        _cleanup_descriptor_ Descriptor d = { 0 };
        _cleanup_config_ Config c;
        Err err = { "" };
        char root[64], name[64];

        config_init(&c);
        root_make(root);
        root_put(&(Thing){ "a/web.image", "[Image]\nPath=/a\n" });
        for (int i = 0; i < 257; i++) {
                snprintf(name, sizeof(name), "%c/web.image.d/%d.conf", i < 100 ? 'a' : 'b', i);
                root_put(&(Thing){ name, "" });
        }
        int r = root_read(&c, &d, &err);
        root_drop(root);
        assert_int_equal(r, -E2BIG);
        assert_string_equal(err.text, "b/web.image.d: there are more than 256 drop-ins");
}

static void test_names(void **state)
{
        static const char *const good[] = { "web", "my disk", "a-b.c%d", "\xc3\xa4", "-" };
        static const char *const bad[] = { "",       ".",    "..",    ".web", "a/b",
                                           "../web", "a\nb", "a\x7f", "\xff", "a\xe2\x80\xae" };
        char name[256];

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                if (!descriptor_name_is_valid(good[i]))
                        fail_msg("'%s' is refused", good[i]);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                if (descriptor_name_is_valid(bad[i]))
                        fail_msg("'%s' is taken", bad[i]);
        memset(name, 'x', sizeof(name));
        name[239] = '\0';
        assert_true(descriptor_name_is_valid(name));
        memcpy(name + 239, "x", 2);
        assert_false(descriptor_name_is_valid(name));
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
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_lists_over_several_files),
                cmocka_unit_test(test_too_many_drop_ins),
                cmocka_unit_test(test_names),
        };
        return cmocka_run_group_tests(tests, mask_setup, NULL);
}
