/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which argument of the system call clone(2) has the flags. It is the first one, except on s390, where the first two
 * have changed places (clone(2), "C library/kernel differences").
 */
#pragma once

enum {
#if defined(__s390__) || defined(__s390x__)
        CLONE_FLAGS_ARGUMENT = 1,
#else
        CLONE_FLAGS_ARGUMENT = 0,
#endif
};
