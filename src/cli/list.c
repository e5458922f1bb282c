/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/list.h"

#include "base/cleanup.h"
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

/* Which go first where a terminal is too narrow for all. */
static const TableColumn list_columns[] = {
        { "VIEW", .is_path = true },
        { "IMAGE", .is_path = true, .drop = 9 },
        { "FORMAT", .drop = 10 },
        { "SIZE", .drop = 12, .is_number = true },
        { "MODE", .drop = 11 },
        { "STATE" },
        { "PID", .drop = 7, .is_number = true },
        { "UNIT", .drop = 3, .is_path = true },
        { "USER", .drop = 1 },
        { "READERS", .drop = 6, .is_number = true },
        { "WRITERS", .drop = 2, .is_number = true },
        { "READ", .drop = 4, .is_number = true },
        { "WRITTEN", .drop = 5, .is_number = true },
        { "ERRORS", .drop = 8, .is_number = true },
};

int list_read(StuckLooks *stuck, List *ret, Err *err)
{
        List l = { 0 };

        int r = mount_table_read(&l.mounts, err);
        if (r < 0)
                return r;
        l.views = calloc(l.mounts.count + 1, sizeof(*l.views));
        if (l.views)
                for (size_t i = 0; i < l.mounts.count; i++)
                        if (strcmp(l.mounts.entries[i].type, MOUNT_TYPE_VIEW) == 0)
                                l.views[l.count++] = &l.mounts.entries[i];
        l.looks = calloc(l.count + 1, sizeof(*l.looks));
        if (!l.views || !l.looks) {
                list_done(&l);
                return err_set(err, ENOMEM, "%m");
        }
        view_look_all(l.views, l.count, stuck, l.looks);
        *ret = l;
        return 0;
}

void list_done(List *l)
{
        free(l->looks);
        free(l->views);
        mount_table_done(&l->mounts);
        *l = (List){ 0 };
}

static bool list_is_read_only(const MountEntry *e)
{
        return mount_options_have(e->options, "ro", NULL);
}

/* NULL when it says nothing, or no object. */
static struct json_object *list_parse_state(const ViewLook *look)
{
        struct json_object *state = look->state[0] ? json_tokener_parse(look->state) : NULL;

        if (json_object_is_type(state, json_type_object))
                return state;
        json_object_put(state);
        return NULL;
}

static bool list_get_number(struct json_object *state, const char *key, uint64_t *ret)
{
        struct json_object *value = NULL;

        if (!json_object_object_get_ex(state, key, &value) ||
            !json_object_is_type(value, json_type_int))
                return false;
        *ret = json_object_get_uint64(value);
        return true;
}

static bool list_is_set(struct json_object *state, const char *key)
{
        struct json_object *value = NULL;

        return json_object_object_get_ex(state, key, &value) &&
               json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

static void list_add_number(Table *t, struct json_object *state, const char *key, TableTint tint)
{
        uint64_t number = 0;
        char text[32] = "";

        if (list_get_number(state, key, &number))
                snprintf(text, sizeof(text), "%" PRIu64, number);
        table_add(t, text, number > 0 ? tint : TABLE_PLAIN);
}

/* Of what the kernel does past the server nobody knows. */
static void list_add_bytes(Table *t, ListFor whom, struct json_object *state, const char *key)
{
        uint64_t bytes = 0;

        if (list_get_number(state, key, &bytes) && !list_is_set(state, "passthrough"))
                table_add_size(t, bytes, whom == LIST_FOR_PERSON);
        else
                table_add(t, NULL, TABLE_PLAIN);
}

static void list_add_unit(Table *t, struct json_object *state)
{
        struct json_object *unit = NULL;
        bool is_text = json_object_object_get_ex(state, "unit", &unit) &&
                       json_object_is_type(unit, json_type_string);

        table_add(t, is_text ? json_object_get_string(unit) : NULL, TABLE_PLAIN);
}

static void list_add_user(Table *t, const MountEntry *e)
{
        char text[32] = "";
        uid_t uid = 0;
        bool known = mount_entry_get_user(e, &uid);
        const struct passwd *user = known ? getpwuid(uid) : NULL;

        if (known)
                snprintf(text, sizeof(text), "%u", (unsigned)uid);
        table_add(t, user ? user->pw_name : text, TABLE_PLAIN);
}

static TableTint list_tint(ViewCondition condition)
{
        if (condition == VIEW_SERVING)
                return TABLE_PLAIN;
        return condition == VIEW_STALE || condition == VIEW_STUCK ? TABLE_BAD : TABLE_FAINT;
}

/* A view that serves, and has lost what it was to have, is a warning. */
static void list_add_condition(Table *t, struct json_object *state, ViewCondition condition)
{
        struct json_object *loop = NULL;
        bool lost = condition == VIEW_SERVING && json_object_object_get_ex(state, "loop", &loop) &&
                    json_object_is_type(loop, json_type_string) &&
                    strcmp(json_object_get_string(loop), "lost") == 0;

        table_add(t, lost ? "loop-lost" : view_condition_name(condition),
                  lost ? TABLE_BAD : list_tint(condition));
}

static void list_add_row(Table *t, const MountEntry *e, const ViewLook *look, ListFor whom)
{
        struct json_object *state = list_parse_state(look);

        table_add(t, e->target, TABLE_PLAIN);
        /* A view over its own image is called as that is; twice the same path is no help. */
        if (whom == LIST_FOR_PERSON && strcmp(e->source, e->target) == 0)
                table_add(t, "(itself)", TABLE_FAINT);
        else
                table_add(t, e->source, TABLE_PLAIN);
        table_add(t, look->format, TABLE_PLAIN);
        if (look->condition == VIEW_SERVING)
                table_add_size(t, look->size, whom == LIST_FOR_PERSON);
        else
                table_add(t, NULL, TABLE_PLAIN);
        table_add(t, list_is_read_only(e) ? "ro" : "rw", TABLE_PLAIN);
        list_add_condition(t, state, look->condition);
        list_add_number(t, state, "pid", TABLE_PLAIN);
        list_add_unit(t, state);
        list_add_user(t, e);
        list_add_number(t, state, "readers", TABLE_PLAIN);
        list_add_number(t, state, "writers", TABLE_PLAIN);
        list_add_bytes(t, whom, state, "bytes-read");
        list_add_bytes(t, whom, state, "bytes-written");
        list_add_number(t, state, "errors", TABLE_BAD);
        json_object_put(state);
}

bool list_print_table(const List *l, ListFor whom, const TableShape *shape, FILE *out)
{
        _cleanup_table_ Table t;

        table_init(&t, list_columns, sizeof(list_columns) / sizeof(list_columns[0]));
        for (size_t i = 0; i < l->count; i++)
                list_add_row(&t, l->views[i], &l->looks[i], whom);
        return table_print(&t, shape, out);
}

static struct json_object *list_make_json(const MountEntry *e, const ViewLook *look)
{
        struct json_object *row = json_object_new_object();
        struct json_object *state = list_parse_state(look);
        uid_t uid = 0;

        json_object_object_add(row, "view", json_object_new_string(e->target));
        json_object_object_add(row, "image", json_object_new_string(e->source));
        json_object_object_add(row, "condition",
                               json_object_new_string(view_condition_name(look->condition)));
        json_object_object_add(row, "writable", json_object_new_boolean(!list_is_read_only(e)));
        if (mount_entry_get_user(e, &uid))
                json_object_object_add(row, "uid", json_object_new_int64(uid));
        if (look->condition == VIEW_SERVING) {
                char mode[8];
                snprintf(mode, sizeof(mode), "%04o", look->mode);
                json_object_object_add(row, "size", json_object_new_uint64(look->size));
                json_object_object_add(row, "mode", json_object_new_string(mode));
        }
        if (look->format[0])
                json_object_object_add(row, "format", json_object_new_string(look->format));
        if (state)
                json_object_object_add(row, "state", state);
        return row;
}

void list_print_json(const List *l, ListJson form)
{
        struct json_object *rows = json_object_new_array();

        for (size_t i = 0; i < l->count; i++)
                json_object_array_add(rows, list_make_json(l->views[i], &l->looks[i]));
        text_print_json(json_object_to_json_string_ext(
                rows, JSON_C_TO_STRING_NOSLASHESCAPE |
                              (form == LIST_JSON_PRETTY
                                       ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                                       : JSON_C_TO_STRING_PLAIN)));
        json_object_put(rows);
}
