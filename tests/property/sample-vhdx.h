/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sample of VHDX: see sample.h. It has no layer below, since that would have to be a VHDX as well. */
#pragma once

#include "store/store.h"

int vhdx_sample_make(const char *name, const char *below, Store **ret);
