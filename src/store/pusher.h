/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Pusher sends what was written to a file on to the disk, in a thread of its own: whoever writes waits neither for
 * the work that this is nor for a disk that is busy. It promises nothing: durable is what a sync has made so, and what
 * goes wrong here the next sync tells.
 *
 * Owned by the store whose descriptor it uses. pusher_push() may be called from any thread.
 */
#pragma once

#include <stdint.h>

typedef struct Pusher Pusher;

/* `fd` is only borrowed: it stays open until after pusher_free(). Starts the thread. */
int pusher_new(int fd, Pusher **ret);

/* Whatever was written to [pos, pos + len) is to go to the disk soon. Never waits for it. */
void pusher_push(Pusher *p, uint64_t pos, uint64_t len);

/* Waits for what is being sent just then, and forgets the rest. */
Pusher *pusher_free(Pusher *p);
