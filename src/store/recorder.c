/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/recorder.h"

#include "base/bits.h"
#include "base/cleanup.h"
#include "store/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef enum RecordKind {
        RECORD_WRITE,
        RECORD_ZERO, /* punch and zero: the same for what is read */
        RECORD_SET_SIZE,
        RECORD_SYNC,
} RecordKind;

typedef struct Record {
        RecordKind kind;
        size_t file;
        uint64_t pos,
                len; /* RECORD_SET_SIZE: len is the size; RECORD_SYNC: how many records it made safe */
        uint8_t *bytes; /* owned; RECORD_WRITE */
} Record;

struct Recording {
        /* Fixed before other threads know it. */
        Store *bases[RECORDER_FILES]; /* owned: what each file held at first */
        size_t file_count;

        pthread_mutex_t lock;
        Record *records; /* guarded by lock */
        size_t count;    /* guarded by lock */
};

typedef struct RecorderStore {
        Store store;
        Store *inner;         /* owned */
        Recording *recording; /* borrowed */
        size_t file;
} RecorderStore;

struct Replayer {
        Recording *recording; /* borrowed */
        size_t count;
        Store *bases[RECORDER_FILES]; /* owned: all that is safe is in them */
        size_t safe[RECORDER_FILES];  /* how many records are, of this file */
};

static Store *recorder_inner(Store *s)
{
        return ((RecorderStore *)s)->inner;
}

/* Takes what `record` owns, on success only. */
static int recording_add(Recording *r, const Record *record)
{
        LOCKED(&r->lock)
        {
                Record *grown = reallocarray(r->records, r->count + 1, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                r->records = grown;
                r->records[r->count++] = *record;
        }
        return 0;
}

/* Remembers what has succeeded. */
static int recorder_remember(
        Store *s, int done, RecordKind kind, const void *bytes, uint64_t pos, uint64_t len)
{
        RecorderStore *recorder = (RecorderStore *)s;
        if (done < 0)
                return done;
        _cleanup_free_ uint8_t *copy = bytes ? malloc((size_t)len + 1) : NULL;
        if (bytes && !copy)
                return -ENOMEM;
        if (bytes && len > 0)
                memcpy(copy, bytes, (size_t)len);

        Record record = {
                .kind = kind, .file = recorder->file, .pos = pos, .len = len, .bytes = copy
        };
        int r = recording_add(recorder->recording, &record);
        if (r < 0)
                return r;
        TAKE(copy);
        return 0;
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

/* One more file for a recording that no other thread knows yet. */
static int recording_add_file(Recording *r, Store *inner, Store **ret)
{
        _cleanup_free_ RecorderStore *s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        if (r->file_count == RECORDER_FILES)
                return -ENOSPC;
        int k = mem_store_copy(inner, &r->bases[r->file_count]);
        if (k < 0)
                return k;
        *s = (RecorderStore){
                .store.ops = &recorder_ops, .inner = inner, .recording = r, .file = r->file_count++
        };
        *ret = &TAKE(s)->store;
        return 0;
}

int recorder_store_new(Store *inner, Recording **ret_recording, Store **ret)
{
        _cleanup_recording_ Recording *recording = calloc(1, sizeof(*recording));
        if (!recording)
                return -ENOMEM;
        pthread_mutex_init(&recording->lock, NULL);
        int r = recording_add_file(recording, inner, ret);
        if (r < 0)
                return r;
        *ret_recording = TAKE(recording);
        return 0;
}

int recorder_store_add(Recording *r, Store *inner, Store **ret)
{
        return recording_add_file(r, inner, ret);
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

size_t recording_count_syncs(Recording *r, size_t from, size_t to)
{
        size_t count = 0;

        for (size_t i = from; i < to; i++)
                count += r->records[i].kind == RECORD_SYNC;
        return count;
}

/* Did this sector of this operation reach the disk? */
static bool replay_chooses(uint64_t choice, size_t index, bool is_last, uint64_t sector)
{
        if (choice <= REPLAY_NONE)
                return choice == REPLAY_ALL;
        if (choice == REPLAY_LAST)
                return is_last;
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

static int replay_record(Replayer *p, size_t index, uint64_t choice, Store *s)
{
        const Record *record = &p->recording->records[index];
        bool is_last = index + 1 == p->count;

        if (record->kind == RECORD_SYNC)
                return 0;
        if (record->kind == RECORD_SET_SIZE)
                return replay_chooses(choice, index, is_last, 0) ? store_set_size(s, record->len)
                                                                 : 0;

        uint64_t done = 0;
        while (done < record->len) {
                uint64_t pos = record->pos + done;
                uint64_t sector = pos / RECORDER_SECTOR;
                uint64_t part = u64_min(record->len - done, (sector + 1) * RECORDER_SECTOR - pos);
                if (choice == REPLAY_ALL)
                        part = record->len;
                int r = replay_chooses(choice, index, is_last, sector)
                                ? replay_piece(record, s, done, part)
                                : 0;
                if (r < 0)
                        return r;
                done += part;
        }
        return 0;
}

static int replay_range(Replayer *p, size_t file, size_t from, size_t to, uint64_t choice, Store *s)
{
        for (size_t i = from; i < to; i++) {
                if (p->recording->records[i].file != file)
                        continue;
                int r = replay_record(p, i, choice, s);
                if (r < 0)
                        return r;
        }
        return 0;
}

int replayer_new(Recording *r, Replayer **ret)
{
        _cleanup_replayer_ Replayer *p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->recording = r;
        for (size_t i = 0; i < r->file_count; i++) {
                int k = mem_store_copy(r->bases[i], &p->bases[i]);
                if (k < 0)
                        return k;
        }
        *ret = TAKE(p);
        return 0;
}

int replayer_advance(Replayer *p, size_t count)
{
        size_t safe[RECORDER_FILES];

        assert(count >= p->count && count <= p->recording->count);
        memcpy(safe, p->safe, sizeof(safe));
        for (size_t i = p->count; i < count; i++) {
                const Record *record = &p->recording->records[i];
                if (record->kind == RECORD_SYNC)
                        safe[record->file] = (size_t)u64_max(safe[record->file], record->len);
        }
        p->count = count;
        for (size_t file = 0; file < p->recording->file_count; file++) {
                int r = replay_range(p, file, p->safe[file], safe[file], REPLAY_ALL,
                                     p->bases[file]);
                if (r < 0)
                        return r;
                p->safe[file] = safe[file];
        }
        return 0;
}

int replayer_replay(Replayer *p, uint64_t choice, size_t file, Store **ret)
{
        _cleanup_store_ Store *s = NULL;

        assert(file < p->recording->file_count);
        int r = mem_store_copy(p->bases[file], &s);
        if (r < 0)
                return r;
        r = replay_range(p, file, p->safe[file], p->count, choice, s);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

Replayer *replayer_free(Replayer *p)
{
        if (!p)
                return NULL;
        for (size_t i = 0; i < RECORDER_FILES; i++)
                store_free(p->bases[i]);
        free(p);
        return NULL;
}

int recording_replay(Recording *r, size_t count, uint64_t choice, Store **ret)
{
        _cleanup_replayer_ Replayer *p = NULL;

        int k = replayer_new(r, &p);
        if (k < 0)
                return k;
        k = replayer_advance(p, count);
        if (k < 0)
                return k;
        return replayer_replay(p, choice, 0, ret);
}

Recording *recording_free(Recording *r)
{
        if (!r)
                return NULL;
        for (size_t i = 0; i < r->count; i++)
                free(r->records[i].bytes);
        for (size_t i = 0; i < RECORDER_FILES; i++)
                store_free(r->bases[i]);
        free(r->records);
        pthread_mutex_destroy(&r->lock);
        free(r);
        return NULL;
}
