/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The qcow2 driver's own view of an image, versions 2 and 3. Private to this folder: the one symbol that leaves it
 * is format_qcow2.
 *
 * A Qcow2 is Node.state: filled by open, freed by close, and in an image that is only read constant in between. L2
 * tables are not kept here but in slices in the cache of the chain. What a writer needs is in writer.h.
 *
 * Terms: a host cluster lies in the file, a guest cluster in the disk; a table is one cluster (L2) or several in
 * a row (L1, refcount table, snapshot table). All positions are bytes. In texts, fields have the names of the
 * public specification (docs/interop/qcow2 of QEMU).
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/cache.h"
#include "block/format.h"
#include "block/node.h"
#include "crypto/luks-header.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        QCOW2_CLUSTER_BITS_MIN = 9,
        QCOW2_CLUSTER_BITS_MAX = 21,
        QCOW2_EXTENDED_CLUSTER_BITS_MIN = 14,
        QCOW2_SPARE_DECODERS = 4,
        QCOW2_REFCOUNT_ORDER_MAX = 6,
        QCOW2_V2_REFCOUNT_ORDER = 4,
        QCOW2_V2_HEADER_LEN = 72,
        QCOW2_V3_HEADER_LEN = 104,
        QCOW2_SECTOR = 512,
        QCOW2_SUBCLUSTERS = 32,
        QCOW2_SUBCLUSTER_BITS = 5,
        QCOW2_FORMAT_NAME_MAX = 15,
        QCOW2_FEATURE_NAME_MAX = 46,
        QCOW2_L1_COUNT_MAX = 4 << 20,
        QCOW2_REFCOUNT_TABLE_LEN_MAX = 8 << 20,
        QCOW2_SNAPSHOT_COUNT_MAX = 65536,
        QCOW2_SNAPSHOT_TABLE_LEN_MAX = 64 << 20,
        QCOW2_SNAPSHOT_EXTRA_MAX = 1024,
        QCOW2_BITMAP_COUNT_MAX = 65535,
        QCOW2_BITMAP_DIRECTORY_LEN_MAX = 1024 * 65535,
        QCOW2_BITMAP_TABLE_COUNT_MAX = 0x8000000,
        QCOW2_BITMAP_NAME_MAX = 1023,
        QCOW2_BITMAP_GRANULARITY_BITS_MIN = 9,
        QCOW2_BITMAP_GRANULARITY_BITS_MAX = 31,
        QCOW2_BITMAP_TYPE_DIRTY = 1,

        /* What the cache holds one of. A slice of an L2 table is at most this long. */
        QCOW2_CACHE_L2 = 1,
        QCOW2_SLICE_LEN_MAX = 4096,
};

typedef enum Qcow2Crypt {
        QCOW2_CRYPT_NONE = 0,
        QCOW2_CRYPT_AES = 1,
        QCOW2_CRYPT_LUKS = 2,
} Qcow2Crypt;

typedef enum Qcow2Compression {
        QCOW2_COMPRESSION_DEFLATE = 0,
        QCOW2_COMPRESSION_ZSTD = 1,
} Qcow2Compression;

/* The kinds of feature bits, numbered as in the feature name table. */
typedef enum Qcow2FeatureKind {
        QCOW2_FEATURE_INCOMPATIBLE = 0,
        QCOW2_FEATURE_COMPATIBLE = 1,
        QCOW2_FEATURE_AUTOCLEAR = 2,
} Qcow2FeatureKind;

#define QCOW2_INCOMPATIBLE_DIRTY (UINT64_C(1) << 0)
#define QCOW2_INCOMPATIBLE_CORRUPT (UINT64_C(1) << 1)
#define QCOW2_INCOMPATIBLE_DATA_FILE (UINT64_C(1) << 2)
#define QCOW2_INCOMPATIBLE_COMPRESSION (UINT64_C(1) << 3)
#define QCOW2_INCOMPATIBLE_EXTENDED_L2 (UINT64_C(1) << 4)
#define QCOW2_INCOMPATIBLE_KNOWN UINT64_C(0x1f)
#define QCOW2_COMPATIBLE_LAZY_REFCOUNTS (UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_BITMAPS (UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_DATA_FILE_RAW (UINT64_C(1) << 1)

/* Entries of L1 and L2 tables. */
#define QCOW2_ENTRY_COPIED (UINT64_C(1) << 63)
#define QCOW2_ENTRY_COMPRESSED (UINT64_C(1) << 62)
#define QCOW2_ENTRY_ZERO (UINT64_C(1) << 0)
#define QCOW2_ENTRY_POS UINT64_C(0x00fffffffffffe00)
#define QCOW2_L1_RESERVED UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED UINT64_C(0x3f000000000001fe)

/* The header as it lies in the file; version 2 ends before incompatible_features. */
typedef struct Qcow2DiskHeader {
        uint8_t magic[4];
        be32 version;
        be64 backing_file_offset;
        be32 backing_file_size;
        be32 cluster_bits;
        be64 size;
        be32 crypt_method;
        be32 l1_size;
        be64 l1_table_offset;
        be64 refcount_table_offset;
        be32 refcount_table_clusters;
        be32 nb_snapshots;
        be64 snapshots_offset;
        be64 incompatible_features;
        be64 compatible_features;
        be64 autoclear_features;
        be32 refcount_order;
        be32 header_length;
        uint8_t compression_type;
        uint8_t padding[7];
} Qcow2DiskHeader;
_Static_assert(sizeof(Qcow2DiskHeader) == 112, "qcow2 header");
_Static_assert(offsetof(Qcow2DiskHeader, incompatible_features) == QCOW2_V2_HEADER_LEN,
               "v2 header");
_Static_assert(offsetof(Qcow2DiskHeader, compression_type) == QCOW2_V3_HEADER_LEN, "v3 header");

typedef struct Qcow2DiskExtension {
        be32 type;
        be32 len;
} Qcow2DiskExtension;
_Static_assert(sizeof(Qcow2DiskExtension) == 8, "qcow2 header extension");

/* The one that a new image has; all others are in extension.c. */
#define QCOW2_EXTENSION_BACKING_FORMAT 0xe2792acaU

typedef struct Qcow2DiskFeatureName {
        uint8_t kind;
        uint8_t bit;
        char name[QCOW2_FEATURE_NAME_MAX];
} Qcow2DiskFeatureName;
_Static_assert(sizeof(Qcow2DiskFeatureName) == 48, "qcow2 feature name");

typedef struct Qcow2DiskBitmaps {
        be32 nb_bitmaps;
        be32 reserved;
        be64 directory_size;
        be64 directory_offset;
} Qcow2DiskBitmaps;
_Static_assert(sizeof(Qcow2DiskBitmaps) == 24, "qcow2 bitmaps extension");

typedef struct Qcow2DiskCrypto {
        be64 offset;
        be64 length;
} Qcow2DiskCrypto;
_Static_assert(sizeof(Qcow2DiskCrypto) == 16, "qcow2 encryption extension");

typedef struct Qcow2DiskSnapshot {
        be64 l1_table_offset;
        be32 l1_size;
        be16 id_size;
        be16 name_size;
        be32 date_sec;
        be32 date_nsec;
        be64 vm_clock_nsec;
        be32 vm_state_size;
        be32 extra_size;
} Qcow2DiskSnapshot;
_Static_assert(sizeof(Qcow2DiskSnapshot) == 40, "qcow2 snapshot");

/* What follows a snapshot's fixed part, as far as extra_size reaches. */
typedef struct Qcow2DiskSnapshotExtra {
        be64 vm_state_size;
        be64 disk_size;
        be64 icount;
} Qcow2DiskSnapshotExtra;
_Static_assert(sizeof(Qcow2DiskSnapshotExtra) == 24, "qcow2 snapshot extra data");

typedef struct Qcow2DiskBitmap {
        be64 table_offset;
        be32 table_size;
        be32 flags;
        uint8_t type;
        uint8_t granularity_bits;
        be16 name_size;
        be32 extra_size;
} Qcow2DiskBitmap;
_Static_assert(sizeof(Qcow2DiskBitmap) == 24, "qcow2 bitmap directory entry");

enum {
        QCOW2_BITMAP_IN_USE = 1 << 0,
        QCOW2_BITMAP_AUTO = 1 << 1,
        QCOW2_BITMAP_EXTRA_COMPATIBLE = 1 << 2,
        QCOW2_BITMAP_FLAGS_KNOWN = 7,
};

/* The header, checked. Version 2 is given the values that its missing fields stand for. */
typedef struct Qcow2Header {
        uint32_t version;
        uint32_t header_len;
        uint32_t cluster_bits;
        uint32_t refcount_order;
        uint32_t crypt_method;
        uint32_t backing_len;
        uint64_t backing_pos;
        uint64_t size;
        uint64_t l1_count;
        uint64_t l1_pos;
        uint64_t refcount_table_pos;
        uint64_t refcount_table_clusters;
        uint64_t snapshot_count;
        uint64_t snapshots_pos;
        uint64_t incompatible;
        uint64_t compatible;
        uint64_t autoclear;
        uint8_t compression;
} Qcow2Header;

typedef struct Qcow2Writer Qcow2Writer;

/* A piece of a table, in use in the cache. */
typedef struct Qcow2Slice {
        CacheEntry *entry;
        uint64_t pos;
} Qcow2Slice;

typedef struct Qcow2 {
        /* Fixed after open. */
        Qcow2Header header;
        uint64_t cluster_size;
        uint32_t entry_bits; /* log2 of the length of an L2 entry: 3, extended 4 */
        uint32_t l1_bits;    /* log2 of the guest bytes behind one L1 entry */
        uint32_t slice_len;
        bool extended;
        bool shows_snapshot; /* then the COPIED bits mean nothing */

        /* Owned: of the disk or of the snapshot that is shown. Read with qcow2_l1_get; a writer changes entries under
         * its lock, and the whole table while layout is held exclusively. */
        atomic_uint_fast64_t *l1;
        uint64_t l1_count;

        Qcow2Writer *writer; /* owned; NULL in an image that is only read */

        uint64_t
                reserved; /* bytes of memory that the cache of the chain has set aside for our tables */

        char *data_name;   /* owned: the external data file as the image names it; NULL: none */
        Store *host_store; /* borrowed from the node: where whole clusters lie; NULL: not opened */
        Store *data_store; /* what guest data is read from and written to: host_store, or decrypted; NULL: not to be had */
        uint64_t file_size; /* of the store when it was opened */
        bool tells_places;  /* the image stays locked: it is only described and mapped */
        bool is_sparse; /* of such an image: so many clusters lie in holes that they were never written */

        uint64_t bitmap_count; /* 0: none that can be trusted */
        uint64_t bitmaps_pos, bitmaps_len;
        uint64_t crypto_pos, crypto_len; /* the encryption header; 0, 0: none */
        LuksHeader *luks;                /* owned: what it says; NULL: none */
        Store *cipher_store; /* owned: host_store, decrypted; NULL: not encrypted like that, or locked */
        SectorCipher *aes; /* owned: of crypt_method 1; NULL: not encrypted like that, or locked */

        /* Owned: decoders of zstd that nobody uses just now, each of which takes 160 KiB to make. Taken and put back by exchange. */
        _Atomic(struct ZSTD_DCtx_s *) spare_decoders[QCOW2_SPARE_DECODERS];
} Qcow2;

/* One entry of the snapshot table. */
typedef struct Qcow2Snapshot {
        char *id, *name; /* owned */
        uint64_t l1_pos;
        uint64_t l1_count;
        uint64_t date_sec;
        uint32_t date_nsec;
        uint64_t vm_clock_nsec;
        uint64_t vm_state_size;
        uint64_t disk_size;
        bool has_icount;
        uint64_t icount;
} Qcow2Snapshot;

/* Where a walk over the snapshot table or the bitmap directory stands; zeroed at its start. */
typedef struct Qcow2Cursor {
        uint64_t index;
        uint64_t done; /* bytes */
} Qcow2Cursor;

static inline bool qcow2_has_data_file(const Qcow2Header *h)
{
        return h->incompatible & QCOW2_INCOMPATIBLE_DATA_FILE;
}

static inline uint64_t qcow2_l1_get(const Qcow2 *q, uint64_t index)
{
        return atomic_load_explicit(&q->l1[index], memory_order_acquire);
}

static inline uint64_t qcow2_cluster_size(const Qcow2Header *h)
{
        return UINT64_C(1) << h->cluster_bits;
}

extern const uint8_t qcow2_magic[4];

/* header.c: reads and checks the fixed part, and the tables' places. */
int qcow2_header_read(Store *s, uint64_t file_size, Qcow2Header *ret, Err *err);

/* What header_read leaves out, because an image without it can still be repaired. */
int qcow2_check_refcount_table(const Qcow2Header *h, uint64_t file_size, Err *err);

/* Is a table of `len` bytes possible at `pos`? `field` names it in the text, `whose` is "" or " of the …". */
int qcow2_check_place(const Qcow2Header *h,
                      const char *field,
                      const char *whose,
                      uint64_t pos,
                      uint64_t len,
                      Err *err);

/* Does an L1 table of `count` entries at `pos` do for a disk of `size` bytes? */
int qcow2_check_l1(const Qcow2Header *h,
                   uint64_t pos,
                   uint64_t count,
                   uint64_t size,
                   const char *whose,
                   Err *err);

/* extension.c: what follows the header in the first cluster. Sets q->data_name, the bitmaps of q, and the backing
 * name and format of n. */
int qcow2_extensions_read(Node *n, Qcow2 *q, Err *err);

/* Says which of the incompatible features is unknown, by the image's own name for it: always -EOPNOTSUPP or an
 * error of reading. */
int qcow2_refuse_features(Store *s, const Qcow2Header *h, Err *err);

/* snapshot.c. The walk gives 1 and an entry, or 0 at the end of the table. */
int qcow2_snapshot_next(Node *n, Qcow2Cursor *c, Qcow2Snapshot *ret, Err *err);
void qcow2_snapshot_done(Qcow2Snapshot *s);

/* Walks the whole table, so that it is checked, and finds the snapshot of that id, or else of that name. `wanted`
 * NULL: only walks. ENOENT tells what there is. */
int qcow2_snapshot_find(Node *n, const char *wanted, Qcow2Snapshot *ret, Err *err);

/* Where the compressed cluster of an entry lies: whole sectors, the first of them begun at any byte. */
typedef struct Qcow2Coded {
        uint64_t pos, len;
} Qcow2Coded;
Qcow2Coded qcow2_coded_place(const Qcow2 *q, uint64_t entry);

/* Turns a table of big-endian entries into numbers, in the same memory. */
void *qcow2_table_to_host(void *table, uint64_t count);

/* map.c: the host cluster of a standard entry for the guest cluster at `off`; *ret_is is false when it has none. EIO
 * when it is damaged. */
int qcow2_host_cluster(
        const Qcow2 *q, uint64_t off, uint64_t entry, uint64_t *ret_pos, bool *ret_is);

/* May the host cluster at `pos` be written over, as far as its L2 entry says so? */
bool qcow2_is_in_place(const Qcow2 *q, uint64_t pos, uint64_t entry);

/* Is the L1 entry sound? */
bool qcow2_l1_entry_is_sound(const Qcow2 *q, uint64_t entry);

/* The slice of the L2 table at `table` with the entry for `off`, in use, and where in it that entry is. */
int qcow2_get_table_slice(Node *n, uint64_t table, uint64_t off, Qcow2Slice *ret, be64 **ret_entry);

/* Memory for tables until the image is closed. EFBIG: there is not so much. */
int qcow2_reserve(Node *n, uint64_t len, const char *what, Err *err);
void qcow2_release_memory(Node *n, uint64_t len);

/* crypt.c: the header of the encryption, before anybody is asked for a passphrase. */
int qcow2_crypt_read(Node *n, Err *err);

/* Sets q->data_store, with a passphrase where one is needed. */
int qcow2_unlock(Node *n, Opener *opener, Err *err);
void qcow2_crypt_close(Qcow2 *q);

/* crypt_method 1: makes a coded extent of one with data, and reads such a one. */
void qcow2_aes_extent(Extent *e);
int qcow2_read_aes(Node *n, const Extent *e, void *buf);

/* The callbacks of map.c, coded.c, describe.c. */
int qcow2_map(Node *n, uint64_t off, uint64_t len, Extent *ret);
int qcow2_read_coded(Node *n, const Extent *e, void *buf);
void qcow2_free_spare_decoders(Qcow2 *q);
int qcow2_describe(Node *n, Info *info);

/* create.c: the callback. */
int qcow2_create(Store *s, const Creation *c, Err *err);

#define _cleanup_snapshot_ __attribute__((cleanup(qcow2_snapshot_done)))
