/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What rawviewd exits with: sysexits(3), so that `systemctl status` can name it. Pure.
 */
#pragma once

/* What was being done when something failed. */
typedef enum Phase {
        PHASE_DESCRIPTOR,
        PHASE_TARGET,
        PHASE_IMAGE,
        PHASE_OPEN, /* the worker opens what is in the image */
        PHASE_MOUNT,
        PHASE_SERVE,
        PHASE_PROVE, /* all is over, and it is looked whether the image is as it was */
} Phase;

/* `code` is a positive errno. */
int exit_status(Phase phase, int code);

/* The same for others who wait for it, from what exit_status gave: as rawview(1) exits, and as mount(8) does. */
int exit_for_command(int status);
int exit_for_mount(int status);
