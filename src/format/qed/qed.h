/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The QED driver's own view of an image. Private to this folder: the one symbol that leaves it is format_qed.
 *
 * A Qed is Node.state: filled by open, freed by close. Where clusters lie is known to its TableTree. In texts, fields
 * have the names of the public specification (docs/interop/qed_spec.txt of QEMU). All positions are bytes.
 */
#pragma once

#include "base/disk-int.h"
#include "base/err.h"
#include "block/format.h"
#include "block/node.h"
#include "block/table-tree.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        QED_CLUSTER_SIZE_MIN = 4096,
        QED_CLUSTER_SIZE_MAX = 64 << 20,
        QED_TABLE_SIZE_MAX = 16,
        QED_SECTOR = 512,
};

/* The incompatible feature bits. */
#define QED_FEATURE_BACKING UINT64_C(1)
#define QED_FEATURE_NEED_CHECK UINT64_C(2)
#define QED_FEATURE_RAW_BACKING UINT64_C(4)
#define QED_FEATURES_KNOWN UINT64_C(7)

/* The L2 entry of a cluster of zeroes. */
#define QED_ENTRY_ZERO UINT64_C(1)

typedef struct QedDiskHeader {
        uint8_t magic[4];
        le32 cluster_size;
        le32 table_size;
        le32 header_size;
        le64 features;
        le64 compat_features;
        le64 autoclear_features;
        le64 l1_table_offset;
        le64 image_size;
        le32 backing_filename_offset;
        le32 backing_filename_size;
} QedDiskHeader;
_Static_assert(sizeof(QedDiskHeader) == 64, "QED header");

/* The header, checked. */
typedef struct QedHeader {
        uint32_t cluster_bits;
        uint32_t table_bits; /* log2 of the entries of a table */
        uint64_t table_len;  /* of each table, L1 and L2 alike */
        uint64_t len;        /* of the header with what follows it, whole clusters */
        uint64_t features, autoclear;
        uint64_t l1_pos;
        uint64_t size;
        uint32_t backing_pos, backing_len;
} QedHeader;

typedef struct Qed {
        QedHeader header;
        TableTree tree;

        /* False until the image has been told that somebody writes to it who does not know all that it holds. */
        atomic_bool prepared;

        /* The image says that it needs a check, because we change tables. Set under the tree's commit_lock. */
        atomic_bool marked;
} Qed;

/* Can a cluster of data, or the beginning of a table, lie at `pos` in a file that ends at `end`? */
bool qed_is_cluster(const QedHeader *h, uint64_t pos, uint64_t end);

/* Writes one 8-byte field of the header, alone, so that it changes as a whole. */
int qed_write_field(Node *n, size_t at, uint64_t value);

/* check.c: the callback of the format. */
int qed_check(Node *n, CheckReport *report);

/* An image that needs a check, before anything else is written to it: repairs it and clears the bit. EUCLEAN: something
 * is left, and the bit with it. */
int qed_repair(Node *n, Err *err);
