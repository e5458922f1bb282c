/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All views at one moment, as a table and as JSON, and the same again and again on a terminal's screen. What a view says of
 * itself is a guest's by now, perhaps: it may be anything. One thread.
 */
#pragma once

#include "base/mountinfo.h"
#include "cli/table.h"
#include "cli/view-look.h"

typedef struct List {
        MountTable mounts;
        const MountEntry **views;
        ViewLook *looks; /* one for each view */
        size_t count;
} List;

/* `stuck` as view_look_all has it. */
int list_read(StuckLooks *stuck, List *ret, Err *err);
void list_done(List *l);

typedef enum ListFor {
        LIST_FOR_PERSON,  /* sizes with units */
        LIST_FOR_PROGRAM, /* bytes, all that is known */
} ListFor;

/* False: something is missing, for want of memory. */
bool list_print_table(const List *l, ListFor whom, const TableShape *shape, FILE *out);

typedef enum ListJson {
        LIST_JSON_SHORT,
        LIST_JSON_PRETTY,
} ListJson;

void list_print_json(const List *l, ListJson form);

/* Shows the table on the terminal until a key or a signal ends it, and leaves the terminal as it was. Returns a CliExit. */
int list_watch(bool heading);

static inline void list_donep(List *l)
{
        list_done(l);
}
#define _cleanup_list_ __attribute__((cleanup(list_donep)))
