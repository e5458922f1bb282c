/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sync-count FOLDER: counts how often files are synced, for what a guest does and for the flush after it. Each line of
 * the table states how many syncs the order on disk needs, so that nobody adds one unnoticed; they are what a flush
 * costs. The images are folders in FOLDER.
 */
#include "base/cleanup.h"
#include "block/node.h"
#include "disk.h"
#include "store/recorder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
        PATH_LEN = 512,
        WRITE_MAX = 1 << 16,
        K = 1024,
};

typedef enum Act {
        ACT_NOTHING,
        ACT_WRITE,
        ACT_ZERO,
        ACT_DISCARD,
        ACT_RESIZE, /* `off` is the new size */
} Act;

/* `count` requests of `len` bytes, the first at `off`, each `stride` behind the one before. */
typedef struct Step {
        Act act;
        uint64_t off, len, count, stride;
} Step;

typedef struct Case {
        const char *name, *image;
        Step before; /* done and flushed first */
        Step step;
        size_t during, at_flush; /* how many syncs there may be */
} Case;

static const Case cases[] = {
        { "the first flush", "4k", { 0 }, { ACT_NOTHING }, 0, 1 },
        { "nothing at all", "4k", { ACT_WRITE, 0, 512, 1, 0 }, { ACT_NOTHING }, 0, 0 },
        { "16 writes in place", "4k", { 0 }, { ACT_WRITE, 0, 512, 16, 2 * K }, 0, 1 },
        { "16 new clusters", "4k", { 0 }, { ACT_WRITE, 200 * K, 512, 16, 4 * K }, 0, 2 },
        { "a new L2 table", "4k", { 0 }, { ACT_WRITE, 2050 * K, 4 * K, 4, 4 * K }, 0, 2 },
        { "4 packed clusters", "packed-4k", { 0 }, { ACT_WRITE, 32 * K, 512, 4, 4 * K }, 0, 2 },
        { "4 clusters of a snapshot",
          "snapshot-4k",
          { 0 },
          { ACT_WRITE, 64 * K, 512, 4, 4 * K },
          0,
          2 },
        { "4 clusters over a base",
          "base-shorter",
          { 0 },
          { ACT_WRITE, 200 * K, 512, 4, 4 * K },
          0,
          2 },
        { "4 clusters discarded", "4k", { 0 }, { ACT_DISCARD, 0, 16 * K, 1, 0 }, 0, 2 },
        { "4 clusters zeroed", "4k", { 0 }, { ACT_ZERO, 0, 16 * K, 1, 0 }, 0, 1 },
        { "after a discard, in place",
          "4k",
          { ACT_DISCARD, 0, 16 * K, 1, 0 },
          { ACT_WRITE, 20 * K, 512, 4, 4 * K },
          0,
          1 },
        { "a new refcount block", "512-64bit", { 0 }, { ACT_WRITE, 128 * K, 16 * K, 1, 0 }, 0, 3 },
        { "a longer refcount table",
          "512-tables",
          { ACT_RESIZE, 2300 * K },
          { ACT_WRITE, 1700 * K, 50 * K, 10, 50 * K },
          0,
          3 },
        { "a longer disk", "4k", { 0 }, { ACT_RESIZE, 3500 * K }, 0, 2 },
        { "a longer L1 table", "512-tables", { 0 }, { ACT_RESIZE, 2300 * K }, 0, 4 },
        { "a shorter disk", "4k", { 0 }, { ACT_RESIZE, 20 * K }, 0, 3 },
        { "a data file, in place",
          "data-4k",
          { ACT_WRITE, 0, 512, 1, 0 },
          { ACT_WRITE, 0, 512, 16, 2 * K },
          0,
          1 },
        { "a data file, new clusters",
          "data-4k",
          { ACT_WRITE, 0, 512, 1, 0 },
          { ACT_WRITE, 200 * K, 512, 16, 4 * K },
          0,
          2 },
        { "first write with a bitmap", "bitmap", { 0 }, { ACT_WRITE, 0, 512, 1, 0 }, 1, 1 },
        { "second write with a bitmap",
          "bitmap",
          { ACT_WRITE, 0, 512, 1, 0 },
          { ACT_WRITE, 0, 512, 1, 0 },
          0,
          1 },
};

static int step_once(const Step *step, Node *n, uint64_t off)
{
        static const uint8_t bytes[WRITE_MAX] = { 1, 2, 3 };

        switch (step->act) {
        case ACT_NOTHING:
                return 0;
        case ACT_WRITE:
                return node_write(n, bytes, (size_t)step->len, off);
        case ACT_ZERO:
                return node_zero(n, off, step->len);
        case ACT_DISCARD:
                return node_discard(n, off, step->len);
        case ACT_RESIZE:
                return node_resize(n, off);
        }
        return -1;
}

static int step_run(const Step *step, Node *n)
{
        int r = step_once(step, n, step->off);

        for (uint64_t i = 1; i < step->count && r == 0; i++)
                r = step_once(step, n, step->off + i * step->stride);
        return r;
}

static int case_open(const Disk *disk, Recording **ret_recording, OpenDisk *ret, Err *err)
{
        _cleanup_files_ Files inner = { 0 }, files = { 0 };

        int r = files_copy(&disk->files, &inner);
        if (r == 0)
                r = recorder_store_new(inner.image, ret_recording, &files.image);
        if (r < 0)
                return err_set(err, -r, "cannot record: %m");
        TAKE(inner.image);
        if (inner.data) {
                r = recorder_store_add(*ret_recording, inner.data, &files.data);
                if (r < 0)
                        return err_set(err, -r, "cannot record: %m");
                TAKE(inner.data);
        }
        return disk_open(disk, &files, true, ret, err);
}

/* Counts; says so when the numbers are not those of the table. */
static int case_count(const Case *c, Node *n, Recording *recording, Err *err)
{
        int r = step_run(&c->before, n);
        if (r == 0 && c->before.act != ACT_NOTHING)
                r = node_flush(n);
        size_t began = recording_get_count(recording);
        if (r == 0)
                r = step_run(&c->step, n);
        size_t done = recording_get_count(recording);
        if (r == 0)
                r = node_flush(n);
        if (r < 0)
                return err_set(err, -r, "a request failed: %m");

        size_t during = recording_count_syncs(recording, began, done);
        size_t at_flush = recording_count_syncs(recording, done, recording_get_count(recording));
        bool good = during == c->during && at_flush == c->at_flush;
        printf("%-28s %-14s %8zu %8zu", c->name, c->image, during, at_flush);
        if (!good)
                printf("   expected: %zu and %zu", c->during, c->at_flush);
        putchar('\n');
        return good ? 0 : 1;
}

static int case_run(const Case *c, const char *folder, Err *err)
{
        _cleanup_recording_ Recording *recording = NULL;
        _cleanup_open_disk_ OpenDisk o = { 0 };
        char path[PATH_LEN];
        Disk disk = { 0 };

        snprintf(path, sizeof(path), "%s/%s", folder, c->image);
        int r = disk_load(path, "qcow2", &disk, err);
        if (r == 0)
                r = case_open(&disk, &recording, &o, err);
        if (r == 0)
                r = case_count(c, o.node, recording, err);
        open_disk_done(&o);
        disk_done(&disk);
        return r < 0 ? err_prefix(err, r, "%s, %s", c->name, c->image) : r;
}

int main(int argc, char **argv)
{
        int status = 0;

        if (argc != 2) {
                fputs("usage: sync-count FOLDER\n", stderr);
                return 2;
        }
        printf("%-28s %-14s %8s %8s\n", "syncs", "image", "writing", "flush");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Err err = { "" };
                int r = case_run(&cases[i], argv[1], &err);
                if (r < 0)
                        fprintf(stderr, "%s\n", err.text);
                if (r != 0)
                        status = 1;
        }
        return status;
}
