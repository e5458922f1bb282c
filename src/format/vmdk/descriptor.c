/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The descriptor: lines "key = value", lines that describe an extent, comments. Anybody can have written it, so each
 * line is one of these three or an error, and what stands twice and could mean two things is one as well.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "block/limits.h"
#include "block/table.h"
#include "format/vmdk/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What stands in a text of an error at most, of what an image says. */
enum {
        VMDK_QUOTE_MAX = 60,
        VMDK_QUADS = 4,
};

#define VMDK_BLANKS " \t"

/* A word of the descriptor and what it stands for. */
typedef struct VmdkWord {
        const char *word;
        int value;
} VmdkWord;

static const VmdkWord vmdk_accesses[] = {
        { "RW", VMDK_RW },
        { "RDONLY", VMDK_RDONLY },
        { "NOACCESS", VMDK_NOACCESS },
        { NULL, 0 },
};

static const VmdkWord vmdk_kinds[] = {
        { "FLAT", VMDK_FLAT },
        { "VMFS", VMDK_FLAT },
        { "ZERO", VMDK_ZERO },
        { "SPARSE", VMDK_HOSTED },
        { "VMFSSPARSE", VMDK_COWD },
        { "SESPARSE", VMDK_SESPARSE },
        { NULL, 0 },
};

/* Those whose extents are files of the kinds that we know. Raw devices, and what is made of several disks by a program
 * that knows more, are not among them. */
static const VmdkWord vmdk_create_types[] = {
        { "monolithicSparse", 1 },
        { "monolithicFlat", 1 },
        { "twoGbMaxExtentSparse", 1 },
        { "twoGbMaxExtentFlat", 1 },
        { "2GbMaxExtentSparse", 1 },
        { "2GbMaxExtentFlat", 1 },
        { "streamOptimized", 1 },
        { "vmfs", 1 },
        { "vmfsThin", 1 },
        { "vmfsEagerZeroedThick", 1 },
        { "vmfsPreallocated", 1 },
        { "vmfsSparse", 1 },
        { "seSparse", 1 },
        { NULL, 0 },
};

static bool text_is(VmdkText t, const char *word)
{
        return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

static bool text_begins(VmdkText t, const char *word)
{
        return t.len >= strlen(word) && strncasecmp(t.at, word, strlen(word)) == 0;
}

static const VmdkWord *word_find(const VmdkWord *words, VmdkText t)
{
        for (; words->word; words++)
                if (text_is(t, words->word))
                        return words;
        return NULL;
}

static int quote_len(VmdkText t)
{
        return (int)u64_min(t.len, VMDK_QUOTE_MAX);
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static VmdkText text_trim(VmdkText t)
{
        while (t.len > 0 && is_blank(t.at[0]))
                t = (VmdkText){ t.at + 1, t.len - 1 };
        while (t.len > 0 && is_blank(t.at[t.len - 1]))
                t.len--;
        return t;
}

/* The line at *at, which goes on behind it; lines end with LF, CR or both. */
static bool text_take_line(VmdkText all, size_t *at, VmdkText *ret)
{
        if (*at >= all.len)
                return false;
        const char *from = all.at + *at;
        size_t len = 0;
        while (*at + len < all.len && from[len] != '\n' && from[len] != '\r')
                len++;
        *ret = text_trim((VmdkText){ from, len });
        *at += len + (*at + len < all.len);
        return true;
}

/* Takes the first word off the text. */
static VmdkText text_take_word(VmdkText *t)
{
        *t = text_trim(*t);
        VmdkText word = { t->at, 0 };
        while (word.len < t->len && !is_blank(t->at[word.len]))
                word.len++;
        t->at += word.len;
        t->len -= word.len;
        return word;
}

/* Takes what stands between two quotes off the text. */
static bool text_take_quoted(VmdkText *t, VmdkText *ret)
{
        *t = text_trim(*t);
        if (t->len == 0 || t->at[0] != '"')
                return false;
        const char *from = t->at + 1;
        const char *end = memchr(from, '"', t->len - 1);
        if (!end)
                return false;
        *ret = (VmdkText){ from, (size_t)(end - from) };
        t->len -= (size_t)(end - t->at) + 1;
        t->at = end + 1;
        return true;
}

/* A number made of digits alone. */
static bool text_number(VmdkText t, unsigned base, uint64_t *ret)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < t.len; i++) {
                int digit = hex_digit(t.at[i]);
                if (digit < 0 || (unsigned)digit >= base ||
                    __builtin_mul_overflow(sum, (uint64_t)base, &sum) ||
                    __builtin_add_overflow(sum, (uint64_t)digit, &sum))
                        return false;
        }
        *ret = sum;
        return t.len > 0;
}

/* The value without its quotes. */
static VmdkText text_unquote(VmdkText t)
{
        if (t.len >= 2 && t.at[0] == '"' && t.at[t.len - 1] == '"')
                return (VmdkText){ t.at + 1, t.len - 2 };
        return t;
}

static int text_copy(VmdkText t, char **ret, Err *err)
{
        char *copy = strndup(t.at, t.len);
        if (!copy)
                return err_set(err, ENOMEM, "%m");
        *ret = copy;
        return 0;
}

static bool text_is_comment(VmdkText line)
{
        return line.len == 0 || line.at[0] == '#';
}

/* Does a line describe an extent? Then `rest` is what follows its first word. */
static bool text_is_extent(VmdkText line, VmdkText *ret_rest, VmdkAccess *ret)
{
        const VmdkWord *access = word_find(vmdk_accesses, text_take_word(&line));

        /* "RW = 1" would be a key. */
        line = text_trim(line);
        if (!access || (line.len > 0 && line.at[0] == '='))
                return false;
        *ret_rest = line;
        *ret = (VmdkAccess)access->value;
        return true;
}

bool vmdk_is_descriptor(const char *head)
{
        for (;;) {
                head += strspn(head, VMDK_BLANKS "\r\n");
                if (*head != '#')
                        break;
                head += strcspn(head, "\r\n");
        }
        return strncmp(head, "version=", 8) == 0 && head[8] >= '1' && head[8] <= '3';
}

/* A content ID: at most 8 hex digits. */
static int descriptor_take_cid(const char *key, VmdkText value, uint32_t *ret, Err *err)
{
        uint64_t cid = 0;

        if (value.len > VMDK_CID_DIGITS_MAX || !text_number(value, 16, &cid))
                return err_set(err, EBADMSG,
                               "descriptor: %s '%.*s' is no number of 1 to 8 hex digits", key,
                               quote_len(value), value.at);
        *ret = (uint32_t)cid;
        return 0;
}

/* What is known of the keys while the text is read. */
typedef struct VmdkKeys {
        VmdkText version, cid, parent_cid, create_type, parent_name, long_cid, track;
} VmdkKeys;

static int keys_take(VmdkKeys *k, VmdkText key, VmdkText value, Err *err)
{
        const struct {
                const char *name;
                VmdkText *to;
        } known[] = {
                { "version", &k->version },
                { "CID", &k->cid },
                { "parentCID", &k->parent_cid },
                { "createType", &k->create_type },
                { "parentFileNameHint", &k->parent_name },
                { "ddb.longContentID", &k->long_cid },
                { "changeTrackPath", &k->track },
        };

        if (text_begins(key, "encryption."))
                return err_set(err, EOPNOTSUPP,
                               "descriptor: the disk is encrypted (%.*s), which cannot be read",
                               quote_len(key), key.at);
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
                if (!text_is(key, known[i].name))
                        continue;
                if (known[i].to->at)
                        return err_set(err, EBADMSG, "descriptor: %s stands there twice",
                                       known[i].name);
                *known[i].to = value;
        }
        return 0;
}

static int descriptor_take_line(
        VmdkDescriptor *d, VmdkKeys *keys, VmdkText line, unsigned number, Err *err)
{
        VmdkText rest = { 0 };
        VmdkAccess access;

        if (text_is_comment(line))
                return 0;
        if (text_is_extent(line, &rest, &access)) {
                d->extent_count++;
                return 0;
        }
        const char *equals = memchr(line.at, '=', line.len);
        if (!equals)
                return err_set(err, EBADMSG,
                               "descriptor: line %u is neither KEY=VALUE nor an extent: '%.*s'",
                               number, quote_len(line), line.at);
        VmdkText key = { line.at, (size_t)(equals - line.at) };
        VmdkText value = { equals + 1, line.len - key.len - 1 };
        return keys_take(keys, text_trim(key), text_unquote(text_trim(value)), err);
}

static int descriptor_take_version(VmdkText value, Err *err)
{
        uint64_t version = 0;

        if (!value.at)
                return err_set(err, EBADMSG, "descriptor: there is no version");
        if (!text_number(value, 10, &version) || version < 1 || version > 3)
                return err_set(err, EOPNOTSUPP, "descriptor: version '%.*s' is not known",
                               quote_len(value), value.at);
        return 0;
}

static int descriptor_take_type(VmdkDescriptor *d, VmdkText value, Err *err)
{
        if (!value.at)
                return err_set(err, EBADMSG, "descriptor: there is no createType");
        if (!word_find(vmdk_create_types, value))
                return err_set(err, EOPNOTSUPP,
                               "descriptor: createType '%.*s' is one that cannot be read",
                               quote_len(value), value.at);
        return text_copy(value, &d->create_type, err);
}

/* A disk without parentCID has no parent. One whose parent is named and not identified, or the other way round, would be
 * read wrongly. */
static int descriptor_take_parent(VmdkDescriptor *d, const VmdkKeys *k, Err *err)
{
        d->parent_cid = VMDK_CID_NONE;
        if (k->parent_cid.at) {
                int r = descriptor_take_cid("parentCID", k->parent_cid, &d->parent_cid, err);
                if (r < 0)
                        return r;
        }
        bool has_name = k->parent_name.at && k->parent_name.len > 0;
        if (d->parent_cid == VMDK_CID_NONE && has_name)
                return err_set(err, EBADMSG,
                               "descriptor: parentFileNameHint names a parent, and parentCID says "
                               "that there is none");
        if (d->parent_cid == VMDK_CID_NONE)
                return 0;
        if (!has_name)
                return err_set(err, EBADMSG,
                               "descriptor: parentCID %08" PRIx32
                               " says that there is a parent, and parentFileNameHint names none",
                               d->parent_cid);
        if (k->parent_name.len > LIMIT_NAME_LEN)
                return err_set(err, EFBIG,
                               "descriptor: parentFileNameHint of %zu bytes is longer than %d",
                               k->parent_name.len, LIMIT_NAME_LEN);
        return text_copy(k->parent_name, &d->parent_name, err);
}

static int descriptor_take_keys(VmdkDescriptor *d, const VmdkKeys *k, Err *err)
{
        uint64_t quad = 0;

        int r = descriptor_take_version(k->version, err);
        if (r < 0)
                return r;
        if (!k->cid.at)
                return err_set(err, EBADMSG, "descriptor: there is no CID");
        r = descriptor_take_cid("CID", k->cid, &d->cid, err);
        if (r < 0)
                return r;
        d->cid_at = (size_t)(k->cid.at - d->text);
        d->cid_digits = k->cid.len;
        r = descriptor_take_type(d, k->create_type, err);
        if (r < 0)
                return r;
        d->is_tracked = k->track.at && k->track.len > 0;

        /* 32 digits, of which the last 8 are the CID once more; what is not of that shape is left alone. */
        bool is_long = k->long_cid.at && k->long_cid.len == VMDK_LONG_CID_DIGITS;
        for (size_t i = 0; is_long && i < VMDK_QUADS; i++)
                is_long = text_number(
                        (VmdkText){ k->long_cid.at + i * VMDK_CID_DIGITS_MAX, VMDK_CID_DIGITS_MAX },
                        16, &quad);
        if (is_long)
                d->long_cid_at = (size_t)(k->long_cid.at - d->text);
        return descriptor_take_parent(d, k, err);
}

static int descriptor_parse(VmdkDescriptor *d, Err *err)
{
        VmdkText all = { d->text, d->len }, line = { 0 };
        VmdkKeys keys = { 0 };
        unsigned number = 1;

        for (size_t at = 0; text_take_line(all, &at, &line); number++) {
                int r = descriptor_take_line(d, &keys, line, number, err);
                if (r < 0)
                        return r;
        }
        int r = descriptor_take_keys(d, &keys, err);
        if (r < 0)
                return r;
        if (d->extent_count == 0)
                return err_set(err, EBADMSG, "descriptor: it describes no extent");
        if (d->extent_count > LIMIT_DISK_EXTENTS)
                return err_set(err, EFBIG,
                               "descriptor: it describes %zu extents, and the limit is %d",
                               d->extent_count, LIMIT_DISK_EXTENTS);
        return 0;
}

int vmdk_descriptor_read(Store *s, uint64_t pos, uint64_t len, VmdkDescriptor *d, Err *err)
{
        void *bytes = NULL;

        *d = (VmdkDescriptor){ .parent_cid = VMDK_CID_NONE, .cid = VMDK_CID_NONE };
        if (len > LIMIT_DESCRIPTOR_LEN)
                return err_set(err, EFBIG,
                               "a descriptor of %" PRIu64
                               " bytes is longer than the limit of %" PRIu64,
                               len, LIMIT_DESCRIPTOR_LEN);
        int r = table_read(s, pos, len, 1, "descriptor", &bytes, err);
        if (r < 0)
                return r;
        d->text = bytes;
        d->len = d->text ? strnlen(d->text, (size_t)len) : 0;
        if (d->len == 0)
                return 0;
        d->store = s;
        d->pos = pos;
        return descriptor_parse(d, err);
}

void vmdk_descriptor_done(VmdkDescriptor *d)
{
        free(d->text);
        free(d->create_type);
        free(d->parent_name);
        *d = (VmdkDescriptor){ 0 };
}

/* What stands behind the kind: a name, and for FLAT where it begins. */
static int line_take_place(VmdkLine *l, VmdkText rest, Err *err)
{
        if (l->kind != VMDK_ZERO) {
                if (!text_take_quoted(&rest, &l->name) || l->name.len == 0)
                        return err_set(err, EBADMSG, "it has no file name in quotes");
                if (l->name.len > LIMIT_NAME_LEN)
                        return err_set(err, EFBIG, "a file name of %zu bytes is longer than %d",
                                       l->name.len, LIMIT_NAME_LEN);
        }
        VmdkText pos = l->kind == VMDK_FLAT ? text_take_word(&rest) : (VmdkText){ 0 };
        bool is_needed = l->kind == VMDK_FLAT && !text_is(l->type, "VMFS");
        if (is_needed && pos.len == 0)
                return err_set(err, EBADMSG, "it does not say where in the file it begins");
        if (pos.len > 0 && !text_number(pos, 10, &l->pos_sectors))
                return err_set(err, EBADMSG, "'%.*s' is no place in a file", quote_len(pos),
                               pos.at);
        rest = text_trim(rest);
        if (rest.len > 0)
                return err_set(err, EOPNOTSUPP, "what '%.*s' means is not known", quote_len(rest),
                               rest.at);
        return 0;
}

static int line_parse(VmdkLine *l, VmdkText rest, Err *err)
{
        VmdkText sectors = text_take_word(&rest);
        if (!text_number(sectors, 10, &l->sectors) || l->sectors == 0)
                return err_set(err, EBADMSG, "'%.*s' is no number of sectors", quote_len(sectors),
                               sectors.at);
        if (l->sectors > LIMIT_DISK_SIZE / VMDK_SECTOR)
                return err_set(err, EFBIG, "%" PRIu64 " sectors are more than a disk may have",
                               l->sectors);

        l->type = text_take_word(&rest);
        const VmdkWord *kind = word_find(vmdk_kinds, l->type);
        if (!kind)
                return err_set(err, EOPNOTSUPP, "extents of type '%.*s' cannot be read",
                               quote_len(l->type), l->type.at);
        l->kind = (VmdkKind)kind->value;
        return line_take_place(l, rest, err);
}

int vmdk_descriptor_next(const VmdkDescriptor *d, size_t *at, VmdkLine *ret, Err *err)
{
        VmdkText all = { d->text, d->len }, line = { 0 }, rest = { 0 };
        VmdkLine l = { 0 };

        while (text_take_line(all, at, &line)) {
                if (text_is_comment(line) || !text_is_extent(line, &rest, &l.access))
                        continue;
                int r = line_parse(&l, rest, err);
                if (r < 0)
                        return err_prefix(err, r, "descriptor: extent '%.*s'", quote_len(line),
                                          line.at);
                *ret = l;
                return 1;
        }
        return 0;
}
