/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VDI driver's own view of an image, version 1.1. Private to this folder: the one symbol that leaves it is format_vdi.
 * A Vdi is Node.state. What it has in common with other formats of one table is a Flat (block/flat.h).
 *
 * VirtualBox stores UUIDs with their first three fields little-endian. All positions are bytes.
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "base/uuid.h"
#include "block/flat.h"

#include <stddef.h>
#include <stdint.h>

enum {
        VDI_VERSION = 0x00010001,
        VDI_HEADER_LEN = 512,   /* with what comes before it, and rounded up */
        VDI_HEADER_FROM = 0x48, /* header_size counts from here */
        VDI_HEADER_SIZE_MIN = 0x180,
        VDI_SECTOR = 512,
        VDI_BLOCK_SIZE_MIN = 512,
        VDI_BLOCK_COUNT_MAX = 0x1fffff80,

        VDI_DYNAMIC = 1,
        VDI_FIXED = 2,
        VDI_UNDO = 3,
        VDI_DIFFERENCING = 4,
};

/* Entries of the block map that are no place. */
#define VDI_FREE UINT32_C(0xffffffff)
#define VDI_ZERO UINT32_C(0xfffffffe)

/* As it lies in the file, from its beginning on. */
typedef struct VdiDiskHeader {
        uint8_t text[64];
        le32 signature, version;
        le32 header_size, image_type, flags;
        uint8_t comment[256];
        le32 map_offset, data_offset;
        le32 cylinders, heads, sectors;
        le32 sector_size, unused;
        le64 disk_size;
        le32 block_size, block_extra;
        le32 blocks, blocks_allocated;
        le_guid image_uuid, modification_uuid, link_uuid, parent_modification_uuid;
        le32 lchs[4];
        uint8_t pad[40];
} VdiDiskHeader;
_Static_assert(sizeof(VdiDiskHeader) == VDI_HEADER_LEN, "as it lies in the file");
_Static_assert(offsetof(VdiDiskHeader, map_offset) == 0x154, "as it lies in the file");
_Static_assert(offsetof(VdiDiskHeader, modification_uuid) == 0x198, "as it lies in the file");

typedef struct Vdi {
        Flat flat;
        uint32_t allocated; /* blocks_allocated, as it was at open */
} Vdi;

/* Reads and checks the header; fills in the state and n->size. */
int vdi_header_read(Node *n, Err *err);

extern const FlatKind vdi_kind;

int vdi_check(Node *n, CheckReport *report);
