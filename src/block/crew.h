/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that help requests with what keeps a processor busy: a request with several pieces to unpack shares them with those of
 * the crew that are free.
 *
 * Any thread. There are no such threads before somebody wants help for the first time, and then one less than there are
 * processors; together with those that ask no more of them work than there are. They take no work of their own: what they do is done under the locks of the thread that asked, which
 * waits until they have let go of it.
 */
#pragma once

#include <stddef.h>

typedef struct Crew Crew;

/* One piece of the work; 0 or a negative errno. It wants no help itself. */
typedef int (*CrewWork)(void *arg, size_t index);

int crew_new(Crew **ret);

/* Ends its threads; nobody may be asking any more. Accepts NULL; returns NULL. */
Crew *crew_free(Crew *c);

/* Calls `work` for each index below `count`, on this thread and on others, in any order, and returns when no call goes on any
 * more. After a failure no further call begins; gives the failure of the lowest index that failed. */
int crew_run(Crew *c, size_t count, CrewWork work, void *arg);
