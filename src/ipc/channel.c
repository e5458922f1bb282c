/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ipc/channel.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* Room for more descriptors than we ever accept, so that strays are seen and closed and not cut off by the kernel. */
enum {
        CHANNEL_STRAYS_MAX = 16,
        CHANNEL_TEXTS_MAX = 6,
};

typedef enum ChannelFd {
        CHANNEL_FD_NONE,
        CHANNEL_FD_ONE,
} ChannelFd;

typedef struct ChannelText {
        size_t at, size;
} ChannelText;

/* What a packet of one kind must look like. */
typedef struct ChannelKind {
        const char *name;
        size_t body;
        ChannelFd fd;
        ChannelText texts[CHANNEL_TEXTS_MAX + 1]; /* size 0 ends the list */
} ChannelKind;

#define TEXT(body, field)                                                            \
        {                                                                            \
                offsetof(Message, body.field), sizeof(((Message *)NULL)->body.field) \
        }

static const ChannelKind channel_kinds[MESSAGE_KINDS] = {
        [MESSAGE_IMAGE] = { "IMAGE",
                            sizeof(MessageImage),
                            CHANNEL_FD_ONE,
                            { TEXT(image, path), TEXT(image, format), TEXT(image, snapshot),
                              TEXT(image, partition) } },
        [MESSAGE_OPEN] = { "OPEN", sizeof(MessageOpen), CHANNEL_FD_NONE, { TEXT(open, name) } },
        [MESSAGE_OPENED] = { "OPENED",
                             sizeof(MessageOpened),
                             CHANNEL_FD_ONE,
                             { TEXT(opened, target) } },
        [MESSAGE_REFUSED] = { "REFUSED",
                              sizeof(MessageError),
                              CHANNEL_FD_NONE,
                              { TEXT(error, text) } },
        [MESSAGE_SEALED] = { "SEALED",
                             sizeof(MessageSealed),
                             CHANNEL_FD_NONE,
                             { TEXT(sealed, format) } },
        [MESSAGE_FAILED] = { "FAILED",
                             sizeof(MessageError),
                             CHANNEL_FD_NONE,
                             { TEXT(error, text) } },
        [MESSAGE_SERVE] = { "SERVE", sizeof(MessageServe), CHANNEL_FD_ONE, { TEXT(serve, unit) } },
        [MESSAGE_SERVING] = { "SERVING", 0, CHANNEL_FD_NONE },
        [MESSAGE_FAULT] = { "FAULT", sizeof(MessageFault), CHANNEL_FD_NONE },
        [MESSAGE_DONE] = { "DONE", sizeof(MessageDone), CHANNEL_FD_NONE, { TEXT(done, text) } },
        [MESSAGE_CHANGE] = { "CHANGE", sizeof(MessageChange), CHANNEL_FD_NONE },
        [MESSAGE_CHANGED] = { "CHANGED", sizeof(MessageChanged), CHANNEL_FD_NONE },
        [MESSAGE_ENDING] = { "ENDING", sizeof(MessageEnding), CHANNEL_FD_NONE },
        [MESSAGE_SECRET_WANTED] = { "SECRET_WANTED",
                                    sizeof(MessageSecretWanted),
                                    CHANNEL_FD_NONE,
                                    { TEXT(secret_wanted, what) } },
        [MESSAGE_SECRET] = { "SECRET", sizeof(MessageSecret), CHANNEL_FD_NONE },
        [MESSAGE_OVERLAY] = { "OVERLAY",
                              sizeof(MessageOverlay),
                              CHANNEL_FD_ONE,
                              { TEXT(overlay, path), TEXT(overlay, backing) } },
        [MESSAGE_DIGEST] = { "DIGEST", sizeof(MessageDigest), CHANNEL_FD_NONE },
        [MESSAGE_LOOP] = { "LOOP", sizeof(MessageLoop), CHANNEL_FD_NONE },
        [MESSAGE_PROGRESS] = { "PROGRESS", sizeof(MessageProgress), CHANNEL_FD_NONE },
};

enum {
        CHANNEL_HEADER = offsetof(Message, image),
};

/* NULL: there is no such kind. */
static const ChannelKind *channel_kind(uint32_t kind)
{
        if (kind == 0 || kind >= MESSAGE_KINDS)
                return NULL;
        return &channel_kinds[kind];
}

/* What its kind alone must hold. */
static int channel_check_body(const Message *m, Err *err)
{
        switch (m->kind) {
        case MESSAGE_SERVE:
                if (m->serve.init_request_len > MESSAGE_INIT_MAX ||
                    m->serve.init_answer_len > MESSAGE_INIT_MAX)
                        return err_set(err, EBADMSG,
                                       "message SERVE has init lengths %u and %u, above %d",
                                       m->serve.init_request_len, m->serve.init_answer_len,
                                       MESSAGE_INIT_MAX);
                if (m->serve.backing_id < 0)
                        return err_set(err, EBADMSG, "message SERVE has backing file %d",
                                       m->serve.backing_id);
                return 0;
        case MESSAGE_CHANGE:
                if (m->change.what == 0 || (m->change.what & ~(uint32_t)MESSAGE_CHANGE_ALL))
                        return err_set(err, EBADMSG, "message CHANGE is about %#x, not within %#x",
                                       m->change.what, MESSAGE_CHANGE_ALL);
                if (m->change.mode > MESSAGE_MODE_MAX)
                        return err_set(err, EBADMSG, "message CHANGE has mode %#o, above %#o",
                                       m->change.mode, MESSAGE_MODE_MAX);
                return 0;
        case MESSAGE_CHANGED:
                if (m->changed.what & ~(uint32_t)MESSAGE_CHANGE_ALL)
                        return err_set(err, EBADMSG, "message CHANGED is about %#x, not within %#x",
                                       m->changed.what, MESSAGE_CHANGE_ALL);
                return 0;
        case MESSAGE_LOOP:
                if (m->loop.number < MESSAGE_LOOP_LOST || m->loop.number >= MESSAGE_LOOP_MAX)
                        return err_set(err, EBADMSG, "message LOOP has number %d", m->loop.number);
                return 0;
        case MESSAGE_PROGRESS:
                if (m->progress.pass == 0 || m->progress.pass >= MESSAGE_PASS_END ||
                    m->progress.percent > 100)
                        return err_set(err, EBADMSG, "message PROGRESS has pass %u and %u percent",
                                       m->progress.pass, m->progress.percent);
                return 0;
        case MESSAGE_SECRET:
                if (m->secret.len > SECRET_MAX)
                        return err_set(err, EBADMSG, "message SECRET has length %u, above %d",
                                       m->secret.len, SECRET_MAX);
                return 0;
        default:
                return 0;
        }
}

/* Names the first field that makes no sense. `n` is the length of the packet as it came. */
static int channel_check(const Message *m, size_t n, size_t fd_count, Err *err)
{
        if (n < CHANNEL_HEADER)
                return err_set(err, EBADMSG, "message of %zu bytes has no header", n);

        const ChannelKind *kind = channel_kind(m->kind);
        if (!kind)
                return err_set(err, EBADMSG, "message kind %u does not exist", m->kind);
        if (m->len != n || n != CHANNEL_HEADER + kind->body)
                return err_set(err, EBADMSG, "message %s of %zu bytes says length %u, not %zu",
                               kind->name, n, m->len, CHANNEL_HEADER + kind->body);

        size_t fd_expected = kind->fd == CHANNEL_FD_ONE ? 1 : 0;
        if (fd_count != fd_expected)
                return err_set(err, EBADMSG, "message %s came with %zu descriptors, not %zu",
                               kind->name, fd_count, fd_expected);

        for (size_t i = 0; kind->texts[i].size > 0; i++) {
                const ChannelText *t = &kind->texts[i];
                if (!memchr((const char *)m + t->at, '\0', t->size))
                        return err_set(err, EBADMSG, "message %s has a text without end",
                                       kind->name);
        }
        return channel_check_body(m, err);
}

int channel_pair(int ret[2], Err *err)
{
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return err_set(err, errno, "cannot make a socket pair: %m");
        ret[0] = ends[0];
        ret[1] = ends[1];
        return 0;
}

int channel_send(int channel, Message *m, int fd, Err *err)
{
        const ChannelKind *kind = channel_kind(m->kind);
        if (!kind)
                return err_set(err, EINVAL, "message kind %u does not exist", m->kind);
        m->len = (uint32_t)(CHANNEL_HEADER + kind->body);

        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = m, .iov_len = m->len };
        struct msghdr packet = { .msg_iov = &iov, .msg_iovlen = 1 };
        if (fd >= 0) {
                packet.msg_control = control.bytes;
                packet.msg_controllen = sizeof(control.bytes);
                struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd, sizeof(int));
        }

        for (;;) {
                ssize_t n = sendmsg(channel, &packet, MSG_NOSIGNAL);
                if (n == (ssize_t)m->len)
                        return 0;
                if (n >= 0)
                        return err_set(err, EIO, "message %s was cut short", kind->name);
                if (errno != EINTR)
                        return err_set(err, errno, "cannot send message %s: %m", kind->name);
        }
}

typedef struct ChannelFds {
        int fds[CHANNEL_STRAYS_MAX];
        size_t count;
} ChannelFds;

static void channel_fds_close(ChannelFds *f)
{
        for (size_t i = 0; i < f->count; i++)
                cleanup_close(&f->fds[i]);
}

static void channel_fds_collect(ChannelFds *f, struct msghdr *packet)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(packet); c; c = CMSG_NXTHDR(packet, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < count && f->count < CHANNEL_STRAYS_MAX; i++)
                        memcpy(&f->fds[f->count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        }
}

int channel_receive(int channel, Message *ret, int *ret_fd, Err *err)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(CHANNEL_STRAYS_MAX * sizeof(int))];
        } control;
        _cleanup_message_ Message m = { 0 };
        struct iovec iov = { .iov_base = &m, .iov_len = sizeof(m) };
        struct msghdr packet;
        unsigned resets = 0;
        ssize_t n;

        /* The kernel tells first, and once, that the other side closed without reading all; what it said before follows. */
        do {
                packet = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1 };
                if (ret_fd) {
                        packet.msg_control = control.bytes;
                        packet.msg_controllen = sizeof(control.bytes);
                }
                n = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC);
        } while (n < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
        if (n < 0 && errno == ECONNRESET)
                return 0;
        if (n < 0)
                return err_set(err, errno, "cannot receive a message: %m");

        _cleanup_(channel_fds_close) ChannelFds fds = { .count = 0 };
        channel_fds_collect(&fds, &packet);
        if (n == 0 && fds.count == 0)
                return 0;
        if (packet.msg_flags & MSG_TRUNC)
                return err_set(err, EBADMSG, "message is longer than any that exists");
        if (packet.msg_flags & MSG_CTRUNC)
                return err_set(err, EBADMSG, "message came with too many descriptors");

        int r = channel_check(&m, (size_t)n, fds.count, err);
        if (r < 0)
                return r;
        *ret = m;
        if (ret_fd)
                *ret_fd = fds.count > 0 ? fd_take(&fds.fds[0]) : -1;
        return 1;
}
