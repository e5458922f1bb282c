/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * EWF-E01, what EnCase, FTK Imager and ewfacquire write: evidence, so read-only. An image is some files, its segments, each
 * of them a chain of sections; chunks of the disk lie in sections of type sectors, and a table behind each of those says where
 * in it. Nothing is believed that has a checksum which does not fit.
 *
 * An open image has one EwfTable in memory for each table; the tables' entries are read in pieces, through the cache.
 */
#pragma once

#include "base/disk-int.h"
#include "block/check.h"
#include "block/info.h"
#include "block/node.h"
#include "codec/md5.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        EWF_FILE_HEADER_LEN = 13,
        EWF_SECTION_LEN = 76,
        EWF_VOLUME_LEN = 1052,
        EWF_SMART_VOLUME_LEN = 94,
        EWF_TABLE_LEN = 24,
        EWF_SUM_LEN = 4,
        EWF_TYPE_LEN = 16,
        EWF_SET_LEN = 16,
        EWF_SHA1_LEN = 20,
        EWF_SECTOR = 512,
        EWF_SECTOR_LARGE = 4096,
        EWF_PIECE_LEN = 4096,
        EWF_CACHE_TABLE = 1,

        EWF_MEDIA_REMOVABLE = 0,
        EWF_MEDIA_FIXED = 1,
        EWF_MEDIA_OPTICAL = 3,
        EWF_MEDIA_LOGICAL = 14,
        EWF_MEDIA_MEMORY = 16,

        EWF_COMPRESSION_MAX = 2,
        EWF_DIGEST_LEN = 80,
        EWF_HASH_LEN = 36,
};

#define EWF_COMPRESSED (UINT32_C(1) << 31)
#define EWF_MAGIC "EVF\t\r\n\xff"
#define EWF_LOGICAL_MAGIC "LVF\t\r\n\xff"
#define EWF_2_MAGIC "EVF2\r\n\x81"

typedef struct EwfDiskSection {
        char type[EWF_TYPE_LEN]; /* padded with NULs */
        le64 next;               /* position of the next one; of the last one: its own */
        le64 size;               /* with this; 0 in the last one, and in old files */
        uint8_t padding[40];
        le32 sum; /* Adler-32 of what stands before */
} EwfDiskSection;

_Static_assert(sizeof(EwfDiskSection) == EWF_SECTION_LEN, "as in the file");

typedef struct EwfDiskVolume {
        uint8_t media_type;
        uint8_t unknown1[3];
        le32 chunk_count;
        le32 chunk_sectors;
        le32 sector_len;
        le64 sector_count;
        uint8_t unknown2[12];
        uint8_t media_flags;
        uint8_t unknown3[15];
        uint8_t compression;
        uint8_t unknown4[3];
        le32 error_sectors; /* so many are given up together where one cannot be read */
        uint8_t unknown5[4];
        uint8_t set[EWF_SET_LEN];
        uint8_t unknown6[968];
        le32 sum;
} EwfDiskVolume;

_Static_assert(sizeof(EwfDiskVolume) == EWF_VOLUME_LEN, "as in the file");
_Static_assert(offsetof(EwfDiskVolume, compression) == 52, "as in the file");
_Static_assert(offsetof(EwfDiskVolume, set) == 64, "as in the file");

typedef struct EwfDiskTable {
        le32 count;
        uint8_t padding1[4];
        le64 base; /* entries count from here */
        uint8_t padding2[4];
        le32 sum;
} EwfDiskTable;

_Static_assert(sizeof(EwfDiskTable) == EWF_TABLE_LEN, "as in the file");

/* A section that is being looked at. */
typedef struct EwfSection {
        Store *store;
        uint32_t segment;   /* its number, from 1 on */
        uint64_t file_size; /* of the segment */
        uint64_t pos, end;  /* with its descriptor; `end` may lie beyond the end of the file */
        char type[EWF_TYPE_LEN + 1];
        bool is_last;
} EwfSection;

/* One of the two places of a table. */
typedef struct EwfEntries {
        uint64_t pos;  /* of its first entry; 0: there is none */
        uint64_t base; /* what is added to an entry */
} EwfEntries;

typedef enum EwfTrust {
        EWF_UNKNOWN, /* nobody has looked at the checksums yet */
        EWF_FIRST,
        EWF_COPY,
        EWF_NEITHER,
} EwfTrust;

typedef struct EwfTable {
        Store *store;
        uint64_t first; /* chunk of its first entry */
        uint32_t count;
        EwfEntries entries, copy;
        uint64_t data_pos, data_end; /* where its chunks may lie */

        EwfTrust trust; /* guarded by Ewf.lock */
        uint32_t
                overflow_from; /* from this entry on there is no bit for compression; guarded by Ewf.lock */
} EwfTable;

typedef struct Ewf {
        /* Fixed after open. */
        uint64_t file_size; /* of the first segment */
        uint32_t segment_count;
        uint8_t media_type, media_flags, compression;
        uint32_t sector_len, chunk_sectors;
        uint64_t sector_count;
        uint32_t chunk_len;
        uint64_t chunk_count; /* that the disk has; there may be tables for fewer */
        uint8_t set[EWF_SET_LEN];
        bool has_volume, has_md5, has_sha1, is_complete;
        uint8_t md5[MD5_LEN], sha1[EWF_SHA1_LEN];
        uint64_t error_ranges, sessions;
        uint64_t section_count;
        EwfTable *tables;
        size_t table_count, table_room;
        uint64_t table_chunks; /* that there are tables for */
        uint64_t reserved;     /* bytes in the cache */

        pthread_mutex_t lock;
        bool has_lock;

        /* While the segments are gone through. */
        uint64_t data_pos,
                data_end; /* of the last section of chunks in this segment; data_end 0: there was none */
        uint64_t
                broken_table; /* where a table without a usable header begins, whose copy is to follow; 0: there is none */
        bool expects_copy; /* the section before was a table */
} Ewf;

/* Where a chunk lies. */
typedef struct EwfPlace {
        Store *store;
        uint64_t pos, len;
        bool is_compressed;
} EwfPlace;

/* Adler-32 as everywhere in these files. */
uint32_t ewf_sum(const void *bytes, size_t len);

/* The name of segment `number`, from that of the first: "x.E01" gives x.E02 … x.E99, x.EAA … x.EZZ, x.FAA … x.ZZZ. Free it. */
int ewf_segment_name(const char *first, uint32_t number, char **ret, Err *err);

/* Opens and reads all segments. */
int ewf_open_segments(Node *n, Opener *opener, Err *err);

/* Takes what a section says; those that are of no use to a reader are left alone. -ENODATA: it goes beyond the end of the
 * file. */
int ewf_take_section(Node *n, const EwfSection *s, Err *err);

/* Reads `len` bytes at `at` of what follows the descriptor. -EBADMSG: the section is not that long. -ENODATA as above. */
int ewf_read_section_part(const EwfSection *s, uint64_t at, void *buf, size_t len, Err *err);

/* "volume", "disk", "data" tell of the disk; "table", "table2" where chunks are. */
int ewf_take_volume(Node *n, const EwfSection *s, Err *err);
int ewf_take_table(Node *n, const EwfSection *s, Err *err);
int ewf_take_copy(Node *n, const EwfSection *s, Err *err);

/* What follows a table is no copy of it: it has to do without. */
int ewf_end_table(Ewf *e, Err *err);

/* -EIO: no table says where, or what it says cannot be. */
int ewf_find_chunk(Node *n, uint64_t index, EwfPlace *ret);

/* Reads chunk `index` into `buf` of chunk_len bytes, zeroes behind the end of the disk; -EIO when its checksum does not fit. */
int ewf_read_chunk(Node *n, uint64_t index, void *buf);

int ewf_check(Node *n, CheckReport *report);
int ewf_describe(Node *n, Info *info);
