/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "generator/generator.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
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

/* One descriptor "a/web.image" beside the others of the test, and what becomes of it. */
typedef struct Case {
        const char *name, *content; /* "-> x" is a link */
        bool drop_in;               /* there is one for its unit */
        const char *link;           /* of its unit, or NULL */
        const char *warning;        /* in what was logged; NULL: nothing was */
} Case;

static const Case cases[] = {
        { "not at boot", "[Image]\nPath=/x/y\n", true },
        { "at boot", "[Image]\nPath=/x/y\n[Install]\nAutomatic=yes\n", true,
          "rawview.target.requires/rawview@web.service" },
        { "at boot, whatever becomes of it",
          "[Image]\nPath=/x/y\n[Install]\nAutomatic=yes\nNoFail=yes\n", true,
          "rawview.target.wants/rawview@web.service" },
        { "masked", "-> /dev/null" },
        { "a key that nobody knows is for the service to say",
          "[Image]\nPath=/x/y\n[View]\nColour=red\n[Install]\nAutomatic=yes\n", true,
          "rawview.target.requires/rawview@web.service" },
        { "keys that exclude each other are for the service to say",
          "[Image]\nPath=/x/y\n[View]\nGrowable=yes\n[Install]\nAutomatic=yes\n", true,
          "rawview.target.requires/rawview@web.service" },
        { "an owner whom only the network knows",
          "[Image]\nPath=/x/y\n[View]\nOwner=nobody-of-this-name\n", true },
        { "no path", "[Install]\nAutomatic=yes\n", .warning = "a/web.image: Path= is missing" },
        { "broken", "[Image]\nPath=relative\n",
          .warning = "a/web.image:2: Path: 'relative' is not an absolute path" },
        { "a link that leads nowhere", "-> /nowhere/at/all",
          .warning = "a/web.image: cannot open it: " },
        { "a link that leads to itself", "-> web.image",
          .warning = "a/web.image: cannot open it: Too many levels" },
        { "a fifo", "|", .warning = "a/web.image: is not a regular file" },
        { "a folder", "/", .warning = "a/web.image: is not a regular file" },
        { "a device", "-> /dev/zero", .warning = "a/web.image: is not a regular file" },
};

static int root_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
        return remove(path);
}

static void file_make(const char *path, const char *content)
{
        if (strncmp(content, "-> ", 3) == 0) {
                assert_int_equal(symlink(content + 3, path), 0);
        } else if (*content == '|') {
                assert_int_equal(mkfifo(path, 0644), 0);
        } else if (*content == '/') {
                assert_int_equal(mkdir(path, 0755), 0);
        } else {
                FILE *f = fopen(path, "we");
                assert_non_null(f);
                fputs(content, f);
                assert_int_equal(fclose(f), 0);
        }
}

static void root_make(char ret[64])
{
        strcpy(ret, "/tmp/test-generator.XXXXXX");
        assert_non_null(mkdtemp(ret));
        assert_int_equal(chdir(ret), 0);
        assert_int_equal(mkdir("a", 0755), 0);
        assert_int_equal(mkdir("out", 0755), 0);
}

static void root_drop(const char *root)
{
        assert_int_equal(chdir("/"), 0);
        assert_int_equal(nftw(root, root_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* What is logged goes to the file "log". */
static void root_run(Generator *g)
{
        static const Scope scope = { .is_system = true,
                                     .template_file = "/lib/rawview@.service",
                                     .encrypted_stores = { "enc" },
                                     .stores = { "store" } };
        static const char *const folders[] = { "a", "b", NULL };
        _cleanup_output_ Output output = OUTPUT_NONE;
        _cleanup_close_ int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

        assert_int_equal(output_open("out", &output, NULL), 0);
        *g = (Generator){ .scope = &scope, .folders = folders, .output = &output };
        _cleanup_close_ int fd = open("log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_return_code(fd, errno);
        assert_return_code(dup2(fd, STDERR_FILENO), errno);
        int r = generator_run(g, NULL);
        assert_return_code(dup2(saved, STDERR_FILENO), errno);
        assert_int_equal(r, 0);
        g->output = NULL;
}

static void file_read(const char *path, char ret[8192])
{
        FILE *f = fopen(path, "re");
        assert_non_null(f);
        ret[fread(ret, 1, 8191, f)] = '\0';
        fclose(f);
}

static bool path_exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

static void case_judge(const Case *t)
{
        static const char *const links[] = { "rawview.target.wants/rawview@web.service",
                                             "rawview.target.requires/rawview@web.service" };
        char log[8192], path[128];

        file_read("log", log);
        if (!strstr(log, t->warning ?: "") || !t->warning != !log[0])
                fail_msg("%s: '%s' was logged", t->name, log);
        if (path_exists("out/rawview@web.service.d/50-rawview-generator.conf") != t->drop_in)
                fail_msg("%s: a drop-in", t->name);
        for (size_t i = 0; i < 2; i++) {
                snprintf(path, sizeof(path), "out/%s", links[i]);
                if (path_exists(path) != (t->link && strcmp(t->link, links[i]) == 0))
                        fail_msg("%s: %s", t->name, links[i]);
        }
        /* Whatever becomes of one, the others are served. */
        assert_true(path_exists("out/rawview@a\\x2db.service.d/50-rawview-generator.conf"));
        assert_true(path_exists("out/rawview@z\\x20z.service.d/50-rawview-generator.conf"));
}

static void test_cases(void **state)
{
        for (const Case *t = cases; t < cases + sizeof(cases) / sizeof(cases[0]); t++) {
                char root[64];
                Generator g;

                root_make(root);
                file_make("a/web.image", t->content);
                file_make("a/a-b.image", "[Image]\nPath=/x/y\n");
                file_make("a/z z.image", "[Image]\nPath=/x/y\n");
                root_run(&g);
                case_judge(t);
                root_drop(root);
        }
}

static void test_links_lead_to_the_template(void **state)
{
        char root[64], target[128] = "";
        Generator g;

        root_make(root);
        file_make("a/my disk.image", "[Image]\nPath=/x/y\n[Install]\nAutomatic=yes\n");
        root_run(&g);
        assert_return_code(readlink("out/rawview.target.requires/rawview@my\\x20disk.service",
                                    target, sizeof(target) - 1),
                           errno);
        assert_string_equal(target, "/lib/rawview@.service");
        root_drop(root);
}

static void test_passphrases(void **state)
{
        static const char *const places[] = { "", "enc/rawview.web.passphrase",
                                              "store/rawview.web.passphrase" };
        static const char *const lines[] = {
                "", "Encrypted=rawview.passphrase:enc/rawview.web",
                "LoadCredential=rawview.passphrase:store/rawview.web"
        };
        char root[64], text[8192];
        Generator g;

        for (int i = 0; i < 6; i++) {
                const char *place = places[i % 3];
                root_make(root);
                assert_int_equal(mkdir("enc", 0755), 0);
                assert_int_equal(mkdir("store", 0755), 0);
                file_make("a/web.image",
                          i < 3 ? "[Image]\nPath=/x/y\n" : "[Image]\nPath=/x/y\nKeyFile=/k/f\n");
                if (*place)
                        file_make(place, "secret");
                root_run(&g);
                file_read("out/rawview@web.service.d/50-rawview-generator.conf", text);
                if (!strstr(text, "LoadCredential") != (i == 0 || i >= 3) ||
                    (i < 3 && !strstr(text, lines[i])) || strstr(text, "secret"))
                        fail_msg("%s, %s key file: %s", place, i < 3 ? "no" : "a", text);
                root_drop(root);
        }
}

/* Many that are broken do not fill the log, and hide none that is well. */
static void test_many(void **state)
{
        char root[64], name[64], log[8192];
        unsigned lines = 0;
        Generator g;

        root_make(root);
        for (int i = 0; i < 1000; i++) {
                snprintf(name, sizeof(name), "a/%04d.image", i);
                file_make(name, i % 2 ? "[Image]\nPath=/x/y\n" : "nonsense\n");
        }
        root_run(&g);
        assert_int_equal(g.warnings, 500);
        file_read("log", log);
        for (const char *l = log; (l = strchr(l, '\n')); l++)
                lines++;
        assert_int_equal(lines, 21);
        assert_non_null(strstr(log, "480 more warnings like these are left out"));
        for (int i = 1; i < 1000; i += 2) {
                snprintf(name, sizeof(name), "out/rawview@%04d.service.d", i);
                assert_true(path_exists(name));
        }
        root_drop(root);
}

static void test_too_long_a_name(void **state)
{
        char root[64], dashes[64], name[128], log[8192];
        Generator g;

        memset(dashes, '-', 60);
        dashes[60] = '\0';
        snprintf(name, sizeof(name), "a/%s.image", dashes);
        root_make(root);
        file_make(name, "[Image]\nPath=/x/y\n[Install]\nAutomatic=yes\n");
        root_run(&g);
        file_read("log", log);
        assert_non_null(strstr(log, ".image: the name of its unit is too long"));
        assert_false(path_exists("out/rawview.target.requires"));
        root_drop(root);
}

static void test_device_units_are_found(void **state)
{
        assert_int_equal(generator_finds_device_units(), access("/sys", W_OK) == 0);
}

static int setup(void **state)
{
        umask(022);
        log_open("test", LOG_LEVEL_NOTICE);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_links_lead_to_the_template),
                cmocka_unit_test(test_passphrases),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_too_long_a_name),
                cmocka_unit_test(test_device_units_are_found),
        };
        return cmocka_run_group_tests(tests, setup, NULL);
}
