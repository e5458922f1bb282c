/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview list: the views of the kernel's mount table, and what each says of itself. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/terminal.h"
#include "cli/cli.h"
#include "cli/list.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

typedef enum ListStyle {
        LIST_STYLE_TABLE,
        LIST_STYLE_SHORT,
        LIST_STYLE_PRETTY,
} ListStyle;

typedef struct ListOptions {
        ListStyle style;
        bool no_legend, watch;
} ListOptions;

static int list_print_help(void)
{
        puts("Usage: rawview list [OPTIONS]\n"
             "\n"
             "Lists all views, as the kernel's mount table has them, with what each says of\n"
             "itself.\n"
             "\n"
             "Options:\n"
             "  -j, --json[=FORM]  short (one line), pretty, or off (a table, the default);\n"
             "                     alone it is pretty on a terminal and short elsewhere\n"
             "      --no-legend    leave out the table's heading\n"
             "      --watch        show it again every second, until q or Ctrl-C\n"
             "  -h, --help         this text");
        return cli_end(CLI_OK);
}

static bool list_set_style(ListOptions *options, const char *name)
{
        static const struct {
                const char *name;
                ListStyle style;
        } styles[] = {
                { "off", LIST_STYLE_TABLE },
                { "short", LIST_STYLE_SHORT },
                { "pretty", LIST_STYLE_PRETTY },
        };

        if (!name) {
                options->style = isatty(STDOUT_FILENO) ? LIST_STYLE_PRETTY : LIST_STYLE_SHORT;
                return true;
        }
        for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
                if (strcmp(styles[i].name, name) == 0) {
                        options->style = styles[i].style;
                        return true;
                }
        return false;
}

static int list_run(const ListOptions *options)
{
        _cleanup_list_ List list = { 0 };
        Err err = { "" };
        bool person = isatty(STDOUT_FILENO);

        terminal_prepare();
        if (options->watch)
                return list_watch(!options->no_legend);
        if (list_read(NULL, &list, &err) < 0)
                return cli_fail("list", &err);
        if (options->style != LIST_STYLE_TABLE) {
                list_print_json(&list, options->style == LIST_STYLE_PRETTY ? LIST_JSON_PRETTY
                                                                           : LIST_JSON_SHORT);
                return cli_end(CLI_OK);
        }
        TableShape shape = {
                .width = terminal_width(STDOUT_FILENO),
                .colour = terminal_has_colour(STDOUT_FILENO),
                .heading = !options->no_legend,
                .line_end = "\n",
        };
        if (list_print_table(&list, person ? LIST_FOR_PERSON : LIST_FOR_PROGRAM, &shape, stdout))
                return cli_end(CLI_OK);
        err_set(&err, ENOMEM, "%m");
        return cli_fail("list", &err);
}

int verb_list(int argc, char **argv)
{
        enum {
                OPTION_NO_LEGEND = 256,
                OPTION_WATCH,
        };
        static const struct option known[] = {
                { "json", optional_argument, NULL, 'j' },
                { "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
                { "watch", no_argument, NULL, OPTION_WATCH },
                { "help", no_argument, NULL, 'h' },
                { NULL },
        };
        ListOptions options = { 0 };

        for (int c; (c = getopt_long(argc, argv, "jh", known, NULL)) >= 0;)
                switch (c) {
                case 'j':
                        if (!list_set_style(&options, optarg))
                                return cli_usage("list", "--json=%s is none of short, pretty, off",
                                                 optarg);
                        break;
                case OPTION_NO_LEGEND:
                        options.no_legend = true;
                        break;
                case OPTION_WATCH:
                        options.watch = true;
                        break;
                case 'h':
                        return list_print_help();
                default:
                        return cli_see_help("list");
                }
        if (optind < argc)
                return cli_usage("list", "'%s': list takes no names", argv[optind]);
        if (options.watch && options.style != LIST_STYLE_TABLE)
                return cli_usage("list", "--watch shows a table, and no JSON");
        if (options.watch && !isatty(STDOUT_FILENO))
                return cli_usage("list", "--watch needs a terminal to show the views on");
        return list_run(&options);
}
