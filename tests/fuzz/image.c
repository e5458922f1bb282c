/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image.h"

#include "fuzz.h"
#include "store/mem.h"

enum {
        PIECE = 64 << 10,
        STEPS_MAX = 32,
        CHOICES = 24,
        /* Twice as much is reserved at most. */
        STORE_MAX = 24 << 20,
};

static uint64_t number_at(const uint8_t *bytes, size_t len, size_t at)
{
        uint64_t x = 0;
        for (size_t i = 0; i < 8; i++)
                x = x << 8 | bytes[(at + i) % len];
        return x;
}

int fuzz_image_store(const uint8_t *bytes, size_t len, Store **ret)
{
        Store *s = NULL;
        int r = mem_store_new(bytes, len, &s);
        if (r < 0)
                return r;
        mem_store_set_limit(s, STORE_MAX);
        *ret = s;
        return 0;
}

static void read_at(Node *n, uint64_t off)
{
        static uint8_t buf[PIECE];

        (void)node_read(n, buf, sizeof(buf), off);
}

void fuzz_image_map(Node *n)
{
        uint64_t off = 0, size = node_get_size(n);

        for (unsigned i = 0; i < STEPS_MAX && off < size; i++) {
                uint64_t data = 0, hole = 0;
                if (node_find(n, NODE_FIND_DATA, off, &data) < 0)
                        return;
                read_at(n, data);
                int r = node_find(n, NODE_FIND_HOLE, data, &hole);
                fuzz_require(data >= off && data < size, "data lies within the disk");
                fuzz_require(r < 0 || (hole > data && hole <= size), "a hole lies behind the data");
                if (r < 0)
                        return;
                off = hole;
        }
}

void fuzz_image_read(Node *n, const uint8_t *bytes, size_t len)
{
        uint64_t size = node_get_size(n), found = 0;

        for (size_t i = 0; i < CHOICES && size > 0; i++) {
                uint64_t choice = number_at(bytes, len, len - 8 * i);
                uint64_t off = (i < 16 ? i * PIECE : choice) % size;
                read_at(n, off);
                (void)node_find(n, NODE_FIND_DATA, off, &found);
        }
}

static void write_at(Node *n, uint64_t choice)
{
        static uint8_t buf[PIECE];
        uint64_t size = node_get_size(n), off = size ? choice % size : 0;
        uint64_t len = choice >> 40 & (PIECE - 1);

        len = len < size - off ? len : size - off;
        memset(buf, (int)choice, sizeof(buf));
        switch (choice >> 60) {
        case 0:
                (void)node_discard(n, off, len);
                break;
        case 1:
                (void)node_zero(n, off, len);
                break;
        case 2:
                (void)node_allocate(n, off, len);
                break;
        case 3:
                (void)node_flush(n);
                break;
        case 4:
                (void)node_resize(n, size > PIECE ? size - PIECE : 0);
                break;
        case 5:
                (void)node_resize(n, size + len);
                break;
        default:
                (void)node_write(n, buf, (size_t)len, off);
        }
}

void fuzz_image_write(Node *n, const uint8_t *bytes, size_t len)
{
        for (size_t i = 0; i < CHOICES; i++) {
                uint64_t choice = number_at(bytes, len, len - 8 * i);
                write_at(n, choice);
                read_at(n, choice % (node_get_size(n) + 1));
        }
}
