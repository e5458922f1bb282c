/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Format is what a driver gives to block/: one const object, its only exported symbol.
 *
 * A driver says where guest bytes lie; only block/ moves guest bytes. No callback does I/O on guest data, except
 * read_coded, which unpacks one extent. Callbacks run in any thread; `layout` of the node is held (shared in map,
 * read_coded, alloc, publish, release, write_back; exclusively in finish, discard, resize). What a driver
 * changes while serving is guarded by a mutex of its own.
 *
 * Errors that cross this border (negative errno):
 *   EBADMSG     malformed                        EOPNOTSUPP  sound, but uses what we do not know, by name
 *   EUCLEAN     sound, not closed cleanly        EFBIG       beyond limits.h
 *   ENODATA     the file ends before it should   EACCES      the opener refused
 *   EIO ENOSPC EROFS ENOMEM                      as ever; ENOENT: no such snapshot; ELOOP: names itself
 *   ENOKEY      there is no passphrase           EKEYREJECTED  none fits; both from opener_unlock
 */
#pragma once

#include "base/err.h"
#include "block/extent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CheckReport CheckReport;
typedef struct Info Info;
typedef struct Node Node;
typedef struct Opener Opener;
typedef struct Store Store;

enum {
        MAGIC_COUNT = 3,
        MAGIC_MAX = 32,
        PROBE_HEAD = 512, /* no magic of any format we know ends beyond the first sector … */
        PROBE_TAIL = 512, /* … or begins before the last one */
};

/* Bytes that an image of this format has at a fixed place. len 0 ends the list. */
typedef struct Magic {
        int64_t at; /* negative: counted from the end of the file */
        size_t len;
        const char *bytes;
} Magic;

/* What a probe may look at; nothing is read beyond it. */
typedef struct Probe {
        const uint8_t *head; /* the first PROBE_HEAD bytes, zeroes past the end of the file */
        const uint8_t
                *tail; /* the last PROBE_TAIL bytes of the file; zeroes in front of a shorter one */
        uint64_t file_size;
} Probe;

/* What a new image is to be: one over a backing file, in which nothing is allocated. */
typedef struct Creation {
        uint64_t size;              /* of the disk; rounded up to whole sectors */
        const char *backing_name;   /* as it is to stand in the image */
        const char *backing_format; /* as qemu-img calls it */
} Creation;

typedef struct Format {
        const char *name;      /* as in --format= */
        const char *qemu_name; /* as in `qemu-img info`, where that is another one; else NULL */
        Magic magic
                [MAGIC_COUNT]; /* one of them matching is a match; none given: only probe() decides */
        size_t state_size;     /* of Node.state, zeroed before open */
        bool has_snapshots; /* in an image; open looks for n->snapshot, which is not asked for elsewhere */
        const char *
                snapshots_lie; /* where they are otherwise, for people: "each is a file of its own"; NULL: nowhere */
        bool has_pieces; /* an image may lie in several files, and without them there is nothing to say about it */

        /* A second look when a magic matched: 1 it is ours, 0 it is not. No memory, no I/O. Optional. */
        int (*probe)(const Probe *p);

        /* For a format without a magic, when a file is none of any other: is it, by its name and by what lies beside it, an image of
         * this one? 1 it is, 0 it is not; an error: that cannot be told. Optional. */
        int (*claims)(const char *file_name, Store *top, Opener *opener, Err *err);

        /* Makes a new image in `s`, which is empty. It is durable when 0 is returned, and until then the file either is no image or
         * is all of it, whenever the power fails. Optional. */
        int (*create)(Store *s, const Creation *c, Err *err);

        /* Parse and check everything that map needs. Reads n->store, n->writable, n->snapshot, n->cache; sets
         * n->size, n->granule, n->backing_name, n->backing_others, n->backing_format, n->state; may ask `opener` for further files
         * (it is NULL when nothing may be opened: then leave those out and serve nothing from them). */
        int (*open)(Node *n, Opener *opener, Err *err);

        /* Is `below`, which was opened because of the name that open gave, the layer that this one was made over? `below` is of
         * n->backing_format, so of this format or of another one. -EBADMSG with a text that says what does not fit. Optional. */
        int (*check_backing)(Node *n, Node *below, Err *err);

        /* Frees what n->state owns. Accepts a half-open node, whose n->store may be NULL. Writes nothing:
         * node_flush came before. */
        void (*close)(Node *n);

        /* Where guest range [off, off + len) lies: an extent that covers at least `off`. The caller stays
         * within n->size and has len > 0. */
        int (*map)(Node *n, uint64_t off, uint64_t len, Extent *ret);

        /* Unpacks the whole coded extent into `buf` of e->len bytes. Optional. */
        int (*read_coded)(Node *n, const Extent *e, void *buf);

        /* Writing: all four or none. The range lock is held from alloc to publish or release, over whole granules.
         *
         * alloc chooses a place (EXTENT_DATA) for bytes that are not in place: it covers at least `off`, and may go
         * on for as much of [off, off + len) as is not in place either; it may begin and end within a granule where
         * the format can place parts of one. What it covers is one coded extent or none. -EAGAIN: ask map again.
         * publish makes the place what map answers; release gives it back unused: one of the two is always called.
         *
         * write_back makes the tables durable in the order that the format needs, with node_sync in between. 1: it
         * has synced what it wrote by itself, 0: that is left to the caller. */
        int (*alloc)(Node *n, uint64_t off, uint64_t len, Extent *ret);
        int (*publish)(Node *n, const Extent *e);
        void (*release)(Node *n, const Extent *e);
        int (*write_back)(Node *n);

        /* All has been flushed and nobody writes any more: says in the image that it was closed cleanly, where the format
         * has a mark for that and it was taken away. The caller syncs. A write that comes all the same takes the mark
         * away again. Optional; `layout` is held exclusively. */
        int (*finish)(Node *n);

        /* The range reads as zeroes afterwards and its space is given back where that is possible. May do less
         * at ragged ends: *ret_off and *ret_len say what part it did (possibly nothing). Optional. */
        int (*discard)(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len);

        /* Changes the size of the guest disk; new bytes read as zeroes. Optional. */
        int (*resize)(Node *n, uint64_t size);

        /* Looks for damage, and repairs what report->repair says: the file alone, with `layout` held exclusively. A
         * negative errno: not completed; report->err says why. Optional. */
        int (*check)(Node *n, CheckReport *report);

        /* What `rawview info` shows beyond size and names. Optional. The 13th callback: what an image says of
         * itself is known to its driver alone, and `info` must print what qemu-img prints. */
        int (*describe)(Node *n, Info *info);
} Format;

/* What qemu-img calls it. */
static inline const char *format_qemu_name(const Format *f)
{
        return f->qemu_name ? f->qemu_name : f->name;
}
