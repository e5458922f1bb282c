/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parsers of src/partition share; for src/partition only. Each fills a table that is empty and zeroed.
 */
#pragma once

#include "partition/partition.h"

/* What every scheme leaves free for it; a sector of 512 bytes, whatever the disk has. */
enum {
        PARSE_SECTOR = 512,
        PARSE_LARGE_SECTOR = 4096,
        PARSE_INNER_FIRST = 5,
        /* Types of MBR partitions with a disklabel. */
        PARSE_MBR_FREEBSD = 0xa5,
        PARSE_MBR_OPENBSD = 0xa6,
        PARSE_MBR_NETBSD = 0xa9,
};

/* 1: this is what the disk has. 0: it has no table of this kind, and nothing was filled in. Otherwise it has one that is refused. */
int mbr_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err);
int gpt_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err);
int bsd_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err);
int apm_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err);

/* Does the sector end as an MBR does, and is it no file system's? */
bool mbr_is_there(const uint8_t sector[PARSE_SECTOR]);
/* Has it no entry, and is it no file system's? What does not end as an MBR has none. */
bool mbr_is_empty(const uint8_t sector[PARSE_SECTOR]);
/* Has it an entry that protects a GPT? */
bool mbr_protects(const uint8_t sector[PARSE_SECTOR]);

/* Adds what a disklabel says that is in this partition, if there is one: t->damage says why not. */
int bsd_add_slice(const PartitionSource *s, PartitionTable *t, const Partition *slice, Err *err);

/* The number of the next partition that lies within another one. */
uint32_t parse_next_inner(const PartitionTable *t);

/* Does a file system or a volume that is known here begin there? What cannot be read is none. */
bool parse_begins_known(const PartitionSource *s, uint64_t off);

/* EINVAL: that lies past the end. */
int parse_read(const PartitionSource *s, void *buf, size_t len, uint64_t off, Err *err);

/* Adds a copy: EINVAL when it does not lie on the disk, EFBIG when there are too many. `first` and `count` are sectors of the
 * table's size. */
int parse_add(const PartitionSource *s,
              PartitionTable *t,
              Partition *p,
              uint64_t first,
              uint64_t count,
              Err *err);

/* EINVAL: two of them overlap. */
int parse_check_overlaps(const PartitionTable *t, Err *err);
