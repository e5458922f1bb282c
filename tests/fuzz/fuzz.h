/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all fuzz targets share: the names that a fuzzer calls them by, their input, taken from its front, and the word
 * for what must hold. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t len, size_t max_len);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t max_len, unsigned seed);

/* What is left of an input. */
typedef struct FuzzInput {
        const uint8_t *bytes;
        size_t len;
} FuzzInput;

/* A big-endian number of `size` bytes; what is missing is zero. */
static inline uint64_t fuzz_take_number(FuzzInput *in, size_t size)
{
        uint64_t x = 0;

        for (; size > 0; size--) {
                x = x << 8 | (in->len > 0 ? in->bytes[0] : 0);
                in->bytes += in->len > 0;
                in->len -= in->len > 0;
        }
        return x;
}

static inline FuzzInput fuzz_take_bytes(FuzzInput *in, size_t len)
{
        FuzzInput taken = { in->bytes, len < in->len ? len : in->len };

        in->bytes += taken.len;
        in->len -= taken.len;
        return taken;
}

/* What stands before the next `end`, which is taken too. */
static inline FuzzInput fuzz_take_until(FuzzInput *in, uint8_t end)
{
        const uint8_t *found = in->len > 0 ? memchr(in->bytes, end, in->len) : NULL;
        FuzzInput taken = fuzz_take_bytes(in, found ? (size_t)(found - in->bytes) : in->len);

        (void)fuzz_take_bytes(in, 1);
        return taken;
}

/* free() it. A NUL ends it early. */
static inline char *fuzz_text(FuzzInput in)
{
        char *text = in.len > 0 ? strndup((const char *)in.bytes, in.len) : strdup("");

        if (!text)
                exit(1);
        return text;
}

/* What must hold whatever the input is: if it does not, that is a finding. */
static inline void fuzz_require(bool holds, const char *what)
{
        if (holds)
                return;
        fprintf(stderr, "this does not hold: %s\n", what);
        abort();
}
