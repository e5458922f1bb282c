/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk of one part: its name says that it may be one of several, and that is what it is opened by. */
#include "sample.h"

#include "base/cleanup.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>

int split_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *disk = calloc(1, SAMPLE_SIZE);
        if (!disk)
                return -ENOMEM;
        memset(disk, 'A', SAMPLE_GRANULE);
        memset(disk + (size_t)3 * SAMPLE_GRANULE, 'D', SAMPLE_GRANULE);
        return mem_store_new(disk, SAMPLE_SIZE, ret);
}
