/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a view goes whose image it cannot cover: a new file in the run-time folder of the caller, which goes with the
 * view. One thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

/* Could no view of the caller's cover this image, though there is something to be shown? Never waits for a server. False, too,
 * where something else is wrong, which will be said by who opens it. */
bool own_place_is_needed(const char *image);

/* Makes an empty file, named as the image is, and with a number where there is one already. free() *ret. */
int own_place_make(const char *image, char **ret, Err *err);

/* The same, but an empty folder. */
int own_place_make_folder(const char *image, char **ret, Err *err);

/* The run-time folder, which need not be there: "/run/rawview", or that of a user. free() *ret. ENOENT: nobody knows. */
int own_place_get_folder(char **ret, Err *err);

/* What a view that was killed has left in the run-time folder: an empty file of the caller's there is removed. `folder` is the
 * open folder in which it lies. */
void own_place_clean(int folder, const char *name);
