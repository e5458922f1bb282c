/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The line of `systemctl status`: what is shown where, how many use it, and what is being waited for. It is sent only
 * when it is another one than before. One thread.
 */
#pragma once

#include <stddef.h>

typedef struct Manager Manager;

enum {
        STATUS_TEXT_MAX = 1024,
        STATUS_ACCESS_MAX = 320,
};

/* "web.qcow2 (qcow2, 20G, writable) as /run/rawview/web; 3 readers". */
void status_format(const Manager *m, char *ret, size_t size);

/* Says READY=1 with it. */
void status_ready(Manager *m);

/* Says RELOADING=1; status_ready() ends that. */
void status_reloading(Manager *m);

/* Tells how the view is now that it is served. Once its end has begun nothing is said here. */
void status_update(Manager *m);

/* What is being done at its end; the first of them with STOPPING=1. */
void status_ending(Manager *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "read-only", "writable, overlay web.qcow2"; uses `ret` where it has to. */
const char *status_access(const Manager *m, char ret[STATUS_ACCESS_MAX]);

/* The last part of the image's path. */
const char *status_image_name(const Manager *m);

/* The same of what takes the writes: the overlay, else the image. */
const char *status_written_name(const Manager *m);
