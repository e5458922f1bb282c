/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of a disk's partitions, for a person or a program. Texts in it are a guest's. One thread.
 */
#pragma once

#include "cli/file-system.h"
#include "cli/partition-list.h"

/* Beside a PartitionTable: entry `i` is of its partition `i`. */
typedef struct PartitionFacts {
        FileSystem each[LIMIT_PARTITIONS];
        FileSystem disk; /* of one without partitions */
} PartitionFacts;

/* Returns a CliExit. */
int partition_print(const PartitionListRequest *request,
                    const PartitionTable *t,
                    const PartitionFacts *facts);
