/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview list: the views of the kernel's mount table, and what each says of itself. */
#include "base/cleanup.h"
#include "base/mountinfo.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/text.h"
#include "cli/view-look.h"

#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

typedef enum ListStyle {
        LIST_TABLE,
        LIST_JSON_SHORT,
        LIST_JSON_PRETTY,
} ListStyle;

typedef struct ListOptions {
        ListStyle style;
        bool no_legend;
} ListOptions;

static int list_print_help(void)
{
        puts("Usage: rawview list [OPTIONS]\n"
             "\n"
             "Lists all views, as the kernel's mount table has them, with what each says of\n"
             "itself.\n"
             "\n"
             "Options:\n"
             "      --json=FORM   short (one line), pretty, or off (a table, the default)\n"
             "      --no-legend   leave out the table's heading\n"
             "  -h, --help        this text");
        return cli_end(CLI_OK);
}

static bool list_is_read_only(const MountEntry *e)
{
        return mount_options_have(e->options, "ro", NULL);
}

static void list_print_text(const char *text, int width)
{
        _cleanup_free_ char *clean = text_printable(text);
        int printed = 0;

        for (const char *c = clean; c && *c; c++) {
                putchar(*c);
                /* The bytes after the first of a UTF-8 character take no room. */
                printed += ((unsigned char)*c & 0xc0) != 0x80;
        }
        printf("%*s", printed < width ? width - printed + 1 : 1, "");
}

static void list_print_row(const MountEntry *e, const ViewLook *look)
{
        char size[SIZE_TEXT_MAX] = "-", pid[16] = "-";
        pid_t number = view_look_pid(look);

        if (look->condition == VIEW_SERVING)
                size_format(look->size, size);
        if (number > 0)
                snprintf(pid, sizeof(pid), "%d", (int)number);
        list_print_text(e->target, 32);
        list_print_text(e->source, 32);
        list_print_text(look->format[0] ? look->format : "-", 7);
        list_print_text(size, 7);
        list_print_text(list_is_read_only(e) ? "ro" : "rw", 4);
        list_print_text(pid, 8);
        puts(view_condition_name(look->condition));
}

static struct json_object *list_make_json(const MountEntry *e, const ViewLook *look)
{
        struct json_object *row = json_object_new_object();
        struct json_object *state = look->state[0] ? json_tokener_parse(look->state) : NULL;
        bool is_object = json_object_is_type(state, json_type_object);

        json_object_object_add(row, "view", json_object_new_string(e->target));
        json_object_object_add(row, "image", json_object_new_string(e->source));
        json_object_object_add(row, "condition",
                               json_object_new_string(view_condition_name(look->condition)));
        json_object_object_add(row, "writable", json_object_new_boolean(!list_is_read_only(e)));
        if (look->condition == VIEW_SERVING) {
                char mode[8];
                snprintf(mode, sizeof(mode), "%04o", look->mode);
                json_object_object_add(row, "size", json_object_new_uint64(look->size));
                json_object_object_add(row, "mode", json_object_new_string(mode));
        }
        if (look->format[0])
                json_object_object_add(row, "format", json_object_new_string(look->format));
        if (is_object)
                json_object_object_add(row, "state", state);
        else
                json_object_put(state);
        return row;
}

static int list_print_all(const ListOptions *options, const MountTable *mounts)
{
        struct json_object *rows = json_object_new_array();

        if (options->style == LIST_TABLE && !options->no_legend)
                printf("%-32s %-32s %-7s %-7s %-4s %-8s %s\n", "VIEW", "IMAGE", "FORMAT", "SIZE",
                       "MODE", "PID", "STATE");
        for (size_t i = 0; i < mounts->count; i++) {
                const MountEntry *e = &mounts->entries[i];
                ViewLook look;
                if (strcmp(e->type, MOUNT_TYPE_VIEW) != 0)
                        continue;
                /* Looking forks, and ThreadSanitizer's _exit prints what waits to be printed. */
                fflush(stdout);
                view_look(e->target, &look);
                if (options->style == LIST_TABLE)
                        list_print_row(e, &look);
                else
                        json_object_array_add(rows, list_make_json(e, &look));
        }
        if (options->style != LIST_TABLE)
                text_print_json(json_object_to_json_string_ext(
                        rows, JSON_C_TO_STRING_NOSLASHESCAPE |
                                      (options->style == LIST_JSON_PRETTY
                                               ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                                               : JSON_C_TO_STRING_PLAIN)));
        json_object_put(rows);
        return cli_end(CLI_OK);
}

static bool list_set_style(ListOptions *options, const char *name)
{
        static const struct {
                const char *name;
                ListStyle style;
        } styles[] = {
                { "off", LIST_TABLE },
                { "short", LIST_JSON_SHORT },
                { "pretty", LIST_JSON_PRETTY },
        };

        for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
                if (strcmp(styles[i].name, name) == 0) {
                        options->style = styles[i].style;
                        return true;
                }
        return false;
}

int verb_list(int argc, char **argv)
{
        enum {
                OPTION_JSON = 256,
                OPTION_NO_LEGEND,
        };
        static const struct option known[] = {
                { "json", required_argument, NULL, OPTION_JSON },
                { "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
                { "help", no_argument, NULL, 'h' },
                { NULL },
        };
        ListOptions options = { 0 };

        for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) >= 0;)
                switch (c) {
                case OPTION_JSON:
                        if (!list_set_style(&options, optarg))
                                return cli_usage("list", "--json=%s is none of short, pretty, off",
                                                 optarg);
                        break;
                case OPTION_NO_LEGEND:
                        options.no_legend = true;
                        break;
                case 'h':
                        return list_print_help();
                default:
                        return cli_see_help("list");
                }
        if (optind < argc)
                return cli_usage("list", "'%s': list takes no names", argv[optind]);

        _cleanup_mount_table_ MountTable mounts = { 0 };
        Err err;
        if (mount_table_read(&mounts, &err) < 0)
                return cli_fail("list", &err);
        return list_print_all(&options, &mounts);
}
