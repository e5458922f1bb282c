/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawview: finds the verb and hands over. */
#include "base/inherited.h"
#include "base/log.h"
#include "build-config.h"
#include "cli/cli.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct Verb {
        const char *name;
        int (*run)(int argc, char **argv);
        char *called; /* what the verb gets as argv[0] */
        const char *synopsis, *summary;
} Verb;

/* In the order in which --help lists them; an entry without a name ends it. */
static const Verb verbs[] = {
        { "mount", verb_mount, (char *)"rawview mount",
          "rawview mount [OPTIONS] IMAGE [MOUNTPOINT]", "show an image as a raw file" },
        { "umount", verb_umount, (char *)"rawview umount",
          "rawview umount VIEW|IMAGE… | --all | --stale", "end views" },
        { "list", verb_list, (char *)"rawview list", "rawview list [OPTIONS]", "list all views" },
        { "info", verb_info, (char *)"rawview info", "rawview info [OPTIONS] IMAGE",
          "print what an image says of itself" },
        { "map", verb_map, (char *)"rawview map", "rawview map [OPTIONS] IMAGE",
          "print where each part of a disk lies" },
        { "check", verb_check, (char *)"rawview check", "rawview check [OPTIONS] IMAGE",
          "look for damage in an image, and repair it" },
        { "partitions", verb_partitions, (char *)"rawview partitions",
          "rawview partitions [OPTIONS] IMAGE", "list the partitions of a disk" },
        { "doctor", verb_doctor, (char *)"rawview doctor", "rawview doctor [OPTIONS] [IMAGE]",
          "name what stands in the way, and what mends it" },
        { NULL },
};

static const Verb *verb_find(const char *name)
{
        for (const Verb *v = verbs; v->name; v++)
                if (strcmp(v->name, name) == 0)
                        return v;
        return NULL;
}

static int main_print_help(void)
{
        puts("Usage: rawview COMMAND [OPTIONS] …\n"
             "       rawview [OPTIONS] IMAGE [MOUNTPOINT]     (the same as rawview mount)\n"
             "\n"
             "Shows a guest's disk image as a plain raw file.\n"
             "\n"
             "Commands:");
        for (const Verb *v = verbs; v->name; v++)
                printf("  %-10s %s\n             %s\n", v->name, v->summary, v->synopsis);
        puts("\n"
             "Options:\n"
             "  -h, --help  this text; after a command, its options\n"
             "  --version   the version\n");
        return cli_end(CLI_OK);
}

/* mount(8) and umount(8) call their helpers under names of their own: mount.rawview, umount.fuse.rawview. */
static bool main_is_helper(const char *program, const char *caller)
{
        const char *slash = strrchr(program, '/');

        return strncmp(slash ? slash + 1 : program, caller, strlen(caller)) == 0;
}

int main(int argc, char **argv)
{
        if (inherited_fill_stdio() < 0)
                return CLI_FAILURE;
        log_open("rawview", LOG_LEVEL_NOTICE);
        if (argc >= 1 && main_is_helper(argv[0], "mount."))
                return verb_mount_helper(argc, argv);
        if (argc >= 1 && main_is_helper(argv[0], "umount."))
                return verb_umount_helper(argc, argv);
        if (argc < 2)
                return cli_usage(NULL, "which command, or which image?");
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
                return main_print_help();
        if (strcmp(argv[1], "--version") == 0) {
                printf("rawview %s\n", RAWVIEW_VERSION);
                return cli_end(CLI_OK);
        }

        const Verb *verb = verb_find(argv[1]);
        if (!verb)
                return verb_mount_unnamed(argc, argv);
        argv[1] = verb->called;
        return verb->run(argc - 1, argv + 1);
}
