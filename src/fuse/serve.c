/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuse/serve.h"

#include "base/bits.h"
#include "base/blocking.h"
#include "base/cleanup.h"
#include "base/fuse-newer.h"
#include "fuse/ops.h"
#include "fuse/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
        /* So many wait for disks at one time. */
        SERVE_THREADS = 16,
        /* And so many read requests, or half as many as there are processors. */
        SERVE_READERS_MIN = 2,
        /* When a spare thread gives its memory back. */
        SERVE_SPARE_MS = 2000,
        SERVE_STACK_SIZE = 256 * 1024,
        /* What stands before the bytes of a write request: two headers, in a page of their own. */
        SERVE_HEADER_SIZE = 4096,
        /* Without FUSE_MAX_PAGES a read asks for no more than this many pages. */
        SERVE_PAGES_DEFAULT = 32,
        SERVE_PAGE_SIZE = 4096,
        SERVE_PAGES_MAX = 4096,
        SERVE_STOP_INTERVAL_MS = 10,
        SERVE_SIGNAL = SIGUSR1,
};

typedef struct ServeThread {
        OpsThread ops; /* the session's user data */
        Serve *serve;
        struct fuse_session *session; /* owned */
        int fd;                       /* the session's own copy: it closes it */
        /* Requests are read to its start; answers to reads are made behind the first page of it, when the headers
         * of the request are done with and there was no more than them. */
        void *buf;
        size_t buf_len;
        bool started;
        pthread_t thread;
        atomic_bool ended;
        /* Odd: at a request. Even: waiting for one. It grows with both. */
        atomic_uint steps;
        unsigned seen_steps; /* when serve_trim looked last; the owner's */
        atomic_bool holds;   /* memory for requests */
} ServeThread;

struct Serve {
        unsigned thread_count;
        int wake_fd;
        atomic_bool stopping;
        atomic_int error; /* the first errno that ended a thread; 0: none */
        Turns turns;
        uint64_t file_count; /* beside the root */
        ServeThread threads[];
};

/* What the kernel was promised. */
typedef struct ServeLimits {
        uint32_t max_write;
        size_t buf_len;
        bool may_be_direct;
} ServeLimits;

static int serve_limits(const ServeOptions *o, ServeLimits *ret, Err *err)
{
        struct {
                struct fuse_out_header header;
                struct fuse_init_out init;
        } answer = { 0 };
        struct fuse_in_header request;

        if (o->init_request_len < sizeof(request))
                return err_set(err, EBADMSG, "FUSE_INIT of %zu bytes is too short",
                               o->init_request_len);
        memcpy(&request, o->init_request, sizeof(request));
        if (request.opcode != FUSE_INIT || request.len != o->init_request_len)
                return err_set(err, EBADMSG, "FUSE_INIT has opcode %u and length %u",
                               request.opcode, request.len);
        if (o->init_answer_len < sizeof(answer))
                return err_set(err, EBADMSG, "answer to FUSE_INIT of %zu bytes is too short",
                               o->init_answer_len);
        memcpy(&answer, o->init_answer, sizeof(answer));

        size_t pages =
                answer.init.flags & FUSE_MAX_PAGES ? answer.init.max_pages : SERVE_PAGES_DEFAULT;
        if (pages == 0 || pages > SERVE_PAGES_MAX || answer.init.max_write < SERVE_PAGE_SIZE ||
            answer.init.max_write > SERVE_PAGES_MAX * SERVE_PAGE_SIZE)
                return err_set(err, EBADMSG, "answer to FUSE_INIT has max_write %u, max_pages %zu",
                               answer.init.max_write, pages);

        *ret = (ServeLimits){
                .max_write = answer.init.max_write,
                .buf_len = SERVE_HEADER_SIZE +
                           u64_max(round_up(answer.init.max_write, SERVE_PAGE_SIZE),
                                   pages * SERVE_PAGE_SIZE),
                .may_be_direct = answer.init.flags & FUSE_INIT_EXT &&
                                 answer.init.flags2 & FUSE_NEWER_DIRECT_IO_ALLOW_MMAP,
        };
        return 0;
}

/* Requests are short, so that interrupting them is not worth a message each: once the kernel reads this as the answer
 * to an interrupt, it sends no more of them. */
static void serve_refuse_interrupt(ServeThread *t, const struct fuse_in_header *request)
{
        struct fuse_out_header answer = {
                .len = sizeof(answer),
                .error = -ENOSYS,
                .unique = request->unique,
        };
        ssize_t n = write(t->fd, &answer, sizeof(answer));
        (void)n;
}

static void serve_wake_owner(Serve *s)
{
        uint64_t one = 1;
        ssize_t n = write(s->wake_fd, &one, sizeof(one));
        (void)n;
}

/* Only its thread counts. */
static void serve_step(ServeThread *t)
{
        unsigned steps = atomic_load_explicit(&t->steps, memory_order_relaxed);
        atomic_store_explicit(&t->steps, steps + 1, memory_order_release);
}

/* These may wait for locks that are held while others wait for a disk. */
static bool serve_takes_long(uint32_t opcode)
{
        return opcode == FUSE_FSYNC || opcode == FUSE_SETATTR || opcode == FUSE_FALLOCATE ||
               opcode == FUSE_LSEEK;
}

static void serve_request(ServeThread *t, size_t len)
{
        const struct fuse_in_header *request = t->buf;
        struct fuse_buf buf = { .mem = t->buf, .size = len };

        serve_step(t);
        if (serve_takes_long(request->opcode))
                turns_pass(&t->serve->turns);
        if (!atomic_load_explicit(&t->holds, memory_order_relaxed)) {
                atomic_store(&t->holds, true);
                serve_wake_owner(t->serve);
        }
        if (request->opcode == FUSE_INTERRUPT)
                serve_refuse_interrupt(t, request);
        else
                fuse_session_process_buf(t->session, &buf);
        serve_step(t);
}

/* By its own thread, which neither reads a request into it nor answers one. */
static void serve_give_back(ServeThread *t)
{
        madvise(t->buf, t->buf_len, MADV_DONTNEED);
        atomic_store(&t->holds, false);
}

static bool serve_take_turn(ServeThread *t)
{
        int limit_ms = atomic_load_explicit(&t->holds, memory_order_relaxed) ? SERVE_SPARE_MS : -1;
        TurnsResult r = turns_take(&t->serve->turns, limit_ms);

        if (r == TURNS_TIMEOUT) {
                serve_give_back(t);
                r = turns_take(&t->serve->turns, -1);
        }
        return r == TURNS_TAKEN;
}

/* Sets errno. */
static ssize_t serve_read_request(ServeThread *t)
{
        ssize_t n = read(t->fd, t->buf, t->buf_len);
        int code = errno;

        turns_give(&t->serve->turns);
        errno = code;
        return n;
}

/* 0: the file system is gone, or we are to stop. Otherwise a negative errno. */
static int serve_loop(ServeThread *t)
{
        while (!atomic_load(&t->serve->stopping) && serve_take_turn(t)) {
                ssize_t n = serve_read_request(t);

                if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
                        serve_request(t, (size_t)n);
                } else if (n > 0) {
                        return -EBADMSG;
                } else if (n == 0 || errno == ENODEV || errno == ECONNABORTED) {
                        /* Unmounted, or aborted. A socket whose other end is closed gives 0. */
                        return 0;
                } else if (errno == EAGAIN) {
                        /* Somebody made the descriptor non-blocking. */
                        struct pollfd p = { .fd = t->fd, .events = POLLIN };
                        if (poll(&p, 1, -1) < 0)
                                serve_give_back(t);
                } else if (errno == EINTR) {
                        serve_give_back(t);
                } else if (errno != ENOENT) {
                        /* ENOENT: the request was taken back while we were reading it. */
                        return -errno;
                }
        }
        return 0;
}

static void serve_pass_turn(void *arg)
{
        turns_pass(arg);
}

static void *serve_thread(void *arg)
{
        ServeThread *t = arg;

        blocking_watch(serve_pass_turn, &t->serve->turns);
        int r = serve_loop(t);

        if (r < 0) {
                int none = 0;
                atomic_compare_exchange_strong(&t->serve->error, &none, -r);
        }
        atomic_store(&t->ended, true);
        serve_wake_owner(t->serve);
        /* What has ended us ends the others. */
        turns_pass(&t->serve->turns);
        return NULL;
}

static int serve_open_session(ServeThread *t, const ServeOptions *o, Err *err)
{
        _cleanup_close_ int fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return err_set(err, errno, "cannot copy the descriptor of /dev/fuse: %m");
        int r = session_new(&ops_table, &t->ops.user, fd, &t->session, err);
        if (r < 0)
                return r;
        t->fd = fd_take(&fd);
        return session_replay(t->session, &t->ops.user, o->init_request, o->init_request_len,
                              t->buf, err);
}

static int serve_prepare_thread(
        ServeThread *t, Serve *s, const ServeOptions *o, const ServeLimits *limits, Err *err)
{
        t->serve = s;
        void *buf = mmap(NULL, limits->buf_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                         -1, 0);
        if (buf == MAP_FAILED)
                return err_set(err, errno, "no memory for a request: %m");
        /* The buffers of all threads lie side by side: a small request would take 2 MiB. */
        madvise(buf, limits->buf_len, MADV_NOHUGEPAGE);
        t->buf = buf;
        t->buf_len = limits->buf_len;
        t->ops = (OpsThread){
                .view = o->view,
                .folder = o->folder,
                .answer = (uint8_t *)buf + SERVE_HEADER_SIZE,
                .answer_len = limits->buf_len - SERVE_HEADER_SIZE,
                .max_write = limits->max_write,
                .may_be_direct = limits->may_be_direct,
                .backing_id = o->backing_id,
        };
        return serve_open_session(t, o, err);
}

static void serve_interrupted(int sig)
{
        (void)sig;
}

static int serve_run(Serve *s, Err *err)
{
        /* No SA_RESTART: the signal is there to end a read. */
        struct sigaction action = { .sa_handler = serve_interrupted };
        pthread_attr_t attr;

        if (sigaction(SERVE_SIGNAL, &action, NULL) < 0)
                return err_set(err, errno, "cannot set a signal handler: %m");
        int r = -pthread_attr_init(&attr);
        if (r < 0)
                return err_set(err, -r, "cannot prepare threads: %m");
        r = -pthread_attr_setstacksize(&attr, SERVE_STACK_SIZE);
        for (unsigned i = 0; r >= 0 && i < s->thread_count; i++) {
                ServeThread *t = &s->threads[i];
                r = -pthread_create(&t->thread, &attr, serve_thread, t);
                t->started = r >= 0;
        }
        pthread_attr_destroy(&attr);
        return r < 0 ? err_set(err, -r, "cannot start a thread: %m") : 0;
}

static unsigned serve_reader_count(void)
{
        cpu_set_t cpus;
        int count = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : CPU_COUNT(&cpus);

        return (unsigned)u64_max((unsigned)count / 2, SERVE_READERS_MIN);
}

int serve_start(const ServeOptions *options, Serve **ret, Err *err)
{
        ServeLimits limits = { 0 };
        int r = serve_limits(options, &limits, err);
        if (r < 0)
                return r;

        unsigned count = options->thread_count ?: SERVE_THREADS;
        _cleanup_serve_ Serve *s = calloc(1, sizeof(*s) + count * sizeof(s->threads[0]));
        if (!s)
                return err_set(err, ENOMEM, "%m");
        r = turns_init(&s->turns, serve_reader_count());
        if (r < 0) {
                free(TAKE(s));
                return err_set(err, -r, "cannot make a lock: %m");
        }
        s->thread_count = count;
        s->wake_fd = options->wake_fd;
        s->file_count = options->folder ? options->folder->count : 0;

        for (unsigned i = 0; i < count; i++) {
                r = serve_prepare_thread(&s->threads[i], s, options, &limits, err);
                if (r < 0)
                        return r;
        }
        r = serve_run(s, err);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

/* A negative offset: contents that the kernel has cached stay. */
static int serve_forget_inode(Serve *s, uint64_t ino)
{
        struct {
                struct fuse_out_header header;
                struct fuse_notify_inval_inode_out inode;
        } note = {
                .header = { .len = sizeof(note), .error = FUSE_NOTIFY_INVAL_INODE },
                .inode = { .ino = ino, .off = -1 },
        };

        ssize_t n = write(s->threads[0].fd, &note, sizeof(note));
        return n < 0 ? -errno : 0;
}

int serve_forget_attributes(Serve *s)
{
        int r = serve_forget_inode(s, FUSE_ROOT_ID);

        /* The kernel knows only those that somebody has asked for. */
        for (uint64_t i = 0; r >= 0 && i < s->file_count; i++) {
                r = serve_forget_inode(s, OPS_FIRST_FILE + i);
                r = r == -ENOENT ? 0 : r;
        }
        return r;
}

/* Who is at a request is left alone: nothing that it waits for need know of signals. */
static void serve_interrupt(ServeThread *t)
{
        unsigned steps = atomic_load_explicit(&t->steps, memory_order_acquire);
        if (steps % 2 == 0)
                pthread_kill(t->thread, SERVE_SIGNAL);
}

bool serve_trim(Serve *s)
{
        bool held = false;

        for (unsigned i = 0; i < s->thread_count; i++) {
                ServeThread *t = &s->threads[i];
                unsigned steps = atomic_load_explicit(&t->steps, memory_order_relaxed);

                if (!atomic_load(&t->holds) || atomic_load(&t->ended))
                        continue;
                held = true;
                if (steps == t->seen_steps)
                        serve_interrupt(t);
                t->seen_steps = steps;
        }
        return held;
}

bool serve_has_ended(Serve *s)
{
        for (unsigned i = 0; i < s->thread_count; i++)
                if (atomic_load(&s->threads[i].ended))
                        return true;
        return false;
}

/* A signal that arrives just before the read does nothing, hence again and again. */
static void serve_end_thread(ServeThread *t)
{
        while (!atomic_load(&t->ended)) {
                serve_interrupt(t);
                if (!atomic_load(&t->ended))
                        poll(NULL, 0, SERVE_STOP_INTERVAL_MS);
        }
        pthread_join(t->thread, NULL);
        t->started = false;
}

int serve_stop(Serve *s, Err *err)
{
        atomic_store(&s->stopping, true);
        turns_end(&s->turns);
        for (unsigned i = 0; i < s->thread_count; i++)
                if (s->threads[i].started)
                        serve_end_thread(&s->threads[i]);

        int code = atomic_load(&s->error);
        return code ? err_set(err, code, "cannot read requests from the kernel: %m") : 0;
}

Serve *serve_free(Serve *s)
{
        if (!s)
                return NULL;
        serve_stop(s, NULL);
        for (unsigned i = 0; i < s->thread_count; i++) {
                ServeThread *t = &s->threads[i];
                if (t->session)
                        fuse_session_destroy(t->session);
                if (t->buf)
                        munmap(t->buf, t->buf_len);
        }
        turns_done(&s->turns);
        free(s);
        return NULL;
}
