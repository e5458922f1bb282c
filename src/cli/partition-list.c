/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/partition-list.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/terminal.h"
#include "block/limits.h"
#include "broker/broker.h"
#include "broker/user.h"
#include "cli/cli.h"
#include "cli/confined.h"
#include "cli/next-steps.h"
#include "cli/partition-print.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
        /* A disk that answers a request within a second needs less for all of 256 partitions. */
        PARTITION_LIST_SECONDS = 60,
        PARTITION_LIST_STATE_MAX = 64 * 1024,
};

typedef struct PartitionListTask {
        const PartitionListRequest *request;
        int fd;
        uint32_t sector_size;
} PartitionListTask;

void partition_list_look(PartitionListRequest *request)
{
        int fd = request->form == PARTITION_LIST_BRIEF ? STDERR_FILENO : STDOUT_FILENO;

        terminal_prepare();
        request->is_for_person = request->form == PARTITION_LIST_BRIEF || isatty(fd);
        request->shape = (TableShape){
                .width = terminal_width(fd),
                .colour = terminal_has_colour(fd),
                .heading = !request->no_legend,
                .line_end = "\n",
        };
}

void partition_list_limit_time(void)
{
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGALRM, SIG_DFL);
        alarm(PARTITION_LIST_SECONDS);
}

/* File systems are asked for one after the other: a disk of which nothing can be read is an error once, and the list is shown. */
static void partition_list_find(const PartitionTable *t,
                                int raw,
                                uint64_t size,
                                PartitionFacts *facts)
{
        for (size_t i = 0; i < t->count; i++)
                if (t->partitions[i].kind != PARTITION_EXTENDED)
                        (void)file_system_find(raw, t->partitions[i].start, t->partitions[i].len,
                                               &facts->each[i]);
        if (t->count == 0)
                (void)file_system_find(raw, 0, size, &facts->disk);
}

static void partition_facts_freep(PartitionFacts **f)
{
        free(*f);
}

int partition_list_show(const PartitionListRequest *request, const PartitionSource *source, int raw)
{
        _cleanup_free_ PartitionTable *table = NULL;
        _cleanup_(partition_facts_freep) PartitionFacts *facts = calloc(1, sizeof(*facts));
        Err err = { "" };

        int r = facts ? 0 : err_set(&err, ENOMEM, "%m");
        if (r >= 0)
                r = partition_table_read(source, &table, &err);
        if (r < 0)
                return cli_fail(request->file, &err);
        if (table->damage[0])
                log_line(LOG_LEVEL_WARNING, "%s: %s", request->file, table->damage);
        if (raw >= 0)
                partition_list_find(table, raw, source->size, facts);
        r = partition_print(request, table, facts);
        if (r == CLI_OK && request->view)
                next_steps_tell(request->view, table, facts);
        return r;
}

static int partition_list_read(void *arg, void *buf, size_t len, uint64_t off)
{
        const int *fd = arg;

        for (size_t done = 0; done < len;) {
                ssize_t n = pread(*fd, (char *)buf + done, len - done, (off_t)(off + done));
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return -ENODATA;
                done += n > 0 ? (size_t)n : 0;
        }
        return 0;
}

static int partition_list_confine(const PartitionListTask *t, int channel, pid_t parent, Err *err)
{
        const int keep[] = { t->fd, channel };
        SandboxOptions options = {
                .keep = keep,
                .keep_count = 2,
                .cache_size = LIMIT_CACHE_DEFAULT,
                .required = t->request->require_sandbox,
                .parent = parent,
        };

        options.switch_user = broker_find_user(&options.uid, &options.gid);
        return confined_enter(t->request->file, &options, err);
}

static int partition_list_child(void *arg, int channel, pid_t parent)
{
        PartitionListTask *t = arg;
        PartitionSource source = { .read = partition_list_read, .arg = &t->fd };
        struct stat st;
        Err err = { "" };

        partition_list_limit_time();
        int r = partition_list_confine(t, channel, parent, &err);
        if (r >= 0 && fstat(t->fd, &st) < 0)
                r = err_set(&err, errno, "cannot tell its size: %m");
        if (r >= 0 && !S_ISREG(st.st_mode))
                r = err_set(&err, EINVAL, "is no regular file");
        if (r < 0)
                return cli_fail(t->request->file, &err);
        source.size = (uint64_t)st.st_size;
        source.sector_size = t->sector_size;
        return partition_list_show(t->request, &source, t->fd);
}

/* What a view says of it; 0: nothing. */
static uint32_t partition_list_get_sector_size(int fd)
{
        char text[PARTITION_LIST_STATE_MAX];
        struct json_object *size = NULL;

        ssize_t n = fgetxattr(fd, "user.rawview.state", text, sizeof(text) - 1);
        if (n < 0)
                return 0;
        text[n] = '\0';
        struct json_object *state = json_tokener_parse(text);
        int64_t is = json_object_is_type(state, json_type_object) &&
                                     json_object_object_get_ex(state, "sector-size", &size)
                             ? json_object_get_int64(size)
                             : 0;
        json_object_put(state);
        return is == 512 || is == 4096 ? (uint32_t)is : 0;
}

int partition_list_run(const PartitionListRequest *request, int fd)
{
        PartitionListTask t = {
                .request = request,
                .fd = fd,
                .sector_size = request->sector_size ? request->sector_size
                                                    : partition_list_get_sector_size(fd),
        };
        /* Nothing may be opened. */
        Broker none = { .count = 0 };
        ConfinedTask task = {
                .file = request->file,
                .broker = &none,
                .run = partition_list_child,
                .arg = &t,
        };

        return confined_run(&task);
}

void partition_list_tell(const char *disk, const PartitionListView *view)
{
        PartitionListRequest request = {
                .file = disk,
                .form = PARTITION_LIST_BRIEF,
                .view = view->word ? view : NULL,
        };
        _cleanup_close_ int fd = open(disk, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        partition_list_look(&request);
        if (fd >= 0)
                (void)partition_list_run(&request, fd);
}
