/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of ESX's seSparse snapshots. There is no public specification; the fields are those that QEMU's tests and
 * libvmdk's documentation name, and every one that we do not know has to have the value that it always has.
 */
#include "base/bits.h"
#include "block/limits.h"
#include "format/vmdk/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* All in sectors. */
typedef struct SesparsePart {
        le64 offset, size;
} SesparsePart;

typedef struct VmdkDiskSesparse {
        le64 magic;
        le64 version;
        le64 capacity;
        le64 grain_size;
        le64 grain_table_size;
        le64 flags;
        le64 reserved[4];
        SesparsePart volatile_header;
        SesparsePart journal_header;
        SesparsePart journal;
        SesparsePart grain_directory;
        SesparsePart grain_tables;
        SesparsePart free_bitmap;
        SesparsePart back_map;
        SesparsePart grains;
        uint8_t pad[304];
} VmdkDiskSesparse;
_Static_assert(sizeof(VmdkDiskSesparse) == VMDK_SECTOR, "seSparse header");

typedef struct VmdkDiskVolatile {
        le64 magic;
        le64 free_gt_number;
        le64 next_transaction;
        le64 replay_journal;
        uint8_t pad[480];
} VmdkDiskVolatile;
_Static_assert(sizeof(VmdkDiskVolatile) == VMDK_SECTOR, "seSparse volatile header");

#define SESPARSE_MAGIC UINT64_C(0xcafebabe)
#define SESPARSE_VERSION UINT64_C(0x0000000200000001)
#define SESPARSE_VOLATILE_MAGIC UINT64_C(0xcafecafe)

enum {
        SESPARSE_VOLATILE_SECTORS = 1,
        SESPARSE_JOURNAL_HEADER_SECTORS = 2,
        SESPARSE_JOURNAL_SECTORS = 2048,
};

static bool is_all_zero(const void *bytes, size_t len)
{
        const uint8_t *b = bytes;

        for (size_t i = 0; i < len; i++)
                if (b[i] != 0)
                        return false;
        return true;
}

static int sesparse_expect(const char *field, uint64_t value, uint64_t wanted, Err *err)
{
        if (value == wanted)
                return 0;
        return err_set(err, EOPNOTSUPP, "seSparse %s is 0x%" PRIx64 ", only 0x%" PRIx64 " is known",
                       field, value, wanted);
}

static int sesparse_check_constants(const VmdkDiskSesparse *h, Err *err)
{
        const struct {
                const char *field;
                uint64_t value, wanted;
        } constants[] = {
                { "version", from_le64(h->version), SESPARSE_VERSION },
                { "grain size", from_le64(h->grain_size), VMDK_SESPARSE_GRAIN_SECTORS },
                { "grain table size", from_le64(h->grain_table_size), VMDK_SESPARSE_TABLE_SECTORS },
                { "flags", from_le64(h->flags), 0 },
                { "volatile header size", from_le64(h->volatile_header.size),
                  SESPARSE_VOLATILE_SECTORS },
                { "journal header size", from_le64(h->journal_header.size),
                  SESPARSE_JOURNAL_HEADER_SECTORS },
                { "journal size", from_le64(h->journal.size), SESPARSE_JOURNAL_SECTORS },
        };

        for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
                int r = sesparse_expect(constants[i].field, constants[i].value, constants[i].wanted,
                                        err);
                if (r < 0)
                        return r;
        }
        if (!is_all_zero(h->reserved, sizeof(h->reserved)) || !is_all_zero(h->pad, sizeof(h->pad)))
                return err_set(err, EOPNOTSUPP,
                               "seSparse header: bytes that have always been zero are not");
        return 0;
}

/* What was being changed when its writer died is in the journal, which nobody but ESX can replay. */
static int sesparse_check_volatile(const VmdkExtent *x, const VmdkDiskSesparse *h, Err *err)
{
        uint64_t sector = from_le64(h->volatile_header.offset);
        VmdkDiskVolatile v;

        if (sector > vmdk_end(x) / VMDK_SECTOR)
                return err_set(err, EBADMSG,
                               "seSparse volatile header at sector %" PRIu64
                               " does not lie in the file (%" PRIu64 " bytes)",
                               sector, vmdk_end(x));
        int r = store_read_named(x->store, &v, sizeof(v), sector * VMDK_SECTOR,
                                 "the seSparse volatile header", err);
        if (r < 0)
                return r;
        if (from_le64(v.magic) != SESPARSE_VOLATILE_MAGIC)
                return err_set(err, EBADMSG,
                               "seSparse volatile header begins with 0x%" PRIx64
                               " and not with 0x%" PRIx64,
                               from_le64(v.magic), SESPARSE_VOLATILE_MAGIC);
        if (from_le64(v.replay_journal) != 0)
                return err_set(err, EOPNOTSUPP,
                               "its seSparse journal has to be replayed, which only ESX can");
        if (!is_all_zero(v.pad, sizeof(v.pad)))
                return err_set(
                        err, EOPNOTSUPP,
                        "seSparse volatile header: bytes that have always been zero are not");
        return 0;
}

static int sesparse_take_place(
        const VmdkExtent *x, const char *what, const SesparsePart *part, uint64_t *ret, Err *err)
{
        uint64_t sector = from_le64(part->offset);

        if (sector == 0 || sector > vmdk_end(x) / VMDK_SECTOR)
                return err_set(err, EBADMSG,
                               "seSparse %s at sector %" PRIu64
                               " does not lie in the file (%" PRIu64 " bytes)",
                               what, sector, vmdk_end(x));
        *ret = sector * VMDK_SECTOR;
        return 0;
}

static int sesparse_take(VmdkExtent *x, const VmdkDiskSesparse *h, Err *err)
{
        x->entry_len = sizeof(le64);
        x->table_count = VMDK_SESPARSE_TABLE_SECTORS * VMDK_SECTOR / sizeof(le64);
        int r = vmdk_check_shape(x, from_le64(h->capacity), from_le64(h->grain_size), err);
        if (r < 0)
                return r;
        if (from_le64(h->grain_directory.size) <
            div_round_up(x->directory_count * x->entry_len, VMDK_SECTOR))
                return err_set(err, EBADMSG,
                               "seSparse grain directory of %" PRIu64
                               " sectors is shorter than the capacity needs",
                               from_le64(h->grain_directory.size));
        r = sesparse_take_place(x, "grain directory", &h->grain_directory, &x->directory_pos, err);
        if (r >= 0)
                r = sesparse_take_place(x, "grain tables", &h->grain_tables, &x->tables_pos, err);
        if (r >= 0)
                r = sesparse_take_place(x, "grains", &h->grains, &x->grains_pos, err);
        return r;
}

int vmdk_sesparse_read(VmdkExtent *x, Err *err)
{
        VmdkDiskSesparse h;

        int r = store_read_named(x->store, &h, sizeof(h), 0, "the header", err);
        if (r < 0)
                return r;
        if (from_le64(h.magic) != SESPARSE_MAGIC)
                return err_set(err, EBADMSG, "it is no SESPARSE extent: it begins with 0x%" PRIx64,
                               from_le64(h.magic));
        r = sesparse_check_constants(&h, err);
        if (r < 0)
                return r;
        r = sesparse_check_volatile(x, &h, err);
        if (r < 0)
                return r;
        return sesparse_take(x, &h, err);
}
