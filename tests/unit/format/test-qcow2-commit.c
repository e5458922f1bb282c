/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When tables reach the file, and what it costs. In which order they do is asked by the property suite. */
#include "tests/unit/format/qcow2-writing.h"

#include "store/faulty.h"
#include "store/recorder.h"

/* Clusters: 4 data of guest cluster 0, 5 refcount block. */
static void begin(Image *image)
{
        image_begin(image, 9, 128 * C, false);
        image_map(image, 0, COPIED | 4 * C);
        memset(image->bytes + 4 * C, 'a', C);
        image_count(image, 5, 4);
}

/* Puts something between the node and its store, and opens it anew, since a driver knows the store it was opened with. */
static void put_between(Opened *o, Store *s)
{
        o->node->store = s;
        reopen(o);
}

static void open_recorded(Image *image, Opened *o, Recording **ret)
{
        Store *s = NULL;
        open_or_fail(image, o);
        assert_int_equal(recorder_store_new(o->node->store, ret, &s), 0);
        put_between(o, s);
}

static void open_faulty(Image *image, Opened *o, FaultPlan *plan)
{
        Store *s = NULL;
        open_or_fail(image, o);
        assert_int_equal(faulty_store_new(o->node->store, plan, &s), 0);
        put_between(o, s);
}

/* Tables wait for a flush; after it, all is in the file. */
static void test_a_flush_writes_everything(void **state)
{
        static Image image;
        Opened o;

        begin(&image);
        open_or_fail(&image, &o);
        write_bytes(&o, '#', 10 * C, 10 * C);
        write_bytes(&o, '#', 10, 70 * C);
        assert_int_equal(stored(&o, L2 * C + 80, 8), 0);
        assert_int_equal(stored(&o, 2 * C + 8, 8), 0);
        assert_int_equal(node_flush(o.node), 0);
        assert_int_not_equal(stored(&o, L2 * C + 80, 8), 0);
        assert_int_not_equal(stored(&o, 2 * C + 8, 8), 0);
        reopen(&o);
        assert_bytes(&o, '#', 10 * C, 10 * C);
        assert_bytes(&o, '#', 10, 70 * C);
        assert_sound(&o);
        image_close(&o);
}

/* No more syncs than ordering needs. The first change of all is not counted: it may have to change the header. */
static void test_how_often_a_flush_syncs(void **state)
{
        static const struct {
                const char *name;
                uint64_t off; /* UINT64_MAX: nothing is written */
                size_t syncs;
        } cases[] = {
                { "nothing to do", UINT64_MAX, 0 },
                { "in place", 0, 1 },
                { "a new cluster", 20 * C, 2 },
        };
        static Image image;

        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
                _cleanup_recording_ Recording *recording = NULL;
                Opened o;
                print_message("case: %s\n", cases[k].name);
                begin(&image);
                open_recorded(&image, &o, &recording);
                write_bytes(&o, '#', C, 10 * C);
                flush(&o);

                size_t from = recording_get_count(recording);
                if (cases[k].off != UINT64_MAX)
                        write_bytes(&o, '!', C, cases[k].off);
                assert_int_equal(node_flush(o.node), 0);
                size_t to = recording_get_count(recording);
                size_t syncs = recording_count_syncs(recording, from, to);
                assert_in_range(syncs, cases[k].syncs > 0, cases[k].syncs);
                /* Tables that have not changed are not written. */
                if (cases[k].off == UINT64_MAX)
                        assert_int_equal(to - from, syncs);
                image_close(&o);
        }
}

/* Many new clusters cost no sync each. */
static void test_writes_do_not_sync(void **state)
{
        static Image image;
        _cleanup_recording_ Recording *recording = NULL;
        Opened o;

        begin(&image);
        open_recorded(&image, &o, &recording);
        write_bytes(&o, '#', C, C);
        size_t from = recording_get_count(recording);
        for (uint64_t k = 2; k < 100; k++)
                write_bytes(&o, '#', C, k * C);
        assert_int_equal(recording_count_syncs(recording, from, recording_get_count(recording)), 0);
        assert_sound(&o);
        image_close(&o);
}

/* What is not in the file yet when a flush begins to fail. */
typedef struct Change {
        const char *name;
        unsigned refcount_order;
        uint64_t size; /* 0: the disk keeps its size */
        uint64_t off;
        size_t len;
        unsigned told_min; /* so many failures at least are the flush's own */
} Change;

static const Change changes[] = {
        { "entries, and a new table", 4, 0, 60 * C, 10 * C, 5 },
        { "a longer disk, and a longer L1 table", 4, 200 * 64 * C, 199 * 64 * C, 10 * C, 7 },
        { "refcount blocks, and a longer table of them", 6, 100 * 64 * C, 64 * C, 70 * 64 * C, 80 },
};

static void change_run(Opened *o, const Change *c)
{
        if (c->size > 0)
                assert_int_equal(node_resize(o->node, c->size), 0);
        write_bytes(o, '#', c->len, c->off);
        assert_int_equal(node_discard(o->node, 0, C), 0);
}

static void change_check(Opened *o, const Change *c)
{
        assert_bytes(o, 0, C, 0);
        assert_bytes(o, '#', c->len, c->off);
        assert_bytes(o, 0, C, c->off - C);
}

/* A flush in which one operation fails: *ret_told, was the caller told? True: there was such an operation. */
static bool fail_a_flush(const Change *c, uint64_t fail_at, bool *ret_told)
{
        static Image image;
        FaultPlan plan = { .code = ENOSPC };
        Opened o;

        begin(&image);
        image_count(&image, 5, c->refcount_order);
        open_faulty(&image, &o, &plan);
        change_run(&o, c);
        atomic_store(&plan.count, 0);
        atomic_store(&plan.fail_at, fail_at);
        int r = node_flush(o.node);
        bool failed = atomic_load(&plan.count) >= fail_at;
        /* What fails after everything was promised, such as counting free what nobody uses, is made up for. */
        assert_true(r == 0 || (failed && r == -ENOSPC));
        atomic_store(&plan.fail_at, 0);
        change_check(&o, c);

        if (atomic_load(&o.node->broken)) {
                /* It was a sync: this was the end of writing. */
                assert_int_equal(node_flush(o.node), -EIO);
                assert_int_equal(try_write(&o, '!', 1, 0), -EIO);
        } else {
                write_bytes(&o, '!', C, 40 * C);
                assert_sound(&o);
                reopen(&o);
                change_check(&o, c);
                assert_bytes(&o, '!', C, 40 * C);
        }
        image_close(&o);
        *ret_told = r < 0;
        return failed;
}

/* Something in a flush fails: the flush says so, forgets nothing, and the next one does all of it. */
static void test_a_failed_flush_is_done_again(void **state)
{
        for (size_t k = 0; k < sizeof(changes) / sizeof(changes[0]); k++) {
                uint64_t fail_at = 0;
                unsigned count = 0;
                bool told = false;
                print_message("case: %s\n", changes[k].name);
                while (fail_a_flush(&changes[k], ++fail_at, &told))
                        count += told;
                assert_true(count >= changes[k].told_min);
        }
}

/* Space gives out at one write and stays away for a while: nothing is lost. */
static void test_a_full_host(void **state)
{
        static Image image;

        for (uint64_t fail_at = 1; fail_at < 40; fail_at++) {
                FaultPlan plan = { .code = ENOSPC, .stays = true };
                Opened o;
                begin(&image);
                open_faulty(&image, &o, &plan);
                write_bytes(&o, '#', 10 * C, 10 * C);
                atomic_store(&plan.count, 0);
                atomic_store(&plan.fail_at, fail_at);
                bool written = try_write(&o, '!', 20 * C, 40 * C) == 0;
                (void)node_flush(o.node);
                (void)node_flush(o.node);
                atomic_store(&plan.fail_at, 0);
                assert_bytes(&o, '#', 10 * C, 10 * C);
                if (written)
                        assert_bytes(&o, '!', 20 * C, 40 * C);
                if (!atomic_load(&o.node->broken)) {
                        assert_sound(&o);
                        reopen(&o);
                        assert_bytes(&o, '#', 10 * C, 10 * C);
                }
                image_close(&o);
        }
}

/* A store that calls somebody before the first read of one place. */
typedef struct HookStore {
        Store store;
        Store *inner; /* owned */
        uint64_t pos;
        Opened *opened; /* NULL: not to be called, or done */
} HookStore;

/* While the bytes of guest cluster 0 are on their way, they are written anew, and their old place goes to another. */
static void hook_run(Opened *o)
{
        write_bytes(o, '#', C, 0);
        flush(o);
        write_bytes(o, '!', C, 20 * C);
        assert_int_equal(node_flush(o->node), 0);
}

static int hook_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        HookStore *h = (HookStore *)s;
        if (h->opened && pos <= h->pos && h->pos - pos < len)
                hook_run(TAKE(h->opened));
        return h->inner->ops->read(h->inner, buf, len, pos, ret_done);
}

static int hook_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        return store_write(((HookStore *)s)->inner, buf, len, pos);
}

static int hook_get_size(Store *s, uint64_t *ret)
{
        return store_get_size(((HookStore *)s)->inner, ret);
}

static int hook_set_size(Store *s, uint64_t size)
{
        return store_set_size(((HookStore *)s)->inner, size);
}

static int hook_sync(Store *s)
{
        return store_sync(((HookStore *)s)->inner);
}

static void hook_free(Store *s)
{
        store_free(((HookStore *)s)->inner);
}

static const StoreOps hook_ops = {
        .read = hook_read,
        .write = hook_write,
        .get_size = hook_get_size,
        .set_size = hook_set_size,
        .sync = hook_sync,
        .free = hook_free,
};

/* Layout is not held exclusively for a commit: a read that was told a place before may come to it afterwards. */
static void test_a_read_is_slower_than_a_commit(void **state)
{
        static const struct {
                const char *name;
                uint64_t entry;
        } cases[] = {
                { "data that may not be written over", 4 * C },
                { "packed data", PACKED | 4 * C },
        };
        static const uint8_t packed[] = { 0xab, 0xa8, 0x18, 0x05, 0x23, 0x19, 0x00, 0x00 };
        static Image image;

        for (size_t k = 0; k < 2; k++) {
                Opened o;
                print_message("case: %s\n", cases[k].name);
                begin(&image);
                image_map(&image, 0, cases[k].entry);
                if (cases[k].entry & PACKED)
                        image_put_bytes(&image, 4 * C, packed, sizeof(packed));
                open_or_fail(&image, &o);
                HookStore hook = { { &hook_ops }, o.node->store, 4 * C, &o };
                put_between(&o, &hook.store);

                assert_bytes(&o, '#', C, 0);
                assert_null(hook.opened);
                assert_int_equal(stored(&o, L2 * C + 160, 8), COPIED | 4 * C);
                assert_bytes(&o, '!', C, 20 * C);
                assert_sound(&o);
                image_close(&o);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_flush_writes_everything),
                cmocka_unit_test(test_how_often_a_flush_syncs),
                cmocka_unit_test(test_writes_do_not_sync),
                cmocka_unit_test(test_a_failed_flush_is_done_again),
                cmocka_unit_test(test_a_full_host),
                cmocka_unit_test(test_a_read_is_slower_than_a_commit),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
