/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `rawview info` knows of one layer, and the two ways to print it: qemu-img's words and qemu-img's keys.
 */
#pragma once

#include "base/err.h"
#include "block/info.h"

#include <stdint.h>

typedef struct json_object json_object;
typedef struct Node Node;

/* How a layer is called. */
typedef struct LayerName {
        const char *file; /* as the user or the layer above names it */
        const char
                *namer; /* the same, or where it leads when it is a link: names in it begin there */
} LayerName;

typedef struct InfoLayer {
        char *file, *namer; /* owned: its LayerName */
        const Node *node;   /* borrowed */
        char *full_backing; /* owned; NULL: it names nothing below it */
        uint64_t disk_size; /* bytes on the host */
        uint64_t virtual_size;
        Info info;
} InfoLayer;

/* What names in `file` begin from: where it lies, not where a link to it does. Looks at the file system: only for what
 * people have named, and before the sandbox. NULL: errno says why. */
char *info_layer_namer(const char *file);

/* `file` and `namer` are copied. Fills `l`, which info_layer_done() empties whatever this returns. */
int info_layer_init(InfoLayer *l, const Node *n, const char *file, const char *namer, Err *err);
void info_layer_done(InfoLayer *l);

/* The name of the layer below, to be shown: a plain path. */
int info_layer_below(const InfoLayer *l, char **ret, Err *err);

/* The name of an extent's file, to be shown (free() it). NULL when there is no memory. */
char *info_layer_extent(const InfoLayer *l, const ExtentInfo *e);

/* NULL when there is no memory. */
json_object *info_layer_json(const InfoLayer *l);

void info_layer_print(const InfoLayer *l);
