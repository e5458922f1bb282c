/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A raw disk in parts, x.001, x.002 … or x.000, x.001 …: the disk is all of them, one after the other. Nothing in a file says so
 * but its name, and nothing says which part is the last but that there is no next one.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/info.h"
#include "block/limits.h"
#include "block/node.h"
#include "block/opener.h"
#include "block/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        SPLIT_DIGITS_MIN = 2,
        SPLIT_DIGITS_MAX = 9,
        SPLIT_PARTS_STEP = 32,
};

typedef struct SplitPart {
        Store *store;
        uint64_t off,
                len; /* what of the disk it is; never 0 bytes; that of the last one guarded by the node's layout */
        uint64_t device, inode; /* both 0: not known */
} SplitPart;

/* Fixed after open, but for the length of the last part. */
typedef struct Split {
        SplitPart *parts;
        size_t count, room;
        uint64_t reserved; /* bytes in the cache */
} Split;

/* The number that a name ends in: "disk.001". */
typedef struct SplitName {
        const char *first; /* borrowed: the whole name */
        size_t stem;       /* length of all before the digits */
        int digits;
        uint32_t number;
} SplitName;

static bool split_name_parse(const char *name, SplitName *ret)
{
        const char *dot = name ? strrchr(name, '.') : NULL;
        size_t digits = dot ? strspn(dot + 1, "0123456789") : 0;

        if (digits < SPLIT_DIGITS_MIN || digits > SPLIT_DIGITS_MAX || dot[1 + digits] != '\0')
                return false;
        *ret = (SplitName){
                .first = name,
                .stem = (size_t)(dot + 1 - name),
                .digits = (int)digits,
                .number = (uint32_t)strtoul(dot + 1, NULL, 10),
        };
        return true;
}

/* -EFBIG: the digits are too few. */
static int split_name_make(const SplitName *n, uint32_t number, char **ret)
{
        int len = snprintf(NULL, 0, "%0*" PRIu32, n->digits, number);
        if (len != n->digits)
                return -EFBIG;
        return asprintf(ret, "%.*s%0*" PRIu32, (int)n->stem, n->first, n->digits, number) < 0
                       ? -ENOMEM
                       : 0;
}

/* Whom to ask for parts, and as what. */
typedef struct SplitSource {
        Opener *opener;
        Store *first;
        const SplitName *name;
} SplitSource;

/* The file of part `number`. 0: there is none, *ret_name may be set all the same. */
static int split_open_file(const SplitSource *source,
                           uint32_t number,
                           StoreMode mode,
                           char **ret_name,
                           Store **ret,
                           Err *err)
{
        int r = split_name_make(source->name, number, ret_name);
        if (r == -EFBIG)
                return 0;
        if (r < 0)
                return err_set(err, -r, "%m");
        r = source->opener->open(source->opener, source->first, *ret_name, mode, ret, err);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? err_prefix(err, r, "part '%s'", *ret_name) : 1;
}

static int split_grow(Node *n, Err *err)
{
        Split *s = n->state;
        uint64_t len = SPLIT_PARTS_STEP * sizeof(SplitPart);

        if (s->count < s->room)
                return 0;
        int r = table_reserve(n->cache, len, "the list of parts", err);
        if (r < 0)
                return r;
        s->reserved += len;
        SplitPart *grown = reallocarray(s->parts, s->room + SPLIT_PARTS_STEP, sizeof(*grown));
        if (!grown)
                return err_set(err, ENOMEM, "%m");
        s->parts = grown;
        s->room += SPLIT_PARTS_STEP;
        return 0;
}

/* A file that is there twice would be written through both of its places. */
static int split_refuse_twice(const Split *s, const StoreStat *stat, Err *err)
{
        if (stat->device == 0 && stat->inode == 0)
                return 0;
        for (size_t i = 0; i < s->count; i++)
                if (s->parts[i].device == stat->device && s->parts[i].inode == stat->inode)
                        return err_set(err, ELOOP, "is the same file as part %zu of the disk",
                                       i + 1);
        return 0;
}

static int split_add(Node *n, Store *store, Err *err)
{
        Split *s = n->state;
        StoreStat stat = { 0 };
        uint64_t len = 0;

        int r = store_get_size(store, &len);
        if (r >= 0)
                r = store_get_stat(store, &stat);
        if (r < 0)
                return err_set(err, -r, "cannot look at it: %m");
        r = split_refuse_twice(s, &stat, err);
        if (r < 0)
                return r;
        if (len == 0)
                return err_set(err, EBADMSG, "is empty");
        if (len > LIMIT_DISK_SIZE - n->size)
                return err_set(err, EFBIG,
                               "with its %" PRIu64
                               " bytes the disk is larger than the limit of %" PRIu64,
                               len, LIMIT_DISK_SIZE);
        r = split_grow(n, err);
        if (r < 0)
                return r;
        s->parts[s->count++] = (SplitPart){ store, n->size, len, stat.device, stat.inode };
        n->size += len;
        return 0;
}

static StoreMode split_mode(const Node *n)
{
        return n->writable ? STORE_WRITABLE : STORE_READ_ONLY;
}

/* Part `number`, the next one. 0: there is none. */
static int split_open_part(Node *n, const SplitSource *source, uint32_t number, Err *err)
{
        const Split *s = n->state;
        _cleanup_free_ char *text = NULL;
        _cleanup_store_ Store *store = NULL;

        int r = split_open_file(source, number, split_mode(n), &text, &store, err);
        if (r <= 0)
                return r;
        if (s->count == LIMIT_SPLIT_PARTS)
                return err_set(err, EFBIG, "there are more than %d parts", LIMIT_SPLIT_PARTS);
        r = node_adopt_store(n, store);
        if (r < 0)
                return err_set(err, -r, "%m");
        r = split_add(n, TAKE(store), err);
        return r < 0 ? err_prefix(err, r, "part '%s'", text) : 1;
}

/* Another part behind one that is missing, or one in front of the first: then this is not all of the disk. */
static int split_refuse_part(const SplitSource *source, uint32_t number, Err *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_store_ Store *store = NULL;

        int r = split_open_file(source, number, STORE_READ_ONLY, &text, &store, err);
        if (r <= 0)
                return r;
        if (number < source->name->number)
                return err_set(err, EBADMSG, "is not the first part: there is '%s'", text);
        return err_set(err, EBADMSG, "the part before '%s' is missing", text);
}

static int split_open_parts(Node *n, const SplitSource *source, Err *err)
{
        uint32_t number = source->name->number;
        int r = number > 0 ? split_refuse_part(source, number - 1, err) : 0;

        if (r >= 0)
                r = 1;
        while (r > 0)
                r = split_open_part(n, source, ++number, err);
        return r < 0 ? r : split_refuse_part(source, number + 1, err);
}

/* Archives are cut into parts with the same names. */
static bool split_is_archive(Store *first)
{
        static const char *const magics[] = { "7z\xbc\xaf\x27\x1c", "Rar!\x1a\x07", "PK\x03\x04" };
        char head[8] = "";

        if (store_read_padded(first, head, sizeof(head) - 1, 0) < 0)
                return false;
        for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
                if (strncmp(head, magics[i], strlen(magics[i])) == 0)
                        return true;
        return false;
}

static int split_claims(const char *file_name, Store *top, Opener *opener, Err *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_store_ Store *next = NULL;
        SplitName name;

        if (!split_name_parse(file_name, &name) || name.number > 1)
                return 0;
        SplitSource source = { opener, top, &name };
        int r = split_open_file(&source, name.number + 1, STORE_READ_ONLY, &text, &next, err);
        if (r < 0)
                return err_prefix(err, r,
                                  "looks like the first part of a disk (--format=split), and "
                                  "--format=raw shows it alone");
        if (r > 0 && split_is_archive(top))
                return err_set(err, EOPNOTSUPP, "is the first part of an archive, and no disk");
        return r;
}

static int split_open(Node *n, Opener *opener, Err *err)
{
        SplitName name;

        if (!split_name_parse(n->file_name, &name))
                return err_set(err, EOPNOTSUPP,
                               "the name '%s' does not end in a number, as in disk.001, from which "
                               "those of the other parts could be told",
                               n->file_name ? n->file_name : "");
        if (name.number > 1)
                return err_set(err, EBADMSG,
                               "'%s' is not the first part, which has the number 0 or 1",
                               n->file_name);
        int r = split_add(n, n->store, err);
        if (r < 0)
                return r;
        SplitSource source = { opener, n->store, &name };
        return opener ? split_open_parts(n, &source, err) : 0;
}

static void split_close(Node *n)
{
        Split *s = n->state;

        cache_release(n->cache, s->reserved);
        free(s->parts);
        *s = (Split){ 0 };
}

/* The part that has guest byte `off`, which is one of the disk. */
static const SplitPart *split_find(const Split *s, uint64_t off)
{
        size_t low = 0, high = s->count - 1;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (s->parts[middle].off + s->parts[middle].len <= off)
                        low = middle + 1;
                else
                        high = middle;
        }
        return &s->parts[low];
}

static int split_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const SplitPart *p = split_find(n->state, off);

        *ret = (Extent){
                .kind = EXTENT_DATA,
                .off = p->off,
                .len = p->len,
                .store = p->store,
                .in_place = true,
                .unproven = true,
        };
        return 0;
}

/* Where the host cannot punch, block/ writes zeroes. */
static int split_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        uint64_t done = 0;

        while (done < len) {
                const SplitPart *p = split_find(n->state, off + done);
                uint64_t at = off + done - p->off, part = u64_min(len - done, p->len - at);
                int r = store_punch(p->store, at, part);
                if (r == -EOPNOTSUPP)
                        break;
                if (r < 0)
                        return r;
                done += part;
        }
        *ret_off = off;
        *ret_len = done;
        return 0;
}

/* The last part becomes longer or shorter, and stays: where the disk is to end before it, nothing is done. */
static int split_resize(Node *n, uint64_t size)
{
        Split *s = n->state;
        SplitPart *last = &s->parts[s->count - 1];

        if (size <= last->off)
                return -EOPNOTSUPP;
        int r = store_set_size(last->store, size - last->off);
        if (r >= 0)
                last->len = size - last->off;
        return r;
}

static int split_describe(Node *n, Info *info)
{
        const Split *s = n->state;

        return info_add_number(info, "parts", s->count);
}

const Format format_split = {
        .name = "split",
        .state_size = sizeof(Split),
        .has_pieces = true,
        .claims = split_claims,
        .open = split_open,
        .close = split_close,
        .map = split_map,
        .discard = split_discard,
        .resize = split_resize,
        .describe = split_describe,
};
