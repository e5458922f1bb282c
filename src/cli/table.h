/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table for a person at a terminal, whose width it keeps to, or for a pipe, where nothing is left out. Cells are filled row
 * by row, from left to right. Hostile texts are harmless in it. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct TableColumn {
        const char *heading;
        unsigned
                drop; /* where there is no room for all: the smallest number goes first; 0: stays */
        bool is_path; /* may lose its middle */
        bool is_number; /* stands at the right */
} TableColumn;

typedef enum TableTint {
        TABLE_PLAIN,
        TABLE_FAINT,
        TABLE_BAD,
} TableTint;

typedef struct Table {
        const TableColumn *columns;
        size_t column_count;
        struct TableCell *cells;
        size_t cell_count, room;
        bool failed; /* no memory: something is missing */
} Table;

typedef struct TableShape {
        size_t width; /* 0: no limit, nothing is shortened or left out */
        bool colour, heading;
        const char *line_end; /* "\n", or what a terminal needs before it */
        size_t rows_max;      /* 0: all */
} TableShape;

void table_init(Table *t, const TableColumn *columns, size_t column_count);
void table_done(Table *t);

/* The next cell. NULL and "" are shown as "-". */
void table_add(Table *t, const char *text, TableTint tint);

/* A size as the next cell: with a unit for people, in bytes for programs. */
void table_add_size(Table *t, uint64_t size, bool for_person);

/* False: there was no memory for it. */
bool table_print(const Table *t, const TableShape *shape, FILE *out);

static inline void table_donep(Table *t)
{
        table_done(t);
}
#define _cleanup_table_ __attribute__((cleanup(table_donep)))
