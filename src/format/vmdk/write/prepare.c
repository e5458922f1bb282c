/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Before the first change of a session the disk gets another content ID, and that is durable before anything is written:
 * a snapshot of it must never be read through to what it does not know. Only digits are replaced by as many digits, so
 * that the text stays as it is, whatever else stands in it.
 */
#include "base/cleanup.h"
#include "base/uuid.h"
#include "format/vmdk/write/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
        /* With one digit there are 15 others; each try finds one of them in 15 of 16 cases. */
        VMDK_CID_TRIES = 64,
};

/* Another number of so many digits, and none that says something of its own. */
static int cid_choose(const VmdkDescriptor *d, uint32_t *ret)
{
        uint32_t mask = d->cid_digits >= VMDK_CID_DIGITS_MAX
                                ? UINT32_MAX
                                : (UINT32_C(1) << 4 * d->cid_digits) - 1;

        for (unsigned i = 0; i < VMDK_CID_TRIES; i++) {
                Uuid random;
                uint32_t cid;

                int r = uuid_make(&random);
                if (r < 0)
                        return r;
                memcpy(&cid, random.b, sizeof(cid));
                cid &= mask;
                /* The two last numbers are "no parent" and "never changed"; 0 is what some programs begin with. */
                if (cid != d->cid && cid != 0 && cid < UINT32_MAX - 1) {
                        *ret = cid;
                        return 0;
                }
        }
        return -EIO;
}

/* ddb.longContentID ends with the content ID. */
static int cid_write(const VmdkDescriptor *d, uint32_t cid)
{
        char digits[VMDK_CID_DIGITS_MAX + 1];

        snprintf(digits, sizeof(digits), "%08" PRIx32, cid);
        int r = store_write(d->store, digits + VMDK_CID_DIGITS_MAX - d->cid_digits, d->cid_digits,
                            d->pos + d->cid_at);
        if (r < 0 || d->long_cid_at == 0)
                return r;
        return store_write(d->store, digits, VMDK_CID_DIGITS_MAX,
                           d->pos + d->long_cid_at + VMDK_LONG_CID_DIGITS - VMDK_CID_DIGITS_MAX);
}

static int prepare_locked(Node *n)
{
        Vmdk *v = n->state;
        uint32_t cid = 0;

        int r = cid_choose(&v->descriptor, &cid);
        if (r >= 0)
                r = cid_write(&v->descriptor, cid);
        if (r >= 0)
                r = node_sync(n);
        if (r < 0)
                return r;
        atomic_store_explicit(&v->writer->prepared, true, memory_order_release);
        return 1;
}

int vmdk_prepare(Node *n)
{
        VmdkWriter *w = ((Vmdk *)n->state)->writer;
        int r = 0;

        if (vmdk_writes_in_place(w))
                return 0;
        LOCKED(&w->commit_lock)
        {
                if (!vmdk_writes_in_place(w))
                        r = prepare_locked(n);
        }
        return r;
}
