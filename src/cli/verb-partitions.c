/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawview partitions: the partition table of a disk, and the file systems in it. libblkid wants to read a file of the disk's bytes:
 * a view and a raw image are one, and of other images there is a private view for a moment.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mountinfo.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/file-system.h"
#include "cli/image-options.h"
#include "cli/partition-list.h"
#include "cli/private-view.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        /* What the child ends with when it has said nothing yet, since it wants the disk's bytes as a file. */
        PARTITIONS_WANTS_VIEW = 100,
};

typedef struct PartitionsOptions {
        PartitionListRequest list;
        ImageOptions common;
} PartitionsOptions;

typedef struct PartitionsWork {
        const PartitionsOptions *options;
        bool without_file_systems;
} PartitionsWork;

static int partitions_print_help(void)
{
        puts("Usage: rawview partitions [OPTIONS] IMAGE\n"
             "\n"
             "Lists the partitions of the disk in IMAGE, which may be a view as well, with\n"
             "their file systems.\n"
             "\n"
             "Options:\n"
             "  -j, --json[=FORM]          short (one line), pretty, or off (a table, the\n"
             "                             default); alone it is pretty on a terminal and\n"
             "                             short elsewhere\n"
             "      --no-legend            leave out the table's heading\n"
             "      --sector-size=SIZE     of the disk's sectors: auto, 512, 4096\n"
             "  -f, --format=FMT           format of the image instead of looking at it\n"
             "  -U, --force-share          read although another program may be writing\n"
             "      --references=POLICY    which files it may name: none, directory (beneath\n"
             "                             its own folder, the default), chain, any\n"
             "      --allowed-paths=FOLDERS  further folders for --references=chain\n"
             "      --require-sandbox      fail when the kernel lacks a part of the sandbox\n"
             "  -v, --verbose              say what keeps the process in that reads the disk\n"
             "  -h, --help                 this text");
        return cli_end(CLI_OK);
}

static int partitions_read(void *arg, void *buf, size_t len, uint64_t off)
{
        return node_read(arg, buf, len, off);
}

/* The image's own file, when it is the disk's bytes. */
static int partitions_find_raw(const Image *image)
{
        struct stat st;

        if (node_get_plain(image->node) != image->node->store || fstat(image->fd, &st) < 0)
                return -1;
        return S_ISREG(st.st_mode) && (uint64_t)st.st_size == node_get_size(image->node) ? image->fd
                                                                                         : -1;
}

static int partitions_work(Image *image, void *arg)
{
        const PartitionsWork *work = arg;
        PartitionSource source = {
                .read = partitions_read,
                .arg = image->node,
                .size = node_get_size(image->node),
                .sector_size = work->options->list.sector_size ? work->options->list.sector_size
                                                               : node_get_sector_size(image->node),
        };
        int raw = partitions_find_raw(image);

        if (raw < 0 && !work->without_file_systems)
                return PARTITIONS_WANTS_VIEW;
        return partition_list_show(&work->options->list, &source, raw);
}

/* A view's bytes are those of the disk, whatever they look like. Asks the file system nothing. */
static bool partitions_is_view(const char *file)
{
        _cleanup_close_ int fd = open(file, O_PATH | O_CLOEXEC);
        _cleanup_mount_table_ MountTable mounts = { 0 };
        uint64_t id = 0;

        if (fd < 0 || mount_id_of_fd(fd, &id) < 0 || mount_table_read(&mounts, NULL) < 0)
                return false;
        const MountEntry *e = mount_table_find(&mounts, id);
        return e && strcmp(e->type, MOUNT_TYPE_VIEW) == 0;
}

static int partitions_run_on_view(const PartitionsOptions *options, const char *file)
{
        _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_close_ int disk = -1;
        Err err = { "" };
        struct stat st;

        /* Of a folder of views, the disk. */
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
                disk = openat(fd, "disk", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
                if (disk >= 0)
                        return partition_list_run(&options->list, disk);
        } else if (fd >= 0) {
                return partition_list_run(&options->list, fd);
        }
        err_set(&err, errno, "%m");
        return cli_fail(file, &err);
}

static int partitions_run_on_image(const PartitionsOptions *options,
                                   const char *file,
                                   bool without_file_systems)
{
        ImageRequest request = image_options_request(&options->common, file);
        PartitionsWork work = { options, without_file_systems };

        request.with_chain = true;
        request.prepare = partition_list_limit_time;
        return image_run(&request, partitions_work, &work);
}

/* -1: there can be none, and why has been said. */
static int partitions_run_on_private_view(const PartitionsOptions *options, const char *file)
{
        _cleanup_private_view_ PrivateView view = PRIVATE_VIEW_NONE;
        _cleanup_free_ char *absolute = NULL;
        Err err = { "" };

        int r = daemon_make_absolute(file, &absolute, &err);
        if (r >= 0)
                r = private_view_open(absolute, &options->common.config, &view, &err);
        if (r >= 0)
                return partition_list_run(&options->list, view.fd);
        log_line(LOG_LEVEL_WARNING,
                 "%s: the file systems are not known, because no view of it can be had: %s", file,
                 err.text);
        return -1;
}

static int partitions_run(const PartitionsOptions *options, const char *file)
{
        bool looks = file_system_is_looked_for();

        if (!looks)
                log_line(LOG_LEVEL_WARNING,
                         "%s: the file systems are not known: rawview was built without libblkid",
                         file);
        if (partitions_is_view(file))
                return partitions_run_on_view(options, file);
        int status = partitions_run_on_image(options, file, !looks);
        if (status != PARTITIONS_WANTS_VIEW)
                return status;
        status = partitions_run_on_private_view(options, file);
        return status >= 0 ? status : partitions_run_on_image(options, file, true);
}

static int partitions_set_form(PartitionsOptions *options, const char *name)
{
        static const struct {
                const char *name;
                PartitionListForm form;
        } forms[] = {
                { "off", PARTITION_LIST_TABLE },
                { "short", PARTITION_LIST_SHORT },
                { "pretty", PARTITION_LIST_PRETTY },
        };

        if (!name)
                name = isatty(STDOUT_FILENO) ? "pretty" : "short";
        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
                if (strcmp(forms[i].name, name) == 0) {
                        options->list.form = forms[i].form;
                        return CLI_OK;
                }
        return cli_usage("partitions", "--json=%s is none of short, pretty, off", name);
}

enum {
        OPTION_NO_LEGEND = IMAGE_OPTION_END,
        OPTION_SECTOR_SIZE,
};

static int partitions_take(PartitionsOptions *options, int got, const char *value)
{
        switch (got) {
        case 'j':
                return partitions_set_form(options, value);
        case OPTION_NO_LEGEND:
                options->list.no_legend = true;
                return CLI_OK;
        case OPTION_SECTOR_SIZE:
                return image_options_set(&options->common, "partitions", "sector-size", value);
        default:
                return image_options_take(&options->common, "partitions", got, value);
        }
}

static int partitions_parse(PartitionsOptions *options, int argc, char **argv)
{
        static const struct option known[] = {
                IMAGE_OPTIONS,
                IMAGE_REFERENCE_OPTIONS,
                { "json", optional_argument, NULL, 'j' },
                { "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
                { "sector-size", required_argument, NULL, OPTION_SECTOR_SIZE },
                { NULL },
        };
        int status = CLI_OK;

        while (status == CLI_OK && !options->common.help) {
                int got = getopt_long(argc, argv, IMAGE_LETTERS "j", known, NULL);
                if (got < 0)
                        break;
                status = partitions_take(options, got, optarg);
        }
        options->list.require_sandbox = options->common.require_sandbox;
        options->list.sector_size = config_get_sector_size(&options->common.config);
        return status;
}

int verb_partitions(int argc, char **argv)
{
        PartitionsOptions options = { .list = { .form = PARTITION_LIST_TABLE } };

        image_options_init(&options.common);
        int status = partitions_parse(&options, argc, argv);
        if (status == CLI_OK && options.common.help) {
                status = partitions_print_help();
        } else if (status == CLI_OK &&
                   (status = image_options_want_one("partitions", argc - optind)) == CLI_OK) {
                options.list.file = argv[optind];
                partition_list_look(&options.list);
                status = partitions_run(&options, argv[optind]);
        }
        image_options_done(&options.common);
        return status;
}
