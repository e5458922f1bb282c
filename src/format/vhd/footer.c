/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The footer, and which of the two counts. A fixed disk has one, behind the guest's bytes. The others have a copy of it
 * in front of everything, which is the one that counts, since the end of a file gets lost more easily.
 *
 * A guest decides what the first sector of its fixed disk holds, and, after a crash, perhaps the last sector of the
 * file of another. So two good footers that do not even agree on where the guest's bytes lie are refused.
 */
#include "base/bits.h"
#include "format/vhd/vhd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char vhd_cookie[] = "conectix";

uint32_t vhd_checksum(const void *bytes, size_t len, be32 old)
{
        const uint8_t *b = bytes;
        uint32_t sum = 0;

        for (size_t i = 0; i < len; i++)
                sum += b[i];
        for (size_t i = 0; i < sizeof(old.b); i++)
                sum -= old.b[i];
        return ~sum;
}

static VhdFound vhd_footer_judge(const VhdDiskFooter *f)
{
        if (memcmp(f->cookie, vhd_cookie, sizeof(f->cookie)) != 0)
                return VHD_ABSENT;
        return vhd_checksum(f, sizeof(*f), f->checksum) == from_be32(f->checksum) ? VHD_GOOD
                                                                                  : VHD_BROKEN;
}

/* The footer in the last bytes of a file; `tail` are VHD_FOOTER_LEN of them, zeroes in front where it is shorter. */
static void vhd_footer_at_end(const uint8_t *tail, uint64_t file_size, VhdFooter *ret)
{
        static const uint64_t lens[] = { VHD_FOOTER_LEN, VHD_SHORT_FOOTER_LEN };

        for (size_t i = 0; i < 2 && ret->found == VHD_ABSENT; i++) {
                VhdFooter f = { .len = lens[i] };
                if (file_size < f.len)
                        continue;
                memcpy(&f.disk, tail + VHD_FOOTER_LEN - f.len, (size_t)f.len);
                f.pos = file_size - f.len;
                f.found = vhd_footer_judge(&f.disk);
                *ret = f;
        }
}

static bool vhd_is_type(const VhdFooter *f, VhdType type)
{
        return from_be32(f->disk.disk_type) == (uint32_t)type;
}

/* Sets f->used, or says why there is none. */
static int vhd_footers_choose(VhdFooters *f, Err *err)
{
        const VhdFooter *front = &f->front, *end = &f->end;

        if (front->found == VHD_GOOD && end->found == VHD_GOOD &&
            vhd_is_type(front, VHD_FIXED) != vhd_is_type(end, VHD_FIXED))
                return err_set(err, EBADMSG,
                               "the footer says that the disk type is %" PRIu32
                               ", and its copy in the first sector %" PRIu32
                               "; --format=raw shows the file as it is",
                               from_be32(end->disk.disk_type), from_be32(front->disk.disk_type));
        if (end->found == VHD_GOOD && (front->found != VHD_GOOD || vhd_is_type(end, VHD_FIXED)))
                f->used = end;
        else if (front->found == VHD_GOOD)
                f->used = front;
        else if (front->found == VHD_BROKEN || end->found == VHD_BROKEN) {
                const VhdFooter *one = end->found == VHD_BROKEN ? end : front;
                return err_set(err, EBADMSG,
                               "footer: checksum %#" PRIx32 " is not %#" PRIx32
                               ", that of its bytes, and there is no other good footer",
                               from_be32(one->disk.checksum),
                               vhd_checksum(&one->disk, sizeof(one->disk), one->disk.checksum));
        } else
                return err_set(err, EBADMSG,
                               "there is no footer ('%s') at the end of the file nor at its "
                               "beginning",
                               vhd_cookie);
        if (f->used == front && vhd_is_type(front, VHD_FIXED))
                return err_set(err, EBADMSG,
                               "disk type 2 in the first sector: the footer of a fixed disk is at "
                               "the end of the file, where there is none");
        return 0;
}

static int vhd_footer_check(const VhdDiskFooter *f, Err *err)
{
        uint32_t features = from_be32(f->features), version = from_be32(f->version);
        uint32_t type = from_be32(f->disk_type);

        if (version != VHD_VERSION)
                return err_set(err, EOPNOTSUPP,
                               "footer: version %#" PRIx32 " is not known, only %#x", version,
                               VHD_VERSION);
        if (features & ~(uint32_t)VHD_FEATURES_KNOWN)
                return err_set(err, EOPNOTSUPP,
                               "footer: features %#" PRIx32 " are not known, only %#x", features,
                               VHD_FEATURES_KNOWN);
        if (type != VHD_FIXED && type != VHD_DYNAMIC && type != VHD_DIFFERENCING)
                return err_set(err, EOPNOTSUPP,
                               "disk type %" PRIu32
                               " is not known, only 2 (fixed), 3 (dynamic), 4 (differencing)",
                               type);
        if (f->saved_state > 1)
                return err_set(err, EBADMSG, "footer: saved state %u is neither 0 nor 1",
                               f->saved_state);
        return 0;
}

uint64_t vhd_footer_size(const VhdFooter *f)
{
        const VhdDiskFooter *d = &f->disk;
        uint64_t size = from_be64(d->current_size);
        uint64_t cylinders = from_be16(d->cylinders);
        uint64_t chs = cylinders * d->heads * d->sectors * VHD_SECTOR;

        /* Virtual PC shows its guests what the geometry can say, and QEMU does as it does, unless told otherwise: then
         * it calls itself "qem2". The largest geometry says only that the disk is not smaller. */
        bool by_geometry = memcmp(d->creator_application, "vpc ", 4) == 0 ||
                           memcmp(d->creator_application, "qemu", 4) == 0;
        bool largest = cylinders == 65535 && d->heads == 16 && d->sectors == 255;
        return by_geometry && !largest && chs > 0 ? chs : size;
}

static int vhd_size_check(const VhdFooter *f, Err *err)
{
        uint64_t current = from_be64(f->disk.current_size);

        if (current > VHD_SIZE_MAX)
                return err_set(err, EFBIG, "footer: current size %" PRIu64 " is beyond 2040 GiB",
                               current);
        if (!is_aligned(current, VHD_SECTOR))
                return err_set(err, EBADMSG,
                               "footer: current size %" PRIu64 " is no multiple of 512", current);
        return 0;
}

int vhd_footers_read(Store *s, VhdFooters *ret, Err *err)
{
        VhdFooters f = { .front = { .len = VHD_FOOTER_LEN } };
        uint8_t tail[VHD_FOOTER_LEN] = { 0 };

        int r = store_get_size(s, &f.file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = store_read_padded(s, &f.front.disk, sizeof(f.front.disk), 0);
        if (r < 0)
                return err_set(err, -r, "cannot read the first sector: %m");
        size_t len = (size_t)u64_min(f.file_size, sizeof(tail));
        r = store_read_padded(s, tail + sizeof(tail) - len, len, f.file_size - len);
        if (r < 0)
                return err_set(err, -r, "cannot read the footer: %m");
        f.front.found = vhd_footer_judge(&f.front.disk);
        vhd_footer_at_end(tail, f.file_size, &f.end);

        r = vhd_footers_choose(&f, err);
        if (r >= 0)
                r = vhd_footer_check(&f.used->disk, err);
        if (r >= 0)
                r = vhd_size_check(f.used, err);
        if (r < 0)
                return r;
        bool end = f.used == &f.end;
        *ret = f;
        ret->used = end ? &ret->end : &ret->front;
        return 0;
}

bool vhd_is_fixed(const Probe *p)
{
        VhdFooter f = { 0 };

        vhd_footer_at_end(p->tail, p->file_size, &f);
        return f.found == VHD_GOOD && vhd_is_type(&f, VHD_FIXED) &&
               from_be64(f.disk.current_size) == f.pos;
}
