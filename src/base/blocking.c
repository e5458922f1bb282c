/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/blocking.h"

#include <stddef.h>

typedef struct Watch {
        BlockingBegin begin;
        void *arg;
} Watch;

static _Thread_local Watch watch;

void blocking_watch(BlockingBegin begin, void *arg)
{
        watch = (Watch){ begin, arg };
}

bool blocking_is_watched(void)
{
        return watch.begin != NULL;
}

void blocking_begin(void)
{
        if (watch.begin)
                watch.begin(watch.arg);
}
