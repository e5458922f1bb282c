/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay FILE…: a fuzz target without a fuzzer, for files that are known. Any compiler. */
#include "base/cleanup.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
        FILE_MAX = 1 << 20,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t len, size_t max_len);

/* The targets' own mutators want it; nothing is mutated here. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t len, size_t max_len)
{
        return len;
}

int main(int argc, char **argv)
{
        _cleanup_free_ uint8_t *bytes = malloc(FILE_MAX);

        for (int i = 1; bytes && i < argc; i++) {
                FILE *f = fopen(argv[i], "re");
                if (!f) {
                        perror(argv[i]);
                        return 1;
                }
                size_t len = fread(bytes, 1, FILE_MAX, f);
                fclose(f);
                printf("%s\n", argv[i]);
                fflush(stdout);
                LLVMFuzzerTestOneInput(bytes, len);
        }
        return bytes ? 0 : 1;
}
