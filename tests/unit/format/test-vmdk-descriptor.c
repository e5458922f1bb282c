/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "block/limits.h"
#include "format/vmdk/vmdk.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "version=1\nCID=1234abcd\ncreateType=\"monolithicFlat\"\n"
#define ONE "RW 8 FLAT \"f\" 0\n"

static int read_text(const char *text, VmdkDescriptor *d, Err *err)
{
        _cleanup_store_ Store *s = NULL;

        assert_int_equal(mem_store_new(text, strlen(text), &s), 0);
        int r = vmdk_descriptor_read(s, 0, strlen(text), d, err);
        d->store = NULL;
        return r;
}

static void test_what_is_refused(void **state)
{
        static const struct {
                const char *text;
                int code;
                const char *words;
        } cases[] = {
                { "CID=1\ncreateType=vmfs\n" ONE, EBADMSG, "no version" },
                { "version=4\nCID=1\ncreateType=vmfs\n" ONE, EOPNOTSUPP, "version '4'" },
                { "version=\nCID=1\ncreateType=vmfs\n" ONE, EOPNOTSUPP, "version ''" },
                { "version=1\ncreateType=vmfs\n" ONE, EBADMSG, "no CID" },
                { "version=1\nCID=\ncreateType=vmfs\n" ONE, EBADMSG, "CID ''" },
                { "version=1\nCID=0x12\ncreateType=vmfs\n" ONE, EBADMSG, "CID '0x12'" },
                { HEAD "cid=2\n" ONE, EBADMSG, "CID stands there twice" },
                { HEAD "parentCID=1\n" ONE, EBADMSG, "parentFileNameHint names none" },
                { HEAD "parentCID=1\nparentFileNameHint=\"\"\n" ONE, EBADMSG, "names none" },
                { HEAD "parentFileNameHint=\"a\"\n" ONE, EBADMSG, "says that there is none" },
                { HEAD "RWX 8 FLAT \"f\" 0\n", EBADMSG, "line 4" },
                { HEAD "Encryption.data=x\n" ONE, EOPNOTSUPP, "encrypted" },
                { HEAD, EBADMSG, "no extent" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                VmdkDescriptor d = { 0 };
                Err err = { "" };

                int r = read_text(cases[i].text, &d, &err);
                if (r != -cases[i].code || !strstr(err.text, cases[i].words))
                        fail_msg("case %zu: %d, %s", i, r, err.text);
                vmdk_descriptor_done(&d);
        }
}

static void test_what_is_taken(void **state)
{
        static const char text[] = "# x\r\n  VERSION = 2\r\ncid = 00ABCDEF \rparentCID=fffffffe\n"
                                   "createtype=\"VMFS\"\nparentFileNameHint = \"a b=c\"\n"
                                   "changeTrackPath=\"t\"\nRW = odd\n\n" ONE
                                   "ddb.longContentID = \"0123456789abcdef0123456700abcdef\"\n";
        VmdkDescriptor d = { 0 };
        Err err = { "" };

        if (read_text(text, &d, &err) != 0)
                fail_msg("%s", err.text);
        assert_int_equal(d.cid, 0xabcdef);
        assert_int_equal(d.cid_digits, 8);
        assert_memory_equal(text + d.cid_at, "00ABCDEF", 8);
        assert_memory_equal(text + d.long_cid_at, "0123456789", 10);
        assert_int_equal(d.parent_cid, 0xfffffffe);
        assert_string_equal(d.parent_name, "a b=c");
        assert_string_equal(d.create_type, "VMFS");
        assert_true(d.is_tracked);
        assert_int_equal(d.extent_count, 1);
        vmdk_descriptor_done(&d);
}

static void test_a_long_id_of_another_shape_is_left_alone(void **state)
{
        static const char *const texts[] = {
                HEAD ONE "ddb.longContentID=\"0123456789abcdef0123456700abcde\"\n",
                HEAD ONE "ddb.longContentID=\"0123456789abcdef0123456700abcdeg\"\n",
                HEAD ONE "ddb.longContentID=\"\"\n",
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                VmdkDescriptor d = { 0 };

                assert_int_equal(read_text(texts[i], &d, NULL), 0);
                assert_int_equal(d.long_cid_at, 0);
                vmdk_descriptor_done(&d);
        }
}

static void test_lines_of_extents(void **state)
{
        static const char text[] = HEAD "RW 8 FLAT \"a b\" 16\n\n\nrdonly\t9 \tsparse  \"c\"  \r\n"
                                        "NOACCESS 10 ZERO\nRW 11 VMFS \"d\"";
        static const struct {
                VmdkAccess access;
                uint64_t sectors;
                VmdkKind kind;
                const char *name;
                uint64_t pos;
        } wanted[] = {
                { VMDK_RW, 8, VMDK_FLAT, "a b", 16 },
                { VMDK_RDONLY, 9, VMDK_HOSTED, "c", 0 },
                { VMDK_NOACCESS, 10, VMDK_ZERO, "", 0 },
                { VMDK_RW, 11, VMDK_FLAT, "d", 0 },
        };
        VmdkDescriptor d = { 0 };
        VmdkLine line;
        size_t at = 0;

        assert_int_equal(read_text(text, &d, NULL), 0);
        assert_int_equal(d.extent_count, 4);
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(vmdk_descriptor_next(&d, &at, &line, NULL), 1);
                assert_int_equal(line.access, wanted[i].access);
                assert_int_equal(line.sectors, wanted[i].sectors);
                assert_int_equal(line.kind, wanted[i].kind);
                assert_int_equal(line.name.len, strlen(wanted[i].name));
                if (line.name.len > 0)
                        assert_memory_equal(line.name.at, wanted[i].name, line.name.len);
                assert_int_equal(line.pos_sectors, wanted[i].pos);
        }
        assert_int_equal(vmdk_descriptor_next(&d, &at, &line, NULL), 0);
        vmdk_descriptor_done(&d);
}

static void test_what_begins_as_a_descriptor(void **state)
{
        static const struct {
                const char *text;
                bool is;
        } cases[] = {
                { "version=1", true },
                { "# Disk DescriptorFile\nversion=1\n", true },
                { "\r\n# a\r\n\r\n  #b\r\n version=3\r\n", true },
                { "# a\rversion=2", true },
                { "version=4", false },
                { "version = 1", false },
                { "Version=1", false },
                { "# version=1", false },
                { "x\nversion=1", false },
                { "", false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (vmdk_is_descriptor(cases[i].text) != cases[i].is)
                        fail_msg("%s", cases[i].text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_refused),
                cmocka_unit_test(test_what_is_taken),
                cmocka_unit_test(test_a_long_id_of_another_shape_is_left_alone),
                cmocka_unit_test(test_lines_of_extents),
                cmocka_unit_test(test_what_begins_as_a_descriptor),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
