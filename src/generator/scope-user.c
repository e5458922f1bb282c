/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build-config.h"
#include "generator/scope.h"

#include <unistd.h>

const Scope scope_of_program = {
        .is_system = false,
        .template_file = RAWVIEW_USERUNITDIR "/rawview@.service",
};

int scope_fill_search_path(SearchPath *ret, Err *err)
{
        *ret = (SearchPath){ 0 };
        return geteuid() == 0 ? 0 : search_path_fill_user(ret, err);
}
