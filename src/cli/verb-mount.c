/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview mount: checks what it is told and starts rawviewd, in its place or in the background. */
#include "base/cleanup.h"
#include "base/log.h"
#include "build-config.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "config/config.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
        MOUNT_OPTIONS_MAX = 64,
        /* Values that getopt_long gives; what it gives from MOUNT_CONFIG on is an option of the table. */
        MOUNT_FOREGROUND = 256,
        MOUNT_VERSION,
        MOUNT_REQUIRE_SANDBOX,
        MOUNT_CORE_DUMPS,
        MOUNT_CONFIG,
};

typedef struct MountRequest {
        Config config;         /* only to find mistakes early */
        DaemonCommand command; /* what rawviewd gets */
        bool foreground;
        bool ended; /* --help, --version: all is done */
        struct option options[MOUNT_OPTIONS_MAX];
} MountRequest;

static void mount_request_done(MountRequest *m)
{
        config_done(&m->config);
        daemon_command_done(&m->command);
}

/* Image and mount point are words of their own here. */
static bool mount_is_word(const char *option)
{
        return strcmp(option, "path") == 0 || strcmp(option, "mount-point") == 0;
}

static void mount_fill_options(struct option *to)
{
        static const struct option own[] = {
                { "foreground", no_argument, NULL, MOUNT_FOREGROUND },
                { "daemonize", no_argument, NULL, 'd' },
                { "pidfile", required_argument, NULL, 'p' },
                { "options", required_argument, NULL, 'o' },
                { "require-sandbox", no_argument, NULL, MOUNT_REQUIRE_SANDBOX },
                { "core-dumps", no_argument, NULL, MOUNT_CORE_DUMPS },
                { "verbose", no_argument, NULL, 'v' },
                { "quiet", no_argument, NULL, 'q' },
                { "version", no_argument, NULL, MOUNT_VERSION },
                { "help", no_argument, NULL, 'h' },
        };
        size_t count = sizeof(own) / sizeof(own[0]);
        ConfigOption o;

        memcpy(to, own, sizeof(own));
        for (int i = 0; config_get_option((size_t)i, &o) && count < MOUNT_OPTIONS_MAX - 1; i++)
                if (!mount_is_word(o.name))
                        to[count++] = (struct option){
                                .name = o.name,
                                .has_arg = o.needs_value ? required_argument : optional_argument,
                                .val = MOUNT_CONFIG + i,
                        };
        to[count] = (struct option){ 0 };
}

static int mount_print_help(void)
{
        static const struct {
                const char *name, *letter;
        } letters[] = { { "format", "-f, " }, { "writable", "-w, " }, { "force-share", "-U, " } };
        ConfigOption o;

        puts("Usage: rawview mount [OPTIONS] IMAGE [MOUNTPOINT]\n"
             "\n"
             "Shows the disk in IMAGE as a raw file that covers MOUNTPOINT, an existing regular\n"
             "file; without one it covers the image itself.\n"
             "\n"
             "Options:");
        for (size_t i = 0; config_get_option(i, &o); i++) {
                const char *letter = "    ";
                char left[64];
                if (mount_is_word(o.name) || o.later)
                        continue;
                for (size_t l = 0; l < sizeof(letters) / sizeof(letters[0]); l++)
                        if (strcmp(o.name, letters[l].name) == 0)
                                letter = letters[l].letter;
                snprintf(left, sizeof(left), "%s--%s%s%s%s", letter, o.name,
                         o.needs_value ? "=" : "[=", o.value, o.needs_value ? "" : "]");
                printf("  %-28s %s\n", left, o.doc);
        }
        puts("      --foreground             stay; end when unmounted, or on SIGTERM or SIGINT\n"
             "  -d, --daemonize              return once the view is up (the default)\n"
             "  -p, --pidfile=FILE           write the process id to signal there\n"
             "  -o, --options=NAME[=VALUE],… the options above as mount(8) has them; ro, rw\n"
             "      --require-sandbox        no view when the kernel lacks a part of the sandbox\n"
             "      --core-dumps             let a crash leave a core, with pieces of the image\n"
             "  -v, --verbose                say more\n"
             "  -q, --quiet                  say nothing but errors\n"
             "      --version                the version\n"
             "  -h, --help                   this text");
        return cli_end(CLI_OK);
}

/* Sets an option here and for rawviewd. */
static int mount_set(MountRequest *m, const char *name, const char *value)
{
        _cleanup_free_ char *absolute = NULL;
        ConfigOption o;
        Err err = { "" };
        int r = 0;

        for (size_t i = 0; config_get_option(i, &o); i++)
                if (strcmp(o.name, name) == 0 && o.is_path && value)
                        r = daemon_make_absolute(value, &absolute, &err);
        if (absolute)
                value = absolute;
        if (r >= 0)
                r = config_set_option(&m->config, name, value, &err);
        if (r < 0)
                return cli_usage("mount", "%s", err.text);
        return daemon_add(&m->command, "--%s%s%s", name, value ? "=" : "", value ? value : "");
}

/* One word of -o. */
static int mount_take_word(MountRequest *m, char *word)
{
        char *value = strchr(word, '=');

        if (!*word)
                return CLI_OK;
        if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0)
                return mount_set(m, "writable", word[1] == 'w' ? "yes" : "no");
        if (value)
                *value++ = '\0';
        for (char *c = word; *c; c++)
                if (*c == '_')
                        *c = '-';
        if (mount_is_word(word))
                return cli_usage("mount", "there is no option '%s'", word);
        return mount_set(m, word, value);
}

/* NAME[=VALUE],…; a backslash takes the next character as it is. */
static int mount_take_words(MountRequest *m, const char *text)
{
        _cleanup_free_ char *word = malloc(strlen(text) + 1);
        if (!word) {
                log_line(LOG_LEVEL_ERROR, "-o: %m");
                return CLI_FAILURE;
        }
        for (;;) {
                char *to = word;
                for (; *text && *text != ','; text++) {
                        if (*text == '\\' && text[1])
                                text++;
                        *to++ = *text;
                }
                *to = '\0';
                int status = mount_take_word(m, word);
                if (status != CLI_OK || !*text)
                        return status;
                text++;
        }
}

static int mount_take_pid_file(MountRequest *m, const char *file)
{
        _cleanup_free_ char *absolute = NULL;
        Err err = { "" };

        if (daemon_make_absolute(file, &absolute, &err) < 0)
                return cli_usage("mount", "pidfile: %s", err.text);
        return daemon_add(&m->command, "--pidfile=%s", absolute);
}

static int mount_take_option(MountRequest *m, int got)
{
        ConfigOption o;

        switch (got) {
        case 'f':
                return mount_set(m, "format", optarg);
        case 'w':
                return mount_set(m, "writable", "yes");
        case 'U':
                return mount_set(m, "force-share", "yes");
        case 'd':
                m->foreground = false;
                return CLI_OK;
        case MOUNT_FOREGROUND:
                m->foreground = true;
                return CLI_OK;
        case MOUNT_REQUIRE_SANDBOX:
                return daemon_add(&m->command, "--require-sandbox");
        case MOUNT_CORE_DUMPS:
                return daemon_add(&m->command, "--core-dumps");
        case 'p':
                return mount_take_pid_file(m, optarg);
        case 'o':
                return mount_take_words(m, optarg);
        case 'v':
        case 'q':
                return daemon_add(&m->command, "-%c", got);
        case 'h':
                m->ended = true;
                return mount_print_help();
        case MOUNT_VERSION:
                m->ended = true;
                printf("rawview %s\n", RAWVIEW_VERSION);
                return cli_end(CLI_OK);
        default:
                if (got < MOUNT_CONFIG || !config_get_option((size_t)(got - MOUNT_CONFIG), &o))
                        return cli_see_help("mount");
                return mount_set(m, o.name, optarg);
        }
}

/* "--allow_other" is "--allow-other". */
static void mount_spell_options(int argc, char **argv)
{
        for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
                if (strncmp(argv[i], "--", 2) == 0)
                        for (char *c = argv[i]; *c && *c != '='; c++)
                                if (*c == '_')
                                        *c = '-';
}

static int mount_parse(MountRequest *m, int argc, char **argv)
{
        Err err = { "" };
        int got;

        mount_fill_options(m->options);
        mount_spell_options(argc, argv);
        while ((got = getopt_long(argc, argv, "f:wUdp:o:vqh", m->options, NULL)) != -1) {
                int status = mount_take_option(m, got);
                if (status != CLI_OK || m->ended)
                        return status;
        }
        if (optind == argc)
                return cli_usage("mount", "which image?");
        if (argc - optind > 2)
                return cli_usage("mount", "'%s' is one word too many", argv[optind + 2]);
        int status = mount_set(m, "path", argv[optind]);
        if (status == CLI_OK && argc - optind == 2)
                status = mount_set(m, "mount-point", argv[optind + 1]);
        if (status != CLI_OK)
                return status;

        int r = config_settle(&m->config, &err);
        if (r >= 0)
                return CLI_OK;
        status = cli_fail(m->config.path, &err);
        return r == -EINVAL ? CLI_USAGE : status;
}

int verb_mount(int argc, char **argv)
{
        _cleanup_(mount_request_done) MountRequest m = { 0 };

        config_init(&m.config);
        int status = mount_parse(&m, argc, argv);
        if (status != CLI_OK || m.ended)
                return status;
        status = daemon_add(&m.command, "--for-command");
        if (status != CLI_OK)
                return status;
        return m.foreground ? daemon_become(&m.command) : daemon_start(&m.command);
}
