/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What supervisor and worker say to each other over a SOCK_SEQPACKET pair: fixed-size structs, one packet each, at
 * most one descriptor beside it. The supervisor believes nothing of what a worker says: lengths, kinds and
 * terminating NULs are checked on arrival, and a packet that does not fit ends the worker.
 *
 *   supervisor                           worker
 *   MESSAGE_IMAGE + image fd        →
 *   MESSAGE_OVERLAY + its fd        →                            where MESSAGE_IMAGE announces it
 *                                   ←    MESSAGE_OPEN            (any number of times)
 *   MESSAGE_OPENED + fd | _REFUSED  →
 *                                   ←    MESSAGE_SECRET_WANTED   (some times for each layer)
 *   MESSAGE_SECRET | _REFUSED       →
 *                                   ←    MESSAGE_PROGRESS        (now and then, of a writable image)
 *                                   ←    MESSAGE_DIGEST          (often, where MESSAGE_IMAGE asks for it)
 *                                   ←    MESSAGE_SEALED          no more opening, ever; or MESSAGE_FAILED
 *   (mounts, answers FUSE_INIT)
 *   MESSAGE_SERVE + /dev/fuse fd    →
 *                                   ←    MESSAGE_SERVING         requests are being answered from now on
 *                                   ←    MESSAGE_FAULT           first I/O error of a minute, for the log
 *   MESSAGE_CHANGE                  →                            any number of times
 *                                   ←    MESSAGE_CHANGED         one for each, in their order
 *   MESSAGE_LOOP                    →                            there is a loop device, or no longer
 *   MESSAGE_ENDING                  →                            the view cannot be opened any more
 *                                   ←    MESSAGE_DIGEST          (as above, when nothing is shown any more)
 *                                   ←    MESSAGE_DONE            flushed and closed; the worker ends
 *
 * A command whose child looks at an image answers MESSAGE_OPEN in the same way, and refuses MESSAGE_SECRET_WANTED; there are
 * no other messages.
 */
#pragma once

#include "base/secret.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
        MESSAGE_NAME_MAX = 1024, /* a name inside an image, with NUL */
        MESSAGE_TEXT_MAX = 512,  /* an Err's text, with NUL */
        MESSAGE_PATH_MAX = 4096,
        MESSAGE_PARTITION_MAX = 256,
        MESSAGE_SHA256_LEN = 32,
        MESSAGE_INIT_MAX = 256, /* a FUSE_INIT request or answer, with its header */
};

typedef enum MessageKind {
        MESSAGE_IMAGE = 1,
        MESSAGE_OPEN,
        MESSAGE_OPENED,
        MESSAGE_REFUSED,
        MESSAGE_SEALED,
        MESSAGE_FAILED,
        MESSAGE_SERVE,
        MESSAGE_SERVING,
        MESSAGE_FAULT,
        MESSAGE_DONE,
        MESSAGE_CHANGE,
        MESSAGE_CHANGED,
        MESSAGE_ENDING,
        MESSAGE_SECRET_WANTED,
        MESSAGE_SECRET,
        MESSAGE_OVERLAY,
        MESSAGE_DIGEST,
        MESSAGE_LOOP,
        MESSAGE_PROGRESS,
        MESSAGE_KINDS, /* none: one more than the last */
} MessageKind;

/* Supervisor → worker, with the image's descriptor: layer 0. */
typedef struct MessageImage {
        char path[MESSAGE_PATH_MAX];     /* for xattrs and messages; never opened */
        char format[32];                 /* "auto": probe */
        char snapshot[MESSAGE_NAME_MAX]; /* "": none */
        char partition
                [MESSAGE_PARTITION_MAX]; /* which one the view is: number, name or UUID; "": none */
        uint32_t partitions;             /* the view is a folder: the disk and its partitions */
        uint32_t writable, growable;
        uint32_t sector_size;      /* 512 or 4096, whatever the image says; 0: what it says */
        uint32_t loop;             /* a loop device will lie over the view */
        uint64_t offset, size;     /* the window that the view is; size 0: to the end of the disk */
        uint32_t assert_unchanged; /* all files of the image are read, and read again at the end */
        uint32_t has_overlay;      /* MESSAGE_OVERLAY follows, and the image is only read */
        uint32_t layer;            /* which layer of the chain is shown; 0: the image itself */
        uint32_t layer_alone;      /* without what lies below it */
        uint64_t cache_size;
        uint32_t switch_user, uid, gid; /* whom the worker becomes */
        uint32_t require_sandbox;
        uint32_t core_dumps; /* it may leave a core */
} MessageImage;

/* Supervisor → worker, with the descriptor of a qcow2 that takes all that is written: layer 1. */
typedef struct MessageOverlay {
        uint32_t is_new;                /* nothing is in it, and the worker makes an image of it */
        uint32_t is_volatile;           /* it has no name and never will: nothing in it is synced */
        char path[MESSAGE_PATH_MAX];    /* or "volatile"; for xattrs and messages; never opened */
        char backing[MESSAGE_NAME_MAX]; /* what a new one calls the image */
} MessageOverlay;

/* Worker → supervisor, or child → command: the image of layer `namer` names a file. */
typedef struct MessageOpen {
        uint32_t namer;    /* 0: the image; further files in the order in which they were opened */
        uint32_t writable; /* granted only for what belongs to layer 0 of a writable view */
        char name[MESSAGE_NAME_MAX];
} MessageOpen;

/* The answer, with the descriptor. */
typedef struct MessageOpened {
        uint32_t layer; /* its number from now on */
        /* Where it lies, if the name is a symbolic link and that is no secret; else "". */
        char target[MESSAGE_PATH_MAX];
} MessageOpened;

/* Worker → supervisor: what lies in layer `layer` is encrypted. Asked once more, the last passphrase did not fit. */
typedef struct MessageSecretWanted {
        uint32_t layer;
        char what[32]; /* which method wants it, for the person who is asked: "luks" */
} MessageSecretWanted;

/* The answer. Whoever has had such a message in hand wipes it. */
typedef struct MessageSecret {
        uint32_t len;
        uint8_t bytes[SECRET_MAX];
} MessageSecret;

/* MESSAGE_REFUSED (the other answer to both), MESSAGE_FAILED (worker). */
typedef struct MessageError {
        int32_t code; /* positive errno */
        char text[MESSAGE_TEXT_MAX];
} MessageError;

/* Worker → supervisor: the image is open and sound. */
typedef struct MessageSealed {
        uint64_t size;        /* of the view */
        uint32_t sector_size; /* that a loop device must have; 512 where nothing says more */
        uint32_t guessed;     /* raw because nothing else was recognised */
        uint32_t repaired;    /* it was not closed cleanly, and its driver made up for that */
        /* Byte for byte and over its whole length the disk is the file of layer `plain` - 1; 0: it is no one file. */
        uint32_t plain;
        /* Of base/barrier.h: what keeps the worker in, and what the kernel does not have for it. */
        uint32_t barriers, barriers_lacking;
        uint32_t table_damaged; /* the partition was found in what is left of a partition table */
        char format[32];
} MessageSealed;

/* Worker → supervisor: how far it has read a file of the image, and at its end what that is. */
typedef struct MessageDigest {
        uint32_t layer;
        uint32_t is_done;
        uint64_t done, total; /* bytes */
        uint8_t sha256[MESSAGE_SHA256_LEN];
} MessageDigest;

/* What takes long before an image is written to. */
enum {
        MESSAGE_PASS_CHECKING = 1,
        MESSAGE_PASS_REPAIRING,
        MESSAGE_PASS_END,
};

/* Worker → supervisor: how far it is with that. Numbers only; what is said of them is the supervisor's to choose. */
typedef struct MessageProgress {
        uint32_t pass;
        uint32_t percent; /* 100 at most */
} MessageProgress;

/* Supervisor → worker, with the /dev/fuse descriptor of a mount whose FUSE_INIT is answered already. A worker that
 * replaces another gets the same bytes. */
typedef struct MessageServe {
        uint32_t init_request_len, init_answer_len;
        uint8_t init_request[MESSAGE_INIT_MAX]; /* as the kernel sent it */
        uint8_t init_answer[MESSAGE_INIT_MAX];  /* as the supervisor answered */
        uint32_t uid, gid, mode;                /* of the view at first; mode without the type */
        uint32_t allow_other;                   /* mounted with it */
        int32_t supervisor_pid;                 /* for user.rawview.state */
        int32_t backing_id; /* opens are answered with this file, which the kernel has; 0: with none */
        char unit[256];     /* the systemd unit, "" without one */
} MessageServe;

/* Worker → supervisor: the first fault of a minute on the request path. */
typedef struct MessageFault {
        int32_t code;
        uint32_t is_write;        /* 0 read, 1 write, 2 sync, 3 other */
        uint64_t off, len, count; /* count: faults since the last message */
} MessageFault;

/* Worker → supervisor: everything is flushed and closed. code 0, or the errno of what failed with its text. */
typedef struct MessageDone {
        int32_t code;
        char text[MESSAGE_TEXT_MAX];
} MessageDone;

/* What can be another while the view is up; bits. */
enum {
        MESSAGE_CHANGE_UID = 1 << 0,
        MESSAGE_CHANGE_GID = 1 << 1,
        MESSAGE_CHANGE_MODE = 1 << 2,
        MESSAGE_CHANGE_CACHE = 1 << 3,
        MESSAGE_CHANGE_OF_FILE = MESSAGE_CHANGE_UID | MESSAGE_CHANGE_GID | MESSAGE_CHANGE_MODE,
        MESSAGE_CHANGE_ALL = MESSAGE_CHANGE_OF_FILE | MESSAGE_CHANGE_CACHE,
        MESSAGE_MODE_MAX = 0777,
};

/* Supervisor → worker, while it serves. */
typedef struct MessageChange {
        uint32_t what; /* at least one bit */
        uint32_t uid, gid, mode;
        uint64_t cache_size;
} MessageChange;

/* Worker → supervisor: that is how it is from now on, also for whoever asks the kernel. Owner, group and mode are taken
 * together or not at all. */
typedef struct MessageChanged {
        uint32_t what;       /* of the bits of the question, those that were done */
        int32_t code;        /* why some were not; 0: all were */
        uint64_t cache_size; /* what it is now, which may be more or less than was asked for */
} MessageChanged;

/* Supervisor → worker, while it serves: who has the view open goes on, but nobody opens it any more. */
typedef struct MessageEnding {
        int32_t exempt_pid; /* but this process, which flushes it; 0: nobody */
} MessageEnding;

enum {
        MESSAGE_LOOP_NONE = -1,
        MESSAGE_LOOP_LOST = -2,     /* there was one, and nobody has let go of it */
        MESSAGE_LOOP_MAX = 1 << 20, /* as many devices as one kind can have */
};

/* Supervisor → worker, while it serves: for user.rawview.state. */
typedef struct MessageLoop {
        int32_t number; /* of the view's own loop device, or one of the above */
} MessageLoop;

typedef struct Message {
        uint32_t kind; /* MessageKind */
        uint32_t len;  /* of the whole packet: header and the one body that belongs to the kind */
        union {
                MessageImage image;
                MessageOverlay overlay;
                MessageDigest digest;
                MessageProgress progress;
                MessageOpen open;
                MessageOpened opened;
                MessageError error;
                MessageSealed sealed;
                MessageServe serve;
                MessageFault fault;
                MessageDone done;
                MessageChange change;
                MessageChanged changed;
                MessageEnding ending;
                MessageLoop loop;
                MessageSecretWanted secret_wanted;
                MessageSecret secret;
        };
} Message;

static inline void message_wipe(Message *m)
{
        explicit_bzero(m, sizeof(*m));
}
#define _cleanup_message_ __attribute__((cleanup(message_wipe)))
