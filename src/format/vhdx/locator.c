/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parent of a differencing disk: under which names it was known on Windows, and which GUID it has to have.
 *
 * A relative path is one here as well, once its backslashes are slashes. Of a path with a drive or a volume only the last
 * part means anything here: the file of that name beside the image.
 */
#include "base/bits.h"
#include "base/utf16.h"
#include "block/limits.h"
#include "format/vhdx/vhdx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
        VHDX_KEY_SIZE = 64,
        VHDX_GUID_SIZE = 64,
};

/* B04AEFB7-D19E-4A81-B789-25B8E9445913 */
static const Uuid vhdx_locator_type = { {
        0xb0,
        0x4a,
        0xef,
        0xb7,
        0xd1,
        0x9e,
        0x4a,
        0x81,
        0xb7,
        0x89,
        0x25,
        0xb8,
        0xe9,
        0x44,
        0x59,
        0x13,
} };

/* The values of the keys that the specification has; empty: not there. */
typedef struct VhdxLocator {
        char linkage[VHDX_GUID_SIZE], linkage2[VHDX_GUID_SIZE];
        char paths[3][LIMIT_NAME_LEN + 1]; /* in the order in which they are tried */
} VhdxLocator;

/* Where the value of a key is to go; others are left alone, as the specification allows any. */
static char *vhdx_locator_place(VhdxLocator *l, const char *key, size_t *ret_size)
{
        static const char *const paths[] = { "relative_path", "volume_path",
                                             "absolute_win32_path" };

        *ret_size = VHDX_GUID_SIZE;
        if (strcmp(key, "parent_linkage") == 0)
                return l->linkage;
        if (strcmp(key, "parent_linkage2") == 0)
                return l->linkage2;
        *ret_size = sizeof(l->paths[0]);
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                if (strcmp(key, paths[i]) == 0)
                        return l->paths[i];
        return NULL;
}

static int vhdx_locator_entry(
        const uint8_t *item, uint64_t len, const VhdxDiskLocatorEntry *d, VhdxLocator *l, Err *err)
{
        uint32_t key_at = from_le32(d->key_offset), value_at = from_le32(d->value_offset);
        uint16_t key_len = from_le16(d->key_length), value_len = from_le16(d->value_length);
        char key[VHDX_KEY_SIZE];
        size_t size = 0;

        if (!in_range(key_at, key_len, len) || !in_range(value_at, value_len, len))
                return err_set(err, EBADMSG,
                               "a key at %" PRIu32 " or its value at %" PRIu32
                               " lies not within the item",
                               key_at, value_at);
        int r = utf16_to_utf8(UTF16_LE, item + key_at, key_len, key, sizeof(key));
        if (r == -ENAMETOOLONG)
                return 0;
        if (r < 0)
                return err_set(err, -r, "a key is no UTF-16 text");
        char *value = vhdx_locator_place(l, key, &size);
        if (!value)
                return 0;
        if (value[0] != '\0')
                return err_set(err, EBADMSG, "key '%s' is there twice", key);
        r = utf16_to_utf8(UTF16_LE, item + value_at, value_len, value, size);
        if (r == -ENAMETOOLONG)
                return err_set(err, EBADMSG, "the value of '%s' is too long", key);
        return r < 0 ? err_set(err, -r, "the value of '%s' is no UTF-16 text", key) : 0;
}

static int vhdx_locator_parse(const uint8_t *item, uint64_t len, VhdxLocator *l, Err *err)
{
        VhdxDiskLocator d;
        char text[UUID_TEXT_LEN + 1];

        if (len < sizeof(d))
                return err_set(err, EBADMSG, "its %" PRIu64 " bytes are too few", len);
        memcpy(&d, item, sizeof(d));
        Uuid type = uuid_from_guid(d.type);
        uuid_format(&type, text);
        if (!uuid_equal(&type, &vhdx_locator_type))
                return err_set(err, EOPNOTSUPP, "LocatorType %s is not known", text);
        size_t count = from_le16(d.count);
        if (!in_range(sizeof(d), count * sizeof(VhdxDiskLocatorEntry), len))
                return err_set(err, EBADMSG, "%zu keys are more than it has room for", count);
        for (size_t i = 0; i < count; i++) {
                VhdxDiskLocatorEntry e;
                memcpy(&e, item + sizeof(d) + i * sizeof(e), sizeof(e));
                int r = vhdx_locator_entry(item, len, &e, l, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int vhdx_linkage_parse(const char *text, const char *key, bool *ret_has, Uuid *ret, Err *err)
{
        if (text[0] == '\0')
                return 0;
        if (!uuid_parse(text, ret))
                return err_set(err, EBADMSG, "%s '%s' is not a GUID", key, text);
        *ret_has = true;
        return 0;
}

static int vhdx_add_name(Node *n, const char *name, Err *err)
{
        if (n->backing_name) {
                bool known = strcmp(n->backing_name, name) == 0;
                for (char **other = n->backing_others; other && *other; other++)
                        known = known || strcmp(*other, name) == 0;
                if (known)
                        return 0;
                int r = node_add_backing_other(n, name);
                return r < 0 ? err_set(err, -r, "%m") : 0;
        }
        n->backing_name = strdup(name);
        return n->backing_name ? 0 : err_set(err, ENOMEM, "%m");
}

/* The last part of a path of Windows, as a name that means the file of that name here. */
static int vhdx_add_last_part(Node *n, const char *path, Err *err)
{
        const char *slash = strrchr(path, '/');
        const char *last = slash ? slash + 1 : path;
        char name[LIMIT_NAME_LEN + 3];

        if (last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
                return 0;
        /* What has a colon is not to be taken for the name of a protocol. */
        snprintf(name, sizeof(name), "%s%s", strchr(last, ':') ? "./" : "", last);
        return strlen(name) > LIMIT_NAME_LEN ? 0 : vhdx_add_name(n, name, err);
}

static int vhdx_add_names(Node *n, VhdxLocator *l, Err *err)
{
        int r = 0;

        for (size_t i = 0; i < 3; i++)
                for (char *c = l->paths[i]; *c; c++)
                        if (*c == '\\')
                                *c = '/';
        /* Relative means relative: neither a drive nor a root. */
        const char *relative = l->paths[0];
        while (strncmp(relative, "./", 2) == 0)
                relative += 2;
        if (relative[0] != '\0' && relative[0] != '/' && !strchr(relative, ':'))
                r = vhdx_add_name(n, relative, err);
        for (size_t i = 0; i < 3 && r >= 0; i++)
                r = vhdx_add_last_part(n, l->paths[i], err);
        if (r < 0)
                return r;
        if (!n->backing_name)
                return err_set(err, EBADMSG, "it names no file");
        n->backing_format = strdup(n->format->name);
        return n->backing_format ? 0 : err_set(err, ENOMEM, "%m");
}

int vhdx_locator_read(Node *n, const uint8_t *item, uint64_t len, Err *err)
{
        Vhdx *v = n->state;
        VhdxLocator l = { 0 };

        int r = vhdx_locator_parse(item, len, &l, err);
        if (r >= 0)
                r = vhdx_linkage_parse(l.linkage, "parent_linkage", &v->has_linkage, &v->linkage,
                                       err);
        if (r >= 0)
                r = vhdx_linkage_parse(l.linkage2, "parent_linkage2", &v->has_linkage2,
                                       &v->linkage2, err);
        if (r < 0)
                return r;
        if (!v->has_linkage)
                return err_set(err, EBADMSG, "it has no parent_linkage");
        return vhdx_add_names(n, &l, err);
}

int vhdx_check_backing(Node *n, Node *below, Err *err)
{
        const Vhdx *v = n->state, *parent = below->state;
        char is[UUID_TEXT_LEN + 1], wanted[UUID_TEXT_LEN + 1];

        if (uuid_equal(&v->linkage, &parent->header.data_write) ||
            (v->has_linkage2 && uuid_equal(&v->linkage2, &parent->header.data_write)))
                return parent->sector_bits == v->sector_bits
                               ? 0
                               : err_set(err, EBADMSG,
                                         "its logical sectors have %d bytes, those of the disk over it %d",
                                         1 << parent->sector_bits, 1 << v->sector_bits);
        uuid_format(&parent->header.data_write, is);
        uuid_format(&v->linkage, wanted);
        return err_set(
                err, EBADMSG,
                "it is not the parent, or was written to since: its DataWriteGuid is %s, and "
                "parent_linkage says %s",
                is, wanted);
}
