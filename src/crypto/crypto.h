/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library behind the ciphers, libgcrypt, made ready. It reads two files of /etc and /proc when it is first used, so a
 * process that is about to be confined calls this before; whoever is not may leave it to the first cipher. Any thread.
 */
#pragma once

#include "base/err.h"

/* 0; -EOPNOTSUPP: this build has no ciphers. */
int crypto_start(Err *err);
