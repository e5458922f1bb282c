/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include "block/probe.h"
#include "store/faulty.h"

#include <errno.h>

static int sole_open(Node *n, Opener *opener, Err *err)
{
        return 0;
}

static void sole_close(Node *n)
{
}

/* Only what has a second byte of 7 is ours. */
static int picky_probe(const Probe *p)
{
        return p->head[1] == 7;
}

static int long_probe(const Probe *p)
{
        return p->file_size > 100000;
}

static const Format format_one = {
        .name = "one", .magic = { { 0, 3, "ONE" } }, .open = sole_open, .close = sole_close
};
static const Format format_also = {
        .name = "also", .magic = { { 4, 2, "XX" }, { 0, 4, "ALSO" }, { 508, 4, "last" } }
};
static const Format format_tail = { .name = "tail",
                                    .magic = { { -512, 4, "TAIL" }, { -4, 4, "tail" } } };
static const Format format_picky = { .name = "picky",
                                     .magic = { { 0, 1, "P" } },
                                     .probe = picky_probe };
static const Format format_long = { .name = "long", .probe = long_probe };
static const Format format_vdi = { .name = "vdi", .magic = { { 0x40, 4, "\x7f\x10\xda\xbe" } } };
static const Format format_nothing = { .name = "nothing" };

static const Format *const formats[] = {
        &format_one, &format_also, &format_tail, &format_picky, &format_long, &format_nothing, NULL,
};
static const Format *const formats_with_vdi[] = { &format_one, &format_vdi, NULL };

typedef struct ProbeCase {
        const char *name;
        size_t size;
        int64_t at; /* negative: from the end */
        const char *bytes;
        size_t len;
        int64_t at2;
        const char *bytes2; /* a text, or NULL */
        const char *found;  /* NULL: nothing, or a refusal */
        const char *foreign;
} ProbeCase;

static Store *open_case(const ProbeCase *c)
{
        Store *s = NULL;
        assert_int_equal(mem_store_new(NULL, c->size, &s), 0);
        uint64_t at = c->at < 0 ? c->size + (uint64_t)c->at : (uint64_t)c->at;
        uint64_t at2 = c->at2 < 0 ? c->size + (uint64_t)c->at2 : (uint64_t)c->at2;
        assert_int_equal(store_write(s, c->bytes, c->len, at), 0);
        if (c->bytes2)
                assert_int_equal(store_write(s, c->bytes2, strlen(c->bytes2), at2), 0);
        return s;
}

static void run_case(const ProbeCase *c)
{
        _cleanup_store_ Store *s = open_case(c);
        const Format *found = NULL;
        Err err = { "" };
        char text[200];

        int r = probe_format(formats, s, false, &found, &err);
        if (!c->foreign) {
                if (r != 0 ||
                    (found ? !c->found || strcmp(found->name, c->found) != 0 : !!c->found))
                        fail_msg("%s: %d, %s, %s", c->name, r, found ? found->name : "nothing",
                                 err.text);
                return;
        }
        snprintf(
                text, sizeof(text),
                "is a %s image, a format that cannot be read; --format=raw would show the file's own "
                "bytes",
                c->foreign);
        if (r != -EOPNOTSUPP || strcmp(err.text, text) != 0)
                fail_msg("%s: %d, %s", c->name, r, err.text);
        assert_null(found);
}

#define BYTES(s) s, sizeof(s) - 1

static void test_what_is_recognised(void **state)
{
        static const ProbeCase cases[] = {
                { "nothing", 4096, 0, BYTES("...."), 0, NULL, NULL, NULL },
                { "first magic", 4096, 0, BYTES("ONE"), 0, NULL, "one", NULL },
                { "not at its place", 4096, 1, BYTES("ONE"), 0, NULL, NULL, NULL },
                { "one of several magics", 4096, 4, BYTES("XX"), 0, NULL, "also", NULL },
                { "the second of several", 4096, 0, BYTES("ALSO"), 0, NULL, "also", NULL },
                { "at the end of the first sector", 4096, 508, BYTES("last"), 0, NULL, "also",
                  NULL },
                { "tail", 5000, -512, BYTES("TAIL"), 0, NULL, "tail", NULL },
                { "last bytes", 5000, -4, BYTES("tail"), 0, NULL, "tail", NULL },
                { "last bytes of a tiny file", 4, -4, BYTES("tail"), 0, NULL, "tail", NULL },
                { "a file too short for its magic", 2, 0, BYTES("ON"), 0, NULL, NULL, NULL },
                { "a file as long as its magic", 3, 0, BYTES("ONE"), 0, NULL, "one", NULL },
                { "an empty file", 0, 0, "", 0, 0, NULL, NULL, NULL },
                { "second look says yes", 4096, 0, BYTES("P\7"), 0, NULL, "picky", NULL },
                { "second look says no", 4096, 0, BYTES("P\6"), 0, NULL, NULL, NULL },
                { "only a second look", 100001, 0, BYTES("z"), 0, NULL, "long", NULL },
                { "the head outranks the tail", 4096, 0, BYTES("ONE"), -4, "tail", "one", NULL },
                { "and a foreign tail", 4096, 0, BYTES("ONE"), -512, "conectix", "one", NULL },
                { "MBR", 4096, 510, BYTES("\x55\xaa"), 0, NULL, NULL, NULL },
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                run_case(&cases[i]);
}

static void test_foreign_formats_are_refused_by_name(void **state)
{
        static const ProbeCase cases[] = {
                { "qcow1", 4096, 0, BYTES("QFI\xfb\0\0\0\1"), 0, NULL, NULL, "qcow" },
                { "qed", 4096, 0, BYTES("QED\0"), 0, NULL, NULL, "qed" },
                { "vhdx", 4096, 0, BYTES("vhdxfile"), 0, NULL, NULL, "vhdx" },
                { "vmdk sparse", 4096, 0, BYTES("KDMV"), 0, NULL, NULL, "vmdk" },
                { "vmdk cowd", 4096, 0, BYTES("COWD"), 0, NULL, NULL, "vmdk" },
                { "vmdk sesparse", 4096, 0, BYTES("\xbe\xba\xfe\xca\0\0\0\0\1\0\0\0\2\0\0\0"), 0,
                  NULL, NULL, "vmdk" },
                { "luks", 4096, 0, BYTES("LUKS\xba\xbe\0\2"), 0, NULL, NULL, "luks" },
                { "vdi", 4096, 0x40, BYTES("\x7f\x10\xda\xbe"), 0, NULL, NULL, "vdi" },
                { "parallels", 4096, 0, BYTES("WithoutFreeSpace"), 0, NULL, NULL, "parallels" },
                { "parallels 2", 4096, 0, BYTES("WithouFreSpacExt"), 0, NULL, NULL, "parallels" },
                { "vhd", 4096, 0, BYTES("conectix"), 0, NULL, NULL, "vhd" },
                { "vhd fixed", 4096, -512, BYTES("conectix"), 0, NULL, NULL, "vhd" },
                { "vhd fixed, old", 4095, -511, BYTES("conectix"), 0, NULL, NULL, "vhd" },
                { "ewf", 4096, 0, BYTES("EVF\t\r\n\xff\0"), 0, NULL, NULL, "ewf" },
                { "ewf2", 4096, 0, BYTES("EVF2\r\n\x81\0"), 0, NULL, NULL, "ewf2" },
                { "sparseimage", 4096, 0, BYTES("sprs\0\0\0\3"), 0, NULL, NULL, "sparseimage" },
                { "bochs", 4096, 0, BYTES("Bochs Virtual HD Image"), 0, NULL, NULL, "bochs" },
                { "cloop", 4096, 0, BYTES("#!/bin/sh\n#V2.0 Format\nmodprobe"), 0, NULL, NULL,
                  "cloop" },
                { "dmg", 4096, -512, BYTES("koly\0\0\0\4\0\0\2\0"), 0, NULL, NULL, "dmg" },
                { "encrypted dmg", 4096, 0, BYTES("encrcdsa"), 0, NULL, NULL, "encrcdsa" },
                { "asif", 4096, 0, BYTES("shdw"), 0, NULL, NULL, "asif" },
                { "android", 4096, 0, BYTES("\x3a\xff\x26\xed"), 0, NULL, NULL, "android-sparse" },
                /* And what only looks a little like one. */
                { "a script", 4096, 0, BYTES("#!/bin/sh\necho\n"), 0, NULL, NULL, NULL },
                { "a version", 4096, 0, BYTES("version=4\n"), 0, NULL, NULL, NULL },
                { "a text", 4096, 0, BYTES("# only comments\n#"), 0, NULL, NULL, NULL },
                { "koly in the middle", 4096, -600, BYTES("koly\0\0\0\4\0\0\2\0"), 0, NULL, NULL,
                  NULL },
                { "ELF", 4096, 0, BYTES("\177ELF"), 0, NULL, NULL, NULL },
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                run_case(&cases[i]);
}

/* Whoever writes to a raw disk may write to its last sector. */
static void test_a_tail_is_not_trusted_for_writing(void **state)
{
        ProbeCase c = { "tail", 5000, -512, BYTES("TAIL"), 0, NULL, NULL, NULL };
        _cleanup_store_ Store *s = open_case(&c);
        const Format *found = NULL;
        Err err = { "" };

        assert_int_equal(probe_format(formats, s, false, &found, NULL), 0);
        assert_ptr_equal(found, &format_tail);
        found = NULL;
        assert_int_equal(probe_format(formats, s, true, &found, &err), -EOPNOTSUPP);
        assert_null(found);
        assert_string_equal(
                err.text,
                "only its last sector looks like tail, and what a guest may have put there is "
                "not trusted for writing; --format= must say what it is");
        assert_int_equal(store_write(s, "ONE", 3, 0), 0);
        assert_int_equal(probe_format(formats, s, true, &found, NULL), 0);
        assert_ptr_equal(found, &format_one);
}

static void test_formats_have_two_names(void **state)
{
        static const Format twice = { .name = "vhd", .qemu_name = "vpc" };
        static const Format *const both[] = { &format_one, &twice, NULL };

        assert_ptr_equal(format_find(both, "vhd"), &twice);
        assert_ptr_equal(format_find(both, "vpc"), &twice);
        assert_ptr_equal(format_find(both, "one"), &format_one);
        assert_null(format_find(both, "vp"));
        assert_string_equal(format_qemu_name(&twice), "vpc");
        assert_string_equal(format_qemu_name(&format_one), "one");
}

static void test_two_formats_are_one_too_many(void **state)
{
        static const struct {
                ProbeCase c;
                const char *text;
        } cases[] = {
                { { "two of ours", 4096, 0, BYTES("ONE.XX"), 0, NULL, NULL, NULL },
                  "looks like one and like also; --format= must say which of them it is" },
                { { "ours and a foreign one", 4096, 0x40, BYTES("\x7f\x10\xda\xbe"), 0, "ONE", NULL,
                    NULL },
                  "looks like one and like vdi; --format= must say which of them it is" },
        };
        for (size_t i = 0; i < 2; i++) {
                _cleanup_store_ Store *s = open_case(&cases[i].c);
                const Format *found = NULL;
                Err err = { "" };
                assert_int_equal(probe_format(formats, s, false, &found, &err), -EBADMSG);
                assert_string_equal(err.text, cases[i].text);
                assert_null(found);
        }
}

static void test_a_registered_driver_makes_its_magic_known(void **state)
{
        ProbeCase c = { "vdi", 4096, 0x40, BYTES("\x7f\x10\xda\xbe"), 0, NULL, NULL, NULL };
        _cleanup_store_ Store *s = open_case(&c);
        const Format *found = NULL;

        assert_int_equal(probe_format(formats_with_vdi, s, false, &found, NULL), 0);
        assert_ptr_equal(found, &format_vdi);
}

static void test_failures_are_told(void **state)
{
        static const char *const texts[] = {
                "cannot get the size of the file: Input/output error",
                "cannot read the first sector: Input/output error",
                "cannot read the last sector: Input/output error",
        };
        for (unsigned i = 0; i < 3; i++) {
                FaultPlan plan = { .fail_at = i + 1, .code = EIO };
                Store *inner = NULL;
                _cleanup_store_ Store *s = NULL;
                const Format *found = NULL;
                Err err = { "" };
                assert_int_equal(mem_store_new("ONE", 3, &inner), 0);
                assert_int_equal(faulty_store_new(inner, &plan, &s), 0);
                assert_int_equal(probe_format(formats, s, false, &found, &err), -EIO);
                assert_string_equal(err.text, texts[i]);
        }
}

static void test_formats_by_name(void **state)
{
        assert_ptr_equal(format_find(formats, "tail"), &format_tail);
        assert_null(format_find(formats, "tai"));
        assert_null(format_find(formats, "raw"));
        assert_null(format_find(formats, ""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_recognised),
                cmocka_unit_test(test_foreign_formats_are_refused_by_name),
                cmocka_unit_test(test_a_tail_is_not_trusted_for_writing),
                cmocka_unit_test(test_formats_have_two_names),
                cmocka_unit_test(test_two_formats_are_one_too_many),
                cmocka_unit_test(test_a_registered_driver_makes_its_magic_known),
                cmocka_unit_test(test_failures_are_told),
                cmocka_unit_test(test_formats_by_name),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
