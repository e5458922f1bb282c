/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disk that the crash tests work on: the files of one image in a folder, as another program made them, held in
 * memory, and the way to open copies of them. One thread; an open disk's node is for any.
 */
#pragma once

#include "base/err.h"
#include "block/node.h"
#include "store/store.h"

#include <stdbool.h>

/* The names of the files in the folder. */
#define DISK_IMAGE "image"
#define DISK_BASE "base"
#define DISK_DATA "data"

/* The files that a writer changes; all owned. */
typedef struct Files {
        Store *image;
        Store *data; /* the external data file; NULL: the image has none */
} Files;

typedef struct Disk {
        const char *format; /* borrowed; of the image */
        Files files;        /* owned: how the story begins */
        Store *base;        /* owned: the layer below; NULL: there is none */
} Disk;

typedef struct OpenDisk {
        Cache *cache;
        Node *node;
} OpenDisk;

/* A disk with nothing in it may be done. */
int disk_load(const char *folder, const char *format, Disk *ret, Err *err);
void disk_done(Disk *d);

int files_copy(const Files *f, Files *ret);
void files_done(Files *f);

/* Writes what the store holds into a file. */
int store_save(Store *s, const char *folder, const char *name);

/* Opens the image with everything it names. What is in `files` is taken in any case. */
int disk_open(const Disk *d, Files *files, bool writable, OpenDisk *ret, Err *err);
void open_disk_done(OpenDisk *o);

#define _cleanup_files_ __attribute__((cleanup(files_done)))
#define _cleanup_open_disk_ __attribute__((cleanup(open_disk_done)))
