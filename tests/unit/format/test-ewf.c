/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/check.h"
#include "block/info.h"
#include "block/limits.h"
#include "block/node.h"
#include "block/opener.h"
#include "codec/md5.h"
#include "format/formats.h"
#include "store/faulty.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include <cmocka.h>

#include "../fd-count.h"

enum {
        CHUNK = 512,
        CHUNKS = 6,
        STORED = CHUNK + 4,
        DESCRIPTOR = 76,
        FILE_MAX = 24 << 20,
};

extern const Format format_ewf;

typedef struct File {
        uint8_t bytes[FILE_MAX];
        size_t len;
        size_t sectors, table, copy, hash; /* where these sections begin */
} File;

static File file;

static void put(uint8_t *to, unsigned width, uint64_t value)
{
        for (unsigned i = 0; i < width; i++)
                to[i] = (uint8_t)(value >> 8 * i);
}

/* Behind `len` bytes, the checksum of them. */
static void seal(uint8_t *bytes, size_t len)
{
        put(bytes + len, 4, adler32_z(1, bytes, len));
}

static void begin(File *f, unsigned number)
{
        memcpy(f->bytes, "EVF\t\r\n\xff\0\1", 9);
        put(f->bytes + 9, 4, number);
        f->len = 13;
}

/* Gives where it begins; its body may be filled in afterwards. */
static size_t add_section(File *f, const char *type, size_t body)
{
        size_t pos = f->len;
        uint8_t *d = f->bytes + pos;
        bool is_last = strcmp(type, "next") == 0 || strcmp(type, "done") == 0;

        memset(d, 0, DESCRIPTOR + body);
        memcpy(d, type, strlen(type));
        f->len += DESCRIPTOR + body;
        put(d + 16, 8, is_last ? pos : f->len);
        put(d + 24, 8, is_last ? 0 : DESCRIPTOR + body);
        seal(d, DESCRIPTOR - 4);
        return pos;
}

static void add_volume(File *f, const char *type, uint64_t chunks)
{
        uint8_t *v = f->bytes + add_section(f, type, 1052) + DESCRIPTOR;

        v[0] = 1;
        put(v + 4, 4, chunks);
        put(v + 8, 4, 1);
        put(v + 12, 4, CHUNK);
        put(v + 16, 8, chunks);
        v[64] = 7;
        seal(v, 1048);
}

static size_t add_table(File *f, const char *type, uint64_t base, const uint32_t *entries, size_t n)
{
        size_t pos = add_section(f, type, 24 + 4 * n + 4);
        uint8_t *t = f->bytes + pos + DESCRIPTOR;

        put(t, 4, n);
        put(t + 8, 8, base);
        seal(t, 20);
        for (size_t i = 0; i < n; i++)
                put(t + 24 + 4 * i, 4, entries[i]);
        seal(t + 24, 4 * n);
        return pos;
}

/* Chunk `i` is full of the letter 'a' + i. */
static void make(File *f)
{
        uint32_t entries[CHUNKS];
        Md5 m;

        begin(f, 1);
        add_volume(f, "volume", CHUNKS);
        f->sectors = add_section(f, "sectors", (size_t)CHUNKS * STORED);
        md5_begin(&m);
        for (size_t i = 0; i < CHUNKS; i++) {
                uint8_t *c = f->bytes + f->sectors + DESCRIPTOR + i * STORED;
                memset(c, (int)('a' + i), CHUNK);
                seal(c, CHUNK);
                md5_add(&m, c, CHUNK);
                entries[i] = (uint32_t)(DESCRIPTOR + i * STORED);
        }
        f->table = add_table(f, "table", f->sectors, entries, CHUNKS);
        f->copy = add_table(f, "table2", f->sectors, entries, CHUNKS);
        f->hash = add_section(f, "hash", 36);
        md5_end(&m, f->bytes + f->hash + DESCRIPTOR);
        seal(f->bytes + f->hash + DESCRIPTOR, 32);
        add_section(f, "done", 0);
}

typedef struct Opened {
        Cache *cache;
        Node *node;
        Err err;
        int r;
} Opened;

/* Takes `s`. */
static Opened open_store(Store *s, const NodeOptions *wanted, Opener *opener)
{
        NodeOptions options = *wanted;
        Opened o = { 0 };

        assert_int_equal(cache_new(0, &o.cache), 0);
        options.cache = o.cache;
        o.r = node_open(&format_ewf, s, &options, opener, &o.node, &o.err);
        if (o.r < 0)
                store_free(s);
        return o;
}

static Opened open_file(const File *f, const NodeOptions *wanted, Opener *opener)
{
        Store *s = NULL;

        assert_int_equal(mem_store_new(f->bytes, f->len, &s), 0);
        return open_store(s, wanted, opener);
}

static void opened_done(Opened *o)
{
        node_close(o->node);
        cache_free(o->cache);
}

static int read_byte(Opened *o, uint64_t off, uint8_t *ret)
{
        return node_read(o->node, ret, 1, off);
}

static void test_what_it_is_not_opened_for(void **state)
{
        static const struct {
                NodeOptions options;
                int code;
                const char *text;
        } cases[] = {
                { { .writable = true },
                  EROFS,
                  "ewf: an E01 is evidence: it can only be opened read-only" },
                { { .snapshot = "1" }, ENOENT, "ewf: snapshot '1': a ewf image has no snapshots" },
        };

        make(&file);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Opened o = open_file(&file, &cases[i].options, NULL);
                assert_int_equal(o.r, -cases[i].code);
                assert_string_equal(o.err.text, cases[i].text);
                opened_done(&o);
        }
}

/* Hands out one segment after the other, of any number, each of which says that another one follows. */
typedef struct Segments {
        Opener opener;
        uint32_t number;
        char last[16];
} Segments;

static int segments_open(
        Opener *opener, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        Segments *s = (Segments *)opener;
        static File next;

        begin(&next, ++s->number);
        add_section(&next, "next", 0);
        snprintf(s->last, sizeof(s->last), "%s", name);
        return mem_store_new(next.bytes, next.len, ret);
}

static void test_there_is_an_end_to_segments(void **state)
{
        static const struct {
                const char *first, *last;
        } cases[] = {
                { "x.E01", "x.FEK" }, { "x.e01", "x.fek" }, { "x.Y01", "x.ZEK" },
                { "x.Z01", "x.ZZZ" }, { "E01", "" },        { "x.001", "" },
                { "x.E02", "" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Segments s = { .opener.open = segments_open, .number = 1 };
                NodeOptions options = { .file_name = cases[i].first };
                begin(&file, 1);
                add_volume(&file, "volume", 0);
                add_section(&file, "next", 0);
                Opened o = open_file(&file, &options, &s.opener);
                assert_int_equal(o.r, cases[i].last[0] ? -EFBIG : -EOPNOTSUPP);
                assert_string_equal(s.last, cases[i].last);
                opened_done(&o);
        }
}

static void test_there_is_no_name(void **state)
{
        Segments s = { .opener.open = segments_open, .number = 1 };

        begin(&file, 1);
        add_volume(&file, "volume", 0);
        add_section(&file, "next", 0);
        Opened o = open_file(&file, &(NodeOptions){ 0 }, &s.opener);
        assert_int_equal(o.r, -EOPNOTSUPP);
        opened_done(&o);
        /* Nobody wants to see more than this file. */
        o = open_file(&file, &(NodeOptions){ 0 }, NULL);
        assert_int_equal(o.r, 0);
        opened_done(&o);
}

static void test_there_is_an_end_to_sections(void **state)
{
        begin(&file, 1);
        add_volume(&file, "volume", 0);
        for (int i = 0; i < LIMIT_EWF_SECTIONS - 2; i++)
                add_section(&file, "header", 0);
        size_t at = file.len;
        add_section(&file, "done", 0);
        Opened o = open_file(&file, &(NodeOptions){ 0 }, NULL);
        assert_int_equal(o.r, 0);
        opened_done(&o);

        file.len = at;
        add_section(&file, "header", 0);
        add_section(&file, "done", 0);
        o = open_file(&file, &(NodeOptions){ 0 }, NULL);
        assert_int_equal(o.r, -EFBIG);
        assert_string_equal(o.err.text, "ewf: there are more than 262144 sections");
        opened_done(&o);
}

static void write_at(int fd, const void *bytes, size_t len, uint64_t pos)
{
        assert_int_equal(pwrite(fd, bytes, len, (off_t)pos), len);
}

/* Beyond 2 GiB bit 31 belongs to the offset: here chunk 1 lies in front of that border and 2 and 3 behind it. A file with
 * holes, whose section of chunks is that long. */
static void test_an_offset_of_32_bits(void **state)
{
        static const uint64_t border = UINT64_C(1) << 31;
        const uint64_t at[] = { 0, border - 2 * STORED, border - STORED + 10, border + 10 };
        const uint64_t pos = 2000, data = pos + DESCRIPTOR;
        uint32_t entries[4];
        uint8_t chunk[STORED], byte = 0;
        Store *s = NULL;
        int fd = memfd_create("ewf", MFD_CLOEXEC);

        assert_true(fd >= 0);
        begin(&file, 1);
        add_volume(&file, "volume", 4);
        size_t filler = add_section(&file, "header", (size_t)pos - file.len - DESCRIPTOR);
        assert_true(filler < pos && file.len == pos);
        write_at(fd, file.bytes, file.len, 0);

        const uint64_t end = data + border + 4 * STORED;
        add_section(&file, "sectors", 0);
        put(file.bytes + pos + 16, 8, end);
        put(file.bytes + pos + 24, 8, end - pos);
        seal(file.bytes + pos, DESCRIPTOR - 4);
        write_at(fd, file.bytes + pos, DESCRIPTOR, pos);
        for (size_t i = 0; i < 4; i++) {
                memset(chunk, (int)('a' + i), CHUNK);
                seal(chunk, CHUNK);
                write_at(fd, chunk, STORED, data + at[i]);
                entries[i] = (uint32_t)at[i];
        }
        begin(&file, 1);
        add_table(&file, "table", data, entries, 4);
        /* Where it lies in the end. */
        put(file.bytes + 13 + 16, 8, end + file.len - 13);
        seal(file.bytes + 13, DESCRIPTOR - 4);
        write_at(fd, file.bytes + 13, file.len - 13, end);

        assert_int_equal(store_open_fd(fd, STORE_READ_ONLY, &s, NULL), 0);
        Opened o = open_store(s, &(NodeOptions){ 0 }, NULL);
        assert_int_equal(o.r, 0);
        for (size_t i = 1; i < 4; i++) {
                assert_int_equal(read_byte(&o, i * CHUNK + 1, &byte), 0);
                assert_int_equal(byte, 'a' + i);
        }
        opened_done(&o);
}

/* What could not be read is read the next time; neither table nor chunk is damaged for good. */
static void test_a_fault_of_the_host(void **state)
{
        bool failed = true;

        make(&file);
        for (uint64_t fault = 1; failed; fault++) {
                FaultPlan plan = { .code = EIO };
                Store *s = NULL, *faulty = NULL;
                uint8_t byte = 0;
                assert_int_equal(mem_store_new(file.bytes, file.len, &s), 0);
                assert_int_equal(faulty_store_new(s, &plan, &faulty), 0);
                Opened o = open_store(faulty, &(NodeOptions){ 0 }, NULL);
                assert_int_equal(o.r, 0);
                atomic_store(&plan.fail_at, atomic_load(&plan.count) + fault);
                int r = read_byte(&o, CHUNK, &byte);
                failed = r == -EIO;
                assert_true(failed || r == 0);
                assert_int_equal(read_byte(&o, CHUNK, &byte), 0);
                assert_int_equal(byte, 'b');
                opened_done(&o);
        }
}

typedef struct Told {
        char text[2048];
} Told;

static void hear(void *arg, const char *text)
{
        Told *t = arg;

        strncat(t->text, text, sizeof(t->text) - strlen(t->text) - 2);
        strcat(t->text, "\n");
}

static void check_says(uint64_t corruptions, const char *text)
{
        Opened o = open_file(&file, &(NodeOptions){ .for_check = true }, NULL);
        Told told = { "" };
        CheckReport report = { .tell = hear, .arg = &told };

        assert_int_equal(o.r, 0);
        assert_int_equal(node_check(o.node, &report), 0);
        assert_string_equal(told.text, text);
        assert_int_equal(report.corruptions, corruptions);
        assert_int_equal(report.total_clusters, CHUNKS);
        opened_done(&o);
}

static void test_check(void **state)
{
        uint8_t *chunks = file.bytes + 13;

        make(&file);
        check_says(0, "");

        chunks = file.bytes + file.sectors + DESCRIPTOR;
        chunks[STORED] ^= 1;
        chunks[4 * STORED] ^= 1;
        chunks[5 * STORED] ^= 1;
        check_says(2, "chunks 1 to 1 (bytes 512 to 1023 of the disk) are damaged or missing\n"
                      "chunks 4 to 5 (bytes 2048 to 3071 of the disk) are damaged or missing\n"
                      "the MD5 of the disk is not compared\n");

        /* All checksums are right, but the disk is not the one that was read. */
        make(&file);
        chunks[STORED] ^= 1;
        seal(chunks + STORED, CHUNK);
        check_says(1, "the MD5 of the disk is 201b1530e72210d93f3b0f53405fe0fd, and another one "
                      "is in the image\n");

        make(&file);
        file.bytes[file.table + DESCRIPTOR + 24] ^= 1;
        check_says(1, "the table of chunks 0 to 5 is damaged; its copy is not\n"
                      "the MD5 of the disk is not compared\n");
}

static void test_check_of_what_is_not_whole(void **state)
{
        make(&file);
        file.len = file.hash;
        check_says(1, "segment 1 ends before it should\n"
                      "the image has no MD5 of the disk to compare with\n");
        file.len = file.table;
        check_says(2, "chunks 0 to 5 (bytes 0 to 3071 of the disk) are damaged or missing\n"
                      "segment 1 ends before it should\n"
                      "the image has no MD5 of the disk to compare with\n");
}

static const Fact *find_fact(const Info *info, const char *key)
{
        for (size_t i = 0; i < info->fact_count; i++)
                if (strcmp(info->facts[i].key, key) == 0)
                        return &info->facts[i];
        return NULL;
}

static void test_what_it_says(void **state)
{
        Info info = { 0 };

        make(&file);
        Opened o = open_file(&file, &(NodeOptions){ 0 }, NULL);
        assert_int_equal(o.r, 0);
        assert_int_equal(format_ewf.describe(o.node, &info), 0);
        assert_int_equal(info.cluster_size, CHUNK);
        assert_string_equal(find_fact(&info, "media-type")->text, "fixed");
        assert_int_equal(find_fact(&info, "sectors")->number, CHUNKS);
        assert_true(find_fact(&info, "complete")->truth);
        assert_int_equal(strlen(find_fact(&info, "md5")->text), 32);
        assert_null(find_fact(&info, "sha1"));
        assert_null(find_fact(&info, "sessions"));
        info_done(&info);
        opened_done(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_it_is_not_opened_for),
                cmocka_unit_test(test_there_is_an_end_to_segments),
                cmocka_unit_test(test_there_is_no_name),
                cmocka_unit_test(test_there_is_an_end_to_sections),
                cmocka_unit_test(test_an_offset_of_32_bits),
                cmocka_unit_test(test_a_fault_of_the_host),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_check_of_what_is_not_whole),
                cmocka_unit_test(test_what_it_says),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
