/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets as no honest process sends them: to the supervisor, which must not believe its worker, and to the worker's
 * opener. Each may be of any length, of any kind, and have up to three descriptors beside it.
 */
#include "base/cleanup.h"
#include "folder.h"
#include "fuzz.h"
#include "ipc/channel.h"
#include "opener/ipc-opener.h"
#include "store/mem.h"
#include "supervisor/watch.h"

#include <fcntl.h>
#include <sys/socket.h>

enum {
        PACKETS_MAX = 16,
        FDS_MAX = 3,
        HEADER = offsetof(Message, image),
};

typedef struct Packet {
        Message message;
        size_t len;
        size_t fd_count;
        unsigned fd_kinds;
} Packet;

/* Length of the body that goes with a kind. */
static size_t body_of(uint32_t kind)
{
        static const size_t bodies[MESSAGE_KINDS] = {
                [MESSAGE_IMAGE] = sizeof(MessageImage),
                [MESSAGE_OPEN] = sizeof(MessageOpen),
                [MESSAGE_OPENED] = sizeof(MessageOpened),
                [MESSAGE_REFUSED] = sizeof(MessageError),
                [MESSAGE_SEALED] = sizeof(MessageSealed),
                [MESSAGE_FAILED] = sizeof(MessageError),
                [MESSAGE_SERVE] = sizeof(MessageServe),
                [MESSAGE_FAULT] = sizeof(MessageFault),
                [MESSAGE_DONE] = sizeof(MessageDone),
                [MESSAGE_CHANGE] = sizeof(MessageChange),
                [MESSAGE_CHANGED] = sizeof(MessageChanged),
                [MESSAGE_ENDING] = sizeof(MessageEnding),
                [MESSAGE_SECRET_WANTED] = sizeof(MessageSecretWanted),
                [MESSAGE_SECRET] = sizeof(MessageSecret),
                [MESSAGE_OVERLAY] = sizeof(MessageOverlay),
                [MESSAGE_DIGEST] = sizeof(MessageDigest),
                [MESSAGE_LOOP] = sizeof(MessageLoop),
                [MESSAGE_PROGRESS] = sizeof(MessageProgress),
        };

        return kind < MESSAGE_KINDS ? bodies[kind] : 0;
}

/* Flags, kind, length, bytes. Mostly the header is right, and what is missing of the body is zeroes. */
static void packet_take(FuzzInput *in, Packet *ret)
{
        unsigned flags = (unsigned)fuzz_take_number(in, 1);
        FuzzInput bytes;

        memset(ret, 0, sizeof(*ret));
        ret->message.kind = (uint32_t)fuzz_take_number(in, 1) % (MESSAGE_KINDS + 1);
        bytes = fuzz_take_bytes(in, fuzz_take_number(in, 2) % (sizeof(Message) + 64));
        ret->fd_count = flags % 4;
        ret->fd_kinds = flags >> 2 & 3;
        ret->len = HEADER + body_of(ret->message.kind);
        ret->message.len = (uint32_t)ret->len;
        if ((flags & 0xc0) == 0xc0) {
                /* As it stands in the input. */
                ret->len = bytes.len < sizeof(Message) ? bytes.len : sizeof(Message);
                if (ret->len > 0)
                        memcpy(&ret->message, bytes.bytes, ret->len);
                return;
        }
        if ((flags & 0x30) == 0x30)
                ret->len = bytes.len < ret->len ? bytes.len : ret->len - 1;
        if (bytes.len > 0)
                memcpy((char *)&ret->message + HEADER, bytes.bytes,
                       bytes.len < sizeof(Message) - HEADER ? bytes.len : sizeof(Message) - HEADER);
}

/* The descriptor of that kind; they stay open. */
static int fd_of(unsigned kind)
{
        static int fds[4] = { -1, -1, -1, -1 };

        if (fds[kind] < 0)
                fds[kind] = kind == 0   ? open(fuzz_folder_namer(0), O_RDWR | O_CLOEXEC)
                            : kind == 1 ? open(fuzz_folder_namer(1), O_RDONLY | O_CLOEXEC)
                            : kind == 2 ? open("/dev/null", O_RDWR | O_CLOEXEC)
                                        : open(fuzz_folder_namer(2), O_PATH | O_CLOEXEC);
        if (fds[kind] < 0)
                exit(1);
        return fds[kind];
}

/* False: the other side cannot take it. */
static bool packet_send(const Packet *p, int channel)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)&p->message, .iov_len = p->len };
        struct msghdr packet = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (p->fd_count > 0) {
                packet.msg_control = control.bytes;
                packet.msg_controllen = CMSG_SPACE(p->fd_count * sizeof(int));
                struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(p->fd_count * sizeof(int));
                for (size_t i = 0; i < p->fd_count; i++) {
                        int fd = fd_of((p->fd_kinds + (unsigned)i) % 4);
                        memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
                }
        }
        return sendmsg(channel, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)p->len;
}

static void drain(int channel)
{
        char byte;

        while (recv(channel, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) > 0)
                ;
}

static void require_text(const char *text, size_t size)
{
        fuzz_require(memchr(text, '\0', size) != NULL, "a text that was let in has an end");
}

static void require_message(const Message *m, const Packet *p, int fd)
{
        bool wants_fd = m->kind == MESSAGE_IMAGE || m->kind == MESSAGE_OPENED ||
                        m->kind == MESSAGE_SERVE || m->kind == MESSAGE_OVERLAY;

        fuzz_require(m->kind >= MESSAGE_IMAGE && m->kind < MESSAGE_KINDS, "it is of a known kind");
        fuzz_require(m->len == p->len && m->len == HEADER + body_of(m->kind),
                     "its length is right");
        fuzz_require(wants_fd == (fd >= 0) && p->fd_count == wants_fd, "descriptors as it goes");
        fuzz_require(fd < 0 || (fcntl(fd, F_GETFD) & FD_CLOEXEC), "they are close-on-exec");
        if (m->kind == MESSAGE_IMAGE) {
                require_text(m->image.path, sizeof(m->image.path));
                require_text(m->image.format, sizeof(m->image.format));
                require_text(m->image.snapshot, sizeof(m->image.snapshot));
                require_text(m->image.partition, sizeof(m->image.partition));
        } else if (m->kind == MESSAGE_OPEN) {
                require_text(m->open.name, sizeof(m->open.name));
        } else if (m->kind == MESSAGE_REFUSED || m->kind == MESSAGE_FAILED) {
                require_text(m->error.text, sizeof(m->error.text));
        } else if (m->kind == MESSAGE_SEALED) {
                require_text(m->sealed.format, sizeof(m->sealed.format));
        } else if (m->kind == MESSAGE_SERVE) {
                require_text(m->serve.unit, sizeof(m->serve.unit));
                fuzz_require(m->serve.init_request_len <= MESSAGE_INIT_MAX &&
                                     m->serve.init_answer_len <= MESSAGE_INIT_MAX,
                             "FUSE_INIT fits");
        } else if (m->kind == MESSAGE_DONE) {
                require_text(m->done.text, sizeof(m->done.text));
        } else if (m->kind == MESSAGE_CHANGE) {
                fuzz_require(m->change.what > 0 && m->change.what <= MESSAGE_CHANGE_ALL &&
                                     m->change.mode <= MESSAGE_MODE_MAX,
                             "a change is of something");
        } else if (m->kind == MESSAGE_CHANGED) {
                fuzz_require(m->changed.what <= MESSAGE_CHANGE_ALL, "what has changed is known");
        } else if (m->kind == MESSAGE_LOOP) {
                fuzz_require(m->loop.number >= MESSAGE_LOOP_LOST &&
                                     m->loop.number < MESSAGE_LOOP_MAX,
                             "a loop device has a number");
        } else if (m->kind == MESSAGE_PROGRESS) {
                fuzz_require(m->progress.pass > 0 && m->progress.pass < MESSAGE_PASS_END &&
                                     m->progress.percent <= 100,
                             "progress is of a pass, and not beyond its end");
        } else if (m->kind == MESSAGE_OVERLAY) {
                require_text(m->overlay.path, sizeof(m->overlay.path));
                require_text(m->overlay.backing, sizeof(m->overlay.backing));
        } else if (m->kind == MESSAGE_SECRET_WANTED) {
                require_text(m->secret_wanted.what, sizeof(m->secret_wanted.what));
        } else if (m->kind == MESSAGE_SECRET) {
                fuzz_require(m->secret.len <= SECRET_MAX, "a passphrase fits");
        }
}

static void receive_all(FuzzInput in, const int ends[2])
{
        for (int i = 0; i < PACKETS_MAX && in.len > 0; i++) {
                Packet p;
                Message m;
                _cleanup_close_ int fd = -1;
                Err err = { "" };

                packet_take(&in, &p);
                if (!packet_send(&p, ends[1]))
                        continue;
                int r = channel_receive(ends[0], &m, &fd, &err);
                fuzz_require(r == 1 || fd == -1, "nothing comes with a failure");
                fuzz_require(r >= 0 || err.text[0], "a failure says why");
                if (r == 1)
                        require_message(&m, &p, fd);
        }
}

/* A Manager as far as it listens; what its image names is looked up in the folder. */
static void manager_begin(Manager *m, Config *c, int channel, uint64_t choice)
{
        /* A key file: nobody is asked. */
        static const ManagerOptions options = { .rule = PATH_RULE_KERNEL };
        ReferenceRules rules = fuzz_folder_rules(choice);

        *m = (Manager){ .config = c,
                        .options = &options,
                        .worker = WORKER_NONE,
                        .signals = -1,
                        .hangups = -1 };
        m->worker.channel = channel;
        m->stage = (Stage)(choice >> 4) % 5;
        m->changes_unanswered = choice >> 7 & 1;
        m->image = (Broker){
                .rules = { .policy = rules.policy,
                           .allowed = rules.allowed,
                           .given = rules.given,
                           .writable = choice & 0x100,
                           .force_share = true,
                           .tells_links = choice & 0x200 },
                .layers[0] = { .fd = fcntl(fd_of(0), F_DUPFD_CLOEXEC, 3),
                               .path = strdup(rules.top) },
                .count = 1,
        };
}

static void require_manager(const Manager *m, const ReferenceRules *rules)
{
        fuzz_require(m->image.count >= 1 && m->image.count <= BROKER_LAYERS_MAX,
                     "layers have room");
        require_text(m->sealed.format, sizeof(m->sealed.format));
        require_text(m->done.text, sizeof(m->done.text));
        require_text(m->failure.text, sizeof(m->failure.text));
        for (size_t i = 1; i < m->image.count; i++) {
                int flags = fcntl(m->image.layers[i].fd, F_GETFL);
                fuzz_folder_require(rules, m->image.layers[i].fd, m->image.layers[i].path);
                fuzz_require((flags & O_ACCMODE) == O_RDONLY || m->image.rules.writable,
                             "a view that is not writable opens nothing for writing");
        }
}

/* Names that would lead out of the folder under `any`. */
static bool packet_may_be_sent(const Packet *p, const ReferenceRules *rules)
{
        char name[MESSAGE_NAME_MAX + 1] = "";

        memcpy(name, p->message.open.name, MESSAGE_NAME_MAX);
        return p->message.kind != MESSAGE_OPEN || fuzz_folder_may_ask(rules, name);
}

static void supervise(FuzzInput in, int ends[2])
{
        uint64_t choice = fuzz_take_number(&in, 2);
        ReferenceRules rules = fuzz_folder_rules(choice);
        Config c = { .path = (char *)rules.top,
                     .key_file = choice & 0x400 ? (char *)rules.top : (char *)"/dev/null" };
        Manager m;

        manager_begin(&m, &c, fd_take(&ends[0]), choice);
        for (int i = 0; i < PACKETS_MAX && in.len > 0 && m.worker.channel >= 0; i++) {
                Stage before = m.stage;
                Packet p;

                packet_take(&in, &p);
                if (!packet_may_be_sent(&p, &rules) || !packet_send(&p, ends[1]))
                        continue;
                (void)watch_step(&m, -1, 0);
                drain(ends[1]);
                fuzz_require(m.stage >= before, "a view's life goes forward");
                require_manager(&m, &rules);
        }
        unlock_done(&m.unlock);
        broker_done(&m.image);
        cleanup_close(&m.worker.channel);
}

static void want_secret(Opener *o, Store *of)
{
        _cleanup_secret_ Secret *s = NULL;
        Err err = { "" };

        int r = o->get_secret(o, of, "luks", &s, &err);
        fuzz_require((r >= 0) == (s != NULL), "a passphrase or a failure");
        fuzz_require(!s || s->len <= SECRET_MAX, "a passphrase fits");
}

/* Each name that is asked for finds an answer waiting already. */
static void ask(FuzzInput in, const int ends[2])
{
        _cleanup_store_ Store *top = NULL;
        _cleanup_ipc_opener_ IpcOpener o = { 0 };
        Store *opened[PACKETS_MAX] = { NULL };

        if (mem_store_new(NULL, 0, &top) < 0 || ipc_opener_init(&o, ends[0], top, NULL) < 0)
                exit(1);
        for (size_t i = 0; i < PACKETS_MAX && in.len > 0; i++) {
                StoreMode mode = in.bytes[0] & 4 ? STORE_WRITABLE : STORE_READ_ONLY;
                Store *namer = i > 0 && opened[i - 1] ? opened[i - 1] : top;
                Packet p;
                Err err;

                packet_take(&in, &p);
                if (!packet_send(&p, ends[1]))
                        continue;
                if (p.message.kind == MESSAGE_SECRET || p.message.kind == MESSAGE_REFUSED) {
                        want_secret(&o.opener, namer);
                } else {
                        int r = o.opener.open(&o.opener, namer, "base", mode, &opened[i], &err);
                        fuzz_require((r >= 0) == (opened[i] != NULL), "a store or a failure");
                }
                drain(ends[1]);
        }
        for (size_t i = 0; i < PACKETS_MAX; i++)
                (void)store_free(opened[i]);
}

static int lowest_free_fd(void)
{
        int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

        cleanup_close(&fd);
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        FuzzInput in = { bytes, len };
        int ends[2];

        for (unsigned kind = 0; kind < 4; kind++)
                (void)fd_of(kind);
        int before = lowest_free_fd();
        if (channel_pair(ends, NULL) < 0)
                exit(1);
        switch (fuzz_take_number(&in, 1) % 3) {
        case 0:
                receive_all(in, ends);
                break;
        case 1:
                supervise(in, ends);
                break;
        default:
                ask(in, ends);
        }
        cleanup_close(&ends[0]);
        cleanup_close(&ends[1]);
        fuzz_require(lowest_free_fd() == before, "no descriptor is left open");
        return 0;
}
