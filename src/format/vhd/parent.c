/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a differencing disk says of its parent: up to eight locators, each in the words of one platform, and a name in the
 * header. Each becomes a path that can be tried here: a relative one as it is, of all others the last component, which
 * is then looked for beside the image. A locator that makes no sense is passed over; another one may.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "base/utf16.h"
#include "block/limits.h"
#include "format/vhd/vhd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
        VHD_LOCATOR_LEN_MAX = 4 * LIMIT_NAME_LEN, /* what a name that we take can need, and more */
        VHD_NAMES_MAX = 1 + LIMIT_BACKING_OTHERS,
};

/* The names to try, in order. */
typedef struct VhdNames {
        char *names[VHD_NAMES_MAX]; /* owned */
        size_t count;
} VhdNames;

static void vhd_names_done(VhdNames *l)
{
        for (size_t i = 0; i < l->count; i++)
                free(l->names[i]);
}

/* Adds a copy, unless it is there already or names no file. A colon would make it the name of a protocol. */
static int vhd_names_add(VhdNames *l, const char *name)
{
        const char *base = strrchr(name, '/');
        const char *colon = strchr(name, ':');

        base = base ? base + 1 : name;
        if (strcmp(base, "") == 0 || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
                return 0;
        bool hide = colon && name[0] != '/' && !memchr(name, '/', (size_t)(colon - name));
        size_t skip = hide ? 2 : 0, len = strlen(name) + 1;
        _cleanup_free_ char *copy = malloc(skip + len);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, "./", skip);
        memcpy(copy + skip, name, len);
        for (size_t i = 0; i < l->count; i++)
                if (strcmp(l->names[i], copy) == 0)
                        return 0;
        if (l->count < VHD_NAMES_MAX)
                l->names[l->count++] = TAKE(copy);
        return 0;
}

static void vhd_turn_slashes(char *name)
{
        for (; *name; name++)
                if (*name == '\\')
                        *name = '/';
}

/* Does it begin at a root or a drive, of which there is none here? */
static bool vhd_is_rooted(const char *name)
{
        return name[0] == '/' || (name[0] != '\0' && name[1] == ':');
}

static int vhd_add_base(VhdNames *l, char *name)
{
        vhd_turn_slashes(name);
        char *base = strrchr(name, '/');
        if (!base && vhd_is_rooted(name))
                base = name + 1;
        return vhd_names_add(l, base ? base + 1 : name);
}

static int vhd_add_relative(VhdNames *l, char *name)
{
        vhd_turn_slashes(name);
        if (vhd_is_rooted(name))
                return 0;
        while (name[0] == '.' && name[1] == '/')
                name += 2;
        return vhd_names_add(l, name);
}

/* Replaces %20 and the like. False: that is no URL, or of no file. */
static bool vhd_unescape(char *url)
{
        char *to = url;

        for (const char *from = url; *from; from++) {
                if (*from != '%') {
                        *to++ = *from;
                        continue;
                }
                int high = hex_digit(from[1]);
                int low = high < 0 ? -1 : hex_digit(from[2]);
                if (low < 0 || high * 16 + low == 0 || high * 16 + low == '/')
                        return false;
                *to++ = (char)(high * 16 + low);
                from += 2;
        }
        *to = '\0';
        return true;
}

/* The bytes of a locator of that platform as text; 0: it is not one, or none that can be read. */
static int vhd_locator_read(Store *s, const VhdDiskLocator *l, const char *platform, char *text)
{
        uint64_t len = from_be32(l->data_length);
        uint8_t bytes[VHD_LOCATOR_LEN_MAX];

        if (memcmp(&l->platform_code, platform, sizeof(l->platform_code)) != 0 || len == 0 ||
            len > sizeof(bytes))
                return 0;
        int r = store_read(s, bytes, (size_t)len, from_be64(l->data_offset));
        if (r < 0)
                return r == -ENODATA ? 0 : r;
        if (memcmp(platform, "W2", 2) == 0)
                return utf16_to_utf8(UTF16_LE, bytes, (size_t)len, text, LIMIT_NAME_LEN + 1) == 0;
        if (len > LIMIT_NAME_LEN || memchr(bytes, 0, (size_t)len))
                return 0;
        memcpy(text, bytes, (size_t)len);
        text[len] = '\0';
        return vhd_unescape(text);
}

/* Adds what the locators of one platform say, as `add` understands it. */
static int vhd_add_locators(VhdNames *l,
                            Store *s,
                            const VhdDiskHeader *h,
                            const char *platform,
                            int (*add)(VhdNames *, char *))
{
        for (size_t i = 0; i < VHD_LOCATORS; i++) {
                char text[LIMIT_NAME_LEN + 1];
                int r = vhd_locator_read(s, &h->locators[i], platform, text);
                if (r > 0)
                        r = add(l, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int vhd_collect_names(VhdNames *l, Store *s, const VhdDiskHeader *h)
{
        char text[LIMIT_NAME_LEN + 1];

        int r = vhd_add_locators(l, s, h, "W2ru", vhd_add_relative);
        if (r >= 0)
                r = vhd_add_locators(l, s, h, "W2ku", vhd_add_base);
        if (r >= 0)
                r = vhd_add_locators(l, s, h, "MacX", vhd_add_base);
        if (r >= 0 && utf16_to_utf8(UTF16_BE, h->parent_name, sizeof(h->parent_name), text,
                                    sizeof(text)) == 0)
                r = vhd_add_base(l, text);
        if (r >= 0)
                r = vhd_add_locators(l, s, h, "W2ru", vhd_add_base);
        return r;
}

int vhd_read_parents(Node *n, const VhdDiskHeader *h, Err *err)
{
        _cleanup_(vhd_names_done) VhdNames l = { .count = 0 };

        int r = vhd_collect_names(&l, n->store, h);
        if (r < 0)
                return err_set(err, -r, "cannot read the parent locators: %m");
        if (l.count == 0)
                return err_set(err, EBADMSG,
                               "neither a parent locator nor the header names the parent");
        n->backing_format = strdup("vhd");
        if (!n->backing_format)
                return err_set(err, ENOMEM, "%m");
        for (size_t i = 1; r >= 0 && i < l.count; i++)
                r = node_add_backing_other(n, l.names[i]);
        if (r < 0)
                return err_set(err, -r, "%m");
        n->backing_name = TAKE(l.names[0]);
        return 0;
}

int vhd_check_parent(Node *n, Node *below, Err *err)
{
        const Vhd *v = n->state;
        char wanted[UUID_TEXT_LEN + 1], found[UUID_TEXT_LEN + 1];

        if (below->format != n->format)
                return err_set(err, EBADMSG, "the parent of a differencing disk is a vhd, not a %s",
                               below->format->name);
        const VhdDiskFooter *parent = vhd_footer(below->state);
        if (uuid_equal(&v->parent_id, &parent->unique_id))
                return 0;
        uuid_format(&v->parent_id, wanted);
        uuid_format(&parent->unique_id, found);
        return err_set(err, EBADMSG,
                       "its unique id is %s, and that of the parent of the image is %s: it is "
                       "another disk",
                       found, wanted);
}
