/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview doctor: names what stands in the way of a view, and what to type against it. */
#include "base/cleanup.h"
#include "base/terminal.h"
#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/text.h"

#include <getopt.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        DOCTOR_INDENT = 5, /* of what belongs to a line before */
};

static const char *const doctor_grades[] = { "ok", "note", "bad" };

static int doctor_print_help(void)
{
        puts("Usage: rawview doctor [OPTIONS] [IMAGE]\n"
             "\n"
             "Names what stands in the way of views, or of a view of IMAGE, each with the line\n"
             "that mends it. Changes nothing.\n"
             "\n"
             "Options:\n"
             "  -j, --json     print JSON\n"
             "  -v, --verbose  say also what is well\n"
             "  -h, --help     this text\n"
             "\n"
             "Exit status: 0 nothing stands in the way, 1 something does");
        return cli_end(CLI_OK);
}

static void doctor_print_json(
        const Doctor *d, DoctorGrade grade, const char *about, const char *mend, const char *text)
{
        const char *const keys[] = { "grade", "about", "text", "mend" };
        const char *const values[] = { doctor_grades[grade], about, text, mend };
        json_object *o = json_object_new_object();

        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                _cleanup_free_ char *clean = values[i] ? text_utf8(values[i]) : NULL;
                json_object_object_add(o, keys[i], clean ? json_object_new_string(clean) : NULL);
        }
        putchar(d->said == 0 ? '[' : ',');
        text_print_json(json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
}

/* Words at the end of a line that has `used` columns; where one does not fit, a new line begins. A width of 0: there is no end. */
static void doctor_print_words(char *text, size_t used, size_t width)
{
        for (char *rest = text, *word; (word = strsep(&rest, " "));) {
                size_t len = terminal_text_width(word);
                if (width > 0 && used > DOCTOR_INDENT && used + 1 + len > width) {
                        printf("\n%*s", DOCTOR_INDENT, "");
                        used = DOCTOR_INDENT;
                } else if (used > DOCTOR_INDENT) {
                        putchar(' ');
                        used++;
                }
                fputs(word, stdout);
                used += len;
        }
        putchar('\n');
}

/* What is to be typed stays on one line, however long, so that it can be copied. */
static void doctor_print(
        const Doctor *d, DoctorGrade grade, const char *about, const char *mend, const char *text)
{
        static const char *const colours[] = { "\x1b[32m", "\x1b[33m", "\x1b[1;31m" };
        char unknown[] = "?";
        _cleanup_free_ char *clean = text_printable(text), *of = text_printable(about);
        _cleanup_free_ char *line = mend ? text_printable(mend) : NULL;

        printf("%s%-*s%s%s:", d->has_colour ? colours[grade] : "", DOCTOR_INDENT,
               doctor_grades[grade], d->has_colour ? "\x1b[0m" : "", of ? of : "?");
        doctor_print_words(clean ? clean : unknown,
                           DOCTOR_INDENT + (of ? terminal_text_width(of) : 1) + 1, d->width);
        if (line)
                printf("     -> %s\n", line);
}

void doctor_say(
        Doctor *d, DoctorGrade grade, const char *about, const char *mend, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list args;

        d->bad += grade == DOCTOR_BAD;
        if (mend && geteuid() == 0 && strncmp(mend, DOCTOR_ROOT, strlen(DOCTOR_ROOT)) == 0)
                mend += strlen(DOCTOR_ROOT);
        if (grade == DOCTOR_OK && !d->is_verbose)
                return;
        va_start(args, fmt);
        int n = vasprintf(&text, fmt, args);
        va_end(args);
        if (n < 0)
                text = NULL;
        if (d->as_json)
                doctor_print_json(d, grade, about, mend, text ? text : "?");
        else
                doctor_print(d, grade, about, mend, text ? text : "?");
        d->said++;
        /* What was found stands there, whatever comes next. */
        fflush(stdout);
}

static int doctor_run(Doctor *d, const char *image)
{
        terminal_prepare();
        d->width = terminal_width(STDOUT_FILENO);
        d->has_colour = !d->as_json && terminal_has_colour(STDOUT_FILENO);
        doctor_look_at_fuse(d);
        doctor_look_at_system(d);
        doctor_look_at_installed(d);
        doctor_look_at_limits(d);
        doctor_look_at_folder(d);
        doctor_look_at_policy(d);
        doctor_look_at_denials(d);
        doctor_look_at_views(d);
        doctor_look_at_descriptors(d);
        doctor_look_at_units(d);
        if (image)
                doctor_look_at_image(d, image);
        if (d->as_json)
                puts(d->said == 0 ? "[]" : "]");
        else if (d->bad == 0)
                puts("Nothing stands in the way.");
        return cli_end(d->bad == 0 ? CLI_OK : CLI_FAILURE);
}

int verb_doctor(int argc, char **argv)
{
        static const struct option known[] = {
                { "json", no_argument, NULL, 'j' },
                { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { NULL },
        };
        Doctor d = { 0 };

        for (int c; (c = getopt_long(argc, argv, "jvh", known, NULL)) >= 0;)
                switch (c) {
                case 'j':
                        d.as_json = true;
                        break;
                case 'v':
                        d.is_verbose = true;
                        break;
                case 'h':
                        return doctor_print_help();
                default:
                        return cli_see_help("doctor");
                }
        if (argc - optind > 1)
                return cli_usage("doctor", "doctor takes one image at a time");
        return doctor_run(&d, argv[optind]);
}
