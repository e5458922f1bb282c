/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A group of tests leaves no descriptor open. Give fd_count_setup and fd_count_teardown to
 * cmocka_run_group_tests(); the group's state is theirs.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static inline int fd_count_now(void)
{
        int count = 0;
        DIR *d = opendir("/proc/self/fd");
        if (!d)
                return -1;
        while (readdir(d))
                count++;
        closedir(d);
        return count;
}

static inline int fd_count_setup(void **state)
{
        int *count = malloc(sizeof(*count));
        if (!count)
                return -1;
        *count = fd_count_now();
        *state = count;
        return 0;
}

static inline int fd_count_teardown(void **state)
{
        int before = *(int *)*state, after = fd_count_now();

        free(*state);
        if (before == after)
                return 0;
        fprintf(stderr, "%d descriptors were open before the tests, %d are now\n", before, after);
        return -1;
}
