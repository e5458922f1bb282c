/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that an image is made of, and the chain of sections in each. */
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/limits.h"
#include "block/opener.h"
#include "format/ewf/ewf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
        EWF_NUMBERED = 99, /* segments whose names have digits */
        EWF_LETTERS = 26,
};

typedef struct EwfDiskFileHeader {
        uint8_t magic[8];
        uint8_t one;
        le16 segment;
        le16 zero;
} EwfDiskFileHeader;

_Static_assert(sizeof(EwfDiskFileHeader) == EWF_FILE_HEADER_LEN, "as in the file");

static bool ewf_is_letter(char c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The three characters of segment `number`, where the first one has `letter` and two digits. */
static int ewf_segment_suffix(char letter, uint32_t number, char ret[static 3])
{
        char a = letter >= 'a' ? 'a' : 'A';
        uint32_t i = number - EWF_NUMBERED - 1;

        ret[0] = letter;
        if (number <= EWF_NUMBERED) {
                ret[1] = (char)('0' + number / 10);
                ret[2] = (char)('0' + number % 10);
                return 0;
        }
        uint32_t first = (uint32_t)(letter - a) + i / (EWF_LETTERS * EWF_LETTERS);
        if (first >= EWF_LETTERS)
                return -EFBIG;
        ret[0] = (char)(a + (int)first);
        ret[1] = (char)(a + (int)(i / EWF_LETTERS % EWF_LETTERS));
        ret[2] = (char)(a + (int)(i % EWF_LETTERS));
        return 0;
}

int ewf_segment_name(const char *first, uint32_t number, char **ret, Err *err)
{
        size_t len = strlen(first);
        char suffix[3];

        if (len < 4 || first[len - 4] != '.' || !ewf_is_letter(first[len - 3]) ||
            strcmp(first + len - 2, "01") != 0)
                return err_set(err, EOPNOTSUPP,
                               "there are further segments, and the name '%s' does not end in "
                               ".E01, so that theirs could be told from it",
                               first);
        if (ewf_segment_suffix(first[len - 3], number, suffix) < 0)
                return err_set(err, EFBIG, "there is no name for segment %" PRIu32, number);
        char *name = strdup(first);
        if (!name)
                return err_set(err, ENOMEM, "%m");
        memcpy(name + len - 3, suffix, 3);
        *ret = name;
        return 0;
}

static int ewf_check_magic(const EwfDiskFileHeader *h, Err *err)
{
        if (memcmp(h->magic, EWF_LOGICAL_MAGIC, sizeof(h->magic)) == 0)
                return err_set(err, EOPNOTSUPP,
                               "is logical evidence (L01): single files, and no disk");
        if (memcmp(h->magic, EWF_2_MAGIC, sizeof(h->magic)) == 0)
                return err_set(err, EOPNOTSUPP, "is an EWF version 2 (Ex01), only 1 can be read");
        if (memcmp(h->magic, EWF_MAGIC, sizeof(h->magic)) != 0)
                return err_set(err, EBADMSG, "the file does not begin as an E01");
        if (h->one != 1 || from_le16(h->zero) != 0)
                return err_set(err, EBADMSG, "the header of the file has %u and %u for 1 and 0",
                               h->one, from_le16(h->zero));
        return 0;
}

static int ewf_read_file_header(Store *s, uint32_t number, Err *err)
{
        EwfDiskFileHeader h;

        int r = store_read(s, &h, sizeof(h), 0);
        if (r == -ENODATA)
                return err_set(err, ENODATA, "the file ends within its header");
        if (r < 0)
                return err_set(err, -r, "cannot read the header of the file: %m");
        r = ewf_check_magic(&h, err);
        if (r < 0)
                return r;
        if (from_le16(h.segment) != number)
                return err_set(err, EBADMSG, "is segment %u, not %" PRIu32 "%s",
                               from_le16(h.segment), number,
                               number == 1 ? "; the first one shows the whole disk" : "");
        return 0;
}

static bool ewf_is_type(const char *type)
{
        size_t len = strnlen(type, EWF_TYPE_LEN);

        for (size_t i = 0; i < EWF_TYPE_LEN; i++)
                if (i < len ? type[i] <= ' ' || type[i] > '~' : type[i] != 0)
                        return false;
        return len > 0;
}

/* Where the section ends. Of two that disagree, the link to the next one counts, since sections are found by it. */
static int ewf_set_end(EwfSection *s, const EwfDiskSection *d, Err *err)
{
        uint64_t next = from_le64(d->next), size = from_le64(d->size);

        s->is_last = strcmp(s->type, "next") == 0 || strcmp(s->type, "done") == 0;
        if (s->is_last) {
                s->end = s->pos + EWF_SECTION_LEN;
                return 0;
        }
        if (next < s->pos + EWF_SECTION_LEN || next > INT64_MAX)
                return err_set(err, EBADMSG,
                               "section %s at %" PRIu64 ": the next one is said to be at %" PRIu64,
                               s->type, s->pos, next);
        if (size != 0 && (size < EWF_SECTION_LEN || size > next - s->pos))
                return err_set(err, EBADMSG,
                               "section %s at %" PRIu64 ": size %" PRIu64
                               " does not fit between it and the next one at %" PRIu64,
                               s->type, s->pos, size, next);
        s->end = size ? s->pos + size : next;
        return 0;
}

/* The descriptor at s->pos. -ENODATA: the file has ended. */
static int ewf_read_section(EwfSection *s, uint64_t *ret_next, Err *err)
{
        EwfDiskSection d;

        int r = store_read(s->store, &d, sizeof(d), s->pos);
        if (r == -ENODATA)
                return r;
        if (r < 0)
                return err_set(err, -r, "cannot read the section at %" PRIu64 ": %m", s->pos);
        if (from_le32(d.sum) != ewf_sum(&d, offsetof(EwfDiskSection, sum)))
                return err_set(err, EBADMSG,
                               "section at %" PRIu64 ": the checksum of its descriptor is wrong",
                               s->pos);
        if (!ewf_is_type(d.type))
                return err_set(err, EBADMSG, "section at %" PRIu64 ": its type is no word", s->pos);
        memcpy(s->type, d.type, EWF_TYPE_LEN);
        r = ewf_set_end(s, &d, err);
        if (r < 0)
                return r;
        *ret_next = from_le64(d.next);
        return 0;
}

/* 1: segments follow. 0: this was the last one, or the file ends before it should. */
static int ewf_read_sections(Node *n, EwfSection *s, Err *err)
{
        Ewf *e = n->state;
        uint64_t next = EWF_FILE_HEADER_LEN;

        do {
                s->pos = next;
                if (e->section_count++ == LIMIT_EWF_SECTIONS)
                        return err_set(err, EFBIG, "there are more than %d sections",
                                       LIMIT_EWF_SECTIONS);
                int r = ewf_read_section(s, &next, err);
                if (r >= 0)
                        r = ewf_take_section(n, s, err);
                if (r == -ENODATA && e->has_volume)
                        return 0;
                if (r == -ENODATA)
                        return err_set(err, ENODATA,
                                       "the file ends before it is said how large the disk is");
                if (r < 0)
                        return r;
        } while (!s->is_last);
        e->is_complete = strcmp(s->type, "done") == 0;
        return !e->is_complete;
}

static int ewf_read_segment(Node *n, Store *store, uint32_t number, Err *err)
{
        Ewf *e = n->state;
        EwfSection s = { .store = store, .segment = number };

        int r = store_get_size(store, &s.file_size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = ewf_read_file_header(store, number, err);
        if (r < 0)
                return r;
        if (number == 1)
                e->file_size = s.file_size;
        e->segment_count = number;
        e->data_end = 0;
        r = ewf_read_sections(n, &s, err);
        if (r < 0)
                return r;
        if (!e->has_volume)
                return err_set(err, EBADMSG, "no section says how large the disk is");
        int ends = ewf_end_table(e, err);
        return ends < 0 ? ends : r;
}

static int ewf_open_segment(Node *n, Opener *opener, uint32_t number, Err *err)
{
        _cleanup_free_ char *name = NULL;
        _cleanup_store_ Store *store = NULL;

        if (number > LIMIT_EWF_SEGMENTS)
                return err_set(err, EFBIG, "there are more than %d segments", LIMIT_EWF_SEGMENTS);
        if (!n->file_name)
                return err_set(
                        err, EOPNOTSUPP,
                        "there are further segments, named like the first one, whose name is "
                        "not known");
        int r = ewf_segment_name(n->file_name, number, &name, err);
        if (r < 0)
                return r;
        r = opener->open(opener, n->store, name, STORE_READ_ONLY, &store, err);
        if (r >= 0)
                r = node_adopt_store(n, store);
        if (r < 0)
                return err_prefix(err, r, "segment '%s'", name);
        Store *adopted = TAKE(store);
        r = ewf_read_segment(n, adopted, number, err);
        return r < 0 ? err_prefix(err, r, "segment '%s'", name) : r;
}

int ewf_open_segments(Node *n, Opener *opener, Err *err)
{
        int r = ewf_read_segment(n, n->store, 1, err);

        for (uint32_t number = 2; r > 0 && opener; number++)
                r = ewf_open_segment(n, opener, number, err);
        return r < 0 ? r : 0;
}
