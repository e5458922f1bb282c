/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is shown, where and how: the keys of a descriptor (NAME.image) and, under the same names in lower case with
 * dashes, the options of `rawview mount` and of rawviewd. One struct, one table of typed keys in config.c.
 * A Config belongs to one thread; it owns every text in it.
 */
#pragma once

#include "base/err.h"
#include "reference/reference.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum ConfigAuto {
        CONFIG_AUTO,
        CONFIG_YES,
        CONFIG_NO,
} ConfigAuto;

typedef enum ConfigLogLevel {
        CONFIG_LOG_AUTO, /* as much as fits the place where it goes */
        CONFIG_LOG_ERROR,
        CONFIG_LOG_WARNING,
        CONFIG_LOG_NOTICE,
        CONFIG_LOG_INFO,
        CONFIG_LOG_DEBUG,
} ConfigLogLevel;

/* What another value of a key means for a view that is up. */
typedef enum ConfigEffect {
        CONFIG_AT_RESTART, /* nothing before the view is started anew */
        CONFIG_AT_BOOT,    /* nothing: it concerns the next boot or login */
        CONFIG_SETS_OWNER, /* from here on what it sets, at once */
        CONFIG_SETS_GROUP,
        CONFIG_SETS_MODE,
        CONFIG_SETS_CACHE_SIZE,
        CONFIG_SETS_LOG_LEVEL,
} ConfigEffect;

typedef enum ConfigSectorSize {
        CONFIG_SECTOR_AUTO,
        CONFIG_SECTOR_512,
        CONFIG_SECTOR_4096,
} ConfigSectorSize;

enum {
        /* At least as many as the table has. */
        CONFIG_KEYS_MAX = 32,
        /* More layers no chain has. */
        CONFIG_LAYER_MAX = 31,
};

typedef struct Config {
        /* [Image] */
        char *path;
        char *format; /* NULL: auto */
        char *snapshot;
        char *layer;           /* NULL: the image itself */
        unsigned layer_number; /* what it says, once it is settled */
        bool layer_alone;
        ReferencePolicy references;
        char **allowed_paths; /* NULL-terminated, or NULL */
        char *key_file;
        bool force_share;
        bool assert_unchanged;
        ConfigSectorSize sector_size;
        /* [View] */
        char *mount_point; /* NULL: path */
        bool writable, growable;
        char *overlay, *partition;
        bool partitions;       /* the view is a folder: the disk and all of them */
        uint64_t offset, size; /* size 0: to the end */
        bool loop;             /* a loop device lies over the view */
        ConfigAuto allow_other;
        bool has_owner, has_group, has_mode;
        uid_t owner;
        gid_t group;
        mode_t mode;
        bool mode_is_default; /* config_settle has chosen it */
        uint64_t cache_size;
        ConfigLogLevel log_level;
        /* [Install] */
        bool automatic, no_fail;
        /* For each key of the table where its value comes from, "file:line" or "--option"; NULL: it is a default. Only
         * a list has more than one. */
        char **sources[CONFIG_KEYS_MAX];
        /* Set before reading by who needs no users, and cannot wait for a user database that is somewhere in the network: Owner= and
         * Group= may be any name, and say nothing. */
        bool without_users;
} Config;

/* All defaults of rawview.image(5). */
void config_init(Config *c);
void config_done(Config *c);

/* 512 or 4096; 0: what the image says, or what lies on the disk. */
uint32_t config_get_sector_size(const Config *c);

/* What a command must know to parse an option of the table. */
typedef struct ConfigOption {
        const char *name;  /* "allow-other" */
        bool needs_value;  /* a boolean may stand alone */
        bool is_path;      /* one file, which must be absolute when it is set */
        const char *word;  /* stands there in the place of a file; NULL: none does */
        const char *value; /* what to call it in a list of options: "SIZE" */
        const char *doc;
} ConfigOption;

/* The options in the order of the table, from 0 on. False: there is no such index. */
bool config_get_option(size_t index, ConfigOption *ret);

/* Sets one key by its option name ("allow-other", "allow_other"; "writable" with a NULL value is yes).
 * EINVAL: a wrong value, and the text says what is allowed. ENOENT: there is no such option. */
int config_set_option(Config *c, const char *name, const char *value, Err *err);

typedef enum ConfigKind {
        CONFIG_TEXT,
        CONFIG_BOOLEAN,
        CONFIG_NUMBER,
        CONFIG_LIST,
} ConfigKind;

/* One key and its value. */
typedef struct ConfigSetting {
        const char *section, *key;
        ConfigKind kind;
        ConfigEffect effect;
        char *text;           /* as a descriptor has it; "": none. To be freed */
        uint64_t number;      /* of a number or a boolean */
        char *const *list;    /* of a list; the Config's */
        char *const *sources; /* see Config; the Config's */
} ConfigSetting;

/* The keys that this version serves, in the order of the table, from 0 on. 1; 0: there is no such index. ENOMEM. */
int config_get_setting(const Config *c, size_t index, ConfigSetting *ret);

/* Moves the value and the sources of the key with this index, of config_get_setting, from one to the other. */
void config_move_setting(Config *to, size_t index, Config *from);

/* Called for what a descriptor says that is ignored: "file:line: …". */
typedef void (*ConfigWarn)(void *arg, const char *text);

/* Reads one file of a descriptor, which nobody but root and the caller may be able to write or replace (EPERM). Errors
 * name file, line and key. The instance name is what %i stands for. 1: the file is masked, it leads to /dev/null. All
 * files of a descriptor: config/descriptor.h. */
int config_read(
        Config *c, const char *file, const char *instance, ConfigWarn warn, void *arg, Err *err);

/* Settles what depends on several keys (defaults of mount_point, mode; keys that exclude each other). */
int config_settle(Config *c, Err *err);

/* The writes go to a file without a name, and then nowhere. */
bool config_overlay_is_volatile(const Config *c);

/* With an overlay a view is writable, and its image is not. */
static inline bool config_writes_image(const Config *c)
{
        return c->writable && !c->overlay;
}

/* Mode= where nothing says it. */
mode_t config_default_mode(bool writable);

static inline void config_donep(Config *c)
{
        config_done(c);
}
#define _cleanup_config_ __attribute__((cleanup(config_donep)))
