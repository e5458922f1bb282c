/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver's own view of an image of qcow version 1. Private to this folder: the one symbol that leaves it is
 * format_qcow.
 *
 * A Qcow is Node.state: filled by open, freed by close. Where clusters lie is known to its TableTree. In texts, fields
 * have the names of QEMU's header struct. All positions are bytes.
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/format.h"
#include "block/node.h"
#include "block/table-tree.h"
#include "crypto/sector-cipher.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        QCOW_CLUSTER_BITS_MIN = 9,
        QCOW_CLUSTER_BITS_MAX = 16,
        QCOW_L2_BITS_MIN = 6,
        QCOW_L2_BITS_MAX = 13,
        QCOW_SECTOR = 512,
};

typedef enum QcowCrypt {
        QCOW_CRYPT_NONE = 0,
        QCOW_CRYPT_AES = 1,
} QcowCrypt;

#define QCOW_ENTRY_COMPRESSED (UINT64_C(1) << 63)

typedef struct QcowDiskHeader {
        uint8_t magic[4];
        be32 version;
        be64 backing_file_offset;
        be32 backing_file_size;
        be32 mtime;
        be64 size;
        uint8_t cluster_bits;
        uint8_t l2_bits;
        uint8_t padding[2];
        be32 crypt_method;
        be64 l1_table_offset;
} QcowDiskHeader;
_Static_assert(sizeof(QcowDiskHeader) == 48, "qcow header");

/* What Xen's blktap wrote behind the header. */
typedef struct QcowDiskXen {
        uint8_t magic[4];
        be32 checksum;
        be32 min_clusters;
        be32 flags;
} QcowDiskXen;
_Static_assert(sizeof(QcowDiskXen) == 16, "the header's extension by Xen");

/* Of its flags. */
#define QCOW_XEN_BIG_ENDIAN UINT32_C(2)

typedef enum QcowXen {
        QCOW_XEN_NONE,   /* the extension is not there */
        QCOW_XEN_BIG,    /* the L1 table is big-endian, as everything else is */
        QCOW_XEN_NATIVE, /* it is as the processor had numbers: little-endian, on x86 */
} QcowXen;

/* The header, checked. */
typedef struct QcowHeader {
        uint64_t size;
        uint32_t cluster_bits, l2_bits;
        uint32_t crypt_method;
        uint64_t l1_pos, l1_count;
        uint64_t backing_pos;
        uint32_t backing_len;
        QcowXen xen;
        uint64_t len; /* of the header and what belongs to it */
} QcowHeader;

typedef struct Qcow {
        QcowHeader header;
        TableTree tree;
        SectorCipher *aes; /* owned: NULL: it is not encrypted, or locked */
} Qcow;

/* Where the compressed cluster of an entry lies. */
typedef struct QcowCoded {
        uint64_t pos, len;
} QcowCoded;

/* header.c: reads and checks the header. */
int qcow_header_read(Store *s, QcowHeader *ret, Err *err);
