/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real image opened as the worker opens it, without FUSE and without a supervisor: for the programs of this folder.
 * One thread opens and closes; in between the node is anybody's.
 */
#pragma once

#include "block/node.h"
#include "fake/folder.h"

typedef struct Cache Cache;

typedef struct DiskRequest {
        const char *path;
        const char *format; /* NULL: probe */
        bool writable;
        uint64_t cache; /* bytes; 0: what is not in use is forgotten at once */
} DiskRequest;

typedef struct Disk {
        FolderOpener opener;
        Cache *cache;
        Node *node; /* NULL: closed */
} Disk;

int disk_open(Disk *d, const DiskRequest *request, Err *err);

/* Does not flush. Accepts a closed one. */
void disk_close(Disk *d);
