/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/info-layer.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/name.h"
#include "block/node.h"
#include "cli/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* qemu-img counts whole sectors. */
#define INFO_SECTOR 512

/* Pieces of the image are counted, an external data file is not: as qemu-img does. */
static int info_layer_measure(InfoLayer *l, const Node *n)
{
        StoreStat st = { 0 };
        int r = store_get_stat(n->store, &st);
        if (r < 0)
                return r;
        l->disk_size = st.allocated;
        for (size_t i = 0; n->format->has_pieces && i < n->extra_count; i++) {
                r = store_get_stat(n->extra_stores[i], &st);
                if (r < 0)
                        return r;
                l->disk_size += st.allocated;
        }
        l->virtual_size = round_up(n->size, INFO_SECTOR);
        return 0;
}

char *info_layer_namer(const char *file)
{
        struct stat st;

        return lstat(file, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(file, NULL) : strdup(file);
}

static int info_layer_too_long(const char *name, Err *err)
{
        return err_set(err, EFBIG,
                       "%s: it names more snapshots and bitmaps, or with longer names, than can be "
                       "shown",
                       name);
}

int info_layer_init(InfoLayer *l, const Node *n, const char *file, const char *namer, Err *err)
{
        *l = (InfoLayer){ .node = n, .file = strdup(file), .namer = strdup(namer) };
        if (!l->file || !l->namer)
                return err_set(err, ENOMEM, "%m");
        if (n->backing_name) {
                l->full_backing = text_beside(namer, n->backing_name);
                if (!l->full_backing)
                        return err_set(err, errno, "%m");
        }
        int r = info_layer_measure(l, n);
        if (r < 0)
                return err_set(err, -r, "cannot look at it: %m");
        r = n->format->describe ? n->format->describe((Node *)n, &l->info) : 0;
        if (r == -EFBIG)
                return info_layer_too_long(n->format->name, err);
        if (r < 0)
                return err_set(err, -r, "%s: what it says of itself cannot be read: %m",
                               n->format->name);
        return 0;
}

void info_layer_done(InfoLayer *l)
{
        free(l->file);
        free(l->namer);
        free(l->full_backing);
        info_done(&l->info);
        *l = (InfoLayer){ 0 };
}

int info_layer_below(const InfoLayer *l, char **ret, Err *err)
{
        FileName name = { 0 };
        int r = file_name_parse(l->node->backing_name, &name, err);
        if (r < 0)
                return r;

        char *below = text_beside(l->namer, name.path);
        file_name_done(&name);
        if (!below)
                return err_set(err, ENOMEM, "%m");
        *ret = below;
        return 0;
}

char *info_layer_extent(const InfoLayer *l, const ExtentInfo *e)
{
        if (!e->name)
                return strdup(l->file);
        return e->name[0] ? text_beside(l->namer, e->name) : strdup("");
}
