/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small images of each format, so that a property can be asked of all of them. All show the same disk of sixteen
 * granules of 4096 bytes: 'A's, zeroes, what is below, 'D's (packed where the format packs), then what is below;
 * zeroes where nothing is.
 */
#pragma once

#include "block/format.h"
#include "store/store.h"

#include <stdbool.h>

enum {
        SAMPLE_GRANULE = 4096,
        SAMPLE_GRANULES = 16,
        SAMPLE_SIZE = SAMPLE_GRANULES * SAMPLE_GRANULE,
};

/* What the files of images are called, for formats to which that matters. */
#define SAMPLE_FILE_NAME "disk.001"

typedef struct Audit Audit;

typedef struct Sample {
        const char *name;
        const Format *format;
        bool writable;
        bool names_below;

        /* A new store with the image; `name` and `below` are the file below and its format, or NULL. */
        int (*make)(const char *name, const char *below, Store **ret);

        /* A second opinion on what the file holds; NULL: there is none. */
        int (*audit)(Store *s, Audit *ret);
} Sample;

/* NULL format at the end. Raw, the tests' own format, and every registered one. */
extern const Sample samples[];

/* For ChainRequest: the registered formats and the tests' own. */
extern const Format *const sample_formats[];

/* sample-NAME.c */
int split_sample_make(const char *name, const char *below, Store **ret);
int ewf_sample_make(const char *name, const char *below, Store **ret);
int cloop_sample_make(const char *name, const char *below, Store **ret);
int dmg_sample_make(const char *name, const char *below, Store **ret);
int sparseimage_sample_make(const char *name, const char *below, Store **ret);
int vmdk_sample_make(const char *name, const char *below, Store **ret);
int vmdk_sample_make_tables(const char *name, const char *below, Store **ret);
int vmdk_sample_make_stream(const char *name, const char *below, Store **ret);
int vdi_sample_make(const char *name, const char *below, Store **ret);
int vdi_sample_audit(Store *s, Audit *ret);
int vmdk_sample_audit(Store *s, Audit *ret);
int vhd_sample_make(const char *name, const char *below, Store **ret);
int vhd_partial_make(const char *name, const char *below, Store **ret);
int vhd_fixed_make(const char *name, const char *below, Store **ret);
int vhd_sample_audit(Store *s, Audit *ret);
int bochs_sample_make(const char *name, const char *below, Store **ret);
int parallels_sample_make(const char *name, const char *below, Store **ret);
int parallels_sample_make_old(const char *name, const char *below, Store **ret);
int parallels_sample_audit(Store *s, Audit *ret);

/* The name of a registered format that has no sample; NULL when all have. */
const char *sample_find_missing(void);

/* What the disk shows at `off` when everything below is `below`. */
static inline uint8_t sample_byte(uint64_t off, uint8_t below)
{
        switch (off / SAMPLE_GRANULE) {
        case 0:
                return 'A';
        case 1:
                return 0;
        case 3:
                return 'D';
        default:
                return below;
        }
}
