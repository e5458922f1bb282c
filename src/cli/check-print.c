/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/check-print.h"

#include "base/cleanup.h"
#include "cli/text.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

static double percent(uint64_t part, uint64_t whole)
{
        return whole == 0 ? 0 : (double)part * 100 / (double)whole;
}

void check_print_human(const CheckReport *report)
{
        if (report->corruptions_fixed > 0 || report->leaks_fixed > 0)
                printf("The following inconsistencies were found and repaired:\n\n"
                       "    %" PRIu64 " leaked clusters\n"
                       "    %" PRIu64 " corruptions\n\n"
                       "Double checking the fixed image now...\n",
                       report->leaks_fixed, report->corruptions_fixed);
        if (report->corruptions == 0 && report->leaks == 0)
                puts("No errors were found on the image.");
        if (report->corruptions > 0)
                printf("\n%" PRIu64 " errors were found on the image.\n"
                       "Data may be corrupted, or further writes to the image may corrupt it.\n",
                       report->corruptions);
        if (report->leaks > 0)
                printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
                       "This means waste of disk space, but no harm to data.\n",
                       report->leaks);
        if (report->total_clusters > 0 && report->allocated_clusters > 0)
                printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, "
                       "%0.2f%% compressed clusters\n",
                       report->allocated_clusters, report->total_clusters,
                       percent(report->allocated_clusters, report->total_clusters),
                       percent(report->fragmented_clusters, report->allocated_clusters),
                       percent(report->compressed_clusters, report->allocated_clusters));
        if (report->image_end > 0)
                printf("Image end offset: %" PRIu64 "\n", report->image_end);
}

static void json_add(json_object *to, const char *key, uint64_t number)
{
        json_object_object_add(to, key, json_object_new_uint64(number));
}

/* What is 0 is left out, as qemu-img does. */
static void json_add_some(json_object *to, const char *key, uint64_t number)
{
        if (number > 0)
                json_add(to, key, number);
}

void check_print_json(const CheckReport *report, const char *file, const char *format)
{
        _cleanup_free_ char *clean = text_utf8(file);
        json_object *o = json_object_new_object();

        json_add_some(o, "image-end-offset", report->image_end);
        json_add_some(o, "total-clusters", report->total_clusters);
        json_add_some(o, "corruptions", report->corruptions);
        json_add_some(o, "corruptions-fixed", report->corruptions_fixed);
        json_add_some(o, "leaks", report->leaks);
        json_add_some(o, "leaks-fixed", report->leaks_fixed);
        json_add_some(o, "allocated-clusters", report->allocated_clusters);
        json_add_some(o, "fragmented-clusters", report->fragmented_clusters);
        json_add_some(o, "compressed-clusters", report->compressed_clusters);
        json_add(o, "check-errors", report->check_errors);
        json_object_object_add(o, "filename", clean ? json_object_new_string(clean) : NULL);
        json_object_object_add(o, "format", json_object_new_string(format));
        text_print_json(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
                                                                  JSON_C_TO_STRING_SPACED |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
}
