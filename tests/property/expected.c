/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "expected.h"

#include "base/cleanup.h"
#include "block/cache.h"
#include "block/check.h"
#include "fake/audit.h"
#include "fake/secret.h"
#include "store/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum {
        G = SAMPLE_GRANULE,
        LEN_MAX = SAMPLE_SIZE,
};

const Request sample_requests[] = {
        { WHAT_WRITE, 100, 3 * G, 'w' },
        { WHAT_WRITE, 3 * G + 5, 10, 'x' },
        { WHAT_DISCARD, 10, 2 * G, 0 },
        { WHAT_ZERO, 0, 5 * G + 1, 0 },
        { WHAT_ALLOCATE, 0, SAMPLE_SIZE, 0 },
        { WHAT_FLUSH, 0, 0, 0 },
        { WHAT_WRITE, 6 * G, 4 * G, 'y' },
        { WHAT_DISCARD, 4 * G, 4 * G, 0 },
        { WHAT_FLUSH, 0, 0, 0 },
        { WHAT_FLUSH, 0, 0, 0 },
        { WHAT_WRITE, 12 * G - 1, 2 * G + 2, 'z' },
        { WHAT_RESIZE, 5120, 0, 0 },
        { WHAT_FLUSH, 0, 0, 0 },
        { WHAT_RESIZE, SAMPLE_SIZE + 512, 0, 0 },
        { WHAT_WRITE, SAMPLE_SIZE - 700, 1000, 'e' },
        { WHAT_WRITE, 5 * G, 7, 'f' },
        { WHAT_RESIZE, SAMPLE_SIZE, 0, 0 },
        { WHAT_FLUSH, 0, 0, 0 },
        { WHAT_END, 0, 0, 0 },
};

void expected_init(Expected *e, const Sample *sample, uint8_t below)
{
        *e = (Expected){ .sample = sample, .size = SAMPLE_SIZE, .perhaps_size = SAMPLE_SIZE };
        for (uint64_t off = 0; off < SAMPLE_SIZE; off++)
                e->now[off] = sample_byte(off, below);
        memcpy(e->perhaps, e->now, sizeof(e->now));
}

static void expected_begin(Expected *e, const Request *q)
{
        if (q->what == WHAT_WRITE || q->what == WHAT_ZERO || q->what == WHAT_DISCARD)
                memset(e->perhaps + q->off, q->byte, (size_t)q->len);
        if (q->what != WHAT_RESIZE)
                return;
        e->perhaps_size = q->off;
        if (q->off < e->size)
                memset(e->perhaps + q->off, 0, (size_t)(e->size - q->off));
}

static int expected_ask(Node *n, const Request *q)
{
        uint8_t bytes[LEN_MAX];

        switch (q->what) {
        case WHAT_WRITE:
                memset(bytes, q->byte, (size_t)q->len);
                return node_write(n, bytes, (size_t)q->len, q->off);
        case WHAT_ZERO:
                return node_zero(n, q->off, q->len);
        case WHAT_DISCARD:
                return node_discard(n, q->off, q->len);
        case WHAT_ALLOCATE:
                return node_allocate(n, q->off, q->len);
        case WHAT_FLUSH:
                return node_flush(n);
        case WHAT_RESIZE:
                return node_resize(n, q->off);
        case WHAT_END:
                break;
        }
        return -EINVAL;
}

/* What a format whose disks keep their size can do of it. */
static Request expected_fit(const Expected *e, const Request *request)
{
        Request q = *request;

        if (q.what == WHAT_WRITE && q.off + q.len > e->size && q.off < e->size)
                q.len = e->size - q.off;
        return q;
}

int expected_run(Expected *e, Node *n, const Request *request)
{
        Request fit = *request;

        if (!n->format->resize) {
                fit = expected_fit(e, request);
                if (fit.what == WHAT_RESIZE && !atomic_load(&n->broken)) {
                        assert_int_equal(expected_ask(n, &fit), -EOPNOTSUPP);
                        return 0;
                }
        }
        expected_begin(e, &fit);
        int r = expected_ask(n, &fit);
        if (r < 0)
                return r;
        memcpy(e->now, e->perhaps, sizeof(e->now));
        e->size = e->perhaps_size;
        return 0;
}

void expected_check(Expected *e, Node *n)
{
        static uint8_t found[EXPECTED_ROOM];
        uint64_t size = node_get_size(n);

        if (size != e->size && size != e->perhaps_size)
                fail_msg("%s: the disk has %" PRIu64 " bytes", e->sample->name, size);
        assert_int_equal(node_read(n, found, sizeof(found), 0), 0);
        for (uint64_t off = 0; off < size; off++)
                if (found[off] != e->now[off] && found[off] != e->perhaps[off])
                        fail_msg("%s: byte %" PRIu64 " is %#x, not %#x, nor %#x", e->sample->name,
                                 off, found[off], e->now[off], e->perhaps[off]);
        memset(found + size, 0, (size_t)(sizeof(found) - size));
        memcpy(e->now, found, sizeof(found));
        memcpy(e->perhaps, found, sizeof(found));
        e->size = e->perhaps_size = size;
}

/* How far a check says that it is. */
typedef struct Heard {
        const char *pass, *sample;
        uint64_t done, whole;
        unsigned count;
} Heard;

/* No pass goes back, and each comes to its end before the next one begins. */
static void expected_hear(void *arg, const char *pass, uint64_t done, uint64_t whole)
{
        Heard *h = arg;

        bool is_new = h->count == 0 || h->done == h->whole;
        if (!is_new && (done < h->done || whole != h->whole || strcmp(pass, h->pass) != 0))
                fail_msg("%s: %s %" PRIu64 " of %" PRIu64 " comes after %s %" PRIu64 " of %" PRIu64,
                         h->sample, pass, done, whole, h->pass, h->done, h->whole);
        *h = (Heard){ pass, h->sample, done, whole, h->count + 1 };
}

/* What the format's own check says of a copy. */
static void expected_node_check(Expected *e, Store *s, bool leaks)
{
        _cleanup_cache_ Cache *c = NULL;
        _cleanup_store_ Store *copy = NULL;
        _cleanup_node_ Node *n = NULL;
        Heard heard = { .sample = e->sample->name };
        CheckReport report = { .repair = CHECK_LOOK, .listener = { expected_hear, &heard } };
        Err err = { "" };

        assert_int_equal(cache_new(0, &c), 0);
        assert_int_equal(mem_store_copy(s, &copy), 0);
        NodeOptions options = { .file_name = SAMPLE_FILE_NAME, .cache = c };
        if (node_open(e->sample->format, copy, &options, &fake_key_opener, &n, &err) < 0)
                fail_msg("%s: %s", e->sample->name, err.text);
        TAKE(copy);
        int r = node_check(n, &report);
        if (r == -EOPNOTSUPP)
                return;
        if (r < 0)
                fail_msg("%s: %s", e->sample->name, report.err.text);
        if (heard.done != heard.whole || (report.total_clusters > 0 && heard.count == 0))
                fail_msg("%s: the check ends at %" PRIu64 " of %" PRIu64, e->sample->name,
                         heard.done, heard.whole);
        if (report.corruptions > 0 || (leaks && report.leaks > 0))
                fail_msg("%s: our own check sees %" PRIu64 " corruptions, %" PRIu64 " leaks",
                         e->sample->name, report.corruptions, report.leaks);
}

void expected_audit(Expected *e, Store *s, bool leaks)
{
        Audit audit;

        expected_node_check(e, s, leaks);
        if (!e->sample->audit)
                return;
        assert_int_equal(e->sample->audit(s, &audit), 0);
        if (audit.corruptions > 0 || (leaks && audit.leaks > 0))
                fail_msg("%s: %" PRIu64 " corruptions, %" PRIu64 " leaks: %s", e->sample->name,
                         audit.corruptions, audit.leaks, audit.text);
}
