/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image in memory, opened with one format, and what tests look at of it. One thread.
 */
#pragma once

#include "block/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Opened {
        Cache *cache;
        Node *node; /* NULL: not opened */
        Store *store;
        int r;
        Err err;
} Opened;

/* Fails in `o` only; `wanted` may be NULL, and its cache is one of the test's own. */
void opened_try(
        Opened *o, const Format *format, const void *bytes, size_t len, const NodeOptions *wanted);

/* Fails the test when it cannot be opened. */
void opened_make(Opened *o, const Format *format, const void *bytes, size_t len, bool writable);

void opened_done(Opened *o);

/* Of the file that the image is. */
uint64_t opened_file_size(const Opened *o);

/* At `off` of the disk. */
void opened_expect_byte(const Opened *o, uint64_t off, uint8_t byte);

/* It was refused so, and these words are in the sentence. */
void opened_expect_refusal(const Opened *o, int r, const char *words);
