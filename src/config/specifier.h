/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Specifiers in the values of a descriptor, with the meaning that they have in a unit rawview@INSTANCE.service.
 * Any thread but for %h and %u, which ask the user database.
 */
#pragma once

#include "base/err.h"

/* `instance` is the name as people write it: %I; %i is that name escaped as in the unit's. free() *ret. */
int specifier_expand(const char *text, const char *instance, char **ret, Err *err);
