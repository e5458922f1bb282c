/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake/luks.h"

#include "base/disk-int.h"
#include "crypto/kdf.h"
#include "fake/secret.h"

#include <string.h>

static const SectorCipherKind kind = {
        .cipher = "aes",
        .mode = "xts-plain64",
        .sector_size = 512,
};

static const uint8_t key[FAKE_LUKS_KEY] = "the key of the data, and 32 long";

static void put32(uint8_t *at, uint32_t value)
{
        be32 raw = to_be32(value);
        memcpy(at, &raw, sizeof(raw));
}

/* All stripes but the last are zeroes: what they come to. */
static void hash_stripes(uint8_t *ret)
{
        memset(ret, 0, FAKE_LUKS_KEY);
        for (int i = 0; i < 3999; i++) {
                uint8_t block[KDF_HASH_LEN_MAX];
                kdf_hash_numbered("sha256", 0, ret, FAKE_LUKS_KEY, block);
                memcpy(ret, block, FAKE_LUKS_KEY);
        }
}

static int put_material(uint8_t *material)
{
        Kdf kdf = { .hash = "sha256", .iterations = 2, .salt_len = 32 };
        uint8_t derived[FAKE_LUKS_KEY], last[FAKE_LUKS_KEY];
        SectorCipher *c = NULL;

        hash_stripes(last);
        for (int i = 0; i < FAKE_LUKS_KEY; i++)
                material[3999 * FAKE_LUKS_KEY + i] = last[i] ^ key[i];
        memset(kdf.salt, 's', 32);
        int r = kdf_derive(&kdf, (const uint8_t *)FAKE_PASSPHRASE, strlen(FAKE_PASSPHRASE), derived,
                           sizeof(derived), NULL);
        if (r >= 0)
                r = sector_cipher_new(&kind, derived, sizeof(derived), &c, NULL);
        if (r >= 0)
                r = sector_cipher_encrypt(c, 0, material, 4000 * FAKE_LUKS_KEY);
        sector_cipher_free(c);
        return r;
}

int fake_luks_header(uint8_t *image)
{
        Kdf digest = { .hash = "sha256", .iterations = 3, .salt_len = 32 };

        memcpy(image, "LUKS\xba\xbe\0\1", 8);
        strcpy((char *)image + 8, "aes");
        strcpy((char *)image + 40, "xts-plain64");
        strcpy((char *)image + 72, "sha256");
        put32(image + 104, FAKE_LUKS_PAYLOAD / 512);
        put32(image + 108, FAKE_LUKS_KEY);
        memset(digest.salt, 'd', 32);
        memset(image + 132, 'd', 32);
        put32(image + 164, 3);
        strcpy((char *)image + 168, "00000000-1111-2222-3333-444444444444");
        for (size_t i = 0; i < 8; i++) {
                uint8_t *slot = image + 208 + 48 * i;
                put32(slot, i == 0 ? 0x00ac71f3 : 0x0000dead);
                put32(slot + 4, i == 0 ? 2 : 0);
                memset(slot + 8, i == 0 ? 's' : 0, 32);
                put32(slot + 40, FAKE_LUKS_MATERIAL / 512);
                put32(slot + 44, 4000);
        }
        int r = kdf_derive(&digest, key, sizeof(key), image + 112, 20, NULL);
        return r < 0 ? r : put_material(image + FAKE_LUKS_MATERIAL);
}

int fake_luks_cipher(SectorCipher **ret)
{
        return sector_cipher_new(&kind, key, sizeof(key), ret, NULL);
}
