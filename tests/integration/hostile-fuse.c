/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hostile-guest.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        GUEST_REQUEST_MAX = (1 << 20) + 4096,
};

static void guest_answer(
        const Guest *g, const struct fuse_in_header *in, int error, const void *body, size_t len)
{
        struct fuse_out_header out = { .error = error, .unique = in->unique };
        uint8_t buf[sizeof(out) + GUEST_XATTR_MAX];

        if (error != 0)
                len = 0;
        out.len = (uint32_t)(sizeof(out) + len);
        memcpy(buf, &out, sizeof(out));
        if (len > 0)
                memcpy(buf + sizeof(out), body, len);
        if (write(g->fuse, buf, out.len) < 0)
                return;
}

static void guest_answer_attr(const Guest *g, const struct fuse_in_header *in)
{
        struct fuse_attr_out out = {
                .attr = { .ino = 1,
                          .size = g->size_told,
                          .mode = g->mode,
                          .nlink = 1,
                          .rdev = 0x0801,
                          .blksize = 4096 },
        };
        guest_answer(g, in, 0, &out, sizeof(out));
}

static void guest_answer_xattr(const Guest *g, const struct fuse_in_header *in)
{
        const struct fuse_getxattr_in *ask = (const struct fuse_getxattr_in *)(in + 1);
        const char *name = (const char *)(ask + 1);
        const char *value = strcmp(name, "user.rawview.format") == 0  ? g->format
                            : strcmp(name, "user.rawview.state") == 0 ? g->state
                                                                      : NULL;
        if (!value) {
                guest_answer(g, in, -ENODATA, NULL, 0);
                return;
        }
        struct fuse_getxattr_out out = { .size = (uint32_t)strlen(value) };
        if (ask->size == 0)
                guest_answer(g, in, 0, &out, sizeof(out));
        else
                guest_answer(g, in, out.size > ask->size ? -ERANGE : 0, value, out.size);
}

static void guest_answer_nonsense(const Guest *g, const struct fuse_in_header *in)
{
        struct fuse_in_header other = *in;
        uint8_t bytes[4096] = { 0xff };

        if (write(g->fuse, bytes, 3) >= 0 || write(g->fuse, bytes, sizeof(bytes)) >= 0)
                return;
        other.unique += 4242;
        guest_answer(g, &other, 0, bytes, 100);
        guest_answer(g, in, 4242, bytes, 0);
        guest_answer(g, in, 0, bytes, sizeof(bytes));
        guest_answer(g, in, 0, bytes, sizeof(bytes));
}

static void guest_answer_well(const Guest *g, const struct fuse_in_header *in)
{
        static const uint8_t zeroes[4096];
        struct fuse_open_out open_out = { 0 };
        struct fuse_statfs_out statfs_out = { 0 };

        switch (in->opcode) {
        case FUSE_GETATTR:
                guest_answer_attr(g, in);
                break;
        case FUSE_OPEN:
                guest_answer(g, in, 0, &open_out, sizeof(open_out));
                break;
        case FUSE_READ:
                guest_answer(g, in, 0, zeroes, sizeof(zeroes));
                break;
        case FUSE_STATFS:
                guest_answer(g, in, 0, &statfs_out, sizeof(statfs_out));
                break;
        case FUSE_GETXATTR:
                guest_answer_xattr(g, in);
                break;
        case FUSE_RELEASE:
        case FUSE_FLUSH:
        case FUSE_FSYNC:
                guest_answer(g, in, 0, NULL, 0);
                break;
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
                break;
        default:
                guest_answer(g, in, -ENOSYS, NULL, 0);
        }
}

void *guest_serve(void *arg)
{
        const Guest *g = arg;
        struct fuse_in_header *in = malloc(GUEST_REQUEST_MAX);

        while (in && (read(g->fuse, in, GUEST_REQUEST_MAX) > 0 || errno == ENOENT)) {
                if (g->talks_nonsense)
                        guest_answer_nonsense(g, in);
                else if (g->answers)
                        guest_answer_well(g, in);
        }
        free(in);
        return NULL;
}
