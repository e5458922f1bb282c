/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/value.h"

#include "base/cleanup.h"
#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *value_place(const ConfigKey *key, Config *c)
{
        return (char *)c + key->offset;
}

static int value_check_length(const ConfigKey *key, const char *text, Err *err)
{
        if (strlen(text) > key->max)
                return err_set(err, EINVAL,
                               "%zu bytes are too long; at most %" PRIu64 " are allowed",
                               strlen(text), key->max);
        return 0;
}

static int value_set_text(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        char **place = value_place(key, c);

        int r = value_check_length(key, text, err);
        if (r < 0)
                return r;
        char *copy = strdup(text);
        if (!copy)
                return err_set(err, ENOMEM, "%m");
        free(*place);
        *place = copy;
        return 0;
}

static int value_set_name(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        for (const char *t = text; *t; t++)
                if (!isalnum((unsigned char)*t) && !strchr("-_.", *t))
                        return err_set(err, EINVAL,
                                       "'%s' is not a name; letters, digits, '-', '_' and '.' are "
                                       "allowed",
                                       text);
        if (strcmp(text, "auto") == 0) {
                value_reset(key, c);
                return 0;
        }
        return value_set_text(key, text, c, err);
}

static bool value_is_one_of(const char *const *words, const char *text)
{
        for (; words && *words; words++)
                if (strcmp(*words, text) == 0)
                        return true;
        return false;
}

static int value_check_path(const ConfigKey *key, const char *text, Err *err)
{
        if (value_is_one_of(key->words, text))
                return 0;
        if (text[0] != '/' && key->words)
                return err_set(err, EINVAL, "'%s' is neither an absolute path nor '%s'", text,
                               key->words[0]);
        if (text[0] != '/')
                return err_set(err, EINVAL, "'%s' is not an absolute path", text);
        return value_check_length(key, text, err);
}

static int value_set_path(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        int r = value_check_path(key, text, err);
        return r < 0 ? r : value_set_text(key, text, c, err);
}

/* Takes the next word off *rest: blanks separate, '…' and "…" hold together, a backslash takes the next character
 * as it is. *ret is NULL at the end. */
static int value_next_word(const char **rest, char **ret, Err *err)
{
        const char *from = *rest + strspn(*rest, " \t");
        *ret = NULL;
        if (!*from)
                return 0;

        char *word = malloc(strlen(from) + 1), *to = word;
        if (!word)
                return err_set(err, ENOMEM, "%m");
        char quote = 0;
        for (; *from && (quote || !strchr(" \t", *from)); from++) {
                if (*from == quote)
                        quote = 0;
                else if (!quote && (*from == '"' || *from == '\''))
                        quote = *from;
                else if (*from == '\\' && from[1])
                        *to++ = *++from;
                else
                        *to++ = *from;
        }
        *to = '\0';
        if (quote) {
                free(word);
                return err_set(err, EINVAL, "a %c is not closed", quote);
        }
        *rest = from;
        *ret = word;
        return 0;
}

void value_list_free(char ***list)
{
        for (char **l = *list; l && *l; l++)
                free(*l);
        free(*list);
        *list = NULL;
}

static size_t value_list_count(char *const *list)
{
        size_t count = 0;
        while (list && list[count])
                count++;
        return count;
}

/* Moves all words of `from` to the end of *list, and `from` itself is freed; on failure nothing has changed. */
static int value_list_append(char ***list, char ***from, Err *err)
{
        size_t count = value_list_count(*list), more = value_list_count(*from);
        if (more == 0)
                return 0;

        char **longer = reallocarray(*list, count + more + 1, sizeof(*longer));
        if (!longer)
                return err_set(err, ENOMEM, "%m");
        for (size_t i = 0; i < more; i++)
                longer[count + i] = (*from)[i];
        longer[count + more] = NULL;
        *list = longer;
        free(TAKE(*from));
        return 0;
}

int value_list_add(char ***list, const char *text, Err *err)
{
        _cleanup_(value_list_free) char **one = calloc(2, sizeof(*one));

        if (!one || !(one[0] = strdup(text)))
                return err_set(err, ENOMEM, "%m");
        return value_list_append(list, &one, err);
}

/* All words are checked before the first is appended. */
static int value_set_paths(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        _cleanup_(value_list_free) char **words = NULL;

        for (const char *rest = text;;) {
                char *word = NULL;
                int r = value_next_word(&rest, &word, err);
                if (r < 0)
                        return r;
                if (!word)
                        break;

                _cleanup_(value_list_free) char **one = calloc(2, sizeof(*one));
                if (!one) {
                        free(word);
                        return err_set(err, ENOMEM, "%m");
                }
                one[0] = word;
                r = value_check_path(key, word, err);
                if (r < 0)
                        return r;
                r = value_list_append(&words, &one, err);
                if (r < 0)
                        return r;
        }
        return value_list_append(value_place(key, c), &words, err);
}

static int value_set_boolean(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        static const char *const words[][2] = {
                { "no", "yes" },
                { "false", "true" },
                { "off", "on" },
                { "0", "1" },
        };

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                for (int is = 0; is < 2; is++)
                        if (strcasecmp(text, words[i][is]) == 0) {
                                *(bool *)value_place(key, c) = is;
                                return 0;
                        }
        return err_set(err, EINVAL,
                       "'%s' is not a boolean; allowed are yes, no, true, false, on, off, 1, 0",
                       text);
}

static int value_set_size(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        uint64_t size = 0;
        char min[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX];

        int r = size_parse(text, &size);
        if (r == -EINVAL)
                return err_set(
                        err, EINVAL,
                        "'%s' is not a size; allowed are bytes, or a number with K, M, G or T",
                        text);
        if (r < 0 || size < key->min || size > key->max)
                return err_set(err, EINVAL, "'%s' is out of range; allowed are %s to %s", text,
                               size_format(key->min, min), size_format(key->max, max));
        *(uint64_t *)value_place(key, c) = size;
        return 0;
}

static int value_set_word(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        char allowed[128] = "";

        for (unsigned i = 0; key->words[i]; i++) {
                if (strcasecmp(text, key->words[i]) == 0) {
                        *(unsigned *)value_place(key, c) = i;
                        return 0;
                }
                size_t used = strlen(allowed);
                snprintf(allowed + used, sizeof(allowed) - used, "%s%s", i ? ", " : "",
                         key->words[i]);
        }
        return err_set(err, EINVAL, "'%s' is not allowed; allowed are %s", text, allowed);
}

/* A plain decimal number, as user and group ids are; (uid_t)-1 means "none" to the kernel. */
static bool value_parse_id(const char *text, uint32_t *ret)
{
        uint64_t number = 0;

        if (!text[0] || text[strspn(text, "0123456789")] || size_parse(text, &number) < 0 ||
            number >= UINT32_MAX)
                return false;
        *ret = (uint32_t)number;
        return true;
}

static bool value_find_user(const char *name, uint32_t *ret)
{
        const struct passwd *user = getpwnam(name);
        if (user)
                *ret = user->pw_uid;
        return user;
}

static bool value_find_group(const char *name, uint32_t *ret)
{
        const struct group *group = getgrnam(name);
        if (group)
                *ret = group->gr_gid;
        return group;
}

/* Of a user or of a group. */
static int value_set_id(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        bool is_user = key->type == VALUE_USER;
        uint32_t id = 0;

        if (!value_parse_id(text, &id) && !c->without_users &&
            !(is_user ? value_find_user(text, &id) : value_find_group(text, &id)))
                return err_set(err, EINVAL, "there is no %s '%s'; a name or a number is allowed",
                               is_user ? "user" : "group", text);
        *(uint32_t *)value_place(key, c) = id;
        return 0;
}

static int value_set_mode(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        unsigned long mode = 0;
        char *end = NULL;

        if (text[strspn(text, "01234567")] == '\0')
                mode = strtoul(text, &end, 8);
        if (!end || mode > key->max)
                return err_set(err, EINVAL,
                               "'%s' is not a file mode; octal digits up to %04" PRIo64
                               " are allowed",
                               text, key->max);
        *(mode_t *)value_place(key, c) = (mode_t)mode;
        return 0;
}

/* Nobody has looked up whom it means. */
static bool value_is_unknown(const ConfigKey *key, const Config *c)
{
        return c->without_users && (key->type == VALUE_USER || key->type == VALUE_GROUP);
}

int value_set(const ConfigKey *key, const char *text, Config *c, Err *err)
{
        static int (*const set[])(const ConfigKey *, const char *, Config *, Err *) = {
                [VALUE_TEXT] = value_set_text,       [VALUE_NAME] = value_set_name,
                [VALUE_PATH] = value_set_path,       [VALUE_PATHS] = value_set_paths,
                [VALUE_BOOLEAN] = value_set_boolean, [VALUE_SIZE] = value_set_size,
                [VALUE_WORD] = value_set_word,       [VALUE_USER] = value_set_id,
                [VALUE_GROUP] = value_set_id,        [VALUE_MODE] = value_set_mode,
        };

        int r = set[key->type](key, text, c, err);
        if (r >= 0 && key->has_offset)
                *(bool *)((char *)c + key->has_offset) = !value_is_unknown(key, c);
        return r;
}

void value_reset(const ConfigKey *key, Config *c)
{
        void *place = value_place(key, c);

        switch (key->type) {
        case VALUE_TEXT:
        case VALUE_NAME:
        case VALUE_PATH:
                free(*(char **)place);
                *(char **)place = NULL;
                break;
        case VALUE_PATHS:
                value_list_free(place);
                break;
        case VALUE_BOOLEAN:
                *(bool *)place = false;
                break;
        case VALUE_SIZE:
                *(uint64_t *)place = key->initial;
                break;
        case VALUE_WORD:
        case VALUE_USER:
        case VALUE_GROUP:
        case VALUE_MODE:
                *(uint32_t *)place = (uint32_t)key->initial;
                break;
        }
        if (key->has_offset)
                *(bool *)((char *)c + key->has_offset) = false;
}

static size_t value_len(const ConfigKey *key)
{
        static const size_t len[] = {
                [VALUE_TEXT] = sizeof(char *),    [VALUE_NAME] = sizeof(char *),
                [VALUE_PATH] = sizeof(char *),    [VALUE_PATHS] = sizeof(char **),
                [VALUE_BOOLEAN] = sizeof(bool),   [VALUE_SIZE] = sizeof(uint64_t),
                [VALUE_WORD] = sizeof(uint32_t),  [VALUE_USER] = sizeof(uint32_t),
                [VALUE_GROUP] = sizeof(uint32_t), [VALUE_MODE] = sizeof(uint32_t),
        };
        return len[key->type];
}

void value_move(const ConfigKey *key, Config *to, Config *from)
{
        void *place = value_place(key, to), *source = value_place(key, from);

        value_reset(key, to);
        memcpy(place, source, value_len(key));
        if (key->has_offset)
                *(bool *)((char *)to + key->has_offset) = *(bool *)((char *)from + key->has_offset);
        /* What is owned has one owner. */
        memset(source, 0, value_len(key));
        value_reset(key, from);
}

/* "16M" where that is exact, else bytes. */
static char *value_size_text(uint64_t size)
{
        static const char units[] = "\0KMGT";
        size_t unit = 0;
        char *text = NULL;

        while (size > 0 && size % 1024 == 0 && unit < 4) {
                size /= 1024;
                unit++;
        }
        return asprintf(&text, "%" PRIu64 "%.1s", size, units + unit) < 0 ? NULL : text;
}

static char *value_id_text(const ConfigKey *key, uint32_t number)
{
        char text[16];

        snprintf(text, sizeof(text), key->type == VALUE_MODE ? "%04o" : "%u", number);
        return strdup(text);
}

/* As a descriptor would have it. */
static char *value_list_text(char *const *list)
{
        size_t len = 1;
        for (size_t i = 0; list && list[i]; i++)
                len += 2 * strlen(list[i]) + 1;

        char *text = malloc(len), *to = text;
        if (!text)
                return NULL;
        for (size_t i = 0; list && list[i]; i++) {
                if (i > 0)
                        *to++ = ' ';
                for (const char *from = list[i]; *from; from++) {
                        if (strchr(" \t'\"\\", *from))
                                *to++ = '\\';
                        *to++ = *from;
                }
        }
        *to = '\0';
        return text;
}

static char *value_text(const ConfigKey *key, const void *place, bool is_set)
{
        switch (key->type) {
        case VALUE_TEXT:
        case VALUE_PATH:
                return strdup(*(char *const *)place ?: "");
        case VALUE_NAME:
                return strdup(*(char *const *)place ?: "auto");
        case VALUE_PATHS:
                return value_list_text(*(char **const *)place);
        case VALUE_BOOLEAN:
                return strdup(*(const bool *)place ? "yes" : "no");
        case VALUE_SIZE:
                return value_size_text(*(const uint64_t *)place);
        case VALUE_WORD:
                return strdup(key->words[*(const uint32_t *)place]);
        case VALUE_USER:
        case VALUE_GROUP:
        case VALUE_MODE:
                return is_set ? value_id_text(key, *(const uint32_t *)place) : strdup("");
        }
        return NULL;
}

int value_get(const ConfigKey *key, const Config *c, ConfigSetting *ret)
{
        const void *place = (const char *)c + key->offset;
        bool is_set = key->has_offset && *(const bool *)((const char *)c + key->has_offset);

        char *text = value_text(key, place, is_set);
        if (!text)
                return -ENOMEM;
        ret->text = text;
        ret->kind = CONFIG_TEXT;
        if (key->type == VALUE_BOOLEAN) {
                ret->kind = CONFIG_BOOLEAN;
                ret->number = *(const bool *)place;
        } else if (key->type == VALUE_SIZE) {
                ret->kind = CONFIG_NUMBER;
                ret->number = *(const uint64_t *)place;
        } else if (key->type == VALUE_PATHS) {
                ret->kind = CONFIG_LIST;
                ret->list = *(char **const *)place;
        }
        return 0;
}

const char *value_placeholder(const ConfigKey *key)
{
        static const char *const names[] = {
                [VALUE_TEXT] = "TEXT",   [VALUE_NAME] = "NAME",    [VALUE_PATH] = "FILE",
                [VALUE_PATHS] = "PATHS", [VALUE_BOOLEAN] = "BOOL", [VALUE_SIZE] = "SIZE",
                [VALUE_WORD] = "WORD",   [VALUE_USER] = "USER",    [VALUE_GROUP] = "GROUP",
                [VALUE_MODE] = "MODE",
        };
        return names[key->type];
}

_Static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(gid_t) == sizeof(uint32_t) &&
                       sizeof(mode_t) == sizeof(uint32_t) &&
                       sizeof(ReferencePolicy) == sizeof(uint32_t) &&
                       sizeof(ConfigAuto) == sizeof(uint32_t),
               "values of words, users, groups and modes are 32 bits wide");
