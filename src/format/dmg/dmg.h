/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DMG (Apple's UDIF): what the files of the driver share. docs/formats/dmg.md has the layout. Everything is fixed after open;
 * any thread.
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/limits.h"
#include "block/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CheckReport CheckReport;

enum {
        DMG_SECTOR = 512,
        DMG_TRAILER_LEN = 512,
        DMG_VERSION = 4,
        DMG_MISH_VERSION = 1,
        DMG_CHECKSUM_NONE = 0,
        DMG_CHECKSUM_CRC32 = 2,
};

/* Bytes of the property list or resource fork, which is in memory while an image is opened. QEMU's bound, too; 300,000 chunks
 * fit, with which 150 GiB are said in the usual 512 KiB. */
#define DMG_TABLES_LEN_MAX (UINT64_C(16) << 20)

/* What a packed chunk may take beyond twice its unpacked length: no packer needs so much, even for the smallest chunk. */
#define DMG_PACKED_SLACK 4096

typedef struct DmgChecksum {
        be32 type;
        be32 bits;
        be32 value; /* a CRC-32 takes the first word of the room there is */
        uint8_t room[124];
} DmgChecksum;

/* The last 512 bytes of the file. */
typedef struct DmgTrailer {
        uint8_t magic[4]; /* koly */
        be32 version;
        be32 header_len;
        be32 flags;
        be64 running_pos;
        be64 data_pos, data_len;
        be64 resource_pos, resource_len;
        be32 segment, segment_count;
        uint8_t segment_id[16];
        DmgChecksum data_checksum;
        be64 xml_pos, xml_len;
        uint8_t reserved[120];
        DmgChecksum master_checksum;
        be32 variant;
        be64 sector_count;
        uint8_t reserved_too[12];
} __attribute__((packed)) DmgTrailer;
_Static_assert(sizeof(DmgTrailer) == DMG_TRAILER_LEN, "as it lies in a file");

/* Heads the table of one block: a partition, or what lies between two. */
typedef struct DmgDiskBlock {
        uint8_t magic[4]; /* mish */
        be32 version;
        be64 first_sector, sector_count;
        be64 data_offset;
        be32 buffer_sectors;
        be32 descriptor;
        uint8_t reserved[24];
        DmgChecksum checksum;
        be32 chunk_count;
} DmgDiskBlock;
_Static_assert(sizeof(DmgDiskBlock) == 204, "as it lies in a file");

typedef struct DmgDiskChunk {
        be32 type;
        be32 comment;
        be64 sector, sector_count; /* the sector counts from that of the block on */
        be64 offset, len;
} DmgDiskChunk;
_Static_assert(sizeof(DmgDiskChunk) == 40, "as it lies in a file");

typedef enum DmgType {
        DMG_ZERO = 0,
        DMG_RAW = 1,
        DMG_IGNORE = 2,
        DMG_COMMENT = 0x7ffffffe,
        DMG_ADC = (int)0x80000004,
        DMG_ZLIB = (int)0x80000005,
        DMG_BZIP2 = (int)0x80000006,
        DMG_LZFSE = (int)0x80000007,
        DMG_LZMA = (int)0x80000008,
        DMG_END = (int)0xffffffff,
} DmgType;

/* What is kept of a chunk with bytes or zeroes. */
typedef struct DmgChunk {
        uint64_t sector, count;
        uint64_t pos;
        uint32_t packed_len; /* 0 where it is as it is */
        DmgType type;        /* DMG_IGNORE has become DMG_ZERO */
} DmgChunk;

typedef struct Dmg {
        DmgTrailer trailer;
        uint64_t file_size;
        DmgChunk *chunks; /* owned; in order, none over another */
        uint64_t chunk_count;
        uint64_t reserved; /* bytes of the cache's account */
} Dmg;

/* A way of packing, or NULL: no type of a packed chunk. */
const char *dmg_codec_name(DmgType type);

/* Was rawview built with what unpacks it? */
bool dmg_codec_is_there(DmgType type);

/* Memory beyond three times an extent that unpacking takes. */
uint64_t dmg_codec_cost(DmgType type);

/* Unpacks a whole chunk. */
int dmg_read_coded(Node *n, const Extent *e, void *buf);

/* The chunk at the guest offset, or the one behind it; chunk_count when there is none. */
uint64_t dmg_find(const Dmg *d, uint64_t off);

int dmg_trailer_read(Store *s, uint64_t file_size, DmgTrailer *ret, Err *err);

/* Bytes of a table as it stands in the image: text of a property list, or bytes. */
typedef struct DmgSource {
        const uint8_t *at, *end;
        bool is_text; /* base64, with blanks and new lines anywhere */
        bool is_padded, is_broken;
        uint32_t bits;
        unsigned bit_count;
} DmgSource;

/* The next `len` bytes, or fewer at the end; how many. What is no base64 ends it and sets is_broken. */
size_t dmg_source_read(DmgSource *s, void *buf, size_t len);

/* All tables of an image, as they lie in it. */
typedef struct DmgTables {
        uint8_t *bytes; /* owned */
        uint64_t len;
        bool is_text;
        uint64_t reserved;
} DmgTables;

/* Is called with each table in turn. A negative errno ends it. */
typedef int (*DmgVisit)(void *arg, DmgSource *table, Err *err);

/* Reads the tables of n's image; dmg_tables_done gives their memory back. */
int dmg_tables_read(Node *n, DmgTables *ret, Err *err);
void dmg_tables_done(Node *n, DmgTables *t);
int dmg_tables_visit(const DmgTables *t, DmgVisit visit, void *arg, Err *err);

/* Calls it for each <data> below the key blkx of the property list. */
int dmg_plist_visit(const uint8_t *text, size_t len, DmgVisit visit, void *arg, Err *err);

/* One block while its table is read. */
typedef struct DmgBlock {
        uint64_t first, count; /* sectors */
        uint64_t data_offset;
        uint32_t chunk_count, chunks_seen;
        DmgChecksum checksum;
        bool has_ended;
} DmgBlock;

int dmg_block_begin(DmgSource *table, DmgBlock *ret, Err *err);

/* 1: *ret is the next chunk that holds something, 0: there is none. */
int dmg_block_next(const Dmg *d, DmgSource *table, DmgBlock *b, DmgChunk *ret, Err *err);

/* Fills d->chunks. */
int dmg_chunks_read(Node *n, Err *err);

int dmg_map(Node *n, uint64_t off, uint64_t len, Extent *ret);
int dmg_check(Node *n, CheckReport *report);
