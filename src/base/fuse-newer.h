/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel's FUSE knows and <linux/fuse.h> of Debian 12 does not, as include/uapi/linux/fuse.h of Linux has it.
 */
#pragma once

#include <linux/fuse.h>
#include <linux/ioctl.h>
#include <stddef.h>
#include <stdint.h>

enum {
        /* FUSE_DIRECT_IO_ALLOW_MMAP, of the second 32 flags of FUSE_INIT: files that are read and written past the page cache
         * can be mapped all the same. */
        FUSE_NEWER_DIRECT_IO_ALLOW_MMAP = 1 << 4,
        /* FUSE_PASSTHROUGH, of the same: the kernel reads and writes a file that it was handed, in the place of the server. From
         * Linux 6.9 on. */
        FUSE_NEWER_PASSTHROUGH = 1 << 5,
        /* FOPEN_PASSTHROUGH. The kernel takes no other flag beside it but those for direct I/O and FOPEN_NOFLUSH. */
        FUSE_NEWER_OPEN_PASSTHROUGH = 1 << 7,
};

/* Where fuse_init_out says how many file systems may lie on one another below the view: 32 bits, reserved before. */
#define FUSE_NEWER_STACK_DEPTH_AT (offsetof(struct fuse_init_out, flags2) + sizeof(uint32_t))

/* struct fuse_open_out, whose last word was padding. */
typedef struct FuseNewerOpenOut {
        uint64_t fh;
        uint32_t open_flags;
        int32_t backing_id;
} FuseNewerOpenOut;

/* struct fuse_backing_map */
typedef struct FuseNewerBackingMap {
        int32_t fd;
        uint32_t flags;
        uint64_t padding;
} FuseNewerBackingMap;

_Static_assert(sizeof(FuseNewerOpenOut) == sizeof(struct fuse_open_out), "as in <linux/fuse.h>");
_Static_assert(sizeof(FuseNewerBackingMap) == 16, "as in <linux/fuse.h>");

/* FUSE_DEV_IOC_BACKING_OPEN, FUSE_DEV_IOC_BACKING_CLOSE, of /dev/fuse. */
#define FUSE_NEWER_BACKING_OPEN _IOW(229, 1, FuseNewerBackingMap)
#define FUSE_NEWER_BACKING_CLOSE _IOW(229, 2, uint32_t)
