/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A layer in qemu-img's words. Whatever comes from an image passes through text_printable(). */
#include "base/cleanup.h"
#include "block/node.h"
#include "cli/info-layer.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void print_text(const char *label, const char *text)
{
        _cleanup_free_ char *clean = text_printable(text);
        printf("%s: %s\n", label, clean ? clean : "?");
}

static void print_backing(const InfoLayer *l)
{
        const char *name = l->node->backing_name;

        if (name) {
                _cleanup_free_ char *clean = text_printable(name);
                _cleanup_free_ char *full = text_printable(l->full_backing);
                printf("backing file: %s", clean ? clean : "?");
                if (strcmp(name, l->full_backing) != 0)
                        printf(" (actual path: %s)", full ? full : "?");
                putchar('\n');
        }
        if (l->node->backing_format)
                print_text("backing file format", l->node->backing_format);
}

static void print_snapshot(const SnapshotInfo *s)
{
        _cleanup_free_ char *id = text_printable(s->id), *name = text_printable(s->name);
        _cleanup_free_ char *size = text_size(s->vm_state_size);
        uint64_t msec = s->vm_clock_nsec / 1000000;
        time_t when = (time_t)s->date_sec;
        char date[32] = "", clock[64], icount[32] = "";
        struct tm tm;

        if (localtime_r(&when, &tm))
                strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        snprintf(clock, sizeof(clock), "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64,
                 msec / 3600000, msec / 60000 % 60, msec / 1000 % 60, msec % 1000);
        if (s->has_icount)
                snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
        printf("%-9s %-16s %8s%20s%13s%11s\n", id ? id : "?", name ? name : "?", size ? size : "?",
               date, clock, icount);
}

static void print_snapshots(const Info *i)
{
        if (i->snapshot_count == 0)
                return;
        printf("Snapshot list:\n%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE",
               "VM CLOCK", "ICOUNT");
        for (size_t k = 0; k < i->snapshot_count; k++)
                print_snapshot(&i->snapshots[k]);
}

static void print_bitmaps(const Info *i)
{
        if (i->bitmap_count == 0)
                return;
        puts("    bitmaps:");
        for (size_t k = 0; k < i->bitmap_count; k++) {
                const BitmapInfo *b = &i->bitmaps[k];
                int flags = 0;
                printf("        [%zu]:\n            flags:\n", k);
                if (b->in_use)
                        printf("                [%d]: in-use\n", flags++);
                if (b->automatic)
                        printf("                [%d]: auto\n", flags);
                print_text("            name", b->name);
                printf("            granularity: %" PRIu64 "\n", b->granularity);
        }
}

static void print_extents(const InfoLayer *l)
{
        const Info *i = &l->info;

        if (i->extent_count > 0)
                puts("    extents:");
        for (size_t k = 0; k < i->extent_count; k++) {
                const ExtentInfo *e = &i->extents[k];
                _cleanup_free_ char *file = info_layer_extent(l, e);
                printf("        [%zu]:\n", k);
                if (e->compressed)
                        puts("            compressed: true");
                printf("            virtual size: %" PRIu64 "\n", e->virtual_size);
                print_text("            filename", file ? file : "?");
                if (e->cluster_size > 0)
                        printf("            cluster size: %" PRIu64 "\n", e->cluster_size);
                print_text("            format", e->format);
        }
}

static void print_fact(const Fact *f, int depth, unsigned element)
{
        printf("%*s", 4 * depth, "");
        if (f->key[0] == '\0')
                printf("[%u]", element);
        for (const char *c = f->key; *c; c++)
                putchar(*c == '-' ? ' ' : *c);
        if (f->kind == FACT_TEXT)
                print_text("", f->text);
        else if (f->kind == FACT_NUMBER)
                printf(": %" PRIu64 "\n", f->number);
        else if (f->kind == FACT_BOOL)
                printf(": %s\n", f->truth ? "true" : "false");
        else
                puts(":");
}

static void print_facts(const InfoLayer *l)
{
        const Info *i = &l->info;
        unsigned elements[INFO_DEPTH_MAX + 2] = { 0 };
        int depth = 1;

        if (i->fact_count == 0)
                return;
        puts("Format specific information:");
        for (size_t k = 0; k < i->fact_count; k++) {
                const Fact *f = &i->facts[k];
                /* There qemu-img has them. */
                if (strcmp(f->key, "refcount-bits") == 0)
                        print_bitmaps(i);
                if (f->kind == FACT_END) {
                        depth--;
                        continue;
                }
                print_fact(f, depth, elements[depth]++);
                if (f->kind == FACT_OBJECT || f->kind == FACT_LIST)
                        elements[++depth] = 0;
        }
        print_extents(l);
}

void info_layer_print(const InfoLayer *l)
{
        const Info *i = &l->info;
        _cleanup_free_ char *virtual_size = text_size(l->virtual_size);
        _cleanup_free_ char *disk_size = text_size(l->disk_size);

        print_text("image", l->file);
        print_text("file format", format_qemu_name(l->node->format));
        printf("virtual size: %s (%" PRIu64 " bytes)\n", virtual_size ? virtual_size : "?",
               l->virtual_size);
        printf("disk size: %s\n", disk_size ? disk_size : "?");
        if (i->encrypted)
                puts("encrypted: yes");
        if (i->cluster_size > 0)
                printf("cluster_size: %" PRIu64 "\n", i->cluster_size);
        if (i->dirty)
                puts("cleanly shut down: no");
        print_backing(l);
        print_snapshots(i);
        print_facts(l);
}
