/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/denial.h"

#include "base/cleanup.h"
#include "cli/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const denial_programs[] = { "rawviewd", "rawview-worker", "rawview",
                                               "mount.rawview", "fusermount3" };

/* Audit writes what has blanks or quotes in it as hexadecimal digits, without quotes. */
static bool denial_decode_hex(const char *at, size_t len, char *ret, size_t room)
{
        if (len < 2 || len % 2 != 0 || len / 2 >= room)
                return false;
        for (size_t i = 0; i < len; i++)
                if (!isxdigit((unsigned char)at[i]))
                        return false;
        for (size_t i = 0; i < len / 2; i++) {
                char pair[3] = { at[2 * i], at[2 * i + 1], '\0' };
                ret[i] = (char)strtoul(pair, NULL, 16);
        }
        ret[len / 2] = '\0';
        return true;
}

/* The value of " key=", in quotes or bare; "" where there is none. */
static void denial_get(const char *text, const char *key, char *ret, size_t room)
{
        size_t len = strlen(key);
        const char *found = text, *at;

        ret[0] = '\0';
        do {
                found = strstr(found, key);
                if (!found)
                        return;
                at = found + len;
                found = *at == '=' && (found == text || found[-1] == ' ') ? NULL : at;
        } while (found);
        at++;
        if (*at == '"') {
                snprintf(ret, room, "%.*s", (int)strcspn(at + 1, "\""), at + 1);
                return;
        }
        size_t value = strcspn(at, " \n");
        bool may_be_hex =
                strcmp(key, "comm") == 0 || strcmp(key, "name") == 0 || strcmp(key, "path") == 0;
        if (!may_be_hex || !denial_decode_hex(at, value, ret, room))
                snprintf(ret, room, "%.*s", (int)value, at);
}

static bool denial_is_of_us(const Denial *d)
{
        for (size_t i = 0; i < sizeof(denial_programs) / sizeof(denial_programs[0]); i++)
                if (strcmp(d->process, denial_programs[i]) == 0)
                        return true;
        /* Others are refused a view, too. */
        return strncmp(d->profile, "rawview", 7) == 0 || strcmp(d->profile, "fusermount3") == 0 ||
               strstr(d->source, ":rawview") || strstr(d->target, ":rawview") ||
               strstr(d->object, "rawview");
}

static bool denial_parse_apparmor(const char *text, Denial *ret)
{
        ret->by = DENIAL_BY_APPARMOR;
        denial_get(text, "operation", ret->operation, sizeof(ret->operation));
        denial_get(text, "profile", ret->profile, sizeof(ret->profile));
        denial_get(text, "name", ret->object, sizeof(ret->object));
        if (ret->object[0] == '\0')
                denial_get(text, "capname", ret->object, sizeof(ret->object));
        return denial_is_of_us(ret);
}

/* avc:  denied  { read open } for  pid=… comm="…" path="…" dev="…" ino=… scontext=… tcontext=… tclass=file permissive=0 */
static bool denial_parse_selinux(const char *text, Denial *ret)
{
        const char *denied = strstr(text, "avc:");
        const char *open = denied ? strchr(denied, '{') : NULL;
        char permissive[8];

        if (!open || !strstr(denied, "denied"))
                return false;
        open += 1 + strspn(open + 1, " ");
        size_t len = strcspn(open, "}");
        while (len > 0 && open[len - 1] == ' ')
                len--;
        snprintf(ret->operation, sizeof(ret->operation), "%.*s", (int)len, open);
        ret->by = DENIAL_BY_SELINUX;
        denial_get(text, "path", ret->object, sizeof(ret->object));
        if (ret->object[0] == '\0')
                denial_get(text, "name", ret->object, sizeof(ret->object));
        denial_get(text, "scontext", ret->source, sizeof(ret->source));
        denial_get(text, "tcontext", ret->target, sizeof(ret->target));
        denial_get(text, "tclass", ret->kind, sizeof(ret->kind));
        denial_get(text, "permissive", permissive, sizeof(permissive));
        ret->was_let_pass = strcmp(permissive, "1") == 0;
        return denial_is_of_us(ret);
}

bool denial_parse(const char *text, Denial *ret)
{
        memset(ret, 0, sizeof(*ret));
        denial_get(text, "comm", ret->process, sizeof(ret->process));
        denial_get(text, "pid", ret->pid, sizeof(ret->pid));
        if (strstr(text, "apparmor=\"DENIED\""))
                return denial_parse_apparmor(text, ret);
        return denial_parse_selinux(text, ret);
}

bool denial_equal(const Denial *a, const Denial *b)
{
        return a->by == b->by && a->was_let_pass == b->was_let_pass &&
               strcmp(a->process, b->process) == 0 && strcmp(a->operation, b->operation) == 0 &&
               strcmp(a->object, b->object) == 0 && strcmp(a->profile, b->profile) == 0 &&
               strcmp(a->source, b->source) == 0 && strcmp(a->target, b->target) == 0 &&
               strcmp(a->kind, b->kind) == 0;
}

bool denial_find_time(const char *text, uint64_t *ret)
{
        const char *at = strstr(text, "audit(");
        unsigned long long seconds, thousandths;

        if (!at || sscanf(at, "audit(%11llu.%3llu:", &seconds, &thousandths) != 2)
                return false;
        *ret = seconds * 1000000 + thousandths * 1000;
        return true;
}

char *denial_describe(const Denial *d)
{
        const char *object = d->object[0] ? d->object : d->kind;
        bool is_named = d->object[0] != '\0';
        char *text = NULL;
        int n;

        if (d->by == DENIAL_BY_APPARMOR)
                n = asprintf(&text, "has refused %s (pid %s) %s%s%s, by the profile %s", d->process,
                             d->pid, d->operation, is_named ? " of " : "", object, d->profile);
        else
                n = asprintf(&text, "%s %s (pid %s) %s%s%s%s: the process is %s, and the %s is %s",
                             d->was_let_pass ? "is permissive, and would refuse" : "has refused",
                             d->process, d->pid, d->operation, is_named ? " of " : " (", object,
                             is_named ? "" : ")", d->source, d->kind, d->target);
        return n < 0 ? NULL : text;
}

/* Is the path in a folder where images may lie? What is the system's own is no image. */
static bool denial_is_of_image(const char *path)
{
        static const char *const others[] = { "/etc/", "/proc/", "/sys/", "/dev/",
                                              "/run/", "/usr/",  "/boot/" };

        if (path[0] != '/')
                return false;
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
                if (strncmp(path, others[i], strlen(others[i])) == 0)
                        return false;
        return true;
}

/* May it stand, as it is, in a list of folders of AppArmor's and in a pattern of SELinux's? */
static bool denial_is_plain(const char *path)
{
        return path[strspn(path, "/._-:@abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789")] == '\0';
}

static char *denial_mend_apparmor(const Denial *d)
{
        static const char *const on_files[] = { "open",     "mknod",      "mkdir",      "unlink",
                                                "link",     "mount",      "umount",     "file_lock",
                                                "truncate", "rename_src", "rename_dest" };
        const char *slash = strrchr(d->object, '/');
        bool is_on_file = false;
        char *mend = NULL;
        int n;

        for (size_t i = 0; i < sizeof(on_files) / sizeof(on_files[0]); i++)
                is_on_file = is_on_file || strcmp(d->operation, on_files[i]) == 0;
        if (strcmp(d->profile, "fusermount3") == 0)
                n = asprintf(&mend, "mkdir -p /etc/apparmor.d/local; "
                                    "cat /usr/share/rawview/apparmor/fusermount3 "
                                    ">>/etc/apparmor.d/local/fusermount3; "
                                    "apparmor_parser -r /etc/apparmor.d/fusermount3");
        else if (strncmp(d->profile, "rawview", 7) != 0)
                n = asprintf(&mend, "a rule for it where the profile %s is kept", d->profile);
        else if (is_on_file && slash && slash != d->object && denial_is_of_image(d->object) &&
                 denial_is_plain(d->object))
                n = asprintf(&mend,
                             "mkdir -p /etc/apparmor.d/tunables/rawview.d; "
                             "echo '@{rawview_images}+=%.*s/' "
                             ">>/etc/apparmor.d/tunables/rawview.d/local; "
                             "apparmor_parser -r /etc/apparmor.d/rawview",
                             (int)(slash - d->object), d->object);
        else
                n = asprintf(&mend, "a rule for it in /etc/apparmor.d/local/rawview, then: "
                                    "apparmor_parser -r /etc/apparmor.d/rawview");
        return n < 0 ? NULL : mend;
}

/* What semanage takes as it is: the pattern of a path whose only special character is a dot. */
static bool denial_can_be_labelled(const Denial *d)
{
        return strstr(d->source, ":rawview") && denial_is_of_image(d->object) &&
               denial_is_plain(d->object) &&
               (strcmp(d->kind, "file") == 0 || strcmp(d->kind, "blk_file") == 0);
}

static char *denial_mend_selinux(const Denial *d, bool has_log)
{
        char *mend = NULL;
        int n;

        if (denial_can_be_labelled(d))
                n = asprintf(&mend, "semanage fcontext -a -t rawview_image_t %s; restorecon -v %s",
                             d->object, d->object);
        else if (strstr(d->target, ":fusefs_t") && strstr(d->source, ":svirt_"))
                n = asprintf(&mend, "setsebool -P virt_use_fusefs 1");
        else
                n = asprintf(&mend,
                             "%s | audit2allow -M rawview-local && semodule -i rawview-local.pp",
                             has_log ? "ausearch -m AVC -ts today --raw | grep rawview"
                                     : "journalctl -b -o cat -g 'avc:.*rawview'");
        return n < 0 ? NULL : mend;
}

char *denial_mend(const Denial *d, bool has_log)
{
        return d->by == DENIAL_BY_APPARMOR ? denial_mend_apparmor(d)
                                           : denial_mend_selinux(d, has_log);
}
