/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an image says of itself, gathered by its driver for `rawview info` (keys and values are qemu-img's).
 * A guest may have made it long: adding to it is -EFBIG beyond LIMIT_INFO_COST.
 * An Info belongs to one thread; every text in it is a copy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        INFO_DEPTH_MAX = 8,
};

typedef enum FactKind {
        FACT_TEXT,
        FACT_NUMBER,
        FACT_BOOL,
        FACT_OBJECT, /* up to the FACT_END that belongs to it, facts with keys … */
        FACT_LIST,   /* … or elements, whose keys are empty */
        FACT_END,
} FactKind;

/* One line of "format-specific" (for example compat, "1.1"). */
typedef struct Fact {
        char *key; /* owned; qemu-img's JSON key */
        FactKind kind;
        char *text; /* owned; FACT_TEXT */
        uint64_t number;
        bool truth;
} Fact;

typedef struct SnapshotInfo {
        char *id, *name; /* owned */
        uint64_t vm_state_size;
        uint64_t date_sec;
        uint32_t date_nsec;
        uint64_t vm_clock_nsec;
        bool has_icount;
        uint64_t icount;
        uint64_t disk_size;
} SnapshotInfo;

typedef struct BitmapInfo {
        char *name; /* owned */
        uint64_t granularity;
        bool in_use, automatic;
} BitmapInfo;

/* A file in which a part of the disk lies. */
typedef struct ExtentInfo {
        char *name;   /* owned: as the image names it; NULL: the image's own file */
        char *format; /* owned: what the image says of its kind; "" for nothing */
        uint64_t virtual_size;
        uint64_t cluster_size; /* 0: it has none */
        bool compressed;
} ExtentInfo;

typedef struct Info {
        uint64_t cluster_size; /* 0: the format has none */
        uint64_t cost;         /* about the bytes of memory that showing it takes; block/limits.h */
        bool dirty;            /* qemu-img's dirty-flag */
        bool has_no_dirty;     /* qemu-img has none for this format */
        bool encrypted;
        bool compressed;
        Fact *facts;
        size_t fact_count;
        SnapshotInfo *snapshots;
        size_t snapshot_count;
        BitmapInfo *bitmaps;
        size_t bitmap_count;
        ExtentInfo *extents;
        size_t extent_count;
} Info;

int info_add_text(Info *i, const char *key, const char *text);
int info_add_number(Info *i, const char *key, uint64_t number);
int info_add_bool(Info *i, const char *key, bool truth);

/* What is added from here to info_end belongs to it; `kind` is FACT_OBJECT or FACT_LIST. Not deeper than INFO_DEPTH_MAX. */
int info_begin(Info *i, FactKind kind, const char *key);
int info_end(Info *i);

/* Copies what `s`, `b`, `e` point to. */
int info_add_snapshot(Info *i, const SnapshotInfo *s);
int info_add_bitmap(Info *i, const BitmapInfo *b);
int info_add_extent(Info *i, const ExtentInfo *e);

void info_done(Info *i);
