/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The descriptors that a program is born with, put in order before it opens anything: an image that got the number of
 * a missing stderr would have every message written into it. For programs, at their start, with one thread.
 */
#pragma once

/* Opens /dev/null where standard input, output or error is missing. */
int inherited_fill_stdio(void);

/* Closes all from 3 on but `keep` and `also` (-1: none), which no program that is started gets. EBADF: one that is to be
 * kept is not open. */
int inherited_close_rest(int keep, int also);

/* 1: `path` is /dev/fd/N, with N in *ret. 0: it is something else. -EINVAL: N is no number from 3 on. */
int inherited_parse_path(const char *path, int *ret);
