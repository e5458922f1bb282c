/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "build-config.h"
#include "cli/doctor.h"
#include "cli/list.h"
#include "config/config.h"
#include "config/descriptor-list.h"
#include "config/descriptor.h"
#include "config/search-path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void doctor_look_at_views(Doctor *d)
{
        _cleanup_list_ List l = { 0 };
        Err err = { "" };

        if (list_read(NULL, &l, &err) < 0) {
                doctor_say(d, DOCTOR_NOTE, "views", NULL, "cannot be listed: %s", err.text);
                return;
        }
        for (size_t i = 0; i < l.count; i++) {
                const char *view = l.views[i]->target;
                _cleanup_free_ char *mend = NULL;
                if (l.looks[i].condition == VIEW_STALE) {
                        if (asprintf(&mend,
                                     "rawview umount %s   (all of them: rawview umount --stale)",
                                     view) < 0)
                                mend = NULL;
                        doctor_say(d, DOCTOR_BAD, view, mend,
                                   "is a stale view of %s: its service has died",
                                   l.views[i]->source);
                } else if (l.looks[i].condition == VIEW_STUCK) {
                        if (asprintf(&mend, "umount -f %s", view) < 0)
                                mend = NULL;
                        doctor_say(
                                d, DOCTOR_BAD, view, mend,
                                "is a view of %s that gives no answer: its disk, or its service, "
                                "is stuck",
                                l.views[i]->source);
                } else {
                        doctor_say(d, DOCTOR_OK, view, NULL, "is %s",
                                   view_condition_name(l.looks[i].condition));
                }
        }
}

static void descriptor_warn(void *arg, const char *text)
{
        doctor_say(arg, DOCTOR_NOTE, "descriptor", "the line corrected or removed", "%s", text);
}

static void descriptor_look_at(Doctor *d, const char *const *folders, const char *name)
{
        _cleanup_config_ Config c;
        _cleanup_descriptor_ Descriptor descriptor = { 0 };
        char about[300], mend[300];
        Err err = { "" };

        config_init(&c);
        snprintf(about, sizeof(about), "%s.image", name);
        snprintf(mend, sizeof(mend), RAWVIEW_LIBEXECDIR "/rawviewd --check %s", name);
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
        if (r < 0)
                doctor_say(d, DOCTOR_BAD, about, mend, "%s", err.text);
        else if (access(c.path, F_OK) < 0)
                doctor_say(d, DOCTOR_BAD, about, mend, "its image %s cannot be found: %s", c.path,
                           strerror(errno));
        else
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

void doctor_look_at_descriptors(Doctor *d)
{
        Err err;

        if (geteuid() == 0) {
                _cleanup_search_path_ SearchPath path = { { NULL } };
                if (search_path_fill_system(&path, &err) >= 0)
                        descriptors_in(d, &path);
        } else {
                _cleanup_search_path_ SearchPath path = { { NULL } };
                if (search_path_fill_user(&path, &err) >= 0)
                        descriptors_in(d, &path);
        }
}
