/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A folder for names in images to be looked up in: an image in a folder of its own, with files beneath and beside it, and
 * links, fifos and folders that lead out of it. It is made once for a process, in $TMPDIR, and goes with it. One thread.
 */
#pragma once

#include "reference/reference.h"

#include <stdbool.h>
#include <stdint.h>

/* What one asks with: the policy is chosen by a number, the rest is the folder's. */
ReferenceRules fuzz_folder_rules(uint64_t choice);

/* One of a few files that may name others; 0: the image itself. */
const char *fuzz_folder_namer(uint64_t choice);

/* What was opened by these rules is a regular file where they allow it, and called as `path` says. */
void fuzz_folder_require(const ReferenceRules *rules, int fd, const char *path);

/* A file of the target's own, which nobody else can write to: its path, and a descriptor that stays open. */
int fuzz_folder_file(const char **ret_path);

/* Makes what is asked for by name stay in the folder whatever the rules are: what else this machine has is its own. */
bool fuzz_folder_may_ask(const ReferenceRules *rules, const char *name);
