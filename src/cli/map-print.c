/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/map-print.h"

#include "base/cleanup.h"
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int map_printer_add_layer(
        MapPrinter *p, const Node *n, const char *file, const char *namer, Err *err)
{
        MapLayer *layers = reallocarray(p->layers, p->layer_count + 1, sizeof(*layers));
        if (!layers)
                return err_set(err, ENOMEM, "%m");
        p->layers = layers;
        MapLayer *l = &layers[p->layer_count++];
        *l = (MapLayer){ .node = n, .file = strdup(file), .namer = strdup(namer) };
        return l->file && l->namer ? 0 : err_set(err, ENOMEM, "%m");
}

int map_printer_init(MapPrinter *p,
                     MapForm form,
                     const Node *top,
                     const IpcOpener *opener,
                     const LayerName *name,
                     Err *err)
{
        *p = (MapPrinter){ .form = form, .opener = opener };
        int r = map_printer_add_layer(p, top, name->file, name->namer, err);

        for (const Node *n = top; r >= 0 && n->backing; n = n->backing) {
                const Store *below = n->backing->store;
                const char *named = ipc_opener_name(opener, below);
                const char *target = ipc_opener_target(opener, below);
                const char *above = p->layers[p->layer_count - 1].namer;
                _cleanup_free_ char *beside = text_beside(above, named ? named : n->backing_name);
                if (!beside)
                        return err_set(err, ENOMEM, "%m");
                r = map_printer_add_layer(p, n->backing, beside, target ? target : beside, err);
        }
        return r;
}

/* The file of the entry, as it is shown. NULL: there is no memory. */
static const char *map_printer_name(MapPrinter *p, const MapEntry *e)
{
        const MapLayer *l = &p->layers[e->depth];
        const char *name = e->store == l->node->store ? NULL : ipc_opener_name(p->opener, e->store);

        if (p->named == e->store && p->name)
                return p->name;
        _cleanup_free_ char *full = name ? text_beside(l->namer, name) : strdup(l->file);
        free(p->name);
        p->name = full ? text_printable(full) : NULL;
        p->named = e->store;
        return p->name;
}

static int map_print_human(MapPrinter *p, const MapEntry *e, Err *err)
{
        if (!p->begun)
                printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
        if (!e->stored || e->len == 0)
                return 0;
        if (!e->store)
                return err_set(err, EOPNOTSUPP,
                               "what is at %" PRIu64 " (%" PRIu64
                               " bytes) is compressed or encrypted, and lies in no file as it is; "
                               "--output=json shows all the same",
                               e->off, e->len);
        if (e->zero)
                return 0;
        const char *name = map_printer_name(p, e);
        if (!name)
                return err_set(err, ENOMEM, "%m");
        printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", e->off, e->len, e->pos, name);
        return 0;
}

static void map_print_json(const MapPrinter *p, const MapEntry *e)
{
        static const char *const words[] = { "false", "true" };

        printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
               ", \"depth\": %u, \"present\": %s, "
               "\"zero\": %s, \"data\": %s",
               p->begun ? ",\n" : "[", e->off, e->len, e->depth, words[e->present], words[e->zero],
               words[e->stored]);
        if (e->store)
                printf(", \"offset\": %" PRIu64, e->pos);
        putchar('}');
}

static int map_printer_flush(MapPrinter *p, Err *err)
{
        int r = 0;

        if (p->form == MAP_JSON)
                map_print_json(p, &p->entry);
        else
                r = map_print_human(p, &p->entry, err);
        p->begun = true;
        p->entry.len = 0;
        return r;
}

/* A raw file says nothing of its bytes, so that its holes are no data. For qemu-img a block that a Parallels image has no place for
 * is not present, and one of a VDI is. */
static MapEntry map_entry_of(const MapStretch *s)
{
        const char *format = s->node->format->name;
        bool is_raw = strcmp(format, "raw") == 0 || strcmp(format, "split") == 0;
        bool absent = !s->is_data && strcmp(format, "parallels") == 0;

        return (MapEntry){
                .off = s->off,
                .len = s->len,
                .depth = s->depth,
                .present = s->present && !absent,
                .zero = !s->is_data || s->is_hole,
                .stored = s->is_data && !(is_raw && s->is_hole),
                .store = s->store,
                .pos = s->pos,
        };
}

static bool map_entry_goes_on(const MapEntry *e, const MapEntry *next)
{
        return e->len > 0 && e->depth == next->depth && e->present == next->present &&
               e->zero == next->zero && e->stored == next->stored && e->store == next->store &&
               (!e->store || e->pos + e->len == next->pos);
}

int map_printer_add(MapPrinter *p, const MapStretch *s, Err *err)
{
        MapEntry next = map_entry_of(s);

        if (map_entry_goes_on(&p->entry, &next)) {
                p->entry.len += next.len;
                return 0;
        }
        int r = p->entry.len > 0 ? map_printer_flush(p, err) : 0;
        p->entry = next;
        return r;
}

int map_printer_end(MapPrinter *p, uint64_t off, Err *err)
{
        int r = 0;

        if (p->entry.len == 0)
                p->entry = (MapEntry){ .off = off };
        r = map_printer_flush(p, err);
        if (r >= 0 && p->form == MAP_JSON)
                puts("]");
        return r;
}

void map_printer_done(MapPrinter *p)
{
        for (size_t i = 0; i < p->layer_count; i++) {
                free(p->layers[i].file);
                free(p->layers[i].namer);
        }
        free(p->layers);
        free(p->name);
        *p = (MapPrinter){ 0 };
}
