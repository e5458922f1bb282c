/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/state.h"

#include "base/barrier.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

static void json_putp(json_object **o)
{
        if (*o)
                json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(json_putp)

/* Takes `value` whatever happens; NULL means that there was no memory for it. */
static int state_add(json_object *o, const char *key, json_object *value)
{
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(o, key, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

static int state_add_number(json_object *o, const char *key, uint64_t number)
{
        return state_add(o, key, json_object_new_uint64(number));
}

static int state_add_text(json_object *o, const char *key, const char *text)
{
        return state_add(o, key, json_object_new_string(text));
}

/* As "2026-11-22T18:54:58Z". */
static int state_add_time(json_object *o, const char *key, time_t when)
{
        struct tm tm;
        char text[64];

        if (!gmtime_r(&when, &tm) || strftime(text, sizeof(text), "%FT%TZ", &tm) == 0)
                return -EINVAL;
        return state_add_text(o, key, text);
}

static int state_add_fault(json_object *o, const char *key, const Fault *fault)
{
        static const char *const ops[] = {
                [HEALTH_READ] = "read",
                [HEALTH_WRITE] = "write",
                [HEALTH_SYNC] = "sync",
                [HEALTH_OTHER] = "other",
        };

        /* JSON's null is no object at all in json-c. */
        if (fault->code == 0)
                return json_object_object_add(o, key, NULL) < 0 ? -ENOMEM : 0;

        _cleanup_json_ json_object *f = json_object_new_object();
        if (!f)
                return -ENOMEM;
        int r = state_add_text(f, "operation", ops[fault->op]);
        if (r >= 0)
                r = state_add_number(f, "offset", fault->off);
        if (r >= 0)
                r = state_add_number(f, "length", fault->len);
        if (r >= 0)
                r = state_add_number(f, "errno", (uint64_t)fault->code);
        if (r >= 0)
                r = state_add_text(f, "text", strerrordesc_np(fault->code) ?: "unknown error");
        if (r >= 0)
                r = state_add_time(f, "when", fault->when);
        if (r < 0)
                return r;
        return state_add(o, key, TAKE(f));
}

static int state_add_numbers(json_object *o, const StateFacts *facts)
{
        const struct {
                const char *key;
                uint64_t number;
        } numbers[] = {
                { "pid", (uint64_t)facts->pid },
                { "size", facts->size },
                { "readers", facts->readers },
                { "writers", facts->writers },
                { "reads", facts->counts.reads },
                { "writes", facts->counts.writes },
                { "bytes-read", facts->counts.bytes_read },
                { "bytes-written", facts->counts.bytes_written },
                { "errors", facts->counts.errors },
                { "cache-size", facts->cache.budget },
                { "cache-hits", facts->cache.hits },
                { "cache-misses", facts->cache.misses },
        };

        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
                int r = state_add_number(o, numbers[i].key, numbers[i].number);
                if (r < 0)
                        return r;
        }
        /* Only where somebody says so. */
        int r = facts->sector_size ? state_add_number(o, "sector-size", facts->sector_size) : 0;
        if (r < 0)
                return r;
        return facts->is_window ? state_add_number(o, "offset", facts->start) : 0;
}

static int state_add_barriers(json_object *o, const char *key, uint32_t barriers)
{
        _cleanup_json_ json_object *names = json_object_new_array();

        for (unsigned b = 0; names && b < BARRIER_COUNT; b++) {
                if (!(barriers & BARRIER_BIT(b)))
                        continue;
                json_object *name = json_object_new_string(barrier_name(b));
                if (!name)
                        return -ENOMEM;
                if (json_object_array_add(names, name) < 0) {
                        json_object_put(name);
                        return -ENOMEM;
                }
        }
        return state_add(o, key, TAKE(names));
}

static int state_add_digest(json_object *list, const StateDigest *digest)
{
        _cleanup_json_ json_object *o = json_object_new_object();
        if (!o)
                return -ENOMEM;
        int r = state_add_text(o, "file", digest->file);
        if (r >= 0)
                r = state_add_text(o, "sha256", digest->sha256);
        if (r < 0)
                return r;
        if (json_object_array_add(list, o) < 0)
                return -ENOMEM;
        TAKE(o);
        return 0;
}

static int state_add_digests(json_object *o, const char *key, const StateFacts *facts)
{
        if (!facts->digests)
                return json_object_object_add(o, key, NULL) < 0 ? -ENOMEM : 0;

        _cleanup_json_ json_object *list = json_object_new_array();
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < facts->digest_count; i++) {
                int r = state_add_digest(list, &facts->digests[i]);
                if (r < 0)
                        return r;
        }
        return state_add(o, key, TAKE(list));
}

/* As what stands in /dev, or null. */
static int state_add_loop(json_object *o, const char *key, int loop)
{
        char text[32];

        if (loop == STATE_LOOP_NONE)
                return json_object_object_add(o, key, NULL) < 0 ? -ENOMEM : 0;
        snprintf(text, sizeof(text), loop < 0 ? "lost" : "/dev/loop%d", loop);
        return state_add_text(o, key, text);
}

int state_format(const StateFacts *facts, char **ret)
{
        _cleanup_json_ json_object *o = json_object_new_object();
        if (!o)
                return -ENOMEM;

        int r = state_add_text(o, "image", facts->image);
        if (r >= 0)
                r = state_add_text(o, "format", facts->format);
        if (r >= 0 && facts->overlay)
                r = state_add_text(o, "overlay", facts->overlay);
        else if (r >= 0 && json_object_object_add(o, "overlay", NULL) < 0)
                r = -ENOMEM;
        if (r >= 0)
                r = state_add_number(o, "layer", facts->layer);
        if (r >= 0)
                r = state_add(o, "layer-alone", json_object_new_boolean(facts->layer_alone));
        if (r >= 0)
                r = state_add_digests(o, "assert-unchanged", facts);
        if (r >= 0)
                r = state_add_text(o, "unit", facts->unit);
        if (r >= 0)
                r = state_add(o, "writable", json_object_new_boolean(facts->writable));
        if (r >= 0)
                r = state_add(o, "passthrough", json_object_new_boolean(facts->passthrough));
        if (r >= 0)
                r = state_add_loop(o, "loop", facts->loop);
        if (r >= 0)
                r = state_add_barriers(o, "sandbox", facts->barriers);
        if (r >= 0)
                r = state_add_time(o, "since", facts->since);
        if (r >= 0)
                r = state_add_numbers(o, facts);
        if (r >= 0)
                r = state_add_fault(o, "first-error", &facts->counts.first);
        if (r < 0)
                return r;

        const char *text = json_object_to_json_string_ext(
                o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        char *copy = text ? strdup(text) : NULL;
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}
