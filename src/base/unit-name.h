/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of units: systemd.unit(5), "string escaping for inclusion in unit names". Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* One character of what is to be part of a unit's name; `first` stands at its start. */
void unit_name_put(FILE *out, char c, bool first);
