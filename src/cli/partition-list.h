/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The partitions of a disk with their file systems, as a table or JSON. What is read was written by a guest: all of it is done by a
 * confined child (cli/confined.h), which has a time limit. One thread.
 */
#pragma once

#include "cli/table.h"
#include "partition/partition.h"

#include <stdbool.h>

typedef enum PartitionListForm {
        PARTITION_LIST_TABLE, /* on stdout; for a terminal, when it is one */
        PARTITION_LIST_SHORT, /* JSON on stdout */
        PARTITION_LIST_PRETTY,
        PARTITION_LIST_BRIEF, /* the few columns that a person wants to see of a new view, on stderr */
} PartitionListForm;

/* A view that a person has just been given. */
typedef struct PartitionListView {
        const char *word; /* its path, as a shell wants it; NULL: it cannot be typed */
        bool is_folder;   /* of the disk and its partitions */
        bool by_root;     /* root will type, or somebody who may do less */
} PartitionListView;

typedef struct PartitionListRequest {
        const char *file; /* for people, and for the names of partitions in JSON */
        PartitionListForm form;
        bool no_legend, require_sandbox;
        uint32_t sector_size;          /* 512 or 4096, whatever the image says; 0: what it says */
        const PartitionListView *view; /* what can be typed next is told, too; NULL: it is not */
        /* Where it goes, which the child cannot find out; partition_list_look() fills these in. */
        TableShape shape;
        bool is_for_person; /* sizes with units, not bytes */
} PartitionListRequest;

/* Looks at the terminal, before anything else is done with the request. */
void partition_list_look(PartitionListRequest *request);

/* Of a view that is up (or any regular file of a disk's bytes), which the child reads through `fd`. Returns a CliExit; all has been
 * said. */
int partition_list_run(const PartitionListRequest *request, int fd);

/* The same of the disk that is shown at this path, in brief and on stderr: nothing at all when it cannot be opened. It is `view`, or in
 * there. */
void partition_list_tell(const char *disk, const PartitionListView *view);

/* For who is the confined child already. `raw` has the bytes that `source` gives, for file systems; -1: nobody has. */
int partition_list_show(const PartitionListRequest *request,
                        const PartitionSource *source,
                        int raw);

/* From here on the process has so much time as a child of this kind may take, and hears signals, whatever its parent holds back. */
void partition_list_limit_time(void);
