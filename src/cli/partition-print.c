/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/partition-print.h"

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* Which go first where a terminal is too narrow for all. */
static const TableColumn print_columns[] = {
        { "PART", .is_number = true }, { "START", .drop = 3, .is_number = true },
        { "SIZE", .is_number = true }, { "TYPE", .drop = 7 },
        { "BOOT", .drop = 4 },         { "NAME", .drop = 6 },
        { "FSTYPE", .drop = 9 },       { "LABEL", .drop = 8 },
        { "UUID", .drop = 2 },         { "PARTUUID", .drop = 1 },
};

static const TableColumn print_brief_columns[] = {
        { "PART", .is_number = true },
        { "SIZE", .is_number = true },
        { "TYPE", .drop = 1 },
        { "NAME", .drop = 2 },
        { "FSTYPE" },
        { "LABEL", .drop = 3 },
};

typedef enum PrintFor {
        PRINT_FOR_PERSON,  /* sizes with units */
        PRINT_FOR_PROGRAM, /* bytes */
} PrintFor;

static void print_add_type(Table *t, const PartitionTable *table, const Partition *p)
{
        char code[PARTITION_CODE_MAX];
        const char *name = partition_type_name(table, p);

        partition_type_code(table, p, code);
        table_add(t, name ? name : code, TABLE_PLAIN);
}

static void print_add_row(
        Table *t, const PartitionTable *table, size_t i, const FileSystem *fs, PrintFor whom)
{
        const Partition *p = &table->partitions[i];
        char number[16];

        snprintf(number, sizeof(number), "%u", p->number);
        table_add(t, number, TABLE_PLAIN);
        table_add_size(t, p->start, whom == PRINT_FOR_PERSON);
        table_add_size(t, p->len, whom == PRINT_FOR_PERSON);
        print_add_type(t, table, p);
        table_add(t, p->bootable ? "yes" : NULL, TABLE_PLAIN);
        table_add(t, p->name, TABLE_PLAIN);
        table_add(t, fs->type, TABLE_PLAIN);
        table_add(t, fs->label, TABLE_PLAIN);
        table_add(t, fs->uuid, TABLE_PLAIN);
        table_add(t, p->uuid, TABLE_PLAIN);
}

static void print_add_brief_row(Table *t,
                                const PartitionTable *table,
                                size_t i,
                                const FileSystem *fs)
{
        const Partition *p = &table->partitions[i];
        char number[16];

        snprintf(number, sizeof(number), "%u", p->number);
        table_add(t, number, TABLE_PLAIN);
        table_add_size(t, p->len, true);
        print_add_type(t, table, p);
        table_add(t, p->name, TABLE_PLAIN);
        table_add(t, fs->type, TABLE_PLAIN);
        table_add(t, fs->label, TABLE_PLAIN);
}

/* Instead of a table: in a sentence. */
static void print_nothing(const PartitionListRequest *request,
                          const PartitionTable *t,
                          const FileSystem *disk,
                          FILE *out)
{
        _cleanup_free_ char *file = text_printable(request->file),
                            *type = text_printable(disk->type),
                            *label = text_printable(disk->label);

        fprintf(out, "%s: %s", file ? file : "?",
                t->scheme == PARTITION_SCHEME_NONE ? "there is no partition table"
                                                   : "the partition table is empty");
        if (disk->type[0])
                fprintf(out, "; the disk itself is %s%s%s%s", type ? type : "?",
                        disk->label[0] ? " '" : "", label ? label : "", disk->label[0] ? "'" : "");
        fputc('\n', out);
}

static int print_table(const PartitionListRequest *request,
                       const PartitionTable *t,
                       const PartitionFacts *facts)
{
        bool brief = request->form == PARTITION_LIST_BRIEF;
        FILE *out = brief ? stderr : stdout;
        PrintFor whom = request->is_for_person ? PRINT_FOR_PERSON : PRINT_FOR_PROGRAM;
        _cleanup_table_ Table shown;

        if (brief)
                table_init(&shown, print_brief_columns,
                           sizeof(print_brief_columns) / sizeof(print_brief_columns[0]));
        else
                table_init(&shown, print_columns, sizeof(print_columns) / sizeof(print_columns[0]));

        if (t->count == 0) {
                print_nothing(request, t, &facts->disk, request->is_for_person ? out : stderr);
                return cli_end(CLI_OK);
        }
        for (size_t i = 0; i < t->count; i++)
                if (brief)
                        print_add_brief_row(&shown, t, i, &facts->each[i]);
                else
                        print_add_row(&shown, t, i, &facts->each[i], whom);
        if (table_print(&shown, &request->shape, out))
                return cli_end(CLI_OK);
        Err err;
        err_set(&err, ENOMEM, "%m");
        return cli_fail(request->file, &err);
}

static void print_put(json_object *o, const char *key, json_object *value)
{
        json_object_object_add(o, key, value);
}

static void print_put_text(json_object *o, const char *key, const char *text)
{
        print_put(o, key, text[0] ? json_object_new_string(text) : NULL);
}

static void print_put_file_system(json_object *o, const FileSystem *fs)
{
        print_put_text(o, "fstype", fs->type);
        print_put_text(o, "fslabel", fs->label);
        print_put_text(o, "fsuuid", fs->uuid);
}

/* As sfdisk(8) spells it. */
static void print_put_type(json_object *o, const PartitionTable *t, const Partition *p)
{
        const char *name = partition_type_name(t, p);
        char code[PARTITION_CODE_MAX];

        if (t->scheme == PARTITION_SCHEME_MBR && p->kind != PARTITION_BSD)
                snprintf(code, sizeof(code), "%x", p->mbr_type);
        else
                partition_type_code(t, p, code);
        for (char *c = code; t->scheme == PARTITION_SCHEME_GPT && *c; c++)
                *c = (char)toupper((unsigned char)*c);
        print_put(o, "type", json_object_new_string(code));
        print_put_text(o, "typename", name ? name : "");
}

static json_object *print_partition(const PartitionListRequest *request,
                                    const PartitionTable *t,
                                    const Partition *p,
                                    const FileSystem *fs)
{
        json_object *o = json_object_new_object();
        size_t len = strlen(request->file);
        bool digit = len > 0 && isdigit((unsigned char)request->file[len - 1]);
        _cleanup_free_ char *node = NULL;

        if (asprintf(&node, "%s%s%u", request->file, digit ? "p" : "", p->number) < 0)
                node = NULL;
        print_put_text(o, "node", node ? node : "");
        print_put(o, "number", json_object_new_int64(p->number));
        print_put(o, "start", json_object_new_uint64(p->start / t->sector_size));
        print_put(o, "size", json_object_new_uint64(p->len / t->sector_size));
        print_put(o, "start-bytes", json_object_new_uint64(p->start));
        print_put(o, "size-bytes", json_object_new_uint64(p->len));
        print_put_type(o, t, p);
        if (t->scheme == PARTITION_SCHEME_GPT) {
                char uuid[UUID_TEXT_LEN + 1];
                for (size_t i = 0; i <= UUID_TEXT_LEN; i++)
                        uuid[i] = (char)toupper((unsigned char)p->uuid[i]);
                print_put_text(o, "uuid", uuid);
        }
        print_put_text(o, "name", p->name);
        print_put_text(o, "partuuid", p->uuid);
        print_put(o, "bootable", json_object_new_boolean(p->bootable));
        print_put_file_system(o, fs);
        return o;
}

static void print_put_id(json_object *o, const PartitionTable *t)
{
        char id[UUID_TEXT_LEN + 3];

        snprintf(id, sizeof(id), "%s%s", t->scheme == PARTITION_SCHEME_MBR && t->id[0] ? "0x" : "",
                 t->id);
        for (char *c = id; t->scheme == PARTITION_SCHEME_GPT && *c; c++)
                *c = (char)toupper((unsigned char)*c);
        print_put_text(o, "id", id);
}

static json_object *print_disk(const PartitionListRequest *request,
                               const PartitionTable *t,
                               const PartitionFacts *facts)
{
        static const char *const labels[] = {
                [PARTITION_SCHEME_MBR] = "dos",
                [PARTITION_SCHEME_GPT] = "gpt",
                [PARTITION_SCHEME_APM] = "mac",
                [PARTITION_SCHEME_BSD] = "bsd",
        };
        json_object *o = json_object_new_object(), *all = json_object_new_array();

        print_put_text(o, "label", labels[t->scheme]);
        print_put_id(o, t);
        print_put(o, "device", json_object_new_string(request->file));
        print_put(o, "unit", json_object_new_string("sectors"));
        print_put(o, "sectorsize", json_object_new_int64(t->sector_size));
        print_put_text(o, "damage", t->damage);
        for (size_t i = 0; i < t->count; i++)
                json_object_array_add(
                        all, print_partition(request, t, &t->partitions[i], &facts->each[i]));
        print_put(o, "partitions", all);
        return o;
}

static int print_json(const PartitionListRequest *request,
                      const PartitionTable *t,
                      const PartitionFacts *facts)
{
        json_object *o = json_object_new_object();
        int form = request->form == PARTITION_LIST_PRETTY
                           ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                           : JSON_C_TO_STRING_PLAIN;

        print_put(o, "partitiontable",
                  t->scheme == PARTITION_SCHEME_NONE ? NULL : print_disk(request, t, facts));
        if (t->count == 0)
                print_put_file_system(o, &facts->disk);
        text_print_json(json_object_to_json_string_ext(o, form | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
        return cli_end(CLI_OK);
}

int partition_print(const PartitionListRequest *request,
                    const PartitionTable *t,
                    const PartitionFacts *facts)
{
        switch (request->form) {
        case PARTITION_LIST_SHORT:
        case PARTITION_LIST_PRETTY:
                return print_json(request, t, facts);
        case PARTITION_LIST_TABLE:
        case PARTITION_LIST_BRIEF:
                break;
        }
        return print_table(request, t, facts);
}
