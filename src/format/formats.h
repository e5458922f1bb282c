/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All formats that rawview knows, in probing order, NULL at the end. Raw is not among them: nothing is raw by
 * guess, except where block/chain.h says so.
 */
#pragma once

#include "block/format.h"

extern const Format *const all_formats[];
extern const Format format_raw;
