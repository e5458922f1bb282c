/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes to a qcow2 image as only one who knows the format makes them: wild values in fields of the header and in entries of
 * the tables that it leads to, and sound ones, so that what comes later is reached too. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What LLVMFuzzerCustomMutator wants. Some of the time it leaves the work to the fuzzer. */
size_t fuzz_mutate_qcow2(uint8_t *bytes, size_t len, size_t max_len, uint32_t seed);
