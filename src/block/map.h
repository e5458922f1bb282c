/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the bytes of a disk come from, over all layers of a chain: for people and programs that ask, not for reading. It looks
 * at tables and at the holes of files, never at guest data, and wants no passphrase. Any thread.
 */
#pragma once

#include "block/node.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct MapStretch {
        uint64_t off, len; /* guest bytes; len is never 0 */
        unsigned
                depth; /* the layer that decides, 0 the top; the one above where a layer has ended */
        const Node *node; /* that layer; borrowed */
        bool present; /* the layer says something of these bytes: else they are zeroes because no layer has them */
        bool is_data; /* it says that bytes are stored for them; else they are zeroes */
        bool is_hole; /* of these bytes, which are stored in a hole of a file: they read as zeroes */
        const Store *
                store; /* where they lie verbatim, at pos, or would; NULL: packed, encrypted, or nowhere */
        uint64_t pos;
} MapStretch;

/* How long the disk is when it is counted in whole sectors, as qemu-img counts. */
uint64_t node_get_map_size(Node *n);

/* What is at `off`, at most `len` long; both within node_get_map_size(). Stretches of one kind may come in several pieces. */
int node_map_chain(Node *n, uint64_t off, uint64_t len, MapStretch *ret);
