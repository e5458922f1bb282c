/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview info: what an image, and each layer below it, says of itself. */
#include "base/cleanup.h"
#include "block/limits.h"
#include "cli/cli.h"
#include "cli/image-options.h"
#include "cli/info-layer.h"
#include "cli/text.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

typedef struct InfoOptions {
        ImageOptions common;
        bool json, with_chain;
} InfoOptions;

typedef struct InfoWork {
        const InfoOptions *options;
        LayerName name;
} InfoWork;

static int info_print_help(void)
{
        puts("Usage: rawview info [OPTIONS] IMAGE\n"
             "\n"
             "Prints what the image says of itself, as qemu-img info does.\n"
             "\n"
             "Options:\n"
             "  -f, --format=FMT           raw, qcow2, …; default: look at the image\n"
             "  -U, --force-share          read although another program may be writing\n"
             "      --backing-chain        also all layers below it\n"
             "      --references=POLICY    files it may name: none, directory (beneath its\n"
             "                             own folder, the default), chain, any\n"
             "      --allowed-paths=FOLDERS  further folders for --references=chain\n"
             "      --output=FORM          human (the default) or json, with qemu-img's keys\n"
             "      --require-sandbox      fail when the kernel lacks a part of the sandbox\n"
             "  -v, --verbose              say what keeps the process in that reads the image\n"
             "  -h, --help                 this text");
        return cli_end(CLI_OK);
}

static void info_layer_freep(InfoLayer *l)
{
        info_layer_done(l);
}

static void json_freep(json_object **o)
{
        json_object_put(*o);
}

static int info_show_json(json_object *all, const InfoOptions *options)
{
        json_object *shown = options->with_chain ? all : json_object_array_get_idx(all, 0);

        text_print_json(json_object_to_json_string_ext(
                shown, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                               JSON_C_TO_STRING_NOSLASHESCAPE));
        return 0;
}

/* From the top downward. In JSON nothing is printed before all is known. */
static int info_show(const InfoWork *work, const Image *image, Err *err)
{
        const InfoOptions *options = work->options;
        _cleanup_(json_freep) json_object *all = json_object_new_array();
        _cleanup_free_ char *name = strdup(work->name.file), *namer = strdup(work->name.namer);
        uint64_t cost = 0;

        for (const Node *n = image->node; n; n = n->backing) {
                _cleanup_(info_layer_freep) InfoLayer layer = { 0 };
                if (!name || !namer || !all)
                        return err_set(err, ENOMEM, "%m");
                int r = info_layer_init(&layer, n, name, namer, err);
                if (r < 0)
                        return r;
                cost += layer.info.cost;
                if (options->json && cost > LIMIT_INFO_JSON_COST)
                        return err_set(err, EFBIG,
                                       "it names more snapshots and bitmaps, or with longer names, "
                                       "than can be shown as JSON");
                if (options->json) {
                        json_object_array_add(all, info_layer_json(&layer));
                } else {
                        if (n != image->node)
                                putchar('\n');
                        info_layer_print(&layer);
                }
                if (n->backing) {
                        const char *target = ipc_opener_target(&image->opener, n->backing->store);
                        char *below = NULL;
                        r = info_layer_below(&layer, &below, err);
                        if (r < 0)
                                return r;
                        free(name);
                        name = below;
                        free(namer);
                        namer = strdup(target ? target : name);
                }
        }
        return options->json ? info_show_json(all, options) : 0;
}

static int info_work(Image *image, void *arg)
{
        const InfoWork *work = arg;
        Err err;

        return info_show(work, image, &err) < 0 ? cli_fail(work->name.file, &err) : cli_end(CLI_OK);
}

static int info_run(const InfoOptions *options, const char *file)
{
        ImageRequest request = image_options_request(&options->common, file);
        _cleanup_free_ char *namer = info_layer_namer(file);
        InfoWork work = { options, { file, namer ? namer : file } };

        request.stay_locked = true;
        request.with_chain = options->with_chain;
        return image_run(&request, info_work, &work);
}

enum {
        OPTION_BACKING_CHAIN = IMAGE_OPTION_END,
        OPTION_OUTPUT,
};

static int info_take(InfoOptions *options, int got, const char *value)
{
        switch (got) {
        case OPTION_BACKING_CHAIN:
                options->with_chain = true;
                return CLI_OK;
        case OPTION_OUTPUT:
                return image_options_take_output("info", value, &options->json);
        default:
                return image_options_take(&options->common, "info", got, value);
        }
}

static int info_parse(InfoOptions *options, int argc, char **argv)
{
        static const struct option known[] = {
                IMAGE_OPTIONS,
                IMAGE_REFERENCE_OPTIONS,
                { "backing-chain", no_argument, NULL, OPTION_BACKING_CHAIN },
                { "output", required_argument, NULL, OPTION_OUTPUT },
                { NULL },
        };
        int status = CLI_OK;

        while (status == CLI_OK && !options->common.help) {
                int got = getopt_long(argc, argv, IMAGE_LETTERS, known, NULL);
                if (got < 0)
                        break;
                status = info_take(options, got, optarg);
        }
        return status;
}

int verb_info(int argc, char **argv)
{
        InfoOptions options = { 0 };

        image_options_init(&options.common);
        int status = info_parse(&options, argc, argv);
        if (status == CLI_OK && options.common.help)
                status = info_print_help();
        else if (status == CLI_OK &&
                 (status = image_options_want_one("info", argc - optind)) == CLI_OK)
                status = info_run(&options, argv[optind]);
        image_options_done(&options.common);
        return status;
}
