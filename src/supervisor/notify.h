/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the service manager is told (sd_notify). Texts come from images and workers, and there each line is a statement
 * of its own: a status never has more than one, or an image could say READY=1. Without a manager nothing happens.
 */
#pragma once

/* `statements` ("READY=1", several of them with newlines between, or "") are ours; the status is what "fmt" gives. */
void notify_status(const char *statements, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* Why we end: ERRNO= with the positive errno, and the text as the status. */
void notify_failure(int code, const char *text);
