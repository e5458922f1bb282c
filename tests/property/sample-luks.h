/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Samples that are encrypted, with the passphrase that fake/secret.h answers: see Sample.make. Any thread.
 */
#pragma once

#include "store/store.h"

int luks_sample_make(const char *name, const char *below, Store **ret);
int qcow2_luks_make(const char *name, const char *below, Store **ret);
