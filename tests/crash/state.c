/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/check.h"
#include "block/node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
        /* Places in a qcow2 header of version 3, and what stands there. */
        HEADER_MAGIC = 0x514649fb,
        HEADER_VERSION = 4,
        HEADER_AUTOCLEAR = 88,
        HEADER_LENGTH = 100,
        AUTOCLEAR_BITMAPS = 1 << 0,
        AUTOCLEAR_DATA_FILE_RAW = 1 << 1,
        EXTENSION_BITMAPS = 0x23852875,
        BITMAP_ENTRY = 24,
        BITMAP_IN_USE = 1 << 0,
        BITMAP_AUTO = 1 << 1,

        STATE_WRITES = 5,
        STATE_HEARD = 300,
};

/* Tags of what is written after the failure; no story has so many deeds. */
#define STATE_TAG UINT32_C(0xff00)

/* Numbers in the image; 0 beyond its end. */

static uint32_t image_get32(Store *s, uint64_t pos)
{
        be32 raw = { { 0 } };
        store_read_padded(s, &raw, sizeof(raw), pos);
        return from_be32(raw);
}

static uint64_t image_get64(Store *s, uint64_t pos)
{
        be64 raw = { { 0 } };
        store_read_padded(s, &raw, sizeof(raw), pos);
        return from_be64(raw);
}

static int state_open(State *s, bool writable, OpenDisk *ret, Err *err)
{
        _cleanup_files_ Files copy = { 0 };

        int r = files_copy(&s->files, &copy);
        if (r < 0)
                return err_set(err, -r, "cannot copy the files: %m");
        return disk_open(s->disk, &copy, writable, ret, err);
}

static int state_read(State *s, Node *n, Err *err)
{
        free(TAKE(s->bytes));
        s->size = node_get_size(n);
        s->bytes = malloc((size_t)s->size + 1);
        if (!s->bytes)
                return err_set(err, ENOMEM, "%m");
        int r = node_read(n, s->bytes, (size_t)s->size, 0);
        return r < 0 ? err_set(err, -r, "cannot read the disk: %m") : 0;
}

int state_check_read(State *s, Err *err)
{
        _cleanup_open_disk_ OpenDisk o = { 0 };

        int r = state_open(s, false, &o, err);
        if (r < 0)
                return r;
        r = state_read(s, o.node, err);
        if (r < 0)
                return r;
        return story_check(s->story, s->bytes, s->size, s->count, err);
}

/* Keeps the first sentence. */
static void state_hear(void *arg, const char *text)
{
        char *heard = arg;

        if (heard[0] == '\0')
                snprintf(heard, STATE_HEARD, "%s", text);
}

int state_check_sound(State *s, Err *err)
{
        _cleanup_open_disk_ OpenDisk o = { 0 };
        char heard[STATE_HEARD] = "";
        CheckReport report = { .repair = CHECK_LOOK, .tell = state_hear, .arg = heard };

        int r = state_open(s, false, &o, err);
        if (r < 0)
                return r;
        if (!o.node->format->check)
                return 0;
        r = node_check(o.node, &report);
        if (r < 0)
                return err_set(err, -r, "cannot check it: %s", report.err.text);
        if (report.corruptions > 0 || report.check_errors > 0)
                return err_set(err, EIO,
                               "%" PRIu64 " corruptions, %" PRIu64 " errors of checking: %s",
                               report.corruptions, report.check_errors, heard);
        return 0;
}

/* Has the guest changed anything that a dirty bitmap should know of? */
static bool state_is_changed(const State *s)
{
        return s->size != s->story->initial_size ||
               memcmp(s->bytes, s->story->initial, (size_t)s->size) != 0;
}

static int state_check_directory(State *s, uint64_t pos, uint32_t count, Err *err)
{
        Store *image = s->files.image;

        for (uint32_t i = 0; i < count; i++) {
                uint32_t flags = image_get32(image, pos + 12);
                uint32_t name_len = image_get32(image, pos + 16) & 0xffff;
                uint32_t extra_len = image_get32(image, pos + 20);
                if ((flags & BITMAP_AUTO) && !(flags & BITMAP_IN_USE) && state_is_changed(s))
                        return err_set(err, EIO,
                                       "bitmap %" PRIu32
                                       " claims to know all changes, and there are others",
                                       i);
                pos += round_up(BITMAP_ENTRY + name_len + extra_len, 8);
        }
        return 0;
}

static int state_check_bitmaps(State *s, Err *err)
{
        Store *image = s->files.image;
        uint64_t pos = image_get32(image, HEADER_LENGTH);

        for (uint32_t type = image_get32(image, pos); type != 0; type = image_get32(image, pos)) {
                if (type == EXTENSION_BITMAPS)
                        return state_check_directory(s, image_get64(image, pos + 24),
                                                     image_get32(image, pos + 8), err);
                pos += 8 + round_up(image_get32(image, pos + 4), 8);
        }
        return 0;
}

/* Whoever reads the data file without the tables has to see the same disk. */
static int state_check_raw_data(State *s, Err *err)
{
        uint8_t bytes[STORY_SECTOR];

        for (uint64_t off = 0; off < s->size; off += STORY_SECTOR) {
                int r = store_read_padded(s->files.data, bytes, sizeof(bytes), off);
                if (r < 0)
                        return err_set(err, -r, "cannot read the data file: %m");
                if (memcmp(bytes, s->bytes + off, sizeof(bytes)) != 0)
                        return err_set(err, EIO,
                                       "the data file is not the disk: sector %" PRIu64 " differs",
                                       off / STORY_SECTOR);
        }
        return 0;
}

int state_check_promises(State *s, Err *err)
{
        Store *image = s->files.image;
        int r = 0;

        if (image_get32(image, 0) != HEADER_MAGIC || image_get32(image, HEADER_VERSION) < 3)
                return 0;
        uint64_t autoclear = image_get64(image, HEADER_AUTOCLEAR);
        if (autoclear & AUTOCLEAR_BITMAPS)
                r = state_check_bitmaps(s, err);
        if (r == 0 && s->files.data && (autoclear & AUTOCLEAR_DATA_FILE_RAW))
                r = state_check_raw_data(s, err);
        return r;
}

/* Going on. */

/* Changes the disk and s->bytes alike. */
static int state_write_some(State *s, Node *n, uint32_t *seed, uint32_t tag)
{
        uint64_t sectors = s->size / STORY_SECTOR;
        uint64_t cluster = s->story->plot.cluster / STORY_SECTOR;
        uint64_t first = random_below(seed, sectors);
        uint64_t count = u64_min(1 + random_below(seed, cluster * 2 + 2), sectors - first);
        uint8_t *at = s->bytes + first * STORY_SECTOR;
        uint64_t off = first * STORY_SECTOR, len = count * STORY_SECTOR;

        if (random_below(seed, 3) == 0) {
                memset(at, 0, (size_t)len);
                return random_below(seed, 2) ? node_discard(n, off, len) : node_zero(n, off, len);
        }
        for (uint64_t i = 0; i < count; i++)
                story_fill_sector(at + i * STORY_SECTOR, tag, first + i);
        return node_write(n, at, (size_t)len, off);
}

/* The disk becomes a bit longer, and what it gains is zero. */
static int state_grow(State *s, Node *n)
{
        uint64_t more = s->story->plot.cluster + STORY_SECTOR;
        uint8_t *grown = realloc(s->bytes, (size_t)(s->size + more));

        if (!grown)
                return -ENOMEM;
        memset(grown + s->size, 0, (size_t)more);
        s->bytes = grown;
        s->size += more;
        return node_resize(n, s->size);
}

static int state_go_on(State *s, Node *n, uint32_t seed, Err *err)
{
        int r = 0;

        if (s->story->plot.max_size > 0 && random_below(&seed, 4) == 0)
                r = state_grow(s, n);
        for (uint32_t i = 0; i < STATE_WRITES && r == 0; i++) {
                r = state_write_some(s, n, &seed, STATE_TAG + i);
                if (r == 0 && random_below(&seed, 3) == 0)
                        r = node_flush(n);
        }
        if (r == 0)
                r = node_flush(n);
        return r < 0 ? err_set(err, -r, "a request after the failure failed: %m") : 0;
}

static int state_compare(State *s, Err *err)
{
        _cleanup_open_disk_ OpenDisk o = { 0 };
        _cleanup_free_ uint8_t *expected = TAKE(s->bytes);
        uint64_t size = s->size;

        int r = state_open(s, false, &o, err);
        if (r < 0)
                return r;
        r = state_read(s, o.node, err);
        if (r < 0)
                return r;
        if (s->size != size)
                return err_set(err, EIO, "the disk has %" PRIu64 " bytes, not %" PRIu64, s->size,
                               size);
        for (uint64_t off = 0; off < size; off += STORY_SECTOR)
                if (memcmp(expected + off, s->bytes + off, STORY_SECTOR) != 0)
                        return err_set(err, EIO, "sector %" PRIu64 " is not as it should be",
                                       off / STORY_SECTOR);
        return 0;
}

/* The node owns the stores that it works on; copies of them are what it leaves. */
static int state_keep(State *s, Node *n, Err *err)
{
        Files left = { .image = n->store,
                       .data = s->files.data && n->extra_count > 0 ? n->extra_stores[0] : NULL };
        Files copy = { 0 };

        int r = files_copy(&left, &copy);
        if (r < 0)
                return err_set(err, -r, "cannot copy the files: %m");
        files_done(&s->files);
        s->files = copy;
        return 0;
}

int state_check_goes_on(State *s, uint32_t seed, Err *err)
{
        _cleanup_open_disk_ OpenDisk o = { 0 };

        int r = state_open(s, true, &o, err);
        if (r == 0)
                r = state_go_on(s, o.node, seed, err);
        if (r == 0)
                r = state_keep(s, o.node, err);
        if (r == 0)
                r = state_check_sound(s, err);
        if (r == 0)
                r = state_compare(s, err);
        if (r == 0)
                r = state_check_promises(s, err);
        return r < 0 ? err_prefix(err, r, "written again") : 0;
}

static uint64_t store_hash(Store *s, uint64_t hash)
{
        uint64_t words[512], size = 0;

        store_get_size(s, &size);
        for (uint64_t pos = 0; pos < size; pos += sizeof(words)) {
                store_read_padded(s, words, sizeof(words), pos);
                for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
                        hash ^= hash >> 29;
                }
        }
        return (hash ^ size) * UINT64_C(0xd6e8feb86659fd93);
}

uint64_t state_hash(const State *s)
{
        uint64_t hash = store_hash(s->files.image, 1);

        return s->files.data ? store_hash(s->files.data, hash) : hash;
}

void state_done(State *s)
{
        files_done(&s->files);
        free(TAKE(s->bytes));
}
