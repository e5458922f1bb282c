/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stretches of a disk on stdout, one after the other, in qemu-img's lines or with its keys: of each as many as are alike
 * and follow each other are printed as one, and nothing else is kept. One thread.
 */
#pragma once

#include "base/err.h"
#include "block/map.h"
#include "cli/info-layer.h"
#include "opener/ipc-opener.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum MapForm {
        MAP_HUMAN,
        MAP_JSON,
} MapForm;

typedef struct MapEntry {
        uint64_t off, len; /* len 0: none yet */
        unsigned depth;
        bool present, zero, stored;
        const Store *store; /* NULL: it has no offset */
        uint64_t pos;
} MapEntry;

typedef struct MapLayer {
        const Node *node;   /* borrowed */
        char *file, *namer; /* owned: its LayerName */
} MapLayer;

typedef struct MapPrinter {
        MapForm form;
        const IpcOpener *opener; /* borrowed; knows what files are called */
        MapLayer *layers;        /* owned */
        size_t layer_count;
        MapEntry entry; /* not printed yet */
        bool begun;     /* something has been printed */
        const Store *named;
        char *name; /* owned: how `named` is shown */
} MapPrinter;

/* map_printer_done() empties it whatever this returns. */
int map_printer_init(MapPrinter *p,
                     MapForm form,
                     const Node *top,
                     const IpcOpener *opener,
                     const LayerName *name,
                     Err *err);

/* EOPNOTSUPP: it cannot be said in MAP_HUMAN. */
int map_printer_add(MapPrinter *p, const MapStretch *s, Err *err);

/* `off`: where the map began, for one that is empty. */
int map_printer_end(MapPrinter *p, uint64_t off, Err *err);

void map_printer_done(MapPrinter *p);
