/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mount.rawview, mount.fuse.rawview: what mount(8) calls, with its arguments and its exit statuses. */
#include "base/cleanup.h"
#include "base/inherited.h"
#include "base/log.h"
#include "build-config.h"
#include "cli/cli.h"
#include "cli/mount-exit.h"
#include "cli/mount-request.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        MOUNT_HELPER_VERSION = 256,
};

typedef struct MountHelper {
        MountRequest request;
        const char *options;    /* behind -o */
        const char *name_space; /* another one to mount in: a file of /proc */
        bool fake;              /* look, and mount nothing */
} MountHelper;

static void mount_helper_done(MountHelper *h)
{
        mount_request_done(&h->request);
}

static int mount_helper_print_help(void)
{
        ConfigOption o;

        puts("Usage: mount -t rawview IMAGE MOUNTPOINT [-o OPTIONS]\n"
             "       mount.rawview IMAGE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS]\n"
             "                     [-t TYPE]\n"
             "\n"
             "What mount(8) calls for the types rawview and fuse.rawview.\n"
             "\n"
             "  -s             ignore options of -o that are unknown\n"
             "  -f             look whether it could be mounted, and mount nothing\n"
             "  -n             ignored: there is no mtab\n"
             "  -v             say more\n"
             "  -N NAMESPACE   mount in the mount namespace that this file of /proc stands for\n"
             "  -o OPTIONS     what is listed below, by commas\n"
             "  -t TYPE        rawview or fuse.rawview\n"
             "      --version  the version\n"
             "  -h, --help     this text\n"
             "\n"
             "Options of -o, beside those that mount(8) has for all file systems:\n"
             "  ro                     the image is not changed\n"
             "  rw                     the view can be written; what mount(8) says without ro");
        for (size_t i = 0; config_get_option(i, &o); i++) {
                char left[64];
                if (mount_request_is_path(o.name))
                        continue;
                snprintf(left, sizeof(left), "%s%s%s%s", o.name,
                         o.needs_value ? "=" : "[=", o.value, o.needs_value ? "" : "]");
                printf("  %-22s %s\n", left, o.doc);
        }
        puts("  pidfile=FILE           write the process id to signal there\n"
             "  require-sandbox        no view when the kernel lacks a part of the sandbox\n"
             "  core-dumps             let a crash leave a core, with pieces of the image");
        return cli_end(CLI_OK);
}

static int mount_helper_check_type(const MountHelper *h, const char *type)
{
        if (strcmp(type, "rawview") == 0 || strcmp(type, "fuse.rawview") == 0)
                return CLI_OK;
        return mount_request_refuse(&h->request, "-t: the type '%s' is not rawview or fuse.rawview",
                                    type);
}

/* -1: go on; else the exit status. */
static int mount_helper_take_option(MountHelper *h, int got)
{
        switch (got) {
        case 's':
                h->request.sloppy = true;
                return -1;
        case 'f':
                h->fake = true;
                return -1;
        case 'n':
                return -1;
        case 'v':
                h->request.verbose = true;
                return -1;
        case 'N':
                h->name_space = optarg;
                return -1;
        case 'o':
                h->options = optarg;
                return -1;
        case 't':
                return mount_helper_check_type(h, optarg) == CLI_OK ? -1 : (int)MOUNT_EXIT_USAGE;
        case 'h':
                return mount_helper_print_help();
        case MOUNT_HELPER_VERSION:
                printf("mount.rawview %s\n", RAWVIEW_VERSION);
                return cli_end(CLI_OK);
        default:
                return MOUNT_EXIT_USAGE;
        }
}

/* -1: go on; else the exit status. */
static int mount_helper_scan(MountHelper *h, int argc, char **argv)
{
        static const struct option known[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, MOUNT_HELPER_VERSION },
                { NULL },
        };
        int got;

        argv[0] = (char *)"mount.rawview";
        while ((got = getopt_long(argc, argv, "sfnvN:o:t:h", known, NULL)) != -1) {
                int status = mount_helper_take_option(h, got);
                if (status >= 0)
                        return status;
        }
        return -1;
}

/* mount(8) takes a caller's rights on before it calls us. Half of them would be somebody else's. */
static int mount_helper_check_caller(const MountHelper *h)
{
        if (getuid() == geteuid() && getgid() == getegid())
                return CLI_OK;
        return mount_request_refuse(&h->request,
                                    "runs with the rights of user %u for user %u, and refuses to",
                                    (unsigned)geteuid(), (unsigned)getuid());
}

/* mount(8) has looked the paths up there already. */
static int mount_helper_enter(const MountHelper *h)
{
        _cleanup_close_ int fd = -1;

        if (!h->name_space)
                return CLI_OK;
        fd = open(h->name_space, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && setns(fd, CLONE_NEWNS) == 0)
                return CLI_OK;
        log_line(LOG_LEVEL_ERROR, "-N: cannot enter the mount namespace %s: %m", h->name_space);
        return CLI_FAILURE;
}

/* The type alone: a view may be there, whose server hangs. */
static int mount_helper_look_at(const MountHelper *h, const char *mount_point)
{
        struct statx st;
        int fd = -1;

        if (inherited_parse_path(mount_point, &fd) > 0)
                return MOUNT_EXIT_OK;
        if (statx(AT_FDCWD, mount_point, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_TYPE,
                  &st) < 0) {
                log_line(LOG_LEVEL_ERROR, "%s: %m", mount_point);
                return MOUNT_EXIT_FAILED;
        }
        if (S_ISREG(st.stx_mode))
                return MOUNT_EXIT_OK;
        log_line(LOG_LEVEL_ERROR, "%s: is not a regular file", mount_point);
        return MOUNT_EXIT_FAILED;
}

static int mount_helper_look(const MountHelper *h)
{
        const Config *c = &h->request.config;

        if (access(c->path, c->writable ? R_OK | W_OK : R_OK) < 0) {
                log_line(LOG_LEVEL_ERROR, "%s: %m", c->path);
                return errno == EACCES || errno == EROFS ? MOUNT_EXIT_USAGE : MOUNT_EXIT_FAILED;
        }
        return mount_helper_look_at(h, c->mount_point);
}

/* mount(8) leaves "nofail" to its helpers. */
static bool mount_helper_may_pass(const MountHelper *h)
{
        const MountRequest *m = &h->request;

        if (!m->may_be_missing || access(m->config.path, F_OK) == 0 || errno != ENOENT)
                return false;
        if (m->verbose)
                log_line(LOG_LEVEL_NOTICE, "%s: does not exist, which is no error (nofail)",
                         m->config.path);
        return true;
}

static int mount_helper_prepare(MountHelper *h, int argc, char **argv)
{
        MountRequest *m = &h->request;

        if (argc - optind != 2)
                return mount_request_refuse(m, "an image and a mount point are needed; mount(8) "
                                               "calls this program");
        int status = mount_helper_check_caller(h);
        if (status == CLI_OK && m->verbose)
                status = daemon_add(&m->command, "-v");
        if (status == CLI_OK && h->options)
                status = mount_request_take_words(m, h->options);
        if (status == CLI_OK)
                status = mount_helper_enter(h);
        if (status == CLI_OK)
                status = mount_request_take_paths(m, argv[optind], argv[optind + 1]);
        return status;
}

int verb_mount_helper(int argc, char **argv)
{
        _cleanup_(mount_helper_done) MountHelper h = { 0 };

        mount_request_init(&h.request);
        h.request.for_mount = true;
        int status = mount_helper_scan(&h, argc, argv);
        if (status >= 0)
                return status;
        status = mount_helper_prepare(&h, argc, argv);
        if (status != CLI_OK)
                return mount_exit_from(status);
        if (mount_helper_may_pass(&h))
                return MOUNT_EXIT_OK;
        return h.fake ? mount_helper_look(&h) : mount_request_run(&h.request, false);
}
