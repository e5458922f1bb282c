/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built without liblzma. */
#include "codec/unxz.h"

#include <errno.h>

bool unxz_is_there(void)
{
        return false;
}

int unxz_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len)
{
        return -EOPNOTSUPP;
}
