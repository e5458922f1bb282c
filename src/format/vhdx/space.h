/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of the file is in use, one bit for each MiB, since all that is large lies at whole MiBs: VHDX has no list of what is
 * free, so the BAT is gone through once, by a check or by who wants to write. Private to the driver; the owner locks.
 */
#pragma once

#include "block/check.h"
#include "format/vhdx/vhdx.h"

typedef struct VhdxSpace {
        uint8_t *used;  /* owned */
        uint64_t count; /* MiBs that it knows of, from the beginning of the file */
        uint64_t room;  /* for how many it has bits, a multiple of 8 */
        uint64_t free;  /* of those that it knows of, how many are not in use */
} VhdxSpace;

/* What went through the BAT has seen. */
typedef struct VhdxSurvey {
        uint64_t end; /* behind the last byte that is in use */
        uint64_t blocks, present, fragments;
} VhdxSurvey;

/* All free; knows of `count` MiBs. Memory is reserved in the cache of the chain until the image is closed. */
int vhdx_space_init(Node *n, VhdxSpace *s, uint64_t count, Err *err);
void vhdx_space_done(VhdxSpace *s);

/* Knows of `count` MiBs from now on, the new ones free. -ENOSPC: there is no memory for that. */
int vhdx_space_grow(Node *n, VhdxSpace *s, uint64_t count);

/* Takes MiBs that it knows of into use. False: some of them were already; the others are now as well. */
bool vhdx_space_take(VhdxSpace *s, uint64_t first, uint64_t count);
void vhdx_space_give(VhdxSpace *s, uint64_t first, uint64_t count);

/* The first of `count` free MiBs in a row, at or behind `from`; false: there are none. */
bool vhdx_space_find(const VhdxSpace *s, uint64_t from, uint64_t count, uint64_t *ret);

/* Goes through the BAT and takes into use what it leads to, and the headers, the log and the regions. What is wrong is a
 * corruption in `report`, or, where that is NULL, an error: -EBADMSG. */
int vhdx_survey(Node *n, VhdxSpace *s, CheckReport *report, VhdxSurvey *ret, Err *err);
