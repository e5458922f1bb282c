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
                if (code == EACCES || code == ENOKEY || code == EKEYREJECTED)
                        return EX_NOPERM;
                return busy ? EX_TEMPFAIL : EX_DATAERR;
        case PHASE_MOUNT:
                return busy ? EX_TEMPFAIL : forbidden ? EX_NOPERM : EX_IOERR;
        case PHASE_PROVE:
                return EX_PROTOCOL;
        case PHASE_SERVE:
                break;
        }
        return EX_IOERR;
}

int exit_for_command(int status)
{
        if (status == EX_OK)
                return 0;
        return status == EX_USAGE ? 2 : 1;
}

int exit_for_mount(int status)
{
        switch (status) {
        case EX_OK:
                return 0;
        case EX_USAGE:
        case EX_NOPERM:
                return 1;
        case EX_OSERR:
                return 2;
        case EX_SOFTWARE:
                return 4;
        default:
                return 32;
        }
}
