/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VHDX driver's own view of an image. Private to this folder: the one symbol that leaves it is format_vhdx.
 *
 * A Vhdx is Node.state: filled by open, freed by close, and in an image that is only read constant in between. The BAT
 * and the sector bitmaps are not kept here but, a page at a time, in the cache of the chain. What a writer needs is in
 * write/writer.h.
 *
 * Terms: the disk is made of blocks, which the BAT (block allocation table) finds; a chunk is as many blocks as one
 * sector bitmap is for; a page is 4096 bytes of metadata, which is what the log is made of. All positions are bytes.
 * In texts, fields have the names of the public specification (MS-VHDX).
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "base/uuid.h"
#include "block/cache.h"
#include "block/format.h"
#include "block/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        VHDX_KIB = 1024,
        VHDX_UNIT = 1 << 20, /* all that is large lies at multiples of this */
        VHDX_PAGE = 4096,
        VHDX_HEADER_LEN = 4096,
        VHDX_HEADER_POS = 64 * VHDX_KIB, /* of the first; the second follows after as much again */
        VHDX_HEADERS_END = 192 * VHDX_KIB, /* behind which the region tables begin */
        VHDX_TABLE_LEN = 64 * VHDX_KIB,    /* of a region table, and of the metadata table */
        VHDX_TABLES_END = 320 * VHDX_KIB,
        VHDX_TABLE_COUNT_MAX = 2047,
        VHDX_ITEM_LEN_MAX = 1 << 20,
        VHDX_BLOCK_BITS_MIN = 20,
        VHDX_BLOCK_BITS_MAX = 28,
        VHDX_BITMAP_BITS = 23, /* log2 of the sectors that one sector bitmap block is for */

        VHDX_VERSION = 1,
        VHDX_LOG_VERSION = 0,

        /* What the cache holds one of: a page, by its place in the file. */
        VHDX_CACHE_PAGE = 1,

        /* A log as long as this takes a second to look at. Real ones have 1 MiB. */
        VHDX_LOG_LEN_MAX = 256 << 20,
};

#define VHDX_SIZE_MAX (UINT64_C(64) << 40)

/* Entries of the BAT. */
#define VHDX_ENTRY_STATE UINT64_C(7)
#define VHDX_ENTRY_RESERVED UINT64_C(0xffff8)
#define VHDX_ENTRY_POS (~UINT64_C(0xfffff))

typedef enum VhdxState {
        VHDX_NOT_PRESENT = 0,
        VHDX_UNDEFINED = 1,
        VHDX_ZERO = 2,
        VHDX_UNMAPPED = 3,
        VHDX_RESERVED_STATE = 4,
        VHDX_UNMAPPED_OLD = 5,  /* of version 0.95 of the specification */
        VHDX_FULLY_PRESENT = 6, /* of a sector bitmap: present */
        VHDX_PARTIALLY_PRESENT = 7,
} VhdxState;

typedef struct VhdxDiskHeader {
        uint8_t signature[4];
        le32 checksum;
        le64 sequence_number;
        le_guid file_write_guid;
        le_guid data_write_guid;
        le_guid log_guid;
        le16 log_version;
        le16 version;
        le32 log_length;
        le64 log_offset;
} VhdxDiskHeader;
_Static_assert(sizeof(VhdxDiskHeader) == 80, "VHDX header");

typedef struct VhdxDiskRegionTable {
        uint8_t signature[4];
        le32 checksum;
        le32 entry_count;
        le32 reserved;
} VhdxDiskRegionTable;
_Static_assert(sizeof(VhdxDiskRegionTable) == 16, "VHDX region table");

typedef struct VhdxDiskRegion {
        le_guid guid;
        le64 file_offset;
        le32 length;
        le32 flags; /* bit 0: required */
} VhdxDiskRegion;
_Static_assert(sizeof(VhdxDiskRegion) == 32, "VHDX region");

typedef struct VhdxDiskMetadataTable {
        uint8_t signature[8];
        le16 reserved;
        le16 entry_count;
        uint8_t more[20];
} VhdxDiskMetadataTable;
_Static_assert(sizeof(VhdxDiskMetadataTable) == 32, "VHDX metadata table");

typedef struct VhdxDiskItem {
        le_guid guid;
        le32 offset; /* from the beginning of the region */
        le32 length;
        le32 flags;
        le32 reserved;
} VhdxDiskItem;
_Static_assert(sizeof(VhdxDiskItem) == 32, "VHDX metadata entry");

enum {
        VHDX_REGION_REQUIRED = 1 << 0,
        VHDX_ITEM_USER = 1 << 0,
        VHDX_ITEM_DISK = 1 << 1,
        VHDX_ITEM_REQUIRED = 1 << 2,
        VHDX_PARAMETERS_LEAVE_ALLOCATED = 1 << 0,
        VHDX_PARAMETERS_HAS_PARENT = 1 << 1,
};

typedef struct VhdxDiskParameters {
        le32 block_size;
        le32 flags;
} VhdxDiskParameters;
_Static_assert(sizeof(VhdxDiskParameters) == 8, "VHDX file parameters");

typedef struct VhdxDiskLocator {
        le_guid type;
        le16 reserved;
        le16 count;
} VhdxDiskLocator;
_Static_assert(sizeof(VhdxDiskLocator) == 20, "VHDX parent locator");

typedef struct VhdxDiskLocatorEntry {
        le32 key_offset; /* both from the beginning of the item */
        le32 value_offset;
        le16 key_length; /* both in bytes, of UTF-16 */
        le16 value_length;
} VhdxDiskLocatorEntry;
_Static_assert(sizeof(VhdxDiskLocatorEntry) == 12, "VHDX parent locator entry");

typedef struct VhdxDiskLogEntry {
        uint8_t signature[4];
        le32 checksum;
        le32 entry_length;
        le32 tail;
        le64 sequence_number;
        le32 descriptor_count;
        le32 reserved;
        le_guid log_guid;
        le64 flushed_file_offset;
        le64 last_file_offset;
} VhdxDiskLogEntry;
_Static_assert(sizeof(VhdxDiskLogEntry) == 64, "VHDX log entry");

typedef struct VhdxDiskDescriptor {
        uint8_t signature[4];
        uint8_t trailing[4]; /* zero descriptors: reserved */
        union {
                uint8_t leading[8];
                le64 zero_length;
        };
        le64 file_offset;
        le64 sequence_number;
} VhdxDiskDescriptor;
_Static_assert(sizeof(VhdxDiskDescriptor) == 32, "VHDX log descriptor");

typedef struct VhdxDiskLogPage {
        uint8_t signature[4];
        le32 sequence_high;
        uint8_t bytes[4084];
        le32 sequence_low;
} VhdxDiskLogPage;
_Static_assert(sizeof(VhdxDiskLogPage) == VHDX_PAGE, "VHDX log data sector");

/* The current header, checked. */
typedef struct VhdxHeader {
        unsigned slot; /* which of the two it is */
        uint64_t sequence;
        Uuid file_write, data_write;
        Uuid log; /* zero: the log is empty */
        uint64_t log_pos, log_len;
} VhdxHeader;

typedef struct VhdxRange {
        uint64_t pos, len;
} VhdxRange;

typedef struct VhdxWriter VhdxWriter;

typedef struct Vhdx {
        /* Fixed after open. */
        VhdxHeader header; /* a writer changes it under its commit_lock */
        bool header_lost; /* one of the two headers is not sound, as after a crash while it was written */
        bool table_lost; /* the same of the two region tables */
        Store *store;    /* borrowed: the node's, or `replayed` */
        Store *replayed; /* owned: the node's as its log will make it; NULL: the log is empty */
        uint64_t log_entries;    /* how many wait in the log */
        uint64_t reserved;       /* bytes of memory that the cache has set aside for us */
        uint64_t file_size;      /* of `store` when it was opened */
        VhdxRange bat, metadata; /* regions */
        VhdxRange *regions;      /* owned: all of them, known or not */
        size_t region_count;

        uint64_t size_pos; /* of the item that says how large the disk is */
        uint32_t block_bits, sector_bits;
        uint32_t chunk_bits; /* log2 of the blocks of a chunk */
        bool fixed;          /* blocks are to stay allocated */
        bool has_parent;
        bool has_linkage, has_linkage2;
        Uuid linkage, linkage2; /* what the parent's DataWriteGuid has to be: one of them */

        VhdxWriter *writer; /* owned; NULL in an image that is only read */
} Vhdx;

static inline uint64_t vhdx_block_size(const Vhdx *v)
{
        return UINT64_C(1) << v->block_bits;
}

/* Of a disk of `size` bytes. */
static inline uint64_t vhdx_block_count(const Vhdx *v, uint64_t size)
{
        return (size >> v->block_bits) + ((size & (vhdx_block_size(v) - 1)) != 0);
}

/* Where in the BAT the entry of a block is: after each chunk comes the entry of its sector bitmap. */
static inline uint64_t vhdx_entry_index(const Vhdx *v, uint64_t block)
{
        return block + (block >> v->chunk_bits);
}

static inline uint64_t vhdx_bitmap_index(const Vhdx *v, uint64_t block)
{
        uint64_t chunk = block >> v->chunk_bits;

        return ((chunk + 1) << v->chunk_bits) + chunk;
}

/* How many entries the BAT of a disk of `size` bytes needs. */
uint64_t vhdx_entry_count(const Vhdx *v, uint64_t size);

/* header.c: both headers; the current one into v->header. */
int vhdx_headers_read(Node *n, Err *err);

/* Writes v->header with the next sequence number into the other slot. Does not sync. */
int vhdx_header_write(Node *n);

/* log.c: when the log is not empty, v->replayed is what it makes of the file. */
int vhdx_log_open(Node *n, Err *err);

/* Writes what the log says into the file and empties it. */
int vhdx_log_replay(Node *n, CheckReport *report, Err *err);

/* region.c */
int vhdx_regions_read(Node *n, Err *err);

/* metadata.c: also sets n->size, and with a parent the backing names of n. */
int vhdx_metadata_read(Node *n, Err *err);

/* locator.c: `item` has `len` bytes. */
int vhdx_locator_read(Node *n, const uint8_t *item, uint64_t len, Err *err);
int vhdx_check_backing(Node *n, Node *below, Err *err);

/* map.c. A page of the BAT or of a sector bitmap, in use in the cache. */
int vhdx_get_page(Node *n, uint64_t pos, CacheEntry **ret);

/* The entry of the BAT at that index. EIO where the file has none. */
int vhdx_get_entry(Node *n, uint64_t index, uint64_t *ret);
int vhdx_map(Node *n, uint64_t off, uint64_t len, Extent *ret);

/* Memory until the image is closed. EFBIG: there is not so much. */
int vhdx_reserve(Node *n, uint64_t len, const char *what, Err *err);

/* check.c, describe.c */
int vhdx_check(Node *n, CheckReport *report);
int vhdx_describe(Node *n, Info *info);
