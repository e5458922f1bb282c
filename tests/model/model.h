/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest disk should hold: its bytes in memory, of which only those that were ever written take any. Belongs to
 * the program; threads may change it at the same time as long as they share no byte and nobody resizes across theirs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Node Node;

typedef struct Model {
        uint8_t *bytes; /* `room` of them; zeroes from `size` on */
        uint64_t room;
        uint64_t size; /* of the disk now; one thread changes it */
} Model;

/* All zeroes. */
int model_init(Model *m, uint64_t size, uint64_t room);
void model_done(Model *m);

/* The contents of a raw file of exactly that size, and back. */
int model_load(Model *m, const char *path);
int model_save(const Model *m, const char *path);

/* What the node shows now. */
int model_copy(Model *m, Node *n);

void model_zero(Model *m, uint64_t off, uint64_t len);
void model_resize(Model *m, uint64_t size);

/* Is what was read of [off, off + len) what should be there? *ret_off is the first byte that is not. */
bool model_holds(
        const Model *m, const uint8_t *found, uint64_t off, uint64_t len, uint64_t *ret_off);

/* Reads the whole disk and compares it, its size included: 0, or an errno and a line on stderr. */
int model_compare(const Model *m, Node *n);
