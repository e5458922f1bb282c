/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random requests to an image, through the same chain and nodes as the worker, against a model in memory:
 *
 *     random-ops [-f FORMAT] [-m RAW] [-o RAW] [-s SEED] [-n OPERATIONS] [-j 1|8] [-t SPAN] [-c CACHE] [-u UNIT] [-drv] IMAGE
 *
 * The disk begins as -m says (without it: as the image shows it), every read is compared, and at the end all of it:
 * before closing, and opened again read-only. -o gets what it should hold then. -d: discards, -r: resizes,
 * -v: prints every operation. -t is how far one table reaches: many requests lie around its multiples, and around
 * those of -u, the unit that the format places.
 *
 * With eight threads no two own the same byte, but they meet everywhere else: five own every fifth sector of most
 * clusters, two the clusters in between, and the last the end of the disk, which it also makes shorter and longer.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "disk.h"
#include "model.h"

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
        THREADS_MAX = 8,
        HOT = 6,
        SECTOR = 512,
        /* Of every ALONG clusters the last OWNED belong to one thread as a whole, the others to all writers. */
        ALONG = 8,
        OWNED = 2,
        SHARED_MIN = 4096,
        /* Larger requests do not come through a view. */
        LEN_MAX = 4 << 20,
};

typedef enum Role {
        ROLE_ALONE,    /* everything is its own */
        ROLE_SECTORS,  /* every fifth sector of the clusters that are shared */
        ROLE_CLUSTERS, /* every second run of owned clusters */
        ROLE_TAIL,     /* the last quarter; flushes, resizes */
        ROLE_COUNT,
} Role;

enum {
        SECTOR_THREADS = 5,
        CLUSTER_THREADS = 2,
};

typedef enum Act {
        ACT_READ,
        ACT_WRITE,
        ACT_ZERO,
        ACT_DISCARD,
        ACT_ALLOCATE,
        ACT_FLUSH,
        ACT_RESIZE,
        ACT_REOPEN,
} Act;

static const char *const act_names[] = { "read",     "write", "zero",   "discard",
                                         "allocate", "flush", "resize", "reopen" };

typedef struct Trial {
        /* Fixed while threads run. */
        DiskRequest request;
        Disk disk; /* one that is alone closes it and opens it again */
        uint64_t seed, operations, cluster, span, first_size;
        uint64_t hot[HOT];
        uint64_t shared_end; /* with threads: from here on all is the tail's */
        bool discards, resizes, verbose;

        Model model;
        atomic_bool failed;
} Trial;

typedef struct Actor {
        Trial *trial;
        Role role;
        unsigned number; /* among those of its role */
        uint64_t random;
        uint64_t done; /* operations so far */
        uint8_t *buf;  /* LEN_MAX bytes */
        pthread_t thread;
} Actor;

typedef struct Piece {
        uint64_t off, len;
} Piece;

static uint64_t next_random(uint64_t *state)
{
        uint64_t z = *state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

/* A number below `end`, which is not 0. */
static uint64_t below(Actor *a, uint64_t end)
{
        return next_random(&a->random) % end;
}

static bool one_in(Actor *a, uint64_t n)
{
        return below(a, n) == 0;
}

static void actor_fail(Actor *a, Act act, const Piece *p, const char *what)
{
        atomic_store(&a->trial->failed, true);
        fprintf(stderr,
                "seed %" PRIu64 ", role %d.%u, operation %" PRIu64 ": %s %" PRIu64 "+%" PRIu64
                ": %s\n",
                a->trial->seed, a->role, a->number, a->done, act_names[act], p->off, p->len, what);
}

/* How long requests are: all from one byte to several clusters. */
static uint64_t pick_len(Actor *a)
{
        uint64_t cluster = a->trial->cluster;
        uint64_t len = 1;

        switch (below(a, 8)) {
        case 0:
                len = 1 + below(a, 16);
                break;
        case 1:
                len = 1 + below(a, SECTOR);
                break;
        case 2:
                len = SECTOR * (1 + below(a, 16));
                break;
        case 3:
                len = cluster;
                break;
        case 4:
                len = cluster * (1 + below(a, 4));
                break;
        case 5:
                len = 1 + below(a, 4 * cluster);
                break;
        case 6:
                len = 4096;
                break;
        default:
                len = 1 + below(a, cluster);
                break;
        }
        return u64_min(len, LEN_MAX);
}

/* Where requests begin: in few clusters again and again, around the borders of clusters and tables, anywhere. */
static uint64_t pick_off(Actor *a, uint64_t end)
{
        Trial *t = a->trial;
        uint64_t off = 0;

        switch (below(a, 4)) {
        case 0:
        case 1:
                off = t->hot[below(a, HOT)];
                break;
        case 2:
                off = t->span * below(a, end / t->span + 1);
                break;
        default:
                off = t->cluster * below(a, end / t->cluster + 1);
                break;
        }
        switch (below(a, 4)) {
        case 0:
                break;
        case 1:
                off += below(a, t->cluster);
                break;
        case 2:
                off += SECTOR * below(a, t->cluster / SECTOR);
                break;
        default:
                off -= u64_min(off, below(a, 600));
                break;
        }
        return u64_min(off, end - 1);
}

static Piece pick_alone(Actor *a)
{
        uint64_t size = a->trial->model.size;
        uint64_t off = pick_off(a, size);
        return (Piece){ off, u64_min(pick_len(a), size - off) };
}

/* A part of one of its sectors of a cluster that all writers share. */
static Piece pick_sector(Actor *a)
{
        Trial *t = a->trial;
        uint64_t cluster = round_down(pick_off(a, t->shared_end), t->cluster);
        uint64_t index = cluster / t->cluster;

        if (index % ALONG >= ALONG - OWNED)
                cluster -= (index % ALONG - below(a, ALONG - OWNED)) * t->cluster;
        uint64_t first = cluster / SECTOR, count = t->cluster / SECTOR;
        uint64_t sector = first + below(a, count);
        sector += (SECTOR_THREADS + a->number - sector % SECTOR_THREADS) % SECTOR_THREADS;
        if (sector >= first + count)
                sector -= SECTOR_THREADS;
        uint64_t from = one_in(a, 2) ? 0 : below(a, SECTOR);
        return (Piece){ sector * SECTOR + from, 1 + below(a, SECTOR - from) };
}

/* Anything within a run of clusters that are all its own. */
static Piece pick_clusters(Actor *a)
{
        Trial *t = a->trial;
        uint64_t run = pick_off(a, t->shared_end) / t->cluster / ALONG;
        uint64_t runs = t->shared_end / t->cluster / ALONG;

        run = run - run % CLUSTER_THREADS + a->number;
        if (run >= runs)
                run = a->number;
        uint64_t start = (run * ALONG + ALONG - OWNED) * t->cluster, len = OWNED * t->cluster;
        uint64_t off = one_in(a, 2) ? 0 : below(a, len);
        uint64_t rest = len - off;
        return (Piece){ start + off, one_in(a, 2) ? rest : u64_min(rest, pick_len(a)) };
}

static Piece pick_tail(Actor *a)
{
        Trial *t = a->trial;
        uint64_t off = t->shared_end + pick_off(a, t->model.size - t->shared_end);
        return (Piece){ off, u64_min(pick_len(a), t->model.size - off) };
}

static Piece pick_piece(Actor *a)
{
        static Piece (*const picks[ROLE_COUNT])(Actor *) = {
                [ROLE_ALONE] = pick_alone,
                [ROLE_SECTORS] = pick_sector,
                [ROLE_CLUSTERS] = pick_clusters,
                [ROLE_TAIL] = pick_tail,
        };
        Piece p = picks[a->role](a);
        p.len = u64_min(p.len, LEN_MAX);
        return p;
}

/* Of a hundred operations so many are of this kind; what is not allowed becomes a write. */
static Act pick_act(Actor *a)
{
        static const struct {
                unsigned until[ROLE_COUNT];
                Act act;
        } table[] = {
                { { 24, 30, 20, 15 }, ACT_READ },    { { 36, 34, 35, 20 }, ACT_ZERO },
                { { 48, 35, 60, 30 }, ACT_DISCARD }, { { 51, 36, 63, 32 }, ACT_ALLOCATE },
                { { 55, 37, 64, 50 }, ACT_FLUSH },   { { 58, 37, 64, 60 }, ACT_RESIZE },
                { { 59, 37, 64, 60 }, ACT_REOPEN },
        };
        uint64_t x = below(a, 100);

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                if (x >= table[i].until[a->role])
                        continue;
                if ((table[i].act == ACT_DISCARD && !a->trial->discards) ||
                    (table[i].act == ACT_RESIZE && !a->trial->resizes))
                        return ACT_WRITE;
                return table[i].act;
        }
        return ACT_WRITE;
}

/* Mostly noise; now and then one byte over and over, or zeroes. */
static void fill(Actor *a, uint64_t len)
{
        if (one_in(a, 8)) {
                memset(a->buf, one_in(a, 2) ? 0 : (int)below(a, 256), (size_t)len);
                return;
        }
        for (uint64_t i = 0; i < len; i += sizeof(uint64_t)) {
                uint64_t x = next_random(&a->random);
                memcpy(a->buf + i, &x, (size_t)u64_min(sizeof(x), len - i));
        }
}

static int act_read(Actor *a, const Piece *p)
{
        uint64_t wrong = 0;

        int r = node_read(a->trial->disk.node, a->buf, (size_t)p->len, p->off);
        if (r < 0)
                return r;
        if (model_holds(&a->trial->model, a->buf, p->off, p->len, &wrong))
                return 0;
        fprintf(stderr, "byte %" PRIu64 " is %#x, not %#x\n", wrong, a->buf[wrong - p->off],
                a->trial->model.bytes[wrong]);
        return -EBADMSG;
}

static int act_write(Actor *a, const Piece *p)
{
        fill(a, p->len);
        int r = node_write(a->trial->disk.node, a->buf, (size_t)p->len, p->off);
        if (r < 0)
                return r;
        memcpy(a->trial->model.bytes + p->off, a->buf, (size_t)p->len);
        return 0;
}

static int act_zero(Actor *a, const Piece *p, bool discard)
{
        Node *n = a->trial->disk.node;
        int r = discard ? node_discard(n, p->off, p->len) : node_zero(n, p->off, p->len);
        if (r < 0)
                return r;
        model_zero(&a->trial->model, p->off, p->len);
        return 0;
}

/* Between a half and one and a half of the first size; with threads only the tail moves. Whole sectors. */
static int act_resize(Actor *a)
{
        Trial *t = a->trial;
        uint64_t from = t->first_size / 2, size = 0;

        if (a->role == ROLE_TAIL)
                from = t->shared_end + t->cluster;
        size = from + below(a, t->model.room - from + 1);
        if (one_in(a, 3))
                size = round_down(size, t->cluster);
        if (one_in(a, 3))
                size = round_down(size, t->span);
        size = round_down(u64_max(size, u64_max(from, SECTOR)), SECTOR);
        int r = node_resize(t->disk.node, size);
        if (r < 0)
                return r;
        model_resize(&t->model, size);
        return 0;
}

static int act_reopen(Actor *a)
{
        Trial *t = a->trial;
        Err err = { "" };

        int r = node_finish(t->disk.node);
        if (r < 0)
                return r;
        disk_close(&t->disk);
        r = disk_open(&t->disk, &t->request, &err);
        if (r < 0)
                fprintf(stderr, "%s\n", err.text);
        return r;
}

static int act_run(Actor *a, Act act, const Piece *p)
{
        int r = 0;

        switch (act) {
        case ACT_READ:
                return act_read(a, p);
        case ACT_WRITE:
                return act_write(a, p);
        case ACT_ZERO:
        case ACT_DISCARD:
                return act_zero(a, p, act == ACT_DISCARD);
        case ACT_ALLOCATE:
                r = node_allocate(a->trial->disk.node, p->off, p->len);
                return r == -EOPNOTSUPP ? 0 : r;
        case ACT_FLUSH:
                return node_flush(a->trial->disk.node);
        case ACT_RESIZE:
                return act_resize(a);
        case ACT_REOPEN:
                return act_reopen(a);
        }
        return -EINVAL;
}

static void *actor_run(void *arg)
{
        Actor *a = arg;
        Trial *t = a->trial;

        for (; a->done < t->operations && !atomic_load(&t->failed); a->done++) {
                Act act = pick_act(a);
                Piece p = pick_piece(a);
                if (t->verbose)
                        fprintf(stderr, "%d.%u %" PRIu64 ": %s %" PRIu64 "+%" PRIu64 "\n", a->role,
                                a->number, a->done, act_names[act], p.off, p.len);
                int r = act_run(a, act, &p);
                if (r < 0) {
                        actor_fail(a, act, &p, strerror(-r));
                        break;
                }
        }
        return NULL;
}

static int actor_start(Actor *a, Trial *t, unsigned index, unsigned threads)
{
        *a = (Actor){ .trial = t, .role = ROLE_ALONE, .random = t->seed * THREADS_MAX + index };
        if (threads > 1) {
                a->role = index < SECTOR_THREADS    ? ROLE_SECTORS
                          : index < THREADS_MAX - 1 ? ROLE_CLUSTERS
                                                    : ROLE_TAIL;
                a->number = a->role == ROLE_CLUSTERS ? index - SECTOR_THREADS : index;
        }
        a->buf = malloc(LEN_MAX);
        if (!a->buf)
                return -ENOMEM;
        return -pthread_create(&a->thread, NULL, actor_run, a);
}

static int trial_run_threads(Trial *t, unsigned threads)
{
        Actor actors[THREADS_MAX];
        unsigned started = 0;
        int r = 0;

        while (r >= 0 && started < threads) {
                r = actor_start(&actors[started], t, started, threads);
                started += r >= 0;
        }
        if (r < 0)
                atomic_store(&t->failed, true);
        for (unsigned i = 0; i < started; i++) {
                pthread_join(actors[i].thread, NULL);
                free(actors[i].buf);
        }
        return r;
}

/* What has to be known before anything is asked for. */
static int trial_prepare(Trial *t, const char *expected, unsigned threads)
{
        Node *n = t->disk.node;
        uint64_t random = t->seed;

        t->first_size = node_get_size(n);
        if (t->cluster == 0)
                t->cluster = u64_max(n->granule, SECTOR);
        /* Each thread needs a sector of its own in it. */
        if (threads > 1)
                t->cluster = u64_max(t->cluster, SHARED_MIN);
        t->span = t->span ? t->span : t->cluster * 512;
        uint64_t period = ALONG * t->cluster;
        t->shared_end = t->first_size / 4 * 3 / period * period;
        if (t->first_size < SECTOR || (threads > 1 && t->shared_end < CLUSTER_THREADS * period)) {
                fprintf(stderr, "the disk is too small\n");
                return -EINVAL;
        }
        int r = model_init(&t->model, t->first_size, t->first_size / 2 * 3);
        if (r < 0)
                return r;
        for (size_t i = 0; i < HOT; i++)
                t->hot[i] = round_down(next_random(&random) % t->first_size, t->cluster);
        t->hot[0] = 0;
        t->hot[1] = round_down(t->first_size - 1, t->cluster);
        if (!expected)
                return model_copy(&t->model, n);
        r = model_load(&t->model, expected);
        return r < 0 ? r : model_compare(&t->model, n);
}

static int trial_run(Trial *t, const char *expected, unsigned threads)
{
        Err err = { "" };

        int r = disk_open(&t->disk, &t->request, &err);
        if (r < 0) {
                fprintf(stderr, "%s\n", err.text);
                return r;
        }
        r = trial_prepare(t, expected, threads);
        if (r >= 0)
                r = trial_run_threads(t, threads);
        if (r < 0 || atomic_load(&t->failed))
                return -EIO;
        r = model_compare(&t->model, t->disk.node);
        if (r >= 0)
                r = node_finish(t->disk.node);
        if (r < 0)
                return r;

        disk_close(&t->disk);
        DiskRequest again = { .path = t->request.path, .format = t->request.format };
        r = disk_open(&t->disk, &again, &err);
        if (r < 0) {
                fprintf(stderr, "opened again: %s\n", err.text);
                return r;
        }
        return model_compare(&t->model, t->disk.node);
}

static int usage(void)
{
        fprintf(stderr,
                "usage: random-ops [-f FORMAT] [-m RAW] [-o RAW] [-s SEED] [-n OPERATIONS] [-j 1|8] "
                "[-t SPAN] [-c CACHE] [-u UNIT] [-drv] IMAGE\n");
        return 2;
}

int main(int argc, char **argv)
{
        static Trial t = { .seed = 1, .operations = 1000 };
        const char *expected = NULL, *output = NULL;
        unsigned long threads = 1;
        int option;

        t.request = (DiskRequest){ .writable = true, .cache = LIMIT_CACHE_MIN };
        while ((option = getopt(argc, argv, "f:m:o:s:n:j:t:c:u:drv")) != -1) {
                uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;
                switch (option) {
                case 'f':
                        t.request.format = optarg;
                        break;
                case 'm':
                        expected = optarg;
                        break;
                case 'o':
                        output = optarg;
                        break;
                case 's':
                        t.seed = number;
                        break;
                case 'n':
                        t.operations = number;
                        break;
                case 'j':
                        threads = number;
                        break;
                case 't':
                        t.span = number;
                        break;
                case 'c':
                        t.request.cache = number;
                        break;
                case 'u':
                        t.cluster = number;
                        break;
                case 'd':
                        t.discards = true;
                        break;
                case 'r':
                        t.resizes = true;
                        break;
                case 'v':
                        t.verbose = true;
                        break;
                default:
                        return usage();
                }
        }
        if (argc - optind != 1 || (threads != 1 && threads != THREADS_MAX))
                return usage();
        t.request.path = argv[optind];
        int r = trial_run(&t, expected, (unsigned)threads);
        if (r < 0)
                fprintf(stderr, "%s: seed %" PRIu64 ": failed: %s\n", t.request.path, t.seed,
                        strerror(-r));
        if (r >= 0 && output)
                r = model_save(&t.model, output);
        disk_close(&t.disk);
        model_done(&t.model);
        return r < 0 ? 1 : 0;
}
