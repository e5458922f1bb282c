/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview info: what an image, and each layer below it, says of itself. */
#include "base/cleanup.h"
#include "base/log.h"
#include "block/limits.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/info-layer.h"
#include "cli/text.h"
#include "config/config.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

typedef struct InfoOptions {
        Config image; /* format, references, allowed paths, force_share */
        bool json, with_chain, require_sandbox, verbose, help;
} InfoOptions;

typedef struct InfoWork {
        const InfoOptions *options;
        const char *file;
        const char *namer; /* see info_layer_namer() */
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
        _cleanup_free_ char *name = strdup(work->file), *namer = strdup(work->namer);
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

        return info_show(work, image, &err) < 0 ? cli_fail(work->file, &err) : cli_end(CLI_OK);
}

static int info_run(const InfoOptions *options, const char *file)
{
        ImageRequest request = {
                .file = file,
                .format = options->image.format,
                .references = options->image.references,
                .allowed = options->image.allowed_paths,
                .force_share = options->image.force_share,
                .stay_locked = true,
                .with_chain = options->with_chain,
                .require_sandbox = options->require_sandbox,
        };
        _cleanup_free_ char *namer = info_layer_namer(file);
        InfoWork work = { .options = options, .file = file, .namer = namer ? namer : file };

        if (options->verbose)
                log_open("rawview", LOG_LEVEL_DEBUG);
        return image_run(&request, info_work, &work);
}

/* An option that a descriptor has as well. */
static int info_set(InfoOptions *options, const char *name, const char *value)
{
        Err err;

        if (config_set_option(&options->image, name, value, &err) < 0)
                return cli_usage("info", "%s", err.text);
        return CLI_OK;
}

static int info_parse(InfoOptions *options, int argc, char **argv)
{
        enum {
                OPTION_BACKING_CHAIN = 256,
                OPTION_OUTPUT,
                OPTION_REFERENCES,
                OPTION_ALLOWED_PATHS,
                OPTION_REQUIRE_SANDBOX,
        };
        static const struct option known[] = {
                { "format", required_argument, NULL, 'f' },
                { "force-share", no_argument, NULL, 'U' },
                { "backing-chain", no_argument, NULL, OPTION_BACKING_CHAIN },
                { "output", required_argument, NULL, OPTION_OUTPUT },
                { "references", required_argument, NULL, OPTION_REFERENCES },
                { "allowed-paths", required_argument, NULL, OPTION_ALLOWED_PATHS },
                { "require-sandbox", no_argument, NULL, OPTION_REQUIRE_SANDBOX },
                { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { NULL },
        };
        int status = CLI_OK;

        for (int c; status == CLI_OK && (c = getopt_long(argc, argv, "f:Uvh", known, NULL)) >= 0;)
                switch (c) {
                case 'f':
                        status = info_set(options, "format", optarg);
                        break;
                case 'U':
                        status = info_set(options, "force-share", NULL);
                        break;
                case OPTION_BACKING_CHAIN:
                        options->with_chain = true;
                        break;
                case OPTION_OUTPUT:
                        options->json = strcmp(optarg, "json") == 0;
                        if (!options->json && strcmp(optarg, "human") != 0)
                                return cli_usage("info", "--output=%s is neither human nor json",
                                                 optarg);
                        break;
                case OPTION_REFERENCES:
                        status = info_set(options, "references", optarg);
                        break;
                case OPTION_ALLOWED_PATHS:
                        status = info_set(options, "allowed-paths", optarg);
                        break;
                case OPTION_REQUIRE_SANDBOX:
                        options->require_sandbox = true;
                        break;
                case 'v':
                        options->verbose = true;
                        break;
                case 'h':
                        options->help = true;
                        return CLI_OK;
                default:
                        return cli_see_help("info");
                }
        return status;
}

int verb_info(int argc, char **argv)
{
        InfoOptions options = { 0 };
        config_init(&options.image);
        int status = info_parse(&options, argc, argv);
        if (status == CLI_OK && options.help)
                status = info_print_help();
        else if (status == CLI_OK && optind + 1 != argc)
                status = cli_usage("info", optind == argc ? "which image?"
                                                          : "info takes one image at a time");
        else if (status == CLI_OK)
                status = info_run(&options, argv[optind]);
        config_done(&options.image);
        return status;
}
