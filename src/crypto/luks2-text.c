/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crypto/luks2-text.h"

#include "base/cleanup.h"
#include "crypto/limits.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* Ours needs 4; a token of somebody else's may go deeper. */
        LUKS2_TEXT_DEPTH = 32,
        LUKS2_WORD_MAX = 128,
        KIB = 1024,
};

static void json_done(json_object **o)
{
        json_object_put(*o);
}

static void json_tokener_done(json_tokener **t)
{
        if (*t)
                json_tokener_free(*t);
}

static json_object *luks2_get(json_object *o, const char *key, json_type type)
{
        json_object *found = NULL;

        if (!json_object_is_type(o, json_type_object) ||
            !json_object_object_get_ex(o, key, &found) || !json_object_is_type(found, type))
                return NULL;
        return found;
}

static int luks2_lacks(const char *key, Err *err)
{
        return err_set(err, EBADMSG, "'%s' is missing or of another type than it should be", key);
}

static int luks2_object(json_object *o, const char *key, json_object **ret, Err *err)
{
        *ret = luks2_get(o, key, json_type_object);
        return *ret ? 0 : luks2_lacks(key, err);
}

static int luks2_word(json_object *o, const char *key, char *ret, size_t size, Err *err)
{
        json_object *found = luks2_get(o, key, json_type_string);
        if (!found)
                return luks2_lacks(key, err);
        if ((size_t)json_object_get_string_len(found) >= size ||
            strlen(json_object_get_string(found)) >= size)
                return err_set(err, EBADMSG, "'%s' is too long", key);
        strcpy(ret, json_object_get_string(found));
        return 0;
}

/* A text of which only one value is known to us. */
static int luks2_expect(json_object *o, const char *key, const char *only, Err *err)
{
        char word[LUKS2_WORD_MAX];

        int r = luks2_word(o, key, word, sizeof(word), err);
        if (r < 0 || strcmp(word, only) == 0)
                return r;
        return err_set(err, EOPNOTSUPP, "'%s' is '%s', of which only '%s' is supported", key, word,
                       only);
}

/* A number that JSON can say. */
static int luks2_number(json_object *o, const char *key, uint32_t *ret, Err *err)
{
        json_object *found = luks2_get(o, key, json_type_int);
        int64_t value = found ? json_object_get_int64(found) : -1;

        if (!found)
                return luks2_lacks(key, err);
        if (value < 0 || value > UINT32_MAX)
                return err_set(err, EBADMSG, "'%s' is %lld", key, (long long)value);
        *ret = (uint32_t)value;
        return 0;
}

/* Public specification: numbers of 64 bits are decimal strings. */
static int luks2_number64(json_object *o, const char *key, uint64_t *ret, Err *err)
{
        char word[LUKS2_WORD_MAX];
        char *end = NULL;

        int r = luks2_word(o, key, word, sizeof(word), err);
        if (r < 0)
                return r;
        errno = 0;
        unsigned long long value = strtoull(word, &end, 10);
        if (errno != 0 || end == word || *end != '\0' || word[0] < '0' || word[0] > '9')
                return err_set(err, EBADMSG, "'%s' is '%s' and no number", key, word);
        *ret = value;
        return 0;
}

static int luks2_base64_digit(char c)
{
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *found = c ? strchr(digits, c) : NULL;
        return found ? (int)(found - digits) : -1;
}

/* Bytes in base64. */
static int luks2_bytes(
        json_object *o, const char *key, uint8_t *ret, size_t size, size_t *ret_len, Err *err)
{
        json_object *found = luks2_get(o, key, json_type_string);
        const char *c = found ? json_object_get_string(found) : NULL;
        uint32_t bits = 0;
        int bit_count = 0;
        size_t len = 0;

        if (!found)
                return luks2_lacks(key, err);
        for (; *c && *c != '='; c++) {
                int digit = luks2_base64_digit(*c);
                if (digit < 0)
                        return err_set(err, EBADMSG, "'%s' is not in base64", key);
                bits = bits << 6 | (uint32_t)digit;
                bit_count += 6;
                if (bit_count < 8)
                        continue;
                bit_count -= 8;
                if (len == size)
                        return err_set(err, EBADMSG, "'%s' is longer than %zu bytes", key, size);
                ret[len++] = (uint8_t)(bits >> bit_count);
        }
        *ret_len = len;
        return 0;
}

static bool luks2_list_has(json_object *list, const char *word)
{
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                const char *item = json_object_get_string(json_object_array_get_idx(list, i));
                if (item && strcmp(item, word) == 0)
                        return true;
        }
        return false;
}

static int luks2_take_requirements(json_object *all, Err *err)
{
        json_object *config = NULL, *requirements, *mandatory;

        int r = luks2_object(all, "config", &config, err);
        if (r < 0)
                return r;
        requirements = luks2_get(config, "requirements", json_type_object);
        mandatory = requirements ? luks2_get(requirements, "mandatory", json_type_array) : NULL;
        if (!mandatory || json_object_array_length(mandatory) == 0)
                return 0;
        const char *first = json_object_get_string(json_object_array_get_idx(mandatory, 0));
        if (first && strstr(first, "reencrypt"))
                return err_set(err, EOPNOTSUPP,
                               "a reencryption is under way ('%s'): 'cryptsetup reencrypt' has to "
                               "finish it first",
                               first);
        return err_set(err, EOPNOTSUPP, "the image requires '%s', which is not supported",
                       first ? first : "null");
}

static int luks2_take_segment(json_object *all, LuksHeader *h, Err *err)
{
        json_object *segments = NULL, *segment = NULL, *flags;
        char encryption[LUKS2_WORD_MAX], size[LUKS2_WORD_MAX];
        uint32_t sector_size = 0;

        int r = luks2_object(all, "segments", &segments, err);
        if (r < 0)
                return r;
        int count = json_object_object_length(segments);
        if (count != 1)
                return err_set(err, EOPNOTSUPP, "%d segments, of which only 1 is supported", count);
        r = luks2_object(segments, "0", &segment, err);
        if (r >= 0)
                r = luks2_expect(segment, "type", "crypt", err);
        if (r < 0)
                return err_prefix(err, r, "segment 0");
        if (json_object_object_get_ex(segment, "integrity", NULL))
                return err_set(err, EOPNOTSUPP,
                               "segment 0 has 'integrity', which is not supported");
        flags = luks2_get(segment, "flags", json_type_array);
        if (flags && json_object_array_length(flags) > 0)
                return err_set(err, EOPNOTSUPP,
                               "segment 0 has the flag '%s', which is not supported",
                               json_object_get_string(json_object_array_get_idx(flags, 0)));
        r = luks2_number64(segment, "offset", &h->payload_pos, err);
        if (r >= 0)
                r = luks2_number64(segment, "iv_tweak", &h->iv_first, err);
        if (r >= 0)
                r = luks2_number(segment, "sector_size", &sector_size, err);
        if (r >= 0)
                r = luks2_word(segment, "encryption", encryption, sizeof(encryption), err);
        if (r >= 0)
                r = sector_cipher_parse(encryption, sector_size, &h->kind, err);
        if (r >= 0)
                r = luks2_word(segment, "size", size, sizeof(size), err);
        h->payload_len = LUKS_PAYLOAD_TO_END;
        if (r >= 0 && strcmp(size, "dynamic") != 0)
                r = luks2_number64(segment, "size", &h->payload_len, err);
        return r < 0 ? err_prefix(err, r, "segment 0") : 0;
}

/* The digest of the segment: *ret_slots is the list of the key slots that open it. */
static int luks2_find_digest(json_object *all, json_object **ret, json_object **ret_slots, Err *err)
{
        json_object *digests = NULL, *found = NULL;

        int r = luks2_object(all, "digests", &digests, err);
        if (r < 0)
                return r;
        json_object_object_foreach(digests, name, digest)
        {
                json_object *segments = luks2_get(digest, "segments", json_type_array);
                (void)name;
                if (!segments || !luks2_list_has(segments, "0"))
                        continue;
                if (found)
                        return err_set(err, EBADMSG, "segment 0 has two digests");
                found = digest;
        }
        if (!found)
                return err_set(err, EBADMSG, "segment 0 has no digest");
        *ret_slots = luks2_get(found, "keyslots", json_type_array);
        if (!*ret_slots)
                return luks2_lacks("keyslots", err);
        *ret = found;
        return 0;
}

static int luks2_take_digest(json_object *digest, LuksHeader *h, Err *err)
{
        uint32_t iterations = 0;
        size_t expected = 0;

        int r = luks2_expect(digest, "type", "pbkdf2", err);
        if (r >= 0)
                r = luks2_word(digest, "hash", h->hash, sizeof(h->hash), err);
        if (r >= 0)
                r = luks2_number(digest, "iterations", &iterations, err);
        if (r >= 0)
                r = luks2_bytes(digest, "salt", h->digest.salt, sizeof(h->digest.salt),
                                &h->digest.salt_len, err);
        if (r >= 0)
                r = luks2_bytes(digest, "digest", h->digest_bytes, sizeof(h->digest_bytes),
                                &h->digest_len, err);
        if (r >= 0)
                r = kdf_hash_len(h->hash, &expected, err);
        if (r < 0)
                return r;
        /* A digest of nothing would be that of every key. */
        if (h->digest_len != expected)
                return err_set(err, EBADMSG, "it has %zu bytes where %s makes %zu", h->digest_len,
                               h->hash, expected);
        h->digest.kind = KDF_PBKDF2;
        h->digest.iterations = iterations;
        strcpy(h->digest.hash, h->hash);
        return 0;
}

static int luks2_take_argon2(json_object *kdf, Kdf *ret, Err *err)
{
        uint32_t passes = 0, memory = 0;

        int r = luks2_number(kdf, "time", &passes, err);
        if (r >= 0)
                r = luks2_number(kdf, "memory", &memory, err);
        if (r >= 0)
                r = luks2_number(kdf, "cpus", &ret->lanes, err);
        ret->iterations = passes;
        ret->memory = (uint64_t)memory * KIB;
        return r;
}

static int luks2_take_kdf(json_object *kdf, Kdf *ret, Err *err)
{
        char type[LUKS2_WORD_MAX];
        uint32_t iterations = 0;

        int r = luks2_word(kdf, "type", type, sizeof(type), err);
        if (r >= 0)
                r = luks2_bytes(kdf, "salt", ret->salt, sizeof(ret->salt), &ret->salt_len, err);
        if (r < 0)
                return r;
        if (strcmp(type, "argon2i") == 0 || strcmp(type, "argon2id") == 0) {
                ret->kind = type[7] ? KDF_ARGON2ID : KDF_ARGON2I;
                return luks2_take_argon2(kdf, ret, err);
        }
        if (strcmp(type, "pbkdf2") != 0)
                return err_set(err, EOPNOTSUPP, "its kdf '%s' is not supported", type);
        ret->kind = KDF_PBKDF2;
        r = luks2_word(kdf, "hash", ret->hash, sizeof(ret->hash), err);
        if (r >= 0)
                r = luks2_number(kdf, "iterations", &iterations, err);
        ret->iterations = iterations;
        return r;
}

static int luks2_take_area(json_object *slot, LuksSlot *s, uint64_t *ret_len, Err *err)
{
        json_object *area = NULL;
        char encryption[LUKS2_WORD_MAX];
        uint32_t key_len = 0;

        int r = luks2_object(slot, "area", &area, err);
        if (r >= 0)
                r = luks2_expect(area, "type", "raw", err);
        if (r >= 0)
                r = luks2_number64(area, "offset", &s->pos, err);
        if (r >= 0)
                r = luks2_number64(area, "size", ret_len, err);
        if (r >= 0)
                r = luks2_number(area, "key_size", &key_len, err);
        if (r >= 0)
                r = luks2_word(area, "encryption", encryption, sizeof(encryption), err);
        if (r >= 0)
                r = sector_cipher_parse(encryption, SECTOR_CIPHER_UNIT, &s->kind, err);
        s->area_key_len = key_len;
        return r;
}

static int luks2_take_slot(json_object *slot, LuksSlot *s, uint32_t *ret_key_len, Err *err)
{
        json_object *af = NULL, *kdf = NULL;
        uint64_t area_len = 0;

        int r = luks2_expect(slot, "type", "luks2", err);
        if (r >= 0)
                r = luks2_number(slot, "key_size", ret_key_len, err);
        if (r >= 0)
                r = luks2_take_area(slot, s, &area_len, err);
        if (r >= 0)
                r = luks2_object(slot, "af", &af, err);
        if (r >= 0)
                r = luks2_expect(af, "type", "luks1", err);
        if (r >= 0)
                r = luks2_number(af, "stripes", &s->stripes, err);
        if (r >= 0)
                r = luks2_word(af, "hash", s->af_hash, sizeof(s->af_hash), err);
        if (r >= 0)
                r = luks2_object(slot, "kdf", &kdf, err);
        if (r >= 0)
                r = luks2_take_kdf(kdf, &s->kdf, err);
        if (r < 0)
                return r;
        if ((uint64_t)*ret_key_len * s->stripes > area_len)
                return err_set(err, EBADMSG, "its area of %llu bytes is too small for its key",
                               (unsigned long long)area_len);
        return 0;
}

/* The number that is a slot's name. */
static int luks2_slot_number(const char *name, unsigned *ret, Err *err)
{
        char *end = NULL;
        unsigned long number = strtoul(name, &end, 10);

        if (end == name || *end != '\0' || number >= LUKS_SLOT_COUNT_MAX)
                return err_set(err, EBADMSG, "'%s' is not the number of a key slot", name);
        *ret = (unsigned)number;
        return 0;
}

/* One that the digest of the segment does not name holds another key, of which nothing is shown. */
static int luks2_take_named_slot(
        json_object *slots, const char *name, json_object *usable, LuksHeader *h, Err *err)
{
        LuksSlot *s = &h->slots[h->slot_count];
        json_object *slot = luks2_get(slots, name, json_type_object);
        uint32_t key_len = 0;

        if (h->slot_count == LUKS_SLOT_COUNT_MAX)
                return err_set(err, EBADMSG, "more than %d key slots", LUKS_SLOT_COUNT_MAX);
        *s = (LuksSlot){ .stripes = LUKS_STRIPES };
        int r = luks2_slot_number(name, &s->number, err);
        if (r < 0)
                return r;
        h->slot_count++;
        if (!luks2_list_has(usable, name))
                return 0;
        r = slot ? luks2_take_slot(slot, s, &key_len, err) : luks2_lacks(name, err);
        if (r < 0)
                return err_prefix(err, r, "key slot %s", name);
        if (h->key_len != 0 && h->key_len != key_len)
                return err_set(err, EBADMSG, "key slot %s has a key of %u bytes, others of %zu",
                               name, key_len, h->key_len);
        h->key_len = key_len;
        s->active = s->usable = true;
        return 0;
}

static int luks2_take_slots(json_object *all, json_object *usable, LuksHeader *h, Err *err)
{
        json_object *slots = NULL;

        int r = luks2_object(all, "keyslots", &slots, err);
        if (r < 0)
                return r;
        json_object_object_foreach(slots, name, unused)
        {
                (void)unused;
                r = luks2_take_named_slot(slots, name, usable, h, err);
                if (r < 0)
                        return r;
        }
        if (h->key_len == 0)
                return err_set(err, EOPNOTSUPP, "no key slot opens the data with a passphrase");
        return 0;
}

static bool luks2_is_bounded(const char *text)
{
        size_t count = 0;

        for (const char *c = text; *c; c++)
                count += strchr("[]{},:", *c) != NULL;
        return count <= LIMIT_LUKS2_PUNCTUATION;
}

int luks2_text_take(const char *text, LuksHeader *h, Err *err)
{
        _cleanup_(json_tokener_done) json_tokener *tokener = NULL;
        _cleanup_(json_done) json_object *all = NULL;
        json_object *digest = NULL, *usable = NULL;

        if (!luks2_is_bounded(text))
                return err_set(err, EFBIG,
                               "the header's text has more than %d brackets, commas and colons",
                               LIMIT_LUKS2_PUNCTUATION);
        tokener = json_tokener_new_ex(LUKS2_TEXT_DEPTH);
        if (!tokener)
                return err_set(err, ENOMEM, "%m");
        all = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
        if (!json_object_is_type(all, json_type_object))
                return err_set(err, EBADMSG, "the header's text is not JSON: %s",
                               json_tokener_error_desc(json_tokener_get_error(tokener)));
        int r = luks2_take_requirements(all, err);
        if (r >= 0)
                r = luks2_take_segment(all, h, err);
        if (r >= 0)
                r = luks2_find_digest(all, &digest, &usable, err);
        if (r < 0)
                return r;
        r = luks2_take_digest(digest, h, err);
        if (r < 0)
                return err_prefix(err, r, "the digest of the key");
        return luks2_take_slots(all, usable, h, err);
}
