/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the service manager is told (sd_notify). Texts come from images and workers, and there each line is a statement
 * of its own: a status never has more than one, or an image could say READY=1. Without a manager nothing happens.
 */
#pragma once

/* `statements` ("READY=1", several of them with newlines between, or "") are ours; the status is what "fmt" gives. */
void notify_status(const char *statements, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* What we are at takes longer: until then, at least, the service manager does not lose patience. */
void notify_ask_for_time(int limit_ms);

/* Why we end: ERRNO= with the positive errno, and the text as the status. */
void notify_failure(int code, const char *text);
