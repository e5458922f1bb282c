/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/image.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mountinfo.h"
#include "base/safe-path.h"
#include "block/chain.h"
#include "block/limits.h"
#include "broker/broker.h"
#include "broker/user.h"
#include "cli/cli.h"
#include "cli/confined.h"
#include "cli/daemon.h"
#include "crypto/crypto.h"
#include "format/formats.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct ImageTask {
        const ImageRequest *request;
        ImageWork work;
        void *arg;
        const char *path; /* of the top image, symbolic links followed */
        int fd;           /* the top image; the child gives it to a store */
        SandboxOptions sandbox;
} ImageTask;

static void image_done(Image *i)
{
        i->node = node_close(i->node);
        i->cache = cache_free(i->cache);
        ipc_opener_done(&i->opener);
}

static int image_confine(ImageTask *t, int channel, pid_t parent, Err *err)
{
        const int keep[] = { t->fd, channel };

        t->sandbox.keep = keep;
        t->sandbox.keep_count = sizeof(keep) / sizeof(keep[0]);
        t->sandbox.parent = parent;
        return confined_enter(t->request->file, &t->sandbox, err);
}

static int image_parse(const ImageTask *t, int channel, Image *i, Err *err)
{
        const ImageRequest *request = t->request;
        _cleanup_store_ Store *top = NULL;

        int r = store_open_fd(t->fd, request->writable ? STORE_WRITABLE : STORE_READ_ONLY, &top,
                              err);
        if (r < 0)
                return r;
        r = cache_new(LIMIT_CACHE_DEFAULT, &i->cache);
        if (r < 0)
                return err_set(err, -r, "%m");
        r = ipc_opener_init(&i->opener, channel, top, err);
        if (r < 0)
                return r;

        ChainRequest chain = {
                .formats = all_formats,
                .raw = &format_raw,
                .format_name = request->format,
                .writable = request->writable,
                .for_check = request->for_check,
                .file_name = strrchr(t->path, '/') + 1,
                .stay_locked = request->stay_locked,
                .opener = &i->opener.opener,
                .only_top = !request->with_chain,
                .cache = i->cache,
        };
        i->fd = t->fd;
        r = chain_open(&chain, top, &i->node, err);
        if (r >= 0)
                TAKE(top);
        return r;
}

/* The child's whole life. Nothing of the image has been looked at before it is confined. */
static int image_look(void *arg, int channel, pid_t parent)
{
        ImageTask *t = arg;
        _cleanup_(image_done) Image image = { 0 };
        Err err = { "" };

        /* While files can still be opened; without ciphers an image that wants one says so. */
        (void)crypto_start(NULL);
        if (t->request->prepare)
                t->request->prepare();
        int r = image_confine(t, channel, parent, &err);
        if (r >= 0)
                r = image_parse(t, channel, &image, &err);
        return r < 0 ? cli_fail(t->request->file, &err) : t->work(&image, t->arg);
}

/* The view that `fd` (O_PATH) leads into; false: into none. */
static bool image_find_view(int fd, MountTable *mounts, const MountEntry **ret)
{
        uint64_t id = 0;

        if (mount_id_of_fd(fd, &id) < 0 || mount_table_read(mounts, NULL) < 0)
                return false;
        *ret = mount_table_find(mounts, id);
        return *ret && strcmp((*ret)->type, MOUNT_TYPE_VIEW) == 0;
}

/* Whoever asks what an image is does not want to hear that its view is raw. */
static void image_tell_view(const ImageRequest *request, int fd)
{
        _cleanup_mount_table_ MountTable mounts = { 0 };
        const MountEntry *e = NULL;

        if (!request->hints || !isatty(STDERR_FILENO) || !image_find_view(fd, &mounts, &e))
                return;
        if (strcmp(e->source, e->target) == 0)
                log_line(LOG_LEVEL_NOTICE,
                         "%s: is a view that covers its image; `rawview list` tells of that",
                         request->file);
        else
                log_line(LOG_LEVEL_NOTICE, "%s: is a view, and raw; its image is %s", request->file,
                         e->source);
}

/* What no image can be is said before it is opened, which a socket would refuse in other words. */
static int image_check_kind(const char *file, int fd, Err *err)
{
        _cleanup_mount_table_ MountTable mounts = { 0 };
        const MountEntry *e = NULL;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
                return 0;
        if (!S_ISDIR(st.st_mode))
                return err_set(err, EINVAL, "is neither a regular file nor a block device");
        if (image_find_view(fd, &mounts, &e))
                return err_set(err, EISDIR,
                               "is a folder with the views of a disk and its partitions; its "
                               "image is %s, and %s/disk is the disk",
                               e->source, file);
        return err_set(err, EISDIR, "is a folder, and no image");
}

static int image_open(const ImageRequest *request, const char *given, Broker *ret, Err *err)
{
        PathRule rule = geteuid() == 0 ? PATH_RULE_LINKS : PATH_RULE_KERNEL;
        BrokerRules rules = {
                .path_rule = rule,
                .policy = request->references,
                .allowed = request->allowed,
                .given = given,
                .writable = request->writable,
                .force_share = request->force_share,
                .tells_links = true,
                .lock_help = "-U (--force-share) reads it all the same",
        };
        /* Without O_NONBLOCK a fifo would keep us waiting before it is refused. */
        int access = (request->writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY;
        PathUse use = request->writable ? PATH_WRITE : PATH_READ;
        _cleanup_close_ int found = -1, fd = -1;

        int r = safe_path_open(request->file, rule, use, NULL, &found, err);
        if (r >= 0)
                r = image_check_kind(request->file, found, err);
        if (r < 0)
                return r;
        image_tell_view(request, found);
        r = safe_path_reopen(found, access, &fd);
        if (r < 0)
                return err_set(err, -r, "%m");
        r = broker_init(ret, &rules, fd, err);
        if (r >= 0)
                fd_take(&fd);
        return r;
}

static void image_attend(void *arg)
{
        ImageTask *t = arg;

        if (t->request->attend)
                t->request->attend(t->arg);
}

int image_run(const ImageRequest *request, ImageWork work, void *arg)
{
        _cleanup_free_ char *given = NULL;
        _cleanup_broker_ Broker broker = { .count = 0 };
        ImageTask t = {
                .request = request,
                .work = work,
                .arg = arg,
                .sandbox = { .cache_size = LIMIT_CACHE_DEFAULT,
                             .required = request->require_sandbox },
        };
        Err err = { "" };

        t.sandbox.switch_user = broker_find_user(&t.sandbox.uid, &t.sandbox.gid);
        int r = daemon_make_absolute(request->file, &given, &err);
        if (r >= 0)
                r = image_open(request, given, &broker, &err);
        if (r < 0)
                return cli_fail(request->file, &err);

        t.fd = broker.layers[0].fd;
        t.path = broker.layers[0].path;
        ConfinedTask task = {
                .file = request->file,
                .broker = &broker,
                .run = image_look,
                .attend = image_attend,
                .arg = &t,
        };
        return confined_run(&task);
}
