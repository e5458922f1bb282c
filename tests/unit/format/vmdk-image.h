/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sparse VMDK in memory, made field by field for the tests of the driver. Belongs to one test.
 *
 * Grains of 8 sectors, tables of 16 entries. In sectors: header, descriptor (3), redundant directory, its tables, directory,
 * its tables (4 each), grains from sector 16 on.
 */
#pragma once

#include "block/cache.h"
#include "block/check.h"
#include "block/node.h"

#include <stddef.h>
#include <stdint.h>

enum {
        VMDK_IMAGE_LEN = 64 * 512,
        VMDK_IMAGE_FLAGS = 8,
        VMDK_IMAGE_DESCRIPTOR = 1 * 512,
        VMDK_IMAGE_RGD = 4 * 512,
        VMDK_IMAGE_RGT = 5 * 512,
        VMDK_IMAGE_GD = 9 * 512,
        VMDK_IMAGE_GT = 10 * 512,
        VMDK_IMAGE_GRAINS = 16 * 512,
};

typedef enum VmdkOpenMode {
        VMDK_READ_ONLY,
        VMDK_WRITABLE,
        VMDK_FOR_CHECK,
        VMDK_FOR_REPAIR,
} VmdkOpenMode;

typedef struct VmdkImage {
        uint8_t bytes[VMDK_IMAGE_LEN];
        size_t len; /* of the file */
} VmdkImage;

typedef struct VmdkOpened {
        Store *store; /* the node's, once it is open */
        Cache *cache;
        Node *node; /* NULL: not opened */
        int r;
        Err err;
} VmdkOpened;

/* A disk of so many grains, at most 64, all of them below; version 2 with zero grains. */
void vmdk_image_begin(VmdkImage *i, unsigned grains);

/* `width` bytes, little-endian. */
void vmdk_image_put(VmdkImage *i, uint64_t pos, unsigned width, uint64_t value);

/* The entry of a grain, in both tables. */
void vmdk_image_map(VmdkImage *i, unsigned grain, uint32_t entry);

/* Opens it; fails the test when that fails, but with vmdk_image_try. */
void vmdk_image_open(const VmdkImage *i, VmdkOpenMode mode, VmdkOpened *ret);
void vmdk_image_try(const VmdkImage *i, VmdkOpenMode mode, VmdkOpened *ret);

/* The same with o->store. */
void vmdk_store_open(VmdkOpenMode mode, Opener *opener, VmdkOpened *o);

void vmdk_opened_done(VmdkOpened *o);
