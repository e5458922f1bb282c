/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel's FUSE knows and <linux/fuse.h> of Debian 12 does not, as include/uapi/linux/fuse.h of Linux has it.
 */
#pragma once

enum {
        /* FUSE_DIRECT_IO_ALLOW_MMAP, of the second 32 flags of FUSE_INIT: files that are read and written past the page cache
         * can be mapped all the same. */
        FUSE_NEWER_DIRECT_IO_ALLOW_MMAP = 1 << 4,
};
