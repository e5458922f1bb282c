/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * UUIDs: sixteen bytes, and the text of them. Microsoft calls them GUIDs and stores the first three fields the other way
 * round; everybody else stores the bytes in the order of the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        UUID_LEN = 16,
        UUID_TEXT_LEN = 36, /* without the NUL at the end */
};

/* The bytes in the order of the text. */
typedef struct Uuid {
        uint8_t b[UUID_LEN];
} Uuid;

/* As Microsoft stores it: the first three fields little-endian. On-disk structs are made of these. */
typedef struct le_guid {
        uint8_t b[UUID_LEN];
} le_guid;

Uuid uuid_from_guid(le_guid g);
le_guid uuid_to_guid(Uuid u);

bool uuid_equal(const Uuid *a, const Uuid *b);

/* All sixteen bytes 0, which stands for "none". */
bool uuid_is_zero(const Uuid *u);

/* 12345678-9abc-def0-1234-56789abcdef0, and a NUL. */
void uuid_format(const Uuid *u, char text[UUID_TEXT_LEN + 1]);

/* Reads exactly what uuid_format writes, in capital letters as well, and in braces as well. False: it is not one. */
bool uuid_parse(const char *text, Uuid *ret);

/* A new one at random (version 4); -errno when the kernel has no random numbers. */
int uuid_make(Uuid *ret);
