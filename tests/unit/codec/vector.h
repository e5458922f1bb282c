/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tests of Apple's compressions unpack, and what must come out. vectors.py prints the table when it is built. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum VectorKind {
        VECTOR_ADC,
        VECTOR_LZVN, /* bare; the others are LZFSE streams of such blocks */
        VECTOR_LZFSE_V1,
        VECTOR_LZFSE_V2,
        VECTOR_LZFSE_LZVN,
        VECTOR_LZFSE_MIXED,
} VectorKind;

typedef struct Vector {
        VectorKind kind;
        const char *name;
        const uint8_t *packed;
        size_t packed_len;
        const uint8_t *plain;
        size_t plain_len;
} Vector;

#include "vectors.h"
