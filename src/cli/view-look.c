/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/view-look.h"

#include "base/attempt.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
        LOOK_LIMIT_MS = 3000,
        /* So many at one time: each is a process and two descriptors. */
        LOOK_BATCH = 128,
};

_Static_assert(sizeof(ViewLook) <= ATTEMPT_RESULT_MAX, "a look must fit into an attempt's result");

struct StuckLook {
        uint64_t mount_id;
        pid_t pid;
};

/* Filled before the fork, read in the child. */
typedef struct LookOrder {
        const char *path;
        uint64_t mount_id; /* which it must be; 0: any */
        bool is_of_user;   /* uid and gid are those who may look */
        uid_t uid;
        gid_t gid;
} LookOrder;

static void look_get_text(const char *path, const char *name, char *text, size_t size)
{
        ssize_t n = getxattr(path, name, text, size - 1);
        text[n < 0 ? 0 : n] = '\0';
}

static int look_become_user(const LookOrder *order)
{
        if (setgroups(0, NULL) < 0 || setresgid(order->gid, order->gid, order->gid) < 0 ||
            setresuid(order->uid, order->uid, order->uid) < 0)
                return -errno;
        return 0;
}

/* Nothing is asked of the server before it is clear that this is the view, and that it is ours to ask. */
static int look_ask(const void *arg, int folder, void *result)
{
        const LookOrder *order = arg;
        ViewLook *look = result;
        char path[64];
        struct statx st;
        uint64_t id = 0;

        _cleanup_close_ int fd = openat(folder < 0 ? AT_FDCWD : folder, order->path,
                                        O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return order->mount_id != 0 && errno != EACCES ? -ESTALE : -errno;
        if (order->mount_id != 0 && (mount_id_of_fd(fd, &id) < 0 || id != order->mount_id))
                return -ESTALE;
        if (order->is_of_user && look_become_user(order) < 0)
                return -EACCES;
        /* What the kernel remembers of a view outlives its server: only an answer of now counts. */
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) < 0)
                return -errno;
        look->size = st.stx_size;
        look->mode = st.stx_mode & 07777;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        look_get_text(path, "user.rawview.format", look->format, sizeof(look->format));
        look_get_text(path, "user.rawview.state", look->state, sizeof(look->state));
        return 0;
}

static ViewCondition look_judge(int r)
{
        if (r >= 0)
                return VIEW_SERVING;
        switch (r) {
        case -ENOTCONN:
                return VIEW_STALE;
        case -ETIMEDOUT:
                return VIEW_STUCK;
        case -ESTALE:
                return VIEW_HIDDEN;
        default:
                return VIEW_UNREADABLE;
        }
}

void view_look_in(int folder, const char *name, ViewLook *ret)
{
        LookOrder order = { .path = name };
        Attempt attempt;

        memset(ret, 0, sizeof(*ret));
        int r = attempt_start(look_ask, &order, folder, sizeof(*ret), &attempt);
        if (r >= 0)
                r = attempt_finish(&attempt, LOOK_LIMIT_MS, ret);
        ret->condition = look_judge(r);
}

/* Is the child of an earlier look still held by this view? One that has died is forgotten. */
static bool look_is_stuck_still(StuckLooks *stuck, uint64_t mount_id)
{
        for (size_t i = 0; i < stuck->count; i++) {
                struct StuckLook *s = &stuck->list[i];
                if (s->mount_id != mount_id)
                        continue;
                if (waitpid(s->pid, NULL, WNOHANG) == 0)
                        return true;
                *s = stuck->list[--stuck->count];
                return false;
        }
        return false;
}

static void look_remember_stuck(StuckLooks *stuck, uint64_t mount_id, pid_t pid)
{
        struct StuckLook *list = reallocarray(stuck->list, stuck->count + 1, sizeof(*list));
        if (!list)
                return;
        list[stuck->count++] = (struct StuckLook){ .mount_id = mount_id, .pid = pid };
        stuck->list = list;
}

void stuck_looks_done(StuckLooks *stuck)
{
        free(stuck->list);
        *stuck = (StuckLooks){ 0 };
}

static int look_start(const MountEntry *e, Attempt *ret)
{
        const char *gid = NULL;
        LookOrder order = { .path = e->target, .mount_id = e->id };

        if (geteuid() == 0 && mount_entry_get_user(e, &order.uid) && order.uid != 0 &&
            mount_options_have(e->super_options, "group_id", &gid) && gid) {
                order.is_of_user = true;
                order.gid = (gid_t)strtoul(gid, NULL, 10);
        }
        return attempt_start(look_ask, &order, -1, sizeof(ViewLook), ret);
}

/* Takes the answers as they come, until all are there or the time is over. */
static void look_gather(Attempt *attempts, size_t count, ViewLook *rets)
{
        int64_t end = clock_now_ms() + LOOK_LIMIT_MS;
        struct pollfd polled[LOOK_BATCH];

        for (;;) {
                size_t waiting = 0;
                for (size_t i = 0; i < count; i++) {
                        polled[i] = (struct pollfd){ .fd = attempts[i].pidfd, .events = POLLIN };
                        waiting += attempts[i].pidfd >= 0;
                }
                int64_t left = end - clock_now_ms();
                if (waiting == 0 || left <= 0)
                        return;
                if (poll(polled, count, (int)left) <= 0)
                        continue;
                for (size_t i = 0; i < count; i++)
                        if (polled[i].fd >= 0 && polled[i].revents)
                                rets[i].condition =
                                        look_judge(attempt_finish(&attempts[i], 0, &rets[i]));
        }
}

static void look_batch(const MountEntry *const *views,
                       size_t count,
                       StuckLooks *stuck,
                       ViewLook *rets)
{
        Attempt attempts[LOOK_BATCH];

        for (size_t i = 0; i < count; i++) {
                memset(&rets[i], 0, sizeof(rets[i]));
                attempts[i] = (Attempt){ .pid = -1, .pidfd = -1, .result = -1 };
                rets[i].condition = VIEW_STUCK;
                if (stuck && look_is_stuck_still(stuck, views[i]->id))
                        continue;
                int r = look_start(views[i], &attempts[i]);
                if (r < 0)
                        rets[i].condition = VIEW_UNREADABLE;
        }
        look_gather(attempts, count, rets);
        attempt_drop_all(attempts, count);
        for (size_t i = 0; stuck && i < count; i++)
                if (attempts[i].pid > 0)
                        look_remember_stuck(stuck, views[i]->id, attempts[i].pid);
}

void view_look_all(const MountEntry *const *views, size_t count, StuckLooks *stuck, ViewLook *rets)
{
        for (size_t i = 0; i < count; i += LOOK_BATCH)
                look_batch(views + i, count - i < LOOK_BATCH ? count - i : LOOK_BATCH, stuck,
                           rets + i);
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
        case VIEW_HIDDEN:
                return "hidden";
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
