/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "store/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Clusters of 4096 bytes: header, L1 table, L2 table, and two of data. */
enum {
        QED_L1 = 0x1000,
        QED_L2 = 0x2000,
        QED_A = 0x3000,
        QED_D = 0x4000,
        QED_END = 0x5000,
        QED_NAME_AT = 64,
};

static void put32(uint8_t *image, size_t at, uint32_t value)
{
        le32 raw = to_le32(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void put64(uint8_t *image, size_t at, uint64_t value)
{
        le64 raw = to_le64(value);
        memcpy(image + at, &raw, sizeof(raw));
}

/* QED itself states one format only: others stand in the name. */
static void put_name(uint8_t *image, const char *name, const char *below)
{
        char text[256];
        bool is_raw = below && strcmp(below, "raw") == 0;

        if (is_raw)
                snprintf(text, sizeof(text), "%s", name);
        else
                snprintf(text, sizeof(text), "json:{\"driver\":\"%s\",\"file.filename\":\"%s\"}",
                         below, name);
        put64(image, 16, is_raw ? 5 : 1);
        put32(image, 56, QED_NAME_AT);
        put32(image, 60, (uint32_t)strlen(text));
        memcpy(image + QED_NAME_AT, text, strlen(text));
}

/* Declared by sample.c alone. */
int qed_sample_make(const char *name, const char *below, Store **ret);

int qed_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, QED_END);
        if (!image)
                return -ENOMEM;
        memcpy(image, "QED", 4);
        put32(image, 4, SAMPLE_GRANULE);
        put32(image, 8, 1);
        put32(image, 12, 1);
        put64(image, 40, QED_L1);
        put64(image, 48, SAMPLE_SIZE);
        if (name)
                put_name(image, name, below);
        put64(image, QED_L1, QED_L2);
        put64(image, QED_L2, QED_A);
        put64(image, QED_L2 + 8, 1);
        put64(image, QED_L2 + 24, QED_D);
        memset(image + QED_A, 'A', SAMPLE_GRANULE);
        memset(image + QED_D, 'D', SAMPLE_GRANULE);
        return mem_store_new(image, QED_END, ret);
}
