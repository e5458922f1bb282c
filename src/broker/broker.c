/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/broker.h"

#include "base/cleanup.h"
#include "base/fd-path.h"
#include "base/safe-path.h"
#include "lock/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* All that is said of a refusal whose reason is hidden; the reason takes its place at the end of a sentence. */
#define BROKER_REFUSED "refused"

#define BROKER_WORD_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* The asker is given this very open file, so the lock is held until both have closed it. */
static int broker_lock(Broker *b, int fd, const char *path, bool writable, Err *err)
{
        Err why = { "" };

        if (b->rules.force_share)
                return 0;
        int r = lock_take(fd, writable ? LOCK_WRITER : LOCK_READER, &why);
        if (r == LOCK_UNKNOWN_HERE && b->rules.warn && !b->lock_is_warned) {
                b->rules.warn(path, why.text);
                b->lock_is_warned = true;
        }
        if (r == -EAGAIN)
                return err_set(err, EAGAIN, "%s; %s", why.text, b->rules.lock_help);
        return r < 0 ? err_set(err, -r, "%s", why.text) : 0;
}

int broker_init(Broker *b, const BrokerRules *rules, int fd, Err *err)
{
        _cleanup_free_ char *path = NULL;

        *b = (Broker){ .rules = *rules };
        int r = fd_path(fd, &path, err);
        if (r < 0)
                return r;
        r = broker_lock(b, fd, path, rules->writable, err);
        if (r < 0)
                return r;
        b->layers[0] = (Layer){ .fd = fd, .path = TAKE(path) };
        b->count = 1;
        return 0;
}

int broker_add_overlay(Broker *b, int fd, const char *path, Err *err)
{
        _cleanup_free_ char *copy = strdup(path);
        if (!copy)
                return err_set(err, ENOMEM, "%m");

        int r = broker_lock(b, fd, path, true, err);
        if (r < 0)
                return r;
        b->overlay = b->count++;
        b->layers[b->overlay] = (Layer){ .fd = fd, .path = TAKE(copy) };
        return 0;
}

/* Whether what an overlay names is the image: looked up, and not opened. */
static int broker_check_names_image(const Broker *b, const char *name, Err *err)
{
        const char *path = b->layers[b->overlay].path;
        char absolute[PATH_MAX + MESSAGE_NAME_MAX];
        struct stat image, named;
        _cleanup_close_ int fd = -1;

        int folder_len = name[0] == '/' ? 0 : (int)(strrchr(path, '/') + 1 - path);
        snprintf(absolute, sizeof(absolute), "%.*s%s", folder_len, path, name);
        int r = safe_path_open(absolute, b->rules.path_rule, PATH_READ, NULL, &fd, err);
        if (r < 0)
                return r;
        if (fstat(fd, &named) < 0 || fstat(b->layers[0].fd, &image) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        if (named.st_dev != image.st_dev || named.st_ino != image.st_ino)
                return err_set(
                        err, EBADMSG,
                        "is another file than %s, and an overlay names nothing but the image",
                        b->layers[0].path);
        return 0;
}

static void layer_done(Layer *l)
{
        cleanup_close(&l->fd);
        free(l->path);
}

/* What root's image names may be a user's image, and what that names is the user's choice. Once the asker has it, it may
 * be the user's as well, whichever layer it says that it asks for. */
static int broker_find_namer(Broker *b, int fd, Err *err)
{
        BrokerRules *rules = &b->rules;
        struct stat st;

        if (rules->path_rule == PATH_RULE_KERNEL || rules->has_namer)
                return 0;
        if (fstat(fd, &st) < 0)
                return err_set(err, errno, "cannot look at it: %m");
        rules->namer = st.st_uid;
        rules->namers = st.st_gid;
        rules->has_namers = safe_path_is_shared(fd, &st);
        rules->has_namer = st.st_uid != 0 || rules->has_namers;
        return 0;
}

/* What root alone sees may be more than what others may see, and then has to stay so. */
static int broker_open_reference(
        Broker *b, const ReferenceRules *rules, const MessageOpen *ask, Layer *ret, Err *err)
{
        ReferenceRules strict = *rules;
        const char *namer = b->layers[ask->namer].path;

        strict.others_see = true;
        int r = reference_open(&strict, namer, ask->name, ask->writable, &ret->fd, &ret->path, err);
        if (r >= 0 || rules->others_see)
                return r;
        r = reference_open(rules, namer, ask->name, ask->writable, &ret->fd, &ret->path, err);
        if (r >= 0)
                b->is_for_root = true;
        return r;
}

static int broker_open(Broker *b, const ReferenceRules *rules, const MessageOpen *ask, Err *err)
{
        if (b->count == BROKER_LAYERS_MAX)
                return err_set(err, EFBIG, "the image names more than %d files",
                               BROKER_LAYERS_MAX - 1);
        if (ask->writable && (!b->rules.writable || ask->namer != 0))
                return err_set(err, EACCES,
                               "refused: only what belongs to the image itself is "
                               "opened for writing, and only for a writable view");

        Layer layer = { .fd = -1 };
        int r = broker_open_reference(b, rules, ask, &layer, err);
        if (r < 0)
                return r;
        r = broker_lock(b, layer.fd, layer.path, ask->writable, err);
        if (r >= 0)
                r = broker_find_namer(b, layer.fd, err);
        if (r < 0) {
                layer_done(&layer);
                return r;
        }
        b->layers[b->count++] = layer;
        return 0;
}

/* Called like the image but for the number at its end: a disk in parts ends where there is no next one, and not where it
 * may not be opened. */
static bool broker_is_part(const Broker *b, const MessageOpen *ask)
{
        static const char digits[] = "0123456789";
        const char *own = strrchr(b->layers[0].path, '/') + 1, *dot = strrchr(own, '.');
        size_t stem = dot ? (size_t)(dot + 1 - own) : 0, len = strlen(own);

        return dot && len > stem && ask->namer == 0 && strlen(ask->name) == len &&
               strncmp(ask->name, own, stem) == 0 && strspn(own + stem, digits) == len - stem &&
               strspn(ask->name + stem, digits) == len - stem;
}

/* Whether a file is there, in use or forbidden is nothing that an image needs to learn: a worker of a writable view
 * that is taken over could leave it in the image, for the guest to read. */
static void broker_refuse(
        Broker *b, const MessageOpen *ask, int r, const Err *err, Message *answer, int *ret_fd)
{
        bool hides = b->rules.hides_reasons && !(r == -ENOENT && broker_is_part(b, ask));

        b->refusal_code = -r;
        b->refusal = *err;
        *answer = (Message){ .kind = MESSAGE_REFUSED, .error.code = hides ? EACCES : -r };
        snprintf(answer->error.text, sizeof(answer->error.text), "%s",
                 hides ? BROKER_REFUSED : err->text);
        *ret_fd = -1;
}

int broker_explain(const Broker *b, const MessageError *said, Err *ret)
{
        size_t len = strlen(said->text);
        int code = said->code > 0 ? said->code : EIO;

        if (b->refusal_code == 0 || !b->rules.hides_reasons || code != EACCES)
                return err_set(ret, code, "%s", said->text);
        if (len >= strlen(BROKER_REFUSED) &&
            strcmp(said->text + len - strlen(BROKER_REFUSED), BROKER_REFUSED) == 0)
                return err_set(ret, b->refusal_code, "%.*s%s", (int)(len - strlen(BROKER_REFUSED)),
                               said->text, b->refusal.text);
        return err_set(ret, b->refusal_code, "%s: %s", said->text, b->refusal.text);
}

static int broker_count_question(unsigned *asked, unsigned most, const char *what, Err *err)
{
        if ((*asked)++ < most)
                return 0;
        return err_set(err, EPROTO, "it asked for more than %u %s", most, what);
}

int broker_check_secret_wanted(Broker *b, const MessageSecretWanted *ask, Err *err)
{
        size_t len = strlen(ask->what);

        int r = broker_count_question(&b->secrets_asked, BROKER_SECRETS_MAX, "passphrases", err);
        if (r < 0)
                return r;
        if (ask->layer >= b->count)
                return err_set(err, EPROTO,
                               "it asked for the passphrase of layer %u, which was never opened",
                               ask->layer);
        if (len == 0 || strspn(ask->what, BROKER_WORD_LETTERS) != len)
                return err_set(err, EPROTO, "what wants a passphrase has a name that is none");
        return 0;
}

int broker_answer(Broker *b, const MessageOpen *ask, Message *answer, int *ret_fd, Err *err)
{
        ReferenceRules rules = {
                .policy = b->rules.policy,
                .allowed = b->rules.allowed,
                .top = b->layers[0].path,
                .given = b->rules.given,
                .path_rule = b->rules.path_rule,
                .has_namer = b->rules.has_namer,
                .namer = b->rules.namer,
                .has_namers = b->rules.has_namers,
                .namers = b->rules.namers,
                .others_see = b->rules.others_see,
        };
        Err why = { "" };
        uint32_t number = 0;

        int r = broker_count_question(&b->files_asked, BROKER_FILES_MAX, "files", err);
        if (r < 0)
                return r;
        if (ask->namer >= b->count)
                return err_set(err, EPROTO,
                               "it asked for what layer %u names, which was never opened",
                               ask->namer);

        if (b->overlay > 0 && ask->namer == b->overlay)
                r = broker_check_names_image(b, ask->name, &why);
        else {
                r = broker_open(b, &rules, ask, &why);
                number = (uint32_t)(b->count - 1);
        }
        if (r < 0) {
                broker_refuse(b, ask, r, &why, answer, ret_fd);
                return 0;
        }
        const Layer *layer = &b->layers[number];
        *answer = (Message){ .kind = MESSAGE_OPENED, .opened.layer = number };
        if (b->rules.tells_links &&
            reference_is_link(&rules, b->layers[ask->namer].path, ask->name))
                snprintf(answer->opened.target, sizeof(answer->opened.target), "%s", layer->path);
        *ret_fd = layer->fd;
        return 0;
}

int broker_sync(Broker *b, Err *err)
{
        for (size_t l = 0; l < b->count; l++) {
                int flags = fcntl(b->layers[l].fd, F_GETFL);
                bool is_volatile = b->overlay_is_volatile && l == b->overlay;
                if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || is_volatile)
                        continue;
                if (fdatasync(b->layers[l].fd) < 0)
                        return err_set(err, errno, "cannot bring %s to disk: %m",
                                       b->layers[l].path);
        }
        return 0;
}

void broker_done(Broker *b)
{
        for (size_t l = 0; l < b->count; l++)
                layer_done(&b->layers[l]);
        b->count = 0;
}
