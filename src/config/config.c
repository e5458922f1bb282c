/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include "base/cleanup.h"
#include "config/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_AT(field) offsetof(Config, field)

static const char *const config_references[] = {
        [REFERENCES_NONE] = "none",   [REFERENCES_DIRECTORY] = "directory",
        [REFERENCES_CHAIN] = "chain", [REFERENCES_ANY] = "any",
        [REFERENCES_ANY + 1] = NULL,
};

static const char *const config_auto[] = {
        [CONFIG_AUTO] = "auto",
        [CONFIG_YES] = "yes",
        [CONFIG_NO] = "no",
        [CONFIG_NO + 1] = NULL,
};

static const char *const config_log_levels[] = {
        [CONFIG_LOG_AUTO] = "auto",       [CONFIG_LOG_ERROR] = "error",
        [CONFIG_LOG_WARNING] = "warning", [CONFIG_LOG_NOTICE] = "notice",
        [CONFIG_LOG_INFO] = "info",       [CONFIG_LOG_DEBUG] = "debug",
        [CONFIG_LOG_DEBUG + 1] = NULL,
};

static const char *const config_sector_sizes[] = {
        [CONFIG_SECTOR_AUTO] = "auto",
        [CONFIG_SECTOR_512] = "512",
        [CONFIG_SECTOR_4096] = "4096",
        [CONFIG_SECTOR_4096 + 1] = NULL,
};

static const char *const config_volatile[] = { "volatile", NULL };

/* All keys there are. An entry without a section ends the list; one without an option is for descriptors only. */
static const ConfigKey config_keys[] = {
        { "Image", "Path", "path", VALUE_PATH, CONFIG_AT(path), .max = 4095, .doc = "the image" },
        { "Image", "Format", "format", VALUE_NAME, CONFIG_AT(format), .max = 31,
          .doc = "auto, raw, qcow2, …; default: look at the image" },
        { "Image", "Snapshot", "snapshot", VALUE_TEXT, CONFIG_AT(snapshot), .max = 1023,
          .doc = "show an internal snapshot, by name or id" },
        { "Image", "Layer", "layer", VALUE_TEXT, CONFIG_AT(layer), .max = 31,
          .doc = "show a layer of the chain: N, or N,alone" },
        { "Image", "References", "references", VALUE_WORD, CONFIG_AT(references),
          .words = config_references, .initial = REFERENCES_DIRECTORY,
          .doc = "files it may name: none, directory, chain, any" },
        { "Image", "AllowedPaths", "allowed-paths", VALUE_PATHS, CONFIG_AT(allowed_paths),
          .max = 4095, .doc = "further folders for --references=chain" },
        { "Image", "KeyFile", "key-file", VALUE_PATH, CONFIG_AT(key_file), .max = 4095,
          .doc = "file that holds the passphrase" },
        { "Image", "ForceShare", "force-share", VALUE_BOOLEAN, CONFIG_AT(force_share),
          .doc = "do not take or test image locks" },
        { "Image", "AssertUnchanged", "assert-unchanged", VALUE_BOOLEAN,
          CONFIG_AT(assert_unchanged), .doc = "prove that the image stays as it is" },
        { "Image", "SectorSize", "sector-size", VALUE_WORD, CONFIG_AT(sector_size),
          .words = config_sector_sizes, .initial = CONFIG_SECTOR_AUTO,
          .doc = "of the disk's sectors: auto, 512, 4096" },
        { "View", "MountPoint", "mount-point", VALUE_PATH, CONFIG_AT(mount_point), .max = 4095,
          .doc = "file that the view covers; default: the image" },
        { "View", "Writable", "writable", VALUE_BOOLEAN, CONFIG_AT(writable),
          .doc = "allow writing to the image" },
        { "View", "Growable", "growable", VALUE_BOOLEAN, CONFIG_AT(growable),
          .doc = "writing past the end makes the image larger" },
        { "View", "Overlay", "overlay", VALUE_PATH, CONFIG_AT(overlay), .max = 4095,
          .words = config_volatile, .doc = "what takes the writes: a qcow2, or volatile" },
        { "View", "Partition", "partition", VALUE_TEXT, CONFIG_AT(partition), .max = 255,
          .doc = "show one partition alone: number, label or UUID" },
        { "View", "Partitions", "partitions", VALUE_BOOLEAN, CONFIG_AT(partitions),
          .doc = "show disk and partitions in a folder" },
        { "View", "Offset", "view-offset", VALUE_SIZE, CONFIG_AT(offset), .max = INT64_MAX,
          .doc = "show the disk from this byte on" },
        { "View", "Size", "view-size", VALUE_SIZE, CONFIG_AT(size), .max = INT64_MAX,
          .doc = "show this many bytes only" },
        { "View", "Loop", "loop", VALUE_BOOLEAN, CONFIG_AT(loop),
          .doc = "attach a loop device to the view (root)" },
        { "View", "AllowOther", "allow-other", VALUE_WORD, CONFIG_AT(allow_other),
          .words = config_auto, .doc = "let other users in where allowed: auto, yes, no" },
        { "View", "Owner", "owner", VALUE_USER, CONFIG_AT(owner), CONFIG_AT(has_owner),
          .doc = "owner of the view; default: who mounts it", .effect = CONFIG_SETS_OWNER },
        { "View", "Group", "group", VALUE_GROUP, CONFIG_AT(group), CONFIG_AT(has_group),
          .doc = "group of the view", .effect = CONFIG_SETS_GROUP },
        { "View", "Mode", "mode", VALUE_MODE, CONFIG_AT(mode), CONFIG_AT(has_mode), .max = 0777,
          .doc = "mode of the view; default: 0600, read-only 0400", .effect = CONFIG_SETS_MODE },
        { "View", "CacheSize", "cache-size", VALUE_SIZE, CONFIG_AT(cache_size),
          .min = UINT64_C(1) << 20, .max = UINT64_C(1) << 36, .initial = UINT64_C(16) << 20,
          .doc = "memory for tables and decoded clusters", .effect = CONFIG_SETS_CACHE_SIZE },
        { "View", "LogLevel", "log-level", VALUE_WORD, CONFIG_AT(log_level),
          .words = config_log_levels, .initial = CONFIG_LOG_AUTO,
          .doc = "error, warning, notice, info, debug, or auto", .effect = CONFIG_SETS_LOG_LEVEL },
        { "Install", "Automatic", NULL, VALUE_BOOLEAN, CONFIG_AT(automatic),
          .doc = "start it at boot or login", .effect = CONFIG_AT_BOOT },
        { "Install", "NoFail", NULL, VALUE_BOOLEAN, CONFIG_AT(no_fail),
          .doc = "boot or login neither waits for it nor minds when it fails",
          .effect = CONFIG_AT_BOOT },
        { 0 },
};

_Static_assert(sizeof(config_keys) / sizeof(config_keys[0]) <= CONFIG_KEYS_MAX,
               "there is a place for the sources of each key");

uint32_t config_get_sector_size(const Config *c)
{
        return c->sector_size == CONFIG_SECTOR_4096  ? 4096
               : c->sector_size == CONFIG_SECTOR_512 ? 512
                                                     : 0;
}

void config_init(Config *c)
{
        *c = (Config){ 0 };
        for (const ConfigKey *key = config_keys; key->section; key++)
                value_reset(key, c);
}

void config_done(Config *c)
{
        for (const ConfigKey *key = config_keys; key->section; key++) {
                value_reset(key, c);
                value_list_free(&c->sources[key - config_keys]);
        }
        *c = (Config){ 0 };
}

bool config_get_option(size_t index, ConfigOption *ret)
{
        for (const ConfigKey *key = config_keys; key->section; key++) {
                if (!key->option || index-- > 0)
                        continue;
                *ret = (ConfigOption){
                        .name = key->option,
                        .needs_value = key->type != VALUE_BOOLEAN,
                        .is_path = key->type == VALUE_PATH,
                        .word = key->type == VALUE_PATH && key->words ? key->words[0] : NULL,
                        .value = value_placeholder(key),
                        .doc = key->doc,
                };
                return true;
        }
        return false;
}

/* "allow_other" is what mount(8) calls "allow-other". */
static bool config_option_is(const char *option, const char *name)
{
        for (; *option && *name; option++, name++)
                if (*option != (*name == '_' ? '-' : *name))
                        return false;
        return !*option && !*name;
}

int config_get_setting(const Config *c, size_t index, ConfigSetting *ret)
{
        for (const ConfigKey *key = config_keys; key->section; key++) {
                if (index-- > 0)
                        continue;
                ConfigSetting s = {
                        .section = key->section,
                        .key = key->key,
                        .effect = key->effect,
                        .sources = c->sources[key - config_keys],
                };
                int r = value_get(key, c, &s);
                if (r < 0)
                        return r;
                *ret = s;
                return 1;
        }
        return 0;
}

void config_move_setting(Config *to, size_t index, Config *from)
{
        for (const ConfigKey *key = config_keys; key->section; key++) {
                if (index-- > 0)
                        continue;
                value_move(key, to, from);
                char ***sources = &to->sources[key - config_keys];
                value_list_free(sources);
                *sources = TAKE(from->sources[key - config_keys]);
                return;
        }
}

/* A further value replaces the one before, but for lists, to which it is added. */
static int config_note_source(Config *c, const ConfigKey *key, const char *source, Err *err)
{
        char ***sources = &c->sources[key - config_keys];

        if (key->type != VALUE_PATHS)
                value_list_free(sources);
        return value_list_add(sources, source, err);
}

static int config_set(
        Config *c, const ConfigKey *key, const char *value, const char *source, Err *err)
{
        if (!value && key->type == VALUE_BOOLEAN)
                value = "yes";
        if (!value)
                return err_set(err, EINVAL, "a value is missing");
        if (!*value) {
                value_reset(key, c);
                value_list_free(&c->sources[key - config_keys]);
                return 0;
        }
        int r = value_set(key, value, c, err);
        return r < 0 ? r : config_note_source(c, key, source, err);
}

int config_set_option(Config *c, const char *name, const char *value, Err *err)
{
        for (const ConfigKey *key = config_keys; key->section; key++)
                if (key->option && config_option_is(key->option, name)) {
                        char source[64];
                        snprintf(source, sizeof(source), "--%s", key->option);
                        int r = config_set(c, key, value, source, err);
                        return r < 0 ? err_prefix(err, r, "%s", key->option) : 0;
                }
        return err_set(err, ENOENT, "there is no option '%s'", name);
}

bool config_has_section(const char *section)
{
        for (const ConfigKey *key = config_keys; key->section; key++)
                if (strcmp(key->section, section) == 0)
                        return true;
        return false;
}

int config_set_key(Config *c,
                   const char *section,
                   const char *name,
                   const char *value,
                   const char *source,
                   Err *err)
{
        for (const ConfigKey *key = config_keys; key->section; key++)
                if (strcmp(key->section, section) == 0 && strcmp(key->key, name) == 0) {
                        int r = config_set(c, key, value, source, err);
                        return r < 0 ? err_prefix(err, r, "%s", key->key) : 0;
                }
        return err_set(err, ENOENT, "unknown key '%s' in section [%s], ignored", name, section);
}

bool config_overlay_is_volatile(const Config *c)
{
        return c->overlay && strcmp(c->overlay, config_volatile[0]) == 0;
}

/* Nobody needs to say that a view with an overlay is writable. Who says that it is not means something else. */
static int config_settle_overlay(Config *c, Err *err)
{
        if (!c->overlay)
                return 0;
        for (const ConfigKey *key = config_keys; key->section; key++)
                if (key->offset == CONFIG_AT(writable) && c->sources[key - config_keys] &&
                    !c->writable)
                        return err_set(err, EINVAL,
                                       "Overlay= (--overlay) makes the view writable, which "
                                       "Writable=no (--writable=no, ro) contradicts");
        if (c->snapshot)
                return err_set(err, EINVAL,
                               "Overlay= (--overlay) cannot be combined with Snapshot= "
                               "(--snapshot): a qcow2 names a whole image as what lies below it");
        if (c->force_share)
                return err_set(err, EINVAL,
                               "Overlay= (--overlay) cannot be combined with ForceShare=yes "
                               "(--force-share): the image must stay as it is");
        c->writable = true;
        return 0;
}

/* "2", or "2,alone". */
static int config_settle_layer(Config *c, Err *err)
{
        char *end = NULL;

        if (!c->layer)
                return 0;
        unsigned long number = strtoul(c->layer, &end, 10);
        c->layer_alone = strcmp(end, ",alone") == 0;
        if (c->layer[0] < '0' || c->layer[0] > '9' || number > CONFIG_LAYER_MAX ||
            (*end && !c->layer_alone))
                return err_set(err, EINVAL,
                               "Layer= (--layer): '%s' is not allowed; allowed is a number from 0, "
                               "the image itself, to %d, and the same with ',alone'",
                               c->layer, CONFIG_LAYER_MAX);
        c->layer_number = (unsigned)number;
        if (c->writable)
                return err_set(err, EINVAL,
                               "Layer= (--layer) cannot be combined with Writable=yes (--writable) "
                               "or Overlay= (--overlay): others lie over it");
        return 0;
}

static int config_refuse_contradiction(const Config *c, Err *err)
{
        if (c->growable && !c->writable)
                return err_set(err, EINVAL,
                               "Growable=yes (--growable) needs Writable=yes (--writable)");
        if (c->snapshot && c->writable)
                return err_set(err, EINVAL,
                               "Snapshot= (--snapshot) cannot be combined with Writable=yes "
                               "(--writable): a snapshot is read-only");
        if (c->partition && (c->offset > 0 || c->size > 0))
                return err_set(err, EINVAL,
                               "Partition= (--partition) cannot be combined with Offset= or Size= "
                               "(--view-offset, --view-size)");
        if (c->partitions && (c->partition || c->offset > 0 || c->size > 0))
                return err_set(err, EINVAL,
                               "Partitions=yes (--partitions) cannot be combined with Partition=, "
                               "Offset= or Size= (--partition, --view-offset, --view-size)");
        if (c->partitions && (c->growable || c->loop))
                return err_set(err, EINVAL,
                               "Partitions=yes (--partitions) cannot be combined with %s",
                               c->growable ? "Growable=yes (--growable)" : "Loop=yes (--loop)");
        if (c->partitions && !c->mount_point)
                return err_set(err, EINVAL,
                               "Partitions=yes (--partitions) needs MountPoint=, a folder");
        if (c->growable && (c->partition || c->offset > 0 || c->size > 0))
                return err_set(err, EINVAL,
                               "Growable=yes (--growable) needs the whole disk: a partition or a "
                               "window of it has what is behind it for a neighbour");
        if (c->force_share && c->writable)
                return err_set(err, EINVAL,
                               "ForceShare=yes (--force-share) cannot be combined with "
                               "Writable=yes (--writable)");
        if (c->assert_unchanged && config_writes_image(c))
                return err_set(
                        err, EINVAL,
                        "AssertUnchanged=yes (--assert-unchanged) cannot be combined with "
                        "Writable=yes (--writable), unless an Overlay= (--overlay) takes the "
                        "writes");
        if (c->allowed_paths && c->references != REFERENCES_CHAIN)
                return err_set(err, EINVAL,
                               "AllowedPaths= (--allowed-paths) needs References=chain "
                               "(--references=chain)");
        return 0;
}

mode_t config_default_mode(bool writable)
{
        return writable ? 0600 : 0400;
}

int config_settle(Config *c, Err *err)
{
        if (!c->path)
                return err_set(err, EINVAL, "Path= is missing: which image?");

        int r = config_settle_overlay(c, err);
        if (r >= 0)
                r = config_settle_layer(c, err);
        if (r < 0)
                return r;
        r = config_refuse_contradiction(c, err);
        if (r < 0)
                return r;

        if (!c->mount_point) {
                c->mount_point = strdup(c->path);
                if (!c->mount_point)
                        return err_set(err, ENOMEM, "%m");
        }
        if (!c->has_mode) {
                c->mode = config_default_mode(c->writable);
                c->mode_is_default = true;
                c->has_mode = true;
        }
        return 0;
}
