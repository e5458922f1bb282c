/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MD5 (RFC 1321), for the checksums that images have in them. It finds what went wrong by chance; against somebody who means
 * harm it is worth nothing. An Md5 is a value; one thread at a time.
 *
 * It is our own because libgcrypt is for encrypted images: EWF and Parallels are read without it, by formats that may use codecs
 * and no ciphers; and where the kernel is in FIPS mode libgcrypt refuses MD5.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
        MD5_LEN = 16,
        MD5_BLOCK_LEN = 64,
};

typedef struct Md5 {
        uint32_t sum[4];
        uint64_t len;                 /* of all that was added */
        uint8_t block[MD5_BLOCK_LEN]; /* what of it fills no block yet */
} Md5;

void md5_begin(Md5 *m);
void md5_add(Md5 *m, const void *bytes, size_t len);

/* Nothing can be added any more. */
void md5_end(Md5 *m, uint8_t ret[static MD5_LEN]);
