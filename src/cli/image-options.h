/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be said to all verbs that look into an image: its format and locks, which files it may name, how its reader is
 * confined. One thread.
 */
#pragma once

#include "cli/image.h"
#include "config/config.h"

#include <stdbool.h>

enum {
        /* Values that getopt_long gives; those of a verb's own options begin at the last. */
        IMAGE_OPTION_REFERENCES = 256,
        IMAGE_OPTION_ALLOWED_PATHS,
        IMAGE_OPTION_REQUIRE_SANDBOX,
        IMAGE_OPTION_END,
};

/* For a table of getopt_long, and its letters. */
#define IMAGE_OPTIONS                                                                          \
        { "format", required_argument, NULL, 'f' }, { "force-share", no_argument, NULL, 'U' }, \
                { "require-sandbox", no_argument, NULL, IMAGE_OPTION_REQUIRE_SANDBOX },        \
                { "verbose", no_argument, NULL, 'v' },                                         \
        {                                                                                      \
                "help", no_argument, NULL, 'h'                                                 \
        }
#define IMAGE_LETTERS "f:Uvh"

/* Of verbs that open what the image names. */
#define IMAGE_REFERENCE_OPTIONS                                                      \
        { "references", required_argument, NULL, IMAGE_OPTION_REFERENCES },          \
        {                                                                            \
                "allowed-paths", required_argument, NULL, IMAGE_OPTION_ALLOWED_PATHS \
        }

typedef struct ImageOptions {
        Config config; /* format, references, allowed paths, force_share */
        bool require_sandbox, help;
} ImageOptions;

void image_options_init(ImageOptions *o);
void image_options_done(ImageOptions *o);

/* Sets a key of the configuration by the name of its option; NULL: a boolean that stands alone. Returns a CliExit. */
int image_options_set(ImageOptions *o, const char *verb, const char *option, const char *value);

/* Takes what getopt_long gave: one of the options above, or its '?'. What is said afterwards is as much as was asked for. Returns a CliExit. */
int image_options_take(ImageOptions *o, const char *verb, int got, const char *value);

/* Is there one image, or has somebody been told so? `count` words were left. Returns a CliExit. */
int image_options_want_one(const char *verb, int count);

/* --output=human|json. Returns a CliExit. */
int image_options_take_output(const char *verb, const char *value, bool *ret_json);

/* What they mean for `file`; the rest is zeroed. Borrows from both. */
ImageRequest image_options_request(const ImageOptions *o, const char *file);
