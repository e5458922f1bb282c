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
};

static bool find_all(const Partition *p, const char *text)
{
        return p->kind != PARTITION_EXTENDED;
}

static bool find_by_text(const Partition *p, const char *text)
{
        return p->kind != PARTITION_EXTENDED && ((p->name[0] && strcmp(p->name, text) == 0) ||
                                                 (p->uuid[0] && strcasecmp(p->uuid, text) == 0));
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
        return err_set(err, ENOENT, "there is no partition %s%.100s%s; there %s %s", quote, text,
                       quote, count == 1 ? "is" : "are", list);
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

int partition_find(const PartitionTable *t, const char *text, const Partition **ret, Err *err)
{
        char list[FIND_LIST_MAX];
        bool is_number = text[0] && strspn(text, "0123456789") == strlen(text);

        if (is_number) {
                int r = find_by_number(t, strtoul(text, NULL, 10), ret, err);
                if (r != -ENOENT)
                        return r;
        }
        size_t count = find_list(t, find_by_text, text, list);
        if (count == 0)
                return find_refuse(t, text, is_number, err);
        if (count > 1)
                return err_set(err, ENOTUNIQ,
                               "'%.100s' are several partitions: %s; say which by its number", text,
                               list);
        for (size_t i = 0; i < t->count; i++)
                if (find_by_text(&t->partitions[i], text))
                        *ret = &t->partitions[i];
        return 0;
}
