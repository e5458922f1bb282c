/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pages that have changed, on their way through the log: see the order in writer.h. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "format/vhdx/write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One commit: what it took from the writer. */
typedef struct VhdxBatch {
        VhdxPage pages[VHDX_BATCH_PAGES];
        size_t count;
        uint8_t *bytes; /* owned: a page for each, as it was in one moment */
        VhdxRow *freed; /* owned */
        size_t freed_count;
        uint64_t file_end;
} VhdxBatch;

static void vhdx_batch_done(VhdxBatch *b)
{
        free(b->bytes);
        free(b->freed);
}
#define _cleanup_batch_ _cleanup_(vhdx_batch_done)

/* Wants the lock. */
static bool vhdx_is_dirty(const VhdxWriter *w, uint64_t pos)
{
        for (size_t i = 0; i < w->dirty_count; i++)
                if (w->dirty[i].pos == pos)
                        return true;
        return false;
}

/* Puts a page into the list of those that have changed, or back. It is put where it is there already. -EAGAIN: the list
 * is full. Wants the lock. */
static int vhdx_page_keep(Node *n, VhdxWriter *w, const VhdxPage *page)
{
        if (vhdx_is_dirty(w, page->pos)) {
                cache_put(n->cache, page->entry);
                return 0;
        }
        if (w->dirty_count == VHDX_BATCH_PAGES)
                return -EAGAIN;
        w->dirty[w->dirty_count++] = *page;
        return 0;
}

int vhdx_page_change(Node *n, uint64_t pos, const void *bytes, size_t len)
{
        Vhdx *v = n->state;
        VhdxWriter *w = v->writer;
        VhdxPage page = { .pos = round_down(pos, VHDX_PAGE) };
        int r = -EAGAIN;

        while (r == -EAGAIN) {
                r = vhdx_get_page(n, page.pos, &page.entry);
                if (r < 0)
                        return r;
                LOCKED(&w->lock)
                {
                        r = vhdx_page_keep(n, w, &page);
                        if (r == 0) {
                                pthread_mutex_lock(&w->page_lock);
                                memcpy((uint8_t *)cache_entry_bytes(page.entry) + pos % VHDX_PAGE,
                                       bytes, len);
                                pthread_mutex_unlock(&w->page_lock);
                        }
                }
                if (r == -EAGAIN) {
                        cache_put(n->cache, page.entry);
                        int k = vhdx_commit(n);
                        /* The next entry must not lie where that is which the header on the disk names. */
                        if (k == 0)
                                k = node_sync(n);
                        if (k < 0)
                                return k;
                }
        }
        return r;
}

/* Takes what has changed, in one moment. 0: nothing has. Wants commit_lock. */
static int vhdx_batch_take(VhdxWriter *w, VhdxBatch *b)
{
        b->bytes = malloc((size_t)VHDX_BATCH_PAGES * VHDX_PAGE);
        if (!b->bytes)
                return -ENOMEM;
        LOCKED(&w->lock)
        {
                memcpy(b->pages, w->dirty, w->dirty_count * sizeof(*w->dirty));
                b->count = w->dirty_count;
                w->dirty_count = 0;
                b->freed = TAKE(w->freed);
                b->freed_count = w->freed_count;
                w->freed_count = w->freed_room = 0;
                b->file_end = atomic_load(&w->file_end);
                pthread_mutex_lock(&w->page_lock);
                for (size_t i = 0; i < b->count; i++)
                        memcpy(b->bytes + i * VHDX_PAGE, cache_entry_bytes(b->pages[i].entry),
                               VHDX_PAGE);
                pthread_mutex_unlock(&w->page_lock);
        }
        return b->count > 0;
}

/* Gives back what could not be made safe. Others may have changed more meanwhile: what finds no room in the list is
 * beyond what one entry holds, and ends all writing. Wants commit_lock. */
static void vhdx_batch_return(Node *n, VhdxBatch *b)
{
        const Vhdx *v = n->state;
        VhdxWriter *w = v->writer;

        LOCKED(&w->lock)
        {
                for (size_t i = 0; i < b->count; i++) {
                        if (vhdx_page_keep(n, w, &b->pages[i]) == 0)
                                continue;
                        cache_put(n->cache, b->pages[i].entry);
                        atomic_store(&n->broken, true);
                }
                /* What was given up meanwhile is lost to this writer: it is free again when the image is opened next. */
                if (w->freed_count == 0) {
                        free(w->freed);
                        w->freed = TAKE(b->freed);
                        w->freed_count = w->freed_room = b->freed_count;
                }
        }
}

/* Wants commit_lock. */
static void vhdx_fill_descriptor(VhdxDiskDescriptor *d,
                                 VhdxDiskLogPage *to,
                                 const VhdxPage *page,
                                 const uint8_t *bytes,
                                 uint64_t sequence)
{
        *d = (VhdxDiskDescriptor){
                .signature = "desc",
                .file_offset = to_le64(page->pos),
                .sequence_number = to_le64(sequence),
        };
        memcpy(d->leading, bytes, sizeof(d->leading));
        memcpy(d->trailing, bytes + VHDX_PAGE - sizeof(d->trailing), sizeof(d->trailing));
        memcpy(to->signature, "data", 4);
        to->sequence_high = to_le32((uint32_t)(sequence >> 32));
        to->sequence_low = to_le32((uint32_t)sequence);
        memcpy(to->bytes, bytes + sizeof(d->leading), sizeof(to->bytes));
}

/* Writes the entry into the half of the ring that the one before does not lie in. */
static int vhdx_batch_write_entry(Node *n, const VhdxBatch *b, const Uuid *guid)
{
        const Vhdx *v = n->state;
        VhdxWriter *w = v->writer;
        uint64_t tail = w->second_half ? round_down(v->header.log_len / 2, VHDX_PAGE) : 0;
        size_t len = (1 + b->count) * VHDX_PAGE;
        uint64_t size = 0;
        _cleanup_free_ uint8_t *bytes = calloc(1, len);
        VhdxDiskLogEntry d;

        if (!bytes)
                return -ENOMEM;
        int r = store_get_size(n->store, &size);
        if (r < 0)
                return r;
        /* A block device may end within a MiB. */
        size = u64_min(b->file_end, round_down(size, VHDX_UNIT));
        d = (VhdxDiskLogEntry){
                .signature = "loge",
                .entry_length = to_le32((uint32_t)len),
                .tail = to_le32((uint32_t)tail),
                .sequence_number = to_le64(w->sequence + 1),
                .descriptor_count = to_le32((uint32_t)b->count),
                .log_guid = uuid_to_guid(*guid),
                .flushed_file_offset = to_le64(size),
                .last_file_offset = to_le64(size),
        };
        memcpy(bytes, &d, sizeof(d));
        for (size_t i = 0; i < b->count; i++) {
                uint8_t *at = bytes + sizeof(d) + i * sizeof(VhdxDiskDescriptor);
                vhdx_fill_descriptor((VhdxDiskDescriptor *)at,
                                     (VhdxDiskLogPage *)(bytes + (1 + i) * VHDX_PAGE), &b->pages[i],
                                     b->bytes + i * VHDX_PAGE, w->sequence + 1);
        }
        d.checksum = to_le32(crc32c(0, bytes, len));
        memcpy(bytes, &d, sizeof(d));
        return store_write(n->store, bytes, len, v->header.log_pos + tail);
}

/* Puts the pages of the entry before into their places. They stay in the list until that is safe. */
static int vhdx_write_logged(Node *n, const VhdxWriter *w)
{
        int r = 0;

        for (size_t i = 0; i < w->logged_count && r >= 0; i++)
                r = store_write(n->store, w->logged_bytes + i * VHDX_PAGE, VHDX_PAGE,
                                w->logged[i].pos);
        return r;
}

static void vhdx_forget_logged(Node *n, VhdxWriter *w)
{
        for (size_t i = 0; i < w->logged_count; i++)
                cache_put(n->cache, w->logged[i].entry);
        w->logged_count = 0;
}

/* From the header on the new entry counts. */
static int vhdx_batch_switch(Node *n, VhdxBatch *b, const Uuid *guid)
{
        Vhdx *v = n->state;
        VhdxWriter *w = v->writer;
        VhdxHeader old = v->header;

        v->header.log = *guid;
        int r = vhdx_header_write(n);
        if (r < 0) {
                v->header = old;
                return r;
        }
        vhdx_forget_logged(n, w);
        memcpy(w->logged, b->pages, b->count * sizeof(*b->pages));
        memcpy(w->logged_bytes, b->bytes, b->count * VHDX_PAGE);
        w->logged_count = b->count;
        w->sequence++;
        w->second_half = !w->second_half;
        return 0;
}

/* Nothing refers any more to what was given up. Giving the space back to the host is a favour. */
static void vhdx_batch_free(Node *n, const VhdxBatch *b)
{
        const Vhdx *v = n->state;
        VhdxWriter *w = v->writer;

        for (size_t i = 0; i < b->freed_count; i++)
                (void)store_punch(n->store, b->freed[i].first * VHDX_UNIT,
                                  b->freed[i].count * VHDX_UNIT);
        LOCKED(&w->lock)
        {
                for (size_t i = 0; i < b->freed_count; i++)
                        vhdx_space_give(&w->space, b->freed[i].first, b->freed[i].count);
                w->cursor = 0;
                atomic_fetch_add(&n->reuses, 1);
        }
}

static int vhdx_batch_make_safe(Node *n, VhdxBatch *b)
{
        const Vhdx *v = n->state;
        Uuid guid;

        int r = uuid_make(&guid);
        if (r >= 0)
                r = vhdx_write_logged(n, v->writer);
        if (r >= 0)
                r = vhdx_batch_write_entry(n, b, &guid);
        if (r >= 0)
                r = node_sync(n);
        if (r >= 0)
                r = vhdx_batch_switch(n, b, &guid);
        return r;
}

static int vhdx_commit_held(Node *n)
{
        const Vhdx *v = n->state;
        _cleanup_batch_ VhdxBatch b = { 0 };

        int r = vhdx_batch_take(v->writer, &b);
        if (r <= 0)
                return r;
        r = vhdx_batch_make_safe(n, &b);
        if (r < 0) {
                vhdx_batch_return(n, &b);
                return r;
        }
        if (b.freed_count == 0)
                return 0;
        r = node_sync(n);
        if (r < 0)
                return r;
        vhdx_batch_free(n, &b);
        return 1;
}

int vhdx_commit(Node *n)
{
        const Vhdx *v = n->state;
        int r = 0;

        LOCKED(&v->writer->commit_lock)
        {
                r = vhdx_commit_held(n);
        }
        return r;
}

static int vhdx_finish_held(Node *n)
{
        Vhdx *v = n->state;
        VhdxHeader old = v->header;

        if (uuid_is_zero(&v->header.log))
                return 0;
        int r = vhdx_write_logged(n, v->writer);
        if (r >= 0)
                r = node_sync(n);
        if (r < 0)
                return r;
        v->header.log = (Uuid){ { 0 } };
        r = vhdx_header_write(n);
        if (r < 0) {
                v->header = old;
                return r;
        }
        vhdx_forget_logged(n, v->writer);
        return 0;
}

int vhdx_finish(Node *n)
{
        const Vhdx *v = n->state;
        int r = 0;

        LOCKED(&v->writer->commit_lock)
        {
                r = vhdx_finish_held(n);
        }
        return r;
}
