/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mutate-qcow2.h"

#include "fuzz.h"

enum {
        PARTS_MAX = 96,
        LEAST = 512,
        EXTENSION_BITMAPS = 0x23852875,
};

typedef enum PartKind {
        PART_L1,
        PART_L2,
        PART_REFCOUNT_TABLE,
        PART_REFCOUNT_BLOCK,
        PART_SNAPSHOT,
        PART_BITMAP,
        PART_BITMAP_TABLE,
        PART_EXTENSION,
        PART_KIND_COUNT,
} PartKind;

/* A table, or an entry of a list whose entries have no fixed length. */
typedef struct Part {
        PartKind kind;
        size_t at, len;
} Part;

typedef struct Image {
        uint8_t *bytes;
        size_t len, max_len;
        uint64_t x;
        unsigned cluster_bits;
        Part parts[PARTS_MAX];
        size_t count;
} Image;

static uint32_t pick(Image *i, uint32_t count)
{
        i->x = i->x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return count > 0 ? (uint32_t)(i->x >> 33) % count : 0;
}

/* Big-endian, as all of qcow2; what lies past the end is zero, and stays. */
static uint64_t get(const Image *i, uint64_t at, size_t size)
{
        uint64_t x = 0;

        for (size_t k = 0; k < size; k++)
                x = x << 8 | (at < i->len && k < i->len - at ? i->bytes[at + k] : 0);
        return x;
}

static void put(Image *i, uint64_t at, size_t size, uint64_t x)
{
        for (size_t k = 0; k < size; k++)
                if (at < i->len && k < i->len - at)
                        i->bytes[at + k] = (uint8_t)(x >> 8 * (size - 1 - k));
}

/* Where things are. */

static void add_part(Image *i, PartKind kind, uint64_t at, uint64_t len)
{
        if (at >= i->len || len == 0 || i->count == PARTS_MAX)
                return;
        i->parts[i->count++] = (Part){
                .kind = kind,
                .at = (size_t)at,
                .len = len < i->len - at ? (size_t)len : i->len - (size_t)at,
        };
}

/* A table of tables: each of the first entries leads to one. */
static void add_tables(Image *i, PartKind kind, uint64_t at, uint64_t len, PartKind below)
{
        size_t found = 0;

        add_part(i, kind, at, len);
        for (uint64_t k = 0; k < len / 8 && k < 256 && found < 12; k++) {
                uint64_t pos = get(i, at + 8 * k, 8) & UINT64_C(0x00fffffffffffe00);
                found += pos != 0;
                if (pos != 0)
                        add_part(i, below, pos, UINT64_C(1) << i->cluster_bits);
        }
}

static void add_snapshots(Image *i)
{
        uint64_t at = get(i, 64, 8), count = get(i, 60, 4);

        for (uint64_t k = 0; k < count && k < 6 && at < i->len; k++) {
                uint64_t len =
                        40 + get(i, at + 36, 4) % 4096 + get(i, at + 12, 2) + get(i, at + 14, 2);
                add_part(i, PART_SNAPSHOT, at, len);
                add_tables(i, PART_L1, get(i, at, 8), 8 * get(i, at + 8, 4) % i->len, PART_L2);
                at += (len + 7) & ~UINT64_C(7);
        }
}

static void add_bitmaps(Image *i, uint64_t extension)
{
        uint64_t at = get(i, extension + 24, 8), count = get(i, extension + 8, 4);

        for (uint64_t k = 0; k < count && k < 6 && at < i->len; k++) {
                uint64_t len = 24 + get(i, at + 18, 2) + get(i, at + 20, 4) % 4096;
                add_part(i, PART_BITMAP, at, len);
                add_part(i, PART_BITMAP_TABLE, get(i, at, 8), 8 * get(i, at + 8, 4) % i->len);
                at += (len + 7) & ~UINT64_C(7);
        }
}

static void add_extensions(Image *i)
{
        uint64_t at = get(i, 4, 4) < 3 ? 72 : get(i, 100, 4);

        for (unsigned k = 0; k < 8 && at < i->len && at < UINT64_C(1) << i->cluster_bits; k++) {
                uint64_t type = get(i, at, 4), len = get(i, at + 4, 4);
                add_part(i, PART_EXTENSION, at, 8 + len % 4096);
                if (type == EXTENSION_BITMAPS)
                        add_bitmaps(i, at);
                if (type == 0)
                        break;
                at += 8 + ((len + 7) & ~UINT64_C(7));
        }
}

static void look(Image *i)
{
        uint64_t bits = get(i, 20, 4);

        i->cluster_bits = bits >= 9 && bits <= 21 ? (unsigned)bits : 9;
        i->count = 0;
        add_tables(i, PART_L1, get(i, 40, 8), 8 * get(i, 36, 4) % (i->len + 1), PART_L2);
        add_tables(i, PART_REFCOUNT_TABLE, get(i, 48, 8),
                   (get(i, 56, 4) << i->cluster_bits) % (i->len + 1), PART_REFCOUNT_BLOCK);
        add_snapshots(i);
        add_extensions(i);
}

/* Numbers. */

static uint64_t pick_number(Image *i, uint64_t old)
{
        switch (pick(i, 10)) {
        case 0:
                return 0;
        case 1:
                return 1;
        case 2:
                return UINT64_MAX;
        case 3:
                return UINT64_C(1) << pick(i, 64);
        case 4:
                return (UINT64_C(1) << pick(i, 64)) - 1;
        case 5:
                return (UINT64_C(1) << pick(i, 64)) + 1;
        case 6:
                return old + 1;
        case 7:
                return old - 1;
        case 8:
                return old ^ UINT64_C(1) << pick(i, 64);
        default:
                return pick(i, 64);
        }
}

/* A place: mostly the beginning of a cluster, mostly in the file. */
static uint64_t pick_place(Image *i)
{
        uint64_t clusters = (i->len >> i->cluster_bits) + 1;
        uint64_t place = (uint64_t)pick(i, (uint32_t)clusters) << i->cluster_bits;

        switch (pick(i, 16)) {
        case 0:
                return clusters << i->cluster_bits;
        case 1:
                return (clusters + pick(i, 4096)) << i->cluster_bits;
        case 2:
                return place + (UINT64_C(1) << (9 + pick(i, 47)));
        case 3:
                return place + pick(i, 1 << i->cluster_bits);
        case 4:
                return i->len;
        case 5:
        case 6:
        case 7:
                return i->count > 0 ? i->parts[pick(i, (uint32_t)i->count)].at : place;
        default:
                return place;
        }
}

/* A compressed cluster somewhere in the file, some sectors long. */
static uint64_t pick_coded(Image *i)
{
        unsigned shift = 62 - (i->cluster_bits - 8);
        uint64_t place = pick(i, 4) ? pick(i, (uint32_t)i->len) : pick_place(i);
        uint64_t sectors = pick(i, 4) ? pick(i, 1 << (i->cluster_bits - 8)) : pick(i, 4);

        return UINT64_C(1) << 62 | sectors << shift | (place & ((UINT64_C(1) << shift) - 1));
}

static uint64_t pick_entry(Image *i, PartKind kind, uint64_t old)
{
        uint64_t place = pick_place(i);

        switch (pick(i, 12)) {
        case 0:
                return pick_number(i, old);
        case 1:
                return old ^ UINT64_C(1) << 63;
        case 2:
                return old ^ UINT64_C(1) << pick(i, 9);
        case 3:
                return 0;
        case 4:
        case 5:
                return kind == PART_L2 ? pick_coded(i) : place;
        case 6:
                return kind == PART_L2 ? place | 1 : place;
        case 7:
                return place;
        default:
                return kind == PART_L1 || kind == PART_L2 ? place | UINT64_C(1) << 63 : place;
        }
}

/* Changes. */

typedef struct Field {
        uint8_t at, size;
        enum { FIELD_NUMBER, FIELD_PLACE, FIELD_BITS, FIELD_SMALL } kind;
        uint8_t most; /* of a small one */
} Field;

static void change_field(Image *i, const Field *fields, size_t count, size_t at)
{
        const Field *f = &fields[pick(i, (uint32_t)count)];
        uint64_t old = get(i, at + f->at, f->size), value = pick_number(i, old);

        if (f->kind == FIELD_PLACE && pick(i, 4))
                value = pick_place(i);
        else if (f->kind == FIELD_BITS && pick(i, 4))
                value = old ^ UINT64_C(1) << pick(i, 6);
        else if (f->kind == FIELD_SMALL && pick(i, 4))
                value = pick(i, f->most + 1u);
        put(i, at + f->at, f->size, value);
}

static void change_header(Image *i)
{
        static const Field fields[] = {
                { 4, 4, FIELD_SMALL, 4 },     { 8, 8, FIELD_SMALL, 255 },
                { 16, 4, FIELD_SMALL, 64 },   { 20, 4, FIELD_SMALL, 22 },
                { 24, 8, FIELD_NUMBER },      { 32, 4, FIELD_SMALL, 3 },
                { 36, 4, FIELD_SMALL, 64 },   { 40, 8, FIELD_PLACE },
                { 48, 8, FIELD_PLACE },       { 56, 4, FIELD_SMALL, 4 },
                { 60, 4, FIELD_SMALL, 4 },    { 64, 8, FIELD_PLACE },
                { 72, 8, FIELD_BITS },        { 80, 8, FIELD_BITS },
                { 88, 8, FIELD_BITS },        { 96, 4, FIELD_SMALL, 7 },
                { 100, 4, FIELD_SMALL, 120 }, { 104, 1, FIELD_SMALL, 2 },
        };

        change_field(i, fields, sizeof(fields) / sizeof(fields[0]), 0);
        /* Much of it is looked at only when these are as they must be. */
        if (pick(i, 4) == 0) {
                put(i, 0, 4, 0x514649fb);
                put(i, 4, 4, 2 + pick(i, 8) / 2 % 2 + (pick(i, 8) == 0));
        }
}

static void change_snapshot(Image *i, const Part *p)
{
        static const Field fields[] = {
                { 0, 8, FIELD_PLACE },      { 8, 4, FIELD_SMALL, 64 }, { 12, 2, FIELD_SMALL, 8 },
                { 14, 2, FIELD_SMALL, 32 }, { 16, 4, FIELD_NUMBER },   { 20, 4, FIELD_NUMBER },
                { 24, 8, FIELD_NUMBER },    { 32, 4, FIELD_NUMBER },   { 36, 4, FIELD_SMALL, 32 },
                { 40, 8, FIELD_NUMBER },    { 48, 8, FIELD_NUMBER },   { 56, 8, FIELD_NUMBER },
        };

        change_field(i, fields, sizeof(fields) / sizeof(fields[0]), p->at);
}

static void change_bitmap(Image *i, const Part *p)
{
        static const Field fields[] = {
                { 0, 8, FIELD_PLACE },      { 8, 4, FIELD_SMALL, 8 },   { 12, 4, FIELD_BITS },
                { 16, 1, FIELD_SMALL, 2 },  { 17, 1, FIELD_SMALL, 40 }, { 18, 2, FIELD_SMALL, 32 },
                { 20, 4, FIELD_SMALL, 16 },
        };

        change_field(i, fields, sizeof(fields) / sizeof(fields[0]), p->at);
}

static void change_extension(Image *i, const Part *p)
{
        static const uint32_t types[] = { 0,          0x0537be77, EXTENSION_BITMAPS, 0x44415441,
                                          0x6803f857, 0xe2792aca, 0x12345678 };
        static const Field fields[] = {
                { 4, 4, FIELD_SMALL, 32 },   { 8, 4, FIELD_SMALL, 8 }, { 12, 4, FIELD_NUMBER },
                { 16, 8, FIELD_NUMBER },     { 24, 8, FIELD_PLACE },   { 8, 8, FIELD_PLACE },
                { 16, 8, FIELD_SMALL, 200 },
        };

        if (pick(i, 3) == 0)
                put(i, p->at, 4, types[pick(i, sizeof(types) / sizeof(types[0]))]);
        else
                change_field(i, fields, sizeof(fields) / sizeof(fields[0]), p->at);
}

/* Bytes that no name should have: the end of a text, what a terminal obeys, what is no UTF-8. */
static void change_text(Image *i, const Part *p)
{
        static const uint16_t bytes[] = { 0x0000, 0x1b5b, 0xc29b, 0xfffe, 0x0a0d, 0x2f2e, 0x7f80 };

        put(i, p->at + pick(i, (uint32_t)p->len), 2,
            bytes[pick(i, sizeof(bytes) / sizeof(bytes[0]))]);
}

/* The number of a part of a kind, chosen so that each kind has its share; false: there is none. */
static bool pick_part(Image *i, Part *ret)
{
        PartKind kind = (PartKind)pick(i, PART_KIND_COUNT);
        uint32_t first = pick(i, (uint32_t)i->count);

        for (size_t k = 0; k < i->count; k++) {
                *ret = i->parts[(first + k) % i->count];
                if (ret->kind == kind)
                        return true;
        }
        return i->count > 0;
}

/* Most tables begin with their used entries. */
static size_t pick_entry_at(Image *i, const Part *p)
{
        uint32_t count = (uint32_t)(p->len / 8);

        return p->at + 8 * (size_t)pick(i, pick(i, 4) && count > 8 ? 8 : count);
}

static void change_refcount(Image *i, const Part *p)
{
        size_t width = (size_t)1 << get(i, 4, 4) % 2 * (get(i, 96, 4) % 7) >> 3;
        uint64_t at = p->at + pick(i, 64);

        if (get(i, 4, 4) < 3)
                width = 2;
        if (width > 1)
                at = p->at + pick(i, 64) * width;
        put(i, at, width ? width : 1, pick(i, 4) ? pick(i, 4) : pick_number(i, 0));
}

static void change_part(Image *i)
{
        Part p, other;

        if (!pick_part(i, &p))
                return;
        if ((p.kind == PART_SNAPSHOT || p.kind == PART_BITMAP || p.kind == PART_EXTENSION) &&
            pick(i, 3) == 0) {
                change_text(i, &p);
        } else if (p.kind == PART_SNAPSHOT) {
                change_snapshot(i, &p);
        } else if (p.kind == PART_BITMAP) {
                change_bitmap(i, &p);
        } else if (p.kind == PART_EXTENSION) {
                change_extension(i, &p);
        } else if (p.kind == PART_REFCOUNT_BLOCK) {
                change_refcount(i, &p);
        } else if (pick(i, 4) == 0 && pick_part(i, &other)) {
                /* An entry as it stands elsewhere. */
                put(i, pick_entry_at(i, &p), 8, get(i, pick_entry_at(i, &other), 8));
        } else {
                size_t at = pick_entry_at(i, &p);
                put(i, at, 8, pick_entry(i, p.kind, get(i, at, 8)));
        }
}

/* The refcount of a cluster, where the header says that it is 16 bits wide. */
static void set_refcount(Image *i, uint64_t cluster, unsigned count)
{
        uint64_t per_block = UINT64_C(1) << (i->cluster_bits - 1);
        uint64_t block = get(i, get(i, 48, 8) + 8 * (cluster / per_block), 8);

        if (block != 0 && (get(i, 4, 4) == 2 || get(i, 96, 4) == 4))
                put(i, block + 2 * (cluster % per_block), 2, count);
}

/* A cluster more at the end, with all that belongs to it: an entry that was empty, and a refcount. */
static void add_cluster(Image *i)
{
        uint64_t size = UINT64_C(1) << i->cluster_bits;
        uint64_t pos = (i->len + size - 1) & ~(size - 1);
        Part p;

        if (pos + size > i->max_len || !pick_part(i, &p) ||
            (p.kind != PART_L2 && p.kind != PART_L1))
                return;
        size_t at = pick_entry_at(i, &p);
        if (get(i, at, 8) != 0)
                return;
        memset(i->bytes + i->len, 0, pos + size - i->len);
        i->len = pos + size;
        if (p.kind == PART_L2)
                memset(i->bytes + pos, (int)pick(i, 256), size);
        put(i, at, 8, pos | UINT64_C(1) << 63);
        set_refcount(i, pos >> i->cluster_bits, 1);
}

/* One entry more that leads to a cluster of the disk: both are shared now. */
static void share_cluster(Image *i)
{
        Part p;

        if (!pick_part(i, &p) || p.kind != PART_L2)
                return;
        size_t from = pick_entry_at(i, &p), to = pick_entry_at(i, &p);
        uint64_t entry = get(i, from, 8), other = get(i, to, 8);
        if (entry == 0 || other != 0 || entry >> 62 & 1)
                return;
        put(i, from, 8, entry & ~(UINT64_C(1) << 63));
        put(i, to, 8, entry & ~(UINT64_C(1) << 63));
        set_refcount(i, (entry & UINT64_C(0x00fffffffffffe00)) >> i->cluster_bits, 2);
}

static void change_length(Image *i)
{
        uint64_t size = UINT64_C(1) << i->cluster_bits, len = i->len;

        switch (pick(i, 4)) {
        case 0:
                len += size;
                break;
        case 1:
                len = (len - 1) & ~(size - 1);
                break;
        case 2:
                len -= pick(i, 600);
                break;
        default:
                len += pick(i, 600);
        }
        if (len < LEAST || len > i->max_len)
                return;
        if (len > i->len)
                memset(i->bytes + i->len, 0, len - i->len);
        i->len = (size_t)len;
}

/* The end of the input says what is written: see fuzz_image_write. */
static void change_choices(Image *i)
{
        for (uint32_t count = 1 + pick(i, 4); count > 0; count--) {
                uint64_t operation = (uint64_t)pick(i, 16) << 60;
                uint64_t len = (uint64_t)pick(i, 4 << i->cluster_bits) % 65536 << 40;
                uint64_t off = pick(i, 4) ? pick(i, 1 << 20) & ~UINT64_C(511) : pick(i, 1u << 31);
                put(i, i->len - 8 * (1 + pick(i, 23)), 8, operation | len | off);
        }
}

/* A whole cluster as another one, or a part changed as the fuzzer likes. */
static void change_cluster(Image *i)
{
        size_t size = (size_t)1 << i->cluster_bits;
        uint64_t from = pick_place(i), to = pick_place(i);
        Part p;

        if (pick(i, 2) && from + size <= i->len && to + size <= i->len)
                memmove(i->bytes + to, i->bytes + from, size);
        else if (pick_part(i, &p))
                (void)LLVMFuzzerMutate(i->bytes + p.at, p.len < 64 ? p.len : 64,
                                       p.len < 64 ? p.len : 64);
}

static void change(Image *i)
{
        uint32_t choice = pick(i, 20);

        if (choice < 4)
                change_header(i);
        else if (choice < 11)
                change_part(i);
        else if (choice < 13)
                add_cluster(i);
        else if (choice < 14)
                share_cluster(i);
        else if (choice < 15)
                change_length(i);
        else if (choice < 16)
                change_cluster(i);
        else
                change_choices(i);
}

size_t fuzz_mutate_qcow2(uint8_t *bytes, size_t len, size_t max_len, uint32_t seed)
{
        Image image = { .bytes = bytes, .len = len, .max_len = max_len, .x = seed };

        if (len < LEAST || pick(&image, 4) == 0)
                return LLVMFuzzerMutate(bytes, len, max_len);
        look(&image);
        for (uint32_t count = 1 + pick(&image, 3) * pick(&image, 2); count > 0; count--)
                change(&image);
        return image.len;
}
