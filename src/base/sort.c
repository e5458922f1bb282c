/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/sort.h"

#include <stdint.h>

typedef struct Sort {
        uint8_t *things;
        size_t size;
        int (*compare)(const void *a, const void *b);
} Sort;

static void *sort_at(const Sort *s, size_t index)
{
        return s->things + index * s->size;
}

static void sort_swap(const Sort *s, size_t a, size_t b)
{
        uint8_t *one = sort_at(s, a), *other = sort_at(s, b);

        for (size_t i = 0; i < s->size; i++) {
                uint8_t byte = one[i];
                one[i] = other[i];
                other[i] = byte;
        }
}

/* In a heap of `count` each is at least as large as its two children, at 2i + 1 and 2i + 2. This makes it so for one place
 * where it may not be, if it is so below. */
static void sort_sink(const Sort *s, size_t at, size_t count)
{
        for (;;) {
                size_t child = 2 * at + 1;
                if (child >= count)
                        return;
                if (child + 1 < count && s->compare(sort_at(s, child), sort_at(s, child + 1)) < 0)
                        child++;
                if (s->compare(sort_at(s, at), sort_at(s, child)) >= 0)
                        return;
                sort_swap(s, at, child);
                at = child;
        }
}

void sort_in_place(void *things,
                   size_t count,
                   size_t size,
                   int (*compare)(const void *a, const void *b))
{
        Sort s = { things, size, compare };

        for (size_t i = count / 2; i > 0; i--)
                sort_sink(&s, i - 1, count);
        for (size_t left = count; left > 1; left--) {
                sort_swap(&s, 0, left - 1);
                sort_sink(&s, 0, left - 1);
        }
}
