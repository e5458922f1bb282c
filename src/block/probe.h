/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which format a file has, from its first and last sector alone.
 *
 * A raw disk's bytes are written by its guest, who can plant any header there. So: raw is never the answer, two
 * formats matching is an error that names both, a last sector that looks like a format counts only where nothing will be
 * written, and bytes that a format we cannot read is known by are an error that names it (showing a VHDX as a raw disk
 * would help nobody).
 */
#pragma once

#include "base/err.h"
#include "block/format.h"
#include "store/store.h"

#include <stdbool.h>

/* *ret is NULL, with success, when nothing is recognised. `writable`: it is asked in order to write. */
int probe_format(
        const Format *const *formats, Store *s, bool writable, const Format **ret, Err *err);

/* The entry of that name, ours or qemu-img's, or NULL. */
const Format *format_find(const Format *const *formats, const char *name);
