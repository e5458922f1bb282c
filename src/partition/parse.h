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
int apm_parse(const PartitionSource *s,
              const uint8_t sector[PARSE_SECTOR],
              PartitionTable *t,
              Err *err);

/* Does the sector end as an MBR does, and is it no file system's? */
bool mbr_is_there(const uint8_t sector[PARSE_SECTOR]);
/* Has it an entry that protects a GPT? */
bool mbr_protects(const uint8_t sector[PARSE_SECTOR]);

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
