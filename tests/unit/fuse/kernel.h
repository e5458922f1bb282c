/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for the kernel: a socket that keeps packets apart instead of /dev/fuse, and a raw disk in memory behind
 * the threads that serve it. Each Kernel belongs to one test; so do its threads.
 */
#pragma once

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/node.h"
#include "format/formats.h"
#include "fuse/serve.h"
#include "store/faulty.h"
#include "store/mem.h"
#include "view/view.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cmocka.h>

enum {
        KERNEL_DISK_SIZE = 100000,
        KERNEL_MAX_WRITE = 65536,
};

typedef struct InitRequest {
        struct fuse_in_header header;
        struct fuse_init_in init;
} InitRequest;

typedef struct InitAnswer {
        struct fuse_out_header header;
        struct fuse_init_out init;
} InitAnswer;

typedef struct Kernel {
        int fd, server_fd, wake_fd;
        uint64_t unique;
        uint32_t pid; /* who asks */
        Cache *cache;
        FaultPlan plan;
        Node *node;
        View *view;
        InitRequest request;
        InitAnswer answer;
        Serve *serve;
} Kernel;

typedef struct Answer {
        struct fuse_out_header header;
        uint8_t body[KERNEL_MAX_WRITE];
        size_t len; /* of the body */
} Answer;

static inline ServeOptions kernel_options(Kernel *k)
{
        return (ServeOptions){
                .view = k->view,
                .fd = k->server_fd,
                .init_request = &k->request,
                .init_request_len = sizeof(k->request),
                .init_answer = &k->answer,
                .init_answer_len = sizeof(k->answer),
                .wake_fd = k->wake_fd,
        };
}

/* The disk holds its offsets modulo 251. Nothing is served yet. */
static inline void kernel_open(Kernel *k, ViewOptions options)
{
        _cleanup_free_ uint8_t *bytes = malloc(KERNEL_DISK_SIZE);
        Store *s = NULL, *faulty = NULL;
        int fds[2];

        *k = (Kernel){ .plan.code = EIO, .unique = 2 };
        for (size_t i = 0; i < KERNEL_DISK_SIZE; i++)
                bytes[i] = (uint8_t)(i % 251);
        assert_int_equal(cache_new(0, &k->cache), 0);
        assert_int_equal(mem_store_new(bytes, KERNEL_DISK_SIZE, &s), 0);
        assert_int_equal(faulty_store_new(s, &k->plan, &faulty), 0);
        NodeOptions node_options = { .writable = options.writable, .cache = k->cache };
        assert_int_equal(node_open(&format_raw, faulty, &node_options, NULL, &k->node, NULL), 0);

        options.image = "/vm/disk.raw";
        options.unit = "";
        options.wake_fd = -1;
        assert_int_equal(view_new(k->node, &options, &k->view, NULL), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        k->fd = fds[0];
        k->server_fd = fds[1];
        k->wake_fd = eventfd(0, EFD_CLOEXEC);
        k->request = (InitRequest){
                .header = { .len = sizeof(InitRequest), .opcode = FUSE_INIT, .unique = 1 },
                .init = { .major = 7,
                          .minor = 38,
                          .max_readahead = 131072,
                          .flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES | FUSE_ASYNC_READ },
        };
        k->answer = (InitAnswer){
                .header = { .len = sizeof(InitAnswer), .unique = 1 },
                .init = { .major = 7,
                          .minor = 38,
                          .flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES,
                          .max_write = KERNEL_MAX_WRITE,
                          .max_pages = 16 },
        };
}

static inline void kernel_start(Kernel *k)
{
        ServeOptions options = kernel_options(k);
        Err err = { "" };

        if (serve_start(&options, &k->serve, &err) < 0)
                fail_msg("%s", err.text);
}

static inline void kernel_close(Kernel *k)
{
        k->serve = serve_free(k->serve);
        k->view = view_free(k->view);
        k->node = node_close(k->node);
        k->cache = cache_free(k->cache);
        cleanup_close(&k->fd);
        cleanup_close(&k->server_fd);
        cleanup_close(&k->wake_fd);
}

/* Gives the unique of the request. */
static inline uint64_t kernel_send(
        Kernel *k, uint32_t opcode, const void *body, size_t len, const void *more, size_t more_len)
{
        struct fuse_in_header header = {
                .len = (uint32_t)(sizeof(header) + len + more_len),
                .opcode = opcode,
                .unique = k->unique,
                .nodeid = FUSE_ROOT_ID,
                .pid = k->pid,
        };
        struct iovec iov[] = {
                { &header, sizeof(header) },
                { (void *)body, len },
                { (void *)more, more_len },
        };

        k->unique += 2;
        assert_int_equal(writev(k->fd, iov, 3), (ssize_t)header.len);
        return header.unique;
}

static inline void kernel_hear(Kernel *k, Answer *ret)
{
        struct pollfd p = { .fd = k->fd, .events = POLLIN };
        struct iovec iov[] = {
                { &ret->header, sizeof(ret->header) },
                { ret->body, sizeof(ret->body) },
        };

        if (poll(&p, 1, 10000) != 1)
                fail_msg("no answer");
        ssize_t n = readv(k->fd, iov, 2);
        assert_true(n >= (ssize_t)sizeof(ret->header));
        assert_int_equal(ret->header.len, n);
        ret->len = (size_t)n - sizeof(ret->header);
}

/* One request and its answer; gives the answer's error. */
static inline int kernel_ask(Kernel *k, uint32_t opcode, const void *body, size_t len, Answer *ret)
{
        uint64_t unique = kernel_send(k, opcode, body, len, NULL, 0);
        kernel_hear(k, ret);
        assert_int_equal(ret->header.unique, unique);
        return ret->header.error;
}
