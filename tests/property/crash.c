/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The power fails after any operation, and of what was not synced any part is lost, down to single sectors. The image
 * opens, what was flushed is there, and each sector holds what it held at the last flush or was told to hold since.
 */
#include "sample.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/limits.h"
#include "block/node.h"
#include "fake/secret.h"
#include "store/recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../unit/fd-count.h"

enum {
        STEPS = 60,
        SECTORS = SAMPLE_SIZE / RECORDER_SECTOR,
        CHOICES = 6,
};

/* What one request did: each of these sectors was to become all `byte`, between two numbers of the recording. */
typedef struct Step {
        uint64_t first, count;
        uint8_t byte;
        bool is_flush;
        size_t began, ended;
} Step;

typedef struct Story {
        const Sample *sample;
        Recording *recording;
        Step steps[STEPS];
} Story;

static Node *open_node(const Sample *sample, Store *s, Cache *c, bool writable)
{
        NodeOptions options = { .writable = writable, .file_name = SAMPLE_FILE_NAME, .cache = c };
        Node *n = NULL;
        Err err = { "" };
        if (node_open(sample->format, s, &options, &fake_key_opener, &n, &err) < 0)
                fail_msg("%s", err.text);
        return n;
}

static uint32_t next_random(uint32_t *x)
{
        *x = *x * 1664525 + 1013904223;
        return *x >> 8;
}

static void step_run(Node *n, Step *step, uint32_t *x)
{
        uint8_t bytes[40 * RECORDER_SECTOR];
        uint32_t what = next_random(x) % 8;

        step->is_flush = what == 0;
        step->first = next_random(x) % (SECTORS - 40);
        step->count = step->is_flush ? 0 : 1 + next_random(x) % (what < 4 ? 39 : 5);
        step->byte = what >= 2 ? (uint8_t)(1 + next_random(x) % 255) : 0;
        memset(bytes, step->byte, sizeof(bytes));

        uint64_t off = step->first * RECORDER_SECTOR;
        size_t len = (size_t)step->count * RECORDER_SECTOR;
        int r = 0;
        if (step->is_flush)
                r = node_flush(n);
        else if (what == 1)
                r = next_random(x) % 2 ? node_discard(n, off, len) : node_zero(n, off, len);
        else
                r = node_write(n, bytes, len, off);
        assert_int_equal(r, 0);
}

static void story_tell(Story *story, const Sample *sample, uint32_t seed)
{
        _cleanup_cache_ Cache *c = NULL;
        Store *inner = NULL, *s = NULL;

        *story = (Story){ .sample = sample };
        assert_int_equal(cache_new(0, &c), 0);
        assert_int_equal(sample->make(NULL, NULL, &inner), 0);
        assert_int_equal(recorder_store_new(inner, &story->recording, &s), 0);
        _cleanup_node_ Node *n = open_node(sample, s, c, true);
        for (size_t i = 0; i < STEPS; i++) {
                story->steps[i].began = recording_get_count(story->recording);
                step_run(n, &story->steps[i], &seed);
                story->steps[i].ended = recording_get_count(story->recording);
        }
}

/* May this sector be all `byte` after a failure at `count`? What counts is the last flush that had returned by then,
 * and every step that had begun. */
static bool sector_may_be(const Story *story, uint64_t sector, uint8_t byte, size_t count)
{
        bool may = sample_byte(sector * RECORDER_SECTOR, 0) == byte;
        uint8_t now = sample_byte(sector * RECORDER_SECTOR, 0);

        for (size_t i = 0; i < STEPS && story->steps[i].began < count; i++) {
                const Step *step = &story->steps[i];
                if (step->is_flush && step->ended <= count)
                        may = byte == now;
                if (sector >= step->first && sector - step->first < step->count) {
                        now = step->byte;
                        may = may || byte == now;
                }
        }
        return may;
}

static void story_check_sector(const Story *story,
                               const uint8_t *bytes,
                               uint64_t sector,
                               size_t count)
{
        for (size_t i = 1; i < RECORDER_SECTOR; i++)
                if (bytes[i] != bytes[0])
                        fail_msg("%s: sector %llu is torn after operation %zu",
                                 story->sample->format->name, (unsigned long long)sector, count);
        if (!sector_may_be(story, sector, bytes[0], count))
                fail_msg("%s: sector %llu may not be %#x after operation %zu",
                         story->sample->format->name, (unsigned long long)sector, bytes[0], count);
}

static void story_check(const Story *story, size_t count, uint64_t choice)
{
        static uint8_t disk[SAMPLE_SIZE];
        _cleanup_cache_ Cache *c = NULL;
        Store *s = NULL;

        assert_int_equal(cache_new(0, &c), 0);
        assert_int_equal(recording_replay(story->recording, count, choice, &s), 0);
        _cleanup_node_ Node *n = open_node(story->sample, s, c, false);
        assert_int_equal(node_get_size(n), SAMPLE_SIZE);
        assert_int_equal(node_read(n, disk, SAMPLE_SIZE, 0), 0);
        for (uint64_t sector = 0; sector < SECTORS; sector++)
                story_check_sector(story, disk + sector * RECORDER_SECTOR, sector, count);
}

static void test_nothing_flushed_is_lost(void **state)
{
        for (const Sample *sample = samples; sample->format; sample++)
                for (uint32_t seed = 1; sample->writable && seed <= 3; seed++) {
                        Story story;
                        story_tell(&story, sample, seed);
                        size_t count = recording_get_count(story.recording);
                        assert_true(count > STEPS / 2);
                        for (size_t i = 0; i <= count; i++)
                                for (uint64_t choice = 0; choice < CHOICES; choice++)
                                        story_check(&story, i,
                                                    choice < 2 ? choice : choice + i * CHOICES);
                        recording_free(story.recording);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_flushed_is_lost),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
