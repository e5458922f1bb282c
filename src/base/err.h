/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sentence a person reads when something failed.
 *
 * An Err lives on the stack of the caller who wants to know; whoever does not passes NULL. Code tests the
 * returned number, never the text. A text grows from the inside out: the place that failed calls err_set(),
 * each caller that knows more puts it in front with err_prefix(). One Err belongs to one thread.
 *
 * Names that come from an image are hostile: control characters and what is no UTF-8 are replaced by '?' in every
 * text.
 */
#pragma once

typedef struct Err {
        char text[512];
} Err;

/* Stores the text (%m prints `code`) and returns -code. `code` is a positive errno. */
int err_set(Err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "fmt: " before the text and returns `r` unchanged, so that it can stand in a return statement. */
int err_prefix(Err *err, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
