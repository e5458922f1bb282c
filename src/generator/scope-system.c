/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build-config.h"
#include "generator/scope.h"

/* Where systemd itself looks for credentials from version 254 on. */
const Scope scope_of_program = {
        .is_system = true,
        .template_file = RAWVIEW_UNITDIR "/rawview@.service",
        .encrypted_stores = { "/etc/credstore.encrypted", "/run/credstore.encrypted" },
        .stores = { "/etc/credstore", "/run/credstore" },
};

int scope_fill_search_path(SearchPath *ret, Err *err)
{
        return search_path_fill_system(ret, err);
}
