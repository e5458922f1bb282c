/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether udev has done with a device: by its own database, since its queue says nothing of events that it has not heard of yet.
 * One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the database had of a device at one moment. */
typedef struct UdevMark {
        ino_t inode; /* each entry is a new file; 0: there was none */
        int64_t seconds, nanoseconds;
} UdevMark;

/* Is udev there at all? */
bool udev_is_running(void);

UdevMark udev_mark(dev_t device);

/* Has it written an entry since? */
bool udev_has_moved(dev_t device, const UdevMark *mark);

/* Is the device with this node initialised? Rules have run and links are there. */
bool udev_knows(const char *node);
