/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/init.h"

#include "base/cleanup.h"
#include "base/fuse-newer.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum {
        /* The newest protocol whose answers we know. */
        INIT_MINOR = 38,
        INIT_MAX_WRITE = 1 << 20,
        /* Linux 6.14: from here on a write past the page cache takes what it wrote to out of it, before and after. */
        INIT_MINOR_DIRECT = 42,
        /* Without FUSE_MAX_PAGES a request has 32 pages. */
        INIT_MAX_WRITE_OLD = 128 << 10,
        INIT_MAX_PAGES = 256,
        INIT_MAX_BACKGROUND = 64,
        INIT_CONGESTION = 48,
        /* The kernel sends INIT before mount(2) returns; it is there or never comes. */
        INIT_WAIT_MS = 10000,
        /* An image on a plain file system. One that lies on others, like overlayfs, is not handed over: the view is a file
         * system, too, and the kernel allows two on one another. */
        INIT_STACK_DEPTH = 1,
        /* read() refuses a smaller buffer, whatever the request. */
        INIT_READ_SIZE = 128 << 10,
};

/* How long an answer may be, by the protocol that is spoken. */
static size_t init_answer_size(uint32_t minor)
{
        if (minor < 5)
                return FUSE_COMPAT_INIT_OUT_SIZE;
        if (minor < 23)
                return FUSE_COMPAT_22_INIT_OUT_SIZE;
        return sizeof(struct fuse_init_out);
}

int init_answer(Init *i, InitPassthrough passthrough, Err *err)
{
        struct fuse_in_header header;
        struct fuse_init_in in = { 0 };
        size_t body = i->request_len - sizeof(header);

        /* Before 7.36 the request was shorter: version, readahead, flags; before 7.6 the version alone. */
        if (i->request_len < sizeof(header) + 2 * sizeof(uint32_t))
                return err_set(err, EPROTO, "FUSE_INIT of %zu bytes is too short", i->request_len);
        memcpy(&header, i->request, sizeof(header));
        memcpy(&in, i->request + sizeof(header), body < sizeof(in) ? body : sizeof(in));
        if (header.opcode != FUSE_INIT)
                return err_set(err, EPROTO, "the first FUSE request is %u, not INIT",
                               header.opcode);
        if (in.major != FUSE_KERNEL_VERSION)
                return err_set(err, EPROTO, "the kernel speaks FUSE %u, not %d", in.major,
                               FUSE_KERNEL_VERSION);

        /* Without FUSE_ATOMIC_O_TRUNC: with it, an open(O_TRUNC) that the worker ignores makes the kernel believe
         * that the view is empty. With FUSE_HANDLE_KILLPRIV_V2, because without it the kernel asks for the extended
         * attribute security.capability before each write, which doubles the round trips. */
        uint32_t wanted = FUSE_INIT_EXT | FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES |
                          FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV |
                          FUSE_HANDLE_KILLPRIV_V2 | FUSE_EXPLICIT_INVAL_DATA;
        uint32_t flags = in.flags & wanted;
        /* The worker takes this for leave to answer opens with FOPEN_DIRECT_IO. */
        uint32_t flags2 = flags & FUSE_INIT_EXT && in.minor >= INIT_MINOR_DIRECT
                                  ? in.flags2 & FUSE_NEWER_DIRECT_IO_ALLOW_MMAP
                                  : 0;
        if (passthrough == INIT_WITH_PASSTHROUGH && flags & FUSE_INIT_EXT)
                flags2 |= in.flags2 & FUSE_NEWER_PASSTHROUGH;
        bool big = flags & FUSE_MAX_PAGES;
        struct fuse_init_out out = {
                .major = FUSE_KERNEL_VERSION,
                .minor = in.minor < INIT_MINOR ? in.minor : INIT_MINOR,
                .max_readahead = in.max_readahead,
                .flags = flags,
                .max_background = INIT_MAX_BACKGROUND,
                .congestion_threshold = INIT_CONGESTION,
                .max_write = big ? INIT_MAX_WRITE : INIT_MAX_WRITE_OLD,
                .time_gran = 1,
                .max_pages = big ? INIT_MAX_PAGES : 0,
                .flags2 = flags2,
        };
        const uint32_t depth = flags2 & FUSE_NEWER_PASSTHROUGH ? INIT_STACK_DEPTH : 0;
        memcpy((uint8_t *)&out + FUSE_NEWER_STACK_DEPTH_AT, &depth, sizeof(depth));
        size_t size = init_answer_size(in.minor);
        struct fuse_out_header out_header = {
                .len = (uint32_t)(sizeof(out_header) + size),
                .unique = header.unique,
        };
        memcpy(i->answer, &out_header, sizeof(out_header));
        memcpy(i->answer + sizeof(out_header), &out, size);
        i->answer_len = sizeof(out_header) + size;
        return 0;
}

_Static_assert(sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out) <= MESSAGE_INIT_MAX,
               "an INIT answer fits its place");

static int init_read(int fuse_fd, Init *i, Err *err)
{
        struct pollfd p = { .fd = fuse_fd, .events = POLLIN };
        int n = poll(&p, 1, INIT_WAIT_MS);
        if (n <= 0)
                return err_set(err, n < 0 ? errno : ETIMEDOUT,
                               "the kernel does not begin to talk on /dev/fuse: %m");

        _cleanup_free_ uint8_t *buf = malloc(INIT_READ_SIZE);
        if (!buf)
                return err_set(err, ENOMEM, "%m");
        ssize_t len = read(fuse_fd, buf, INIT_READ_SIZE);
        if (len < 0)
                return err_set(err, errno, "cannot read FUSE_INIT: %m");
        if ((size_t)len > sizeof(i->request))
                return err_set(err, EPROTO, "FUSE_INIT of %zd bytes is too long", len);
        memcpy(i->request, buf, (size_t)len);
        i->request_len = (size_t)len;
        return 0;
}

int init_exchange(int fuse_fd, InitPassthrough passthrough, Init *ret, Err *err)
{
        Init i = { 0 };

        int r = init_read(fuse_fd, &i, err);
        if (r < 0)
                return r;
        r = init_answer(&i, passthrough, err);
        if (r < 0)
                return r;
        ssize_t n = write(fuse_fd, i.answer, i.answer_len);
        if (n != (ssize_t)i.answer_len)
                return err_set(err, n < 0 ? errno : EIO, "the kernel refuses our FUSE_INIT: %m");
        *ret = i;
        return 0;
}

bool init_has_passthrough(const Init *i)
{
        struct fuse_init_out out = { 0 };
        size_t header = sizeof(struct fuse_out_header);

        if (i->answer_len < header + sizeof(out))
                return false;
        memcpy(&out, i->answer + header, sizeof(out));
        return out.flags2 & FUSE_NEWER_PASSTHROUGH;
}
