/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The list of nodes, gone through twice: to see how much there is, and to note where each band lies. What has been read
 * and checked the first time is read and checked again.
 */
#include "base/bits.h"
#include "base/sort.h"
#include "block/limits.h"
#include "block/table.h"
#include "format/sparseimage/sparseimage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One run over the list. */
typedef struct SparseImageRun {
        SparseImage *image;
        uint64_t node_count, used_count;
        bool is_cut;
} SparseImageRun;

/* A node, whichever of the two kinds. */
typedef struct SparseImageNode {
        uint64_t pos, next;
        const be32 *slots;
        uint32_t slot_count;
} SparseImageNode;

uint64_t sparseimage_band_pos(const SparseImage *s, const SparseImageBand *b)
{
        return s->nodes[b->node] + SPARSEIMAGE_NODE_LEN + b->slot * s->band_len;
}

static int sparseimage_check_geometry(const SparseImageHeader *h, Err *err)
{
        uint64_t sectors = from_be64(h->sectors), band = from_be32(h->band_sectors);

        if (memcmp(h->magic, "sprs", sizeof(h->magic)) != 0)
                return err_set(err, EBADMSG, "the file does not begin with 'sprs'");
        if (from_be32(h->version) != SPARSEIMAGE_VERSION)
                return err_set(err, EOPNOTSUPP, "version %" PRIu32 " is not known, only %d",
                               from_be32(h->version), SPARSEIMAGE_VERSION);
        if (band == 0 || band > SPARSEIMAGE_BAND_LEN_MAX / SPARSEIMAGE_SECTOR)
                return err_set(err, EBADMSG, "a band of %" PRIu64 " sectors is not 1 to %" PRIu64,
                               band, SPARSEIMAGE_BAND_LEN_MAX / SPARSEIMAGE_SECTOR);
        if (sectors > LIMIT_DISK_SIZE / SPARSEIMAGE_SECTOR)
                return err_set(err, EFBIG,
                               "the disk has %" PRIu64 " sectors, more than the limit of %" PRIu64
                               " bytes",
                               sectors, LIMIT_DISK_SIZE);
        if ((uint32_t)sectors != from_be32(h->sectors_low))
                return err_set(err, EBADMSG,
                               "the header has two sizes: %" PRIu64
                               " sectors, of which the lower half is said to be %" PRIu32,
                               sectors, from_be32(h->sectors_low));
        if (div_round_up(sectors, band) > SPARSEIMAGE_BANDS_MAX)
                return err_set(err, EFBIG,
                               "the disk has %" PRIu64 " bands, more than the limit of %" PRIu64,
                               div_round_up(sectors, band), SPARSEIMAGE_BANDS_MAX);
        return 0;
}

/* Notes a band. It lies within the file, or at its end: as much of it as is there can be read. */
static int sparseimage_take_band(
        SparseImageRun *run, const SparseImageNode *node, uint32_t slot, uint32_t number, Err *err)
{
        SparseImage *s = run->image;
        uint64_t end;

        if (number > s->band_count)
                return err_set(err, EBADMSG,
                               "slot %" PRIu32 " of the node at %" PRIu64 " has band %" PRIu32
                               ", but the disk has %" PRIu64,
                               slot, node->pos, number, s->band_count);
        if (__builtin_add_overflow(node->pos + SPARSEIMAGE_NODE_LEN, (slot + 1) * s->band_len,
                                   &end) ||
            (node->next != 0 && end > node->next))
                return err_set(err, EBADMSG,
                               "slot %" PRIu32 " of the node at %" PRIu64
                               " reaches into the next node at %" PRIu64,
                               slot, node->pos, node->next);
        if (s->bands) {
                if (run->used_count >= s->used_count)
                        return err_set(err, EIO, "the image has changed while it was read");
                s->bands[run->used_count] = (SparseImageBand){
                        .number = number - 1,
                        .node = (uint16_t)run->node_count,
                        .slot = (uint16_t)slot,
                };
        }
        run->used_count++;
        return 0;
}

static int sparseimage_take_node(SparseImageRun *run, const SparseImageNode *node, Err *err)
{
        SparseImage *s = run->image;

        if (run->node_count >= (s->nodes ? s->node_count : SPARSEIMAGE_NODES_MAX))
                return err_set(err, EFBIG, "the image has more than %d nodes",
                               SPARSEIMAGE_NODES_MAX);
        if (node->next != 0 &&
            (node->next < node->pos || node->next - node->pos < SPARSEIMAGE_NODE_LEN))
                return err_set(err, EBADMSG,
                               "the node at %" PRIu64 " says that the next one is at %" PRIu64
                               ", which is not behind it",
                               node->pos, node->next);
        if (s->nodes)
                s->nodes[run->node_count] = node->pos;
        for (uint32_t i = 0; i < node->slot_count; i++) {
                uint32_t number = from_be32(node->slots[i]);
                if (number == 0)
                        continue;
                int r = sparseimage_take_band(run, node, i, number, err);
                if (r < 0)
                        return r;
        }
        run->node_count++;
        return 0;
}

/* 1: it was read, 0: it is not, or not all of it, in the file. */
static int sparseimage_read_index(Node *n, uint64_t pos, SparseImageIndex *ret, Err *err)
{
        const SparseImage *s = n->state;

        if (!in_range(pos, sizeof(*ret), s->file_size))
                return 0;
        int r = store_read(n->store, ret, sizeof(*ret), pos);
        if (r < 0)
                return err_set(err, -r, "cannot read the node at %" PRIu64 ": %m", pos);
        if (memcmp(ret->magic, "sprs", sizeof(ret->magic)) != 0)
                return err_set(err, EBADMSG, "the node at %" PRIu64 " does not begin with 'sprs'",
                               pos);
        return 1;
}

static int sparseimage_run(Node *n, const SparseImageHeader *h, SparseImageRun *run, Err *err)
{
        SparseImageIndex index;
        SparseImageNode node = { .next = from_be64(h->next),
                                 .slots = h->slots,
                                 .slot_count = SPARSEIMAGE_HEADER_SLOTS };

        int r = sparseimage_take_node(run, &node, err);
        while (r >= 0 && node.next != 0) {
                uint64_t pos = node.next;
                r = sparseimage_read_index(n, pos, &index, err);
                if (r == 0)
                        run->is_cut = true;
                if (r <= 0)
                        return r;
                node = (SparseImageNode){ .pos = pos,
                                          .next = from_be64(index.next),
                                          .slots = index.slots,
                                          .slot_count = SPARSEIMAGE_INDEX_SLOTS };
                r = sparseimage_take_node(run, &node, err);
        }
        return r;
}

static int sparseimage_compare(const void *a, const void *b)
{
        const SparseImageBand *one = a, *other = b;

        return one->number < other->number ? -1 : one->number > other->number;
}

static int sparseimage_sort(SparseImage *s, Err *err)
{
        sort_in_place(s->bands, s->used_count, sizeof(*s->bands), sparseimage_compare);
        for (uint64_t i = 1; i < s->used_count; i++)
                if (s->bands[i - 1].number == s->bands[i].number)
                        return err_set(err, EBADMSG, "there are two places for band %" PRIu32,
                                       s->bands[i].number + 1);
        return 0;
}

static int sparseimage_reserve(Node *n, const SparseImageRun *run, Err *err)
{
        SparseImage *s = n->state;
        uint64_t len = run->node_count * sizeof(*s->nodes) + run->used_count * sizeof(*s->bands);

        int r = table_reserve(n->cache, len, "table of bands", err);
        if (r < 0)
                return r;
        s->reserved = len;
        s->nodes = calloc(run->node_count, sizeof(*s->nodes));
        s->bands = calloc(run->used_count > 0 ? run->used_count : 1, sizeof(*s->bands));
        if (!s->nodes || !s->bands)
                return err_set(err, ENOMEM, "table of bands: %m");
        s->node_count = run->node_count;
        s->used_count = run->used_count;
        s->is_cut = run->is_cut;
        return 0;
}

int sparseimage_nodes_read(Node *n, Err *err)
{
        SparseImage *s = n->state;
        SparseImageRun run = { .image = s };
        SparseImageHeader h;

        int r = store_get_size(n->store, &s->file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        if (s->file_size < sizeof(h))
                return err_set(err, ENODATA,
                               "the file of %" PRIu64
                               " bytes is too short for the header of %zu bytes",
                               s->file_size, sizeof(h));
        r = store_read_named(n->store, &h, sizeof(h), 0, "the header", err);
        if (r < 0)
                return r;
        r = sparseimage_check_geometry(&h, err);
        if (r < 0)
                return r;
        s->band_len = (uint64_t)from_be32(h.band_sectors) * SPARSEIMAGE_SECTOR;
        n->size = from_be64(h.sectors) * SPARSEIMAGE_SECTOR;
        s->band_count = div_round_up(n->size, s->band_len);
        r = sparseimage_run(n, &h, &run, err);
        if (r >= 0)
                r = sparseimage_reserve(n, &run, err);
        if (r < 0)
                return r;
        run = (SparseImageRun){ .image = s };
        r = sparseimage_run(n, &h, &run, err);
        if (r < 0)
                return r;
        if (run.used_count != s->used_count || run.node_count != s->node_count)
                return err_set(err, EIO, "the image has changed while it was read");
        return sparseimage_sort(s, err);
}
