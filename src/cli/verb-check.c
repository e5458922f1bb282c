/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview check: looks for damage in an image, and repairs it, as qemu-img check does. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/progress.h"
#include "block/check.h"
#include "cli/check-print.h"
#include "cli/cli.h"
#include "cli/image-options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum {
        CHECK_EXIT_CORRUPT = 2,
        CHECK_EXIT_LEAKS = 3,
        CHECK_EXIT_UNKNOWN = 63,
};

typedef struct CheckOptions {
        ImageOptions common;
        CheckRepair repair;
        ProgressWish progress;
        bool json, quiet;
} CheckOptions;

typedef struct CheckWork {
        const CheckOptions *options;
        const char *file;
        Progress progress;
} CheckWork;

static int check_print_help(void)
{
        puts("Usage: rawview check [OPTIONS] IMAGE\n"
             "\n"
             "Looks for damage in the tables of an image. Backing files are not looked at.\n"
             "\n"
             "Options:\n"
             "  -f, --format=FMT    raw, qcow2, …; default: look at the image\n"
             "  -U, --force-share   look although another program may be writing\n"
             "  -r, --repair=WHAT   repair leaks, or all that can be repaired\n"
             "      --output=FORM   human (the default) or json, with qemu-img's keys\n"
             "  -p, --progress      say how far it is, as is the default at a terminal\n"
             "  -q, --quiet         print nothing but errors and JSON\n"
             "      --require-sandbox  fail when the kernel lacks a part of the sandbox\n"
             "  -v, --verbose       say what keeps the process in that reads the image\n"
             "  -h, --help          this text\n"
             "\n"
             "Exit status: 0 no errors, 1 not completed, 2 errors, 3 leaks only, 63 the\n"
             "format has nothing to check");
        return cli_end(CLI_OK);
}

static void check_print_finding(void *arg, const char *text)
{
        CheckWork *work = arg;

        progress_wipe(&work->progress);
        puts(text);
}

static void check_print_progress(void *listener, const char *pass, uint64_t done, uint64_t whole)
{
        progress_show(listener, pass, done, whole);
}

static int check_status(const CheckReport *report)
{
        return report->corruptions > 0 ? CHECK_EXIT_CORRUPT
               : report->leaks > 0     ? CHECK_EXIT_LEAKS
                                       : CLI_OK;
}

static void check_attend(void *arg)
{
        CheckWork *work = arg;

        progress_watch_signals(&work->progress);
}

static int check_work(Image *image, void *arg)
{
        CheckWork *work = arg;
        const char *format = image->node->format->name;
        /* In JSON the sentences would not be JSON. */
        CheckReport report = {
                .repair = work->options->repair,
                .tell = work->options->json || work->options->quiet ? NULL : check_print_finding,
                .arg = work,
                .listener = { check_print_progress, &work->progress },
        };

        int r = node_check(image->node, &report);
        progress_wipe(&work->progress);
        if (r == -EOPNOTSUPP && !image->node->format->check) {
                log_line(LOG_LEVEL_ERROR, "%s: This image format does not support checks",
                         work->file);
                return CHECK_EXIT_UNKNOWN;
        }
        if (r < 0) {
                err_prefix(&report.err, r, "%s", format);
                return cli_end(cli_fail(work->file, &report.err));
        }
        if (work->options->json)
                check_print_json(&report, work->file, format_qemu_name(image->node->format));
        else if (!work->options->quiet)
                check_print_human(&report);
        return cli_end(check_status(&report));
}

static int check_run(const CheckOptions *options, const char *file)
{
        ImageRequest request = image_options_request(&options->common, file);
        CheckWork work = { .options = options, .file = file };

        request.writable = options->repair != CHECK_LOOK;
        request.for_check = true;
        request.attend = check_attend;
        request.hints = !options->quiet;
        progress_init(&work.progress, options->progress, file);
        int status = image_run(&request, check_work, &work);
        progress_done(&work.progress);
        return status;
}

static int check_set_repair(CheckOptions *options, const char *what)
{
        if (strcmp(what, "leaks") == 0)
                options->repair = CHECK_REPAIR_LEAKS;
        else if (strcmp(what, "all") == 0)
                options->repair = CHECK_REPAIR_ALL;
        else
                return cli_usage("check", "--repair=%s is neither leaks nor all", what);
        return CLI_OK;
}

enum {
        OPTION_OUTPUT = IMAGE_OPTION_END,
};

static int check_take(CheckOptions *options, int got, const char *value)
{
        switch (got) {
        case 'r':
                return check_set_repair(options, value);
        case OPTION_OUTPUT:
                return image_options_take_output("check", value, &options->json);
        case 'p':
                options->progress = PROGRESS_FORCED;
                return CLI_OK;
        case 'q':
                options->quiet = true;
                if (options->progress == PROGRESS_AUTO)
                        options->progress = PROGRESS_NONE;
                return CLI_OK;
        default:
                return image_options_take(&options->common, "check", got, value);
        }
}

static int check_parse(CheckOptions *options, int argc, char **argv)
{
        static const struct option known[] = {
                IMAGE_OPTIONS,
                { "repair", required_argument, NULL, 'r' },
                { "output", required_argument, NULL, OPTION_OUTPUT },
                { "progress", no_argument, NULL, 'p' },
                { "quiet", no_argument, NULL, 'q' },
                { NULL },
        };
        int status = CLI_OK;

        while (status == CLI_OK && !options->common.help) {
                int got = getopt_long(argc, argv, IMAGE_LETTERS "r:pq", known, NULL);
                if (got < 0)
                        break;
                status = check_take(options, got, optarg);
        }
        if (status == CLI_OK && options->repair != CHECK_LOOK && options->common.config.force_share)
                return cli_usage("check", "--repair needs the image for itself, without "
                                          "--force-share");
        return status;
}

int verb_check(int argc, char **argv)
{
        CheckOptions options = { 0 };

        image_options_init(&options.common);
        int status = check_parse(&options, argc, argv);
        if (status == CLI_OK && options.common.help)
                status = check_print_help();
        else if (status == CLI_OK &&
                 (status = image_options_want_one("check", argc - optind)) == CLI_OK)
                status = check_run(&options, argv[optind]);
        image_options_done(&options.common);
        return status;
}
