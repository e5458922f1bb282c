/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "files.h"

#include "fuzz.h"

enum {
        TAG_FILE = 1,
        TAG_BYTES = 2,
        PARTS_MAX = 512,
};

/* The bytes of one record, where they lie in the input. */
typedef struct Part {
        uint8_t tag;
        size_t head, at, len; /* TAG_FILE: `head` is where the size stands */
} Part;

/* The next record; false: there is none. */
static bool next_part(FuzzInput *in, const uint8_t *start, Part *ret)
{
        while (in->len > 0 && in->bytes[0] != TAG_FILE && in->bytes[0] != TAG_BYTES)
                (void)fuzz_take_number(in, 1);
        if (in->len == 0)
                return false;
        *ret = (Part){ .tag = (uint8_t)fuzz_take_number(in, 1) };
        size_t len = 0;
        if (ret->tag == TAG_FILE) {
                len = (size_t)fuzz_take_number(in, 1);
                ret->at = (size_t)(in->bytes - start);
                ret->len = fuzz_take_bytes(in, len).len;
                ret->head = (size_t)(in->bytes - start);
                (void)fuzz_take_bytes(in, 8);
        } else {
                ret->head = (size_t)(in->bytes - start);
                (void)fuzz_take_bytes(in, 8);
                len = (size_t)fuzz_take_number(in, 4);
                ret->at = (size_t)(in->bytes - start);
                ret->len = fuzz_take_bytes(in, len).len;
        }
        return true;
}

static uint64_t number_of(const uint8_t *bytes, size_t len, size_t at, size_t size)
{
        FuzzInput in = { bytes + at, len - at };

        return fuzz_take_number(&in, size);
}

static void add_file(FuzzFiles *f, const uint8_t *bytes, size_t len, const Part *p)
{
        FuzzFile *file = &f->file[f->count];
        uint64_t size = number_of(bytes, len, p->head, 8);
        size_t name_len = p->len < FUZZ_NAME_MAX ? p->len : FUZZ_NAME_MAX - 1;

        *file = (FuzzFile){ .len = size < FUZZ_FILE_SIZE_MAX ? (size_t)size : FUZZ_FILE_SIZE_MAX };
        memcpy(file->name, bytes + p->at, name_len);
        file->bytes = calloc(1, file->len + 1);
        if (!file->bytes)
                exit(1);
        f->count++;
}

static void add_bytes(FuzzFiles *f, const uint8_t *bytes, size_t len, const Part *p)
{
        FuzzFile *file = &f->file[f->count - 1];
        uint64_t pos = number_of(bytes, len, p->head, 8);

        if (pos >= file->len)
                return;
        size_t room = file->len - (size_t)pos;
        memcpy(file->bytes + pos, bytes + p->at, p->len < room ? p->len : room);
}

void fuzz_files_init(FuzzFiles *f, const uint8_t *bytes, size_t len)
{
        FuzzInput in = { bytes, len };
        Part p;

        *f = (FuzzFiles){ 0 };
        while (next_part(&in, bytes, &p)) {
                if (p.tag == TAG_FILE && f->count == FUZZ_FILES_MAX)
                        return;
                if (p.tag == TAG_FILE)
                        add_file(f, bytes, len, &p);
                else if (f->count > 0)
                        add_bytes(f, bytes, len, &p);
        }
}

void fuzz_files_done(FuzzFiles *f)
{
        for (size_t i = 0; i < f->count; i++)
                free(f->file[i].bytes);
        *f = (FuzzFiles){ 0 };
}

static uint32_t pick(uint64_t *x, uint64_t count)
{
        *x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return count > 0 ? (uint32_t)((*x >> 33) % count) : 0;
}

/* A number that finds limits: near nothing, near all, near a power of two, near what was there. */
static uint64_t wild(uint64_t *x, uint64_t old)
{
        uint64_t near = (uint64_t)pick(x, 5) - 2;

        switch (pick(x, 6)) {
        case 0:
                return near;
        case 1:
                return UINT64_MAX - near;
        case 2:
                return (UINT64_C(1) << pick(x, 64)) + near;
        case 3:
                return old + near;
        case 4:
                return pick(x, 4096);
        default:
                return (uint64_t)pick(x, 1 << 16) << 9;
        }
}

static void put_number(uint8_t *to, size_t size, bool big, uint64_t number)
{
        for (size_t i = 0; i < size; i++)
                to[big ? size - 1 - i : i] = (uint8_t)(number >> 8 * i);
}

static uint64_t get_number(const uint8_t *from, size_t size, bool big)
{
        uint64_t number = 0;

        for (size_t i = 0; i < size; i++)
                number |= (uint64_t)from[big ? size - 1 - i : i] << 8 * i;
        return number;
}

static void change_number(uint8_t *bytes, size_t len, uint64_t *x)
{
        size_t size = (size_t)1 << pick(x, 4);
        bool big = pick(x, 2);

        if (len < size)
                return;
        /* Headers stand in front, and numbers where their size divides. */
        size_t room = pick(x, 2) && len > 512 ? 512 : len;
        size_t at = pick(x, room - size + 1) / size * size;
        put_number(bytes + at, size, big, wild(x, get_number(bytes + at, size, big)));
}

static void change_part(uint8_t *bytes, size_t len, const Part *p, uint64_t *x)
{
        uint32_t choice = pick(x, 8);

        if (p->tag == TAG_FILE || choice == 0) {
                if (p->head + 8 <= len)
                        put_number(bytes + p->head, 8, true,
                                   wild(x, get_number(bytes + p->head, 8, true)));
        } else if (choice < 6) {
                change_number(bytes + p->at, p->len, x);
        } else if (p->len > 0) {
                size_t window = 1 + pick(x, p->len < 64 ? p->len : 64);
                size_t at = pick(x, p->len - window + 1);
                (void)LLVMFuzzerMutate(bytes + p->at + at, window, window);
        }
}

size_t fuzz_files_mutate(uint8_t *bytes, size_t len, size_t max_len, unsigned seed)
{
        static Part parts[PARTS_MAX];
        FuzzInput in = { bytes, len };
        size_t count = 0;
        uint64_t x = seed;

        while (count < PARTS_MAX && next_part(&in, bytes, &parts[count]))
                count++;
        if (count == 0 || pick(&x, 6) == 0)
                return LLVMFuzzerMutate(bytes, len, max_len);
        for (uint32_t changes = 1 + pick(&x, 3); changes > 0; changes--)
                change_part(bytes, len, &parts[pick(&x, count)], &x);
        return len;
}
