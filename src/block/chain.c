/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/chain.h"

#include "base/cleanup.h"
#include "block/limits.h"
#include "block/name.h"
#include "block/opener.h"
#include "block/probe.h"

#include <errno.h>
#include <string.h>

static void file_name_donep(FileName *f)
{
        file_name_done(f);
}

/* The format of that name, raw among them. */
static int chain_find_format(const ChainRequest *request,
                             const char *name,
                             const Format **ret,
                             Err *err)
{
        const Format *found = strcmp(name, request->raw->name) == 0
                                      ? request->raw
                                      : format_find(request->formats, name);
        if (!found)
                return err_set(err, EOPNOTSUPP, "format '%s' is not known", name);
        *ret = found;
        return 0;
}

/* A format that claims the file by its name. *ret stays as it is when none does. */
static int chain_probe_name(const ChainRequest *request, Store *top, const Format **ret, Err *err)
{
        if (!request->opener || !request->file_name)
                return 0;
        for (const Format *const *f = request->formats; *f; f++) {
                int r = (*f)->claims ? (*f)->claims(request->file_name, top, request->opener, err)
                                     : 0;
                if (r < 0)
                        return err_prefix(err, r, "%s", (*f)->name);
                if (r > 0) {
                        *ret = *f;
                        return 0;
                }
        }
        return 0;
}

/* Raw is guessed only where nothing can be written: a guest who can write may plant a header for next time. */
static int chain_probe(const ChainRequest *request, Store *top, const Format **ret, Err *err)
{
        const Format *found = NULL;
        int r = probe_format(request->formats, top, request->writable, &found, err);
        if (r < 0)
                return r;
        bool by_name = !found;
        if (!found)
                r = chain_probe_name(request, top, &found, err);
        if (r < 0)
                return r;
        if (by_name && request->writable && !request->for_check)
                return err_set(
                        err, EOPNOTSUPP,
                        "no format is recognised, and a raw disk is opened for writing only when "
                        "it is named: --format=%s",
                        found ? found->name : "raw");
        *ret = found ? found : request->raw;
        return 0;
}

static int chain_open_top(const ChainRequest *request, Store *top, Node **ret, Err *err)
{
        const Format *format = NULL;
        int r = request->format_name
                        ? chain_find_format(request, request->format_name, &format, err)
                        : chain_probe(request, top, &format, err);
        if (r < 0)
                return r;

        NodeOptions options = {
                .writable = request->writable,
                .for_check = request->for_check,
                .stays_locked = request->stay_locked || request->layer > 0,
                .snapshot = request->layer == 0 ? request->snapshot : NULL,
                .file_name = request->file_name,
                .listener = request->listener,
                .cache = request->cache,
        };
        Opener *opener = request->only_top && !format->has_pieces ? NULL : request->opener;
        Node *n = NULL;
        r = node_open(format, top, &options, opener, &n, err);
        if (r < 0)
                return r;
        n->guessed = format == request->raw && !request->format_name;
        *ret = n;
        return 0;
}

static bool stat_is_same_file(const StoreStat *a, const StoreStat *b)
{
        return a->device == b->device && a->inode == b->inode;
}

/* Refuses a file that a layer from `n` downward has open already. */
static int chain_check_new(Node *n, Store *s, Err *err)
{
        StoreStat wanted = { 0 };
        int r = store_get_stat(s, &wanted);
        if (r < 0)
                return err_set(err, -r, "cannot look at it: %m");
        if (wanted.device == 0 && wanted.inode == 0)
                return 0;

        for (; n; n = n->backing) {
                for (size_t i = 0; i <= n->extra_count; i++) {
                        StoreStat open = { 0 };
                        r = store_get_stat(i == 0 ? n->store : n->extra_stores[i - 1], &open);
                        if (r < 0)
                                return err_set(err, -r,
                                               "cannot look at the files of the chain: %m");
                        if (stat_is_same_file(&wanted, &open))
                                return err_set(err, ELOOP, "is in the chain already");
                }
        }
        return 0;
}

/* Further files of a layer that was just opened, which stands in no chain yet. */
static int chain_check_extras(Node *top, Node *added, Err *err)
{
        for (size_t i = 0; i < added->extra_count; i++) {
                int r = chain_check_new(top, added->extra_stores[i], err);
                if (r < 0)
                        return err_prefix(err, r, "one of its further files");
        }
        return 0;
}

/* What `n` states of the format of the layer below it. A guess would let a guest choose. */
static int chain_find_below(const ChainRequest *request,
                            const Node *n,
                            const FileName *name,
                            const Format **ret,
                            Err *err)
{
        const char *stated = n->backing_format ? n->backing_format : name->format;

        if (!stated)
                return err_set(
                        err, EOPNOTSUPP,
                        "the image does not state its format, and it is not guessed; `qemu-img "
                        "rebase -u -b NAME -F FORMAT IMAGE` states it");
        if (name->format && strcmp(name->format, stated) != 0)
                return err_set(err, EBADMSG, "the image states format '%s' and, in the name, '%s'",
                               stated, name->format);
        return chain_find_format(request, stated, ret, err);
}

/* A layer below `n`, opened; and where its file is. */
typedef struct Below {
        const Format *format;
        Store *store;    /* owned */
        char *file_name; /* owned */
} Below;

static void below_done(Below *b)
{
        store_free(b->store);
        free(b->file_name);
        *b = (Below){ 0 };
}
#define _cleanup_below_ _cleanup_(below_done)

/* The file that one of the names stands for. */
static int chain_find_file(
        const ChainRequest *request, const Node *n, const char *text, Below *ret, Err *err)
{
        _cleanup_(file_name_donep) FileName name = { 0 };
        _cleanup_below_ Below b = { 0 };
        const char *slash;

        int r = file_name_parse(text, &name, err);
        if (r < 0)
                return r;
        r = chain_find_below(request, n, &name, &b.format, err);
        if (r < 0)
                return r;
        r = request->opener->open(request->opener, n->store, name.path, STORE_READ_ONLY, &b.store,
                                  err);
        if (r < 0)
                return r;
        slash = strrchr(name.path, '/');
        b.file_name = strdup(slash ? slash + 1 : name.path);
        if (!b.file_name)
                return err_set(err, ENOMEM, "%m");
        *ret = b;
        b = (Below){ 0 };
        return 0;
}

/* The first of all names under which a file can be had. When there is none, what became of the last one counts: it is the
 * plainest, and what the opener says of a refusal is always said of the last. */
static int chain_find_any_file(const ChainRequest *request, const Node *n, Below *ret, Err *err)
{
        size_t i = 0;

        int r = chain_find_file(request, n, n->backing_name, ret, err);
        if (r >= 0 || !n->backing_others || !n->backing_others[0])
                return r;
        for (; r < 0 && n->backing_others[i]; i++)
                r = chain_find_file(request, n, n->backing_others[i], ret, err);
        return r < 0 ? err_prefix(err, r, "of its %zu names the last is '%s'", i + 1,
                                  n->backing_others[i - 1])
                     : 0;
}

/* Layer `number`, which `n` names; `top` begins the chain that ends with `n`. */
static int chain_open_below(const ChainRequest *request,
                            Node *top,
                            const Node *n,
                            unsigned number,
                            Node **ret,
                            Err *err)
{
        _cleanup_below_ Below b = { 0 };
        _cleanup_node_ Node *below = NULL;

        int r = chain_find_any_file(request, n, &b, err);
        if (r < 0)
                return r;
        r = chain_check_new(top, b.store, err);
        if (r < 0)
                return r;

        NodeOptions options = {
                .stays_locked = request->stay_locked || number < request->layer,
                .is_below = number != request->layer,
                .snapshot = number == request->layer ? request->snapshot : NULL,
                .file_name = b.file_name,
                .cache = request->cache,
        };
        r = node_open(b.format, b.store, &options, request->opener, &below, err);
        if (r < 0)
                return r;
        TAKE(b.store);
        r = chain_check_extras(top, below, err);
        if (r < 0)
                return r;
        *ret = TAKE(below);
        return 0;
}

/* The layer below `n`, and whether it is the right one. */
static int chain_add_below(
        const ChainRequest *request, Node *top, Node *n, unsigned number, Err *err)
{
        int r = chain_open_below(request, top, n, number, &n->backing, err);
        if (r >= 0 && n->format->check_backing)
                r = n->format->check_backing(n, n->backing, err);
        return r < 0 ? err_prefix(err, r, "backing file '%s'", n->backing_name) : 0;
}

static int chain_open_all_below(const ChainRequest *request, Node *top, Err *err)
{
        Node *n = top;

        for (unsigned depth = 1; n->backing_name; depth++, n = n->backing) {
                if (request->layer_alone && depth > request->layer)
                        break;
                if (depth == LIMIT_CHAIN_DEPTH)
                        return err_set(
                                err, EFBIG,
                                "backing file '%s': it would be layer %u, and the limit is %d",
                                n->backing_name, depth + 1, LIMIT_CHAIN_DEPTH);
                int r = chain_add_below(request, top, n, depth, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

Node *chain_find_layer(Node *top, unsigned layer)
{
        while (top && layer-- > 0)
                top = top->backing;
        return top;
}

int chain_open(const ChainRequest *request, Store *top, Node **ret, Err *err)
{
        _cleanup_node_ Node *n = NULL;

        int r = chain_open_top(request, top, &n, err);
        if (r < 0)
                return r;
        if (request->opener && !request->only_top)
                r = chain_open_all_below(request, n, err);
        if (r < 0) {
                /* The caller keeps its store. */
                n->store = NULL;
                return r;
        }
        *ret = TAKE(n);
        return 0;
}

/* Is what `over` names the image that `below` is, as the format that it is opened as? */
static int chain_check_named(const ChainRequest *request, const Node *over, Node *below, Err *err)
{
        _cleanup_below_ Below named = { 0 };
        StoreStat wanted = { 0 }, found = { 0 };

        if (!over->backing_name)
                return err_set(err, EBADMSG, "names no backing file, so it is no overlay");
        int r = chain_find_file(request, over, over->backing_name, &named, err);
        if (r < 0)
                return err_prefix(err, r, "backing file '%s'", over->backing_name);
        r = store_get_stat(below->store, &wanted);
        if (r >= 0)
                r = store_get_stat(named.store, &found);
        if (r < 0)
                return err_set(err, -r, "cannot look at the image: %m");
        if (!stat_is_same_file(&wanted, &found))
                return err_set(err, EBADMSG, "its backing file '%s' is not the image",
                               over->backing_name);
        if (named.format != below->format)
                return err_set(
                        err, EBADMSG,
                        "it was made over an image of format '%s', and this one is opened as "
                        "'%s' (--format= says what it is)",
                        named.format->name, below->format->name);
        return 0;
}

/* It is opened once to be looked at alone: what belongs to another image is not even repaired. */
static int chain_check_over(
        const ChainRequest *request, const Format *format, Store *top, Node *below, Err *err)
{
        NodeOptions options = { .stays_locked = true, .cache = request->cache };
        _cleanup_node_ Node *over = NULL;

        int r = node_open(format, top, &options, NULL, &over, err);
        if (r < 0)
                return r;
        r = chain_check_named(request, over, below, err);
        /* The caller keeps it. */
        over->store = NULL;
        return r;
}

int chain_lay_over(const ChainRequest *request,
                   const Format *format,
                   Store *top,
                   Node *below,
                   Node **ret,
                   Err *err)
{
        NodeOptions options = {
                .writable = true,
                .listener = request->listener,
                .cache = request->cache,
        };
        int depth = 1;

        for (const Node *n = below; n; n = n->backing)
                depth++;
        if (depth > LIMIT_CHAIN_DEPTH)
                return err_set(err, EFBIG, "it would be layer %d, and the limit is %d", depth,
                               LIMIT_CHAIN_DEPTH);
        int r = chain_check_new(below, top, err);
        if (r >= 0)
                r = chain_check_over(request, format, top, below, err);
        if (r >= 0)
                r = node_open(format, top, &options, request->opener, ret, err);
        if (r < 0)
                return r;
        below->is_below = true;
        (*ret)->backing = below;
        return 0;
}
