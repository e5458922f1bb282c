/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* umount.rawview, umount.fuse.rawview: what umount(8) calls. It returns when the image is closed, and so does umount(8),
 * whoever calls it: a person, or systemd for a mount unit. */
#include "base/log.h"
#include "build-config.h"
#include "cli/cli.h"
#include "cli/mount-exit.h"
#include "cli/umount.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

enum {
        UMOUNT_HELPER_VERSION = 256,
};

static int umount_helper_print_help(void)
{
        puts("Usage: umount VIEW\n"
             "       umount.rawview VIEW [-flnrv] [-N NAMESPACE] [-t TYPE]\n"
             "\n"
             "What umount(8) calls for views. Returns when everything written is on disk and the\n"
             "image is closed.\n"
             "\n"
             "  -l             take it away though it is in use, and wait for nothing\n"
             "  -f             give up what is not written yet\n"
             "  -n, -r, -v     ignored\n"
             "  -t TYPE        ignored\n"
             "      --version  the version\n"
             "  -h, --help     this text");
        return cli_end(CLI_OK);
}

static int umount_helper_run(const char *path, UmountHow how)
{
        Err err;

        if (getuid() != geteuid() || getgid() != getegid()) {
                log_line(LOG_LEVEL_ERROR,
                         "runs with the rights of user %u for user %u, and refuses to",
                         (unsigned)geteuid(), (unsigned)getuid());
                return MOUNT_EXIT_USAGE;
        }
        int r = umount_path(path, how, &err);
        if (r >= 0)
                return MOUNT_EXIT_OK;
        (void)cli_fail(path, &err);
        return r == -EPERM || r == -EINVAL ? MOUNT_EXIT_USAGE : MOUNT_EXIT_FAILED;
}

int verb_umount_helper(int argc, char **argv)
{
        static const struct option known[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, UMOUNT_HELPER_VERSION },
                { NULL },
        };
        UmountHow how = UMOUNT_CLEAN;

        argv[0] = (char *)"umount.rawview";
        for (int got; (got = getopt_long(argc, argv, "flnrvN:t:h", known, NULL)) >= 0;)
                switch (got) {
                case 'l':
                        how = UMOUNT_LAZY;
                        break;
                case 'f':
                        how = how == UMOUNT_LAZY ? how : UMOUNT_FORCE;
                        break;
                case 'N':
                        log_line(LOG_LEVEL_ERROR, "-N: other mount namespaces are left alone");
                        return MOUNT_EXIT_USAGE;
                case 'n':
                case 'r':
                case 't':
                case 'v':
                        break;
                case 'h':
                        return umount_helper_print_help();
                case UMOUNT_HELPER_VERSION:
                        printf("umount.rawview %s\n", RAWVIEW_VERSION);
                        return cli_end(CLI_OK);
                default:
                        return MOUNT_EXIT_USAGE;
                }
        if (argc - optind != 1) {
                log_line(LOG_LEVEL_ERROR, "one view is needed; umount(8) calls this program");
                return MOUNT_EXIT_USAGE;
        }
        return umount_helper_run(argv[optind], how);
}
