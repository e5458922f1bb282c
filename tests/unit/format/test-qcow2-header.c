/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
        PATCHES = 4,
};

typedef struct Patch {
        uint64_t pos;
        unsigned width; /* 0 ends the list */
        uint64_t value;
} Patch;

typedef struct Case {
        const char *name;
        Patch patch[PATCHES];
        int r;
        const char *words; /* that the text holds */
        size_t len;        /* of the file; 0: whole */
} Case;

/* All start from a sound image: 512-byte clusters, a disk of 32 KiB, which takes one L2 table. */
static const Case cases[] = {
        { "sound", { { 0 } } },
        { "version 2", { { IMAGE_VERSION, 4, 2 } } },
        { "other magic", { { 3, 1, 0xfa } }, -EBADMSG, "does not begin with \"QFI" },
        { "version 1", { { IMAGE_VERSION, 4, 1 } }, -EOPNOTSUPP, "version 1 " },
        { "version 4", { { IMAGE_VERSION, 4, 4 } }, -EOPNOTSUPP, "version 4 " },
        { "empty file", { { 0 } }, -ENODATA, "ends within the header", 1 },
        { "71 bytes", { { IMAGE_VERSION, 4, 2 } }, -ENODATA, "ends within the header", 71 },
        { "103 bytes", { { 0 } }, -ENODATA, "ends within the header", 103 },
        { "111 bytes", { { 0 } }, -ENODATA, "refcount_table_offset 512 is past", 111 },
        { "104 bytes of 112", { { 0 } }, -ENODATA, "ends within the header", 104 },

        { "cluster_bits 8", { { IMAGE_CLUSTER_BITS, 4, 8 } }, -EBADMSG, "cluster_bits 8 is not" },
        { "cluster_bits 22", { { IMAGE_CLUSTER_BITS, 4, 22 } }, -EBADMSG, "cluster_bits 22 is" },
        { "cluster_bits 2^32-1",
          { { IMAGE_CLUSTER_BITS, 4, UINT32_MAX } },
          -EBADMSG,
          "cluster_bits 4294967295 is" },

        { "header_length 103", { { IMAGE_HEADER_LENGTH, 4, 103 } }, -EBADMSG, "header_length 103" },
        { "header_length 104", { { IMAGE_HEADER_LENGTH, 4, 104 } } },
        { "header_length 512", { { IMAGE_HEADER_LENGTH, 4, 512 } } },
        { "header_length 513", { { IMAGE_HEADER_LENGTH, 4, 513 } }, -EBADMSG, "header_length 513" },
        { "104 leaves compression out",
          { { IMAGE_HEADER_LENGTH, 4, 104 }, { IMAGE_COMPRESSION_TYPE, 1, 5 } } },

        { "refcount_order 0", { { IMAGE_REFCOUNT_ORDER, 4, 0 } } },
        { "refcount_order 6", { { IMAGE_REFCOUNT_ORDER, 4, 6 } } },
        { "refcount_order 7",
          { { IMAGE_REFCOUNT_ORDER, 4, 7 } },
          -EBADMSG,
          "refcount_order 7 is not within 0 to 6" },
        { "crypt_method 1", { { IMAGE_CRYPT_METHOD, 4, 1 } }, -ENOKEY, "passphrase" },
        { "crypt_method 3", { { IMAGE_CRYPT_METHOD, 4, 3 } }, -EBADMSG, "crypt_method 3" },

        { "dirty", { { IMAGE_INCOMPATIBLE, 8, 1 } } },
        { "corrupt", { { IMAGE_INCOMPATIBLE, 8, 2 } } },
        { "unknown bit",
          { { IMAGE_INCOMPATIBLE, 8, 1 << 5 } },
          -EOPNOTSUPP,
          "incompatible bit 5, which rawview does not know" },
        { "unknown bits",
          { { IMAGE_INCOMPATIBLE, 8, UINT64_MAX } },
          -EOPNOTSUPP,
          "bit 5, which rawview does not know (and 58 other unknown features)" },
        { "unknown compatible bits", { { IMAGE_COMPATIBLE, 8, UINT64_MAX } } },
        { "unknown autoclear bits", { { IMAGE_AUTOCLEAR, 8, UINT64_MAX } } },
        { "version 2 has no features",
          { { IMAGE_VERSION, 4, 2 },
            { IMAGE_INCOMPATIBLE, 8, 0 },
            { IMAGE_REFCOUNT_ORDER, 4, 0 } } },

        { "compression 1 without its bit",
          { { IMAGE_COMPRESSION_TYPE, 1, 1 } },
          -EBADMSG,
          "compression_type 1 contradicts incompatible bit 3, which is clear" },
        { "the bit without compression",
          { { IMAGE_INCOMPATIBLE, 8, 8 } },
          -EBADMSG,
          "compression_type 0 contradicts incompatible bit 3, which is set" },
        { "compression 1", { { IMAGE_INCOMPATIBLE, 8, 8 }, { IMAGE_COMPRESSION_TYPE, 1, 1 } } },
        { "compression 2",
          { { IMAGE_INCOMPATIBLE, 8, 8 }, { IMAGE_COMPRESSION_TYPE, 1, 2 } },
          -EOPNOTSUPP,
          "compression_type 2 is neither" },
        { "extended L2 in small clusters",
          { { IMAGE_INCOMPATIBLE, 8, 16 } },
          -EBADMSG,
          "cluster_bits 9 is below 14" },
        { "data file without a name",
          { { IMAGE_INCOMPATIBLE, 8, 4 } },
          -EBADMSG,
          "no header extension names the external data file" },

        { "size 0", { { IMAGE_SIZE, 8, 0 }, { IMAGE_L1_SIZE, 4, 0 }, { IMAGE_L1_OFFSET, 8, 1 } } },
        { "size beyond the L1 table",
          { { IMAGE_SIZE, 8, 32769 } },
          -EBADMSG,
          "l1_size 1 is less than the 2 entries" },
        { "size beyond any L1 table",
          { { IMAGE_SIZE, 8, (UINT64_C(1) << 37) + 1 } },
          -EFBIG,
          "needs an L1 table of 4194305 entries" },
        { "size 2^64-1", { { IMAGE_SIZE, 8, UINT64_MAX } }, -EFBIG, "size 18446744073709551615" },
        { "l1_size 0", { { IMAGE_L1_SIZE, 4, 0 } }, -EBADMSG, "l1_size 0 is less" },
        { "l1_size 2^22", { { IMAGE_L1_SIZE, 4, 1 << 22 } } },
        { "l1_size 2^22+1",
          { { IMAGE_L1_SIZE, 4, (1 << 22) + 1 } },
          -EFBIG,
          "l1_size 4194305 is more than 4194304" },
        { "L1 table misaligned",
          { { IMAGE_L1_OFFSET, 8, 1025 } },
          -EBADMSG,
          "l1_table_offset 1025 is not a multiple of the cluster size 512" },
        { "L1 table at 0", { { IMAGE_L1_OFFSET, 8, 0 } }, -EBADMSG, "l1_table_offset 0 is where" },
        { "L1 table at the end of 64 bits",
          { { IMAGE_L1_OFFSET, 8, UINT64_MAX - 511 } },
          -EBADMSG,
          "l1_table_offset 18446744073709551104 leaves no room" },
        { "L1 table past the end",
          { { IMAGE_L1_OFFSET, 8, IMAGE_LEN } },
          -ENODATA,
          "L1 table: position 1048576 is past the end" },

        { "refcount table of nothing",
          { { IMAGE_REFCOUNT_TABLE_CLUSTERS, 4, 0 } },
          -EBADMSG,
          "refcount_table_clusters is 0" },
        { "refcount table of 8 MiB", { { IMAGE_REFCOUNT_TABLE_CLUSTERS, 4, 16384 } } },
        { "refcount table beyond 8 MiB",
          { { IMAGE_REFCOUNT_TABLE_CLUSTERS, 4, 16385 } },
          -EFBIG,
          "refcount_table_clusters 16385 is more than 16384" },
        { "refcount table misaligned",
          { { IMAGE_REFCOUNT_TABLE_OFFSET, 8, 520 } },
          -EBADMSG,
          "refcount_table_offset 520 is not a multiple" },
        { "refcount table past the end",
          { { IMAGE_REFCOUNT_TABLE_OFFSET, 8, IMAGE_LEN } },
          -ENODATA,
          "refcount_table_offset 1048576 is past the end" },

        { "snapshots_offset without snapshots", { { IMAGE_SNAPSHOTS_OFFSET, 8, 77 } } },
        { "65537 snapshots",
          { { IMAGE_NB_SNAPSHOTS, 4, 65537 } },
          -EFBIG,
          "nb_snapshots 65537 is more than 65536" },
        { "snapshot table misaligned",
          { { IMAGE_NB_SNAPSHOTS, 4, 1 }, { IMAGE_SNAPSHOTS_OFFSET, 8, 2049 } },
          -EBADMSG,
          "snapshots_offset 2049 is not a multiple" },
        { "snapshot table past the end",
          { { IMAGE_NB_SNAPSHOTS, 4, 1 }, { IMAGE_SNAPSHOTS_OFFSET, 8, IMAGE_LEN } },
          -ENODATA,
          "snapshots_offset 1048576 is past the end" },
        { "more snapshots than the file can hold",
          { { IMAGE_NB_SNAPSHOTS, 4, 65536 }, { IMAGE_SNAPSHOTS_OFFSET, 8, 4096 } },
          -ENODATA,
          "nb_snapshots 65536: the file ends" },

        { "backing name in the header",
          { { IMAGE_BACKING_OFFSET, 8, 111 }, { IMAGE_BACKING_SIZE, 4, 1 } },
          -EBADMSG,
          "backing_file_offset 111 is not within" },
        { "backing name behind the cluster",
          { { IMAGE_BACKING_OFFSET, 8, 513 } },
          -EBADMSG,
          "backing_file_offset 513 is not within" },
        { "backing name across the cluster's end",
          { { IMAGE_BACKING_OFFSET, 8, 500 }, { IMAGE_BACKING_SIZE, 4, 13 } },
          -EBADMSG,
          "backing_file_size 13 is more than 12" },
        { "backing name and raw data file",
          { { IMAGE_BACKING_OFFSET, 8, 500 },
            { IMAGE_BACKING_SIZE, 4, 1 },
            { IMAGE_INCOMPATIBLE, 8, 4 },
            { IMAGE_AUTOCLEAR, 8, 2 } },
          -EBADMSG,
          "excludes a backing file" },
        { "size of no backing name", { { IMAGE_BACKING_SIZE, 4, UINT32_MAX } } },
};

static void test_each_field_is_checked(void **state)
{
        static Image image;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const Case *c = &cases[i];
                Opened o;

                image_begin(&image, 9, 32768, false);
                for (size_t k = 0; k < PATCHES && c->patch[k].width; k++)
                        image_put(&image, c->patch[k].pos, c->patch[k].width, c->patch[k].value);
                if (c->len)
                        image.len = c->len;
                image_open(&image, NULL, NULL, &o);
                if (o.r != c->r || (c->words && !strstr(o.err.text, c->words)))
                        print_message("%s: %d (expected %d), '%s'\n", c->name, o.r, c->r,
                                      o.err.text);
                assert_int_equal(o.r, c->r);
                if (c->words)
                        assert_non_null(strstr(o.err.text, c->words));
                image_close(&o);
        }
}

static void test_size_is_whole_sectors(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 32768, false);
        image_put(&image, IMAGE_SIZE, 8, 32257);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_int_equal(node_get_size(o.node), 32768);
        image_close(&o);
}

/* Version 2 ends at byte 72: what follows is an extension, not feature bits. */
static void test_version_2_ends_earlier(void **state)
{
        static Image image;
        Opened o;

        image_begin(&image, 9, 32768, false);
        image_put(&image, IMAGE_VERSION, 4, 2);
        image_put(&image, 72, 4, 0x12345678);
        image_put(&image, 76, 4, 300);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        image_close(&o);

        image_put(&image, 76, 4, 500);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, -EBADMSG);
        assert_non_null(strstr(o.err.text, "header extension 0x12345678 at 72: length 500"));
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_field_is_checked),
                cmocka_unit_test(test_size_is_whole_sectors),
                cmocka_unit_test(test_version_2_ends_earlier),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
