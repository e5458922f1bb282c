/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vhd driver's own view of an image: fixed, dynamic, differencing. Private to this folder: the one symbol that
 * leaves it is format_vhd.
 *
 * A Vhd is Node.state: filled by open, freed by close, and in an image that is only read constant in between. Pieces of
 * the block table (BAT) and of the blocks' sector bitmaps are in the cache of the chain; a writer has the whole BAT in
 * memory, see writer.h.
 *
 * Terms: a block is a stretch of the guest disk, all of one size; in the file its sector bitmap lies in front of its
 * data, and the two together are its place. All positions are bytes. In texts, fields have the names of Microsoft's
 * "Virtual Hard Disk Image Format Specification".
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "base/uuid.h"
#include "block/cache.h"
#include "block/format.h"
#include "block/node.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        VHD_SECTOR = 512,
        VHD_FOOTER_LEN = 512,
        VHD_SHORT_FOOTER_LEN = 511, /* of programs from before 2004; its last byte would be 0 */
        VHD_HEADER_LEN = 1024,
        VHD_VERSION = 0x00010000,
        VHD_FEATURE_TEMPORARY = 1 << 0,
        VHD_FEATURES_KNOWN = 3, /* bit 1 is always set */
        VHD_LOCATORS = 8,
        VHD_PARENT_NAME_LEN = 512,
        VHD_BLOCK_SIZE_MAX = 256 << 20,

        /* What the cache holds one of. */
        VHD_CACHE_BAT = 1,
        VHD_BAT_PIECE = 4096,
        VHD_CACHE_BITMAP = 2,
        VHD_BITMAP_PIECE = 512,
        VHD_PIECE_SECTORS = VHD_BITMAP_PIECE * 8,
};

/* 2040 GiB: the BAT's sector numbers reach no farther. */
#define VHD_SIZE_MAX (UINT64_C(0xff000000) * VHD_SECTOR)

#define VHD_BAT_ABSENT UINT32_C(0xffffffff)

typedef enum VhdType {
        VHD_FIXED = 2,
        VHD_DYNAMIC = 3,
        VHD_DIFFERENCING = 4,
} VhdType;

typedef struct VhdDiskFooter {
        char cookie[8];
        be32 features;
        be32 version;
        be64 data_offset;
        be32 time_stamp;
        char creator_application[4];
        be32 creator_version;
        be32 creator_os;
        be64 original_size;
        be64 current_size;
        be16 cylinders;
        uint8_t heads;
        uint8_t sectors;
        be32 disk_type;
        be32 checksum;
        Uuid unique_id;
        uint8_t saved_state;
        uint8_t reserved[427];
} VhdDiskFooter;
_Static_assert(sizeof(VhdDiskFooter) == VHD_FOOTER_LEN, "vhd footer");

typedef struct VhdDiskLocator {
        be32 platform_code;
        be32 data_space; /* sectors, with other writers bytes */
        be32 data_length;
        be32 reserved;
        be64 data_offset;
} VhdDiskLocator;
_Static_assert(sizeof(VhdDiskLocator) == 24, "vhd parent locator");

typedef struct VhdDiskHeader {
        char cookie[8];
        be64 data_offset;
        be64 table_offset;
        be32 version;
        be32 max_table_entries;
        be32 block_size;
        be32 checksum;
        Uuid parent_unique_id;
        be32 parent_time_stamp;
        be32 reserved;
        uint8_t parent_name[VHD_PARENT_NAME_LEN];
        VhdDiskLocator locators[VHD_LOCATORS];
        uint8_t padding[256];
} VhdDiskHeader;
_Static_assert(sizeof(VhdDiskHeader) == VHD_HEADER_LEN, "vhd dynamic disk header");

/* One of the two footers as it was found. */
typedef enum VhdFound {
        VHD_ABSENT, /* no cookie there */
        VHD_BROKEN, /* its checksum is not that of its bytes */
        VHD_GOOD,
} VhdFound;

typedef struct VhdFooter {
        VhdFound found;
        VhdDiskFooter disk;
        uint64_t pos, len;
} VhdFooter;

typedef struct VhdFooters {
        VhdFooter front, end;
        const VhdFooter *used; /* the one that counts */
        uint64_t file_size;
} VhdFooters;

typedef struct VhdWriter VhdWriter;

typedef struct Vhd {
        /* Fixed after open. */
        VhdFooters footers;
        VhdType type;

        /* Of a disk that is not fixed. */
        bool header_broken; /* its checksum is not that of its bytes */
        uint64_t header_pos;
        uint64_t bat_pos, block_count; /* as many entries as the disk has blocks */
        uint64_t block_size, bitmap_len;
        uint32_t block_bits;
        Uuid parent_id;
        uint32_t parent_time_stamp;

        VhdWriter *writer; /* owned; NULL in an image that is only read */

        atomic_uint_fast64_t file_end; /* nothing lies here or beyond */
} Vhd;

static inline const VhdDiskFooter *vhd_footer(const Vhd *v)
{
        return &v->footers.used->disk;
}

/* Length of a block's place. */
static inline uint64_t vhd_place_len(const Vhd *v)
{
        return v->bitmap_len + v->block_size;
}

/* footer.c: reads both footers and chooses. */
int vhd_footers_read(Store *s, VhdFooters *ret, Err *err);

/* Does this disk's footer, at the end of a file of that size, say that it is a fixed disk and all that belongs to it? */
bool vhd_is_fixed(const Probe *p);

/* The size of the guest disk, by the rule for the program that made it. */
uint64_t vhd_footer_size(const VhdFooter *f);

/* One's complement of the sum of `len` bytes, in which the checksum is `old`. */
uint32_t vhd_checksum(const void *bytes, size_t len, be32 old);

/* header.c: reads and checks the header of a disk that is not fixed, and where its BAT is; n->size is set. `ret` gets
 * the header for vhd_read_parents. */
int vhd_header_read(Node *n, VhdDiskHeader *ret, Err *err);

/* parent.c: sets the names below of a differencing disk. */
int vhd_read_parents(Node *n, const VhdDiskHeader *h, Err *err);
int vhd_check_parent(Node *n, Node *below, Err *err);

/* map.c: where the place of the block begins, 0: it has none. EIO: nowhere that it could be. */
int vhd_get_block(Node *n, uint64_t index, uint64_t *ret_pos);

/* Does that range overlap the front footer, the header or the BAT? */
bool vhd_hits_metadata(const Vhd *v, uint64_t pos, uint64_t len);

int vhd_map(Node *n, uint64_t off, uint64_t len, Extent *ret);

/* check.c */
int vhd_check(Node *n, CheckReport *report);
