/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake/fake.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/disk-int.h"
#include "block/node.h"
#include "block/table.h"
#include "store/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

typedef struct FakeHeader {
        char magic[8];
        le64 size, granule, unit;
} FakeHeader;
_Static_assert(sizeof(FakeHeader) == 32, "as it lies in the file");

/* A place that nothing points to any more. The file's own table may still do so until the next flush is done. */
typedef struct FakePlace {
        uint64_t pos;
        unsigned flushes; /* write_backs that have begun since it was given up */
} FakePlace;

typedef struct FakeState {
        atomic_uint_fast64_t maps, decodes, allocs, publishes, releases, write_backs, finishes,
                discards;
        atomic_uint_fast64_t longest_discard;

        /* As fake_set_manner says. */
        uint64_t run;
        bool syncs;
        int resize_code;
        atomic_int publish_code;
        atomic_uint again, moves;

        uint64_t unit; /* fixed after open */
        uint64_t size; /* what the header says; guarded by the node's flush_lock */

        pthread_mutex_t lock;
        uint64_t *table; /* owned; guarded by lock */
        uint64_t end;    /* where the next unit goes; guarded by lock */
        FakePlace *given_up;
        size_t given_up_count; /* guarded by lock, as is given_up */
} FakeState;

static FakeState *fake_state(Node *n)
{
        return n->state;
}

static le64 fake_to_le64(uint64_t x)
{
        le64 v;
        for (size_t i = 0; i < 8; i++)
                v.b[i] = (uint8_t)(x >> 8 * i);
        return v;
}

static int fake_read_names(Node *n, Err *err)
{
        char names[FAKE_NAME_MAX + FAKE_FORMAT_MAX] = { 0 };
        int r = store_read(n->store, names, sizeof(names), FAKE_NAME_AT);
        if (r < 0)
                return err_set(err, -r, "names: cannot read them: %m");
        names[FAKE_NAME_MAX - 1] = '\0';
        names[sizeof(names) - 1] = '\0';

        n->backing_name = names[0] ? strdup(names) : NULL;
        n->backing_format = names[FAKE_NAME_MAX] ? strdup(names + FAKE_NAME_MAX) : NULL;
        if ((names[0] && !n->backing_name) || (names[FAKE_NAME_MAX] && !n->backing_format))
                return err_set(err, ENOMEM, "%m");
        return 0;
}

static int fake_read_table(Node *n, Err *err)
{
        FakeState *f = fake_state(n);
        _cleanup_free_ le64 *raw = NULL;
        uint64_t file_size = 0;

        int r = store_get_size(n->store, &file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size: %m");
        r = table_read(n->store, FAKE_TABLE, FAKE_ENTRIES_MAX, sizeof(le64), "table", (void **)&raw,
                       err);
        if (r < 0)
                return r;
        f->table = calloc(FAKE_ENTRIES_MAX, sizeof(*f->table));
        if (!f->table)
                return err_set(err, ENOMEM, "%m");
        /* Behind the end of the file, where alloc may promise zeroes: a failure can have left granules that no entry
         * knows of. */
        f->end = round_up(u64_max(file_size, FAKE_TABLE + FAKE_ENTRIES_MAX * sizeof(le64)), 512);
        for (size_t i = 0; i < FAKE_ENTRIES_MAX; i++) {
                uint64_t pos = from_le64(raw[i]) & ~(uint64_t)FAKE_KIND_MASK;
                f->table[i] = from_le64(raw[i]);
                if ((f->table[i] & FAKE_KIND_MASK) > FAKE_CODED)
                        return err_set(err, EBADMSG, "table entry %zu is of no known kind", i);
                if ((f->table[i] & FAKE_KIND_MASK) >= FAKE_DATA)
                        f->end = u64_max(f->end, pos + f->unit);
        }
        return 0;
}

static int fake_open(Node *n, Opener *opener, Err *err)
{
        FakeState *f = fake_state(n);
        FakeHeader h;

        pthread_mutex_init(&f->lock, NULL);
        int r = store_read(n->store, &h, sizeof(h), 0);
        if (r < 0)
                return err_set(err, -r, "header: cannot read it: %m");
        if (memcmp(h.magic, "FAKEDISK", 8) != 0)
                return err_set(err, EBADMSG, "header: magic is not FAKEDISK");
        n->size = f->size = from_le64(h.size);
        n->granule = from_le64(h.granule);
        if (n->granule % 512 != 0 || n->granule < 512 || n->granule > 2 << 20)
                return err_set(err, EBADMSG,
                               "header: granule is not a number of sectors in bounds");
        f->unit = from_le64(h.unit);
        if (f->unit % 512 != 0 || f->unit < 512 || n->granule % f->unit != 0)
                return err_set(err, EBADMSG, "header: unit is not a part of the granule");
        if (n->size / f->unit >= FAKE_ENTRIES_MAX)
                return err_set(err, EFBIG, "header: size is more than the table can hold");
        if (n->snapshot)
                return err_set(err, ENOENT, "there is no snapshot '%s'", n->snapshot);
        r = fake_read_names(n, err);
        if (r < 0)
                return r;
        return fake_read_table(n, err);
}

static void fake_close(Node *n)
{
        FakeState *f = fake_state(n);
        free(f->table);
        free(f->given_up);
        pthread_mutex_destroy(&f->lock);
}

static void fake_decode_entry(Node *n, uint64_t index, uint64_t entry, Extent *ret)
{
        uint64_t pos = entry & ~(uint64_t)FAKE_KIND_MASK;
        uint64_t unit = fake_state(n)->unit;

        *ret = (Extent){ .kind = EXTENT_BELOW, .off = index * unit, .len = unit };
        switch (entry & FAKE_KIND_MASK) {
        case FAKE_HOLE:
                ret->kind = EXTENT_HOLE;
                break;
        case FAKE_DATA:
        case FAKE_SHARED:
                ret->kind = EXTENT_DATA;
                ret->store = n->store;
                ret->pos = pos;
                ret->in_place = (entry & FAKE_KIND_MASK) == FAKE_DATA;
                break;
        case FAKE_CODED:
                ret->kind = EXTENT_CODED;
                ret->cookie = pos;
                break;
        default:
                break;
        }
}

/* Puts the bytes of a unit elsewhere, and others where they were, as a writer may who comes after an answer of map.
 * Wants the lock. */
static int fake_move(Node *n, uint64_t index)
{
        FakeState *f = fake_state(n);
        uint64_t pos = f->table[index] & ~(uint64_t)FAKE_KIND_MASK;
        _cleanup_free_ uint8_t *bytes = malloc((size_t)f->unit);

        int r = bytes ? store_read(n->store, bytes, (size_t)f->unit, pos) : -ENOMEM;
        if (r < 0)
                return r;
        r = store_write(n->store, bytes, (size_t)f->unit, f->end);
        if (r < 0)
                return r;
        memset(bytes, '!', (size_t)f->unit);
        r = store_write(n->store, bytes, (size_t)f->unit, pos);
        if (r < 0)
                return r;
        f->table[index] = f->end | (f->table[index] & FAKE_KIND_MASK);
        f->end += f->unit;
        atomic_fetch_add(&n->reuses, 1);
        return 0;
}

/* Takes one from the number, unless it is 0. */
static bool fake_take_one(atomic_uint *number)
{
        unsigned left = atomic_load(number);
        while (left > 0 && !atomic_compare_exchange_weak(number, &left, left - 1))
                ;
        return left > 0;
}

static int fake_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        FakeState *f = fake_state(n);
        uint64_t index = off / f->unit;
        int r = 0;

        atomic_fetch_add(&f->maps, 1);
        LOCKED(&f->lock)
        {
                fake_decode_entry(n, index, f->table[index], ret);
                if ((f->table[index] & FAKE_KIND_MASK) >= FAKE_DATA && fake_take_one(&f->moves))
                        r = fake_move(n, index);
        }
        return r;
}

static int fake_read_coded(Node *n, const Extent *e, void *buf)
{
        uint8_t byte = 0;

        atomic_fetch_add(&fake_state(n)->decodes, 1);
        int r = store_read(n->store, &byte, 1, e->cookie);
        if (r < 0)
                return r;
        memset(buf, byte, (size_t)e->len);
        return 0;
}

/* Remembers a place for use after the next flush but one. Wants the lock. */
static int fake_give_up(FakeState *f, uint64_t pos, unsigned flushes)
{
        FakePlace *grown = reallocarray(f->given_up, f->given_up_count + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        f->given_up = grown;
        f->given_up[f->given_up_count++] = (FakePlace){ pos, flushes };
        return 0;
}

/* Has the table without it been written and synced: by the flush before the one that began last? */
static bool fake_place_is_free(const FakePlace *place)
{
        return place->flushes >= 2;
}

static bool fake_is_in_place(uint64_t entry)
{
        return (entry & FAKE_KIND_MASK) == FAKE_DATA;
}

static bool fake_is_coded(uint64_t entry)
{
        return (entry & FAKE_KIND_MASK) == FAKE_CODED;
}

/* How many units from `first` on get a place at once. Wants the lock. */
static uint64_t fake_run_len(const FakeState *f, uint64_t first, uint64_t end)
{
        uint64_t count = 1;

        while ((count + 1) * f->unit <= f->run && (first + count) * f->unit < end &&
               !fake_is_coded(f->table[first]) && !fake_is_coded(f->table[first + count]) &&
               !fake_is_in_place(f->table[first + count]))
                count++;
        return count;
}

/* A place that was given up long enough ago, or 0. Wants the lock. */
static uint64_t fake_find_free(FakeState *f)
{
        for (size_t i = 0; i < f->given_up_count; i++)
                if (fake_place_is_free(&f->given_up[i])) {
                        uint64_t pos = f->given_up[i].pos;
                        f->given_up[i] = f->given_up[--f->given_up_count];
                        return pos;
                }
        return 0;
}

static int fake_alloc(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        FakeState *f = fake_state(n);
        Extent place = { .kind = EXTENT_DATA,
                         .off = multiple_down(off, f->unit),
                         .store = n->store,
                         .in_place = true };

        atomic_fetch_add(&f->allocs, 1);
        if (fake_take_one(&f->again))
                return -EAGAIN;
        LOCKED(&f->lock)
        {
                place.len = fake_run_len(f, off / f->unit, off + len) * f->unit;
                place.pos = place.len == f->unit ? fake_find_free(f) : 0;
                if (place.pos == 0) {
                        place.pos = f->end;
                        place.zeroed = true;
                        f->end += place.len;
                }
        }
        *ret = place;
        return 0;
}

static int fake_publish(Node *n, const Extent *e)
{
        FakeState *f = fake_state(n);
        int code = atomic_exchange(&f->publish_code, 0);

        if (code != 0)
                return -code;
        atomic_fetch_add(&f->publishes, 1);
        LOCKED(&f->lock)
        {
                for (uint64_t done = 0; done < e->len; done += f->unit)
                        f->table[(e->off + done) / f->unit] = (e->pos + done) | FAKE_DATA;
        }
        return 0;
}

/* Nothing ever pointed to it, but it may have been written to: it is no longer known to be zero. */
static void fake_release(Node *n, const Extent *e)
{
        FakeState *f = fake_state(n);

        atomic_fetch_add(&f->releases, 1);
        LOCKED(&f->lock)
        {
                for (uint64_t done = 0; done < e->len; done += f->unit)
                        (void)fake_give_up(f, e->pos + done, 2);
        }
}

static void fake_copy_table(FakeState *f, le64 *raw)
{
        LOCKED(&f->lock)
        {
                for (size_t i = 0; i < FAKE_ENTRIES_MAX; i++)
                        raw[i] = fake_to_le64(f->table[i]);
                for (size_t i = 0; i < f->given_up_count; i++)
                        f->given_up[i].flushes++;
        }
}

/* The size goes with the table: one that could not be flushed is not in the file either. */
static int fake_write_size(Node *n)
{
        FakeState *f = fake_state(n);
        le64 raw = fake_to_le64(n->size);

        if (f->size == n->size)
                return 0;
        int r = store_write(n->store, &raw, sizeof(raw), offsetof(FakeHeader, size));
        if (r >= 0)
                f->size = n->size;
        return r;
}

static int fake_write_back(Node *n)
{
        FakeState *f = fake_state(n);
        _cleanup_free_ le64 *raw = calloc(FAKE_ENTRIES_MAX, sizeof(*raw));

        if (!raw)
                return -ENOMEM;
        atomic_fetch_add(&f->write_backs, 1);
        fake_copy_table(f, raw);
        int r = node_sync(n);
        if (r < 0)
                return r;
        r = store_write(n->store, raw, FAKE_ENTRIES_MAX * sizeof(*raw), FAKE_TABLE);
        if (r >= 0)
                r = fake_write_size(n);
        if (r < 0 || !f->syncs)
                return r;
        r = node_sync(n);
        return r < 0 ? r : 1;
}

/* There is nothing to be said in the image; it is counted. */
static int fake_finish(Node *n)
{
        atomic_fetch_add(&fake_state(n)->finishes, 1);
        return 0;
}

static int fake_clear_entry(FakeState *f, uint64_t index, uint64_t kind)
{
        uint64_t old = f->table[index];
        int r = 0;

        if ((old & FAKE_KIND_MASK) == FAKE_DATA)
                r = fake_give_up(f, old & ~(uint64_t)FAKE_KIND_MASK, 0);
        if (r < 0)
                return r;
        f->table[index] = kind;
        return 0;
}

static int fake_clear_entries(Node *n, uint64_t first, uint64_t end, uint64_t kind)
{
        FakeState *f = fake_state(n);

        LOCKED(&f->lock)
        {
                for (uint64_t i = first; i < end; i++) {
                        int r = fake_clear_entry(f, i, kind);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* Whole units only. */
static int fake_discard(Node *n, uint64_t off, uint64_t len, uint64_t *ret_off, uint64_t *ret_len)
{
        FakeState *f = fake_state(n);
        uint64_t first = div_round_up(off, f->unit), end = (off + len) / f->unit;

        atomic_fetch_add(&f->discards, 1);
        atomic_store(&f->longest_discard, u64_max(len, atomic_load(&f->longest_discard)));
        if (first >= end) {
                *ret_len = 0;
                return 0;
        }
        int r = fake_clear_entries(n, first, end, FAKE_HOLE);
        if (r < 0)
                return r;
        *ret_off = first * f->unit;
        *ret_len = (end - first) * f->unit;
        return 0;
}

static int fake_resize(Node *n, uint64_t size)
{
        FakeState *f = fake_state(n);

        if (f->resize_code != 0)
                return -f->resize_code;
        if (size / f->unit >= FAKE_ENTRIES_MAX)
                return -EFBIG;
        return fake_clear_entries(n, div_round_up(size, f->unit), FAKE_ENTRIES_MAX, FAKE_BELOW);
}

const Format format_fake = {
        .name = "fake",
        .magic = { { 0, 8, "FAKEDISK" } },
        .state_size = sizeof(FakeState),
        .has_snapshots = true,
        .open = fake_open,
        .close = fake_close,
        .map = fake_map,
        .read_coded = fake_read_coded,
        .alloc = fake_alloc,
        .publish = fake_publish,
        .release = fake_release,
        .write_back = fake_write_back,
        .finish = fake_finish,
        .discard = fake_discard,
        .resize = fake_resize,
};

const Format format_fake_read_only = {
        .name = "fake",
        .magic = { { 0, 8, "FAKEDISK" } },
        .state_size = sizeof(FakeState),
        .has_snapshots = true,
        .open = fake_open,
        .close = fake_close,
        .map = fake_map,
        .read_coded = fake_read_coded,
};

static uint64_t fake_kind_of(char letter)
{
        switch (letter) {
        case '0':
                return FAKE_HOLE;
        case 'd':
                return FAKE_DATA;
        case 's':
                return FAKE_SHARED;
        case 'c':
                return FAKE_CODED;
        default:
                return FAKE_BELOW;
        }
}

static uint64_t fake_unit(const FakeImage *image)
{
        return image->unit ? image->unit : image->granule;
}

static int fake_write_header(const FakeImage *image, Store *s)
{
        FakeHeader h = { .magic = { 'F', 'A', 'K', 'E', 'D', 'I', 'S', 'K' },
                         .size = fake_to_le64(image->size),
                         .granule = fake_to_le64(image->granule),
                         .unit = fake_to_le64(fake_unit(image)) };
        int r = store_write(s, &h, sizeof(h), 0);
        if (r >= 0 && image->backing)
                r = store_write(s, image->backing, strlen(image->backing), FAKE_NAME_AT);
        if (r >= 0 && image->below)
                r = store_write(s, image->below, strlen(image->below), FAKE_FORMAT_AT);
        return r;
}

static int fake_write_unit(const FakeImage *image, Store *s, uint64_t index)
{
        uint64_t kind = fake_kind_of(image->layout[index]);
        uint64_t unit = fake_unit(image);
        uint64_t pos = FAKE_TABLE + FAKE_ENTRIES_MAX * sizeof(le64) + index * unit;

        if (kind >= FAKE_DATA) {
                _cleanup_free_ uint8_t *bytes = malloc((size_t)unit);
                if (!bytes)
                        return -ENOMEM;
                memset(bytes, fake_byte(index), (size_t)unit);
                int r = store_write(s, bytes, (size_t)unit, pos);
                if (r < 0)
                        return r;
        }
        le64 raw = fake_to_le64(kind >= FAKE_DATA ? pos | kind : kind);
        return store_write(s, &raw, sizeof(raw), FAKE_TABLE + index * sizeof(raw));
}

int fake_make(const FakeImage *image, Store **ret)
{
        _cleanup_store_ Store *s = NULL;

        int r = mem_store_new(NULL, FAKE_TABLE + FAKE_ENTRIES_MAX * sizeof(le64), &s);
        if (r < 0)
                return r;
        r = fake_write_header(image, s);
        if (r < 0)
                return r;
        for (uint64_t i = 0; image->layout && image->layout[i]; i++) {
                r = fake_write_unit(image, s, i);
                if (r < 0)
                        return r;
        }
        *ret = TAKE(s);
        return 0;
}

void fake_get_calls(Node *n, FakeCalls *ret)
{
        FakeState *f = fake_state(n);
        *ret = (FakeCalls){
                .maps = atomic_load(&f->maps),
                .decodes = atomic_load(&f->decodes),
                .allocs = atomic_load(&f->allocs),
                .publishes = atomic_load(&f->publishes),
                .releases = atomic_load(&f->releases),
                .write_backs = atomic_load(&f->write_backs),
                .finishes = atomic_load(&f->finishes),
                .discards = atomic_load(&f->discards),
                .longest_discard = atomic_load(&f->longest_discard),
        };
}

void fake_set_manner(Node *n, const FakeManner *manner)
{
        FakeState *f = fake_state(n);

        f->run = manner->run;
        f->syncs = manner->syncs;
        f->resize_code = manner->resize_code;
        atomic_store(&f->publish_code, manner->publish_code);
        atomic_store(&f->again, manner->again);
        atomic_store(&f->moves, manner->moves);
}
