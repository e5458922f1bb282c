/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a check has found, in qemu-img's words and with its keys, on stdout. One thread.
 */
#pragma once

#include "block/check.h"

void check_print_human(const CheckReport *report);
void check_print_json(const CheckReport *report, const char *file, const char *format);
