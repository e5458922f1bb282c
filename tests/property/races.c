/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Eight threads on one granule and its neighbours, on a store that takes its time. Each thread has bytes of its own in
 * every granule: what it wrote is there afterwards, whoever got the granule its place.
 */
#include "sample.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "block/node.h"
#include "fake/audit.h"
#include "fake/fake.h"
#include "fake/secret.h"
#include "store/slow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../unit/fd-count.h"

enum {
        THREADS = 8,
        SLICE = 64,
        ROUNDS = 3,
        FLUSH_ROUNDS = 20,
        SLOW_USEC = 200,
};

typedef struct Arena {
        Node *node;
        pthread_barrier_t together;
        atomic_int wrong;
} Arena;

typedef struct Fighter {
        Arena *arena;
        uint8_t number;
        pthread_t thread;
} Fighter;

/* Where this thread's bytes of a granule are: not side by side, so that fills lie between them. */
static uint64_t slice_of(uint64_t granule, uint8_t number)
{
        return granule * SAMPLE_GRANULE + 200 + number * 450U;
}

static uint8_t mark_of(uint64_t granule, uint8_t number, int round)
{
        return (uint8_t)(1 + number * 31 + granule * 3 + (uint64_t)round);
}

static bool slice_holds(Node *n, uint64_t off, uint8_t mark)
{
        uint8_t buf[SLICE];
        if (node_read(n, buf, SLICE, off) < 0)
                return false;
        for (int i = 0; i < SLICE; i++)
                if (buf[i] != mark)
                        return false;
        return true;
}

static void fighter_write(Fighter *f, uint64_t granule, int round)
{
        uint8_t bytes[SLICE];
        uint64_t off = slice_of(granule, f->number);
        uint8_t mark = mark_of(granule, f->number, round);

        memset(bytes, mark, SLICE);
        if (node_write(f->arena->node, bytes, SLICE, off) < 0)
                atomic_fetch_add(&f->arena->wrong, 1);
        if (!slice_holds(f->arena->node, off, mark))
                atomic_fetch_add(&f->arena->wrong, 1);
}

static void *fighter_run(void *arg)
{
        Fighter *f = arg;

        for (int round = 0; round < ROUNDS; round++)
                for (uint64_t granule = 0; granule + 1 < SAMPLE_GRANULES; granule += 2) {
                        pthread_barrier_wait(&f->arena->together);
                        /* Half of them begin with the neighbour. */
                        fighter_write(f, granule + f->number % 2, round);
                        fighter_write(f, granule + 1 - f->number % 2, round);
                }
        return NULL;
}

static void fight(Arena *arena, void *(*run)(void *))
{
        Fighter fighters[THREADS];

        assert_int_equal(pthread_barrier_init(&arena->together, NULL, THREADS), 0);
        for (uint8_t i = 0; i < THREADS; i++) {
                fighters[i] = (Fighter){ .arena = arena, .number = i };
                assert_int_equal(pthread_create(&fighters[i].thread, NULL, run, &fighters[i]), 0);
        }
        for (uint8_t i = 0; i < THREADS; i++)
                pthread_join(fighters[i].thread, NULL);
        pthread_barrier_destroy(&arena->together);
        assert_int_equal(atomic_load(&arena->wrong), 0);
}

/* The slices hold the last marks, and around them the old contents are as they were. */
static void assert_outcome(Node *n)
{
        static uint8_t found[SAMPLE_SIZE], expected[SAMPLE_SIZE];

        for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                expected[off] = sample_byte(off, 0);
        for (uint64_t granule = 0; granule < SAMPLE_GRANULES; granule++)
                for (uint8_t i = 0; i < THREADS; i++)
                        memset(expected + slice_of(granule, i), mark_of(granule, i, ROUNDS - 1),
                               SLICE);
        assert_int_equal(node_read(n, found, SAMPLE_SIZE, 0), 0);
        for (size_t i = 0; i < SAMPLE_SIZE; i++)
                if (found[i] != expected[i])
                        fail_msg("%s: guest byte %zu is %u, not %u", n->format->name, i, found[i],
                                 expected[i]);
}

static Node *open_sample(const Sample *sample, Store *s, Cache *c)
{
        NodeOptions options = { .writable = true, .file_name = SAMPLE_FILE_NAME, .cache = c };
        Node *n = NULL;
        Err err = { "" };
        if (node_open(sample->format, s, &options, &fake_key_opener, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

static Store *open_slow(const Sample *sample)
{
        Store *inner = NULL, *s = NULL;
        assert_int_equal(sample->make(NULL, NULL, &inner), 0);
        assert_int_equal(slow_store_new(inner, SLOW_USEC, &s), 0);
        return s;
}

static void test_writers_of_one_granule(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                _cleanup_cache_ Cache *c = NULL;
                if (!sample->writable)
                        continue;
                assert_int_equal(cache_new(0, &c), 0);
                _cleanup_node_ Node *n = open_sample(sample, open_slow(sample), c);
                Arena arena = { .node = n };
                fight(&arena, fighter_run);
                assert_outcome(n);
        }
}

/* Writes a granule of its own, flushes, and that is all. */
static void *flusher_run(void *arg)
{
        Fighter *f = arg;
        uint8_t bytes[SAMPLE_GRANULE];
        uint64_t granule = SAMPLE_GRANULES / 2 + f->number;

        memset(bytes, mark_of(granule, f->number, 0), sizeof(bytes));
        pthread_barrier_wait(&f->arena->together);
        if (node_write(f->arena->node, bytes, sizeof(bytes), granule * SAMPLE_GRANULE) < 0 ||
            node_flush(f->arena->node) < 0)
                atomic_fetch_add(&f->arena->wrong, 1);
        return NULL;
}

/* All flushes have returned, and nobody flushes afterwards: an older table may not have won. */
static void flush_at_the_same_time(const Sample *sample)
{
        _cleanup_cache_ Cache *c = NULL;
        assert_int_equal(cache_new(0, &c), 0);
        Node *n = open_sample(sample, open_slow(sample), c);
        Arena arena = { .node = n };

        fight(&arena, flusher_run);
        Store *s = TAKE(n->store);
        node_close(n);
        _cleanup_node_ Node *again = open_sample(sample, s, c);
        for (uint8_t i = 0; i < THREADS; i++) {
                uint64_t granule = SAMPLE_GRANULES / 2 + i;
                assert_true(slice_holds(again, slice_of(granule, i), mark_of(granule, i, 0)));
        }
}

static void test_flushes_at_the_same_time(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++)
                for (int i = 0; sample->writable && i < FLUSH_ROUNDS; i++)
                        flush_at_the_same_time(sample);
}

typedef struct Sweeper {
        Node *node;
        atomic_bool stop;
        atomic_int wrong;
} Sweeper;

/* A reader never meets a place that is not filled: each byte is the old one or a new one. */
static void *sweeper_run(void *arg)
{
        Sweeper *w = arg;
        while (!atomic_load(&w->stop)) {
                static _Thread_local uint8_t buf[SAMPLE_SIZE];
                if (node_read(w->node, buf, SAMPLE_SIZE, 0) < 0)
                        atomic_fetch_add(&w->wrong, 1);
                for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                        if (buf[off] != sample_byte(off, 0) && buf[off] != 'n')
                                atomic_fetch_add(&w->wrong, 1);
        }
        return NULL;
}

static void test_readers_see_old_or_new(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                _cleanup_cache_ Cache *c = NULL;
                if (!sample->writable)
                        continue;
                assert_int_equal(cache_new(0, &c), 0);
                _cleanup_node_ Node *n = open_sample(sample, open_slow(sample), c);
                Sweeper sweeper = { .node = n };
                pthread_t thread;
                assert_int_equal(pthread_create(&thread, NULL, sweeper_run, &sweeper), 0);
                for (uint64_t off = 100; off < SAMPLE_SIZE; off += 1000)
                        assert_int_equal(node_write(n, "nnnnnnnn", 8, off), 0);
                atomic_store(&sweeper.stop, true);
                pthread_join(thread, NULL);
                assert_int_equal(atomic_load(&sweeper.wrong), 0);
        }
}

/*
 * A disk of packed granules, read all at once and unpacked by several threads, while they are written to and discarded: each byte
 * is the old one, a new one or zero, and at the end what was done last.
 */
enum {
        PACKED_GRANULES = 96,
        PACKED_GRANULE = 4096,
        PACKED_SIZE = PACKED_GRANULES * PACKED_GRANULE,
        PACKED_READERS = 3,
};

static uint8_t packed_byte(uint64_t granule)
{
        return granule % 3 == 1 ? 'n' : granule % 3 == 2 ? 0 : fake_byte(granule);
}

static void *packed_reader_run(void *arg)
{
        Sweeper *w = arg;
        _cleanup_free_ uint8_t *buf = malloc(PACKED_SIZE);

        while (buf && !atomic_load(&w->stop)) {
                if (node_read(w->node, buf, PACKED_SIZE, 0) < 0)
                        atomic_fetch_add(&w->wrong, 1);
                for (uint64_t off = 0; off < PACKED_SIZE; off++) {
                        uint64_t granule = off / PACKED_GRANULE;
                        if (buf[off] != fake_byte(granule) && buf[off] != packed_byte(granule))
                                atomic_fetch_add(&w->wrong, 1);
                }
        }
        return NULL;
}

static void packed_change(Node *n)
{
        uint8_t bytes[PACKED_GRANULE];

        memset(bytes, 'n', sizeof(bytes));
        for (uint64_t granule = 1; granule < PACKED_GRANULES; granule++) {
                uint64_t off = granule * PACKED_GRANULE;
                if (granule % 3 == 1) {
                        assert_int_equal(node_write(n, bytes, 1000, off + 500), 0);
                        assert_int_equal(node_write(n, bytes, PACKED_GRANULE, off), 0);
                } else if (granule % 3 == 2) {
                        assert_int_equal(node_discard(n, off, PACKED_GRANULE), 0);
                }
                if (granule % 8 == 0)
                        assert_int_equal(node_flush(n), 0);
        }
}

static void test_packed_granules_are_changed(void **state)
{
        static uint8_t found[PACKED_SIZE];
        char layout[PACKED_GRANULES + 1] = "";
        FakeImage image = { .size = PACKED_SIZE, .granule = PACKED_GRANULE, .layout = layout };
        _cleanup_cache_ Cache *c = NULL;
        Store *inner = NULL, *s = NULL;
        NodeOptions options = { .writable = true };
        Err err = { "" };
        pthread_t threads[PACKED_READERS];

        memset(layout, 'c', PACKED_GRANULES);
        assert_int_equal(fake_make(&image, &inner), 0);
        assert_int_equal(slow_store_new(inner, SLOW_USEC, &s), 0);
        assert_int_equal(cache_new(0, &c), 0);
        options.cache = c;
        _cleanup_node_ Node *n = NULL;
        assert_int_equal(node_open(&format_fake, s, &options, NULL, &n, &err), 0);
        Sweeper sweeper = { .node = n };
        for (size_t i = 0; i < PACKED_READERS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, packed_reader_run, &sweeper), 0);
        packed_change(n);
        atomic_store(&sweeper.stop, true);
        for (size_t i = 0; i < PACKED_READERS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&sweeper.wrong), 0);
        assert_int_equal(node_read(n, found, PACKED_SIZE, 0), 0);
        for (size_t i = 0; i < PACKED_SIZE; i++)
                assert_int_equal(found[i], packed_byte(i / PACKED_GRANULE));
}

typedef struct Shaker {
        Node *node;
        uint8_t number;
        atomic_int *wrong;
        pthread_t thread;
} Shaker;

/* Where the format can. */
static int resize_node(Node *n, uint64_t size)
{
        return n->format->resize ? node_resize(n, size) : 0;
}

static void *shaker_run(void *arg)
{
        Shaker *k = arg;
        uint32_t x = k->number;

        for (int i = 0; i < 40; i++) {
                uint8_t buf[5000] = { 0 };
                uint64_t off = (x = x * 1664525 + 1013904223) % (SAMPLE_SIZE / 2);
                int r = 0;
                switch ((x >> 24) % 6) {
                case 0:
                        r = node_discard(k->node, off, sizeof(buf));
                        break;
                case 1:
                        r = node_zero(k->node, off, sizeof(buf));
                        break;
                case 2:
                        r = resize_node(k->node, SAMPLE_SIZE - off % 3 * 1000);
                        break;
                case 3:
                        r = node_flush(k->node);
                        break;
                case 4:
                        r = node_read(k->node, buf, sizeof(buf), off);
                        break;
                default:
                        r = node_write(k->node, buf, sizeof(buf), off);
                        break;
                }
                if (r < 0)
                        atomic_fetch_add(k->wrong, 1);
        }
        return NULL;
}

/* All requests at once: no deadlock, no failure, and TSan has something to look at. */
static void test_everything_at_once(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                _cleanup_cache_ Cache *c = NULL;
                Shaker shakers[THREADS];
                atomic_int wrong = 0;
                if (!sample->writable)
                        continue;
                assert_int_equal(cache_new(0, &c), 0);
                _cleanup_node_ Node *n = open_sample(sample, open_slow(sample), c);
                for (uint8_t i = 0; i < THREADS; i++) {
                        shakers[i] = (Shaker){ .node = n, .number = i, .wrong = &wrong };
                        assert_int_equal(
                                pthread_create(&shakers[i].thread, NULL, shaker_run, &shakers[i]),
                                0);
                }
                for (uint8_t i = 0; i < THREADS; i++)
                        pthread_join(shakers[i].thread, NULL);
                assert_int_equal(atomic_load(&wrong), 0);
        }
}

/*
 * Writers of slices in granules that they share, others who discard granules of their own between those, one who makes
 * the disk shorter and longer behind all that, one who flushes: everybody finds what is his, always and at the end.
 */
enum {
        QUIET_GRANULES = 14, /* what is never cut off */
        MIXED_ROUNDS = 12,
        WRITERS = 4,
        DISCARDERS = 2,
        RESIZER = WRITERS + DISCARDERS,
};

static bool granule_is_shared(uint64_t granule)
{
        return granule % 4 != 3;
}

static void mixed_write(Fighter *f, int round)
{
        for (uint64_t granule = 0; granule < QUIET_GRANULES; granule++)
                if (granule_is_shared(granule))
                        fighter_write(f, granule, round);
}

/* All of a granule, a part of it discarded or zeroed, looked at. */
static void mixed_discard(Fighter *f, int round)
{
        static const size_t cuts[] = { 0, 1, 512, SAMPLE_GRANULE / 2 - 3 };

        for (uint64_t granule = 3; granule < QUIET_GRANULES; granule += 4) {
                if (WRITERS + granule / 4 % DISCARDERS != f->number)
                        continue;
                uint8_t bytes[SAMPLE_GRANULE];
                uint64_t off = granule * SAMPLE_GRANULE;
                size_t cut = cuts[round % 4], len = SAMPLE_GRANULE - 2 * cut;
                uint8_t mark = mark_of(granule, f->number, round);
                memset(bytes, mark, sizeof(bytes));
                int r = node_write(f->arena->node, bytes, sizeof(bytes), off);
                if (r >= 0 && round < MIXED_ROUNDS - 1)
                        r = round % 2 ? node_discard(f->arena->node, off + cut, len)
                                      : node_zero(f->arena->node, off + cut, len);
                if (r >= 0)
                        r = node_read(f->arena->node, bytes, sizeof(bytes), off);
                for (size_t i = 0; i < sizeof(bytes); i++) {
                        bool gone = round < MIXED_ROUNDS - 1 && i >= cut && i < cut + len;
                        if (r < 0 || bytes[i] != (gone ? 0 : mark)) {
                                atomic_fetch_add(&f->arena->wrong, 1);
                                break;
                        }
                }
        }
}

static void mixed_resize(Fighter *f, int round)
{
        static const uint64_t sizes[] = { 16 * SAMPLE_GRANULE, 14 * SAMPLE_GRANULE + 1024,
                                          15 * SAMPLE_GRANULE, 14 * SAMPLE_GRANULE };
        Node *n = f->arena->node;
        uint64_t size = n->format->resize ? sizes[round % 4] : SAMPLE_SIZE;
        uint8_t byte = 0;
        int r = 0;

        if (round == MIXED_ROUNDS - 1) {
                /* Nothing of all this is left. */
                r = resize_node(n, QUIET_GRANULES * SAMPLE_GRANULE);
                size = SAMPLE_SIZE;
        }
        if (r >= 0)
                r = resize_node(n, size);
        if (r >= 0 && size > QUIET_GRANULES * SAMPLE_GRANULE)
                r = node_write(n, "r", 1, size - 1);
        if (r >= 0)
                r = node_read(n, &byte, 1, size);
        if (r < 0 || byte != 0)
                atomic_fetch_add(&f->arena->wrong, 1);
}

static void *mixed_run(void *arg)
{
        Fighter *f = arg;

        pthread_barrier_wait(&f->arena->together);
        for (int round = 0; round < MIXED_ROUNDS; round++) {
                if (f->number < WRITERS)
                        mixed_write(f, round);
                else if (f->number < RESIZER)
                        mixed_discard(f, round);
                else if (f->number == RESIZER)
                        mixed_resize(f, round);
                else if (node_flush(f->arena->node) < 0)
                        atomic_fetch_add(&f->arena->wrong, 1);
        }
        return NULL;
}

static void assert_mixed_outcome(Node *n)
{
        static uint8_t found[SAMPLE_SIZE], expected[SAMPLE_SIZE];
        const int last = MIXED_ROUNDS - 1;

        for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                expected[off] = off < QUIET_GRANULES * SAMPLE_GRANULE ? sample_byte(off, 0) : 0;
        expected[SAMPLE_SIZE - 1] = 'r';
        for (uint64_t granule = 0; granule < QUIET_GRANULES; granule++) {
                uint8_t owner = (uint8_t)(WRITERS + granule / 4 % DISCARDERS);
                if (!granule_is_shared(granule))
                        memset(expected + granule * SAMPLE_GRANULE, mark_of(granule, owner, last),
                               SAMPLE_GRANULE);
                for (uint8_t i = 0; i < WRITERS && granule_is_shared(granule); i++)
                        memset(expected + slice_of(granule, i), mark_of(granule, i, last), SLICE);
        }
        assert_int_equal(node_get_size(n), SAMPLE_SIZE);
        assert_int_equal(node_read(n, found, SAMPLE_SIZE, 0), 0);
        for (size_t i = 0; i < SAMPLE_SIZE; i++)
                if (found[i] != expected[i])
                        fail_msg("guest byte %zu is %u, not %u", i, found[i], expected[i]);
}

static void test_writers_against_discard_resize_flush(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++) {
                _cleanup_cache_ Cache *c = NULL;
                if (!sample->writable)
                        continue;
                print_message("case: %s\n", sample->name);
                assert_int_equal(cache_new(0, &c), 0);
                Node *n = open_sample(sample, open_slow(sample), c);
                Arena arena = { .node = n };
                fight(&arena, mixed_run);
                assert_mixed_outcome(n);
                assert_int_equal(node_flush(n), 0);
                assert_int_equal(node_flush(n), 0);
                if (sample->audit) {
                        Audit audit;
                        assert_int_equal(sample->audit(n->store, &audit), 0);
                        if (audit.corruptions + audit.leaks > 0)
                                fail_msg("%s: %s", sample->name, audit.text);
                }
                Store *s = TAKE(n->store);
                node_close(n);
                _cleanup_node_ Node *again = open_sample(sample, s, c);
                assert_mixed_outcome(again);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_writers_of_one_granule),
                cmocka_unit_test(test_flushes_at_the_same_time),
                cmocka_unit_test(test_readers_see_old_or_new),
                cmocka_unit_test(test_packed_granules_are_changed),
                cmocka_unit_test(test_everything_at_once),
                cmocka_unit_test(test_writers_against_discard_resize_flush),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
