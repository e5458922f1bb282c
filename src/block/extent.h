/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An Extent is a format driver's answer to "where do these guest bytes lie?". It is a plain value; it stays true
 * while the Node's `layout` lock is held, and owns nothing.
 */
#pragma once

#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum ExtentKind {
        EXTENT_HOLE, /* reads as zeroes */
        EXTENT_BELOW, /* not in this layer: ask the backing node at the same offset; zeroes without one */
        EXTENT_DATA,  /* verbatim in .store at .pos */
        EXTENT_CODED, /* in the image in another shape: read_coded unpacks the whole extent */
} ExtentKind;

typedef struct Extent {
        ExtentKind kind;
        uint64_t off,
                len; /* guest range this holds for; starts at or before what was asked, len is never 0 */
        Store *store; /* DATA: borrowed from the Node; NULL only while the image stays locked. HOLE, BELOW: NULL, or where a
                         place is kept for these bytes, at .pos */
        uint64_t pos; /* DATA: host position of guest offset .off */
        bool unproven; /* DATA: nothing in the image says that these bytes were ever written; the file may have a hole there */
        bool in_place; /* DATA: may be written over (not shared with a snapshot) */
        bool zeroed;   /* from alloc: the place reads as zeroes already */
        uint64_t
                cookie; /* the driver's note to itself, unique for a coded extent while layout is held */
} Extent;
