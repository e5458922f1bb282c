/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/vhdx/write/writer.h"

#include "base/bits.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The log has to be there for whoever wants to use it. */
static int vhdx_writer_check_log(const Vhdx *v, Err *err)
{
        const VhdxHeader *h = &v->header;

        if (h->log_len > 0 && in_range(h->log_pos, h->log_len, v->file_size))
                return 0;
        return err_set(err, EBADMSG,
                       "with LogOffset %" PRIu64 " and LogLength %" PRIu64
                       " the log is not within the file (%" PRIu64
                       " bytes): the image can only be opened read-only",
                       h->log_pos, h->log_len, v->file_size);
}

static int vhdx_writer_survey(Node *n, VhdxWriter *w, Err *err)
{
        const Vhdx *v = n->state;
        VhdxSurvey survey = { 0 };
        uint64_t end = div_round_up(v->file_size, VHDX_UNIT);

        int r = vhdx_space_init(n, &w->space, end, err);
        if (r < 0)
                return r;
        r = vhdx_survey(n, &w->space, NULL, &survey, err);
        if (r < 0)
                return err_prefix(err, r, "not fit to be written, see 'rawview check'");

        /* The end of a block may lie behind that of the file. */
        end = u64_max(end, div_round_up(survey.end, VHDX_UNIT));
        uint64_t old = w->space.count;
        r = vhdx_space_grow(n, &w->space, end);
        if (r < 0)
                return err_set(err, -r, "%m");
        (void)vhdx_space_take(&w->space, old, end - old);
        atomic_init(&w->file_end, end * VHDX_UNIT);
        return 0;
}

int vhdx_writer_open(Node *n, Err *err)
{
        Vhdx *v = n->state;
        VhdxWriter *w = NULL;

        int r = vhdx_writer_check_log(v, err);
        if (r >= 0)
                r = vhdx_reserve(n, sizeof(*w) + (uint64_t)VHDX_BATCH_PAGES * VHDX_PAGE, "log",
                                 err);
        if (r < 0)
                return r;
        w = v->writer = calloc(1, sizeof(*w));
        if (!w)
                return err_set(err, ENOMEM, "%m");
        pthread_mutex_init(&w->commit_lock, NULL);
        pthread_mutex_init(&w->lock, NULL);
        pthread_mutex_init(&w->page_lock, NULL);
        atomic_init(&w->prepared, false);
        w->logged_bytes = malloc((size_t)VHDX_BATCH_PAGES * VHDX_PAGE);
        if (!w->logged_bytes)
                return err_set(err, ENOMEM, "%m");
        n->granule = vhdx_block_size(v);
        return vhdx_writer_survey(n, w, err);
}

void vhdx_writer_close(Node *n)
{
        Vhdx *v = n->state;
        VhdxWriter *w = v->writer;

        if (!w)
                return;
        for (size_t i = 0; i < w->dirty_count; i++)
                cache_put(n->cache, w->dirty[i].entry);
        for (size_t i = 0; i < w->logged_count; i++)
                cache_put(n->cache, w->logged[i].entry);
        vhdx_space_done(&w->space);
        free(w->freed);
        free(w->logged_bytes);
        pthread_mutex_destroy(&w->page_lock);
        pthread_mutex_destroy(&w->lock);
        pthread_mutex_destroy(&w->commit_lock);
        free(w);
        v->writer = NULL;
}

/* New GUIDs say to whoever knows the image by them, as a disk over it does, that it is not what it was. Wants
 * commit_lock. */
static int vhdx_renew_guids(Node *n)
{
        Vhdx *v = n->state;
        VhdxHeader old = v->header;
        uint64_t size = 0;

        int r = store_get_size(n->store, &size);
        if (r >= 0 && size < atomic_load(&v->writer->file_end))
                r = store_set_size(n->store, atomic_load(&v->writer->file_end));
        /* A block device cannot; what is written there behind its end fails then. */
        if (r >= 0 || r == -EOPNOTSUPP)
                r = uuid_make(&v->header.file_write);
        if (r >= 0)
                r = uuid_make(&v->header.data_write);
        if (r >= 0)
                r = vhdx_header_write(n);
        if (r < 0) {
                v->header = old;
                return r;
        }
        return node_sync(n);
}

int vhdx_prepare(Node *n)
{
        Vhdx *v = n->state;
        VhdxWriter *w = v->writer;
        int r = 0;

        if (atomic_load(&w->prepared))
                return 0;
        LOCKED(&w->commit_lock)
        {
                if (!atomic_load(&w->prepared)) {
                        r = vhdx_renew_guids(n);
                        if (r >= 0) {
                                atomic_store(&w->prepared, true);
                                r = 1;
                        }
                }
        }
        return r;
}
