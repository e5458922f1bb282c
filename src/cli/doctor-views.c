/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "build-config.h"
#include "cli/doctor.h"
#include "cli/list.h"
#include "cli/text.h"
#include "cli/view-service.h"
#include "config/config.h"
#include "config/descriptor-list.h"
#include "config/descriptor.h"
#include "config/search-path.h"
#include "lock/holder.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One view that is not well, and its service. */
typedef struct SickView {
        const MountEntry *e;
        const char *word; /* its path, as a shell takes it */
        bool is_ours;     /* this user may end it */
        ViewService service;
} SickView;

/* Of another user's nothing stands in the way of this one. */
static void view_say(Doctor *d, const SickView *v, const char *mend, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
static void view_say(Doctor *d, const SickView *v, const char *mend, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL, *line = NULL;
        va_list args;

        va_start(args, fmt);
        int n = vasprintf(&text, fmt, args);
        va_end(args);
        if (n < 0)
                text = NULL;
        if (!v->is_ours && asprintf(&line, DOCTOR_ROOT "%s", mend) < 0)
                line = NULL;
        doctor_say(d, v->is_ours ? DOCTOR_BAD : DOCTOR_NOTE, v->e->target, v->is_ours ? mend : line,
                   "%s", text ? text : "is not well");
}

/* What keeps one of its processes: whoever lets it go has mended it. False: nothing is known. */
static bool view_say_process(Doctor *d,
                             const SickView *v,
                             const char *program,
                             const ViewProcess *p)
{
        _cleanup_free_ char *mend = NULL;
        Holder tracer;

        if (p->state == 'T') {
                if (asprintf(&mend, "kill -CONT %d", (int)p->pid) >= 0)
                        view_say(
                                d, v, mend,
                                "is a view of %s that gives no answer: its %s (pid %d) was stopped",
                                v->e->source, program, (int)p->pid);
                return true;
        }
        if (p->state == 't' && holder_of_pid(p->tracer, &tracer)) {
                if (asprintf(&mend, "kill %d", (int)p->tracer) >= 0)
                        view_say(d, v, mend,
                                 "is a view of %s that gives no answer: its %s (pid %d) is in the "
                                 "hands of %s (pid %d)",
                                 v->e->source, program, (int)p->pid, tracer.name, (int)p->tracer);
                return true;
        }
        if (p->state != 'D')
                return false;
        view_say(d, v, "journalctl -k, for what the disk or the network says",
                 "is a view of %s that gives no answer: its %s (pid %d) waits for a disk",
                 v->e->source, program, (int)p->pid);
        return true;
}

static void view_say_stuck(Doctor *d, const SickView *v)
{
        _cleanup_free_ char *mend = NULL;
        pid_t worker = v->service.worker.pid;
        int n;

        if (view_say_process(d, v, "rawview-worker", &v->service.worker) ||
            view_say_process(d, v, "rawviewd", &v->service.daemon))
                return;
        if (worker > 0)
                n = asprintf(&mend, "kill -KILL %d   (what was written and not synced is lost)",
                             (int)worker);
        else
                n = asprintf(&mend, "%s %s",
                             v->is_ours && geteuid() != 0 ? "fusermount3 -uz --" : "umount -f",
                             v->word);
        if (n >= 0 && worker > 0)
                view_say(d, v, mend,
                         "is a view of %s that gives no answer: its rawview-worker (pid %d) hangs",
                         v->e->source, (int)worker);
        else if (n >= 0)
                view_say(d, v, mend,
                         "is a view of %s that gives no answer: its disk, or its service, is stuck",
                         v->e->source);
}

/* Its connection is cut. Who was stopped meanwhile will clean up when let go. */
static void view_say_stale(Doctor *d, const SickView *v)
{
        _cleanup_free_ char *mend = NULL;
        const ViewProcess *daemon = &v->service.daemon;
        uid_t user = 0;

        if (daemon->pid > 0 && daemon->state == 'T') {
                if (asprintf(&mend, "kill -CONT %d", (int)daemon->pid) >= 0)
                        view_say(d, v, mend,
                                 "is a stale view of %s: its connection was cut while its rawviewd "
                                 "(pid %d) was stopped",
                                 v->e->source, (int)daemon->pid);
                return;
        }
        /* What a user has mounted is not root's to look at, not even to name it. */
        bool is_of_another = geteuid() == 0 && mount_entry_get_user(v->e, &user) && user != 0;
        int n = is_of_another
                        ? asprintf(&mend, "rawview umount --stale")
                        : asprintf(&mend,
                                   "rawview umount %s   (all of them: rawview umount --stale)",
                                   v->word);
        if (n >= 0)
                view_say(d, v, mend, "is a stale view of %s: its service has died", v->e->source);
}

/* The last entry for a path is on top. */
static void view_say_hidden(Doctor *d, const MountTable *mounts, const SickView *v)
{
        _cleanup_free_ char *mend = NULL;
        const MountEntry *top = v->e;

        for (size_t i = 0; i < mounts->count; i++)
                if (strcmp(mounts->entries[i].target, v->e->target) == 0)
                        top = &mounts->entries[i];
        if (top == v->e || asprintf(&mend, "umount %s", v->word) < 0)
                doctor_say(d, DOCTOR_NOTE, v->e->target, NULL,
                           "is a view of %s that cannot be reached: something was mounted above it",
                           v->e->source);
        else
                doctor_say(d, DOCTOR_NOTE, v->e->target, mend,
                           "is a view of %s that is covered by a mount of the type %s",
                           v->e->source, top->type);
}

static void view_look_at(Doctor *d, const List *l, size_t i)
{
        SickView v = { .e = l->views[i] };
        _cleanup_free_ char *word = text_shell_word(v.e->target);
        uid_t user = 0;

        v.word = word ? word : v.e->target;
        v.is_ours = geteuid() == 0 || (mount_entry_get_user(v.e, &user) && user == getuid());
        switch (l->looks[i].condition) {
        case VIEW_STALE:
                view_service_find(v.e, &v.service);
                view_say_stale(d, &v);
                break;
        case VIEW_STUCK:
                view_service_find(v.e, &v.service);
                view_say_stuck(d, &v);
                break;
        case VIEW_HIDDEN:
                view_say_hidden(d, &l->mounts, &v);
                break;
        case VIEW_SERVING:
        case VIEW_UNREADABLE:
                doctor_say(d, DOCTOR_OK, v.e->target, NULL, "is %s",
                           view_condition_name(l->looks[i].condition));
        }
}

void doctor_look_at_views(Doctor *d)
{
        _cleanup_list_ List l = { 0 };
        Err err = { "" };

        if (list_read(NULL, &l, &err) < 0) {
                doctor_say(d, DOCTOR_NOTE, "views", NULL, "cannot be listed: %s", err.text);
                return;
        }
        for (size_t i = 0; i < l.count; i++)
                view_look_at(d, &l, i);
}

static void descriptor_warn(void *arg, const char *text)
{
        doctor_say(arg, DOCTOR_NOTE, "descriptor", "the line corrected or removed", "%s", text);
}

static void descriptor_look_at(Doctor *d, const char *const *folders, const char *name)
{
        _cleanup_config_ Config c;
        _cleanup_descriptor_ Descriptor descriptor = { 0 };
        _cleanup_free_ char *word = text_shell_word(name), *mend = NULL;
        char about[300];
        Err err = { "" };
        int n = 0;

        config_init(&c);
        snprintf(about, sizeof(about), "%s.image", name);
        int r = descriptor_read(&c, folders, name, descriptor_warn, d, &descriptor, &err);
        if (r < 0 && descriptor.masked) {
                doctor_say(d, DOCTOR_OK, about, NULL, "is masked");
                return;
        }
        if (r >= 0)
                r = config_settle(&c, &err);
        /* What only root may read is root's matter. */
        if (r == -EACCES && geteuid() != 0)
                return;
        if (r < 0) {
                n = asprintf(&mend,
                             "the line corrected   (whether it is: " RAWVIEW_LIBEXECDIR
                             "/rawviewd --check %s)",
                             word ? word : name);
                doctor_say(d, DOCTOR_BAD, about, n < 0 ? NULL : mend, "%s", err.text);
        } else if (access(c.path, F_OK) < 0) {
                const char *file = descriptor.files ? descriptor.files[0] : NULL;
                n = asprintf(&mend, "the image put there, or Path= in %s corrected",
                             file ? file : about);
                doctor_say(d, DOCTOR_BAD, about, n < 0 ? NULL : mend,
                           "its image %s cannot be found: %s", c.path, strerror(errno));
        } else
                doctor_say(d, DOCTOR_OK, about, NULL, "says what it should");
}

static void descriptors_in(Doctor *d, const SearchPath *path)
{
        const char *const *folders = (const char *const *)path->folders;
        _cleanup_descriptor_list_ DescriptorList l = { 0 };
        Err err = { "" };

        if (descriptor_list_read(folders, descriptor_warn, d, &l, &err) < 0)
                return;
        for (size_t i = 0; i < l.count; i++)
                descriptor_look_at(d, folders, l.names[i]);
}

/* As left behind by su: the descriptors of that home are somebody else's. */
static bool descriptors_have_home(Doctor *d)
{
        const char *home = getenv("HOME");
        const struct passwd *user = getpwuid(geteuid());
        _cleanup_free_ char *mend = NULL;
        struct stat st;

        if (getenv("XDG_CONFIG_HOME") || !home || stat(home, &st) < 0 || st.st_uid == geteuid())
                return true;
        if (user && asprintf(&mend, "export HOME=%s", user->pw_dir) < 0)
                mend = NULL;
        doctor_say(d, DOCTOR_NOTE, "HOME", mend,
                   "is %s, which belongs to somebody else: descriptors of this user are not found",
                   home);
        return false;
}

void doctor_look_at_descriptors(Doctor *d)
{
        _cleanup_search_path_ SearchPath path = { { NULL } };
        Err err;
        int r;

        if (geteuid() == 0)
                r = search_path_fill_system(&path, &err);
        else if (descriptors_have_home(d))
                r = search_path_fill_user(&path, &err);
        else
                return;
        if (r >= 0)
                descriptors_in(d, &path);
}
