/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-cipher [MILLISECONDS]: libgcrypt beside OpenSSL's libcrypto, at sectors as LUKS has them: of 512 bytes, each with an initial vector of
 * its own, with handles that are kept. They take turns, and of each the best turn counts. What both make must be the same.
 */
#include <gcrypt.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        SECTOR = 512,
        SECTORS = 2048,
        TURNS = 5,
};

typedef enum Way { ENCRYPT, DECRYPT } Way;

typedef struct Subject {
        const char *name;
        int algorithm, mode;
        size_t key_len;
        const EVP_CIPHER *(*openssl)(void);
} Subject;

static const Subject subjects[] = {
        { "aes-256-xts", GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_XTS, 64, EVP_aes_256_xts },
        { "aes-128-xts", GCRY_CIPHER_AES128, GCRY_CIPHER_MODE_XTS, 32, EVP_aes_128_xts },
        { "aes-256-cbc", GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 32, EVP_aes_256_cbc },
        { "aes-128-cbc", GCRY_CIPHER_AES128, GCRY_CIPHER_MODE_CBC, 16, EVP_aes_128_cbc },
};

static uint8_t from[SECTORS * SECTOR], by_gcrypt[SECTORS * SECTOR], by_openssl[SECTORS * SECTOR];

static double now(void)
{
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put_vector(uint8_t *vector, unsigned sector)
{
        memset(vector, 0, 16);
        memcpy(vector, &sector, sizeof(sector));
}

static void run_gcrypt(gcry_cipher_hd_t h, Way way)
{
        for (unsigned i = 0; i < SECTORS; i++) {
                uint8_t vector[16];
                put_vector(vector, i);
                gcry_cipher_setiv(h, vector, sizeof(vector));
                if (way == ENCRYPT)
                        gcry_cipher_encrypt(h, by_gcrypt + i * SECTOR, SECTOR, from + i * SECTOR,
                                            SECTOR);
                else
                        gcry_cipher_decrypt(h, by_gcrypt + i * SECTOR, SECTOR, from + i * SECTOR,
                                            SECTOR);
        }
}

static void run_openssl(EVP_CIPHER_CTX *c)
{
        for (unsigned i = 0; i < SECTORS; i++) {
                uint8_t vector[16];
                int len;
                put_vector(vector, i);
                EVP_CipherInit_ex(c, NULL, NULL, NULL, vector, -1);
                EVP_CipherUpdate(c, by_openssl + i * SECTOR, &len, from + i * SECTOR, SECTOR);
        }
}

/* MiB a second of the better of two. */
static double better(double best, double seconds, unsigned rounds)
{
        double speed = rounds * (double)sizeof(from) / (1 << 20) / seconds;
        return speed > best ? speed : best;
}

static void measure(const Subject *s, Way way, double seconds)
{
        uint8_t key[64];
        gcry_cipher_hd_t h;
        EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
        double gcrypt = 0, openssl = 0;

        for (size_t i = 0; i < sizeof(key); i++)
                key[i] = (uint8_t)(i * 7 + 1);
        gcry_cipher_open(&h, s->algorithm, s->mode, 0);
        gcry_cipher_setkey(h, key, s->key_len);
        EVP_CipherInit_ex(c, s->openssl(), NULL, key, NULL, way == ENCRYPT);
        EVP_CIPHER_CTX_set_padding(c, 0);
        for (int turn = 0; turn < TURNS; turn++) {
                unsigned rounds = 0;
                double start = now();
                for (; now() - start < seconds; rounds++)
                        run_gcrypt(h, way);
                gcrypt = better(gcrypt, now() - start, rounds);
                start = now();
                for (rounds = 0; now() - start < seconds; rounds++)
                        run_openssl(c);
                openssl = better(openssl, now() - start, rounds);
        }
        printf("%-12s %s  %8.0f  %8.0f  %5.2f%s\n", s->name, way == ENCRYPT ? "write" : "read ",
               gcrypt, openssl, gcrypt / openssl,
               memcmp(by_gcrypt, by_openssl, sizeof(from)) ? "  THEY DIFFER" : "");
        gcry_cipher_close(h);
        EVP_CIPHER_CTX_free(c);
}

int main(int argc, char *argv[])
{
        double seconds = (argc > 1 ? atof(argv[1]) : 100) / 1000;

        gcry_check_version(NULL);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
        memset(from, 0x35, sizeof(from));
        printf("libgcrypt %s, %s; MiB/s in sectors of %d bytes, the best of %d turns\n",
               gcry_check_version(NULL), OpenSSL_version(OPENSSL_VERSION), SECTOR, TURNS);
        printf("%-12s        %8s  %8s  ratio\n", "", "gcrypt", "openssl");
        for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
                measure(&subjects[i], DECRYPT, seconds);
                measure(&subjects[i], ENCRYPT, seconds);
        }
        return 0;
}
