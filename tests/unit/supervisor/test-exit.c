/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/exit.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_what_people_are_promised(void **state)
{
        static const struct {
                Phase phase;
                int code, status;
        } cases[] = {
                { PHASE_DESCRIPTOR, ENOENT, 78 }, { PHASE_DESCRIPTOR, EINVAL, 78 },
                { PHASE_TARGET, ENOENT, 66 },     { PHASE_TARGET, EBUSY, 75 },
                { PHASE_TARGET, EACCES, 77 },     { PHASE_TARGET, ELOOP, 78 },
                { PHASE_TARGET, EISDIR, 78 },     { PHASE_IMAGE, ENOENT, 66 },
                { PHASE_IMAGE, EINVAL, 66 },      { PHASE_IMAGE, EACCES, 77 },
                { PHASE_IMAGE, EPERM, 77 },       { PHASE_IMAGE, EIO, 74 },
                { PHASE_OPEN, EBADMSG, 65 },      { PHASE_OPEN, EOPNOTSUPP, 65 },
                { PHASE_OPEN, EUCLEAN, 65 },      { PHASE_OPEN, ENODATA, 65 },
                { PHASE_OPEN, ENOENT, 65 },       { PHASE_OPEN, EACCES, 77 },
                { PHASE_OPEN, ENOKEY, 77 },       { PHASE_OPEN, EKEYREJECTED, 77 },
                { PHASE_OPEN, EIO, 74 },          { PHASE_OPEN, EAGAIN, 75 },
                { PHASE_OPEN, ECHILD, 74 },       { PHASE_MOUNT, EPERM, 77 },
                { PHASE_MOUNT, EACCES, 77 },      { PHASE_MOUNT, EBUSY, 75 },
                { PHASE_MOUNT, ENODEV, 74 },      { PHASE_SERVE, EIO, 74 },
                { PHASE_PROVE, ESTALE, 76 },      { PHASE_SERVE, ECHILD, 74 },
                { PHASE_SERVE, ENOSPC, 74 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int status = exit_status(cases[i].phase, cases[i].code);
                if (status != cases[i].status)
                        fail_msg("phase %d, errno %d: %d", cases[i].phase, cases[i].code, status);
        }
}

static void test_what_others_expect(void **state)
{
        static const struct {
                int status, command, mount;
        } cases[] = {
                { 0, 0, 0 },  { 64, 2, 1 },  { 65, 1, 32 }, { 66, 1, 32 }, { 70, 1, 4 },
                { 71, 1, 2 }, { 74, 1, 32 }, { 75, 1, 32 }, { 77, 1, 1 },  { 78, 1, 32 },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                assert_int_equal(exit_for_command(cases[i].status), cases[i].command);
                assert_int_equal(exit_for_mount(cases[i].status), cases[i].mount);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_people_are_promised),
                cmocka_unit_test(test_what_others_expect),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
