/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview map: which bytes of the disk lie where, in which layer and file, as qemu-img map says it. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/image-options.h"
#include "cli/info-layer.h"
#include "cli/map-print.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct MapOptions {
        ImageOptions common;
        bool json;
        uint64_t off, len;
} MapOptions;

typedef struct MapWork {
        const MapOptions *options;
        LayerName name;
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

        int r = map_printer_init(&printer, options->json ? MAP_JSON : MAP_HUMAN, image->node,
                                 &image->opener, &work->name, &err);
        if (r >= 0)
                r = map_show(options, image->node, &printer, &err);
        map_printer_done(&printer);
        return cli_end(r < 0 ? cli_fail(work->name.file, &err) : CLI_OK);
}

static int map_run(const MapOptions *options, const char *file)
{
        ImageRequest request = image_options_request(&options->common, file);
        _cleanup_free_ char *namer = info_layer_namer(file);
        MapWork work = { options, { file, namer ? namer : file } };

        request.stay_locked = true;
        request.with_chain = true;
        return image_run(&request, map_work, &work);
}

static int map_set_size(uint64_t *ret, const char *option, const char *text)
{
        uint64_t size = 0;

        if (size_parse(text, &size) < 0 || size > INT64_MAX)
                return cli_usage("map", "%s=%s is no size", option, text);
        *ret = size;
        return CLI_OK;
}

enum {
        OPTION_OUTPUT = IMAGE_OPTION_END,
};

static int map_take(MapOptions *options, int got, const char *value)
{
        switch (got) {
        case 's':
                return map_set_size(&options->off, "--start-offset", value);
        case 'l':
                return map_set_size(&options->len, "--max-length", value);
        case OPTION_OUTPUT:
                return image_options_take_output("map", value, &options->json);
        default:
                return image_options_take(&options->common, "map", got, value);
        }
}

static int map_parse(MapOptions *options, int argc, char **argv)
{
        static const struct option known[] = {
                IMAGE_OPTIONS,
                IMAGE_REFERENCE_OPTIONS,
                { "start-offset", required_argument, NULL, 's' },
                { "max-length", required_argument, NULL, 'l' },
                { "output", required_argument, NULL, OPTION_OUTPUT },
                { NULL },
        };
        int status = CLI_OK;

        while (status == CLI_OK && !options->common.help) {
                int got = getopt_long(argc, argv, IMAGE_LETTERS "s:l:", known, NULL);
                if (got < 0)
                        break;
                status = map_take(options, got, optarg);
        }
        return status;
}

int verb_map(int argc, char **argv)
{
        MapOptions options = { .len = INT64_MAX };

        image_options_init(&options.common);
        int status = map_parse(&options, argc, argv);
        if (status == CLI_OK && options.common.help)
                status = map_print_help();
        else if (status == CLI_OK &&
                 (status = image_options_want_one("map", argc - optind)) == CLI_OK)
                status = map_run(&options, argv[optind]);
        image_options_done(&options.common);
        return status;
}
