/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes the guest disk of an image to a file, through the same chain and nodes as the worker, without FUSE:
 *
 *     dump-node [-f FORMAT] [-s SNAPSHOT] [-j THREADS] [-c CHUNK] IMAGE OUTPUT
 *
 * The threads take chunks in turn, so that with more than one they meet in the same tables and decoders. Names in
 * images are followed anywhere: this is a tool for tests on images that the test made.
 */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/limits.h"
#include "fake/folder.h"
#include "format/formats.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        THREADS_MAX = 64,
};

typedef struct Dump {
        Node *node;
        int output;
        size_t chunk;
        uint64_t size;
        atomic_uint_fast64_t next;
        atomic_int failed;
} Dump;

static void dump_fail(Dump *d, int r)
{
        int none = 0;
        atomic_compare_exchange_strong(&d->failed, &none, r);
}

static void *dump_run(void *arg)
{
        Dump *d = arg;
        _cleanup_free_ uint8_t *buf = malloc(d->chunk);
        if (!buf) {
                dump_fail(d, -ENOMEM);
                return NULL;
        }

        while (atomic_load(&d->failed) == 0) {
                uint64_t off = atomic_fetch_add(&d->next, d->chunk);
                if (off >= d->size)
                        break;
                size_t len = d->size - off < d->chunk ? (size_t)(d->size - off) : d->chunk;
                int r = node_read(d->node, buf, len, off);
                if (r < 0) {
                        dump_fail(d, r);
                        break;
                }
                if (pwrite(d->output, buf, len, (off_t)off) != (ssize_t)len) {
                        dump_fail(d, -EIO);
                        break;
                }
        }
        return NULL;
}

static int dump_all(Dump *d, unsigned threads)
{
        pthread_t thread[THREADS_MAX];
        unsigned started = 0;

        for (; started < threads; started++) {
                if (pthread_create(&thread[started], NULL, dump_run, d) != 0) {
                        dump_fail(d, -EAGAIN);
                        break;
                }
        }
        for (unsigned i = 0; i < started; i++)
                pthread_join(thread[i], NULL);
        return atomic_load(&d->failed);
}

static int dump(ChainRequest *request, const char *image, Dump *d, unsigned threads, Err *err)
{
        static FolderOpener opener;
        const char *slash = strrchr(image, '/');
        _cleanup_store_ Store *top = NULL;
        _cleanup_cache_ Cache *cache = NULL;
        _cleanup_node_ Node *node = NULL;

        folder_init(&opener);
        int r = cache_new(LIMIT_CACHE_MIN, &cache);
        if (r < 0)
                return err_set(err, -r, "%m");
        r = folder_open(&opener, image, STORE_READ_ONLY, &top, err);
        if (r < 0)
                return r;
        request->formats = all_formats;
        request->raw = &format_raw;
        request->opener = &opener.opener;
        request->file_name = slash ? slash + 1 : image;
        request->cache = cache;
        r = chain_open(request, top, &node, err);
        if (r < 0)
                return r;
        TAKE(top);

        d->node = node;
        d->size = node_get_size(node);
        if (ftruncate(d->output, (off_t)d->size) < 0)
                return err_set(err, errno, "cannot make the output that large: %m");
        r = dump_all(d, threads);
        return r < 0 ? err_set(err, -r, "reading failed: %m") : 0;
}

int main(int argc, char **argv)
{
        ChainRequest request = { 0 };
        Dump d = { .chunk = 1 << 20 };
        unsigned threads = 1;
        Err err;
        int option;

        while ((option = getopt(argc, argv, "f:s:j:c:")) != -1) {
                if (option == 'f')
                        request.format_name = optarg;
                else if (option == 's')
                        request.snapshot = optarg;
                else if (option == 'j')
                        threads = (unsigned)strtoul(optarg, NULL, 10);
                else if (option == 'c')
                        d.chunk = strtoul(optarg, NULL, 10);
                else
                        return 2;
        }
        if (argc - optind != 2 || threads == 0 || threads > THREADS_MAX || d.chunk == 0) {
                fprintf(stderr, "usage: dump-node [-f FORMAT] [-s SNAPSHOT] [-j THREADS] "
                                "[-c CHUNK] IMAGE OUTPUT\n");
                return 2;
        }

        _cleanup_close_ int output =
                open(argv[optind + 1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (output < 0) {
                perror(argv[optind + 1]);
                return 1;
        }
        d.output = output;
        if (dump(&request, argv[optind], &d, threads, &err) < 0) {
                fprintf(stderr, "%s: %s\n", argv[optind], err.text);
                return 1;
        }
        return 0;
}
