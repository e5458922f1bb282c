/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bits.h"
#include "format/dmg/dmg.h"

uint64_t dmg_find(const Dmg *d, uint64_t off)
{
        uint64_t sector = off / DMG_SECTOR, low = 0, high = d->chunk_count;

        /* The first chunk that ends behind the sector. */
        while (low < high) {
                uint64_t middle = low + (high - low) / 2;
                if (d->chunks[middle].sector + d->chunks[middle].count <= sector)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int dmg_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        const Dmg *d = n->state;
        uint64_t i = dmg_find(d, off);
        uint64_t begin = i < d->chunk_count ? d->chunks[i].sector * DMG_SECTOR : n->size;

        /* What no chunk is for reads as zeroes. */
        if (off < begin) {
                *ret = (Extent){ .kind = EXTENT_HOLE, .off = off, .len = begin - off };
                return 0;
        }
        const DmgChunk *c = &d->chunks[i];
        *ret = (Extent){
                .kind = EXTENT_CODED, .off = begin, .len = c->count * DMG_SECTOR, .cookie = i
        };
        if (c->type == DMG_ZERO) {
                ret->kind = EXTENT_HOLE;
        } else if (c->type == DMG_RAW) {
                ret->kind = EXTENT_DATA;
                ret->store = n->store;
                ret->pos = c->pos;
        }
        return 0;
}
