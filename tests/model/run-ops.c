/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asks an image for what its arguments say, one after the other, through the same chain and nodes as the worker:
 *
 *     run-ops [-f FORMAT] [-c CACHE] [-n] [-r] IMAGE REQUEST…
 *
 *     write OFF LEN BYTE    read OFF LEN BYTE    zero OFF LEN    discard OFF LEN    allocate OFF LEN
 *     resize SIZE           flush                fails REQUEST, with whatever errno
 *
 * Each REQUEST is one argument. `read` compares: every byte has to be BYTE. -r opens read-only. -n ends without a
 * last flush. Numbers are as C writes them, with k, M or G behind. Ends with 1 at the first thing that is not as said.
 */
#include "base/cleanup.h"
#include "block/limits.h"
#include "disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
        WORDS = 5,
        /* A request is cut into pieces of this size, as the kernel cuts them. */
        PIECE = 1 << 20,
};

static uint64_t number_of(const char *text)
{
        char *end = NULL;
        uint64_t number = strtoull(text, &end, 0);
        if (*end == 'k')
                return number << 10;
        if (*end == 'M')
                return number << 20;
        return *end == 'G' ? number << 30 : number;
}

static int run_write(Node *n, uint64_t off, uint64_t len, uint8_t byte)
{
        _cleanup_free_ uint8_t *buf = malloc(PIECE);
        if (!buf)
                return -ENOMEM;
        memset(buf, byte, PIECE);
        while (len > 0) {
                size_t part = len < PIECE ? (size_t)len : PIECE;
                int r = node_write(n, buf, part, off);
                if (r < 0)
                        return r;
                off += part;
                len -= part;
        }
        return 0;
}

static int run_read(Node *n, uint64_t off, uint64_t len, uint8_t byte)
{
        _cleanup_free_ uint8_t *buf = malloc(PIECE);
        if (!buf)
                return -ENOMEM;
        while (len > 0) {
                size_t part = len < PIECE ? (size_t)len : PIECE;
                int r = node_read(n, buf, part, off);
                if (r < 0)
                        return r;
                for (size_t i = 0; i < part; i++)
                        if (buf[i] != byte) {
                                fprintf(stderr, "byte %" PRIu64 " is %#x, not %#x\n", off + i,
                                        buf[i], byte);
                                return -EBADMSG;
                        }
                off += part;
                len -= part;
        }
        return 0;
}

static int run_words(Node *n, char *const *words)
{
        uint64_t a = words[1] ? number_of(words[1]) : 0;
        uint64_t b = words[1] && words[2] ? number_of(words[2]) : 0;
        uint8_t byte = words[1] && words[2] && words[3] ? (uint8_t)number_of(words[3]) : 0;

        if (strcmp(words[0], "write") == 0)
                return run_write(n, a, b, byte);
        if (strcmp(words[0], "read") == 0)
                return run_read(n, a, b, byte);
        if (strcmp(words[0], "zero") == 0)
                return node_zero(n, a, b);
        if (strcmp(words[0], "discard") == 0)
                return node_discard(n, a, b);
        if (strcmp(words[0], "allocate") == 0)
                return node_allocate(n, a, b);
        if (strcmp(words[0], "resize") == 0)
                return node_resize(n, a);
        if (strcmp(words[0], "flush") == 0)
                return node_flush(n);
        return -EINVAL;
}

static int run(Node *n, char *request)
{
        char *words[WORDS + 1] = { NULL }, *rest = NULL;
        size_t count = 0;
        int r = 0;

        for (char *w = strtok_r(request, " ", &rest); w && count < WORDS;
             w = strtok_r(NULL, " ", &rest))
                words[count++] = w;
        if (count == 0)
                return -EINVAL;
        if (strcmp(words[0], "fails") != 0)
                return run_words(n, words);
        r = count > 1 ? run_words(n, words + 1) : -EINVAL;
        return r < 0 && r != -EINVAL ? 0 : -EBADMSG;
}

static int run_all(Disk *d, char **requests, bool flush)
{
        for (; *requests; requests++) {
                _cleanup_free_ char *request = strdup(*requests);
                int r = request ? run(d->node, request) : -ENOMEM;
                if (r < 0) {
                        fprintf(stderr, "%s: %s\n", *requests, strerror(-r));
                        return r;
                }
        }
        if (!flush)
                return 0;
        int r = node_finish(d->node);
        if (r < 0)
                fprintf(stderr, "the last flush: %s\n", strerror(-r));
        return r;
}

int main(int argc, char **argv)
{
        static Disk disk;
        DiskRequest request = { .writable = true, .cache = LIMIT_CACHE_MIN };
        bool flush = true;
        Err err = { "" };
        int option;

        while ((option = getopt(argc, argv, "f:c:nr")) != -1) {
                if (option == 'f')
                        request.format = optarg;
                else if (option == 'c')
                        request.cache = number_of(optarg);
                else if (option == 'n')
                        flush = false;
                else if (option == 'r')
                        request.writable = false;
                else
                        return 2;
        }
        if (optind >= argc) {
                fprintf(stderr, "usage: run-ops [-f FORMAT] [-c CACHE] [-n] [-r] IMAGE REQUEST…\n");
                return 2;
        }
        request.path = argv[optind];
        if (disk_open(&disk, &request, &err) < 0) {
                fprintf(stderr, "%s: %s\n", request.path, err.text);
                return 1;
        }
        int r = run_all(&disk, argv + optind + 1, flush);
        disk_close(&disk);
        return r < 0 ? 1 : 0;
}
