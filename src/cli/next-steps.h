/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be typed next with a view: commands that fit what was found on the disk. One thread.
 */
#pragma once

#include "cli/partition-print.h"

/* On stderr, a line each. In the confined child: what was found is a guest's. */
void next_steps_tell(const PartitionListView *view,
                     const PartitionTable *t,
                     const PartitionFacts *facts);
