/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A descriptor: read, told to systemd, settled; and each of its lines as the value of every option. */
#include "base/cleanup.h"
#include "config/config.h"
#include "config/difference.h"
#include "folder.h"
#include "fuzz.h"
#include "generator/drop-in.h"

#include <unistd.h>

enum {
        INPUT_MAX = 16 << 10,
        LINES_MAX = 4,
};

static void count_warning(void *arg, const char *text)
{
        fuzz_require(text[0] != '\0', "a warning says something");
        ++*(unsigned *)arg;
}

static void require_path(const char *path)
{
        fuzz_require(!path || (path[0] == '/' && strlen(path) < 4096),
                     "a path is absolute and fits");
}

/* What others build on. */
static void require_settled(const Config *c)
{
        require_path(c->path);
        require_path(c->mount_point);
        for (char *const *a = c->allowed_paths; a && *a; a++)
                require_path(*a);
        fuzz_require(c->path && c->mount_point, "there is an image and a mount point");
        fuzz_require(c->has_mode && c->mode <= 0777, "a mode has nothing but permissions");
        fuzz_require(!c->format || strlen(c->format) < 32, "a format fits");
        fuzz_require(!c->snapshot || (strlen(c->snapshot) < 1024 && !c->writable),
                     "a snapshot fits, and is not written");
        fuzz_require(c->references <= REFERENCES_ANY && c->allow_other <= CONFIG_NO,
                     "a word is one of those that there are");
        fuzz_require(c->cache_size >= 1 << 20 && c->cache_size <= UINT64_C(1) << 36,
                     "the cache is within its bounds");
        fuzz_require(c->log_level <= CONFIG_LOG_DEBUG,
                     "a level of the log is one of those there are");
        fuzz_require(!c->growable || c->writable, "what grows is written");
        fuzz_require(!c->force_share || !c->writable, "without locks nothing is written");
}

/* What --check prints of a list, a descriptor could say. */
static void require_list(const ConfigSetting *s)
{
        _cleanup_config_ Config again = { 0 };

        config_init(&again);
        fuzz_require(config_set_option(&again, "allowed-paths", s->text, NULL) >= 0,
                     "a list can be read again");
        fuzz_require(!again.allowed_paths == !s->list, "a list is as empty as before");
        for (size_t i = 0; s->list; i++) {
                const char *is = again.allowed_paths[i], *was = s->list[i];
                fuzz_require(is && was ? strcmp(is, was) == 0 : is == was,
                             "a list is the same when it is read again");
                if (!is)
                        break;
        }
}

static void require_settings(const Config *c)
{
        ConfigSetting s = { 0 };
        int r = 0;

        for (size_t i = 0; (r = config_get_setting(c, i, &s)) > 0; i++) {
                _cleanup_free_ char *text = s.text;
                fuzz_require(text != NULL, "each key has a text");
                fuzz_require(s.kind != CONFIG_TEXT || !s.sources || !s.sources[1],
                             "what is no list comes from one place");
                if (s.kind == CONFIG_LIST)
                        require_list(&s);
        }
        fuzz_require(r == 0, "all keys can be had");
}

/* Compared with one that says as little as possible, and with itself. */
static void require_differences(Config *c)
{
        _cleanup_config_ Config shown = { 0 };
        ConfigDifference found[CONFIG_KEYS_MAX];
        size_t count = 0;

        config_init(&shown);
        if (config_set_option(&shown, "path", "/a", NULL) < 0 || config_settle(&shown, NULL) < 0)
                exit(1);
        fuzz_require(config_compare(c, c, found, &count) == 0 && count == 0,
                     "nothing differs from itself");
        config_keep_defaults(&shown, c);
        fuzz_require(config_compare(&shown, c, found, &count) == 0, "descriptors can be compared");
        for (size_t i = 0; i < count; i++)
                config_adopt(&shown, c, &found[i]);
        fuzz_require(shown.path && shown.mount_point && shown.mode <= 0777,
                     "what was taken over makes sense");
}

/* What systemd reads is made of lines that we have chosen, and holds nothing that acts on a terminal. */
static void require_unit(char *text)
{
        static const char *const starts[] = {
                "#",
                "[Unit]",
                "[Service]",
                "SourcePath=/",
                "RequiresMountsFor=\"/",
                "DeviceAllow=\"/dev/",
                "DeviceAllow=/dev/loop-control rw\n",
                "DeviceAllow=block-loop rw\n",
                "Wants=modprobe@loop.service\n",
                "After=modprobe@loop.service\n",
                "Before=rawview.target",
                "BindsTo=dev-",
                "After=dev-",
        };

        for (char *line = text, *end; *line; line = end + 1) {
                bool known = *line == '\n';
                end = strchr(line, '\n');
                fuzz_require(end != NULL, "each line ends");
                for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
                        known |= strncmp(line, starts[i], strlen(starts[i])) == 0;
                fuzz_require(known && (end == line || end[-1] != '\\'), "no value leaves its line");
        }
        fuzz_require(!strpbrk(text, "\r\t\v\f\x1b\x7f"), "no value has control characters");
}

static void tell_systemd(const Config *c)
{
        const DropIn d = {
                .config = c,
                .source = "/etc/rawview/a.image",
                .has_device_units = true,
                .has_device_policy = true,
        };
        _cleanup_free_ char *text = NULL;
        unsigned warnings = 0;
        size_t len = 0;

        if (!c->path)
                return;
        FILE *out = open_memstream(&text, &len);
        if (!out)
                exit(1);
        fuzz_require(drop_in_put(out, &d, count_warning, &warnings, NULL) >= 0,
                     "each path can be told, or left out");
        if (fclose(out) != 0)
                exit(1);
        fuzz_require(strlen(text) == len, "a unit has no NUL bytes");
        require_unit(text);
}

static void settle(Config *c)
{
        Err err = { "" };

        require_settings(c);
        tell_systemd(c);
        if (config_settle(c, &err) >= 0) {
                require_settled(c);
                require_differences(c);
        } else {
                fuzz_require(err.text[0] != '\0', "a refusal says why");
        }
}

static void write_file(int fd, const void *bytes, size_t len)
{
        if (ftruncate(fd, 0) < 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
                exit(1);
}

static int read_file(const char *path)
{
        _cleanup_config_ Config c = { 0 };
        unsigned warnings = 0;
        Err err = { "" };

        config_init(&c);
        int r = config_read(&c, path, "a/b c-\xc3\xa4", count_warning, &warnings, &err);
        fuzz_require(r >= 0 || err.text[0] != '\0', "a refusal says why");
        settle(&c);
        return r;
}

/* The descriptor to be. Whether files are read here at all is found out at once. */
static int begin(const char **ret_path)
{
        static const char sound[] = "[Image]\nPath=/a\n";
        int fd = fuzz_folder_file(ret_path);

        write_file(fd, sound, sizeof(sound) - 1);
        fuzz_require(read_file(*ret_path) >= 0, "a sound descriptor is read");
        return fd;
}

static void set_options(FuzzInput in)
{
        _cleanup_config_ Config c = { 0 };
        ConfigOption option;

        config_init(&c);
        for (unsigned n = 0; n < LINES_MAX && in.len > 0; n++) {
                FuzzInput line = fuzz_take_until(&in, '\n');
                FuzzInput name_part = fuzz_take_until(&line, '=');
                _cleanup_free_ char *name = fuzz_text(name_part), *value = fuzz_text(line);
                (void)config_set_option(&c, name, value, NULL);
                for (size_t i = 0; config_get_option(i, &option); i++)
                        (void)config_set_option(&c, option.name, value, NULL);
        }
        settle(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        static int fd = -1;
        static const char *path;

        if (len > INPUT_MAX)
                return 0;
        if (fd < 0)
                fd = begin(&path);
        write_file(fd, bytes, len);
        (void)read_file(path);
        set_options((FuzzInput){ bytes, len });
        return 0;
}
