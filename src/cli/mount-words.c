/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/mount-words.h"

#include <errno.h>
#include <string.h>

int mount_words_next(const char **text, char *word)
{
        const char *from = *text;
        bool quoted = false;
        char *to = word;

        while (*from == ',')
                from++;
        if (!*from)
                return 0;
        for (; *from && (quoted || *from != ','); from++) {
                if (*from == '"') {
                        quoted = !quoted;
                        continue;
                }
                if (*from == '\\' && from[1])
                        from++;
                *to++ = *from;
        }
        *to = '\0';
        if (quoted)
                return -EINVAL;
        *text = from;
        return 1;
}

bool mount_word_is_ignored(const char *name, bool has_value)
{
        /* Views never have devices, set-uid programs or times of reading; permissions are always the kernel's. "sync" is
         * not here: who asks for it relies on it. */
        static const char *const ignored[] = {
                "_netdev",     "async",      "atime",         "auto",
                "comment",     "defaults",   "dev",           "default_permissions",
                "diratime",    "exec",       "fsname",        "group",
                "iversion",    "lazytime",   "loud",          "noatime",
                "noauto",      "nodev",      "nodiratime",    "noexec",
                "nofail",      "nogroup",    "noiversion",    "nolazytime",
                "noowner",     "norelatime", "nostrictatime", "nosuid",
                "nosymfollow", "nouser",     "nousers",       "owner",
                "relatime",    "silent",     "strictatime",   "subtype",
                "suid",        "symfollow",  "user",          "users",
        };

        if (strncmp(name, "x-", 2) == 0 || strncmp(name, "X-", 2) == 0)
                return true;
        if (has_value && (strcmp(name, "owner") == 0 || strcmp(name, "group") == 0))
                return false;
        for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
                if (strcmp(name, ignored[i]) == 0)
                        return true;
        return false;
}
