/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/info.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"

#include <errno.h>
#include <string.h>

/* Room for one more element behind `count`, zeroed. An array has room for the next power of two: an image may have
 * 65536 snapshots, and copying them each time costs minutes where realloc always copies. */
static int info_grow(void **array, size_t count, size_t element)
{
        if (count == 0 || is_power_of_two(count)) {
                void *grown = reallocarray(*array, count == 0 ? 1 : count * 2, element);
                if (!grown)
                        return -ENOMEM;
                *array = grown;
        }
        memset((char *)*array + count * element, 0, element);
        return 0;
}

/* A copy of `text`, NULL for NULL. */
static int info_copy_text(const char *text, char **ret)
{
        char *copy = text ? strdup(text) : NULL;
        if (text && !copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

/* Counts an element with these texts, which may be NULL. */
static int info_add_cost(Info *i, const char *text, const char *other)
{
        uint64_t len = (text ? strlen(text) : 0) + (other ? strlen(other) : 0);
        uint64_t cost = i->cost + LIMIT_INFO_COST_EACH + len;

        if (cost > LIMIT_INFO_COST)
                return -EFBIG;
        i->cost = cost;
        return 0;
}

/* Takes what `fact` owns, whatever comes of it. */
static int info_add_fact(Info *i, const char *key, Fact fact)
{
        _cleanup_free_ char *text = fact.text;
        _cleanup_free_ char *copy = NULL;

        int r = info_add_cost(i, key, text);
        if (r >= 0)
                r = info_copy_text(key, &copy);
        if (r < 0)
                return r;
        r = info_grow((void **)&i->facts, i->fact_count, sizeof(Fact));
        if (r < 0)
                return r;
        fact.key = TAKE(copy);
        fact.text = TAKE(text);
        i->facts[i->fact_count++] = fact;
        return 0;
}

int info_add_text(Info *i, const char *key, const char *text)
{
        char *copy = NULL;
        int r = info_copy_text(text, &copy);
        if (r < 0)
                return r;
        return info_add_fact(i, key, (Fact){ .kind = FACT_TEXT, .text = copy });
}

int info_add_number(Info *i, const char *key, uint64_t number)
{
        return info_add_fact(i, key, (Fact){ .kind = FACT_NUMBER, .number = number });
}

int info_add_bool(Info *i, const char *key, bool truth)
{
        return info_add_fact(i, key, (Fact){ .kind = FACT_BOOL, .truth = truth });
}

int info_begin(Info *i, FactKind kind, const char *key)
{
        return info_add_fact(i, key, (Fact){ .kind = kind });
}

int info_end(Info *i)
{
        return info_add_fact(i, "", (Fact){ .kind = FACT_END });
}

int info_add_snapshot(Info *i, const SnapshotInfo *s)
{
        _cleanup_free_ char *id = NULL;
        _cleanup_free_ char *name = NULL;

        int r = info_add_cost(i, s->id, s->name);
        if (r >= 0)
                r = info_copy_text(s->id, &id);
        if (r < 0)
                return r;
        r = info_copy_text(s->name, &name);
        if (r < 0)
                return r;
        r = info_grow((void **)&i->snapshots, i->snapshot_count, sizeof(SnapshotInfo));
        if (r < 0)
                return r;

        SnapshotInfo *added = &i->snapshots[i->snapshot_count++];
        *added = *s;
        added->id = TAKE(id);
        added->name = TAKE(name);
        return 0;
}

int info_add_bitmap(Info *i, const BitmapInfo *b)
{
        _cleanup_free_ char *name = NULL;

        int r = info_add_cost(i, b->name, NULL);
        if (r >= 0)
                r = info_copy_text(b->name, &name);
        if (r < 0)
                return r;
        r = info_grow((void **)&i->bitmaps, i->bitmap_count, sizeof(BitmapInfo));
        if (r < 0)
                return r;

        BitmapInfo *added = &i->bitmaps[i->bitmap_count++];
        *added = *b;
        added->name = TAKE(name);
        return 0;
}

int info_add_extent(Info *i, const ExtentInfo *e)
{
        _cleanup_free_ char *name = NULL;
        _cleanup_free_ char *format = NULL;

        int r = info_add_cost(i, e->name, e->format);
        if (r >= 0)
                r = info_copy_text(e->name, &name);
        if (r >= 0)
                r = info_copy_text(e->format, &format);
        if (r < 0)
                return r;
        r = info_grow((void **)&i->extents, i->extent_count, sizeof(ExtentInfo));
        if (r < 0)
                return r;

        ExtentInfo *added = &i->extents[i->extent_count++];
        *added = *e;
        added->name = TAKE(name);
        added->format = TAKE(format);
        return 0;
}

void info_done(Info *i)
{
        for (size_t k = 0; k < i->fact_count; k++) {
                free(i->facts[k].key);
                free(i->facts[k].text);
        }
        for (size_t k = 0; k < i->snapshot_count; k++) {
                free(i->snapshots[k].id);
                free(i->snapshots[k].name);
        }
        for (size_t k = 0; k < i->bitmap_count; k++)
                free(i->bitmaps[k].name);
        for (size_t k = 0; k < i->extent_count; k++) {
                free(i->extents[k].name);
                free(i->extents[k].format);
        }
        free(i->extents);
        free(i->facts);
        free(i->snapshots);
        free(i->bitmaps);
        memset(i, 0, sizeof(*i));
}
