/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The partition table of a disk: MBR with logical partitions and disklabels of BSD, GPT, Apple's map, a disklabel alone. Parsed from bytes that a callback gives, into
 * memory of bounded size; nothing is ever written. A table is plain memory of whoever has read it; any thread.
 *
 * A disk is hostile as an image is: what does not lie on it, or overlaps, or does not end, is refused with a sentence, and
 * none of it is shown.
 */
#pragma once

#include "base/err.h"
#include "base/uuid.h"
#include "block/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PartitionSource {
        /* All of it or a negative errno. Nothing past `size` is asked for. */
        int (*read)(void *arg, void *buf, size_t len, uint64_t off);
        void *arg;
        uint64_t size;
        /* Of the disk's sectors, as the image or a person says; 512 or 4096. 0: nobody does, and what lies on the disk decides. */
        uint32_t sector_size;
} PartitionSource;

typedef enum PartitionScheme {
        PARTITION_SCHEME_NONE,
        PARTITION_SCHEME_MBR,
        PARTITION_SCHEME_GPT,
        PARTITION_SCHEME_APM,
        PARTITION_SCHEME_BSD,
} PartitionScheme;

typedef enum PartitionKind {
        PARTITION_PLAIN,
        PARTITION_EXTENDED, /* MBR: a frame for logical ones, nothing by itself */
        PARTITION_LOGICAL,
        PARTITION_BSD, /* described by a disklabel */
} PartitionKind;

enum {
        PARTITION_NAME_MAX = 36 * 3 + 1, /* 36 units of UTF-16, with NUL */
        PARTITION_APM_TEXT_MAX = 33,
        PARTITION_CODE_MAX = 37, /* what partition_type_code writes, with NUL */
};

typedef struct Partition {
        uint32_t number; /* as Linux counts: logical ones from 5 on, and then those of disklabels */
        uint32_t
                parent; /* of a disklabel: the partition that it lies in, with all that it describes; 0: none */
        PartitionKind kind;
        uint64_t start, len;
        bool bootable; /* MBR: the active flag; GPT: the attribute "legacy BIOS bootable" */
        uint8_t mbr_type, bsd_type;
        Uuid gpt_type;
        char apm_type[PARTITION_APM_TEXT_MAX];
        char name
                [PARTITION_NAME_MAX]; /* UTF-8 as far as the disk has it, which may be controls; of a disklabel "s1a" or "a"; "": none */
        char uuid[UUID_TEXT_LEN + 1]; /* as PARTUUID of blkid(8); "": none */
} Partition;

typedef struct PartitionTable {
        PartitionScheme scheme;
        uint32_t sector_size;       /* in which it counts */
        char id[UUID_TEXT_LEN + 1]; /* as PTUUID of blkid(8); "": none */
        char damage
                [256]; /* what is damaged of a table that could be read all the same; "": nothing */
        size_t count;
        Partition partitions[LIMIT_PARTITIONS]; /* in the order of the table, each number once */
} PartitionTable;

/* A new table in *ret; free() it. A disk without any is a success: PARTITION_SCHEME_NONE. EINVAL, EFBIG, ELOOP: there is one, which
 * cannot be. */
int partition_table_read(const PartitionSource *source, PartitionTable **ret, Err *err);

/* "mbr", "gpt", "apm", "bsd", "none". */
const char *partition_scheme_name(PartitionScheme scheme);

/* Have they bytes in common? */
static inline bool partition_overlaps(const Partition *a, const Partition *b)
{
        return a->start < b->start + b->len && b->start < a->start + a->len;
}

/* The one that `text` says: a number, a name, or a UUID; "PARTLABEL=" or "PARTUUID=" before it says which. *ret is the table's. ENOENT: there is none, and the text says which there
 * are; ENOTUNIQ: several, and it says which; EINVAL: it is one that cannot be shown alone. */
int partition_find(const PartitionTable *t, const char *text, const Partition **ret, Err *err);

/* "0x83", a GUID, "Apple_HFS", "bsd:0x07". */
void partition_type_code(const PartitionTable *t, const Partition *p, char ret[PARTITION_CODE_MAX]);

/* In words: "Linux filesystem". NULL: this type is not known here. */
const char *partition_type_name(const PartitionTable *t, const Partition *p);
