/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/image-options.h"

#include "base/log.h"
#include "cli/cli.h"

#include <string.h>

void image_options_init(ImageOptions *o)
{
        *o = (ImageOptions){ 0 };
        config_init(&o->config);
}

void image_options_done(ImageOptions *o)
{
        config_done(&o->config);
}

/* An option that a descriptor has as well. */
int image_options_set(ImageOptions *o, const char *verb, const char *name, const char *value)
{
        Err err;

        if (config_set_option(&o->config, name, value, &err) < 0)
                return cli_usage(verb, "%s", err.text);
        return CLI_OK;
}

int image_options_take(ImageOptions *o, const char *verb, int got, const char *value)
{
        switch (got) {
        case 'f':
                return image_options_set(o, verb, "format", value);
        case 'U':
                return image_options_set(o, verb, "force-share", NULL);
        case IMAGE_OPTION_REFERENCES:
                return image_options_set(o, verb, "references", value);
        case IMAGE_OPTION_ALLOWED_PATHS:
                return image_options_set(o, verb, "allowed-paths", value);
        case IMAGE_OPTION_REQUIRE_SANDBOX:
                o->require_sandbox = true;
                return CLI_OK;
        case 'v':
                log_open("rawview", LOG_LEVEL_DEBUG);
                return CLI_OK;
        case 'h':
                o->help = true;
                return CLI_OK;
        default:
                return cli_see_help(verb);
        }
}

int image_options_want_one(const char *verb, int count)
{
        if (count == 0)
                return cli_usage(verb, "which image?");
        if (count > 1)
                return cli_usage(verb, "%s takes one image at a time", verb);
        return CLI_OK;
}

int image_options_take_output(const char *verb, const char *value, bool *ret_json)
{
        *ret_json = strcmp(value, "json") == 0;
        if (!*ret_json && strcmp(value, "human") != 0)
                return cli_usage(verb, "--output=%s is neither human nor json", value);
        return CLI_OK;
}

ImageRequest image_options_request(const ImageOptions *o, const char *file)
{
        return (ImageRequest){
                .file = file,
                .format = o->config.format,
                .references = o->config.references,
                .allowed = o->config.allowed_paths,
                .force_share = o->config.force_share,
                .hints = true,
                .require_sandbox = o->require_sandbox,
        };
}
