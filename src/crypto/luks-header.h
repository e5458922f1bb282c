/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of a LUKS container, versions 1 and 2, read and checked. Nothing here knows a key.
 *
 * Sources: LUKS1 on-disk format 1.2.3, LUKS2 on-disk format 1.1.4. A LuksHeader is a plain value. Positions count from the beginning
 * of the container, which in a qcow2 lies somewhere in the file.
 */
#pragma once

#include "base/err.h"
#include "crypto/kdf.h"
#include "crypto/sector-cipher.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        LUKS_SLOT_COUNT_MAX = 32,
        LUKS1_SLOT_COUNT = 8,
        LUKS_UUID_LEN = 40,
        LUKS_LABEL_LEN = 48,
        LUKS_STRIPES = 4000,
};

#define LUKS_PAYLOAD_TO_END UINT64_MAX

typedef struct LuksSlot {
        bool active;
        bool usable; /* opens what is shown: of LUKS2, the digest of the segment names it */
        unsigned number;
        Kdf kdf;
        char af_hash[KDF_HASH_NAME_MAX];
        SectorCipherKind kind; /* of the key material */
        size_t area_key_len;   /* what the passphrase is made into */
        uint64_t pos;          /* of the key material */
        uint32_t stripes;
} LuksSlot;

typedef struct LuksHeader {
        uint32_t version;
        char uuid[LUKS_UUID_LEN + 1];
        char label[LUKS_LABEL_LEN + 1]; /* LUKS2 */
        SectorCipherKind kind;
        char hash[KDF_HASH_NAME_MAX]; /* LUKS1: the one hash; LUKS2: that of the digest */
        size_t key_len;
        uint64_t payload_pos;
        uint64_t payload_len; /* LUKS_PAYLOAD_TO_END: what the file has */
        uint64_t iv_first;    /* the number of the first sector */

        Kdf digest;
        uint8_t digest_bytes[KDF_HASH_LEN_MAX];
        size_t digest_len;

        size_t slot_count;
        LuksSlot slots[LUKS_SLOT_COUNT_MAX];
        uint64_t end; /* behind the header and all key material */

        /* LUKS2 */
        uint64_t sequence;  /* of the copy that counts */
        bool copy_is_newer; /* the second copy was taken */
        bool copy_is_bad;   /* one of the two is damaged or old */
        char why_bad[128];  /* in words */
} LuksHeader;

typedef struct LuksPlace {
        Store *store;  /* borrowed */
        uint64_t base; /* where the container begins */
        uint64_t len;  /* how long it can be */
        bool detached; /* the payload lies elsewhere (qcow2): where it begins is not looked at */
} LuksPlace;

/* Reads the header of either version. */
int luks_header_read(const LuksPlace *place, LuksHeader *ret, Err *err);

/* luks2.c, when the version is known. */
int luks2_header_read(const LuksPlace *place, LuksHeader *ret, Err *err);

/* What both versions ask: the ciphers exist, the cost is within bounds, key material lies within the container. */
int luks_header_check(const LuksPlace *place, LuksHeader *h, Err *err);
