/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/mem.h"
#include "store/recorder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct Tape {
        Recording *recording;
        Store *store;
} Tape;

/* "aa", sync, "bb", then unsynced: "cc", zero 1 at 0, size 3. */
static Tape record(void)
{
        Tape t = { 0 };
        Store *inner = NULL;

        assert_int_equal(mem_store_new("....", 4, &inner), 0);
        assert_int_equal(recorder_store_new(inner, &t.recording, &t.store), 0);
        assert_int_equal(store_write(t.store, "aa", 2, 0), 0);
        assert_int_equal(store_sync(t.store), 0);
        assert_int_equal(store_write(t.store, "bb", 2, 1), 0);
        assert_int_equal(store_write(t.store, "cc", 2, 2), 0);
        assert_int_equal(store_zero(t.store, 0, 1), 0);
        assert_int_equal(store_set_size(t.store, 3), 0);
        return t;
}

static void tape_free(Tape *t)
{
        store_free(t->store);
        recording_free(t->recording);
}

static void assert_replays(Tape *t, size_t count, uint64_t choice, const char *text, size_t len)
{
        _cleanup_store_ Store *s = NULL;
        uint64_t size = 0;
        char buf[16] = { 0 };

        assert_int_equal(recording_replay(t->recording, count, choice, &s), 0);
        assert_int_equal(store_get_size(s, &size), 0);
        assert_int_equal(size, len);
        assert_int_equal(store_read(s, buf, len, 0), 0);
        assert_memory_equal(buf, text, len);
}

static void test_any_prefix(void **state)
{
        Tape t = record();

        assert_int_equal(recording_get_count(t.recording), 6);
        assert_replays(&t, 0, REPLAY_ALL, "....", 4);
        assert_replays(&t, 1, REPLAY_ALL, "aa..", 4);
        assert_replays(&t, 3, REPLAY_ALL, "abb.", 4);
        assert_replays(&t, 4, REPLAY_ALL, "abcc", 4);
        assert_replays(&t, 5, REPLAY_ALL, "\0bcc", 4);
        assert_replays(&t, 6, REPLAY_ALL, "\0bc", 3);
        tape_free(&t);
}

static void test_without_a_sync_all_may_be_lost(void **state)
{
        Tape t = record();

        assert_replays(&t, 1, REPLAY_NONE, "....", 4);
        assert_replays(&t, 2, REPLAY_NONE, "aa..", 4);
        assert_replays(&t, 6, REPLAY_NONE, "aa..", 4);
        tape_free(&t);
}

/* Every subset of the four unsynced changes shows up, and the synced one never goes. */
static void test_choices_reach_every_subset(void **state)
{
        Tape t = record();
        size_t seen = 0, seen_sizes[5] = { 0 };
        char results[64][4];

        for (uint64_t choice = 2; choice < 600; choice++) {
                _cleanup_store_ Store *s = NULL;
                uint64_t size = 0;
                char buf[4];
                size_t i = 0;
                assert_int_equal(recording_replay(t.recording, 6, choice, &s), 0);
                assert_int_equal(store_get_size(s, &size), 0);
                assert_true(size == 3 || size == 4);
                seen_sizes[size]++;
                assert_int_equal(store_read_padded(s, buf, 4, 0), 0);
                assert_true(buf[0] == 'a' || buf[0] == 0);
                assert_true(buf[1] == 'a' || buf[1] == 'b');
                while (i < seen && memcmp(results[i], buf, 4) != 0)
                        i++;
                if (i == seen)
                        memcpy(results[seen++], buf, 4);
        }
        /* bb or not, cc or not, zero or not; three of the four ends differ when cut to three bytes. */
        assert_true(seen >= 14);
        assert_true(seen_sizes[3] > 100 && seen_sizes[4] > 100);
        tape_free(&t);
}

static void test_writes_tear_between_sectors(void **state)
{
        Store *inner = NULL;
        Recording *recording = NULL;
        uint8_t bytes[3 * RECORDER_SECTOR];
        unsigned masks = 0;

        memset(bytes, 'x', sizeof(bytes));
        assert_int_equal(mem_store_new(NULL, sizeof(bytes), &inner), 0);
        _cleanup_store_ Store *s = NULL;
        assert_int_equal(recorder_store_new(inner, &recording, &s), 0);
        assert_int_equal(store_write(s, bytes, sizeof(bytes), 0), 0);

        for (uint64_t choice = 2; choice < 100; choice++) {
                _cleanup_store_ Store *after = NULL;
                unsigned mask = 0;
                assert_int_equal(recording_replay(recording, 1, choice, &after), 0);
                assert_int_equal(store_read(after, bytes, sizeof(bytes), 0), 0);
                for (size_t i = 0; i < sizeof(bytes); i++) {
                        assert_int_equal(bytes[i], bytes[i / RECORDER_SECTOR * RECORDER_SECTOR]);
                        mask |= bytes[i] == 'x' ? 1U << i / RECORDER_SECTOR : 0;
                }
                masks |= 1U << mask;
        }
        assert_int_equal(masks, 0xff);
        recording_free(recording);
}

/* The last operation is on the disk, and what was done before it and not synced is not. */
static void test_the_last_overtakes(void **state)
{
        Tape t = record();

        assert_replays(&t, 3, REPLAY_LAST, "abb.", 4);
        assert_replays(&t, 4, REPLAY_LAST, "aacc", 4);
        assert_replays(&t, 5, REPLAY_LAST, "\0a..", 4);
        assert_replays(&t, 6, REPLAY_LAST, "aa.", 3);
        tape_free(&t);
}

/* One replayer on its way shows what a new one shows, whatever it was asked before. */
static void test_replayer_goes_on(void **state)
{
        _cleanup_replayer_ Replayer *p = NULL;
        Tape t = record();

        assert_int_equal(replayer_new(t.recording, &p), 0);
        for (size_t count = 0; count <= recording_get_count(t.recording); count++) {
                assert_int_equal(replayer_advance(p, count), 0);
                for (uint64_t choice = 0; choice < 20; choice++) {
                        _cleanup_store_ Store *one = NULL, *other = NULL;
                        uint64_t size = 0, other_size = 0;
                        char buf[4] = "", other_buf[4] = "";
                        assert_int_equal(recording_replay(t.recording, count, choice, &one), 0);
                        assert_int_equal(replayer_replay(p, choice, 0, &other), 0);
                        assert_int_equal(store_get_size(one, &size), 0);
                        assert_int_equal(store_get_size(other, &other_size), 0);
                        assert_int_equal(size, other_size);
                        assert_int_equal(store_read_padded(one, buf, 4, 0), 0);
                        assert_int_equal(store_read_padded(other, other_buf, 4, 0), 0);
                        assert_memory_equal(buf, other_buf, 4);
                }
        }
        tape_free(&t);
}

static void assert_file_holds(Replayer *p, uint64_t choice, size_t file, const char *text)
{
        _cleanup_store_ Store *s = NULL;
        char buf[4] = "";

        assert_int_equal(replayer_replay(p, choice, file, &s), 0);
        assert_int_equal(store_read(s, buf, 2, 0), 0);
        assert_memory_equal(buf, text, 2);
}

/* The power fails for both files, and a sync makes one of them safe. */
static void test_two_files(void **state)
{
        _cleanup_recording_ Recording *recording = NULL;
        _cleanup_replayer_ Replayer *p = NULL;
        _cleanup_store_ Store *one = NULL, *other = NULL;
        Store *inner = NULL, *third = NULL;

        assert_int_equal(mem_store_new("..", 2, &inner), 0);
        assert_int_equal(recorder_store_new(inner, &recording, &one), 0);
        assert_int_equal(mem_store_new("--", 2, &inner), 0);
        assert_int_equal(recorder_store_add(recording, inner, &other), 0);
        assert_int_equal(mem_store_new("++", 2, &inner), 0);
        assert_int_equal(recorder_store_add(recording, inner, &third), -ENOSPC);
        store_free(inner);

        assert_int_equal(store_write(one, "a", 1, 0), 0);
        assert_int_equal(store_write(other, "b", 1, 0), 0);
        assert_int_equal(store_sync(other), 0);
        assert_int_equal(store_write(other, "c", 1, 1), 0);
        assert_int_equal(recording_count_syncs(recording, 0, 4), 1);
        assert_int_equal(recording_count_syncs(recording, 0, 2), 0);

        assert_int_equal(replayer_new(recording, &p), 0);
        assert_int_equal(replayer_advance(p, 4), 0);
        assert_file_holds(p, REPLAY_ALL, 0, "a.");
        assert_file_holds(p, REPLAY_ALL, 1, "bc");
        assert_file_holds(p, REPLAY_NONE, 0, "..");
        assert_file_holds(p, REPLAY_NONE, 1, "b-");
        assert_file_holds(p, REPLAY_LAST, 0, "..");
        assert_file_holds(p, REPLAY_LAST, 1, "bc");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_any_prefix),
                cmocka_unit_test(test_without_a_sync_all_may_be_lost),
                cmocka_unit_test(test_choices_reach_every_subset),
                cmocka_unit_test(test_writes_tear_between_sectors),
                cmocka_unit_test(test_the_last_overtakes),
                cmocka_unit_test(test_replayer_goes_on),
                cmocka_unit_test(test_two_files),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
