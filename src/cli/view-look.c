/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/view-look.h"

#include "base/attempt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum {
        LOOK_LIMIT_MS = 3000,
};

_Static_assert(sizeof(ViewLook) <= ATTEMPT_RESULT_MAX, "a look must fit into an attempt's result");

static void look_get_text(const char *path, const char *name, char *text, size_t size)
{
        ssize_t n = lgetxattr(path, name, text, size - 1);
        text[n < 0 ? 0 : n] = '\0';
}

static int look_ask(const void *arg, int folder, void *result)
{
        char path[PATH_MAX];
        ViewLook *look = result;
        struct statx st;

        if (folder < 0)
                snprintf(path, sizeof(path), "%s", (const char *)arg);
        else
                snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", folder, (const char *)arg);
        /* What the kernel remembers of a view outlives its server: only an answer of now counts. */
        if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS,
                  &st) < 0)
                return -errno;
        look->size = st.stx_size;
        look->mode = st.stx_mode & 07777;
        look_get_text(path, "user.rawview.format", look->format, sizeof(look->format));
        look_get_text(path, "user.rawview.state", look->state, sizeof(look->state));
        return 0;
}

void view_look(const char *path, ViewLook *ret)
{
        view_look_in(-1, path, ret);
}

void view_look_in(int folder, const char *name, ViewLook *ret)
{
        Attempt attempt;

        memset(ret, 0, sizeof(*ret));
        int r = attempt_start(look_ask, name, folder, sizeof(*ret), &attempt);
        if (r >= 0)
                r = attempt_finish(&attempt, LOOK_LIMIT_MS, ret);
        if (r >= 0)
                ret->condition = VIEW_SERVING;
        else if (r == -ENOTCONN)
                ret->condition = VIEW_STALE;
        else if (r == -ETIMEDOUT)
                ret->condition = VIEW_STUCK;
        else
                ret->condition = VIEW_UNREADABLE;
}

const char *view_condition_name(ViewCondition condition)
{
        switch (condition) {
        case VIEW_SERVING:
                return "serving";
        case VIEW_STALE:
                return "stale";
        case VIEW_STUCK:
                return "stuck";
        case VIEW_UNREADABLE:
                return "unreadable";
        }
        return "unknown";
}

pid_t view_look_pid(const ViewLook *look)
{
        struct json_object *state = look->state[0] ? json_tokener_parse(look->state) : NULL;
        struct json_object *pid = NULL;
        int number = 0;

        if (state && json_object_object_get_ex(state, "pid", &pid))
                number = json_object_get_int(pid);
        json_object_put(state);
        return number > 0 ? number : 0;
}
