/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built without libbz2. */
#include "codec/bunzip2.h"

#include <errno.h>

bool bunzip2_is_there(void)
{
        return false;
}

int bunzip2_all(const void *packed, size_t packed_len, void *buf, size_t len, size_t *ret_len)
{
        return -EOPNOTSUPP;
}
