/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/state.h"

#include "base/barrier.h"
#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const StateFacts quiet = {
        .image = "/vm/web.qcow2",
        .format = "qcow2",
        .unit = "rawview@web.service",
        .pid = 42,
        .writable = true,
        .barriers = BARRIER_BIT(BARRIER_SECCOMP) | BARRIER_BIT(BARRIER_LANDLOCK),
        .loop = STATE_LOOP_NONE,
        .size = 20,
        .since = 1763837698,
        .readers = 8,
        .writers = 9,
        .counts = { .reads = 1, .writes = 2, .bytes_read = 3, .bytes_written = 4 },
        .cache = { .hits = 5, .misses = 6, .budget = 7 },
};

static void test_all_facts_are_there(void **state)
{
        _cleanup_free_ char *text = NULL;

        assert_int_equal(state_format(&quiet, &text), 0);
        assert_string_equal(
                text,
                "{\"image\":\"/vm/web.qcow2\",\"format\":\"qcow2\",\"overlay\":null,\"layer\":0,\"layer-alone\":false,\"assert-unchanged\":null,"
                "\"unit\":\"rawview@web.service\",\"writable\":true,\"passthrough\":false,\"loop\":null,"
                "\"sandbox\":[\"landlock\",\"seccomp\"],"
                "\"since\":\"2025-11-22T18:54:58Z\",\"pid\":42,\"size\":20,"
                "\"readers\":8,\"writers\":9,\"reads\":1,\"writes\":2,\"bytes-read\":3,\"bytes-written\":4,\"errors\":0,"
                "\"cache-size\":7,\"cache-hits\":5,\"cache-misses\":6,\"first-error\":null}");
}

static void test_the_first_error_is_told(void **state)
{
        _cleanup_free_ char *text = NULL;
        StateFacts facts = quiet;

        facts.writable = false;
        facts.passthrough = true;
        facts.unit = "";
        facts.overlay = "/vm/over.qcow2";
        char name[] = "base \"1\".raw";
        StateDigest digest = { .file = name, .sha256 = "e3b0" };
        facts.digests = &digest;
        facts.digest_count = 1;
        facts.layer = 2;
        facts.layer_alone = true;
        facts.size = UINT64_MAX;
        facts.counts.errors = 7;
        facts.counts.first = (Fault){
                .code = EBADMSG, .op = HEALTH_READ, .off = 65536, .len = 4096, .when = 1763837699
        };
        assert_int_equal(state_format(&facts, &text), 0);
        assert_non_null(strstr(
                text,
                "\"overlay\":\"/vm/over.qcow2\",\"layer\":2,\"layer-alone\":true,\"assert-unchanged\":[{\"file\":"
                "\"base \\\"1\\\".raw\",\"sha256\":\"e3b0\"}],\"unit\":\"\",\"writable\":false"));
        assert_non_null(strstr(text, "\"passthrough\":true"));
        assert_non_null(strstr(text, "\"size\":18446744073709551615"));
        assert_null(strstr(text, "sector-size"));
        assert_non_null(strstr(text, "\"errors\":7"));
        assert_non_null(strstr(text, "\"first-error\":{\"operation\":\"read\",\"offset\":65536,"
                                     "\"length\":4096,\"errno\":74,\"text\":\"Bad message\","
                                     "\"when\":\"2025-11-22T18:54:59Z\"}"));
}

static void test_the_loop_device(void **state)
{
        StateFacts facts = quiet;

        for (int loop = STATE_LOOP_LOST; loop <= 12; loop++) {
                _cleanup_free_ char *text = NULL;
                char wanted[64];

                facts.loop = loop;
                facts.sector_size = 4096;
                assert_int_equal(state_format(&facts, &text), 0);
                snprintf(wanted, sizeof(wanted),
                         loop >= 0                 ? "\"loop\":\"/dev/loop%d\""
                         : loop == STATE_LOOP_LOST ? "\"loop\":\"lost\""
                                                   : "\"loop\":null",
                         loop);
                assert_non_null(strstr(text, wanted));
                assert_non_null(strstr(text, "\"sector-size\":4096"));
        }
}

static void test_hostile_names_stay_inside_their_text(void **state)
{
        _cleanup_free_ char *text = NULL;
        StateFacts facts = quiet;

        facts.image = "/vm/a\"b\\c\ne\033";
        assert_int_equal(state_format(&facts, &text), 0);
        assert_non_null(strstr(text, "{\"image\":\"/vm/a\\\"b\\\\c\\ne\\u001b\",\"format\""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_facts_are_there),
                cmocka_unit_test(test_the_first_error_is_told),
                cmocka_unit_test(test_the_loop_device),
                cmocka_unit_test(test_hostile_names_stay_inside_their_text),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
