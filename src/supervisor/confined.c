/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/confined.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFINED_ENFORCED " (enforce)"

/* Other security modules answer without a mode. */
static bool confined_is_enforced(const char *file)
{
        char text[512];

        _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return false;
        text[n] = '\0';
        return strstr(text, CONFINED_ENFORCED) != NULL;
}

int confined_explain(const char *file, int r, Err *err)
{
        size_t used = strlen(err->text);

        if (r == -EACCES && confined_is_enforced(file))
                snprintf(err->text + used, sizeof(err->text) - used,
                         " (AppArmor may be what forbids it: see APPARMOR in rawviewd(8))");
        return r;
}
