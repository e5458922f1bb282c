/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files as a fuzzer can carry them: an image may be many megabytes of zeroes with some tables in between, and may name
 * others. An input is a list of
 *
 *   1, u8 length of a name, name, be64 size      a file begins
 *   2, be64 position, be32 length, bytes         these bytes stand in it
 *
 * and every other byte in place of the 1 or 2 stands for nothing. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
        FUZZ_FILES_MAX = 8,
        FUZZ_FILE_SIZE_MAX = 12 << 20,
        FUZZ_NAME_MAX = 64,
};

typedef struct FuzzFile {
        char name[FUZZ_NAME_MAX];
        uint8_t *bytes; /* owned */
        size_t len;
} FuzzFile;

typedef struct FuzzFiles {
        FuzzFile file[FUZZ_FILES_MAX];
        size_t count;
} FuzzFiles;

/* What goes beyond the bounds is left out. */
void fuzz_files_init(FuzzFiles *f, const uint8_t *bytes, size_t len);
void fuzz_files_done(FuzzFiles *f);

/* Changes an input so that it stays a list: numbers in the files' bytes, of all sizes and both orders, sizes and places. What
 * LLVMFuzzerCustomMutator wants. */
size_t fuzz_files_mutate(uint8_t *bytes, size_t len, size_t max_len, unsigned seed);
