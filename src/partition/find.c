/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "partition/partition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
        /* So long a list of numbers fits a sentence. */
        FIND_LIST_MAX = 200,
        FIND_UUID_MIN = 9,
};

static bool find_all(const Partition *p, const char *text)
{
        return p->kind != PARTITION_EXTENDED;
}

static bool find_by_name(const Partition *p, const char *text)
{
        return p->kind != PARTITION_EXTENDED && p->name[0] && strcmp(p->name, text) == 0;
}

static bool find_by_uuid(const Partition *p, const char *text)
{
        return p->kind != PARTITION_EXTENDED && p->uuid[0] && strcasecmp(p->uuid, text) == 0;
}

static bool find_by_text(const Partition *p, const char *text)
{
        return find_by_name(p, text) || find_by_uuid(p, text);
}

typedef bool (*FindFits)(const Partition *p, const char *text);

/* "1, 2 and 5". Returns how many there are. */
static size_t find_list(const PartitionTable *t,
                        FindFits fits,
                        const char *text,
                        char ret[FIND_LIST_MAX])
{
        size_t count = 0, said = 0, len = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < t->count; i++)
                count += fits(&t->partitions[i], text);
        for (size_t i = 0; i < t->count && len < FIND_LIST_MAX - 32; i++) {
                if (!fits(&t->partitions[i], text))
                        continue;
                const char *between = said == 0 ? "" : said + 1 == count ? " and " : ", ";
                len += (size_t)snprintf(ret + len, FIND_LIST_MAX - len, "%s%u", between,
                                        t->partitions[i].number);
                said++;
        }
        if (said < count)
                snprintf(ret + len, FIND_LIST_MAX - len, " and %zu more", count - said);
        return count;
}

/* As file systems have them as well: "1A2B-3C4D", or longer. */
static bool find_is_like_uuid(const char *text)
{
        size_t len = strlen(text);
        return len >= FIND_UUID_MIN && strspn(text, "0123456789abcdefABCDEF-") == len;
}

static int find_refuse(const PartitionTable *t, const char *text, bool is_number, Err *err)
{
        char list[FIND_LIST_MAX];
        const char *quote = is_number ? "" : "'";

        if (t->scheme == PARTITION_SCHEME_NONE)
                return err_set(err, ENOENT,
                               "there is no partition %s%.100s%s; the disk has no partition table",
                               quote, text, quote);
        size_t count = find_list(t, find_all, NULL, list);
        if (count == 0)
                return err_set(err, ENOENT,
                               "there is no partition %s%.100s%s; the partition table is empty",
                               quote, text, quote);
        return err_set(err, ENOENT, "there is no partition %s%.100s%s; there %s %s%s", quote, text,
                       quote, count == 1 ? "is" : "are", list,
                       !is_number && find_is_like_uuid(text)
                               ? " (PARTUUID is meant, not the UUID of a file system)"
                               : "");
}

static int find_by_number(const PartitionTable *t,
                          unsigned long number,
                          const Partition **ret,
                          Err *err)
{
        char list[FIND_LIST_MAX];

        for (size_t i = 0; i < t->count; i++) {
                const Partition *p = &t->partitions[i];
                if (p->number != number)
                        continue;
                if (p->kind != PARTITION_EXTENDED) {
                        *ret = p;
                        return 0;
                }
                find_list(t, find_all, NULL, list);
                return err_set(
                        err, EINVAL,
                        "partition %u is an extended one, which only holds others; there are %s",
                        p->number, list[0] ? list : "none");
        }
        return -ENOENT;
}

/* As in fstab(5). Of a name that is another one's number, or like a UUID, nothing else can be said. */
static int find_split(const char **text, FindFits *ret, Err *err)
{
        static const struct {
                const char *tag;
                FindFits fits;
        } tags[] = {
                { "PARTLABEL=", find_by_name },
                { "PARTUUID=", find_by_uuid },
                { "LABEL=", NULL },
                { "UUID=", NULL },
        };

        *ret = NULL;
        for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
                size_t len = strlen(tags[i].tag);
                if (strlen(*text) < len || memcmp(*text, tags[i].tag, len) != 0)
                        continue;
                if (!tags[i].fits)
                        return err_set(
                                err, EINVAL,
                                "'%.100s' is about a file system; a partition is meant by its "
                                "number, its name (PARTLABEL=) or its UUID (PARTUUID=), which "
                                "'rawview partitions' lists",
                                *text);
                *text += len;
                *ret = tags[i].fits;
                break;
        }
        return 0;
}

int partition_find(const PartitionTable *t, const char *text, const Partition **ret, Err *err)
{
        char list[FIND_LIST_MAX];
        FindFits fits = NULL;

        int r = find_split(&text, &fits, err);
        if (r < 0)
                return r;
        bool is_number = !fits && text[0] && strspn(text, "0123456789") == strlen(text);
        if (is_number) {
                r = find_by_number(t, strtoul(text, NULL, 10), ret, err);
                if (r != -ENOENT)
                        return r;
        }
        fits = fits ? fits : find_by_text;
        size_t count = find_list(t, fits, text, list);
        if (count == 0)
                return find_refuse(t, text, is_number, err);
        if (count > 1)
                return err_set(err, ENOTUNIQ,
                               "'%.100s' are several partitions: %s; say which by its number", text,
                               list);
        for (size_t i = 0; i < t->count; i++)
                if (fits(&t->partitions[i], text))
                        *ret = &t->partitions[i];
        return 0;
}
