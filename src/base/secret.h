/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A passphrase, in pages of its own: they stay out of swap where the limit of locked memory permits, out of core dumps and
 * out of children, and are wiped before they are given back. Owned by whoever got it, and freed as soon as it was used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        /* cryptsetup takes 512 bytes from a person, and key files are seldom longer than 4096. */
        SECRET_MAX = 8192,
};

typedef struct Secret {
        size_t len;
        uint8_t bytes[SECRET_MAX]; /* any bytes; no NUL at the end */
} Secret;

/* An empty one. NULL: no memory. */
Secret *secret_new(void);

Secret *secret_free(Secret *s);

/* Its last byte is a newline, which an editor or echo put there. */
bool secret_ends_with_newline(const Secret *s);

static inline void secret_freep(Secret **s)
{
        *s = secret_free(*s);
}
#define _cleanup_secret_ __attribute__((cleanup(secret_freep)))
