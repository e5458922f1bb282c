/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sorting without further memory: qsort() takes as much again as there is to sort, which matters for tables whose size an image
 * dictates. Plain functions, any thread.
 */
#pragma once

#include <stddef.h>

/* As qsort(). Things that are equal come in any order. */
void sort_in_place(void *things,
                   size_t count,
                   size_t size,
                   int (*compare)(const void *a, const void *b));
