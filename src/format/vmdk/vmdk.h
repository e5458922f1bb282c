/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMDK driver's own view of an image. Private to this folder: the one symbol that leaves it is format_vmdk.
 *
 * A disk is one descriptor, which is text, and one or more extents, each a stretch of the disk in a file of its own or
 * in the same file as the descriptor. A Vmdk is Node.state: filled by open, freed by close, and in an image that is only
 * read constant in between. Directories and tables of sparse extents are not kept here but in pieces in the cache of the
 * chain. What a writer needs is in write/writer.h.
 *
 * Terms: a grain is the unit of a sparse extent; a grain table has the places of some grains, a grain directory those of
 * the tables. All positions are bytes in the file of the extent, all offsets bytes of the disk, except where a name says
 * sectors. In texts, fields have the names of the public specification (VMware Virtual Disk Format 5.0).
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/cache.h"
#include "block/format.h"
#include "block/node.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        VMDK_SECTOR = 512,
        VMDK_SECTOR_BITS = 9,

        /* Of hosted sparse extents: the directory's unit, and a grain at most, in sectors. */
        VMDK_TABLE_COUNT_MAX = 512,
        VMDK_GRAIN_SECTORS_MAX = 0x200000,

        /* Of ESX's two kinds. */
        VMDK_COWD_TABLE_COUNT = 4096,
        VMDK_SESPARSE_TABLE_SECTORS = 64,
        VMDK_SESPARSE_GRAIN_SECTORS = 8,

        /* How far from the end a footer is looked for: what a tar archive pads with. */
        VMDK_FOOTER_SEARCH_LEN = 64 * 1024,

        /* Hex digits of a content ID. */
        VMDK_CID_DIGITS_MAX = 8,
        VMDK_LONG_CID_DIGITS = 32,

        /* In a COWD header, where the parent's name stands, or the number of cylinders. */
        VMDK_COWD_PARENT_POS = 32,
        VMDK_COWD_HEADER_LEN = 4 * VMDK_SECTOR,

        /* A piece of a directory in the cache. Kinds of pieces there: two for each extent, from 1 on. */
        VMDK_PIECE_LEN = 4096,
};

#define VMDK_CID_NONE UINT32_C(0xffffffff)
#define VMDK_DIRECTORY_AT_END UINT64_C(0xffffffffffffffff)

/* Flags of the hosted sparse header. */
#define VMDK_FLAG_NEWLINES (UINT32_C(1) << 0)
#define VMDK_FLAG_REDUNDANT (UINT32_C(1) << 1)
#define VMDK_FLAG_ZERO_GRAINS (UINT32_C(1) << 2)
#define VMDK_FLAG_COMPRESSED (UINT32_C(1) << 16)
#define VMDK_FLAG_MARKERS (UINT32_C(1) << 17)
#define VMDK_FLAGS_KNOWN UINT32_C(0x30007)

typedef enum VmdkKind {
        VMDK_FLAT, /* also VMFS */
        VMDK_ZERO,
        VMDK_HOSTED,
        VMDK_COWD,
        VMDK_SESPARSE,
} VmdkKind;

typedef enum VmdkAccess {
        VMDK_RW,
        VMDK_RDONLY,
        VMDK_NOACCESS,
} VmdkAccess;

/* A stretch of text that lies elsewhere. */
typedef struct VmdkText {
        const char *at;
        size_t len;
} VmdkText;

/* The descriptor, checked. */
typedef struct VmdkDescriptor {
        Store *store; /* borrowed: where it stands; NULL: there is none */
        uint64_t pos; /* of its first byte there */

        char *text; /* owned, until the image is open */
        size_t len;
        size_t extent_count; /* lines that describe an extent */

        uint32_t cid, parent_cid;
        char *create_type; /* owned */
        char *parent_name; /* owned; NULL: no parentFileNameHint */
        bool is_tracked;   /* changeTrackPath: somebody wants to know of every change */

        /* Where a writer puts a new content ID: digits in the text, counted from its beginning. */
        size_t cid_at, cid_digits;
        size_t long_cid_at; /* 0: there is no ddb.longContentID */
} VmdkDescriptor;

/* One line that describes an extent. */
typedef struct VmdkLine {
        VmdkAccess access;
        uint64_t sectors;
        VmdkKind kind;
        VmdkText type; /* as it stands there */
        VmdkText name; /* empty for ZERO */
        uint64_t pos_sectors;
} VmdkLine;

typedef struct VmdkExtent {
        /* Fixed after open. */
        VmdkKind kind;
        VmdkAccess access;
        char *name;   /* owned: as the descriptor names its file; NULL: it is the image's own */
        char *type;   /* owned: as the descriptor names its kind; NULL: there is none */
        Store *store; /* borrowed from the node; NULL: ZERO, or it could not be opened */
        uint64_t off, len;
        uint64_t device, inode; /* of the file; 0, 0: not known */
        uint64_t pos;           /* FLAT: where it begins in the file */

        /* Of a sparse extent. */
        uint64_t grain;           /* bytes */
        uint64_t table_count;     /* entries of a grain table … */
        uint64_t entry_len;       /* … each of this length, as those of the directory */
        uint64_t directory_count; /* entries that the capacity needs */
        uint64_t directory_pos;
        uint64_t redundant_pos; /* of the redundant directory; 0: there is none */
        uint64_t overhead; /* bytes that the header sets aside for metadata; 0: it does not say */
        uint64_t capacity; /* bytes, as the header says */
        uint64_t tables_pos, grains_pos;         /* SESPARSE: where all tables and grains lie */
        uint64_t descriptor_pos, descriptor_len; /* 0, 0: none inside */
        uint32_t version;
        bool coded;       /* its grains are compressed */
        bool zero_grains; /* an entry of 1 is a grain of zeroes */
        bool unclean;     /* its writer has not closed it */

        /* How long the file is; a writer makes it longer. */
        atomic_uint_fast64_t end;
} VmdkExtent;

typedef struct VmdkWriter VmdkWriter;

typedef struct Vmdk {
        /* Fixed after open. */
        VmdkDescriptor descriptor;
        VmdkExtent *extents; /* owned; sorted by off, without gaps */
        size_t extent_count, extent_room;
        uint64_t reserved;  /* bytes of memory that the cache of the chain has set aside for us */
        VmdkWriter *writer; /* owned; NULL in an image that is only read */
} Vmdk;

/* A grain table, in use in the cache; put it back with cache_put(table.entry). */
typedef struct VmdkTable {
        CacheEntry *entry;
        uint64_t pos;
        uint64_t held; /* entries that the file really has */
} VmdkTable;

static inline bool vmdk_is_sparse(const VmdkExtent *x)
{
        return x->kind == VMDK_HOSTED || x->kind == VMDK_COWD || x->kind == VMDK_SESPARSE;
}

static inline uint64_t vmdk_end(const VmdkExtent *x)
{
        return atomic_load_explicit(&x->end, memory_order_acquire);
}

/* Bytes of the disk behind one grain table. */
static inline uint64_t vmdk_table_span(const VmdkExtent *x)
{
        return x->grain * x->table_count;
}

static inline uint64_t vmdk_table_len(const VmdkExtent *x)
{
        return x->table_count * x->entry_len;
}

/* descriptor.c: reads text of at most `len` bytes at `pos`, up to the first NUL, and checks all but the extents. `d` is
 * to be emptied with vmdk_descriptor_done whatever this returns. An empty text leaves d->store NULL. */
int vmdk_descriptor_read(Store *s, uint64_t pos, uint64_t len, VmdkDescriptor *d, Err *err);
void vmdk_descriptor_done(VmdkDescriptor *d);

/* The next line that describes an extent, from *at on, a position in the text that is 0 at first: 1, or 0 when there is
 * none any more. */
int vmdk_descriptor_next(const VmdkDescriptor *d, size_t *at, VmdkLine *ret, Err *err);

/* Does a file that begins with these bytes begin as a descriptor? `head` ends with NUL. */
bool vmdk_is_descriptor(const char *head);

/* header.c: reads and checks the header of a sparse extent in x->store of x->kind, and fills in its shape. x->len is
 * what the descriptor says of its length, 0: the header's own word is taken. */
int vmdk_header_read(VmdkExtent *x, Err *err);

/* sesparse.c: the same for a SESPARSE extent. */
int vmdk_sesparse_read(VmdkExtent *x, Err *err);

/* Checks what all sparse extents have, and computes what follows from it; table_count and entry_len are set. */
int vmdk_check_shape(VmdkExtent *x, uint64_t capacity_sectors, uint64_t grain_sectors, Err *err);

/* table.c: what the directory says of a table: its position, 0 for none. -EIO when the entry is damaged or missing. */
int vmdk_directory_get(Node *n, const VmdkExtent *x, uint64_t index, uint64_t *ret_pos);

/* The same of the directory at `directory_pos`, one of the two, for who has the lock of the writer or needs none. What is
 * damaged is -EBADMSG. */
int vmdk_directory_peek(
        Node *n, const VmdkExtent *x, uint64_t directory_pos, uint64_t index, uint64_t *ret_pos);

/* The first entry from `index` on that is not 0, or one on the way there; locks as above. */
int vmdk_directory_skip(
        Node *n, const VmdkExtent *x, uint64_t directory_pos, uint64_t index, uint64_t *ret);

/* VMDK_PIECE_LEN bytes of a directory, in use. */
int vmdk_directory_piece(Node *n, const VmdkExtent *x, uint64_t pos, CacheEntry **ret);

/* The table at `pos`, in use. */
int vmdk_table_get(Node *n, const VmdkExtent *x, uint64_t pos, VmdkTable *ret);

/* An entry of it, as it lies there. Index is below table->held. */
uint64_t vmdk_table_entry(const VmdkExtent *x, const VmdkTable *t, uint64_t index);

/* What an entry says of a grain. */
typedef enum VmdkGrainKind {
        VMDK_GRAIN_NONE,
        VMDK_GRAIN_ZERO,
        VMDK_GRAIN_PLACE,
} VmdkGrainKind;

/* *ret_pos is set for a place. -EIO when the entry is damaged. */
int vmdk_grain_find(const VmdkExtent *x, uint64_t entry, VmdkGrainKind *ret, uint64_t *ret_pos);

/* The key of a piece of metadata of this extent in the cache: of its directory, or a table. */
typedef enum VmdkPiece {
        VMDK_PIECE_DIRECTORY,
        VMDK_PIECE_TABLE,
} VmdkPiece;
CacheKey vmdk_key(const Node *n, const VmdkExtent *x, VmdkPiece piece, uint64_t pos);

/* map.c */
const VmdkExtent *vmdk_find_extent(const Vmdk *v, uint64_t off);
int vmdk_map(Node *n, uint64_t off, uint64_t len, Extent *ret);

/* coded.c, describe.c. What the compressed grain at `pos` takes there, if it is grain `index`; else -EIO. */
int vmdk_coded_len(const VmdkExtent *x, uint64_t index, uint64_t pos, uint64_t *ret);
int vmdk_read_coded(Node *n, const Extent *e, void *buf);
int vmdk_describe(Node *n, Info *info);

/* extent.c: what the descriptor says of the extents becomes open files. */
int vmdk_extents_open(Node *n, Opener *opener, Err *err);

/* Adds one extent that lies in the image's own file, of a kind that its header tells. */
int vmdk_extent_own(Node *n, VmdkKind kind, Err *err);
void vmdk_extents_done(Node *n);
