/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker is given of the supervisor's environment: nothing (kept-nothing.c), but in builds with sanitizers, which
 * are for tests, what sets these (kept-sanitizers.c); meson chooses. Constant.
 */
#pragma once

/* Each with its '='; NULL ends the list. */
extern const char *const spawn_kept[];
