/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happens to a view, told so that programs can find it: under the journal as an entry with fields and the MESSAGE_ID=
 * of its kind, elsewhere as the ordinary line on stderr; never both. Texts and names may come from images and workers:
 * no field holds more than one line. libsystemd keeps a descriptor after the first entry, so that inherited_close_rest()
 * comes before it. The supervisor's one thread.
 */
#pragma once

#include "supervisor/exit.h"

typedef enum Event {
        EVENT_READY,
        EVENT_STOPPED,
        EVENT_ALLOW_OTHER,  /* it was refused, and the view is shown without */
        EVENT_REPAIRED,     /* the image was not closed cleanly */
        EVENT_NEEDS_REPAIR, /* and is not written to before that */
        EVENT_CORRUPT,
        EVENT_UNSUPPORTED,
        EVENT_IO_ERROR,
        EVENT_WORKER_DIED,
        EVENT_LOCKED,   /* the image is in use */
        EVENT_OCCUPIED, /* the mount point is */
        EVENT_FORBIDDEN,
        EVENT_PASSPHRASE, /* there is none, or it is wrong */
        EVENT_MISSING,
        EVENT_DESCRIPTOR,
        EVENT_DIGEST,    /* what a file of the image is before it is shown */
        EVENT_UNCHANGED, /* it is the same afterwards */
        EVENT_CHANGED,   /* it is not, or that is not known */
        EVENT_LOOP_LOST, /* its own loop device, without anybody's having let go of it */
        EVENT_FAILED,    /* anything else for which there is no view */
} Event;

/* Whom an event is about; NULL or "": not known, and no field. The texts are borrowed. */
typedef struct EventSubject {
        const char *image, *format, *mount_point;
        const char *instance;      /* name of the descriptor */
        const char *file, *sha256; /* one of the files of the image */
} EventSubject;

/* What ended a view, or kept it from coming up. `code` is a positive errno. */
Event event_choose(Phase phase, int code);

/* What made a request fail. */
Event event_choose_fault(int code);

/* `code`: a positive errno for ERRNO=, or 0. */
void event_log(Event event, const EventSubject *subject, int code, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
