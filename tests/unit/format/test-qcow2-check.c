/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/faulty.h"
#include "tests/unit/format/qcow2-damage.h"

typedef struct Case {
        const char *name;
        Change changes[CHANGES];
        uint64_t corruptions, leaks;
        const char *words; /* in the first finding */
} Case;

static const Case cases[] = {
        { "nothing wrong", { { 0 } }, 0, 0, "" },
        { "used twice as often as counted",
          { { L2_AT(1), 8, AT_DATA | COPIED }, { COUNT_AT(5), 2, 0 } },
          1,
          0,
          "cluster 4 refcount=1 reference=2" },
        { "used and not counted", { { COUNT_AT(5), 2, 0 } }, 2, 0, "cluster 5 refcount=0" },
        { "counted and not used", { { L2_AT(1), 8, 0 } }, 0, 1, "Leaked cluster 5 refcount=1" },
        { "counted past the end of the file", { { COUNT_AT(9), 2, 1 } }, 0, 0, "" },
        { "no block", { { AT_TABLE, 8, 0 } }, 9, 0, "cluster 0 refcount=0 reference=1" },
        { "a block past the end", { { AT_TABLE + 8, 8, FAR_AWAY } }, 1, 0, "past the end" },
        { "reserved bits of a block's entry", { { AT_TABLE, 8, AT_BLOCK | 1 } }, 1, 1, "reserved" },
        { "one block twice", { { AT_TABLE + 8, 8, AT_BLOCK } }, 2, 0, "2 references instead of 1" },
        { "a block that is data", { { AT_TABLE + 8, 8, AT_DATA } }, 2, 0, "2 references" },
        { "COPIED missing in L2", { { L2_AT(0), 8, AT_DATA } }, 1, 0, "L2 entry at 0x600" },
        { "COPIED missing in L1", { { AT_L1, 8, AT_L2 } }, 1, 0, "L1 entry at 0x400" },
        { "COPIED with a leak", { { COUNT_AT(4), 2, 2 } }, 1, 1, "Leaked cluster 4 refcount=2" },
        { "reserved bits in L1", { { AT_L1, 8, AT_L2 | COPIED | 0x100 } }, 1, 0, "reserved bits" },
        { "reserved bits in L2",
          { { L2_AT(1), 8, (AT_DATA + CS) | COPIED | 2 } },
          1,
          0,
          "reserved" },
        { "reserved bits alone", { { L2_AT(2), 8, 2 } }, 1, 0, "reserved bits" },
        { "the zero bit, version 3", { { L2_AT(0), 8, AT_DATA | COPIED | ZERO } }, 0, 0, "" },
        { "the zero bit, version 2",
          { { L2_AT(2), 8, ZERO }, { IMAGE_VERSION, 4, 2 } },
          1,
          0,
          "version 2" },
        { "data past the end", { { L2_AT(2), 8, FAR_AWAY } }, 1, 0, "past the end of the file" },
        { "data just past the end", { { L2_AT(2), 8, AT_END } }, 1, 0, "past the end of the file" },
        { "an L2 table past the end", { { AT_L1, 8, FAR_AWAY } }, 1, 3, "L2 table at" },
        { "data aimed at the refcount table",
          { { L2_AT(0), 8, AT_TABLE | COPIED } },
          1,
          1,
          "cluster 1 refcount=1 reference=2" },
        { "compressed", { { L2_AT(1), 8, PACKED | (AT_DATA + CS) } }, 0, 0, "" },
        { "compressed, over two clusters",
          { { L2_AT(1), 8, PACKED | (AT_DATA + 256) | UINT64_C(1) << 61 }, { COUNT_AT(4), 2, 2 } },
          1,
          0,
          "COPIED" },
        { "compressed with COPIED",
          { { L2_AT(1), 8, COPIED | PACKED | (AT_DATA + CS) } },
          1,
          0,
          "compressed, with the COPIED bit" },
        { "compressed past the end", { { L2_AT(2), 8, PACKED | FAR_AWAY } }, 1, 0, "past the end" },
        { "dirty and corrupt by its own word", { { IMAGE_INCOMPATIBLE, 8, 3 } }, 0, 0, "" },
        { "no refcount table", { { IMAGE_REFCOUNT_TABLE_CLUSTERS, 4, 0 } }, 8, 0, "refcount=0" },
        { "the refcount table past the end",
          { { IMAGE_REFCOUNT_TABLE_OFFSET, 8, FAR_AWAY } },
          9,
          0,
          "refcount table at" },
};

static bool case_passes(const Image *image, const Case *c)
{
        _cleanup_store_ Store *s = store_of(image);
        CheckReport report;
        Said said;

        assert_int_equal(check_store(s, CHECK_LOOK, &report, &said), 0);
        if (report.corruptions == c->corruptions && report.leaks == c->leaks &&
            strstr(said.first, c->words) && said.count == c->corruptions + c->leaks)
                return true;
        print_message("%s: %" PRIu64 " corruptions, %" PRIu64 " leaks, %" PRIu64
                      " sentences, first: %s\n",
                      c->name, report.corruptions, report.leaks, said.count, said.first);
        return false;
}

static void test_damage_is_found(void **state)
{
        static Image image;
        bool all = true;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                sound_image(&image);
                damage(&image, cases[i].changes);
                all &= case_passes(&image, &cases[i]);
        }
        assert_true(all);
}

/* Clusters of 4 KiB, in which a place can be misaligned: header, refcount table, L1, L2, two of data, block. */
static const Case misaligned[] = {
        { "nothing wrong", { { 0 } }, 0, 0, "" },
        { "block", { { 4096, 8, 6 * 4096 + 512 } }, 10, 0, "not at a multiple" },
        { "L2 table", { { 2 * 4096, 8, (3 * 4096 + 512) | COPIED } }, 2, 0, "L2 table is not" },
        { "data", { { 3 * 4096, 8, (4 * 4096 + 512) | COPIED } }, 2, 0, "data cluster is not" },
        { "zero",
          { { 3 * 4096, 8, (4 * 4096 + 512) | COPIED | ZERO } },
          2,
          0,
          "zero cluster is not" },
        { "data beyond the cluster at the end",
          { { 3 * 4096 + 16, 8, 7 * 4096 + 512 } },
          2,
          0,
          "not at a multiple" },
        { "the refcount table", { { IMAGE_REFCOUNT_TABLE_OFFSET, 8, 4096 + 512 } }, 9, 0, "ERROR" },
};

static void test_misaligned_places(void **state)
{
        static Image image;
        bool all = true;

        for (size_t i = 0; i < sizeof(misaligned) / sizeof(misaligned[0]); i++) {
                image_begin(&image, 12, 65536, false);
                image_map(&image, 0, 4 * 4096 | COPIED);
                image_map(&image, 1, 5 * 4096 | COPIED);
                image_count(&image, 6, 4);
                damage(&image, misaligned[i].changes);
                all &= case_passes(&image, &misaligned[i]);
        }
        assert_true(all);
}

enum {
        BIG = 16384,
        BITS_AT = 3 * BIG + 8,
};

/* Extended entries; guest cluster 0 in host cluster 4, refcounts in 5. */
static const Case extended[] = {
        { "nothing wrong", { { 0 } }, 0, 0, "" },
        { "allocated and zero", { { BITS_AT, 8, 0x200000002 } }, 1, 0, "both allocated and zero" },
        { "a place and nothing in it", { { BITS_AT, 8, 0 } }, 0, 0, "" },
        { "zero without a place", { { BITS_AT + 16, 8, 0x100000000 } }, 0, 0, "" },
        { "allocated without a place", { { BITS_AT + 16, 8, 1 } }, 1, 0, "without a cluster" },
        { "the zero bit", { { 3 * BIG, 8, 4 * BIG | COPIED | ZERO } }, 1, 0, "the zero bit" },
        { "compressed with a bitmap",
          { { 3 * BIG, 8, PACKED | 4 * BIG } },
          1,
          0,
          "with a subcluster bitmap" },
};

static void test_extended_entries(void **state)
{
        static Image image;
        bool all = true;

        for (size_t i = 0; i < sizeof(extended) / sizeof(extended[0]); i++) {
                image_begin(&image, 14, 4 * BIG, true);
                image_map_extended(&image, 0, 4 * BIG | COPIED, 0xffffffff);
                image_count(&image, 5, 4);
                damage(&image, extended[i].changes);
                all &= case_passes(&image, &extended[i]);
        }
        assert_true(all);
}

/* Clusters in the file of the guest's bytes: no refcounts, COPIED always, each at its own place. */
static const Case outside[] = {
        { "nothing wrong", { { 0 } }, 0, 0, "" },
        { "at another place", { { L2_AT(1), 8, 3 * CS | COPIED } }, 1, 0, "can only be at 0x200" },
        { "COPIED missing", { { L2_AT(1), 8, CS } }, 1, 0, "the COPIED bit" },
        { "compressed", { { L2_AT(1), 8, PACKED | CS } }, 1, 0, "with a data file" },
        { "a snapshot",
          { { IMAGE_NB_SNAPSHOTS, 4, 1 }, { IMAGE_SNAPSHOTS_OFFSET, 8, 4 * CS } },
          5,
          0,
          "nb_snapshots 1" },
};

static void test_data_file(void **state)
{
        static Image image;
        bool all = true;

        for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
                image_begin(&image, 9, DISK, false);
                image_put(&image, IMAGE_INCOMPATIBLE, 8, 4);
                image_extension(&image, 0x44415441, "raw", 3);
                image_map(&image, 0, COPIED);
                image_map(&image, 1, CS | COPIED);
                image_count(&image, 4, 4);
                damage(&image, outside[i].changes);
                all &= case_passes(&image, &outside[i]);
        }
        assert_true(all);
}

enum {
        SNAPSHOTS_AT = 7 * CS,
        SNAPSHOT_L1_AT = 8 * CS,
};

/* A snapshot of the state that the disk is in: everything is there twice but the tables of the disk itself. */
static const Case snapshots[] = {
        { "nothing wrong", { { 0 } }, 0, 0, "" },
        { "not counted", { { COUNT_AT(4), 2, 1 } }, 2, 0, "cluster 4 refcount=1 reference=2" },
        { "COPIED of what is shared",
          { { L2_AT(0), 8, AT_DATA | COPIED } },
          1,
          0,
          "refcount of 2" },
        { "COPIED in the snapshot", { { SNAPSHOT_L1_AT, 8, AT_L2 | COPIED } }, 0, 0, "" },
        { "its L1 table misaligned", { { SNAPSHOTS_AT, 8, SNAPSHOT_L1_AT + 8 } }, 1, 4, "its L1" },
        { "its L1 table past the end", { { SNAPSHOTS_AT, 8, FAR_AWAY } }, 1, 4, "L1 table of a" },
        { "its L1 table too large",
          { { SNAPSHOTS_AT + 8, 4, 5 << 20 } },
          1,
          4,
          "entries is larger" },
        { "extra data too short", { { SNAPSHOTS_AT + 36, 4, 8 } }, 1, 0, "extra_data_size 8" },
        { "one more than there are",
          { { IMAGE_NB_SNAPSHOTS, 4, 9 } },
          8,
          0,
          "extra_data_size 0 is less" },
};

static void test_snapshots(void **state)
{
        static Image image;
        bool all = true;

        for (size_t i = 0; i < sizeof(snapshots) / sizeof(snapshots[0]); i++) {
                sound_image(&image);
                image_count(&image, 8, 4);
                image.len = 9 * CS;
                memset(image.bytes + AT_BLOCK, 0, CS);
                image_snapshot(&image, SNAPSHOTS_AT, SNAPSHOT_L1_AT);
                image_put(&image, SNAPSHOT_L1_AT, 8, AT_L2);
                image_put(&image, AT_L1, 8, AT_L2);
                image_map(&image, 0, AT_DATA);
                image_map(&image, 1, AT_DATA + CS);
                image_put(&image, AT_TABLE, 8, AT_BLOCK);
                for (uint64_t k = 0; k < 9; k++)
                        image_put(&image, COUNT_AT(k), 2, k >= 3 && k <= 5 ? 2 : 1);
                damage(&image, snapshots[i].changes);
                all &= case_passes(&image, &snapshots[i]);
        }
        assert_true(all);
}

enum {
        DIRECTORY_AT = 7 * CS,
        BITMAP_TABLE_AT = 8 * CS,
        BITMAP_AT = 9 * CS,
};

static const Case bitmaps[] = {
        { "nothing wrong", { { 0 } }, 0, 0, "" },
        { "stale", { { IMAGE_AUTOCLEAR, 8, 0 } }, 0, 3, "Leaked cluster 7" },
        { "in use", { { DIRECTORY_AT + 12, 4, 1 } }, 0, 0, "" },
        { "unknown flags", { { DIRECTORY_AT + 12, 4, 8 } }, 1, 2, "reserved flags" },
        { "no table", { { DIRECTORY_AT, 8, 0 } }, 1, 2, "the place of its table" },
        { "table past the end", { { DIRECTORY_AT, 8, FAR_AWAY } }, 1, 2, "bitmap table at" },
        { "table without entries", { { DIRECTORY_AT + 8, 4, 0 } }, 1, 2, "the size of its table" },
        { "unknown type", { { DIRECTORY_AT + 16, 1, 2 } }, 1, 2, "its type" },
        { "granularity", { { DIRECTORY_AT + 17, 1, 8 } }, 1, 2, "its granularity" },
        { "no name", { { DIRECTORY_AT + 18, 2, 0 } }, 2, 2, "the length of its name" },
        { "a longer name", { { DIRECTORY_AT + 18, 2, 30 } }, 1, 0, "do not end where" },
        { "reserved bits", { { BITMAP_TABLE_AT, 8, BITMAP_AT | 2 } }, 1, 0, "reserved bits" },
        { "all ones", { { BITMAP_TABLE_AT, 8, 1 } }, 0, 1, "Leaked cluster 9" },
        { "all ones and a cluster", { { BITMAP_TABLE_AT, 8, BITMAP_AT | 1 } }, 1, 0, "reserved" },
        { "cluster past the end", { { BITMAP_TABLE_AT, 8, FAR_AWAY } }, 1, 1, "bitmap cluster at" },
};

static void test_bitmaps(void **state)
{
        static const uint8_t extension[24] = { 0,
                                               0,
                                               0,
                                               1,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               32,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               0,
                                               DIRECTORY_AT >> 8,
                                               0 };
        static Image image;
        bool all = true;

        for (size_t i = 0; i < sizeof(bitmaps) / sizeof(bitmaps[0]); i++) {
                sound_image(&image);
                image_extension(&image, 0x23852875, extension, sizeof(extension));
                image_put(&image, IMAGE_AUTOCLEAR, 8, 1);
                image_put(&image, DIRECTORY_AT, 8, BITMAP_TABLE_AT);
                image_put(&image, DIRECTORY_AT + 8, 4, 1);
                image_put(&image, DIRECTORY_AT + 16, 4, 0x01090002);
                image_put(&image, DIRECTORY_AT + 24, 2, 0x6230);
                image_put(&image, BITMAP_TABLE_AT, 8, BITMAP_AT);
                for (uint64_t k = 7; k < 10; k++)
                        image_put(&image, COUNT_AT(k), 2, 1);
                image.len = 10 * CS;
                damage(&image, bitmaps[i].changes);
                all &= case_passes(&image, &bitmaps[i]);
        }
        assert_true(all);
}

/* Every width of refcounts: right, and one too many where that can be said. */
static void test_widths_of_refcounts(void **state)
{
        static Image image;

        for (unsigned order = 0; order <= 6; order++) {
                CheckReport report;
                Said said;

                image_begin(&image, 9, DISK, false);
                image_map(&image, 0, AT_DATA | COPIED);
                image_map(&image, 1, (AT_DATA + CS) | COPIED);
                image_count(&image, AT_BLOCK / CS, order);
                _cleanup_store_ Store *sound = store_of(&image);
                assert_int_equal(check_store(sound, CHECK_LOOK, &report, &said), 0);
                assert_int_equal(report.corruptions + report.leaks, 0);
                assert_int_equal(report.image_end, AT_END);
                if (order == 0)
                        continue;
                image_set_refcount(&image, 5, 3);
                _cleanup_store_ Store *leaking = store_of(&image);
                assert_int_equal(check_store(leaking, CHECK_LOOK, &report, &said), 0);
                assert_int_equal(report.leaks, 1);
                assert_string_equal(said.first, "Leaked cluster 5 refcount=3 reference=1");
        }
}

static void test_numbers(void **state)
{
        static Image image;
        CheckReport report;
        Said said;

        sound_image(&image);
        /* Apart from the others, one compressed in what is left of a cluster, and a cluster cut off by the end. */
        image_map(&image, 4, AT_END | COPIED);
        image_map(&image, 5, PACKED | (AT_END + CS));
        image_put(&image, COUNT_AT(7), 2, 1);
        image_put(&image, COUNT_AT(8), 2, 1);
        image.len = AT_END + CS + 100;
        _cleanup_store_ Store *s = store_of(&image);
        assert_int_equal(check_store(s, CHECK_LOOK, &report, &said), 0);
        assert_int_equal(report.corruptions + report.leaks, 0);
        assert_int_equal(report.total_clusters, 8);
        assert_int_equal(report.allocated_clusters, 4);
        assert_int_equal(report.fragmented_clusters, 2);
        assert_int_equal(report.compressed_clusters, 1);
        assert_int_equal(report.image_end, AT_END + 2 * CS);
}

/* Whatever cannot be read ends the check, and is told. */
static void test_no_error_of_reading_is_lost(void **state)
{
        static Image image;
        uint64_t last = 0;

        sound_image(&image);
        for (uint64_t at = 1; last == 0; at++) {
                FaultPlan plan = { .fail_at = at, .code = EIO };
                Store *inner = store_of(&image), *s = NULL;
                CheckReport report = { .corruptions = 0 };
                Said said;

                assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
                int r = check_store(s, CHECK_LOOK, &report, &said);
                bool failed = atomic_load(&plan.count) >= at;
                assert_int_equal(r, failed ? -EIO : 0);
                if (failed && report.check_errors)
                        assert_true(strstr(report.err.text, "Input/output error") != NULL);
                assert_int_equal(report.corruptions + report.leaks, 0);
                if (!failed)
                        last = at;
                store_free(s);
        }
        assert_true(last > 8);
}

static void test_nothing_is_written(void **state)
{
        static Image image;
        static uint8_t after[IMAGE_LEN];
        CheckReport report;
        Said said;

        sound_image(&image);
        damage(&image, (const Change[CHANGES]){ { COUNT_AT(4), 2, 9 }, { L2_AT(0), 8, FAR_AWAY } });
        _cleanup_store_ Store *s = store_of(&image);
        assert_int_equal(check_store(s, CHECK_LOOK, &report, &said), 0);
        assert_int_equal(store_read(s, after, image.len, 0), 0);
        assert_memory_equal(after, image.bytes, image.len);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_damage_is_found),
                cmocka_unit_test(test_misaligned_places),
                cmocka_unit_test(test_extended_entries),
                cmocka_unit_test(test_data_file),
                cmocka_unit_test(test_snapshots),
                cmocka_unit_test(test_bitmaps),
                cmocka_unit_test(test_widths_of_refcounts),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_no_error_of_reading_is_lost),
                cmocka_unit_test(test_nothing_is_written),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
