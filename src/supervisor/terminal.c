/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/terminal.h"

#include "base/cleanup.h"

#include <fcntl.h>

/* ENXIO when there is none (any more). */
bool terminal_is_there(void)
{
        _cleanup_close_ int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

        return fd >= 0;
}
