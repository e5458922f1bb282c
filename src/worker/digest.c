/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker/digest.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "ipc/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        DIGEST_PIECE = 1 << 20,
        /* So often it is said how far it is. */
        DIGEST_SAY_S = 2,
};

static void hash_freep(KdfHash **h)
{
        *h = kdf_hash_free(*h);
}

static int digests_add(Digests *d, Store *s, const IpcOpener *opener, const char *name, Err *err)
{
        DigestFile *files = reallocarray(d->files, d->count + 1, sizeof(*files));
        if (!files)
                return err_set(err, ENOMEM, "%m");
        d->files = files;
        StateDigest *facts = reallocarray(d->facts, d->count + 1, sizeof(*facts));
        if (!facts)
                return err_set(err, ENOMEM, "%m");
        d->facts = facts;
        files[d->count] = (DigestFile){ .store = s };
        if (!ipc_opener_get_number(opener, s, &files[d->count].number))
                return err_set(err, EINVAL, "a file of the image was never opened");
        facts[d->count] = (StateDigest){ .file = strdup(name) };
        if (!facts[d->count].file)
                return err_set(err, ENOMEM, "%m");
        d->count++;
        return 0;
}

static int digests_add_layer(
        Digests *d, Node *n, const IpcOpener *opener, const char *name, Err *err)
{
        int r = digests_add(d, n->store, opener, name, err);

        for (size_t i = 0; r >= 0 && i < n->extra_count; i++) {
                const char *extra = ipc_opener_name(opener, n->extra_stores[i]);
                r = digests_add(d, n->extra_stores[i], opener, extra ? extra : name, err);
        }
        return r;
}

int digests_list(Digests *d, Node *chain, const IpcOpener *opener, const char *name, Err *err)
{
        int r = crypto_start(err);
        if (r < 0)
                return err_prefix(err, r, "AssertUnchanged= needs SHA-256, which libgcrypt has");
        for (Node *n = chain; r >= 0 && n; n = n->backing) {
                const char *below = n == chain ? name : ipc_opener_name(opener, n->store);
                r = digests_add_layer(d, n, opener, below ? below : name, err);
        }
        return r;
}

static time_t digest_now(void)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

static int digest_say(int channel, Message *m, uint64_t done, Err *err)
{
        m->digest.done = done;
        return channel_send(channel, m, -1, err);
}

/* What another program has in the kernel's memory goes too, but what we have no more use for would drive out more. */
static int digest_read_all(Store *s, KdfHash *hash, int channel, Message *m, Err *err)
{
        _cleanup_free_ uint8_t *piece = malloc(DIGEST_PIECE);
        if (!piece)
                return err_set(err, ENOMEM, "%m");
        time_t said = digest_now();
        uint64_t size = m->digest.total;

        for (uint64_t pos = 0; pos < size;) {
                size_t len = (size_t)u64_min(DIGEST_PIECE, size - pos);
                int r = store_read(s, piece, len, pos);
                if (r < 0)
                        return err_set(err, -r, "cannot read %zu bytes at %llu: %m", len,
                                       (unsigned long long)pos);
                kdf_hash_add(hash, piece, len);
                store_forget(s, pos, len);
                pos += len;
                if (digest_now() < said + DIGEST_SAY_S)
                        continue;
                said = digest_now();
                r = digest_say(channel, m, pos, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int digest_read(DigestFile *f, StateDigest *fact, int channel, Err *err)
{
        Message m = { .kind = MESSAGE_DIGEST, .digest.layer = f->number };
        _cleanup_(hash_freep) KdfHash *hash = kdf_hash_new("sha256");
        if (!hash)
                return err_set(err, ENOMEM, "%m");

        int r = store_get_size(f->store, &m.digest.total);
        if (r < 0)
                return err_set(err, -r, "cannot get the size: %m");
        r = digest_say(channel, &m, 0, err);
        if (r >= 0)
                r = digest_read_all(f->store, hash, channel, &m, err);
        if (r < 0)
                return r;
        kdf_hash_get(hash, m.digest.sha256);
        for (size_t i = 0; i < sizeof(m.digest.sha256); i++)
                snprintf(fact->sha256 + 2 * i, 3, "%02x", m.digest.sha256[i]);
        m.digest.is_done = true;
        return digest_say(channel, &m, m.digest.total, err);
}

int digests_read(Digests *d, int channel, Err *err)
{
        for (size_t i = 0; i < d->count; i++) {
                int r = digest_read(&d->files[i], &d->facts[i], channel, err);
                if (r < 0)
                        return err_prefix(err, r, "sha256 of %s", d->facts[i].file);
        }
        return 0;
}

void digests_done(Digests *d)
{
        for (size_t i = 0; i < d->count; i++)
                free(d->facts[i].file);
        free(d->files);
        free(d->facts);
        *d = (Digests){ 0 };
}
