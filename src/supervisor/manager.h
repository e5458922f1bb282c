/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of one view: image, worker and mount brought together, watched, and taken apart again so that no mount
 * outlives its server. One thread, one Manager a process; it never looks into the image.
 */
#pragma once

#include "base/log.h"
#include "broker/broker.h"
#include "config/config.h"
#include "ipc/message.h"
#include "supervisor/event.h"
#include "supervisor/exit.h"
#include "supervisor/init.h"
#include "supervisor/loop-holder.h"
#include "supervisor/mount.h"
#include "supervisor/overlay.h"
#include "supervisor/pid-file.h"
#include "supervisor/progressing.h"
#include "supervisor/pulse.h"
#include "supervisor/spawn.h"
#include "supervisor/status.h"
#include "supervisor/target.h"
#include "supervisor/unchanged.h"
#include "supervisor/unlock.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ManagerOptions {
        PathRule rule;        /* for all paths */
        const char *instance; /* the descriptor's name; NULL: there is none */
        const char *pid_file; /* absolute; NULL: none */
        LogLevel level;       /* asked for with -v or -q; 0: LogLevel= decides */
        int ready_fd;         /* gets the path of the view once it is up; -1: none */
        int fuse_fd; /* the connection of a mount that somebody else has made; -1: we mount */
        bool removes_mount_point; /* the file that is covered was made for this view */
        bool require_sandbox;     /* no view when the kernel lacks any barrier around the worker */
        bool core_dumps;     /* a worker that crashes may leave a core, with pieces of the image */
        bool background;     /* lets go of the terminal once the view is up */
        bool ignores_hangup; /* a terminal that goes away does not end the view either */
        /* Reads the descriptor once more, as at the start, into what config_init has filled, and settles it. Logs itself
         * why it fails. NULL: there is no descriptor. */
        int (*read)(void *arg, Config *ret);
        void *read_arg;
} ManagerOptions;

/* What has been heard of the worker, in this order. */
typedef enum Stage {
        STAGE_OPENING,
        STAGE_SEALED,   /* the image is open and sound */
        STAGE_STARTING, /* it has been told to serve */
        STAGE_SERVING,
        STAGE_DONE, /* flushed and closed, or not: m->done says which */
} Stage;

struct Manager {
        Config *config; /* how the view is shown */
        const ManagerOptions *options;
        EventSubject subject; /* as much of it as is known so far */
        Broker image;         /* it, and all that it names */
        Overlay overlay;
        Target target;
        Worker worker;
        Mount mount;
        Init init;
        LoopHolder loop;
        bool loop_lost; /* it was there, and nobody has let go of it */
        int32_t backing_id; /* the kernel has the image's file under this number, and serves the view from it; 0: it has not */
        int signals; /* signalfd */
        int hangups; /* the same for SIGHUP, which is read by reload_run only */
        Phase phase;
        Stage stage;
        bool terminal;         /* the view ends with the terminal that it was started in */
        bool reload_asked;     /* SIGHUP is waiting */
        char reload_note[256]; /* what the last reload could not do, for STATUS; "": nothing */
        unsigned stop_asked;   /* how often; twice means that it may cost data */
        int waiter; /* options->ready_fd until it was written to; -1: nobody waits for the view */
        bool worker_gone;
        PidFile pid_file;
        Pulse pulse;
        bool ending;                  /* STOPPING=1 was said */
        char status[STATUS_TEXT_MAX]; /* as it was said last */
        int64_t stop_end_ms;          /* until then time is asked for */
        int64_t stop_said_ms;         /* when it was asked for last */
        Unlock unlock;
        Unchanged unchanged;
        Progressing progressing;
        MessageSealed sealed;
        MessageDone done;
        unsigned changes_unanswered; /* MESSAGE_CHANGE */
        MessageChanged changed;      /* the last answer */
        /* Why the worker cannot be used, in its words or ours; code 0: it can. */
        int failure_code;
        Err failure;
        int64_t end_ms; /* when the worker, which has said goodbye, must have ended; 0: it has not */
        /* Of the last fault that was logged, and the messages about faults since. */
        int64_t fault_ms;
        unsigned fault_messages;
        uint64_t fault_count;
};

/* As whom the view of `c` shows itself. */
void manager_get_owner(const Config *c, uint32_t *ret_uid, uint32_t *ret_gid);

/* Shows what `c` (settled) describes until it is unmounted or stopped; what a reload changes, it changes in `c`. Logs what goes wrong; returns the exit status. */
int manager_run(Config *c, const ManagerOptions *options);
