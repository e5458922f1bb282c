/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `rawview info` prints beyond size and names: qemu-img's keys, in its order. */
#include "block/info.h"
#include "format/vmdk/vmdk.h"

static int describe_extent(const VmdkExtent *x, Info *info)
{
        return info_add_extent(info, &(ExtentInfo){
                                             .name = x->name,
                                             .format = x->type ? x->type : (char *)"",
                                             .virtual_size = x->len,
                                             .cluster_size = x->grain,
                                             .compressed = x->coded,
                                     });
}

int vmdk_describe(Node *n, Info *info)
{
        const Vmdk *v = n->state;
        const VmdkDescriptor *d = &v->descriptor;

        /* Of the first extent, as qemu-img has it. */
        info->cluster_size = v->extents[0].grain;
        int r = info_add_number(info, "cid", d->cid);
        if (r >= 0)
                r = info_add_number(info, "parent-cid", d->parent_cid);
        if (r >= 0 && d->create_type)
                r = info_add_text(info, "create-type", d->create_type);
        for (size_t i = 0; r >= 0 && i < v->extent_count; i++)
                r = describe_extent(&v->extents[i], info);
        return r;
}
