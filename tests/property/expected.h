/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the disk of a sample should hold while requests to it succeed and fail: after a failed one each byte that it was
 * about is the old or the new one, and nobody may know which. Main thread only: what is not as expected fails the test.
 */
#pragma once

#include "sample.h"

#include "block/node.h"

enum {
        EXPECTED_ROOM = 2 * SAMPLE_SIZE,
};

typedef enum What {
        WHAT_WRITE,
        WHAT_ZERO,
        WHAT_DISCARD,
        WHAT_ALLOCATE,
        WHAT_FLUSH,
        WHAT_RESIZE, /* `off` is the size */
        WHAT_END,
} What;

typedef struct Request {
        What what;
        uint64_t off, len;
        uint8_t byte;
} Request;

/* Requests of all kinds, over each other; WHAT_END at the end. The disk has its old size then. */
extern const Request sample_requests[];

typedef struct Expected {
        const Sample *sample;
        uint8_t now[EXPECTED_ROOM], perhaps[EXPECTED_ROOM]; /* each byte is the one or the other */
        uint64_t size, perhaps_size;
} Expected;

/* The sample's own contents, with `below` shining through. */
void expected_init(Expected *e, const Sample *sample, uint8_t below);

/* Asks the node and keeps the books. The node's answer. */
int expected_run(Expected *e, Node *n, const Request *request);

/* The disk is as it should be; what it shows is what it has to show from now on. */
void expected_check(Expected *e, Node *n);

/* No damage in the image, as far as somebody can tell; with `leaks`, not even leaks. */
void expected_audit(Expected *e, Store *s, bool leaks);
