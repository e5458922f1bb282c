/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shows a file of zeroes that takes everything that is written to it and keeps nothing:
 *
 *     null-server [-j THREADS] SIZE MOUNTPOINT
 *
 * It does nothing but answer, over a mount that is made and set up as that of a view, and with as many threads: what it
 * reaches is the limit of the transport. It ends when it is told to (SIGTERM, SIGINT) or unmounted.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/fuse-newer.h"
#include "fuse/session.h"
#include "supervisor/init.h"
#include "supervisor/mount.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
        /* As in fuse/serve.c. */
        NULL_THREADS_MIN = 2,
        NULL_HEADER_SIZE = 4096,
        NULL_REQUEST_MAX = 1 << 20,
        NULL_BUF_LEN = NULL_HEADER_SIZE + NULL_REQUEST_MAX,
        NULL_ATTR_TIMEOUT = 365 * 86400,
        NULL_BLOCK_SIZE = 4096,
};

typedef struct NullThread {
        SessionUser user;
        off_t size;
        int fd;
        struct fuse_session *session;
        uint8_t *buf; /* requests */
        uint8_t *
                zeroes; /* answers: memory of its own, as a server's that copies what it has read */
        bool may_be_direct;
} NullThread;

static NullThread *null_thread(fuse_req_t req)
{
        return fuse_req_userdata(req);
}

static void null_init(void *userdata, struct fuse_conn_info *conn)
{
        NullThread *t = userdata;

        conn->max_write = NULL_REQUEST_MAX;
        t->user.ready = true;
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        off_t size = null_thread(req)->size;
        struct stat st = {
                .st_ino = FUSE_ROOT_ID,
                .st_mode = S_IFREG | 0600,
                .st_nlink = 1,
                .st_uid = geteuid(),
                .st_gid = getegid(),
                .st_size = size,
                .st_blksize = NULL_BLOCK_SIZE,
                .st_blocks = size / 512,
        };

        fuse_reply_attr(req, &st, NULL_ATTR_TIMEOUT);
}

/* As ops_open() in fuse/ops.c. */
static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        struct fuse_open_out out = { .open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH };

        if (null_thread(req)->may_be_direct && (fi->flags & O_DIRECT) &&
            (fi->flags & O_ACCMODE) == O_RDWR)
                out.open_flags |= FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
        fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static void null_read(
        fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
        NullThread *t = null_thread(req);
        size_t left = off < t->size ? (size_t)(t->size - off) : 0;

        if (size > NULL_REQUEST_MAX)
                fuse_reply_err(req, EINVAL);
        else
                fuse_reply_buf(req, (const char *)t->zeroes, size < left ? size : left);
}

static void null_write(fuse_req_t req,
                       fuse_ino_t ino,
                       const char *buf,
                       size_t size,
                       off_t off,
                       struct fuse_file_info *fi)
{
        fuse_reply_write(req, size);
}

static void null_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
        fuse_reply_err(req, 0);
}

static void null_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
        fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops null_ops = {
        .init = null_init,
        .getattr = null_getattr,
        .open = null_open,
        .release = null_release,
        .read = null_read,
        .write = null_write,
        .fsync = null_fsync,
};

static void *null_serve(void *arg)
{
        NullThread *t = arg;

        for (;;) {
                ssize_t n = read(t->fd, t->buf, NULL_BUF_LEN);
                if (n > 0) {
                        struct fuse_buf request = { .mem = t->buf, .size = (size_t)n };
                        fuse_session_process_buf(t->session, &request);
                } else if (n == 0 || (errno != EINTR && errno != ENOENT)) {
                        break;
                }
        }
        /* Unmounted, or aborted: what main() waits for. */
        kill(getpid(), SIGTERM);
        return NULL;
}

static bool null_may_be_direct(const Init *init)
{
        struct fuse_init_out answer = { 0 };

        memcpy(&answer, init->answer + sizeof(struct fuse_out_header), sizeof(answer));
        return answer.flags & FUSE_INIT_EXT && answer.flags2 & FUSE_NEWER_DIRECT_IO_ALLOW_MMAP;
}

/* It serves until the end of the process, and nobody waits for it: a client that stays keeps it for as long as it likes. */
static int null_start_thread(const Mount *m, const Init *init, off_t size, Err *err)
{
        pthread_t thread;

        NullThread *t = calloc(1, sizeof(*t));
        void *buf = mmap(NULL, 2 * NULL_BUF_LEN, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (!t || buf == MAP_FAILED)
                return err_set(err, ENOMEM, "%m");
        *t = (NullThread){
                .size = size,
                .fd = m->fuse_fd,
                .buf = buf,
                .zeroes = (uint8_t *)buf + NULL_BUF_LEN,
                .may_be_direct = null_may_be_direct(init),
        };
        int r = session_new(&null_ops, &t->user, t->fd, &t->session, err);
        if (r >= 0)
                r = session_replay(t->session, &t->user, init->request, init->request_len, t->buf,
                                   err);
        if (r < 0)
                return r;
        r = -pthread_create(&thread, NULL, null_serve, t);
        if (r < 0)
                return err_set(err, -r, "cannot start a thread: %m");
        pthread_detach(thread);
        return 0;
}

/* As many as read at one time in the worker (src/fuse/turns.h): nobody waits for a disk here. */
static unsigned null_default_thread_count(void)
{
        cpu_set_t cpus;
        int count = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : CPU_COUNT(&cpus);

        return count / 2 > NULL_THREADS_MIN ? (unsigned)count / 2 : NULL_THREADS_MIN;
}

static int null_start(const Mount *m, off_t size, unsigned threads, Err *err)
{
        Init init = { 0 };

        int r = init_exchange(m->fuse_fd, INIT_WITHOUT_PASSTHROUGH, &init, err);
        for (unsigned i = 0; r >= 0 && i < threads; i++)
                r = null_start_thread(m, &init, size, err);
        if (r >= 0)
                mount_raise_readahead(m);
        return r;
}

static int null_run(const char *point, off_t size, unsigned threads, Err *err)
{
        Target target = TARGET_NONE;
        Mount m = MOUNT_NONE;
        Config c;
        sigset_t set;
        int got = 0;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, NULL);

        config_init(&c);
        c.writable = true;
        int r = target_open(point, PATH_RULE_KERNEL, &target, err);
        if (r >= 0)
                r = mount_view(&target, &c, "null", &m, err);
        if (r >= 0)
                r = null_start(&m, size, threads, err);
        if (r >= 0)
                sigwait(&set, &got);
        (void)mount_end(&m, &target, true, NULL);
        target_done(&target);
        config_done(&c);
        return r;
}

int main(int argc, char **argv)
{
        unsigned threads = null_default_thread_count();
        Err err = { "" };
        int option;

        while ((option = getopt(argc, argv, "j:")) != -1) {
                if (option != 'j')
                        return 2;
                threads = (unsigned)strtoul(optarg, NULL, 10);
        }
        if (argc - optind != 2 || threads == 0 || strtoll(argv[optind], NULL, 10) <= 0) {
                fprintf(stderr, "usage: null-server [-j THREADS] SIZE MOUNTPOINT\n");
                return 2;
        }
        int r = null_run(argv[optind + 1], strtoll(argv[optind], NULL, 10), threads, &err);
        if (r < 0)
                fprintf(stderr, "null-server: %s: %s\n", argv[optind + 1], err.text);
        /* The threads keep what is theirs until here. */
        _exit(r < 0);
}
