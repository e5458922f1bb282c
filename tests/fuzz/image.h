/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a fuzz target does with an image that has opened. Each piece of work is bounded, whatever size the image claims to
 * have. One thread.
 */
#pragma once

#include "block/node.h"

#include <stddef.h>
#include <stdint.h>

/* Looks for data and holes from the beginning on, and reads where each begins. */
void fuzz_image_map(Node *n);

/* Reads what is at the beginning, and at some places that the input chooses. */
void fuzz_image_read(Node *n, const uint8_t *bytes, size_t len);

/* Writes, discards, zeroes, resizes and flushes; the end of the input chooses. */
void fuzz_image_write(Node *n, const uint8_t *bytes, size_t len);

/* A store that does not grow beyond what a fuzzer's memory can bear. */
int fuzz_image_store(const uint8_t *bytes, size_t len, Store **ret);
