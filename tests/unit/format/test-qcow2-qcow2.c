/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening as a whole: probing, data files, what is refused, and many threads reading one node. */
#include "tests/unit/fd-count.h"
#include "tests/unit/format/qcow2-image.h"

#include "base/cleanup.h"
#include "block/limits.h"
#include "block/opener.h"
#include "block/probe.h"
#include "format/formats.h"
#include "store/mem.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

extern const Format format_qcow2;

/* Gives one store and remembers what it was asked for. */
typedef struct OneFile {
        Opener opener;
        Store *store; /* NULL: the opener refuses */
        char name[64];
        StoreMode mode;
} OneFile;

static int one_file_open(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        OneFile *f = (OneFile *)o;

        snprintf(f->name, sizeof(f->name), "%s", name);
        f->mode = mode;
        if (!f->store)
                return err_set(err, EACCES, "it is not to be opened");
        *ret = TAKE(f->store);
        return 0;
}

static void begin_with_data_file(Image *i, const char *name)
{
        image_begin(i, 9, 2048, false);
        image_put(i, IMAGE_INCOMPATIBLE, 8, 4);
        image_extension(i, 0x44415441, name, (uint32_t)strlen(name));
}

static void test_probe(void **state)
{
        static Image image;
        static const struct {
                uint32_t version;
                int expected;
        } versions[] = { { 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 1 }, { 4, 1 } };

        for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
                Probe p = { .head = image.bytes, .tail = image.bytes, .file_size = IMAGE_LEN };
                image_begin(&image, 9, 2048, false);
                image_put(&image, IMAGE_VERSION, 4, versions[i].version);
                assert_int_equal(format_qcow2.probe(&p), versions[i].expected);
        }
}

static void test_a_corrupt_image_is_not_written_to(void **state)
{
        static Image image;
        _cleanup_store_ Store *s = NULL;
        _cleanup_cache_ Cache *cache = NULL;
        Node *n = NULL;
        Err err;

        image_begin(&image, 9, 2048, false);
        image_put(&image, IMAGE_INCOMPATIBLE, 8, 2);
        assert_int_equal(mem_store_new(image.bytes, image.len, &s), 0);
        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &cache), 0);
        NodeOptions options = { .writable = true, .cache = cache };
        assert_int_equal(node_open(&format_qcow2, s, &options, NULL, &n, &err), -EUCLEAN);
        assert_string_equal(err.text, "qcow2: the image is marked as corrupt: it can be opened "
                                      "read-only, or repaired with 'rawview check -r all'");
        assert_null(n);
        options.writable = false;
        assert_int_equal(node_open(&format_qcow2, s, &options, NULL, &n, &err), 0);
        s = NULL;
        node_close(n);
}

static void test_data_file(void **state)
{
        static Image image;
        static uint8_t data[2048];
        OneFile file = { .opener.open = one_file_open };
        uint8_t got[2048], expected[2048] = { 0 };
        Opened o;

        memset(data, 0x11, 512);
        memset(data + 512, 0x22, 512);
        memset(data + 1024, 0x33, 512);
        memcpy(expected, data, 512);
        memcpy(expected + 1024, data + 1024, 512);
        begin_with_data_file(&image, "file:d.raw");
        /* The first cluster lies at 0, where without a data file nothing can lie. */
        image_map(&image, 0, IMAGE_COPIED);
        image_map(&image, 1, 0x8000000000000201);
        image_map(&image, 2, IMAGE_COPIED | 1024);
        assert_int_equal(mem_store_new(data, 1536, &file.store), 0);
        image_open(&image, NULL, &file.opener, &o);
        assert_int_equal(o.r, 0);
        assert_string_equal(file.name, "d.raw");
        assert_int_equal(file.mode, STORE_READ_ONLY);
        assert_int_equal(node_read(o.node, got, 2048, 0), 0);
        assert_memory_equal(got, expected, 2048);
        image_close(&o);
}

static void test_damage_with_a_data_file(void **state)
{
        static const struct {
                const char *name;
                uint64_t entry; /* of guest cluster 1 */
                int r;
        } cases[] = {
                { "at its place", IMAGE_COPIED | 512, 0 },
                { "not COPIED", 512, 0 },
                { "elsewhere", IMAGE_COPIED | 1024, -EIO },
                { "at 0", IMAGE_COPIED, -EIO },
                { "nowhere", 0, 0 },
                { "zero", 1, 0 },
                { "zero elsewhere", 1024 | 1, -EIO },
                { "compressed", IMAGE_COMPRESSED | 512, -EIO },
        };
        static Image image;
        uint8_t got[512];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                OneFile file = { .opener.open = one_file_open };
                Opened o;

                begin_with_data_file(&image, "d.raw");
                image_map(&image, 1, cases[i].entry);
                assert_int_equal(mem_store_new(NULL, 2048, &file.store), 0);
                image_open(&image, NULL, &file.opener, &o);
                assert_int_equal(o.r, 0);
                int r = node_read(o.node, got, 512, 512);
                if (r != cases[i].r)
                        print_message("%s: %d\n", cases[i].name, r);
                assert_int_equal(r, cases[i].r);
                image_close(&o);
        }
}

static void test_data_file_that_cannot_be_had(void **state)
{
        static Image image;
        OneFile file = { .opener.open = one_file_open };
        uint8_t got[512];
        Opened o;

        begin_with_data_file(&image, "d.raw");
        image_map(&image, 0, IMAGE_COPIED);
        image_map(&image, 1, 1);
        image_open(&image, NULL, &file.opener, &o);
        assert_int_equal(o.r, -EACCES);
        assert_string_equal(o.err.text, "qcow2: data file 'd.raw': it is not to be opened");
        image_close(&o);

        /* Nothing may be opened: the rest can be looked at. */
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        assert_int_equal(node_read(o.node, got, 512, 0), -EIO);
        assert_int_equal(node_read(o.node, got, 512, 512), 0);
        image_close(&o);

        begin_with_data_file(&image, "nbd://host/disk");
        image_open(&image, NULL, &file.opener, &o);
        assert_int_equal(o.r, -EOPNOTSUPP);
        assert_non_null(strstr(o.err.text, "data file 'nbd://host/disk': "));
        image_close(&o);

        begin_with_data_file(&image, "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\","
                                     "\"filename\":\"d\"}}");
        image_open(&image, NULL, &file.opener, &o);
        assert_int_equal(o.r, -EOPNOTSUPP);
        assert_non_null(strstr(o.err.text, "its format can only be raw, not 'qcow2'"));
        image_close(&o);

        begin_with_data_file(&image, "d.raw");
        image_open(&image, "one", &file.opener, &o);
        assert_int_equal(o.r, -EOPNOTSUPP);
        assert_non_null(strstr(o.err.text, "has no snapshots to show"));
        image_close(&o);
}

static void test_data_file_is_the_image_itself(void **state)
{
        static Image image;
        OneFile file = { .opener.open = one_file_open };
        _cleanup_store_ Store *s = NULL;
        _cleanup_cache_ Cache *cache = NULL;
        Node *n = NULL;
        Err err;

        begin_with_data_file(&image, "d.raw");
        assert_int_equal(mem_store_new(image.bytes, image.len, &s), 0);
        assert_int_equal(mem_store_new(image.bytes, image.len, &file.store), 0);
        mem_store_set_inode(s, 7);
        mem_store_set_inode(file.store, 7);
        assert_int_equal(cache_new(LIMIT_CACHE_MIN, &cache), 0);
        NodeOptions options = { .cache = cache };
        assert_int_equal(node_open(&format_qcow2, s, &options, &file.opener, &n, &err), -ELOOP);
        assert_string_equal(err.text, "qcow2: data file 'd.raw': is the image itself");
}

enum {
        THREADS = 4,
        ROUNDS = 300,
        DISK = 256 * 512,
};

typedef struct Reading {
        Node *node;
        const uint8_t *expected;
        unsigned seed;
        atomic_int *wrong;
} Reading;

static void *read_at_random(void *arg)
{
        Reading *reading = arg;
        uint8_t buf[8192];
        uint32_t x = reading->seed;

        for (int i = 0; i < ROUNDS; i++) {
                x = x * 1664525 + 1013904223;
                uint64_t off = (x >> 8) % DISK;
                x = x * 1664525 + 1013904223;
                size_t len = 1 + (x >> 8) % sizeof(buf);
                if (len > DISK - off)
                        len = DISK - off;
                if (node_read(reading->node, buf, len, off) < 0 ||
                    memcmp(buf, reading->expected + off, len) != 0)
                        atomic_fetch_add(reading->wrong, 1);
        }
        return NULL;
}

/* Cluster k of the disk: data, zero, nothing or compressed. */
static void fill_disk(Image *i, uint8_t *expected)
{
        /* A deflate block that is stored as it is: 5 bytes, then the contents. */
        static const uint8_t stored[5] = { 1, 0x00, 0x02, 0xff, 0xfd };

        image_begin(i, 9, DISK, false);
        for (uint64_t k = 0; k < 4; k++)
                image_put(i, 2 * 512 + 8 * k, 8, IMAGE_COPIED | (3 + k) * 512);
        for (uint64_t k = 0; k < DISK / 512; k++) {
                uint64_t pos = 0x8000 + k * 1024;
                bool is_data = k % 4 < 2;

                memset(expected + k * 512, is_data ? (int)(k | 1) : 0, 512);
                if (k % 4 == 0) {
                        image_map(i, k, IMAGE_COPIED | pos);
                        memset(i->bytes + pos, (int)(k | 1), 512);
                } else if (k % 4 == 1) {
                        image_map(i, k, IMAGE_COMPRESSED | UINT64_C(1) << 61 | pos);
                        image_put_bytes(i, pos, stored, sizeof(stored));
                        memset(i->bytes + pos + sizeof(stored), (int)(k | 1), 512);
                } else if (k % 4 == 2) {
                        image_map(i, k, 1);
                }
        }
}

static void test_many_threads_read(void **state)
{
        static Image image;
        static uint8_t expected[DISK];
        pthread_t threads[THREADS];
        Reading readings[THREADS];
        atomic_int wrong = 0;
        Opened o;

        fill_disk(&image, expected);
        image_open(&image, NULL, NULL, &o);
        assert_int_equal(o.r, 0);
        for (unsigned i = 0; i < THREADS; i++) {
                readings[i] = (Reading){ o.node, expected, i, &wrong };
                assert_int_equal(pthread_create(&threads[i], NULL, read_at_random, &readings[i]),
                                 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&wrong), 0);
        image_close(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_probe),
                cmocka_unit_test(test_a_corrupt_image_is_not_written_to),
                cmocka_unit_test(test_data_file),
                cmocka_unit_test(test_damage_with_a_data_file),
                cmocka_unit_test(test_data_file_that_cannot_be_had),
                cmocka_unit_test(test_data_file_is_the_image_itself),
                cmocka_unit_test(test_many_threads_read),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
