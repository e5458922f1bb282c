/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The headers of hosted sparse extents ("KDMV"), of those whose end is their beginning, and of ESX's COWD. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "block/table.h"
#include "format/vmdk/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

typedef struct VmdkDiskHosted {
        uint8_t magic[4];
        le32 version;
        le32 flags;
        le64 capacity;
        le64 grain_size;
        le64 descriptor_offset;
        le64 descriptor_size;
        le32 gtes_per_gt;
        le64 rgd_offset;
        le64 gd_offset;
        le64 overhead;
        uint8_t unclean_shutdown;
        uint8_t newlines[4];
        le16 compression;
        uint8_t pad[433];
} VmdkDiskHosted;
_Static_assert(sizeof(VmdkDiskHosted) == VMDK_SECTOR, "hosted sparse header");

typedef struct VmdkDiskCowd {
        uint8_t magic[4];
        le32 version;
        le32 flags;
        le32 capacity;
        le32 grain_size;
        le32 gd_offset;
        le32 gd_count;
        le32 next_free;
} VmdkDiskCowd;
_Static_assert(sizeof(VmdkDiskCowd) == 32, "COWD header");

typedef struct VmdkDiskMarker {
        le64 value;
        le32 size;
        le32 type;
        uint8_t pad[496];
} VmdkDiskMarker;
_Static_assert(sizeof(VmdkDiskMarker) == VMDK_SECTOR, "marker");

/* What a file that is only ever appended to ends with. */
typedef struct VmdkDiskFooter {
        VmdkDiskMarker marker;
        VmdkDiskHosted header;
        VmdkDiskMarker end;
} VmdkDiskFooter;
_Static_assert(sizeof(VmdkDiskFooter) == 3 * VMDK_SECTOR, "footer");

enum {
        VMDK_VERSION_MAX = 3,
        VMDK_MARKER_FOOTER = 3,
        VMDK_COMPRESSION_DEFLATE = 1,
        VMDK_COWD_VERSION = 1,
        VMDK_COWD_FLAGS = 3,
};

static const uint8_t hosted_magic[4] = "KDMV";
static const uint8_t hosted_newlines[4] = "\n \r\n";
static const uint8_t cowd_magic[4] = "COWD";

int vmdk_check_shape(VmdkExtent *x, uint64_t capacity_sectors, uint64_t grain_sectors, Err *err)
{
        if (!is_power_of_two(grain_sectors))
                return err_set(err, EBADMSG, "grain size %" PRIu64 " is not a power of two",
                               grain_sectors);
        if (grain_sectors > VMDK_GRAIN_SECTORS_MAX)
                return err_set(err, EFBIG,
                               "grain size %" PRIu64 " is more than the limit of %d sectors",
                               grain_sectors, VMDK_GRAIN_SECTORS_MAX);
        if (capacity_sectors > LIMIT_DISK_SIZE / VMDK_SECTOR)
                return err_set(err, EFBIG,
                               "capacity %" PRIu64 " is more sectors than a disk may have",
                               capacity_sectors);
        x->grain = grain_sectors * VMDK_SECTOR;
        x->capacity = capacity_sectors * VMDK_SECTOR;
        x->directory_count = div_round_up(x->capacity, vmdk_table_span(x));
        if (x->directory_count > LIMIT_TABLE_SIZE / x->entry_len)
                return err_set(err, EFBIG,
                               "a directory of %" PRIu64
                               " entries is more than the limit of %" PRIu64,
                               x->directory_count, LIMIT_TABLE_SIZE / x->entry_len);
        if (x->len == 0)
                x->len = x->capacity;
        if (x->len > x->capacity)
                return err_set(err, EBADMSG,
                               "the descriptor gives it %" PRIu64
                               " sectors, and by its header its capacity is %" PRIu64,
                               x->len / VMDK_SECTOR, capacity_sectors);
        return 0;
}

/* A directory has to begin in the file. What of it, or of what it leads to, lies past the end of a file that was cut off
 * cannot be read; the rest can. */
static int header_check_directory(const VmdkExtent *x, const char *field, uint64_t sector, Err *err)
{
        if (sector == 0 || sector > vmdk_end(x) / VMDK_SECTOR)
                return err_set(err, EBADMSG,
                               "%s %" PRIu64 " does not lie in the file (%" PRIu64 " bytes)", field,
                               sector, vmdk_end(x));
        return 0;
}

static int hosted_check_flags(const VmdkDiskHosted *h, Err *err)
{
        uint32_t flags = from_le32(h->flags), version = from_le32(h->version);
        unsigned compression = from_le16(h->compression);

        if (version == 0 || version > VMDK_VERSION_MAX)
                return err_set(err, EOPNOTSUPP, "version %" PRIu32 " is not known", version);
        if (flags & ~VMDK_FLAGS_KNOWN)
                return err_set(err, EOPNOTSUPP, "flags 0x%" PRIx32 " are not known",
                               flags & ~VMDK_FLAGS_KNOWN);
        if ((flags & VMDK_FLAG_NEWLINES) &&
            memcmp(h->newlines, hosted_newlines, sizeof(h->newlines)) != 0)
                return err_set(err, EBADMSG,
                               "its newline bytes have changed: it was copied as if it were text "
                               "and is damaged");
        if (compression > VMDK_COMPRESSION_DEFLATE)
                return err_set(err, EOPNOTSUPP, "compressAlgorithm %u is not known", compression);
        if ((compression != 0) != !!(flags & VMDK_FLAG_COMPRESSED))
                return err_set(err, EBADMSG,
                               "compressAlgorithm %u and flags 0x%" PRIx32
                               " do not agree on whether grains are compressed",
                               compression, flags);
        if (compression != 0 && !(flags & VMDK_FLAG_MARKERS))
                return err_set(err, EOPNOTSUPP,
                               "compressed grains without markers (flags 0x%" PRIx32
                               ") cannot be read",
                               flags);
        return 0;
}

/* The place of the descriptor, which extents of several disks have too, and leave empty. */
static int hosted_take_descriptor(VmdkExtent *x, const VmdkDiskHosted *h, Err *err)
{
        uint64_t sector = from_le64(h->descriptor_offset), count = from_le64(h->descriptor_size);

        if (sector == 0 || count == 0)
                return 0;
        if (count > LIMIT_DESCRIPTOR_LEN / VMDK_SECTOR)
                return err_set(err, EFBIG,
                               "descriptorSize %" PRIu64 " is more than the limit of %" PRIu64
                               " sectors",
                               count, LIMIT_DESCRIPTOR_LEN / VMDK_SECTOR);
        if (sector > vmdk_end(x) / VMDK_SECTOR)
                return err_set(err, EBADMSG,
                               "descriptorOffset %" PRIu64 " does not lie in the file (%" PRIu64
                               " bytes)",
                               sector, vmdk_end(x));
        x->descriptor_pos = sector * VMDK_SECTOR;
        x->descriptor_len = count * VMDK_SECTOR;
        return 0;
}

static int hosted_take(VmdkExtent *x, const VmdkDiskHosted *h, Err *err)
{
        uint32_t flags = from_le32(h->flags);
        uint32_t count = from_le32(h->gtes_per_gt);
        uint64_t redundant = from_le64(h->rgd_offset);

        int r = hosted_check_flags(h, err);
        if (r < 0)
                return r;
        if (count == 0 || count > VMDK_TABLE_COUNT_MAX)
                return err_set(err, EBADMSG, "numGTEsPerGT %" PRIu32 " is not between 1 and %d",
                               count, VMDK_TABLE_COUNT_MAX);
        x->version = from_le32(h->version);
        x->entry_len = sizeof(le32);
        x->table_count = count;
        x->coded = flags & VMDK_FLAG_COMPRESSED;
        x->zero_grains = flags & VMDK_FLAG_ZERO_GRAINS;
        x->unclean = h->unclean_shutdown != 0;
        r = vmdk_check_shape(x, from_le64(h->capacity), from_le64(h->grain_size), err);
        if (r < 0)
                return r;
        if (x->coded && x->grain > LIMIT_CODED_LEN)
                return err_set(err, EFBIG,
                               "grain size %" PRIu64 " is more than the limit of %" PRIu64
                               " bytes for compressed grains",
                               x->grain, LIMIT_CODED_LEN);
        r = header_check_directory(x, "gdOffset", from_le64(h->gd_offset), err);
        if (r < 0)
                return r;
        x->directory_pos = from_le64(h->gd_offset) * VMDK_SECTOR;
        if (flags & VMDK_FLAG_REDUNDANT) {
                r = header_check_directory(x, "rgdOffset", redundant, err);
                if (r < 0)
                        return r;
                x->redundant_pos = redundant * VMDK_SECTOR;
        }
        uint64_t overhead = u64_min(from_le64(h->overhead), LIMIT_DISK_SIZE / VMDK_SECTOR);
        x->overhead = overhead * VMDK_SECTOR;
        return hosted_take_descriptor(x, h, err);
}

static bool marker_is(const VmdkDiskMarker *m, uint64_t value, uint32_t type)
{
        return from_le64(m->value) == value && from_le32(m->size) == 0 &&
               from_le32(m->type) == type;
}

static bool is_footer(const VmdkDiskFooter *f)
{
        return marker_is(&f->marker, 1, VMDK_MARKER_FOOTER) &&
               memcmp(f->header.magic, hosted_magic, sizeof(hosted_magic)) == 0 &&
               marker_is(&f->end, 0, 0);
}

/* The last footer: at the end, or a little before where the file was padded on its way. */
static int footer_find(const VmdkExtent *x, VmdkDiskFooter *ret, Err *err)
{
        uint64_t end = round_down(vmdk_end(x), VMDK_SECTOR);
        uint64_t from = end - u64_min(end, VMDK_FOOTER_SEARCH_LEN);
        _cleanup_free_ void *bytes = NULL;

        int r = table_read(x->store, from, end - from, 1, "footer", &bytes, err);
        if (r < 0)
                return r;
        for (uint64_t at = end - from; at >= sizeof(*ret); at -= VMDK_SECTOR) {
                memcpy(ret, (uint8_t *)bytes + at - sizeof(*ret), sizeof(*ret));
                if (is_footer(ret))
                        return 0;
        }
        return err_set(err, ENODATA,
                       "its grain directory is named by a footer, and the file ends without one: "
                       "it was cut off");
}

/* The header that counts: the first one, or the one in the footer, which has to be of the same disk. */
static int hosted_find(const VmdkExtent *x, VmdkDiskHosted *h, Err *err)
{
        VmdkDiskFooter f;

        if (from_le64(h->gd_offset) != VMDK_DIRECTORY_AT_END)
                return 0;
        int r = footer_find(x, &f, err);
        if (r < 0)
                return r;
        if (from_le64(f.header.capacity) != from_le64(h->capacity) ||
            from_le64(f.header.grain_size) != from_le64(h->grain_size) ||
            from_le32(f.header.gtes_per_gt) != from_le32(h->gtes_per_gt))
                return err_set(err, EBADMSG,
                               "header and footer do not agree on capacity (%" PRIu64 ", %" PRIu64
                               "), grain size or numGTEsPerGT",
                               from_le64(h->capacity), from_le64(f.header.capacity));
        /* The descriptor is where the first header says, in files whose footer was written before it. */
        f.header.descriptor_offset = h->descriptor_offset;
        f.header.descriptor_size = h->descriptor_size;
        *h = f.header;
        return 0;
}

static int hosted_read(VmdkExtent *x, Err *err)
{
        VmdkDiskHosted h;

        int r = store_read_named(x->store, &h, sizeof(h), 0, "the header", err);
        if (r < 0)
                return r;
        if (memcmp(h.magic, hosted_magic, sizeof(h.magic)) != 0)
                return err_set(err, EBADMSG, "it is no SPARSE extent: it does not begin with KDMV");
        r = hosted_find(x, &h, err);
        return r < 0 ? r : hosted_take(x, &h, err);
}

static int cowd_read(VmdkExtent *x, Err *err)
{
        VmdkDiskCowd h;

        int r = store_read_named(x->store, &h, sizeof(h), 0, "the header", err);
        if (r < 0)
                return r;
        if (memcmp(h.magic, cowd_magic, sizeof(h.magic)) != 0)
                return err_set(err, EBADMSG,
                               "it is no VMFSSPARSE extent: it does not begin with COWD");
        if (from_le32(h.version) != VMDK_COWD_VERSION)
                return err_set(err, EOPNOTSUPP, "COWD version %" PRIu32 " is not known",
                               from_le32(h.version));
        if (from_le32(h.flags) != VMDK_COWD_FLAGS)
                return err_set(err, EOPNOTSUPP, "COWD flags 0x%" PRIx32 " are not known",
                               from_le32(h.flags));
        x->version = VMDK_COWD_VERSION;
        x->entry_len = sizeof(le32);
        x->table_count = VMDK_COWD_TABLE_COUNT;
        r = vmdk_check_shape(x, from_le32(h.capacity), from_le32(h.grain_size), err);
        if (r < 0)
                return r;
        if (from_le32(h.gd_count) < x->directory_count)
                return err_set(err, EBADMSG,
                               "numGDEntries %" PRIu32 " is less than the %" PRIu64
                               " that the capacity needs",
                               from_le32(h.gd_count), x->directory_count);
        r = header_check_directory(x, "gdOffset", from_le32(h.gd_offset), err);
        if (r < 0)
                return r;
        x->directory_pos = (uint64_t)from_le32(h.gd_offset) * VMDK_SECTOR;
        return 0;
}

int vmdk_header_read(VmdkExtent *x, Err *err)
{
        switch (x->kind) {
        case VMDK_HOSTED:
                return hosted_read(x, err);
        case VMDK_COWD:
                return cowd_read(x, err);
        case VMDK_SESPARSE:
                return vmdk_sesparse_read(x, err);
        case VMDK_FLAT:
        case VMDK_ZERO:
                break;
        }
        return 0;
}
