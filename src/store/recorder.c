/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/recorder.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "store/mem.h"

#include <errno.h>
#include <string.h>

typedef enum RecordKind {
        RECORD_WRITE,
        RECORD_ZERO, /* punch and zero: the same for what is read */
        RECORD_SET_SIZE,
        RECORD_SYNC,
} RecordKind;

typedef struct Record {
        RecordKind kind;
        uint64_t pos,
                len; /* RECORD_SET_SIZE: len is the size; RECORD_SYNC: how many records it made safe */
        uint8_t *bytes; /* owned; RECORD_WRITE */
} Record;

struct Recording {
        uint8_t *base; /* owned; fixed */
        size_t base_len;
        pthread_mutex_t lock;
        Record *records; /* guarded by lock */
        size_t count;    /* guarded by lock */
};

typedef struct RecorderStore {
        Store store;
        Store *inner;         /* owned */
        Recording *recording; /* borrowed */
} RecorderStore;

static Store *recorder_inner(Store *s)
{
        return ((RecorderStore *)s)->inner;
}

static int recording_add(
        Recording *r, RecordKind kind, const void *bytes, uint64_t pos, uint64_t len)
{
        _cleanup_free_ uint8_t *copy = bytes ? malloc((size_t)len + 1) : NULL;
        if (bytes && !copy)
                return -ENOMEM;
        if (bytes && len > 0)
                memcpy(copy, bytes, (size_t)len);

        LOCKED(&r->lock)
        {
                Record *grown = reallocarray(r->records, r->count + 1, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                r->records = grown;
                r->records[r->count++] =
                        (Record){ .kind = kind, .pos = pos, .len = len, .bytes = TAKE(copy) };
        }
        return 0;
}

/* Remembers what has succeeded. */
static int recorder_remember(
        Store *s, int done, RecordKind kind, const void *bytes, uint64_t pos, uint64_t len)
{
        if (done < 0)
                return done;
        return recording_add(((RecorderStore *)s)->recording, kind, bytes, pos, len);
}

static int recorder_read(Store *s, void *buf, size_t len, uint64_t pos, size_t *ret_done)
{
        Store *inner = recorder_inner(s);
        return inner->ops->read(inner, buf, len, pos, ret_done);
}

static int recorder_write(Store *s, const void *buf, size_t len, uint64_t pos)
{
        int r = store_write(recorder_inner(s), buf, len, pos);
        return recorder_remember(s, r, RECORD_WRITE, buf, pos, len);
}

static int recorder_get_size(Store *s, uint64_t *ret)
{
        return store_get_size(recorder_inner(s), ret);
}

static int recorder_set_size(Store *s, uint64_t size)
{
        int r = store_set_size(recorder_inner(s), size);
        return recorder_remember(s, r, RECORD_SET_SIZE, NULL, 0, size);
}

/* What other threads write while it runs is not safe yet. */
static int recorder_sync(Store *s)
{
        size_t safe = recording_get_count(((RecorderStore *)s)->recording);
        int r = store_sync(recorder_inner(s));
        return recorder_remember(s, r, RECORD_SYNC, NULL, 0, safe);
}

static int recorder_punch(Store *s, uint64_t pos, uint64_t len)
{
        int r = store_punch(recorder_inner(s), pos, len);
        return recorder_remember(s, r, RECORD_ZERO, NULL, pos, len);
}

static int recorder_zero(Store *s, uint64_t pos, uint64_t len)
{
        int r = store_zero(recorder_inner(s), pos, len);
        return recorder_remember(s, r, RECORD_ZERO, NULL, pos, len);
}

static int recorder_allocate(Store *s, uint64_t pos, uint64_t len)
{
        return store_allocate(recorder_inner(s), pos, len);
}

static int recorder_find_run(Store *s, uint64_t pos, StoreRun *ret)
{
        return store_find_run(recorder_inner(s), pos, ret);
}

static int recorder_get_stat(Store *s, StoreStat *ret)
{
        return store_get_stat(recorder_inner(s), ret);
}

static void recorder_free(Store *s)
{
        store_free(recorder_inner(s));
        free(s);
}

static const StoreOps recorder_ops = {
        .read = recorder_read,
        .write = recorder_write,
        .get_size = recorder_get_size,
        .set_size = recorder_set_size,
        .sync = recorder_sync,
        .punch = recorder_punch,
        .zero = recorder_zero,
        .allocate = recorder_allocate,
        .find_run = recorder_find_run,
        .get_stat = recorder_get_stat,
        .free = recorder_free,
};

static void recording_freep(Recording **r)
{
        *r = recording_free(*r);
}

/* A recording that begins with what `s` holds now. */
static int recording_new(Store *s, Recording **ret)
{
        _cleanup_(recording_freep) Recording *r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        pthread_mutex_init(&r->lock, NULL);

        uint64_t size = 0;
        int k = store_get_size(s, &size);
        if (k < 0)
                return k;
        if (size > MEM_STORE_MAX)
                return -EFBIG;
        r->base_len = (size_t)size;
        r->base = malloc(r->base_len + 1);
        if (!r->base)
                return -ENOMEM;
        k = store_read(s, r->base, r->base_len, 0);
        if (k < 0)
                return k;
        *ret = TAKE(r);
        return 0;
}

int recorder_store_new(Store *inner, Recording **ret_recording, Store **ret)
{
        _cleanup_free_ RecorderStore *s = calloc(1, sizeof(*s));
        Recording *recording = NULL;

        if (!s)
                return -ENOMEM;
        int r = recording_new(inner, &recording);
        if (r < 0)
                return r;
        *s = (RecorderStore){ .store.ops = &recorder_ops, .inner = inner, .recording = recording };
        *ret_recording = recording;
        *ret = &TAKE(s)->store;
        return 0;
}

size_t recording_get_count(Recording *r)
{
        size_t count = 0;
        LOCKED(&r->lock)
        {
                count = r->count;
        }
        return count;
}

/* Did this sector of this operation reach the disk? */
static bool replay_chooses(uint64_t choice, size_t index, uint64_t sector)
{
        if (choice <= REPLAY_NONE)
                return choice == REPLAY_ALL;
        /* A third of the choices loses or keeps whole operations, the others tear them. */
        uint64_t x =
                choice * UINT64_C(0x9e3779b97f4a7c15) ^ (index + 1) * UINT64_C(0xd6e8feb86659fd93);
        if (choice % 3 != 0)
                x ^= (sector + 1) * UINT64_C(0xa0761d6478bd642f);
        x ^= x >> 31;
        x *= UINT64_C(0xbf58476d1ce4e5b9);
        return x >> 63 != 0;
}

static int replay_piece(const Record *record, Store *s, uint64_t done, uint64_t len)
{
        if (record->kind == RECORD_ZERO)
                return store_zero(s, record->pos + done, len);
        return store_write(s, record->bytes + done, (size_t)len, record->pos + done);
}

static int replay_record(const Record *record, size_t index, uint64_t choice, Store *s)
{
        if (record->kind == RECORD_SYNC)
                return 0;
        if (record->kind == RECORD_SET_SIZE)
                return replay_chooses(choice, index, 0) ? store_set_size(s, record->len) : 0;

        uint64_t done = 0;
        while (done < record->len) {
                uint64_t pos = record->pos + done;
                uint64_t sector = pos / RECORDER_SECTOR;
                uint64_t part = u64_min(record->len - done, (sector + 1) * RECORDER_SECTOR - pos);
                int r = replay_chooses(choice, index, sector) ? replay_piece(record, s, done, part)
                                                              : 0;
                if (r < 0)
                        return r;
                done += part;
        }
        return 0;
}

int recording_replay(Recording *r, size_t count, uint64_t choice, Store **ret)
{
        _cleanup_store_ Store *s = NULL;
        size_t synced = 0;

        int k = mem_store_new(r->base, r->base_len, &s);
        if (k < 0)
                return k;
        for (size_t i = 0; i < count; i++)
                if (r->records[i].kind == RECORD_SYNC)
                        synced = (size_t)u64_max(synced, r->records[i].len);
        for (size_t i = 0; i < count; i++) {
                k = replay_record(&r->records[i], i, i < synced ? REPLAY_ALL : choice, s);
                if (k < 0)
                        return k;
        }
        *ret = TAKE(s);
        return 0;
}

Recording *recording_free(Recording *r)
{
        if (!r)
                return NULL;
        for (size_t i = 0; i < r->count; i++)
                free(r->records[i].bytes);
        free(r->records);
        free(r->base);
        pthread_mutex_destroy(&r->lock);
        free(r);
        return NULL;
}
