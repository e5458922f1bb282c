/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes keys of a LUKS cheap, where a header may ask for a minute of work for each passphrase, and gives the headers of
 * LUKS2 the right checksums.
 */
#include "base/bits.h"
#include "base/disk-int.h"
#include "crypto/kdf.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

void fuzz_mend(uint8_t *bytes, size_t len);

enum {
        MAGIC_LEN = 6,
        ITERATIONS_MAX = 2000,

        LUKS1_DIGEST_ITERATIONS = 164,
        LUKS1_SLOT_ITERATIONS = 212,
        LUKS1_SLOT_LEN = 48,
        LUKS1_SLOTS = 8,
        LUKS1_LEN = 592,

        LUKS2_LEN_AT = 8,
        LUKS2_ALGORITHM_AT = 72,
        LUKS2_ALGORITHM_LEN = 32,
        LUKS2_CHECKSUM_AT = 448,
        LUKS2_CHECKSUM_LEN = 64,
        LUKS2_TEXT_AT = 4096,
        LUKS2_LEN_MAX = 256 << 10, /* longer ones cost too much time */

        DIGITS_MAX = 4, /* of a number in the text that says how much work something is */
};

static const uint8_t magic_first[MAGIC_LEN] = "LUKS\xba\xbe";
static const uint8_t magic_second[MAGIC_LEN] = "SKUL\xba\xbe";

static void mend_number(uint8_t *bytes)
{
        be32 number;

        memcpy(&number, bytes, sizeof(number));
        number = to_be32((uint32_t)u64_min(from_be32(number), ITERATIONS_MAX));
        memcpy(bytes, &number, sizeof(number));
}

static void mend_first(uint8_t *bytes)
{
        mend_number(bytes + LUKS1_DIGEST_ITERATIONS);
        for (size_t i = 0; i < LUKS1_SLOTS; i++)
                mend_number(bytes + LUKS1_SLOT_ITERATIONS + i * LUKS1_SLOT_LEN);
}

/* Numbers of the text lose digits beyond the first ones. */
static void mend_text(uint8_t *text, size_t len)
{
        static const char *const names[] = { "\"iterations\":", "\"memory\":", "\"time\":" };

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                size_t name_len = strlen(names[i]);
                uint8_t *at = text, *end = text + len;
                while ((at = memmem(at, (size_t)(end - at), names[i], name_len)) != NULL) {
                        at += name_len;
                        for (size_t digits = 0; at < end && isdigit(*at); at++, digits++)
                                *at = digits < DIGITS_MAX ? *at : ' ';
                }
        }
}

static void mend_second(uint8_t *bytes, size_t len)
{
        char algorithm[LUKS2_ALGORITHM_LEN];
        size_t sum_len = 0;
        be64 header_len;

        memcpy(&header_len, bytes + LUKS2_LEN_AT, sizeof(header_len));
        uint64_t count = from_be64(header_len);
        if (count < LUKS2_TEXT_AT || count > len || count > LUKS2_LEN_MAX)
                return;
        memcpy(algorithm, bytes + LUKS2_ALGORITHM_AT, sizeof(algorithm));
        if (!memchr(algorithm, 0, sizeof(algorithm)) || kdf_hash_len(algorithm, &sum_len, NULL) < 0)
                return;
        mend_text(bytes + LUKS2_TEXT_AT, (size_t)count - LUKS2_TEXT_AT);
        memset(bytes + LUKS2_CHECKSUM_AT, 0, LUKS2_CHECKSUM_LEN);
        KdfHash *hash = kdf_hash_new(algorithm);
        if (!hash)
                return;
        kdf_hash_add(hash, bytes, (size_t)count);
        kdf_hash_get(hash, bytes + LUKS2_CHECKSUM_AT);
        kdf_hash_free(hash);
}

void fuzz_mend(uint8_t *bytes, size_t len)
{
        for (size_t pos = 0; in_range(pos, LUKS2_TEXT_AT, len); pos += LUKS2_TEXT_AT) {
                uint8_t *at = bytes + pos;
                if (memcmp(at, magic_first, MAGIC_LEN) != 0 &&
                    memcmp(at, magic_second, MAGIC_LEN) != 0)
                        continue;
                if (at[MAGIC_LEN] == 0 && at[MAGIC_LEN + 1] == 1)
                        mend_first(at);
                else
                        mend_second(at, len - pos);
        }
}
