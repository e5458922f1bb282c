/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of a LUKS2 header: JSON with key slots, segments, digests. What is taken from it are plain values; any thread.
 */
#pragma once

#include "base/err.h"
#include "crypto/luks-header.h"

/* Fills what of the header is in the text. Features beyond us are refused by name. */
int luks2_text_take(const char *text, LuksHeader *h, Err *err);
