/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encrypted images. Only what the guest sees is encrypted, in clusters that are not compressed; tables never are.
 *
 * crypt_method 2: a LUKS1 header lies where an extension says, and sectors are numbered by where they lie in the file: so the store of
 * guest data becomes one that decrypts, and everything else stays as it is.
 *
 * crypt_method 1: AES with the passphrase itself for a key, and sectors are numbered by where the guest sees them. That is no
 * store, so each extent is a coded one, and such an image is only read. QEMU has not made new ones for VMs since 2016.
 */
#include "base/bits.h"
#include "block/opener.h"
#include "crypto/cipher-store.h"
#include "crypto/luks-key.h"
#include "format/qcow2/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static LuksPlace qcow2_luks_place(Node *n)
{
        const Qcow2 *q = n->state;

        return (LuksPlace){
                .store = n->store,
                .base = q->crypto_pos,
                .len = q->crypto_len,
                .detached = true,
        };
}

int qcow2_crypt_read(Node *n, Err *err)
{
        Qcow2 *q = n->state;
        LuksPlace place = qcow2_luks_place(n);

        if (q->header.crypt_method != QCOW2_CRYPT_LUKS)
                return 0;
        if (!in_range(place.base, place.len, round_up(q->file_size, q->cluster_size)))
                return err_set(err, EBADMSG,
                               "the encryption header at %" PRIu64 " of %" PRIu64
                               " bytes reaches beyond the end of the file",
                               place.base, place.len);
        if (qcow2_has_data_file(&q->header) &&
            (q->header.autoclear & QCOW2_AUTOCLEAR_DATA_FILE_RAW))
                return err_set(err, EOPNOTSUPP,
                               "the data file is said to be raw, and the image is encrypted");
        q->luks = calloc(1, sizeof(*q->luks));
        if (!q->luks)
                return err_set(err, ENOMEM, "%m");
        int r = luks_header_read(&place, q->luks, err);
        return r < 0 ? err_prefix(err, r, "encryption header") : 0;
}

/* What a passphrase is tried with. */
typedef struct Qcow2Lock {
        Node *node;
        SectorCipher *cipher; /* the result */
} Qcow2Lock;

/* Any passphrase fits: nothing in the image says which one is right. */
static int qcow2_fits_aes(void *arg, const Secret *s, Err *err)
{
        Qcow2Lock *lock = arg;
        return sector_cipher_new_qcow(s, &lock->cipher, err);
}

static int qcow2_fits_luks(void *arg, const Secret *s, Err *err)
{
        Qcow2Lock *lock = arg;
        const Qcow2 *q = lock->node->state;
        LuksPlace place = qcow2_luks_place(lock->node);

        return luks_key_unlock(&place, q->luks, s, &lock->cipher, err);
}

static int qcow2_unlock_luks(Node *n, Opener *opener, Err *err)
{
        Qcow2 *q = n->state;
        Qcow2Lock lock = { .node = n };

        int r = opener_unlock(opener, n->store, "qcow2", qcow2_fits_luks, &lock, err);
        if (r < 0)
                return r;
        r = cipher_store_new(&(CipherStoreOptions){ .inner = q->host_store, .cipher = lock.cipher },
                             &q->cipher_store);
        if (r < 0) {
                sector_cipher_free(lock.cipher);
                return err_set(err, -r, "%m");
        }
        q->data_store = q->cipher_store;
        return 0;
}

static int qcow2_unlock_aes(Node *n, Opener *opener, Err *err)
{
        Qcow2 *q = n->state;
        Qcow2Lock lock = { .node = n };

        if (n->writable)
                return err_set(
                        err, EOPNOTSUPP,
                        "the image is encrypted with crypt_method 1 (AES), and such an image "
                        "can only be opened read-only");
        int r = opener_unlock(opener, n->store, "qcow2", qcow2_fits_aes, &lock, err);
        if (r < 0)
                return r;
        q->aes = lock.cipher;
        q->data_store = q->host_store;
        return 0;
}

int qcow2_unlock(Node *n, Opener *opener, Err *err)
{
        Qcow2 *q = n->state;

        if (q->header.crypt_method == QCOW2_CRYPT_NONE) {
                q->data_store = q->host_store;
                return 0;
        }
        /* There is nothing that could be read with a passphrase. */
        if (n->stays_locked || !q->host_store)
                return 0;
        return q->header.crypt_method == QCOW2_CRYPT_LUKS ? qcow2_unlock_luks(n, opener, err)
                                                          : qcow2_unlock_aes(n, opener, err);
}

void qcow2_crypt_close(Qcow2 *q)
{
        q->cipher_store = store_free(q->cipher_store);
        q->aes = sector_cipher_free(q->aes);
        free(q->luks);
        q->luks = NULL;
}

void qcow2_aes_extent(Extent *e)
{
        e->kind = EXTENT_CODED;
        e->in_place = false;
        /* No entry of a compressed cluster looks like that: it has a bit above all of these. */
        e->cookie = e->off / QCOW2_SECTOR;
}

int qcow2_read_aes(Node *n, const Extent *e, void *buf)
{
        const Qcow2 *q = n->state;

        int r = store_read_padded(q->host_store, buf, e->len, e->pos);
        return r < 0 ? r : sector_cipher_decrypt(q->aes, e->off / QCOW2_SECTOR, buf, e->len);
}
