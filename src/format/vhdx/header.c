/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file identifier and the two headers. A header is never written over while it is the current one, so that one of
 * them is always whole.
 */
#include "base/bits.h"
#include "base/crc32c.h"
#include "format/vhdx/vhdx.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint64_t vhdx_header_pos(unsigned slot)
{
        return (uint64_t)VHDX_HEADER_POS * (slot + 1);
}

static uint32_t vhdx_header_checksum(const uint8_t raw[VHDX_HEADER_LEN])
{
        static const uint8_t zero[4];
        size_t at = offsetof(VhdxDiskHeader, checksum), behind = at + sizeof(zero);
        uint32_t crc = crc32c(crc32c(0, raw, at), zero, sizeof(zero));

        return crc32c(crc, raw + behind, VHDX_HEADER_LEN - behind);
}

/* Reads one header: 1 it is one, 0 it is not. */
static int vhdx_header_read(Store *s, unsigned slot, uint8_t raw[VHDX_HEADER_LEN])
{
        VhdxDiskHeader d;

        int r = store_read_padded(s, raw, VHDX_HEADER_LEN, vhdx_header_pos(slot));
        if (r < 0)
                return r;
        memcpy(&d, raw, sizeof(d));
        return memcmp(d.signature, "head", 4) == 0 &&
               from_le32(d.checksum) == vhdx_header_checksum(raw);
}

static uint64_t vhdx_header_sequence(const uint8_t *raw)
{
        VhdxDiskHeader d;

        memcpy(&d, raw, sizeof(d));
        return from_le64(d.sequence_number);
}

/* The log has to be where it can be; that it is within the file matters only to who uses it. */
static int vhdx_header_check_log(const VhdxHeader *h, Err *err)
{
        if (!is_aligned(h->log_pos, VHDX_UNIT) || !is_aligned(h->log_len, VHDX_UNIT))
                return err_set(err, EBADMSG,
                               "LogOffset %" PRIu64 " or LogLength %" PRIu64
                               " is not a multiple of 1 MiB",
                               h->log_pos, h->log_len);
        if (h->log_len > 0 && h->log_pos < VHDX_UNIT)
                return err_set(err, EBADMSG, "LogOffset %" PRIu64 " lies within the headers",
                               h->log_pos);
        if (h->log_pos > UINT64_MAX - h->log_len)
                return err_set(err, EBADMSG, "LogOffset %" PRIu64 " is beyond any file",
                               h->log_pos);
        if (h->log_len == 0 && !uuid_is_zero(&h->log))
                return err_set(err, EBADMSG,
                               "LogGuid says that the log is in use, and LogLength is 0");
        return 0;
}

static int vhdx_header_parse(const uint8_t *raw, unsigned slot, VhdxHeader *ret, Err *err)
{
        VhdxDiskHeader d;

        memcpy(&d, raw, sizeof(d));
        if (from_le16(d.version) != VHDX_VERSION)
                return err_set(err, EOPNOTSUPP, "version %u is not known, only %d",
                               from_le16(d.version), VHDX_VERSION);
        if (from_le16(d.log_version) != VHDX_LOG_VERSION)
                return err_set(err, EOPNOTSUPP, "LogVersion %u is not known, only %d",
                               from_le16(d.log_version), VHDX_LOG_VERSION);
        *ret = (VhdxHeader){
                .slot = slot,
                .sequence = from_le64(d.sequence_number),
                .file_write = uuid_from_guid(d.file_write_guid),
                .data_write = uuid_from_guid(d.data_write_guid),
                .log = uuid_from_guid(d.log_guid),
                .log_pos = from_le64(d.log_offset),
                .log_len = from_le32(d.log_length),
        };
        return vhdx_header_check_log(ret, err);
}

/* The newer of two sound headers. There are programs that write the same one twice. */
static int vhdx_header_choose(uint8_t raw[2][VHDX_HEADER_LEN], Err *err)
{
        uint64_t first = vhdx_header_sequence(raw[0]), second = vhdx_header_sequence(raw[1]);

        if (first == second && memcmp(raw[0], raw[1], VHDX_HEADER_LEN) != 0)
                return err_set(err, EBADMSG,
                               "both headers have the SequenceNumber %" PRIu64
                               ", and they are not the same",
                               first);
        return second > first;
}

int vhdx_headers_read(Node *n, Err *err)
{
        Vhdx *v = n->state;
        uint8_t raw[2][VHDX_HEADER_LEN];
        uint8_t signature[8];
        int sound[2];

        int r = store_read_padded(n->store, signature, sizeof(signature), 0);
        for (unsigned i = 0; i < 2 && r >= 0; i++)
                r = sound[i] = vhdx_header_read(n->store, i, raw[i]);
        if (r < 0)
                return err_set(err, -r, "cannot read the headers: %m");
        if (memcmp(signature, "vhdxfile", sizeof(signature)) != 0)
                return err_set(err, EBADMSG, "the file does not begin with 'vhdxfile'");
        if (!sound[0] && !sound[1])
                return err_set(err, EBADMSG, "neither of the two headers is sound");

        int slot = sound[0] && sound[1] ? vhdx_header_choose(raw, err) : sound[1];
        if (slot < 0)
                return slot;
        v->header_lost = !sound[0] || !sound[1];
        return vhdx_header_parse(raw[slot], (unsigned)slot, &v->header, err);
}

int vhdx_header_write(Node *n)
{
        Vhdx *v = n->state;
        VhdxHeader *h = &v->header;
        uint8_t raw[VHDX_HEADER_LEN] = { 0 };
        VhdxDiskHeader d = {
                .signature = "head",
                .sequence_number = to_le64(h->sequence + 1),
                .file_write_guid = uuid_to_guid(h->file_write),
                .data_write_guid = uuid_to_guid(h->data_write),
                .log_guid = uuid_to_guid(h->log),
                .log_version = to_le16(VHDX_LOG_VERSION),
                .version = to_le16(VHDX_VERSION),
                .log_length = to_le32((uint32_t)h->log_len),
                .log_offset = to_le64(h->log_pos),
        };

        memcpy(raw, &d, sizeof(d));
        d.checksum = to_le32(vhdx_header_checksum(raw));
        memcpy(raw, &d, sizeof(d));
        int r = store_write(n->store, raw, sizeof(raw), vhdx_header_pos(1 - h->slot));
        if (r < 0)
                return r;
        h->slot = 1 - h->slot;
        h->sequence++;
        return 0;
}
