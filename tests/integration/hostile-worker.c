/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker that was taken over, for tests only: it stands in the place of rawview-worker and does to the supervisor what
 * the first line of the image says, "ROLE [ARGUMENT]". It is not even confined. hostile-worker.sh knows the roles.
 */
#include "base/cleanup.h"
#include "hostile-guest.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
        /* As many as the kernel lets one message carry. */
        GUEST_FDS_MAX = 253,
};

static _Noreturn void guest_stay(void)
{
        for (;;)
                pause();
}

static int guest_say(Guest *g, Message *m)
{
        return channel_send(g->channel, m, m->kind == MESSAGE_IMAGE ? g->image : -1, NULL);
}

static void guest_say_kind(Guest *g, MessageKind kind)
{
        Message m = { .kind = kind };
        (void)guest_say(g, &m);
}

static void guest_say_bytes(Guest *g, const void *bytes, size_t len)
{
        (void)send(g->channel, bytes, len, MSG_NOSIGNAL);
}

static void guest_say_sealed(Guest *g, const char *format)
{
        Message m = { .kind = MESSAGE_SEALED, .sealed.size = g->size, .sealed.sector_size = 512 };

        snprintf(m.sealed.format, sizeof(m.sealed.format), "%s", format);
        m.sealed.barriers = m.sealed.barriers_lacking = UINT32_MAX;
        m.sealed.barriers_lacking = 0;
        (void)guest_say(g, &m);
}

/* In the argument "\n" and "\e" stand for what they mean in C. */
static void guest_say_error(Guest *g, MessageKind kind, int code, const char *text)
{
        Message m = { .kind = kind };
        char *to = m.error.text;

        m.error.code = code;
        for (; *text && to < m.error.text + sizeof(m.error.text) - 1; text++) {
                if (text[0] == '\\' && (text[1] == 'n' || text[1] == 'e'))
                        *to++ = *++text == 'n' ? '\n' : '\033';
                else
                        *to++ = *text;
        }
        (void)guest_say(g, &m);
}

/* Opening: what it says to MESSAGE_IMAGE. */

static void play_silent(Guest *g)
{
        (void)g;
}

static void play_stopped(Guest *g)
{
        (void)g;
        raise(SIGSTOP);
}

static void play_signal(Guest *g)
{
        int number = (int)strtol(g->argument, NULL, 10);

        signal(number, SIG_DFL);
        kill(getpid(), number);
}

static void play_exit(Guest *g)
{
        _exit((int)strtol(g->argument, NULL, 10));
}

static void play_random(Guest *g)
{
        uint8_t bytes[16384];
        uint64_t x = (uint64_t)getpid();

        for (int i = 0; i < 1000; i++) {
                for (size_t b = 0; b < sizeof(bytes); b++) {
                        x = x * 6364136223846793005u + 1442695040888963407u;
                        bytes[b] = (uint8_t)(x >> 56);
                }
                guest_say_bytes(g, bytes, x >> 50);
        }
}

static void play_packet(Guest *g)
{
        static const struct {
                const char *name;
                uint32_t kind, len;
                size_t sent;
        } packets[] = {
                { "empty", 0, 0, 0 },
                { "short", MESSAGE_SEALED, 8, 3 },
                { "headless", MESSAGE_SEALED, 8, 8 },
                { "long", MESSAGE_SERVING, sizeof(Message) + 1, sizeof(Message) + 1 },
                { "unknown", 4242, 8, 8 },
                { "zero", 0, 8, 8 },
        };
        uint8_t bytes[sizeof(Message) + 1] = { 0 };

        for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
                if (strcmp(packets[i].name, g->argument) == 0) {
                        memcpy(bytes, &packets[i].kind, sizeof(uint32_t));
                        memcpy(bytes + sizeof(uint32_t), &packets[i].len, sizeof(uint32_t));
                        guest_say_bytes(g, bytes, packets[i].sent);
                }
}

/* Messages of these kinds, one after the other. */
static void play_kinds(Guest *g)
{
        for (const char *c = g->argument; *c;) {
                char *end = NULL;
                long kind = strtol(c, &end, 10);
                if (kind == MESSAGE_SEALED)
                        guest_say_sealed(g, "raw");
                else
                        guest_say_kind(g, (MessageKind)kind);
                c = end + (*end == ' ');
        }
}

static void play_endless_text(Guest *g)
{
        Message m = { .kind = MESSAGE_FAILED };

        m.error.code = EIO;
        memset(m.error.text, 'x', sizeof(m.error.text));
        (void)guest_say(g, &m);
}

static void play_format(Guest *g)
{
        guest_say_sealed(g, "x\nMAINPID=1\nREADY=1");
}

static void play_fail(Guest *g)
{
        char *text = NULL;
        int code = (int)strtol(g->argument, &text, 10);

        guest_say_error(g, MESSAGE_FAILED, code, text + (*text == ' '));
}

static void play_descriptors(Guest *g)
{
        Message m = { .kind = MESSAGE_SERVING, .len = 8 };
        char control[CMSG_SPACE(GUEST_FDS_MAX * sizeof(int))] = { 0 };
        struct iovec iov = { .iov_base = &m, .iov_len = m.len };
        struct msghdr packet = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *c = CMSG_FIRSTHDR(&packet);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(GUEST_FDS_MAX * sizeof(int));
        for (size_t i = 0; i < GUEST_FDS_MAX; i++)
                memcpy(CMSG_DATA(c) + i * sizeof(int), &g->image, sizeof(int));
        for (int i = 0; i < 100; i++)
                (void)sendmsg(g->channel, &packet, MSG_NOSIGNAL);
}

static bool guest_ask(Guest *g, const char *name, size_t len, bool writable)
{
        Message m = { .kind = MESSAGE_OPEN, .open.writable = writable };

        memcpy(m.open.name, name, len);
        return guest_say(g, &m) >= 0;
}

/* Asks for a name; fails with what it learnt. */
static void play_ask(Guest *g)
{
        bool writable = g->argument[0] == '+';
        char heard[MESSAGE_TEXT_MAX];
        Message m;
        int fd = -1;

        (void)guest_ask(g, g->argument + writable, strlen(g->argument + writable), writable);
        if (channel_receive(g->channel, &m, &fd, NULL) <= 0)
                _exit(1);
        if (m.kind == MESSAGE_OPENED)
                snprintf(heard, sizeof(heard), "opened layer %u '%.100s'", m.opened.layer,
                         m.opened.target);
        else
                snprintf(heard, sizeof(heard), "heard %d '%.300s'", m.error.code, m.error.text);
        guest_say_error(g, MESSAGE_FAILED, EBADMSG, heard);
}

static void play_ask_long(Guest *g)
{
        char name[MESSAGE_NAME_MAX];

        memset(name, 'x', sizeof(name));
        (void)guest_ask(g, name, sizeof(name), false);
}

/* Of a layer that does not exist. */
static void play_ask_layer(Guest *g)
{
        Message m = { .kind = MESSAGE_OPEN, .open = { .namer = UINT32_MAX, .name = "base" } };
        (void)guest_say(g, &m);
}

static void play_ask_forever(Guest *g)
{
        bool reads = strcmp(g->argument, "deaf") != 0;

        for (unsigned i = 0;; i++) {
                char name[32];
                Message m;
                int fd = -1;
                snprintf(name, sizeof(name), "no-such-file-%u", i);
                if (!guest_ask(g, name, sizeof(name), false))
                        guest_stay();
                if (reads && channel_receive(g->channel, &m, &fd, NULL) <= 0)
                        guest_stay();
        }
}

static bool guest_want(Guest *g, uint32_t layer, const char *what)
{
        Message m = { .kind = MESSAGE_SECRET_WANTED, .secret_wanted.layer = layer };

        snprintf(m.secret_wanted.what, sizeof(m.secret_wanted.what), "%s", what);
        return guest_say(g, &m) >= 0;
}

/* Wants the passphrase of a layer, in its own words; fails with what it learnt. */
static void play_want(Guest *g)
{
        char *what = NULL, heard[MESSAGE_TEXT_MAX];
        uint32_t layer = (uint32_t)strtoul(g->argument, &what, 10);
        Message m;

        (void)guest_want(g, layer, what + (*what == ' '));
        if (channel_receive(g->channel, &m, NULL, NULL) <= 0)
                _exit(1);
        if (m.kind == MESSAGE_SECRET)
                snprintf(heard, sizeof(heard), "heard %u bytes", m.secret.len);
        else
                snprintf(heard, sizeof(heard), "heard %d '%.300s'", m.error.code, m.error.text);
        guest_say_error(g, MESSAGE_FAILED, EBADMSG, heard);
}

static void play_want_forever(Guest *g)
{
        Message m;

        while (guest_want(g, 0, "luks") && channel_receive(g->channel, &m, NULL, NULL) > 0)
                ;
}

/* What it inherited to write on. */
static void play_scream(Guest *g)
{
        static const char line[] = "\033]0;pwned\007\n<0>rawview: /vm/other.qcow2: lost\n";

        (void)g;
        for (int i = 0; i < 10000; i++)
                for (int fd = 0; fd < 3; fd++)
                        if (write(fd, line, sizeof(line) - 1) < 0)
                                continue;
        _exit(3);
}

static void play_hang_up(Guest *g)
{
        cleanup_close(&g->channel);
}

/* Serving. */

/* Until it has the mount. */
static void guest_begin(Guest *g)
{
        Message m;

        guest_say_sealed(g, "raw");
        do
                if (channel_receive(g->channel, &m, &g->fuse, NULL) <= 0)
                        _exit(1);
        while (m.kind != MESSAGE_SERVE);
}

static void guest_serve_all(Guest *g)
{
        pthread_t thread;

        guest_begin(g);
        if (pthread_create(&thread, NULL, guest_serve, g) == 0)
                pthread_detach(thread);
        guest_say_kind(g, MESSAGE_SERVING);
}

/* The supervisor has looked, and the view is announced. */
static void guest_serve_a_while(Guest *g)
{
        g->answers = true;
        guest_serve_all(g);
        sleep(2);
}

static void play_never_serve(Guest *g)
{
        guest_begin(g);
}

static void play_mute(Guest *g)
{
        guest_serve_all(g);
}

static void play_nonsense(Guest *g)
{
        g->talks_nonsense = true;
        guest_serve_all(g);
}

static void play_serve(Guest *g)
{
        guest_serve_a_while(g);
}

static void play_mode(Guest *g)
{
        g->mode = (uint32_t)strtoul(g->argument, NULL, 8);
        guest_serve_a_while(g);
}

static void play_size(Guest *g)
{
        g->size_told = strtoull(g->argument, NULL, 10);
        guest_serve_a_while(g);
}

/* "deep", "long", or the text itself, which the line has as it is. */
static void play_state(Guest *g)
{
        if (strcmp(g->argument, "deep") == 0)
                memset(g->state, '[', 3000);
        else if (strcmp(g->argument, "long") == 0)
                memset(g->state, ' ', GUEST_XATTR_MAX - 1);
        else
                strcpy(g->state, g->argument);
        g->format = "\033[31mx\nfake\tline\xff\xc2\x9b";
        guest_serve_a_while(g);
}

static void play_faults(Guest *g)
{
        Message m = { .kind = MESSAGE_FAULT };

        m.fault = (MessageFault){ .code = INT32_MIN, .is_write = 77, .count = UINT64_MAX };
        guest_serve_a_while(g);
        while (guest_say(g, &m) >= 0)
                ;
}

static void play_serve_and_finish(Guest *g)
{
        guest_serve_a_while(g);
        guest_say_error(g, MESSAGE_DONE, 0, "");
}

static void play_serve_and_hang_up(Guest *g)
{
        guest_serve_a_while(g);
        cleanup_close(&g->channel);
}

static void play_serve_and_ask(Guest *g)
{
        guest_serve_a_while(g);
        (void)guest_ask(g, "base", 4, false);
}

/* A thread that asks for its own view cannot be killed while nobody answers. */
static void *guest_look_at_view(void *arg)
{
        const Guest *g = arg;
        struct stat st;

        (void)stat(g->argument, &st);
        return NULL;
}

static void play_stuck(Guest *g)
{
        pthread_t thread;

        guest_serve_a_while(g);
        g->answers = false;
        if (pthread_create(&thread, NULL, guest_look_at_view, g) == 0)
                pthread_detach(thread);
        sleep(1);
        guest_say_kind(g, MESSAGE_OPEN);
}

static const struct {
        const char *name;
        void (*play)(Guest *g);
} guest_roles[] = {
        { "silent", play_silent },
        { "stopped", play_stopped },
        { "signal", play_signal },
        { "exit", play_exit },
        { "random", play_random },
        { "packet", play_packet },
        { "kinds", play_kinds },
        { "endless-text", play_endless_text },
        { "format", play_format },
        { "fail", play_fail },
        { "descriptors", play_descriptors },
        { "ask", play_ask },
        { "ask-long", play_ask_long },
        { "ask-layer", play_ask_layer },
        { "ask-forever", play_ask_forever },
        { "want", play_want },
        { "want-forever", play_want_forever },
        { "scream", play_scream },
        { "hang-up", play_hang_up },
        { "never-serve", play_never_serve },
        { "mute", play_mute },
        { "nonsense", play_nonsense },
        { "serve", play_serve },
        { "mode", play_mode },
        { "size", play_size },
        { "state", play_state },
        { "faults", play_faults },
        { "serve-and-finish", play_serve_and_finish },
        { "serve-and-hang-up", play_serve_and_hang_up },
        { "serve-and-ask", play_serve_and_ask },
        { "stuck", play_stuck },
};

static void guest_play(Guest *g)
{
        size_t len = strcspn(g->line, " ");

        g->argument = g->line + len + (g->line[len] == ' ');
        for (size_t i = 0; i < sizeof(guest_roles) / sizeof(guest_roles[0]); i++)
                if (strncmp(guest_roles[i].name, g->line, len) == 0 && !guest_roles[i].name[len])
                        guest_roles[i].play(g);
}

int main(int argc, char **argv)
{
        static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
        Guest g = { .channel = argc == 2 ? 3 : -1, .fuse = -1, .mode = S_IFREG | 0444 };
        struct stat st;
        Message m;

        (void)argv;
        for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
                signal(ignored[i], SIG_IGN);
        g.state = calloc(1, GUEST_XATTR_MAX);
        g.format = "raw";
        if (!g.state || channel_receive(g.channel, &m, &g.image, NULL) != 1 ||
            fstat(g.image, &st) < 0)
                return 2;
        g.size = g.size_told = (uint64_t)st.st_size;
        if (pread(g.image, g.line, sizeof(g.line) - 1, 0) < 0)
                return 2;
        g.line[strcspn(g.line, "\n")] = '\0';
        guest_play(&g);
        guest_stay();
}
