/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vmdk/vmdk.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "format/vmdk/check/check.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a file begins with. */
typedef enum VmdkBeginning {
        VMDK_BEGINS_AS_NOTHING,
        VMDK_BEGINS_AS_TEXT,
        VMDK_BEGINS_AS_HOSTED,
        VMDK_BEGINS_AS_COWD,
        VMDK_BEGINS_AS_SESPARSE,
} VmdkBeginning;

static VmdkBeginning vmdk_look(const uint8_t *head)
{
        char text[PROBE_HEAD + 1];

        if (memcmp(head, "KDMV", 4) == 0)
                return VMDK_BEGINS_AS_HOSTED;
        if (memcmp(head, "COWD", 4) == 0)
                return VMDK_BEGINS_AS_COWD;
        if (memcmp(head, "\xbe\xba\xfe\xca\0\0\0\0\1\0\0\0\2\0\0\0", 16) == 0)
                return VMDK_BEGINS_AS_SESPARSE;
        memcpy(text, head, PROBE_HEAD);
        text[PROBE_HEAD] = '\0';
        return vmdk_is_descriptor(text) ? VMDK_BEGINS_AS_TEXT : VMDK_BEGINS_AS_NOTHING;
}

/* A file of any kind, also one that open refuses in words: to show its own bytes as a disk would help nobody. */
static int vmdk_probe(const Probe *p)
{
        return vmdk_look(p->head) != VMDK_BEGINS_AS_NOTHING;
}

static void vmdk_close(Node *n)
{
        Vmdk *v = n->state;

        if (!v)
                return;
        vmdk_writer_close(n);
        vmdk_extents_done(n);
        vmdk_descriptor_done(&v->descriptor);
}

/* A disk that is all in one file names that file in its descriptor, by the name that it once had. */
static int vmdk_check_own_extent(const Vmdk *v, Err *err)
{
        size_t at = 0;
        VmdkLine line;

        int r = vmdk_descriptor_next(&v->descriptor, &at, &line, err);
        if (r < 0)
                return r;
        if (v->descriptor.extent_count != 1 || line.kind != VMDK_HOSTED)
                return err_set(err, EOPNOTSUPP,
                               "a descriptor inside an extent that describes others than this one "
                               "(%zu, the first of type %.*s) cannot be read",
                               v->descriptor.extent_count, (int)line.type.len, line.type.at);
        if (line.access != VMDK_RW)
                v->extents[0].access = line.access;
        return 0;
}

/* A file in which a sparse extent lies: the disk is that extent alone. */
static int vmdk_open_hosted(Node *n, Err *err)
{
        Vmdk *v = n->state;

        int r = vmdk_extent_own(n, VMDK_HOSTED, err);
        if (r < 0)
                return r;
        const VmdkExtent *x = v->extents;
        if (x->descriptor_pos == 0)
                return 0;
        r = vmdk_descriptor_read(n->store, x->descriptor_pos, x->descriptor_len, &v->descriptor,
                                 err);
        return r < 0 || !v->descriptor.store ? r : vmdk_check_own_extent(v, err);
}

/* Of such an extent its descriptor knows the parent. Where the extent itself names one, it is not to be read without. */
static int vmdk_open_cowd(Node *n, Err *err)
{
        uint8_t name[4];

        int r = vmdk_extent_own(n, VMDK_COWD, err);
        if (r < 0)
                return r;
        r = store_read_padded(n->store, name, sizeof(name), VMDK_COWD_PARENT_POS);
        if (r < 0)
                return err_set(err, -r, "cannot read the header: %m");
        /* In a disk without parent the number of cylinders stands there, and no disk has so many. */
        if (name[0] >= ' ' && name[1] >= ' ' && name[2] >= ' ' && name[3] >= ' ')
                return err_set(err, EOPNOTSUPP,
                               "the extent is a snapshot and cannot be read alone: open its "
                               "descriptor");
        return 0;
}

static int vmdk_open_text(Node *n, Opener *opener, Err *err)
{
        Vmdk *v = n->state;
        uint64_t size = 0;

        int r = store_get_size(n->store, &size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = vmdk_descriptor_read(n->store, 0, size, &v->descriptor, err);
        return r < 0 ? r : vmdk_extents_open(n, opener, err);
}

static int vmdk_open_any(Node *n, Opener *opener, Err *err)
{
        uint8_t head[PROBE_HEAD];

        int r = store_read_padded(n->store, head, sizeof(head), 0);
        if (r < 0)
                return err_set(err, -r, "cannot read the first sector: %m");
        switch (vmdk_look(head)) {
        case VMDK_BEGINS_AS_TEXT:
                return vmdk_open_text(n, opener, err);
        case VMDK_BEGINS_AS_HOSTED:
                return vmdk_open_hosted(n, err);
        case VMDK_BEGINS_AS_COWD:
                return vmdk_open_cowd(n, err);
        case VMDK_BEGINS_AS_SESPARSE:
                return err_set(err, EOPNOTSUPP,
                               "a seSparse extent cannot be read alone: open its descriptor");
        case VMDK_BEGINS_AS_NOTHING:
                break;
        }
        return err_set(err, EBADMSG, "it is neither a sparse extent nor a descriptor");
}

/* A parent's name may be a path on Windows; then it is looked for beside the image, too. */
static int vmdk_name_backing(Node *n, Err *err)
{
        const VmdkDescriptor *d = &((Vmdk *)n->state)->descriptor;

        if (!d->parent_name)
                return 0;
        n->backing_name = strdup(d->parent_name);
        n->backing_format = strdup("vmdk");
        if (!n->backing_name || !n->backing_format)
                return err_set(err, ENOMEM, "%m");
        const char *last = strrchr(d->parent_name, '\\');
        if (!last || last[1] == '\0')
                return 0;
        int r = node_add_backing_other(n, last + 1);
        return r < 0 ? err_set(err, -r, "%m") : 0;
}

/* VMware's own rule: a parent that was written to since has another content ID. */
static int vmdk_check_backing(Node *n, Node *below, Err *err)
{
        const Vmdk *v = n->state, *parent = below->state;

        if (below->format != n->format)
                return err_set(err, EBADMSG, "the parent of a VMDK is a VMDK, and this is a %s",
                               below->format->name);
        if (parent->descriptor.cid == v->descriptor.parent_cid)
                return 0;
        return err_set(err, EBADMSG,
                       "it was changed after the image was made over it: its CID is %08" PRIx32
                       ", and the image's parentCID %08" PRIx32,
                       parent->descriptor.cid, v->descriptor.parent_cid);
}

static int vmdk_open(Node *n, Opener *opener, Err *err)
{
        Vmdk *v = n->state;

        v->descriptor = (VmdkDescriptor){ .cid = VMDK_CID_NONE, .parent_cid = VMDK_CID_NONE };
        int r = vmdk_open_any(n, opener, err);
        if (r >= 0)
                r = vmdk_name_backing(n, err);
        if (r < 0)
                return r;
        free(TAKE(v->descriptor.text));
        return n->writable && !n->for_check ? vmdk_writer_open(n, err) : 0;
}

const Format format_vmdk = {
        .name = "vmdk",
        .snapshots_lie = "each is a file of its own, which can be shown",
        .state_size = sizeof(Vmdk),
        .has_pieces = true,
        .probe = vmdk_probe,
        .open = vmdk_open,
        .check_backing = vmdk_check_backing,
        .close = vmdk_close,
        .map = vmdk_map,
        .read_coded = vmdk_read_coded,
        .alloc = vmdk_alloc,
        .publish = vmdk_publish,
        .release = vmdk_release,
        .write_back = vmdk_commit,
        .discard = vmdk_discard,
        .check = vmdk_check,
        .describe = vmdk_describe,
};
