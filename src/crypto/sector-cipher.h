/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A cipher that works on sectors: each has a number, from which its initial vector is made, so that equal sectors do not look
 * equal. Sectors are 512 to 4096 bytes long; numbers always count 512 bytes, as in dm-crypt and QEMU.
 *
 * A SectorCipher is made once with its key and used from any thread: each call takes one of a few sets of handles. Nothing is
 * allocated per sector. The key is wiped when it is freed.
 */
#pragma once

#include "base/err.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        SECTOR_CIPHER_UNIT = 512,
        SECTOR_CIPHER_SECTOR_MAX = 4096,
        SECTOR_CIPHER_KEY_MAX = 64,
        /* Of a name like "aes" or "cbc-essiv:sha256", with the NUL. */
        SECTOR_CIPHER_NAME_MAX = 32,
};

typedef struct SectorCipher SectorCipher;

/* What is to be used: the two words of dm-crypt, as "aes" and "xts-plain64". */
typedef struct SectorCipherKind {
        char cipher[SECTOR_CIPHER_NAME_MAX];
        char mode[SECTOR_CIPHER_NAME_MAX]; /* and how the initial vector is made */
        uint32_t sector_size;
} SectorCipherKind;

/* Takes "aes-xts-plain64" apart. EBADMSG: that is no such word. */
int sector_cipher_parse(const char *text, uint32_t sector_size, SectorCipherKind *ret, Err *err);

/* Is there such a cipher, and does a key of `key_len` bytes go with it? EOPNOTSUPP by name, EBADMSG for the length. */
int sector_cipher_check(const SectorCipherKind *kind, size_t key_len, Err *err);

/* Keeps no reference to `key`. */
int sector_cipher_new(const SectorCipherKind *kind,
                      const uint8_t *key,
                      size_t key_len,
                      SectorCipher **ret,
                      Err *err);

/* The one of old qcow and qcow2 images (crypt_method 1): AES-128-CBC, the first 16 bytes of the passphrase for a key, and the numbers of
 * sectors as the guest sees them. Every passphrase fits, and a wrong one gives noise. */
int sector_cipher_new_qcow(const Secret *s, SectorCipher **ret, Err *err);

/* Whole sectors, in place; the first has the number `sector`, the next one that and the sector size / 512. */
int sector_cipher_encrypt(SectorCipher *c, uint64_t sector, void *buf, size_t len);
int sector_cipher_decrypt(SectorCipher *c, uint64_t sector, void *buf, size_t len);

uint32_t sector_cipher_sector_size(const SectorCipher *c);

/* Accepts NULL; returns NULL. */
SectorCipher *sector_cipher_free(SectorCipher *c);

static inline void sector_cipher_freep(SectorCipher **c)
{
        *c = sector_cipher_free(*c);
}
#define _cleanup_sector_cipher_ __attribute__((cleanup(sector_cipher_freep)))
