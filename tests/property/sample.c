/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"
#include "sample-luks.h"
#include "sample-vhdx.h"

#include "base/cleanup.h"
#include "base/disk-int.h"
#include "fake/audit.h"
#include "fake/fake.h"
#include "format/formats.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

static int raw_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *bytes = malloc(SAMPLE_SIZE);
        if (!bytes)
                return -ENOMEM;
        for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                bytes[off] = sample_byte(off, 0);
        return mem_store_new(bytes, SAMPLE_SIZE, ret);
}

static int fake_sample_make(const char *name, const char *below, Store **ret)
{
        FakeImage image = { .size = SAMPLE_SIZE,
                            .granule = SAMPLE_GRANULE,
                            .backing = name,
                            .below = below,
                            .layout = "d0.c" };
        return fake_make(&image, ret);
}

/* Version 3 with clusters of 4096 bytes: header, L1, L2, refcount table, refcount block, data, packed data; and then,
 * where there is one, a snapshot's L1 table and the snapshot table. */
enum {
        QCOW2_L1 = 0x1000,
        QCOW2_L2 = 0x2000,
        QCOW2_REFCOUNT_TABLE = 0x3000,
        QCOW2_REFCOUNT_BLOCK = 0x4000,
        QCOW2_DATA = 0x5000,
        QCOW2_PACKED = 0x6000,
        QCOW2_END = 0x7000,
        QCOW2_SNAPSHOT_L1 = 0x7000,
        QCOW2_SNAPSHOT = 0x8000,
        QCOW2_SHARED_END = 0x9000,
        QCOW2_NAME_AT = 0x200,

        /* With extended L2 entries a cluster has 16 KiB: four granules of 8 subclusters. The same order, nothing packed. */
        EXTENDED_CLUSTER = 0x4000,
        EXTENDED_END = 6 * EXTENDED_CLUSTER,
};

static const uint64_t copied = UINT64_C(1) << 63, packed = UINT64_C(1) << 62;

static void put32(uint8_t *image, size_t at, uint32_t value)
{
        be32 raw = to_be32(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void put64(uint8_t *image, size_t at, uint64_t value)
{
        be64 raw = to_be64(value);
        memcpy(image + at, &raw, sizeof(raw));
}

static void qcow2_sample_header(uint8_t *image, const char *name, const char *below)
{
        memcpy(image, "QFI\xfb", 4);
        put32(image, 4, 3);
        put32(image, 20, 12);
        put64(image, 24, SAMPLE_SIZE);
        put32(image, 36, 1);
        put64(image, 40, QCOW2_L1);
        put64(image, 48, QCOW2_REFCOUNT_TABLE);
        put32(image, 56, 1);
        put32(image, 96, 4);
        put32(image, 100, 104);
        if (name) {
                put64(image, 8, QCOW2_NAME_AT);
                put32(image, 16, (uint32_t)strlen(name));
                memcpy(image + QCOW2_NAME_AT, name, strlen(name));
        }
        if (below) {
                put32(image, 104, 0xe2792aca);
                put32(image, 108, (uint32_t)strlen(below));
                memcpy(image + 112, below, strlen(below));
        }
}

static int qcow2_sample_pack(uint8_t *image)
{
        uint8_t plain[SAMPLE_GRANULE];
        z_stream z = { 0 };

        memset(plain, 'D', sizeof(plain));
        if (deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK)
                return -ENOMEM;
        z.next_in = plain;
        z.avail_in = sizeof(plain);
        z.next_out = image + QCOW2_PACKED;
        z.avail_out = QCOW2_END - QCOW2_PACKED;
        int r = deflate(&z, Z_FINISH);
        deflateEnd(&z);
        return r == Z_STREAM_END ? 0 : -EIO;
}

static void put_refcounts(uint8_t *image, size_t block, size_t count)
{
        for (size_t i = 0; i < count; i++)
                image[block + 2 * i + 1] = 1;
}

static int qcow2_sample_fill(uint8_t *image, const char *name, const char *below)
{
        qcow2_sample_header(image, name, below);
        put64(image, QCOW2_L1, QCOW2_L2 | copied);
        put64(image, QCOW2_L2, QCOW2_DATA | copied);
        put64(image, QCOW2_L2 + 8, 1);
        put64(image, QCOW2_L2 + 24, QCOW2_PACKED | packed);
        put64(image, QCOW2_REFCOUNT_TABLE, QCOW2_REFCOUNT_BLOCK);
        put_refcounts(image, QCOW2_REFCOUNT_BLOCK, QCOW2_END / SAMPLE_GRANULE);
        memset(image + QCOW2_DATA, 'A', SAMPLE_GRANULE);
        return qcow2_sample_pack(image);
}

static int qcow2_sample_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, QCOW2_END);
        if (!image)
                return -ENOMEM;
        int r = qcow2_sample_fill(image, name, below);
        return r < 0 ? r : mem_store_new(image, QCOW2_END, ret);
}

/* All that the disk shows is a snapshot's as well: the L2 table, the data, the packed data. */
static int qcow2_shared_make(const char *name, const char *below, Store **ret)
{
        static const size_t twice[] = { QCOW2_L2, QCOW2_DATA, QCOW2_PACKED };
        _cleanup_free_ uint8_t *image = calloc(1, QCOW2_SHARED_END);
        if (!image)
                return -ENOMEM;
        int r = qcow2_sample_fill(image, name, below);
        if (r < 0)
                return r;
        put64(image, QCOW2_L1, QCOW2_L2);
        put64(image, QCOW2_L2, QCOW2_DATA);
        put64(image, QCOW2_SNAPSHOT_L1, QCOW2_L2);
        put32(image, 60, 1);
        put64(image, 64, QCOW2_SNAPSHOT);
        put64(image, QCOW2_SNAPSHOT, QCOW2_SNAPSHOT_L1);
        put32(image, QCOW2_SNAPSHOT + 8, 1);
        put32(image, QCOW2_SNAPSHOT + 12, 1 << 16 | 1);
        put32(image, QCOW2_SNAPSHOT + 36, 16);
        put64(image, QCOW2_SNAPSHOT + 48, SAMPLE_SIZE);
        memcpy(image + QCOW2_SNAPSHOT + 56, "1s", 2);
        put_refcounts(image, QCOW2_REFCOUNT_BLOCK, QCOW2_SHARED_END / SAMPLE_GRANULE);
        for (size_t i = 0; i < sizeof(twice) / sizeof(twice[0]); i++)
                image[QCOW2_REFCOUNT_BLOCK + 2 * (twice[i] / SAMPLE_GRANULE) + 1] = 2;
        return mem_store_new(image, QCOW2_SHARED_END, ret);
}

/* One cluster of all kinds of subclusters: data, zeroes, what is below, data. */
static int qcow2_extended_make(const char *name, const char *below, Store **ret)
{
        _cleanup_free_ uint8_t *image = calloc(1, EXTENDED_END);
        if (!image)
                return -ENOMEM;
        qcow2_sample_header(image, name, below);
        put32(image, 20, 14);
        put64(image, 40, EXTENDED_CLUSTER);
        put64(image, 48, 3 * EXTENDED_CLUSTER);
        put64(image, 72, 1 << 4);
        put64(image, EXTENDED_CLUSTER, 2 * EXTENDED_CLUSTER | copied);
        put64(image, 2 * EXTENDED_CLUSTER, 5 * EXTENDED_CLUSTER | copied);
        put64(image, 2 * EXTENDED_CLUSTER + 8, UINT64_C(0x0000ff00ff0000ff));
        put64(image, 3 * EXTENDED_CLUSTER, 4 * EXTENDED_CLUSTER);
        put_refcounts(image, 4 * EXTENDED_CLUSTER, 6);
        memset(image + 5 * EXTENDED_CLUSTER, 'A', SAMPLE_GRANULE);
        memset(image + 5 * EXTENDED_CLUSTER + 3 * SAMPLE_GRANULE, 'D', SAMPLE_GRANULE);
        return mem_store_new(image, EXTENDED_END, ret);
}

extern const Format format_qcow;
extern const Format format_qed;
extern const Format format_cloop;
extern const Format format_ewf;
extern const Format format_split;
extern const Format format_qcow2;
extern const Format format_vmdk;
extern const Format format_vdi;
extern const Format format_luks;
extern const Format format_vhd;
extern const Format format_bochs;
extern const Format format_vhdx;
extern const Format format_parallels;
extern const Format format_dmg;
extern const Format format_sparseimage;

int qcow_sample_make(const char *name, const char *below, Store **ret);
int qed_sample_make(const char *name, const char *below, Store **ret);

const Sample samples[] = {
        { "raw", &format_raw, true, false, raw_sample_make, NULL },
        { "fake", &format_fake, true, true, fake_sample_make, NULL },
        { "qcow", &format_qcow, true, true, qcow_sample_make, NULL },
        { "qed", &format_qed, true, true, qed_sample_make, NULL },
        { "cloop", &format_cloop, false, false, cloop_sample_make, NULL },
        { "ewf", &format_ewf, false, false, ewf_sample_make, NULL },
        { "split", &format_split, true, false, split_sample_make, NULL },
        { "qcow2", &format_qcow2, true, true, qcow2_sample_make, audit_qcow2 },
        { "qcow2 extended", &format_qcow2, true, true, qcow2_extended_make, audit_qcow2 },
        { "qcow2 shared", &format_qcow2, true, true, qcow2_shared_make, audit_qcow2 },
        { "vmdk", &format_vmdk, true, false, vmdk_sample_make, vmdk_sample_audit },
        { "vmdk tables", &format_vmdk, true, false, vmdk_sample_make_tables, vmdk_sample_audit },
        { "vmdk stream", &format_vmdk, false, false, vmdk_sample_make_stream, NULL },
        { "vdi", &format_vdi, true, false, vdi_sample_make, vdi_sample_audit },
        { "luks", &format_luks, true, false, luks_sample_make, NULL },
        { "qcow2 luks", &format_qcow2, true, true, qcow2_luks_make, audit_qcow2 },
        { "vhd", &format_vhd, true, false, vhd_sample_make, vhd_sample_audit },
        { "vhd partial", &format_vhd, true, false, vhd_partial_make, vhd_sample_audit },
        { "vhd fixed", &format_vhd, true, false, vhd_fixed_make, NULL },
        { "bochs", &format_bochs, false, false, bochs_sample_make, NULL },
        { "vhdx", &format_vhdx, true, false, vhdx_sample_make, NULL },
        { "parallels", &format_parallels, true, false, parallels_sample_make,
          parallels_sample_audit },
        { "parallels old", &format_parallels, true, false, parallels_sample_make_old,
          parallels_sample_audit },
        { "dmg", &format_dmg, false, false, dmg_sample_make, NULL },
        { "sparseimage", &format_sparseimage, false, false, sparseimage_sample_make, NULL },
        { 0 },
};

const Format *const sample_formats[] = {
        &format_fake,        &format_split, &format_qcow, &format_qed,       &format_ewf,
        &format_cloop,       &format_qcow2, &format_vmdk, &format_vdi,       &format_luks,
        &format_vhd,         &format_bochs, &format_vhdx, &format_parallels, &format_dmg,
        &format_sparseimage, NULL,
};

const char *sample_find_missing(void)
{
        for (const Format *const *f = all_formats; *f; f++) {
                const Sample *s = samples;
                while (s->format && s->format != *f)
                        s++;
                if (!s->format)
                        return (*f)->name;
        }
        return NULL;
}
