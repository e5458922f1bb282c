/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Of the property list, an XML file, nothing is wanted but a few long texts:
 *
 *     <plist><dict>  <key>resource-fork</key> <dict>  <key>blkx</key> <array>
 *         <dict> … <key>Data</key> <data>base64</data> … </dict> …
 *
 * So this looks for them and knows no more of XML than tags and text: no document type of its own, no entities, nothing that
 * could grow. Everything is a slice of the text; nothing recurses.
 */
#include "format/dmg/dmg.h"

#include <errno.h>
#include <string.h>

typedef enum DmgTagKind {
        DMG_TAG_OPEN,
        DMG_TAG_CLOSE,
        DMG_TAG_EMPTY, /* <a/> */
        DMG_TAG_NONE,  /* the end of the text */
} DmgTagKind;

typedef struct DmgSlice {
        const char *at;
        size_t len;
} DmgSlice;

typedef struct DmgTag {
        DmgTagKind kind;
        DmgSlice name;
        DmgSlice before; /* the text in front of it */
        bool has_gap; /* a comment or the like stood in that text, which is only what follows it */
} DmgTag;

typedef struct DmgXml {
        const char *at, *end;
} DmgXml;

static int dmg_xml_error(Err *err, const char *what)
{
        return err_set(err, EBADMSG, "the property list: %s", what);
}

static bool dmg_slice_is(DmgSlice s, const char *text)
{
        return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static bool dmg_begins(const DmgXml *x, const char *text)
{
        size_t len = strlen(text);

        return (size_t)(x->end - x->at) >= len && memcmp(x->at, text, len) == 0;
}

/* Goes on behind the next `text` after the first `head` bytes. */
static bool dmg_skip_past(DmgXml *x, size_t head, const char *text)
{
        const char *found =
                memmem(x->at + head, (size_t)(x->end - x->at) - head, text, strlen(text));

        if (found)
                x->at = found + strlen(text);
        return found;
}

/* What begins with "<?" or "<!" and is none of our business: 1 skipped, 0 there is none. */
static int dmg_skip_other(DmgXml *x, Err *err)
{
        const char *begin = x->at;

        if (dmg_begins(x, "<?"))
                return dmg_skip_past(x, 2, "?>") ? 1 : dmg_xml_error(err, "'<?' has no end");
        if (dmg_begins(x, "<!--"))
                return dmg_skip_past(x, 4, "-->") ? 1 : dmg_xml_error(err, "a comment has no end");
        if (!dmg_begins(x, "<!"))
                return 0;
        if (!dmg_begins(x, "<!DOCTYPE"))
                return dmg_xml_error(err, "only comments and a document type may begin with '<!'");
        if (!dmg_skip_past(x, 0, ">"))
                return dmg_xml_error(err, "the document type has no end");
        if (memchr(begin, '[', (size_t)(x->at - begin)))
                return dmg_xml_error(err, "it brings a document type of its own");
        return 1;
}

static void dmg_parse_tag(const char *at, const char *end, DmgTag *ret)
{
        ret->kind = DMG_TAG_OPEN;
        if (at < end && *at == '/') {
                ret->kind = DMG_TAG_CLOSE;
                at++;
        } else if (at < end && end[-1] == '/') {
                ret->kind = DMG_TAG_EMPTY;
                end--;
        }
        ret->name.at = at;
        while (at < end && !strchr(" \t\r\n", *at))
                at++;
        ret->name.len = (size_t)(at - ret->name.at);
}

static int dmg_next_tag(DmgXml *x, DmgTag *ret, Err *err)
{
        DmgTag tag = { .kind = DMG_TAG_NONE };
        int r = 1;

        while (r == 1) {
                const char *text = x->at;
                const char *open = memchr(text, '<', (size_t)(x->end - text));
                x->at = open ? open : x->end;
                tag.before = (DmgSlice){ text, (size_t)(x->at - text) };
                if (!open)
                        break;
                r = dmg_skip_other(x, err);
                tag.has_gap = tag.has_gap || r == 1;
        }
        if (r < 0)
                return r;
        if (x->at < x->end) {
                const char *begin = x->at + 1;
                if (!dmg_skip_past(x, 0, ">"))
                        return dmg_xml_error(err, "a tag has no end");
                dmg_parse_tag(begin, x->at - 1, &tag);
        }
        *ret = tag;
        return 0;
}

/* The tag that has to come next. */
static int dmg_expect(DmgXml *x, DmgTagKind kind, const char *name, DmgTag *ret, Err *err)
{
        int r = dmg_next_tag(x, ret, err);
        if (r < 0)
                return r;
        if (ret->kind == kind && dmg_slice_is(ret->name, name))
                return 0;
        return err_set(err, EBADMSG, "the property list: there is no <%s%s> where it should be",
                       kind == DMG_TAG_CLOSE ? "/" : "", name);
}

/* Skips a value with everything in it. */
static int dmg_skip_value(DmgXml *x, Err *err)
{
        uint64_t depth = 0;

        do {
                DmgTag tag;
                int r = dmg_next_tag(x, &tag, err);
                if (r < 0)
                        return r;
                if (tag.kind == DMG_TAG_NONE || (tag.kind == DMG_TAG_CLOSE && depth == 0))
                        return dmg_xml_error(err, "a key has no value");
                depth += tag.kind == DMG_TAG_OPEN;
                depth -= tag.kind == DMG_TAG_CLOSE;
        } while (depth > 0);
        return 0;
}

/* The text between a tag that has just been read and the one that closes it. */
static int dmg_text(DmgXml *x, const char *name, DmgSlice *ret, Err *err)
{
        DmgTag close;

        int r = dmg_expect(x, DMG_TAG_CLOSE, name, &close, err);
        if (r < 0)
                return r;
        if (close.has_gap)
                return dmg_xml_error(err, "a comment stands in the middle of a text");
        *ret = close.before;
        return 0;
}

/* The next key of the dict that we are in: 1, or 0 when the dict has ended. */
static int dmg_next_key(DmgXml *x, DmgSlice *ret, Err *err)
{
        DmgTag tag;

        int r = dmg_next_tag(x, &tag, err);
        if (r < 0)
                return r;
        if (tag.kind == DMG_TAG_CLOSE && dmg_slice_is(tag.name, "dict"))
                return 0;
        if (tag.kind != DMG_TAG_OPEN || !dmg_slice_is(tag.name, "key"))
                return dmg_xml_error(err, "there is no <key> where it should be");
        r = dmg_text(x, "key", ret, err);
        return r < 0 ? r : 1;
}

/* Goes to the value of a key of the dict that we are in. */
static int dmg_find_key(DmgXml *x, const char *name, Err *err)
{
        DmgSlice key;

        for (;;) {
                int r = dmg_next_key(x, &key, err);
                if (r < 0)
                        return r;
                if (r == 0)
                        return err_set(err, EBADMSG, "the property list: it has no key '%s'", name);
                if (dmg_slice_is(key, name))
                        return 0;
                r = dmg_skip_value(x, err);
                if (r < 0)
                        return r;
        }
}

/* One entry of the array: the dict that we are in. */
static int dmg_visit_entry(DmgXml *x, DmgVisit visit, void *arg, Err *err)
{
        for (;;) {
                DmgSlice key, text = { NULL, 0 };
                DmgTag open;

                int r = dmg_next_key(x, &key, err);
                if (r <= 0)
                        return r;
                if (!dmg_slice_is(key, "Data")) {
                        r = dmg_skip_value(x, err);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = dmg_expect(x, DMG_TAG_OPEN, "data", &open, err);
                if (r >= 0)
                        r = dmg_text(x, "data", &text, err);
                if (r < 0)
                        return r;
                DmgSource table = { .at = (const uint8_t *)text.at,
                                    .end = (const uint8_t *)text.at + text.len,
                                    .is_text = true };
                r = visit(arg, &table, err);
                if (r < 0)
                        return r;
        }
}

static int dmg_visit_array(DmgXml *x, DmgVisit visit, void *arg, Err *err)
{
        for (;;) {
                DmgTag tag;

                int r = dmg_next_tag(x, &tag, err);
                if (r < 0)
                        return r;
                if (tag.kind == DMG_TAG_CLOSE && dmg_slice_is(tag.name, "array"))
                        return 0;
                if (tag.kind != DMG_TAG_OPEN || !dmg_slice_is(tag.name, "dict"))
                        return dmg_xml_error(err, "an entry of blkx is no <dict>");
                r = dmg_visit_entry(x, visit, arg, err);
                if (r < 0)
                        return r;
        }
}

int dmg_plist_visit(const uint8_t *text, size_t len, DmgVisit visit, void *arg, Err *err)
{
        DmgXml x = { (const char *)text, (const char *)text + len };
        DmgTag tag;

        int r = dmg_expect(&x, DMG_TAG_OPEN, "plist", &tag, err);
        if (r >= 0)
                r = dmg_expect(&x, DMG_TAG_OPEN, "dict", &tag, err);
        if (r >= 0)
                r = dmg_find_key(&x, "resource-fork", err);
        if (r >= 0)
                r = dmg_expect(&x, DMG_TAG_OPEN, "dict", &tag, err);
        if (r >= 0)
                r = dmg_find_key(&x, "blkx", err);
        if (r >= 0)
                r = dmg_expect(&x, DMG_TAG_OPEN, "array", &tag, err);
        if (r >= 0)
                r = dmg_visit_array(&x, visit, arg, err);
        return r;
}
