/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image and all that it names: the top as asked for, what lies below read-only, at most LIMIT_CHAIN_DEPTH
 * layers, no file twice (by device and inode).
 *
 * Only the top file is ever probed: a layer below has the format that its overlay states, or the open is refused,
 * because the bytes of a layer were written by a guest who could name any file of the host.
 */
#pragma once

#include "block/node.h"

#include <stdbool.h>

typedef struct ChainRequest {
        const Format *const *formats; /* NULL-terminated, in probing order; raw is not among them */
        const Format *raw; /* for what is raw because somebody said so, and the read-only guess */
        const char *format_name; /* NULL: probe */
        bool writable;           /* the top layer only */
        bool for_check;          /* see NodeOptions; the top layer only */
        bool stay_locked;        /* see NodeOptions; all layers */
        const char *
                file_name; /* what `top` is called in its folder, symbolic links followed; NULL: not known */
        unsigned
                layer; /* which one is wanted, 0 the top: nobody is asked to unlock those above it */
        bool layer_alone;     /* and nothing below it is opened: what it has not reads as zeroes */
        const char *snapshot; /* internal snapshot of that layer; NULL: none */
        Opener *opener;       /* NULL: open nothing but `top`; n->backing stays NULL then */
        bool only_top;        /* the same, but for the further files of a format that has_pieces */
        Listener listener;    /* see NodeOptions; of what is opened to be written to */
        Cache *cache;
} ChainRequest;

/* Takes `top` on success only. Error texts name the layer: "backing file 'b.qcow2': qcow2: …". */
int chain_open(const ChainRequest *request, Store *top, Node **ret, Err *err);

/* The layer of that number, 0 is `top` itself; NULL: there are not so many. */
Node *chain_find_layer(Node *top, unsigned layer);

/* Opens `top`, an image of `format`, for writing, and lays it over a chain that is open: of which `below`, by file and format,
 * must be what `top` names as its backing file. Of `request` opener and cache count, and the formats. Takes `top` and `below`
 * on success only. */
int chain_lay_over(const ChainRequest *request,
                   const Format *format,
                   Store *top,
                   Node *below,
                   Node **ret,
                   Err *err);
