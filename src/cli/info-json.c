/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A layer with qemu-img's keys. */
#include "base/cleanup.h"
#include "block/node.h"
#include "cli/info-layer.h"
#include "cli/text.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>

#define NSEC_PER_SEC UINT64_C(1000000000)

static void json_add_text(json_object *to, const char *key, const char *text)
{
        _cleanup_free_ char *clean = text_utf8(text);
        json_object_object_add(to, key, clean ? json_object_new_string(clean) : NULL);
}

static void json_add_number(json_object *to, const char *key, uint64_t number)
{
        json_object_object_add(to, key, json_object_new_uint64(number));
}

static void json_add_bool(json_object *to, const char *key, bool truth)
{
        json_object_object_add(to, key, json_object_new_boolean(truth));
}

static json_object *json_of_snapshot(const SnapshotInfo *s)
{
        json_object *o = json_object_new_object();

        if (s->has_icount)
                json_add_number(o, "icount", s->icount);
        json_add_number(o, "vm-clock-nsec", s->vm_clock_nsec % NSEC_PER_SEC);
        json_add_text(o, "name", s->name);
        json_add_number(o, "date-sec", s->date_sec);
        json_add_number(o, "date-nsec", s->date_nsec);
        json_add_number(o, "vm-clock-sec", s->vm_clock_nsec / NSEC_PER_SEC);
        json_add_text(o, "id", s->id);
        json_add_number(o, "vm-state-size", s->vm_state_size);
        return o;
}

static json_object *json_of_bitmap(const BitmapInfo *b)
{
        json_object *o = json_object_new_object(), *flags = json_object_new_array();

        if (b->in_use)
                json_object_array_add(flags, json_object_new_string("in-use"));
        if (b->automatic)
                json_object_array_add(flags, json_object_new_string("auto"));
        json_object_object_add(o, "flags", flags);
        json_add_text(o, "name", b->name);
        json_add_number(o, "granularity", b->granularity);
        return o;
}

static json_object *json_of_extent(const InfoLayer *l, const ExtentInfo *e)
{
        json_object *o = json_object_new_object();
        _cleanup_free_ char *file = info_layer_extent(l, e);

        if (e->compressed)
                json_add_bool(o, "compressed", true);
        json_add_number(o, "virtual-size", e->virtual_size);
        json_add_text(o, "filename", file ? file : "");
        if (e->cluster_size > 0)
                json_add_number(o, "cluster-size", e->cluster_size);
        json_add_text(o, "format", e->format);
        return o;
}

static json_object *json_of_fact(const Fact *f)
{
        _cleanup_free_ char *clean = NULL;

        switch (f->kind) {
        case FACT_TEXT:
                clean = text_utf8(f->text);
                return clean ? json_object_new_string(clean) : NULL;
        case FACT_NUMBER:
                return json_object_new_uint64(f->number);
        case FACT_BOOL:
                return json_object_new_boolean(f->truth);
        case FACT_OBJECT:
                return json_object_new_object();
        case FACT_LIST:
                return json_object_new_array();
        case FACT_END:
                break;
        }
        return NULL;
}

static void json_add_fact(json_object *to, const Fact *f, json_object *value)
{
        if (json_object_is_type(to, json_type_array))
                json_object_array_add(to, value);
        else
                json_object_object_add(to, f->key, value);
}

static json_object *json_of_facts(const InfoLayer *l)
{
        const Info *i = &l->info;
        json_object *o = json_object_new_object();
        json_object *open[INFO_DEPTH_MAX + 1] = { o };
        size_t depth = 0;

        for (size_t k = 0; k < i->fact_count; k++) {
                const Fact *f = &i->facts[k];
                if (f->kind == FACT_END) {
                        depth--;
                        continue;
                }
                json_object *value = json_of_fact(f);
                json_add_fact(open[depth], f, value);
                if (f->kind == FACT_OBJECT || f->kind == FACT_LIST)
                        open[++depth] = value;
        }
        if (i->bitmap_count > 0) {
                json_object *bitmaps = json_object_new_array();
                for (size_t k = 0; k < i->bitmap_count; k++)
                        json_object_array_add(bitmaps, json_of_bitmap(&i->bitmaps[k]));
                json_object_object_add(o, "bitmaps", bitmaps);
        }
        if (i->extent_count > 0) {
                json_object *extents = json_object_new_array();
                for (size_t k = 0; k < i->extent_count; k++)
                        json_object_array_add(extents, json_of_extent(l, &i->extents[k]));
                json_object_object_add(o, "extents", extents);
        }
        return o;
}

json_object *info_layer_json(const InfoLayer *l)
{
        const Info *i = &l->info;
        json_object *o = json_object_new_object();

        json_add_number(o, "virtual-size", l->virtual_size);
        json_add_text(o, "filename", l->file);
        json_add_text(o, "format", format_qemu_name(l->node->format));
        json_add_number(o, "actual-size", l->disk_size);
        if (i->cluster_size > 0)
                json_add_number(o, "cluster-size", i->cluster_size);
        if (i->encrypted)
                json_add_bool(o, "encrypted", true);
        if (i->compressed)
                json_add_bool(o, "compressed", true);
        if (l->node->backing_name) {
                json_add_text(o, "backing-filename", l->node->backing_name);
                json_add_text(o, "full-backing-filename", l->full_backing);
        }
        if (l->node->backing_format)
                json_add_text(o, "backing-filename-format", l->node->backing_format);
        if (i->snapshot_count > 0) {
                json_object *snapshots = json_object_new_array();
                for (size_t k = 0; k < i->snapshot_count; k++)
                        json_object_array_add(snapshots, json_of_snapshot(&i->snapshots[k]));
                json_object_object_add(o, "snapshots", snapshots);
        }
        if (i->fact_count > 0) {
                json_object *specific = json_object_new_object();
                json_add_text(specific, "type", format_qemu_name(l->node->format));
                json_object_object_add(specific, "data", json_of_facts(l));
                json_object_object_add(o, "format-specific", specific);
        }
        if (!i->has_no_dirty)
                json_add_bool(o, "dirty-flag", i->dirty);
        return o;
}
