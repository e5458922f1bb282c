/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Integers as they lie in a file. On-disk structs are made of these: they have no padding and no alignment,
 * and cannot be used as numbers without from_…().
 */
#pragma once

#include <stdint.h>

typedef struct le16 {
        uint8_t b[2];
} le16;
typedef struct le32 {
        uint8_t b[4];
} le32;
typedef struct le64 {
        uint8_t b[8];
} le64;
typedef struct be16 {
        uint8_t b[2];
} be16;
typedef struct be32 {
        uint8_t b[4];
} be32;
typedef struct be64 {
        uint8_t b[8];
} be64;

static inline uint16_t from_le16(le16 v)
{
        return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t from_le32(le32 v)
{
        return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 |
               (uint32_t)v.b[3] << 24;
}

static inline uint64_t from_le64(le64 v)
{
        uint64_t x = 0;
        for (int i = 7; i >= 0; i--)
                x = x << 8 | v.b[i];
        return x;
}

static inline uint16_t from_be16(be16 v)
{
        return (uint16_t)(v.b[0] << 8 | v.b[1]);
}

static inline uint32_t from_be32(be32 v)
{
        return (uint32_t)v.b[0] << 24 | (uint32_t)v.b[1] << 16 | (uint32_t)v.b[2] << 8 |
               (uint32_t)v.b[3];
}

static inline uint64_t from_be64(be64 v)
{
        uint64_t x = 0;
        for (int i = 0; i < 8; i++)
                x = x << 8 | v.b[i];
        return x;
}

static inline be16 to_be16(uint16_t x)
{
        return (be16){ { (uint8_t)(x >> 8), (uint8_t)x } };
}

static inline be32 to_be32(uint32_t x)
{
        return (be32){ { (uint8_t)(x >> 24), (uint8_t)(x >> 16), (uint8_t)(x >> 8), (uint8_t)x } };
}

static inline be64 to_be64(uint64_t x)
{
        be64 v;
        for (int i = 7; i >= 0; i--, x >>= 8)
                v.b[i] = (uint8_t)x;
        return v;
}

static inline le16 to_le16(uint16_t x)
{
        return (le16){ { (uint8_t)x, (uint8_t)(x >> 8) } };
}

static inline le32 to_le32(uint32_t x)
{
        return (le32){ { (uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16), (uint8_t)(x >> 24) } };
}

static inline le64 to_le64(uint64_t x)
{
        le64 v;
        for (int i = 0; i < 8; i++, x >>= 8)
                v.b[i] = (uint8_t)x;
        return v;
}
