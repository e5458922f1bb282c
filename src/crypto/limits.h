/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the header of an encrypted image may ask for before anybody knows whether a passphrase fits: it dictates the cost of every try.
 * As block/limits.h, which has the bounds of everything else.
 */
#pragma once

#include <stdint.h>

/* Iterations of PBKDF2 for one passphrase, over all key slots and the digest: a minute or two. Real images: cryptsetup takes as
 * many as a machine does in two seconds, 1 to 10 million for each of a few slots. */
#define LIMIT_KDF_ITERATIONS UINT64_C(100000000)

/* Bytes of memory of Argon2: the most that cryptsetup takes unless it is told otherwise. A worker may have them only while it
 * tries a passphrase: base/memory-limit.h. */
#define LIMIT_KDF_MEMORY (UINT64_C(1) << 30)

/* Bytes that Argon2 writes for one passphrase, memory times passes over all key slots: about two minutes. Real images: 4 passes
 * over up to 1 GiB for a slot. */
#define LIMIT_KDF_MEMORY_PASSES (UINT64_C(64) << 30)

/* Lanes of Argon2. cryptsetup takes at most 4. */
#define LIMIT_KDF_LANES 64

/* Bytes of the text in a LUKS2 header, and of its punctuation, each of which costs some hundred bytes of memory when it is
 * read. Real images: 1 KiB, and 50 of them for each key slot. */
#define LIMIT_LUKS2_TEXT (256 << 10)
#define LIMIT_LUKS2_PUNCTUATION 8192
