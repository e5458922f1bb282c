/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a key of a descriptor can hold, and how a text becomes it. Private to config/: config.c has the table of
 * keys, ini.c the syntax of the files.
 */
#pragma once

#include "config/config.h"

typedef enum ValueType {
        VALUE_TEXT,
        VALUE_NAME,  /* letters, digits, '-', '_', '.'; "auto" is NULL */
        VALUE_PATH,  /* absolute, or one of .words where there are any */
        VALUE_PATHS, /* absolute, separated by blanks; each text appends */
        VALUE_BOOLEAN,
        VALUE_SIZE,
        VALUE_WORD, /* one of .words; an enum */
        VALUE_USER,
        VALUE_GROUP,
        VALUE_MODE,
} ValueType;

typedef struct ConfigKey {
        const char *section, *key;
        const char *option;
        ValueType type;
        size_t offset;     /* of the value in a Config */
        size_t has_offset; /* of the bool that says whether it was set; 0: there is none */
        uint64_t min, max; /* of a number; the longest text in bytes */
        uint64_t initial;  /* of a number */
        const char *const *words;
        const char *doc;
        ConfigEffect effect;
} ConfigKey;

/* `text` is not empty. On failure the value is as it was; the text says what is allowed. */
int value_set(const ConfigKey *key, const char *text, Config *c, Err *err);

/* Back to what it is before anybody has set it; frees what it owns. */
void value_reset(const ConfigKey *key, Config *c);

/* `from` has none afterwards, or its default. */
void value_move(const ConfigKey *key, Config *to, Config *from);

/* For config_get_setting: all of `ret` but its names and sources. */
int value_get(const ConfigKey *key, const Config *c, ConfigSetting *ret);

/* Lists end with NULL; the empty one is NULL. A copy of `text` goes to the end; ENOMEM: nothing has changed. */
int value_list_add(char ***list, const char *text, Err *err);
void value_list_free(char ***list);

/* "SIZE", "FILE": for a list of options. */
const char *value_placeholder(const ConfigKey *key);

/* For ini.c. ENOENT with a text that says "ignored": there is no such key. */
bool config_has_section(const char *section);
int config_set_key(Config *c,
                   const char *section,
                   const char *name,
                   const char *value,
                   const char *source,
                   Err *err);
