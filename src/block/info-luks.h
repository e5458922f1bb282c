/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the header of a LUKS container says, with qemu-img's keys: nothing of it takes a passphrase. The Info belongs to the
 * caller and its thread.
 */
#pragma once

#include "block/info.h"
#include "crypto/luks-header.h"

/* `format`: what qemu-img prints where it is not the image's own format; NULL: nothing. */
int info_add_luks(Info *i, const LuksHeader *h, const char *format);
