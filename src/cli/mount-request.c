/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/mount-request.h"

#include "base/cleanup.h"
#include "base/inherited.h"
#include "base/log.h"
#include "cli/found.h"
#include "cli/mount-exit.h"
#include "cli/mount-words.h"
#include "cli/own-place.h"
#include "cli/partition-list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void mount_request_init(MountRequest *m)
{
        *m = (MountRequest){ 0 };
        config_init(&m->config);
}

void mount_request_done(MountRequest *m)
{
        config_done(&m->config);
        daemon_command_done(&m->command);
        free(m->own_place);
}

int mount_request_refuse(const MountRequest *m, const char *fmt, ...)
{
        char text[512];
        va_list args;

        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        if (!m->for_mount)
                return cli_usage("mount", "%s", text);
        log_line(LOG_LEVEL_ERROR, "%s", text);
        return CLI_USAGE;
}

bool mount_request_is_path(const char *option)
{
        return strcmp(option, "path") == 0 || strcmp(option, "mount-point") == 0;
}

static bool mount_request_takes_path(const char *name, const char *value)
{
        ConfigOption o;

        for (size_t i = 0; config_get_option(i, &o); i++)
                if (strcmp(o.name, name) == 0)
                        return o.is_path && !(o.word && strcmp(o.word, value) == 0);
        return false;
}

/* -ENOENT: there is no such option, and nothing was said. */
static int mount_request_try(MountRequest *m, const char *name, const char *value, Err *err)
{
        _cleanup_free_ char *absolute = NULL;
        int r = 0;

        if (value && mount_request_takes_path(name, value))
                r = daemon_make_absolute(value, &absolute, err);
        if (absolute)
                value = absolute;
        if (r >= 0)
                r = config_set_option(&m->config, name, value, err);
        if (r == -ENOENT)
                return r;
        if (r < 0)
                return mount_request_refuse(m, "%s", err->text);
        return daemon_add(&m->command, "--%s%s%s", name, value ? "=" : "", value ? value : "");
}

int mount_request_set(MountRequest *m, const char *name, const char *value)
{
        Err err = { "" };

        int r = mount_request_try(m, name, value, &err);
        return r < 0 ? mount_request_refuse(m, "%s", err.text) : r;
}

int mount_request_set_pid_file(MountRequest *m, const char *file)
{
        _cleanup_free_ char *absolute = NULL;
        Err err = { "" };

        if (daemon_make_absolute(file, &absolute, &err) < 0)
                return mount_request_refuse(m, "pidfile: %s", err.text);
        return daemon_add(&m->command, "--pidfile=%s", absolute);
}

/* Of the options that are none of the table, those that make sense in fstab. */
static int mount_request_take_own(MountRequest *m, const char *name, const char *value)
{
        if (strcmp(name, "pidfile") == 0 && value)
                return mount_request_set_pid_file(m, value);
        if ((strcmp(name, "require-sandbox") == 0 || strcmp(name, "core-dumps") == 0) && !value)
                return daemon_add(&m->command, "--%s", name);
        return -ENOENT;
}

static int mount_request_take_unknown(const MountRequest *m, const char *name)
{
        static const char *const of_loops[] = { "offset", "sizelimit", "loop" };

        if (strcmp(name, "remount") == 0)
                return mount_request_refuse(m, "a view cannot be remounted: unmount it and mount "
                                               "it as it shall be");
        if (m->sloppy) {
                if (m->verbose)
                        log_line(LOG_LEVEL_NOTICE, "the option '%s' is unknown, and ignored (-s)",
                                 name);
                return CLI_OK;
        }
        for (size_t i = 0; i < sizeof(of_loops) / sizeof(of_loops[0]); i++)
                if (strcmp(name, of_loops[i]) == 0)
                        return mount_request_refuse(m,
                                                    "%s: is for mount(8), which makes a loop "
                                                    "device of it; use the view-... options",
                                                    name);
        return mount_request_refuse(m, "there is no option '%s'", name);
}

/* One word of -o, which gets lost. */
static int mount_request_take_word(MountRequest *m, char *word)
{
        char *value = strchr(word, '=');
        Err err;

        if (value)
                *value++ = '\0';
        if (!value && (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0))
                return mount_request_set(m, "writable", word[1] == 'w' ? "yes" : "no");
        if (strcmp(word, "nofail") == 0)
                m->may_be_missing = true;
        if (mount_word_is_ignored(word, value != NULL))
                return CLI_OK;
        for (char *c = word; *c; c++)
                if (*c == '_')
                        *c = '-';
        /* To libfuse it is a word of its own. */
        if (!value && strcmp(word, "allow-other") == 0)
                value = (char *)"yes";

        int r = mount_request_take_own(m, word, value);
        if (r == -ENOENT && !mount_request_is_path(word))
                r = mount_request_try(m, word, value, &err);
        return r == -ENOENT ? mount_request_take_unknown(m, word) : r;
}

int mount_request_take_words(MountRequest *m, const char *text)
{
        _cleanup_free_ char *word = malloc(strlen(text) + 1);
        if (!word) {
                log_line(LOG_LEVEL_ERROR, "-o: %m");
                return CLI_FAILURE;
        }
        for (;;) {
                int r = mount_words_next(&text, word);
                if (r == 0)
                        return CLI_OK;
                if (r < 0)
                        return mount_request_refuse(m, "-o: a quote is not closed: %s", text);
                r = mount_request_take_word(m, word);
                if (r != CLI_OK)
                        return r;
        }
}

/* /dev/fd/N: somebody has mounted already, and this is the connection. */
static int mount_request_keep_fd(MountRequest *m, const char *mount_point)
{
        int fd = -1;

        int r = inherited_parse_path(mount_point, &fd);
        if (r == 0)
                return CLI_OK;
        if (r < 0)
                return mount_request_refuse(m, "%s: is no descriptor from 3 on", mount_point);
        if (fcntl(fd, F_GETFD) < 0)
                return mount_request_refuse(m, "%s: there is no such open descriptor", mount_point);
        m->command.kept_fd = fd;
        return CLI_OK;
}

static int mount_request_settle(MountRequest *m)
{
        Err err = { "" };

        int r = config_settle(&m->config, &err);
        if (r >= 0)
                return CLI_OK;
        if (!m->for_mount) {
                int status = cli_fail(m->config.path, &err);
                return r == -EINVAL ? CLI_USAGE : status;
        }
        bool asked = r == -EINVAL && m->config.writable;
        log_line(LOG_LEVEL_ERROR, "%s: %s%s", m->config.path, err.text,
                 asked ? " (mount(8) says rw unless it is given ro)" : "");
        return r == -ENOMEM ? CLI_FAILURE : CLI_USAGE;
}

/* Whoever names only an image wants to see it, and where is the lesser matter. rawviewd removes the file. */
static int mount_request_find_place(MountRequest *m, const char *image)
{
        Err err = { "" };

        bool folder = m->config.partitions;

        if (m->for_mount || (!folder && !own_place_is_needed(image)))
                return CLI_OK;
        if ((folder ? own_place_make_folder : own_place_make)(image, &m->own_place, &err) < 0)
                return cli_fail(image, &err);
        int status = mount_request_set(m, "mount-point", m->own_place);
        return status == CLI_OK ? daemon_add(&m->command, "--remove-mount-point") : status;
}

/* Of a view that has not come. One that is still there is covered, and stays. */
static void mount_request_leave_place(const MountRequest *m)
{
        if (m->own_place)
                (void)(m->config.partitions ? rmdir : unlink)(m->own_place);
}

int mount_request_take_paths(MountRequest *m, const char *image, const char *mount_point)
{
        int status = mount_request_set(m, "path", image);
        m->image = image;
        if (status == CLI_OK && mount_point)
                status = mount_request_set(m, "mount-point", mount_point);
        if (status == CLI_OK && mount_point)
                status = mount_request_keep_fd(m, mount_point);
        if (status == CLI_OK && !mount_point)
                status = mount_request_find_place(m, image);
        if (status == CLI_OK)
                status = mount_request_settle(m);
        if (status != CLI_OK)
                mount_request_leave_place(m);
        return status;
}

int mount_request_run(MountRequest *m, bool foreground)
{
        int status = daemon_add(&m->command, m->for_mount ? "--for-mount" : "--for-command");
        if (status != CLI_OK)
                return m->for_mount ? (int)mount_exit_from(status) : status;
        m->command.for_mount = m->for_mount;
        if (foreground && m->own_place && !m->quiet)
                log_line(LOG_LEVEL_NOTICE, "%s: is shown as %s", m->config.path, m->own_place);
        status = foreground ? daemon_become(&m->command) : daemon_start(&m->command);
        if (status != CLI_OK)
                mount_request_leave_place(m);
        else if (!m->for_mount && !m->quiet && m->command.view && isatty(STDERR_FILENO))
                found_tell(&(FoundView){
                        .image = m->image,
                        .path = m->command.view,
                        .is_folder = m->config.partitions,
                        .has_loop = m->config.loop,
                });
        return status;
}
