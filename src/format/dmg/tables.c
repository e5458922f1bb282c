/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the tables of the blocks are: in a property list, or, in the oldest images, in a resource fork. */
#include "base/bits.h"
#include "block/cache.h"
#include "block/table.h"
#include "format/dmg/dmg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(DMG_TABLES_LEN_MAX <= LIMIT_TABLE_SIZE, "the tables can be read");

/* Heads a resource fork. Its map, which gives resources names and types, is not needed: a table is known by its magic. */
typedef struct DmgResources {
        be32 data_offset, map_offset;
        be32 data_len, map_len;
} DmgResources;

/* 0 … 63; -1: a blank, -2: anything else. */
static int dmg_base64_value(uint8_t c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == '+')
                return 62;
        if (c == '/')
                return 63;
        return c == ' ' || c == '\t' || c == '\r' || c == '\n' ? -1 : -2;
}

/* Takes characters until there are 8 bits. */
static bool dmg_source_next(DmgSource *s, uint8_t *ret)
{
        while (s->bit_count < 8 && s->at < s->end && !s->is_broken) {
                uint8_t c = *s->at++;
                int value = dmg_base64_value(c);
                if (value == -1)
                        continue;
                /* After what fills the last group there may be no more of anything else. */
                if (c == '=')
                        s->is_padded = true;
                else if (value < 0 || s->is_padded)
                        s->is_broken = true;
                if (s->is_padded || s->is_broken)
                        continue;
                s->bits = s->bits << 6 | (uint32_t)value;
                s->bit_count += 6;
        }
        if (s->bit_count < 8)
                return false;
        s->bit_count -= 8;
        *ret = (uint8_t)(s->bits >> s->bit_count);
        return true;
}

size_t dmg_source_read(DmgSource *s, void *buf, size_t len)
{
        uint8_t *to = buf;
        size_t done = 0;

        if (!s->is_text) {
                done = (size_t)u64_min(len, (uint64_t)(s->end - s->at));
                memcpy(to, s->at, done);
                s->at += done;
                return done;
        }
        while (done < len && dmg_source_next(s, to + done))
                done++;
        return done;
}

static int dmg_visit_resources(const DmgTables *t, DmgVisit visit, void *arg, Err *err)
{
        DmgResources head;

        if (t->len < sizeof(head))
                return err_set(err, EBADMSG,
                               "the resource fork of %" PRIu64 " bytes is too short for its header",
                               t->len);
        memcpy(&head, t->bytes, sizeof(head));
        uint64_t at = from_be32(head.data_offset), len = from_be32(head.data_len);
        if (!in_range(at, len, t->len))
                return err_set(err, EBADMSG,
                               "the data of the resource fork, %" PRIu64 " bytes at %" PRIu64
                               ", does not lie within its %" PRIu64 " bytes",
                               len, at, t->len);
        for (uint64_t end = at + len; at < end;) {
                be32 size;
                uint64_t left = end - at;
                if (left >= sizeof(size))
                        memcpy(&size, t->bytes + at, sizeof(size));
                if (left < sizeof(size) || from_be32(size) > left - sizeof(size))
                        return err_set(err, EBADMSG,
                                       "a resource at %" PRIu64 " reaches beyond the data of the "
                                       "resource fork",
                                       at);
                at += sizeof(size);
                DmgSource table = { .at = t->bytes + at, .end = t->bytes + at + from_be32(size) };
                at += from_be32(size);
                if (table.end - table.at < 4 || memcmp(table.at, "mish", 4) != 0)
                        continue;
                int r = visit(arg, &table, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int dmg_tables_read(Node *n, DmgTables *ret, Err *err)
{
        const Dmg *d = n->state;
        bool is_text = from_be64(d->trailer.xml_len) > 0;
        const char *what = is_text ? "property list" : "resource fork";
        uint64_t pos = from_be64(is_text ? d->trailer.xml_pos : d->trailer.resource_pos);
        uint64_t len = from_be64(is_text ? d->trailer.xml_len : d->trailer.resource_len);
        void *bytes = NULL;

        if (len == 0)
                return err_set(err, EBADMSG,
                               "the image has neither a property list nor a resource fork");
        if (len > DMG_TABLES_LEN_MAX)
                return err_set(err, EFBIG,
                               "the %s has %" PRIu64 " bytes, more than the limit of %" PRIu64,
                               what, len, DMG_TABLES_LEN_MAX);
        int r = table_reserve(n->cache, len, what, err);
        if (r < 0)
                return r;
        r = table_read(n->store, pos, len, 1, what, &bytes, err);
        if (r < 0) {
                cache_release(n->cache, len);
                return r;
        }
        *ret = (DmgTables){ .bytes = bytes, .len = len, .is_text = is_text, .reserved = len };
        return 0;
}

void dmg_tables_done(Node *n, DmgTables *t)
{
        cache_release(n->cache, t->reserved);
        free(t->bytes);
        *t = (DmgTables){ 0 };
}

int dmg_tables_visit(const DmgTables *t, DmgVisit visit, void *arg, Err *err)
{
        return t->is_text ? dmg_plist_visit(t->bytes, (size_t)t->len, visit, arg, err)
                          : dmg_visit_resources(t, visit, arg, err);
}
