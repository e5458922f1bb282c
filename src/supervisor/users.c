/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/users.h"

#include "base/utf8.h"
#include "lock/holder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
        /* Further ones are counted only. */
        USERS_NAMED_MAX = 4,
};

typedef struct UsersText {
        char *text;
        size_t len;
        unsigned count;
} UsersText;

__attribute__((format(printf, 2, 3))) static void users_add(UsersText *t, const char *fmt, ...)
{
        size_t left = USERS_TEXT_MAX - t->len;
        va_list args;

        if (++t->count > USERS_NAMED_MAX || left < sizeof(", ?"))
                return;
        if (t->len > 0) {
                t->len += (size_t)snprintf(t->text + t->len, left, ", ");
                left = USERS_TEXT_MAX - t->len;
        }
        va_start(args, fmt);
        int n = vsnprintf(t->text + t->len, left, fmt, args);
        va_end(args);
        if (n < 0 || (size_t)n >= left)
                n = (int)left - 1;
        t->len += (size_t)n;
}

void users_format(const LookUse *use, const Loops *loops, char ret[USERS_TEXT_MAX])
{
        UsersText t = { .text = ret };

        ret[0] = '\0';
        for (size_t i = 0; i < loops->count; i++) {
                const Loop *l = &loops->list[i];
                if (l->user[0])
                        users_add(&t, "/dev/%s (%s)", l->name, l->user);
                else
                        users_add(&t, "/dev/%s (losetup --detach would end it)", l->name);
        }
        for (unsigned i = 0; i < use->pid_count; i++) {
                Holder h;
                if (holder_of_pid(use->pids[i], &h))
                        users_add(&t, "%s (pid %d)", h.name, (int)h.pid);
        }
        if (t.count > USERS_NAMED_MAX && t.len + 32 < USERS_TEXT_MAX)
                snprintf(t.text + t.len, USERS_TEXT_MAX - t.len, " and %u more",
                         t.count - USERS_NAMED_MAX);
        utf8_make_printable(ret);
}

bool users_have_mount(const Loops *loops)
{
        for (size_t i = 0; i < loops->count; i++)
                if (loops->list[i].in_use)
                        return true;
        return false;
}
