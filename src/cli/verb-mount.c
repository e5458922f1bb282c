/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview mount: checks what it is told and starts rawviewd, in its place or in the background. */
#include "base/cleanup.h"
#include "base/log.h"
#include "build-config.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/mount-exit.h"
#include "cli/mount-request.h"
#include "config/config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
        MOUNT_OPTIONS_MAX = 64,
        /* Values that getopt_long gives; what it gives from MOUNT_CONFIG on is an option of the table. */
        MOUNT_FOREGROUND = 256,
        MOUNT_VERSION,
        MOUNT_REQUIRE_SANDBOX,
        MOUNT_CORE_DUMPS,
        MOUNT_CONFIG,
};

typedef struct MountCommand {
        MountRequest request;
        bool foreground;
        bool ended; /* --help, --version: all is done */
        struct option options[MOUNT_OPTIONS_MAX];
} MountCommand;

static void mount_command_done(MountCommand *m)
{
        mount_request_done(&m->request);
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
                if (!mount_request_is_path(o.name))
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
             "Shows the disk in IMAGE as a raw file that covers MOUNTPOINT, an existing\n"
             "regular file; without one it covers the image itself.\n"
             "\n"
             "Options:");
        for (size_t i = 0; config_get_option(i, &o); i++) {
                const char *letter = "    ";
                char left[64];
                if (mount_request_is_path(o.name))
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
             "      --require-sandbox        no view where the kernel lacks parts of it\n"
             "      --core-dumps             a crash may leave a core: pieces of the image\n"
             "  -v, --verbose                say more\n"
             "  -q, --quiet                  say nothing but errors\n"
             "      --version                the version\n"
             "  -h, --help                   this text");
        return cli_end(CLI_OK);
}

static int mount_take_option(MountCommand *m, int got)
{
        ConfigOption o;

        switch (got) {
        case 'f':
                return mount_request_set(&m->request, "format", optarg);
        case 'w':
                return mount_request_set(&m->request, "writable", "yes");
        case 'U':
                return mount_request_set(&m->request, "force-share", "yes");
        case 'd':
                m->foreground = false;
                return CLI_OK;
        case MOUNT_FOREGROUND:
                m->foreground = true;
                return CLI_OK;
        case MOUNT_REQUIRE_SANDBOX:
                return daemon_add(&m->request.command, "--require-sandbox");
        case MOUNT_CORE_DUMPS:
                return daemon_add(&m->request.command, "--core-dumps");
        case 'p':
                return mount_request_set_pid_file(&m->request, optarg);
        case 'o':
                return mount_request_take_words(&m->request, optarg);
        case 'q':
                m->request.quiet = true;
                return daemon_add(&m->request.command, "-q");
        case 'v':
                return daemon_add(&m->request.command, "-v");
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
                return mount_request_set(&m->request, o.name, optarg);
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

static int mount_parse(MountCommand *m, int argc, char **argv)
{
        int got;

        mount_fill_options(m->options);
        mount_spell_options(argc, argv);
        while ((got = getopt_long(argc, argv, "f:wUdp:o:vqh", m->options, NULL)) != -1) {
                int status = mount_take_option(m, got);
                if (status != CLI_OK || m->ended)
                        return status;
        }
        if (optind == argc)
                return mount_request_refuse(&m->request, "which image?");
        if (argc - optind > 2)
                return mount_request_refuse(&m->request, "'%s' is one word too many",
                                            argv[optind + 2]);
        return mount_request_take_paths(&m->request, argv[optind],
                                        argc - optind == 2 ? argv[optind + 1] : NULL);
}

/* mount(8) by way of mount.fuse3 calls "rawview IMAGE MOUNTPOINT -o OPTIONS". */
static bool mount_is_called_by_mount(int argc, char **argv)
{
        for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
                if (strncmp(argv[i], "-o", 2) == 0 || strncmp(argv[i], "--options", 9) == 0)
                        return true;
        return false;
}

static int mount_run(MountCommand *m, int argc, char **argv)
{
        bool for_mount = m->request.for_mount;

        int status = mount_parse(m, argc, argv);
        if (status == CLI_OK && !m->ended)
                return mount_request_run(&m->request, m->foreground);
        return for_mount ? (int)mount_exit_from(status) : status;
}

int verb_mount(int argc, char **argv)
{
        _cleanup_(mount_command_done) MountCommand m = { 0 };

        mount_request_init(&m.request);
        return mount_run(&m, argc, argv);
}

/* Not a verb: an image to be mounted, or an option of mount, or a slip of the fingers. */
int verb_mount_unnamed(int argc, char **argv)
{
        _cleanup_(mount_command_done) MountCommand m = { 0 };
        const char *word = argv[1];

        mount_request_init(&m.request);
        m.request.for_mount = mount_is_called_by_mount(argc, argv);
        if (!m.request.for_mount && word[0] != '-' && !strchr(word, '/') && access(word, F_OK) < 0)
                return cli_usage(NULL, "'%s' is neither a command nor a file", word);
        return mount_run(&m, argc, argv);
}
