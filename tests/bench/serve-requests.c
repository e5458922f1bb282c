/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers requests as the worker does, with the same floors, in one thread and without the kernel's FUSE, so that
 * instructions can be counted (callgrind) wherever this runs:
 *
 *     serve-requests [-w] IMAGE STEP ISLANDS COUNT
 *
 * The requests come from a process of its own, one after the other, over a socket in the place of /dev/fuse: 4 KiB each;
 * where, says islands.h. -w writes. What the start costs is in it too: the difference of two counts is without.
 */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/limits.h"
#include "fake/folder.h"
#include "format/formats.h"
#include "fuse/serve.h"
#include "islands.h"
#include "view/view.h"

#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

typedef struct Requests {
        bool writes;
        Islands islands;
        uint64_t count;
} Requests;

/* The other side: the kernel. False: something else than an answer came. */
static bool client_ask(int fd, bool writes, uint64_t off, uint64_t unique)
{
        static uint8_t bytes[ISLAND_LEN];
        struct fuse_out_header answer = { 0 };
        /* One has the fields of the other where it matters. */
        struct fuse_write_in body = { .offset = off, .size = ISLAND_LEN };
        size_t body_len = writes ? sizeof(body) : sizeof(struct fuse_read_in);
        size_t data_len = writes ? ISLAND_LEN : 0;
        struct fuse_in_header header = {
                .len = (uint32_t)(sizeof(header) + body_len + data_len),
                .opcode = writes ? FUSE_WRITE : FUSE_READ,
                .unique = unique,
                .nodeid = FUSE_ROOT_ID,
        };
        struct iovec out[] = {
                { &header, sizeof(header) },
                { &body, body_len },
                { bytes, data_len },
        };
        struct iovec in[] = { { &answer, sizeof(answer) }, { bytes, sizeof(bytes) } };

        return writev(fd, out, 3) == (ssize_t)header.len && readv(fd, in, 2) > 0 &&
               answer.unique == unique && answer.error == 0;
}

static int client_run(int fd, const Requests *r)
{
        for (uint64_t i = 0; i < r->count; i++)
                if (!client_ask(fd, r->writes, islands_get_offset(&r->islands, i), 2 * i + 2))
                        return 1;
        return 0;
}

typedef struct Init {
        struct {
                struct fuse_in_header header;
                struct fuse_init_in init;
        } request;
        struct {
                struct fuse_out_header header;
                struct fuse_init_out init;
        } answer;
} Init;

static const Init served_init = {
        .request.header = { .len = sizeof(served_init.request), .opcode = FUSE_INIT, .unique = 1 },
        .request.init = { .major = 7, .minor = 38, .flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES },
        .answer.header = { .len = sizeof(served_init.answer), .unique = 1 },
        .answer.init = { .major = 7,
                         .minor = 38,
                         .flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES,
                         .max_write = 1 << 20,
                         .max_pages = 256 },
};

static int served_open(const char *image, bool writes, Cache *cache, Node **ret, Err *err)
{
        static FolderOpener opener;
        const char *slash = strrchr(image, '/');
        _cleanup_store_ Store *top = NULL;
        ChainRequest request = {
                .formats = all_formats,
                .raw = &format_raw,
                .opener = &opener.opener,
                .file_name = slash ? slash + 1 : image,
                .writable = writes,
                .cache = cache,
        };

        folder_init(&opener);
        int r = folder_open(&opener, image, writes ? STORE_WRITABLE : STORE_READ_ONLY, &top, err);
        if (r < 0)
                return r;
        r = chain_open(&request, top, ret, err);
        if (r < 0)
                return r;
        TAKE(top);
        return 0;
}

/* Until the client has gone. */
static int serve_all(int fd, View *v, Err *err)
{
        _cleanup_serve_ Serve *s = NULL;
        _cleanup_close_ int wake_fd = eventfd(0, EFD_CLOEXEC);
        ServeOptions options = {
                .view = v,
                .fd = fd,
                .init_request = &served_init.request,
                .init_request_len = sizeof(served_init.request),
                .init_answer = &served_init.answer,
                .init_answer_len = sizeof(served_init.answer),
                .thread_count = 1,
                .wake_fd = wake_fd,
        };

        int r = serve_start(&options, &s, err);
        if (r < 0)
                return r;
        uint64_t count = 0;
        while (!serve_has_ended(s) && read(wake_fd, &count, sizeof(count)) > 0)
                continue;
        return serve_stop(s, err);
}

static int serve(const char *image, int fd, bool writes, Err *err)
{
        _cleanup_cache_ Cache *cache = NULL;
        Node *node = NULL;
        View *view = NULL;
        ViewOptions options = {
                .writable = writes, .mode = 0600, .image = image, .unit = "", .wake_fd = -1
        };

        int r = cache_new(LIMIT_CACHE_DEFAULT, &cache);
        if (r >= 0)
                r = served_open(image, writes, cache, &node, err);
        if (r >= 0)
                r = view_new(node, &options, &view, err);
        if (r >= 0)
                r = serve_all(fd, view, err);
        view_free(view);
        node_close(node);
        return r;
}

int main(int argc, char **argv)
{
        Requests r = { .writes = argc > 1 && strcmp(argv[1], "-w") == 0 };
        Err err = { "" };
        int fds[2], status = 0;

        argv += r.writes;
        if (argc - r.writes != 5)
                return 2;
        r.islands = (Islands){ strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10) };
        r.count = strtoull(argv[4], NULL, 10);
        if (!islands_are_sound(&r.islands) ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return 2;
        pid_t pid = fork();
        if (pid < 0)
                return 1;
        if (pid == 0) {
                close(fds[1]);
                _exit(client_run(fds[0], &r));
        }
        close(fds[0]);
        int served = serve(argv[1], fds[1], r.writes, &err);
        close(fds[1]);
        waitpid(pid, &status, 0);
        if (served < 0 || status != 0) {
                fprintf(stderr, "serve-requests: %s: %s\n", argv[1],
                        served < 0 ? err.text : "a request failed");
                return 1;
        }
        return 0;
}
