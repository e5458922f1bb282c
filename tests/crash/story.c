/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "story.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "store/slow.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
        /* Threads flush about every so many deeds, and one that does nothing else as often as it can. */
        STORY_FLUSH_EACH = 9,
        STORY_FLUSHER_DEEDS = 12,
        STORY_FLUSHER_WAIT_USEC = 300,
        /* Threads meet where they otherwise hardly ever do. */
        STORY_SLOW_USEC = 60,
};

/* Tags have bits of the seed, so that two stories leave no two equal disks. */
#define STORY_TAG_SEED_SHIFT 16

uint32_t random_below(uint32_t *seed, uint64_t below)
{
        *seed = *seed * 1664525 + 1013904223;
        uint32_t x = *seed;
        x ^= x >> 16;
        x *= 0x45d9f3b;
        x ^= x >> 16;
        return (uint32_t)(x % below);
}

void story_fill_sector(uint8_t *sector, uint32_t tag, uint64_t number)
{
        uint64_t word = (uint64_t)tag << 32 | (number & UINT32_MAX);

        for (size_t i = 0; i < STORY_SECTOR; i += sizeof(word))
                memcpy(sector + i, &word, sizeof(word));
}

static uint32_t deed_tag(const Story *story, const Deed *deed)
{
        return story->plot.seed << STORY_TAG_SEED_SHIFT | (uint32_t)(deed - story->deeds + 1);
}

/* Doing. */

static int deed_write(const Story *story, Node *n, const Deed *deed)
{
        _cleanup_free_ uint8_t *buf = malloc((size_t)deed->count * STORY_SECTOR);
        if (!buf)
                return -ENOMEM;
        for (uint64_t i = 0; i < deed->count; i++)
                story_fill_sector(buf + i * STORY_SECTOR, deed_tag(story, deed), deed->first + i);
        return node_write(n, buf, (size_t)deed->count * STORY_SECTOR, deed->first * STORY_SECTOR);
}

static int deed_run(const Story *story, Node *n, const Deed *deed)
{
        switch (deed->kind) {
        case DEED_WRITE:
                return deed_write(story, n, deed);
        case DEED_ZERO:
                return node_zero(n, deed->first * STORY_SECTOR, deed->count * STORY_SECTOR);
        case DEED_DISCARD:
                return node_discard(n, deed->first * STORY_SECTOR, deed->count * STORY_SECTOR);
        case DEED_RESIZE:
                return node_resize(n, deed->size);
        case DEED_FLUSH:
                return node_flush(n);
        }
        return -EINVAL;
}

static void story_do(Story *story, Node *n, Deed *deed)
{
        int none = 0;

        deed->began_tick = atomic_fetch_add(&story->clock, 1) + 1;
        deed->began = recording_get_count(story->recording);
        int r = deed_run(story, n, deed);
        deed->ended = recording_get_count(story->recording);
        deed->ended_tick = atomic_fetch_add(&story->clock, 1) + 1;
        if (r < 0)
                atomic_compare_exchange_strong(&story->failure, &none, r);
}

/* Choosing. */

/* Half of all lengths are some sectors, the others about one to three clusters. */
static uint64_t plot_choose_len(const Plot *plot, uint32_t *seed)
{
        uint64_t cluster = plot->cluster / STORY_SECTOR;

        if (random_below(seed, 2) == 0)
                return 1 + random_below(seed, 9);
        return 1 + random_below(seed, 3 * cluster + 3);
}

/* Half of all places are near the beginning, where the same clusters are met again. */
static uint64_t plot_choose_first(const Plot *plot, uint64_t sectors, uint32_t *seed)
{
        uint64_t near = u64_min(sectors, 10 * plot->cluster / STORY_SECTOR);

        return random_below(seed, random_below(seed, 2) == 0 ? near : sectors);
}

/* Two thirds of what is zeroed or discarded are whole clusters. */
static void deed_align(const Plot *plot, Deed *deed, uint64_t sectors, uint32_t *seed)
{
        uint64_t cluster = plot->cluster / STORY_SECTOR;

        if (deed->kind == DEED_WRITE || cluster <= 1 || random_below(seed, 3) == 0)
                return;
        deed->first = round_down(deed->first, cluster);
        deed->count = u64_min(round_up(deed->count, cluster), sectors - deed->first);
}

/* Sectors belong to threads by turns, in stretches that are no multiple of a cluster. */
static void deed_limit(const Plot *plot, Deed *deed, size_t thread, uint64_t sectors)
{
        if (plot->thread_count == 1)
                return;
        uint64_t cluster = plot->cluster / STORY_SECTOR;
        uint64_t stretch =
                u64_min(plot->seed % 2 ? 5 : 2 * cluster + 3, sectors / plot->thread_count);
        uint64_t turn = deed->first / (stretch * plot->thread_count);
        uint64_t begin = (turn * plot->thread_count + thread) * stretch;

        if (begin >= sectors)
                begin = thread * stretch;
        deed->first = u64_max(begin, u64_min(deed->first, begin + stretch - 1));
        deed->count = u64_min(deed->count, begin + stretch - deed->first);
}

static void deed_choose_size(const Plot *plot, Deed *deed, uint64_t size, uint32_t *seed)
{
        uint64_t near = 4 * plot->cluster / STORY_SECTOR;
        uint64_t sectors = size / STORY_SECTOR, most = plot->max_size / STORY_SECTOR;

        deed->kind = DEED_RESIZE;
        if (random_below(seed, 3) == 0)
                sectors = 1 + random_below(seed, most);
        else if (random_below(seed, 5) < 3)
                sectors = u64_min(most, sectors + 1 + random_below(seed, near + near / 2));
        else
                sectors -= u64_min(sectors - 1, random_below(seed, near));
        deed->size = sectors * STORY_SECTOR;
        deed->first = u64_min(size, deed->size) / STORY_SECTOR;
        deed->count = u64_max(size, deed->size) / STORY_SECTOR - deed->first;
}

static void deed_choose(const Plot *plot, Deed *deed, size_t thread, uint64_t size, uint32_t *seed)
{
        uint64_t sectors = size / STORY_SECTOR;
        uint32_t what = random_below(seed, 100);

        if (random_below(seed, STORY_FLUSH_EACH) == 0) {
                deed->kind = DEED_FLUSH;
                return;
        }
        if (plot->max_size > 0 && random_below(seed, 10) == 0) {
                deed_choose_size(plot, deed, size, seed);
                return;
        }
        deed->kind = what < 70 ? DEED_WRITE : what < 80 ? DEED_ZERO : DEED_DISCARD;
        deed->first = plot_choose_first(plot, sectors, seed);
        deed->count = u64_min(plot_choose_len(plot, seed), sectors - deed->first);
        deed_align(plot, deed, sectors, seed);
        deed_limit(plot, deed, thread, sectors);
        deed->count = u64_min(deed->count, sectors - deed->first);
}

/* Threads. */

typedef struct Teller {
        Story *story;
        Node *node;
        size_t thread;
        Deed *deeds;
        size_t deed_count;
        pthread_t id;
} Teller;

static void *teller_run(void *arg)
{
        Teller *t = arg;
        const Plot *plot = &t->story->plot;
        uint32_t seed = plot->seed * 31 + (uint32_t)t->thread;
        uint64_t size = t->story->initial_size;

        for (size_t i = 0; i < t->deed_count && atomic_load(&t->story->failure) == 0; i++) {
                Deed *deed = &t->deeds[i];
                deed_choose(plot, deed, t->thread, size, &seed);
                story_do(t->story, t->node, deed);
                if (deed->kind == DEED_RESIZE)
                        size = deed->size;
        }
        return NULL;
}

static void *flusher_run(void *arg)
{
        Teller *t = arg;

        for (size_t i = 0; i < t->deed_count && atomic_load(&t->story->failure) == 0; i++) {
                t->deeds[i].kind = DEED_FLUSH;
                usleep(STORY_FLUSHER_WAIT_USEC);
                story_do(t->story, t->node, &t->deeds[i]);
        }
        return NULL;
}

static void story_run(Story *story, Node *n)
{
        size_t count = story->plot.thread_count;
        size_t each = story->plot.deed_count / count;
        Teller tellers[STORY_THREADS + 1];

        for (size_t i = 0; i <= count; i++)
                tellers[i] = (Teller){ .story = story,
                                       .node = n,
                                       .thread = i,
                                       .deeds = story->deeds + i * each,
                                       .deed_count = i < count ? each : STORY_FLUSHER_DEEDS };
        if (count == 1) {
                teller_run(&tellers[0]);
                story->deed_count = each;
                return;
        }
        for (size_t i = 0; i <= count; i++) {
                int r = pthread_create(&tellers[i].id, NULL, i < count ? teller_run : flusher_run,
                                       &tellers[i]);
                if (r != 0)
                        abort();
        }
        for (size_t i = 0; i <= count; i++)
                pthread_join(tellers[i].id, NULL);
        story->deed_count = count * each + STORY_FLUSHER_DEEDS;
}

/* Which deeds speak of each sector, in their order. */
static int story_make_index(Story *story)
{
        story->sectors = story->initial_size / STORY_SECTOR;
        for (size_t i = 0; i < story->deed_count; i++)
                story->sectors =
                        u64_max(story->sectors, story->deeds[i].first + story->deeds[i].count);

        story->start = calloc((size_t)story->sectors + 2, sizeof(*story->start));
        if (!story->start)
                return -ENOMEM;
        uint32_t *fill = story->start + 1;
        for (size_t i = 0; i < story->deed_count; i++)
                for (uint64_t k = 0; k < story->deeds[i].count; k++)
                        fill[story->deeds[i].first + k + 1]++;
        for (uint64_t s = 0; s < story->sectors; s++)
                fill[s + 1] += fill[s];
        story->index = calloc(fill[story->sectors] + 1, sizeof(*story->index));
        if (!story->index)
                return -ENOMEM;
        /* Moves each beginning to its end, which is where the next one begins. */
        for (size_t i = 0; i < story->deed_count; i++)
                for (uint64_t k = 0; k < story->deeds[i].count; k++)
                        story->index[fill[story->deeds[i].first + k]++] = (uint32_t)i;
        return 0;
}

/* Takes what `s` points to in any case, and gives it a slower one. */
static int story_slow_down(Store **s)
{
        _cleanup_store_ Store *inner = TAKE(*s);

        int r = slow_store_new(inner, STORY_SLOW_USEC, s);
        if (r == 0)
                TAKE(inner);
        return r;
}

static int story_open(Story *story, const Disk *disk, OpenDisk *ret, Err *err)
{
        _cleanup_files_ Files inner = { 0 }, files = { 0 };

        int r = files_copy(&disk->files, &inner);
        if (r < 0)
                return err_set(err, -r, "cannot copy the files: %m");
        r = recorder_store_new(inner.image, &story->recording, &files.image);
        if (r < 0)
                return err_set(err, -r, "cannot record the image: %m");
        TAKE(inner.image);
        if (inner.data) {
                r = recorder_store_add(story->recording, inner.data, &files.data);
                if (r < 0)
                        return err_set(err, -r, "cannot record the data file: %m");
                TAKE(inner.data);
        }
        if (story->plot.thread_count > 1)
                r = story_slow_down(&files.image);
        if (r == 0 && story->plot.thread_count > 1 && files.data)
                r = story_slow_down(&files.data);
        if (r < 0)
                return err_set(err, -r, "cannot slow down: %m");
        return disk_open(disk, &files, true, ret, err);
}

/* Without any failure the disk has to show what the last requests wanted. */
static int story_check_live(Story *story, Node *n, Err *err)
{
        uint64_t size = node_get_size(n);
        _cleanup_free_ uint8_t *bytes = malloc((size_t)size + 1);

        if (!bytes)
                return err_set(err, ENOMEM, "%m");
        int r = node_read(n, bytes, (size_t)size, 0);
        if (r < 0)
                return err_set(err, -r, "cannot read the disk: %m");
        r = story_check(story, bytes, size, STORY_END, err);
        return r < 0 ? err_prefix(err, r, "without a power failure") : 0;
}

int story_tell(Story *story, const Disk *disk, const Plot *plot, Err *err)
{
        _cleanup_open_disk_ OpenDisk o = { 0 };

        *story = (Story){ .plot = *plot };
        int r = story_open(story, disk, &o, err);
        if (r < 0)
                return r;
        story->initial_size = node_get_size(o.node);
        story->initial = malloc((size_t)story->initial_size + 1);
        story->deeds = calloc(plot->deed_count + STORY_FLUSHER_DEEDS, sizeof(*story->deeds));
        if (!story->initial || !story->deeds)
                return err_set(err, ENOMEM, "%m");
        r = node_read(o.node, story->initial, (size_t)story->initial_size, 0);
        if (r < 0)
                return err_set(err, -r, "cannot read the disk: %m");
        story_run(story, o.node);
        r = atomic_load(&story->failure);
        if (r < 0)
                return err_set(err, -r, "a request failed: %m");
        r = story_make_index(story);
        if (r < 0)
                return err_set(err, -r, "%m");
        return story_check_live(story, o.node, err);
}

void story_done(Story *story)
{
        recording_free(story->recording);
        free(story->initial);
        free(story->deeds);
        free(story->index);
        free(story->start);
        *story = (Story){ 0 };
}

/* Asking. */

/* All that ended before this tick was made safe by a flush that had returned. */
static unsigned story_find_safe(const Story *story, size_t count)
{
        unsigned tick = count == STORY_END ? UINT_MAX : 0;

        for (size_t i = 0; i < story->deed_count; i++) {
                const Deed *deed = &story->deeds[i];
                if (deed->kind == DEED_FLUSH && deed->ended <= count && deed->began_tick > tick)
                        tick = deed->began_tick;
        }
        return tick;
}

static bool story_size_may_be(const Story *story, uint64_t size, size_t count, unsigned safe)
{
        bool may = size == story->initial_size;

        for (size_t i = 0; i < story->deed_count && story->deeds[i].began < count; i++) {
                const Deed *deed = &story->deeds[i];
                if (deed->kind != DEED_RESIZE)
                        continue;
                if (deed->ended_tick < safe)
                        may = false;
                may = may || size == deed->size;
        }
        return may;
}

static bool sector_is_zero(const uint8_t *bytes)
{
        return bytes[0] == 0 && memcmp(bytes, bytes + 1, STORY_SECTOR - 1) == 0;
}

static bool deed_left(const Story *story, const Deed *deed, const uint8_t *bytes, uint64_t sector)
{
        uint8_t expected[STORY_SECTOR];

        if (deed->kind != DEED_WRITE)
                return sector_is_zero(bytes);
        story_fill_sector(expected, deed_tag(story, deed), sector);
        return memcmp(bytes, expected, STORY_SECTOR) == 0;
}

static bool initial_left(const Story *story, const uint8_t *bytes, uint64_t sector)
{
        uint64_t off = sector * STORY_SECTOR;

        if (off >= story->initial_size)
                return sector_is_zero(bytes);
        return memcmp(bytes, story->initial + off, STORY_SECTOR) == 0;
}

static bool story_sector_may_be(
        const Story *story, const uint8_t *bytes, uint64_t sector, size_t count, unsigned safe)
{
        bool may = initial_left(story, bytes, sector);

        for (uint32_t i = story->start[sector]; i < story->start[sector + 1]; i++) {
                const Deed *deed = &story->deeds[story->index[i]];
                if (deed->began >= count)
                        break;
                if (deed->ended_tick < safe)
                        may = false;
                may = may || deed_left(story, deed, bytes, sector);
        }
        return may;
}

/* For a sector that it may not be. */
static int story_complain(
        const Story *story, const uint8_t *bytes, uint64_t sector, unsigned safe, Err *err)
{
        uint64_t word = 0;
        char deeds[256] = "";
        size_t len = 0;

        memcpy(&word, bytes, sizeof(word));
        for (uint32_t i = story->start[sector]; i < story->start[sector + 1]; i++) {
                const Deed *deed = &story->deeds[story->index[i]];
                len += (size_t)snprintf(deeds + len, sizeof(deeds) - len, " %u:%c[%zu,%zu)%s",
                                        story->index[i] + 1, "WZDRF"[deed->kind], deed -> began,
                                        deed -> ended, deed -> ended_tick < safe ? "safe" : "");
                if (len >= sizeof(deeds) - 1)
                        break;
        }
        return err_set(err, EIO, "sector %" PRIu64 " is%s %s (deed %u of sector %u?); its deeds:%s",
                       sector, memcmp(bytes, bytes + 8, STORY_SECTOR - 8) == 0 ? "" : " torn and",
                       sector_is_zero(bytes) ? "zero" : "what it may not be",
                       (unsigned)(word >> 32) & 0xffff, (unsigned)word, deeds);
}

int story_check(const Story *story, const uint8_t *bytes, uint64_t size, size_t count, Err *err)
{
        unsigned safe = story_find_safe(story, count);

        if (!story_size_may_be(story, size, count, safe))
                return err_set(err, EIO, "the disk may not have %" PRIu64 " bytes", size);
        for (uint64_t sector = 0; sector < size / STORY_SECTOR; sector++) {
                const uint8_t *at = bytes + sector * STORY_SECTOR;
                if (!story_sector_may_be(story, at, sector, count, safe))
                        return story_complain(story, at, sector, safe, err);
        }
        return 0;
}
