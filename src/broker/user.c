/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/user.h"

#include "base/capabilities.h"

#include <pwd.h>
#include <stddef.h>
#include <unistd.h>

/* Made by units/rawview.sysusers. */
#define BROKER_USER "rawview"

bool broker_find_user(uint32_t *ret_uid, uint32_t *ret_gid)
{
        const struct passwd *user = NULL;

        if (geteuid() == 0 && !capabilities_have_none())
                user = getpwnam(BROKER_USER);
        if (!user || user->pw_uid == 0)
                return false;
        *ret_uid = user->pw_uid;
        *ret_gid = user->pw_gid;
        return true;
}
