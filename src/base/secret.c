/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/secret.h"

#include <string.h>
#include <sys/mman.h>

/* MAP_LOCKED is mlock() in one call: the sandbox of a worker, and the unit, need not allow another one. */
static void *secret_map(int flags)
{
        void *p = mmap(NULL, sizeof(Secret), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
        return p == MAP_FAILED ? NULL : p;
}

Secret *secret_new(void)
{
        Secret *s = secret_map(MAP_LOCKED);

        if (!s)
                s = secret_map(0);
        if (!s)
                return NULL;
        (void)madvise(s, sizeof(*s), MADV_DONTDUMP);
        (void)madvise(s, sizeof(*s), MADV_WIPEONFORK);
        return s;
}

Secret *secret_free(Secret *s)
{
        if (!s)
                return NULL;
        explicit_bzero(s, sizeof(*s));
        munmap(s, sizeof(*s));
        return NULL;
}

bool secret_ends_with_newline(const Secret *s)
{
        return s->len > 0 && s->bytes[s->len - 1] == '\n';
}
