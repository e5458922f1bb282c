/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/exit.h"

#include <errno.h>
#include <stdbool.h>
#include <sysexits.h>

int exit_status(Phase phase, int code)
{
        bool forbidden = code == EACCES || code == EPERM || code == EROFS;
        bool busy = code == EBUSY || code == EAGAIN;
        bool broken = code == EIO || code == ENOMEM || code == ECHILD || code == EPIPE;

        switch (phase) {
        case PHASE_DESCRIPTOR:
                return EX_CONFIG;
        case PHASE_TARGET:
                if (code == ENOENT)
                        return EX_NOINPUT;
                return busy ? EX_TEMPFAIL : forbidden ? EX_NOPERM : EX_CONFIG;
        case PHASE_IMAGE:
                if (broken || code == ENOTCONN)
                        return EX_IOERR;
                return busy ? EX_TEMPFAIL : forbidden ? EX_NOPERM : EX_NOINPUT;
        case PHASE_OPEN:
                if (broken)
                        return EX_IOERR;
                return busy ? EX_TEMPFAIL : code == EACCES ? EX_NOPERM : EX_DATAERR;
        case PHASE_MOUNT:
                return busy ? EX_TEMPFAIL : forbidden ? EX_NOPERM : EX_IOERR;
        case PHASE_SERVE:
                break;
        }
        return EX_IOERR;
}
