/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview map: which bytes of the disk lie where, in which layer and file, as qemu-img map says it. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/info-layer.h"
#include "cli/map-print.h"
#include "config/config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct MapOptions {
        Config image; /* format, references, allowed paths, force_share */
        MapForm form;
        uint64_t off, len;
        bool require_sandbox, verbose, help;
} MapOptions;

typedef struct MapWork {
        const MapOptions *options;
        const char *file;
        const char *namer; /* see info_layer_namer() */
} MapWork;

static int map_print_help(void)
{
        puts("Usage: rawview map [OPTIONS] IMAGE\n"
             "\n"
             "Prints where each part of the disk lies, in which layer and file, as qemu-img\n"
             "map does. It looks at tables only, and needs no passphrase.\n"
             "\n"
             "Options:\n"
             "  -f, --format=FMT           raw, qcow2, …; default: look at the image\n"
             "  -U, --force-share          read although another program may be writing\n"
             "  -s, --start-offset=SIZE    begin there instead of at the beginning of the disk\n"
             "  -l, --max-length=SIZE      look at so much of it\n"
             "      --references=POLICY    files it may name: none, directory (beneath its\n"
             "                             own folder, the default), chain, any\n"
             "      --allowed-paths=FOLDERS  further folders for --references=chain\n"
             "      --output=FORM          human (the default) or json, with qemu-img's keys\n"
             "      --require-sandbox      fail when the kernel lacks a part of the sandbox\n"
             "  -v, --verbose              say what keeps the process in that reads the image\n"
             "  -h, --help                 this text");
        return cli_end(CLI_OK);
}

/* In the order of the disk, and no more of it in memory than one stretch. Nobody reads any more: that ends it, too. */
static int map_show(const MapOptions *options, Node *n, MapPrinter *p, Err *err)
{
        uint64_t size = node_get_map_size(n);
        uint64_t off = options->off;
        uint64_t end = off + u64_min(options->len, size - u64_min(off, size));

        while (off < end && !ferror(stdout)) {
                MapStretch s = { 0 };
                int r = node_map_chain(n, off, end - off, &s);
                if (r < 0)
                        return err_set(err, -r, "cannot find out what is at %" PRIu64 ": %m", off);
                r = map_printer_add(p, &s, err);
                if (r < 0)
                        return r;
                off += s.len;
        }
        return map_printer_end(p, options->off, err);
}

static int map_work(Image *image, void *arg)
{
        const MapWork *work = arg;
        const MapOptions *options = work->options;
        MapPrinter printer;
        Err err;

        int r = map_printer_init(&printer, options->form, image->node, &image->opener, work->file,
                                 work->namer, &err);
        if (r >= 0)
                r = map_show(options, image->node, &printer, &err);
        map_printer_done(&printer);
        return cli_end(r < 0 ? cli_fail(work->file, &err) : CLI_OK);
}

static int map_run(const MapOptions *options, const char *file)
{
        ImageRequest request = {
                .file = file,
                .format = options->image.format,
                .references = options->image.references,
                .allowed = options->image.allowed_paths,
                .force_share = options->image.force_share,
                .stay_locked = true,
                .with_chain = true,
                .require_sandbox = options->require_sandbox,
        };
        _cleanup_free_ char *namer = info_layer_namer(file);
        MapWork work = { .options = options, .file = file, .namer = namer ? namer : file };

        if (options->verbose)
                log_open("rawview", LOG_LEVEL_DEBUG);
        return image_run(&request, map_work, &work);
}

/* An option that a descriptor has as well. */
static int map_set(MapOptions *options, const char *name, const char *value)
{
        Err err;

        if (config_set_option(&options->image, name, value, &err) < 0)
                return cli_usage("map", "%s", err.text);
        return CLI_OK;
}

static int map_set_size(uint64_t *ret, const char *option, const char *text)
{
        uint64_t size = 0;

        if (size_parse(text, &size) < 0 || size > INT64_MAX)
                return cli_usage("map", "%s=%s is no size", option, text);
        *ret = size;
        return CLI_OK;
}

static int map_set_form(MapOptions *options, const char *form)
{
        options->form = strcmp(form, "json") == 0 ? MAP_JSON : MAP_HUMAN;
        if (options->form == MAP_HUMAN && strcmp(form, "human") != 0)
                return cli_usage("map", "--output=%s is neither human nor json", form);
        return CLI_OK;
}

enum {
        OPTION_OUTPUT = 256,
        OPTION_REFERENCES,
        OPTION_ALLOWED_PATHS,
        OPTION_REQUIRE_SANDBOX,
};

static int map_set_letter(MapOptions *options, int c, const char *value)
{
        switch (c) {
        case 'f':
                return map_set(options, "format", value);
        case 'U':
                return map_set(options, "force-share", NULL);
        case 's':
                return map_set_size(&options->off, "--start-offset", value);
        case 'l':
                return map_set_size(&options->len, "--max-length", value);
        case OPTION_OUTPUT:
                return map_set_form(options, value);
        case OPTION_REFERENCES:
                return map_set(options, "references", value);
        case OPTION_ALLOWED_PATHS:
                return map_set(options, "allowed-paths", value);
        case OPTION_REQUIRE_SANDBOX:
                options->require_sandbox = true;
                return CLI_OK;
        case 'v':
                options->verbose = true;
                return CLI_OK;
        default:
                return cli_see_help("map");
        }
}

static int map_parse(MapOptions *options, int argc, char **argv)
{
        static const struct option known[] = {
                { "format", required_argument, NULL, 'f' },
                { "force-share", no_argument, NULL, 'U' },
                { "start-offset", required_argument, NULL, 's' },
                { "max-length", required_argument, NULL, 'l' },
                { "output", required_argument, NULL, OPTION_OUTPUT },
                { "references", required_argument, NULL, OPTION_REFERENCES },
                { "allowed-paths", required_argument, NULL, OPTION_ALLOWED_PATHS },
                { "require-sandbox", no_argument, NULL, OPTION_REQUIRE_SANDBOX },
                { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { NULL },
        };
        int status = CLI_OK;

        while (status == CLI_OK && !options->help) {
                int c = getopt_long(argc, argv, "f:Us:l:vh", known, NULL);
                if (c < 0)
                        break;
                if (c == 'h')
                        options->help = true;
                else
                        status = map_set_letter(options, c, optarg);
        }
        return status;
}

int verb_map(int argc, char **argv)
{
        MapOptions options = { .len = INT64_MAX };
        config_init(&options.image);
        int status = map_parse(&options, argc, argv);
        if (status == CLI_OK && options.help)
                status = map_print_help();
        else if (status == CLI_OK && optind + 1 != argc)
                status = cli_usage("map", optind == argc ? "which image?"
                                                         : "map takes one image at a time");
        else if (status == CLI_OK)
                status = map_run(&options, argv[optind]);
        config_done(&options.image);
        return status;
}
