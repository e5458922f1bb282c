/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/faulty.h"
#include "store/recorder.h"
#include "tests/unit/format/qcow2-damage.h"

/* What is left of the damage after each kind of repair: corruptions, leaks. */
typedef struct Case {
        const char *name;
        Change changes[CHANGES];
        uint64_t after_leaks[2];
        uint64_t after_all[2];
} Case;

static const Case cases[] = {
        { "nothing wrong", { { 0 } }, { 0, 0 }, { 0, 0 } },
        { "a leak", { { L2_AT(1), 8, 0 } }, { 0, 0 }, { 0, 0 } },
        { "a leak, COPIED clear as it has to be",
          { { L2_AT(0), 8, AT_DATA }, { COUNT_AT(4), 2, 2 } },
          { 0, 0 },
          { 0, 0 } },
        { "a refcount too low", { { COUNT_AT(5), 2, 0 } }, { 2, 0 }, { 0, 0 } },
        { "a leak and a refcount too low",
          { { COUNT_AT(5), 2, 0 }, { COUNT_AT(4), 2, 7 } },
          { 2, 0 },
          { 0, 0 } },
        { "COPIED missing", { { L2_AT(0), 8, AT_DATA } }, { 1, 0 }, { 0, 0 } },
        { "COPIED missing in L1", { { AT_L1, 8, AT_L2 } }, { 1, 0 }, { 0, 0 } },
        { "one cluster twice", { { L2_AT(1), 8, AT_DATA | COPIED } }, { 1, 0 }, { 0, 0 } },
        { "data over the refcount table",
          { { L2_AT(0), 8, AT_TABLE | COPIED } },
          { 1, 0 },
          { 0, 0 } },
        { "compressed with COPIED",
          { { L2_AT(1), 8, COPIED | PACKED | (AT_DATA + CS) } },
          { 1, 0 },
          { 0, 0 } },
        { "no block", { { AT_TABLE, 8, 0 } }, { 9, 0 }, { 0, 0 } },
        { "a block past the end", { { AT_TABLE + 8, 8, FAR_AWAY } }, { 1, 0 }, { 0, 0 } },
        { "a block that is data", { { AT_TABLE + 8, 8, AT_DATA } }, { 2, 0 }, { 0, 0 } },
        { "reserved bits in the refcount table",
          { { AT_TABLE, 8, AT_BLOCK | 1 } },
          { 1, 1 },
          { 0, 0 } },
        { "no refcount table", { { IMAGE_REFCOUNT_TABLE_CLUSTERS, 4, 0 } }, { 8, 0 }, { 0, 0 } },
        /* No decision about data is taken. */
        { "reserved bits in L2",
          { { L2_AT(0), 8, AT_DATA | COPIED | 2 }, { COUNT_AT(5), 2, 2 } },
          { 1, 0 },
          { 1, 0 } },
        { "an entry past the end, no block",
          { { L2_AT(2), 8, FAR_AWAY }, { AT_TABLE, 8, 0 } },
          { 10, 0 },
          { 10, 0 } },
        { "an L2 table past the end", { { AT_L1, 8, FAR_AWAY } }, { 1, 3 }, { 1, 3 } },
};

static void read_all(Store *s, uint8_t *disk)
{
        NodeOptions options = { .writable = false };
        _cleanup_cache_ Cache *c = NULL;
        Node *n = NULL;

        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &c), 0);
        options.cache = c;
        memset(disk, 'x', DISK);
        if (node_open(&format_qcow2, s, &options, NULL, &n, NULL) < 0)
                return;
        /* What cannot be read stays as it is. */
        for (uint64_t off = 0; off < DISK; off += CS)
                if (node_read(n, disk + off, CS, off) < 0)
                        memset(disk + off, '?', CS);
        n->store = NULL;
        node_close(n);
}

static bool repair_leaves(const Case *c, CheckRepair repair, const uint64_t *expected)
{
        static Image image;
        uint8_t before[DISK], after[DISK];
        CheckReport report, again;
        Said said;

        sound_image(&image);
        damage(&image, c->changes);
        _cleanup_store_ Store *s = store_of(&image);
        read_all(s, before);
        int r = check_store(s, repair, &report, &said);
        if (r < 0) {
                print_message("%s: %s\n", c->name, report.err.text);
                return false;
        }
        assert_int_equal(check_store(s, CHECK_LOOK, &again, &said), 0);
        read_all(s, after);
        if (again.corruptions != expected[0] || again.leaks != expected[1] ||
            report.corruptions != expected[0] || report.leaks != expected[1]) {
                print_message("%s, repair %d: %" PRIu64 " corruptions, %" PRIu64
                              " leaks are left, first: %s\n",
                              c->name, repair, again.corruptions, again.leaks, said.first);
                return false;
        }
        /* An image that could not be opened before may be now. */
        if (before[0] != 'x' && memcmp(before, after, DISK) != 0) {
                print_message("%s, repair %d: the disk has changed\n", c->name, repair);
                return false;
        }
        return true;
}

static void test_what_a_repair_leaves(void **state)
{
        bool all = true;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                all &= repair_leaves(&cases[i], CHECK_REPAIR_LEAKS, cases[i].after_leaks);
                all &= repair_leaves(&cases[i], CHECK_REPAIR_ALL, cases[i].after_all);
        }
        assert_true(all);
}

/* Clusters that have fewer refcounts than references: those that the next write may give away. */
static uint64_t count_shortages(Store *s)
{
        CheckReport report;
        Said said;

        assert_int_equal(check_store(s, CHECK_LOOK, &report, &said), 0);
        return said.shortages;
}

static uint64_t count_corruptions(Store *s)
{
        CheckReport report;
        Said said;

        assert_int_equal(check_store(s, CHECK_LOOK, &report, &said), 0);
        return report.corruptions;
}

/* Of one interrupted repair: the disk is as it was, no cluster more is in danger, and another repair ends as the first one would have. */
static void check_crash(const Case *c, Recording *recording, size_t count, uint64_t choice)
{
        static Image image;
        uint8_t before[DISK], after[DISK];
        Store *s = NULL;
        CheckReport report;
        Said said;

        sound_image(&image);
        damage(&image, c->changes);
        _cleanup_store_ Store *first = store_of(&image);
        read_all(first, before);
        assert_int_equal(recording_replay(recording, count, choice, &s), 0);
        read_all(s, after);
        if (before[0] != 'x' && memcmp(before, after, DISK) != 0)
                fail_msg("%s: the disk is another after %zu operations", c->name, count);
        if (count_shortages(s) > count_shortages(first))
                fail_msg("%s: more clusters are in danger after %zu operations", c->name, count);
        if (check_store(s, CHECK_REPAIR_ALL, &report, &said) < 0)
                fail_msg("%s: after %zu operations: %s", c->name, count, report.err.text);
        if (report.corruptions != c->after_all[0] || report.leaks != c->after_all[1])
                fail_msg("%s: %" PRIu64 " corruptions are left after %zu operations", c->name,
                         report.corruptions, count);
        read_all(s, after);
        if (before[0] != 'x')
                assert_memory_equal(before, after, DISK);
        store_free(s);
}

static void test_a_repair_can_be_interrupted(void **state)
{
        static Image image;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_recording_ Recording *recording = NULL;
                CheckReport report;
                Store *s = NULL;
                Said said;

                sound_image(&image);
                damage(&image, cases[i].changes);
                assert_int_equal(recorder_store_new(store_of(&image), &recording, &s), 0);
                assert_int_equal(check_store(s, CHECK_REPAIR_ALL, &report, &said), 0);
                size_t count = recording_get_count(recording);
                for (size_t k = 0; k <= count; k++)
                        for (uint64_t choice = 0; choice < 8; choice++)
                                check_crash(&cases[i], recording, k,
                                            choice < 3 ? choice : choice + 16 * k);
                store_free(s);
        }
}

/* Refcounts may be too high for a moment, never too low for what is used; here, where only leaks were, nothing is ever
 * wrong. */
static void test_leaks_stay_leaks(void **state)
{
        static Image image;
        _cleanup_recording_ Recording *recording = NULL;
        CheckReport report;
        Store *s = NULL;
        Said said;

        sound_image(&image);
        damage(&image, (const Change[CHANGES]){ { L2_AT(1), 8, 0 }, { COUNT_AT(2), 2, 3 } });
        assert_int_equal(recorder_store_new(store_of(&image), &recording, &s), 0);
        assert_int_equal(check_store(s, CHECK_REPAIR_LEAKS, &report, &said), 0);
        assert_int_equal(report.leaks_fixed, 2);
        for (size_t k = 0; k <= recording_get_count(recording); k++)
                for (uint64_t choice = 0; choice < 8; choice++) {
                        Store *crashed = NULL;
                        assert_int_equal(recording_replay(recording, k, choice, &crashed), 0);
                        assert_int_equal(count_corruptions(crashed), 0);
                        store_free(crashed);
                }
        store_free(s);
}

/* Each failure is told, the disk stays, and the repair can be run again. */
static void test_no_error_is_lost(void **state)
{
        static Image image;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                bool passed = false;
                for (uint64_t at = 1; !passed; at++) {
                        FaultPlan plan = { .fail_at = at, .code = EIO };
                        CheckReport report = { .repair = CHECK_REPAIR_ALL };
                        Store *inner = NULL, *s = NULL;
                        Said said;

                        sound_image(&image);
                        damage(&image, cases[i].changes);
                        inner = store_of(&image);
                        assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
                        int r = check_store(s, CHECK_REPAIR_ALL, &report, &said);
                        passed = atomic_load(&plan.count) < at;
                        if (r != (passed ? 0 : -EIO))
                                fail_msg("%s: %d when operation %" PRIu64 " fails", cases[i].name,
                                         r, at);
                        atomic_store(&plan.fail_at, 0);
                        assert_int_equal(check_store(s, CHECK_REPAIR_ALL, &report, &said), 0);
                        assert_int_equal(report.corruptions, cases[i].after_all[0]);
                        store_free(s);
                }
        }
}

static void test_flags(void **state)
{
        static const struct {
                uint64_t entry; /* of guest cluster 0 */
                CheckRepair repair;
                uint64_t features, after;
        } flags[] = {
                { AT_DATA | COPIED, CHECK_LOOK, 3, 3 },
                { AT_DATA | COPIED, CHECK_REPAIR_LEAKS, 3, 0 },
                { AT_DATA | COPIED, CHECK_REPAIR_ALL, 3, 0 },
                { AT_DATA, CHECK_REPAIR_LEAKS, 3, 3 },
                { AT_DATA, CHECK_REPAIR_ALL, 2, 0 },
                { AT_DATA | COPIED | 2, CHECK_REPAIR_ALL, 1, 1 },
        };
        static Image image;

        for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
                CheckReport report;
                uint8_t byte;
                Said said;

                sound_image(&image);
                image_put(&image, IMAGE_INCOMPATIBLE, 8, flags[i].features);
                image_map(&image, 0, flags[i].entry);
                _cleanup_store_ Store *s = store_of(&image);
                assert_int_equal(check_store(s, flags[i].repair, &report, &said), 0);
                assert_int_equal(store_read(s, &byte, 1, IMAGE_INCOMPATIBLE + 7), 0);
                assert_int_equal(byte, flags[i].after);
        }
}

/* Misaligned zero clusters lose their place, which no reader needs; both kinds of entries. */
static void test_zero_clusters_at_impossible_places(void **state)
{
        static Image image;

        for (int extended = 0; extended < 2; extended++) {
                uint64_t cs = extended ? 16384 : 4096;
                CheckReport report;
                Said said;

                image_begin(&image, extended ? 14 : 12, 4 * cs, extended);
                uint64_t entry = (4 * cs + 512) | COPIED;
                if (extended)
                        image_map_extended(&image, 0, entry, 0xffffffff00000000);
                else
                        image_map(&image, 0, entry | ZERO);
                image_count(&image, 5, 4);
                _cleanup_store_ Store *s = store_of(&image);
                assert_int_equal(check_store(s, CHECK_REPAIR_ALL, &report, &said), 0);
                assert_int_equal(report.corruptions + report.leaks, 0);
                assert_int_equal(report.corruptions_fixed, 3);
                uint8_t bytes[16];
                assert_int_equal(store_read(s, bytes, 16, 3 * cs), 0);
                assert_int_equal(bytes[0], 0);
                assert_int_equal(bytes[7], extended ? 0 : 1);
                assert_int_equal(bytes[8], extended ? 0xff : 0);
        }
}

static int open_dirty(const Image *i, Err *err)
{
        NodeOptions options = { .writable = true };
        _cleanup_cache_ Cache *c = NULL;
        _cleanup_node_ Node *n = NULL;
        _cleanup_store_ Store *s = store_of(i);

        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &c), 0);
        options.cache = c;
        int r = node_open(&format_qcow2, s, &options, NULL, &n, err);
        if (r < 0)
                return r;
        assert_true(n->repaired);
        uint8_t byte;
        CheckReport report = { .repair = CHECK_LOOK };
        assert_int_equal(store_read(s, &byte, 1, IMAGE_INCOMPATIBLE + 7), 0);
        assert_int_equal(byte, 0);
        assert_int_equal(node_check(n, &report), 0);
        assert_int_equal(report.corruptions + report.leaks, 0);
        TAKE(s);
        return 0;
}

static void test_a_dirty_image_is_repaired_first(void **state)
{
        static Image image;
        Err err = { "" };

        sound_image(&image);
        image_put(&image, IMAGE_INCOMPATIBLE, 8, 1);
        assert_int_equal(open_dirty(&image, &err), 0);
        image_put(&image, COUNT_AT(5), 2, 0);
        image_put(&image, COUNT_AT(4), 2, 4);
        assert_int_equal(open_dirty(&image, &err), 0);
        image_put(&image, AT_TABLE, 8, 0);
        assert_int_equal(open_dirty(&image, &err), 0);

        image_map(&image, 3, 2);
        assert_int_equal(open_dirty(&image, &err), -EUCLEAN);
        assert_non_null(strstr(err.text, "not closed cleanly, and 1 errors are left"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_a_repair_leaves),
                cmocka_unit_test(test_a_repair_can_be_interrupted),
                cmocka_unit_test(test_leaks_stay_leaks),
                cmocka_unit_test(test_no_error_is_lost),
                cmocka_unit_test(test_flags),
                cmocka_unit_test(test_zero_clusters_at_impossible_places),
                cmocka_unit_test(test_a_dirty_image_is_repaired_first),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
