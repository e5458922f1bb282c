/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compressed clusters. Each call has memory of its own, bounded by the cluster size: at most twice a cluster of
 * input, and a decoder's state that does not depend on the input; of zstd's, which is large, some are kept.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "codec/inflate.h"
#include "format/qcow2/qcow2.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

/* A decoder begins each frame anew, whatever it did before. */
static ZSTD_DCtx *qcow2_take_decoder(Qcow2 *q)
{
        for (size_t i = 0; i < QCOW2_SPARE_DECODERS; i++) {
                ZSTD_DCtx *d = atomic_exchange(&q->spare_decoders[i], NULL);
                if (d)
                        return d;
        }
        return ZSTD_createDCtx();
}

static void qcow2_put_decoder(Qcow2 *q, ZSTD_DCtx *d)
{
        for (size_t i = 0; i < QCOW2_SPARE_DECODERS; i++) {
                ZSTD_DCtx *none = NULL;
                if (atomic_compare_exchange_strong(&q->spare_decoders[i], &none, d))
                        return;
        }
        ZSTD_freeDCtx(d);
}

void qcow2_free_spare_decoders(Qcow2 *q)
{
        for (size_t i = 0; i < QCOW2_SPARE_DECODERS; i++)
                ZSTD_freeDCtx(atomic_exchange(&q->spare_decoders[i], NULL));
}

/* The library would also decode the formats of its first years; nobody wrote them into a qcow2. */
static bool qcow2_is_zstd_frame(const uint8_t *in, size_t len)
{
        le32 magic;

        if (len < sizeof(magic))
                return false;
        memcpy(&magic, in, sizeof(magic));
        return from_le32(magic) == ZSTD_MAGICNUMBER ||
               (from_le32(magic) & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

/* One or more frames. Each is decoded in one go, straight into `out`: then the decoder needs no window, and a frame
 * cannot make it ask for memory by stating a large one. */
static int qcow2_unzstd_frames(
        ZSTD_DCtx *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len)
{
        while (len > 0) {
                if (!qcow2_is_zstd_frame(in, in_len))
                        return -EIO;
                size_t frame = ZSTD_findFrameCompressedSize(in, in_len);
                if (ZSTD_isError(frame))
                        return -EIO;
                size_t got = ZSTD_decompressDCtx(d, out, len, in, frame);
                if (ZSTD_isError(got))
                        return -EIO;
                in += frame;
                in_len -= frame;
                out += got;
                len -= got;
        }
        return 0;
}

static int qcow2_unzstd(Qcow2 *q, const uint8_t *in, size_t in_len, uint8_t *out, size_t len)
{
        ZSTD_DCtx *d = qcow2_take_decoder(q);
        if (!d)
                return -ENOMEM;
        int r = qcow2_unzstd_frames(d, in, in_len, out, len);
        qcow2_put_decoder(q, d);
        return r;
}

Qcow2Coded qcow2_coded_place(const Qcow2 *q, uint64_t entry)
{
        /* bits 0 … x-1: where it begins; bits x … 61: further sectors that it may reach into */
        unsigned x = 70 - q->header.cluster_bits;
        uint64_t place = entry & (QCOW2_ENTRY_COMPRESSED - 1);
        uint64_t pos = place & ((UINT64_C(1) << x) - 1);

        return (Qcow2Coded){ pos, ((place >> x) + 1) * QCOW2_SECTOR - pos % QCOW2_SECTOR };
}

int qcow2_read_coded(Node *n, const Extent *e, void *buf)
{
        Qcow2 *q = n->state;
        if (!(e->cookie & QCOW2_ENTRY_COMPRESSED))
                return qcow2_read_aes(n, e, buf);
        Qcow2Coded place = qcow2_coded_place(q, e->cookie);

        /* At most 2 clusters, by the width of the field. */
        _cleanup_free_ uint8_t *in = malloc(place.len);
        if (!in)
                return -ENOMEM;
        /* Where the file has ended there are zeroes, and no stream of either kind begins with zeroes. */
        int r = store_read_padded(n->store, in, place.len, place.pos);
        if (r < 0)
                return r;
        /* A full cluster is enough: the end of a stream may have been cut off with the last sector, and then what
         * follows it, somebody else's bytes, is taken for one. */
        return q->header.compression == QCOW2_COMPRESSION_ZSTD
                       ? qcow2_unzstd(q, in, place.len, buf, e->len)
                       : inflate_exactly(INFLATE_RAW, in, place.len, buf, e->len);
}
