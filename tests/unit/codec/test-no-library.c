/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is in place of a library that rawview was built without. */
#include "codec/bunzip2.h"
#include "codec/inflate-fast.h"
#include "codec/unxz.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_refused(void **state)
{
        uint8_t buf[8];
        size_t got = 77;

        assert_false(bunzip2_is_there());
        assert_false(unxz_is_there());
        assert_int_equal(bunzip2_all("BZh9", 4, buf, sizeof(buf), &got), -EOPNOTSUPP);
        assert_int_equal(unxz_all("\xfd"
                                  "7zXZ",
                                  5, buf, sizeof(buf), &got),
                         -EOPNOTSUPP);
        assert_int_equal(inflate_fast(INFLATE_RAW, "\x03", 2, buf, sizeof(buf), &got), 0);
        assert_int_equal(got, 77);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
