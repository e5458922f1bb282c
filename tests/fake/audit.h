/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts all references in a qcow2 image and compares them with the counts in it, for tests: written from the format's
 * description alone, so that it shares no mistake with the driver. It knows no bitmaps and no encryption.
 */
#pragma once

#include "store/store.h"

typedef struct Audit {
        uint64_t corruptions, leaks;
        char text[160]; /* the first finding */
} Audit;

/* What the file holds now. Negative: it could not be looked at. */
int audit_qcow2(Store *s, Audit *ret);
