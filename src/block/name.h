/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names that images give to other files, taken apart: plain paths, "file:…", and those json:{…} descriptions that
 * mean one local file. Whatever means anything else (nbd:, http:, json: with another driver) is refused in words:
 * EOPNOTSUPP. A name is hostile and at most LIMIT_NAME_LEN bytes; nothing is opened here.
 */
#pragma once

#include "base/err.h"

typedef struct FileName {
        char *path;   /* owned: plain path, absolute or relative */
        char *format; /* owned: the format that a json: description states; NULL: none */
} FileName;

int file_name_parse(const char *name, FileName *ret, Err *err);
void file_name_done(FileName *f);
