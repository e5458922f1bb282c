/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view/use.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

int use_init(Use *u)
{
        *u = (Use){ 0 };
        return -pthread_mutex_init(&u->lock, NULL);
}

void use_done(Use *u)
{
        pthread_mutex_destroy(&u->lock);
}

static uint64_t *use_count(Use *u, UseAccess access)
{
        return access == USE_WRITING ? &u->writers : &u->readers;
}

/* USE_OPENERS_MAX when there is no place for it. */
static uint64_t use_remember_locked(Use *u, pid_t pid)
{
        uint64_t i = 0;

        while (i < USE_OPENERS_MAX && u->openers[i] != 0)
                i++;
        if (pid <= 0 || i == USE_OPENERS_MAX)
                return USE_OPENERS_MAX;
        u->openers[i] = pid;
        return i;
}

int use_open(Use *u, UseAccess access, pid_t pid, uint64_t *ret_id)
{
        LOCKED(&u->lock)
        {
                if (u->ending && (pid <= 0 || pid != u->exempt))
                        return -ESHUTDOWN;
                (*use_count(u, access))++;
                *ret_id = use_remember_locked(u, pid);
        }
        return 0;
}

void use_close(Use *u, UseAccess access, uint64_t id)
{
        LOCKED(&u->lock)
        {
                uint64_t *count = use_count(u, access);

                /* A kernel that closes what it never opened is no reason to count below nothing. */
                if (*count > 0)
                        (*count)--;
                if (id < USE_OPENERS_MAX)
                        u->openers[id] = 0;
        }
}

void use_end(Use *u, pid_t exempt)
{
        LOCKED(&u->lock)
        {
                u->ending = true;
                u->exempt = exempt;
        }
}

void use_get_counts(Use *u, uint64_t *ret_readers, uint64_t *ret_writers)
{
        LOCKED(&u->lock)
        {
                *ret_readers = u->readers;
                *ret_writers = u->writers;
        }
}

static bool use_is_named_before(const Use *u, unsigned i)
{
        for (unsigned k = 0; k < i; k++)
                if (u->openers[k] == u->openers[i])
                        return true;
        return false;
}

size_t use_format(Use *u, uint64_t errors, char ret[USE_TEXT_MAX])
{
        size_t len = 0;

        LOCKED(&u->lock)
        {
                len = (size_t)snprintf(ret, USE_TEXT_MAX,
                                       "readers=%" PRIu64 " writers=%" PRIu64 " errors=%" PRIu64
                                       " pids=",
                                       u->readers, u->writers, errors);
                for (unsigned i = 0, named = 0; i < USE_OPENERS_MAX && named < USE_NAMED_MAX; i++) {
                        if (u->openers[i] == 0 || use_is_named_before(u, i))
                                continue;
                        len += (size_t)snprintf(ret + len, USE_TEXT_MAX - len, "%s%d",
                                                named > 0 ? "," : "", (int)u->openers[i]);
                        named++;
                }
        }
        return len;
}
