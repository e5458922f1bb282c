/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/table.h"

#include "base/cleanup.h"
#include "base/size.h"
#include "base/terminal.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        TABLE_GAP = 2,
        /* Less of a path says nothing while there is something else that can go. */
        TABLE_PATH_MIN = 20,
        TABLE_PATH_LEAST = 8,
};

#define TINT_END "\033[0m"

struct TableCell {
        char *text;
        size_t width;
        TableTint tint;
};

void table_init(Table *t, const TableColumn *columns, size_t column_count)
{
        *t = (Table){ .columns = columns, .column_count = column_count };
}

void table_done(Table *t)
{
        for (size_t i = 0; i < t->cell_count; i++)
                free(t->cells[i].text);
        free(t->cells);
        *t = (Table){ 0 };
}

void table_add(Table *t, const char *text, TableTint tint)
{
        if (t->cell_count == t->room) {
                size_t room = t->room ? 2 * t->room : 64;
                struct TableCell *cells = reallocarray(t->cells, room, sizeof(*cells));
                if (!cells) {
                        t->failed = true;
                        return;
                }
                t->cells = cells;
                t->room = room;
        }
        char *clean = text_printable(text && *text ? text : "-");
        if (!clean) {
                t->failed = true;
                return;
        }
        t->cells[t->cell_count++] = (struct TableCell){
                .text = clean,
                .width = terminal_text_width(clean),
                .tint = tint,
        };
}

void table_add_size(Table *t, uint64_t size, bool for_person)
{
        char text[SIZE_TEXT_MAX];

        if (for_person)
                size_format(size, text);
        else
                snprintf(text, sizeof(text), "%" PRIu64, size);
        table_add(t, text, TABLE_PLAIN);
}

/* How wide each column would be, if there were room. */
static void table_measure(const Table *t, bool heading, size_t *widths)
{
        for (size_t i = 0; i < t->column_count; i++)
                widths[i] = heading ? strlen(t->columns[i].heading) : 1;
        for (size_t i = 0; i < t->cell_count; i++) {
                size_t *width = &widths[i % t->column_count];
                if (t->cells[i].width > *width)
                        *width = t->cells[i].width;
        }
}

/* With paths as short as `path_min`. */
static size_t table_sum(const Table *t, const size_t *widths, size_t path_min)
{
        size_t sum = 0;

        for (size_t i = 0; i < t->column_count; i++) {
                size_t width = widths[i];
                if (width == 0)
                        continue;
                if (t->columns[i].is_path && width > path_min)
                        width = path_min;
                sum += width + (sum > 0 ? TABLE_GAP : 0);
        }
        return sum;
}

/* False: there is none that can go. */
static bool table_drop_column(const Table *t, size_t *widths)
{
        size_t chosen = t->column_count;

        for (size_t i = 0; i < t->column_count; i++)
                if (widths[i] > 0 && t->columns[i].drop > 0 &&
                    (chosen == t->column_count || t->columns[i].drop < t->columns[chosen].drop))
                        chosen = i;
        if (chosen == t->column_count)
                return false;
        widths[chosen] = 0;
        return true;
}

/* Takes from the widest path, column by column, down to `least`. */
static void table_shorten_paths(const Table *t, size_t *widths, size_t limit, size_t least)
{
        while (table_sum(t, widths, SIZE_MAX) > limit) {
                size_t *widest = NULL;
                for (size_t i = 0; i < t->column_count; i++)
                        if (t->columns[i].is_path && widths[i] > least &&
                            (!widest || widths[i] > *widest))
                                widest = &widths[i];
                if (!widest)
                        return;
                (*widest)--;
        }
}

static void table_fit(const Table *t, size_t *widths, size_t limit)
{
        while (table_sum(t, widths, TABLE_PATH_MIN) > limit && table_drop_column(t, widths))
                ;
        table_shorten_paths(t, widths, limit, TABLE_PATH_MIN);
        table_shorten_paths(t, widths, limit, TABLE_PATH_LEAST);
}

static const char *table_tint(TableTint tint)
{
        switch (tint) {
        case TABLE_FAINT:
                return "\033[2m";
        case TABLE_BAD:
                return "\033[1;31m";
        case TABLE_PLAIN:
                break;
        }
        return "";
}

/* Nothing is put behind the last column: no line is longer than what it says. */
static bool table_print_cell(
        const char *text, const char *tint, bool to_the_right, size_t width, bool last, FILE *out)
{
        _cleanup_free_ char *fitting = terminal_shorten(text, width);
        if (!fitting)
                return false;
        int blanks = (int)(width - terminal_text_width(fitting));

        if (to_the_right)
                fprintf(out, "%*s", blanks, "");
        fprintf(out, "%s%s%s", tint, fitting, *tint ? TINT_END : "");
        if (!last)
                fprintf(out, "%*s", (to_the_right ? 0 : blanks) + TABLE_GAP, "");
        return true;
}

static bool table_print_line(const Table *t,
                             const struct TableCell *cells,
                             const size_t *widths,
                             const TableShape *shape,
                             FILE *out)
{
        size_t last = t->column_count - 1;
        bool all = true;

        while (last > 0 && widths[last] == 0)
                last--;
        for (size_t i = 0; i <= last; i++) {
                const char *tint = !shape->colour ? ""
                                   : cells        ? table_tint(cells[i].tint)
                                                  : "\033[1m";
                if (widths[i] > 0)
                        all &= table_print_cell(cells ? cells[i].text : t->columns[i].heading, tint,
                                                t->columns[i].is_number, widths[i], i == last, out);
        }
        fputs(shape->line_end, out);
        return all;
}

bool table_print(const Table *t, const TableShape *shape, FILE *out)
{
        _cleanup_free_ size_t *widths = calloc(t->column_count, sizeof(*widths));
        bool all = !t->failed && widths;
        size_t rows = t->cell_count / t->column_count;

        if (!widths)
                return false;
        table_measure(t, shape->heading, widths);
        if (shape->width > 0)
                table_fit(t, widths, shape->width);
        if (shape->heading)
                all &= table_print_line(t, NULL, widths, shape, out);
        for (size_t i = 0; i < rows && (shape->rows_max == 0 || i < shape->rows_max); i++)
                all &= table_print_line(t, t->cells + i * t->column_count, widths, shape, out);
        return all;
}
