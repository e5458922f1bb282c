/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview-generator: tells systemd, before it starts anything, what descriptors mean for the units of their views. */
#include "base/cleanup.h"
#include "base/inherited.h"
#include "base/log.h"
#include "build-config.h"
#include "generator/generator.h"

#include <getopt.h>
#include <nss.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
        MAIN_USAGE = 2,
        MAIN_VERSION = 256,
};

static int main_print_help(void)
{
        puts("Usage: rawview-generator NORMAL [EARLY LATE]\n"
             "\n"
             "Reads all descriptors NAME.image and writes into the folder NORMAL what systemd\n"
             "has to know of them: what each view waits for, and which views are shown at\n"
             "boot or login. systemd starts it at boot and at every 'systemctl daemon-reload'.\n"
             "EARLY and LATE are left empty.\n"
             "\n"
             "  --version     the version\n"
             "  -h, --help    this text");
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* -1: go on; else the exit status. */
static int main_scan(int argc, char **argv)
{
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, MAIN_VERSION },
                { 0 },
        };
        int got = getopt_long(argc, argv, "h", options, NULL);

        if (got == 'h' || (got == -1 && argc == 1))
                return main_print_help();
        if (got == MAIN_VERSION) {
                puts("rawview-generator " RAWVIEW_VERSION);
                return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (got != -1)
                return MAIN_USAGE;
        if (argc - optind == 1 || argc - optind == 3)
                return -1;
        log_line(LOG_LEVEL_ERROR, "one folder or three are needed; see rawview-generator --help");
        return MAIN_USAGE;
}

static int main_generate(const char *folder, Err *err)
{
        _cleanup_search_path_ SearchPath path = { 0 };
        _cleanup_output_ Output output = OUTPUT_NONE;
        Generator g = {
                .scope = &scope_of_program,
                .output = &output,
                .has_device_units = generator_finds_device_units(),
        };

        int r = scope_fill_search_path(&path, err);
        if (r >= 0)
                r = output_open(folder, &output, err);
        if (r < 0)
                return r;
        g.folders = (const char *const *)path.folders;
        return generator_run(&g, err);
}

int main(int argc, char **argv)
{
        Err err = { "" };

        if (inherited_fill_stdio() < 0)
                return EXIT_FAILURE;
        log_open("rawview-generator", LOG_LEVEL_NOTICE);
        if (scope_of_program.is_system) {
                log_open_kernel();
                /* At boot there may be no network yet, and whoever asks others for users would wait for it. */
                __nss_configure_lookup("passwd", "files");
        }
        umask(022);
        int status = main_scan(argc, argv);
        if (status >= 0)
                return status;
        if (main_generate(argv[optind], &err) >= 0)
                return EXIT_SUCCESS;
        log_line(LOG_LEVEL_ERROR, "%s", err.text);
        return EXIT_FAILURE;
}
