/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/image.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Nothing is opened in earnest before it is known what it is: a fifo would block, a tape would be wound back. */
static int image_check_type(int fd, Err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0 && errno == ENOTCONN)
                return err_set(err, ENOTCONN,
                               "is covered by a dead view; 'rawview umount --stale' "
                               "takes it away");
        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return err_set(err, EINVAL, "is neither a regular file nor a block device");
        return 0;
}

/* A device that root may not open is kept from it by a unit with DevicePolicy=. */
static const char *image_explain_refusal(int fd, int code)
{
        struct stat st;

        return code == EPERM && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode)
                       ? " (a unit needs DeviceAllow= for a device)"
                       : "";
}

static int image_open_file(
        const Config *c, PathRule rule, PathChooser *ret_chooser, int *ret, Err *err)
{
        bool writes = config_writes_image(c);
        const char *what = writes ? " for writing" : "";
        _cleanup_close_ int found = -1;
        Err why = { "" };

        int r = safe_path_open(c->path, rule, writes ? PATH_WRITE : PATH_READ, ret_chooser, &found,
                               &why);
        if (r == -EPERM)
                return err_set(err, EPERM, "%s", why.text);
        if (r < 0)
                return err_set(err, -r, "cannot open it%s: %s", what, why.text);
        r = image_check_type(found, err);
        if (r < 0)
                return r;
        r = safe_path_reopen(found, (writes ? O_RDWR : O_RDONLY) | O_NOCTTY, ret);
        return r < 0 ? err_set(err, -r, "cannot open it%s: %m%s", what,
                               image_explain_refusal(found, -r))
                     : 0;
}

bool image_is_for_others(const Config *c)
{
        return (c->has_owner && c->owner != 0) || c->mode & 077;
}

/* Who else than root could write names into the image, and whether others than root see what it shows. */
static int image_find_namer(
        int fd, const Config *c, const PathChooser *chooser, BrokerRules *rules, Err *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        rules->namer = chooser->known ? chooser->uid : st.st_uid;
        rules->namers = st.st_gid;
        rules->has_namers = safe_path_is_shared(fd, &st);
        rules->has_namer = rules->namer != 0 || rules->has_namers;
        rules->others_see = image_is_for_others(c);
        return 0;
}

static void image_warn(const char *path, const char *text)
{
        log_line(LOG_LEVEL_WARNING, "%s: %s", path, text);
}

int image_open(const Config *c, PathRule rule, Broker *ret, Err *err)
{
        BrokerRules rules = {
                .policy = c->references,
                .allowed = c->allowed_paths,
                .given = c->path,
                .path_rule = rule,
                .writable = config_writes_image(c),
                .force_share = c->force_share,
                .hides_reasons = true,
                .lock_help = "--force-share (ForceShare=yes) shows it all the same, read-only",
                .warn = image_warn,
        };
        PathChooser chooser = { 0 };
        _cleanup_close_ int fd = -1;

        int r = image_open_file(c, rule, &chooser, &fd, err);
        if (r >= 0 && rule != PATH_RULE_KERNEL)
                r = image_find_namer(fd, c, &chooser, &rules, err);
        if (r < 0)
                return r;
        r = broker_init(ret, &rules, fd, err);
        if (r < 0)
                return r;
        fd_take(&fd);
        if (c->force_share)
                image_warn(ret->layers[0].path,
                           "no image locks are taken or tested (ForceShare=yes): while another "
                           "program writes to it, what is read may be inconsistent");
        return 0;
}
