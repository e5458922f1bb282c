/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/probe.h"

#include "base/bits.h"

#include <errno.h>
#include <string.h>

/* What formats that we may have no driver for are known by. The names are qemu-img's where it has one; an entry
 * says nothing any more once a driver of that name is registered. */
typedef struct Foreign {
        const char *name;
        Magic magic;
} Foreign;

static const Foreign foreign_formats[] = {
        { "qcow", { 0, 8, "QFI\xfb\0\0\0\1" } },
        { "qed", { 0, 4, "QED\0" } },
        { "vhdx", { 0, 8, "vhdxfile" } },
        { "vmdk", { 0, 4, "KDMV" } },
        { "vmdk", { 0, 4, "COWD" } },
        { "vmdk", { 0, 16, "\xbe\xba\xfe\xca\0\0\0\0\1\0\0\0\2\0\0\0" } },
        { "luks", { 0, 6, "LUKS\xba\xbe" } },
        { "vdi", { 0x40, 4, "\x7f\x10\xda\xbe" } },
        { "parallels", { 0, 16, "WithoutFreeSpace" } },
        { "parallels", { 0, 16, "WithouFreSpacExt" } },
        { "vhd", { 0, 8, "conectix" } },
        { "ewf", { 0, 8, "EVF\t\r\n\xff\0" } },
        { "ewf2", { 0, 4, "EVF2" } },
        { "sparseimage", { 0, 8, "sprs\0\0\0\3" } },
        { "bochs", { 0, 22, "Bochs Virtual HD Image" } },
        { "cloop", { 0, 23, "#!/bin/sh\n#V2.0 Format\n" } },
        { "encrcdsa", { 0, 8, "encrcdsa" } },
        { "encrcdsa", { -8, 8, "cdsaencr" } },
        { "asif", { 0, 4, "shdw" } },
        { "android-sparse", { 0, 4, "\x3a\xff\x26\xed" } },
        { "dmg", { -512, 12, "koly\0\0\0\4\0\0\2\0" } },
        { "vhd", { -512, 8, "conectix" } },
        { "vhd", { -511, 8, "conectix" } },
};

/* Which end of a file is looked at. The guest of an image often decides what its last sector holds, so the tail
 * counts only where the head says nothing. */
typedef enum ProbeEnd {
        PROBE_AT_HEAD,
        PROBE_AT_TAIL,
} ProbeEnd;

static bool magic_matches(const Magic *m, const Probe *p, ProbeEnd end)
{
        if (m->len == 0 || (m->at < 0) != (end == PROBE_AT_TAIL))
                return false;
        if (m->at < 0) {
                uint64_t back = (uint64_t)-m->at;
                return back <= PROBE_TAIL && back <= p->file_size && m->len <= back &&
                       memcmp(p->tail + PROBE_TAIL - back, m->bytes, m->len) == 0;
        }
        return in_range((uint64_t)m->at, m->len, u64_min(p->file_size, PROBE_HEAD)) &&
               memcmp(p->head + m->at, m->bytes, m->len) == 0;
}

static bool format_matches(const Format *f, const Probe *p, ProbeEnd end)
{
        bool matches = f->magic[0].len == 0 && f->probe && end == PROBE_AT_HEAD;

        for (size_t i = 0; i < MAGIC_COUNT && f->magic[i].len > 0; i++)
                matches = matches || magic_matches(&f->magic[i], p, end);
        return matches && (!f->probe || f->probe(p) == 1);
}

static const char *probe_foreign(const Format *const *formats, const Probe *p, ProbeEnd end)
{
        for (size_t i = 0; i < sizeof(foreign_formats) / sizeof(foreign_formats[0]); i++) {
                const Foreign *f = &foreign_formats[i];
                if (magic_matches(&f->magic, p, end) && !format_find(formats, f->name))
                        return f->name;
        }
        return NULL;
}

static int probe_refuse_both(const char *one, const char *other, Err *err)
{
        return err_set(err, EBADMSG,
                       "looks like %s and like %s; --format= must say which of them it is", one,
                       other);
}

/* One end of the file. *ret stays as it is where nothing is recognised. */
static int probe_end(
        const Format *const *formats, const Probe *p, ProbeEnd end, const Format **ret, Err *err)
{
        const Format *found = NULL;

        for (const Format *const *f = formats; *f; f++) {
                if (!format_matches(*f, p, end))
                        continue;
                if (found)
                        return probe_refuse_both(found->name, (*f)->name, err);
                found = *f;
        }

        const char *foreign = probe_foreign(formats, p, end);
        if (foreign && found)
                return probe_refuse_both(found->name, foreign, err);
        if (foreign)
                return err_set(
                        err, EOPNOTSUPP,
                        "is a %s image, a format that cannot be read; --format=raw would show "
                        "the file's own bytes",
                        foreign);
        if (found)
                *ret = found;
        return 0;
}

static int probe_read(Store *s, uint8_t *head, uint8_t *tail, uint64_t *ret_size, Err *err)
{
        uint64_t size = 0;
        int r = store_get_size(s, &size);
        if (r < 0)
                return err_set(err, -r, "cannot get the size of the file: %m");
        r = store_read_padded(s, head, PROBE_HEAD, 0);
        if (r < 0)
                return err_set(err, -r, "cannot read the first sector: %m");

        size_t len = (size_t)u64_min(size, PROBE_TAIL);
        r = store_read_padded(s, tail + PROBE_TAIL - len, len, size - len);
        if (r < 0)
                return err_set(err, -r, "cannot read the last sector: %m");
        *ret_size = size;
        return 0;
}

/* The last sector of a raw disk is its guest's: what it says there may not decide how somebody writes to the file. */
static int probe_refuse_tail(const Format *found, Err *err)
{
        return err_set(
                err, EOPNOTSUPP,
                "only its last sector looks like %s, and what a guest may have put there is not trusted for "
                "writing; --format= must say what it is",
                found->name);
}

int probe_format(
        const Format *const *formats, Store *s, bool writable, const Format **ret, Err *err)
{
        uint8_t head[PROBE_HEAD] = { 0 }, tail[PROBE_TAIL] = { 0 };
        Probe p = { .head = head, .tail = tail };
        const Format *found = NULL;

        int r = probe_read(s, head, tail, &p.file_size, err);
        if (r < 0)
                return r;
        r = probe_end(formats, &p, PROBE_AT_HEAD, &found, err);
        if (r >= 0 && !found) {
                r = probe_end(formats, &p, PROBE_AT_TAIL, &found, err);
                if (r >= 0 && found && writable)
                        r = probe_refuse_tail(found, err);
        }
        if (r < 0)
                return r;
        *ret = found;
        return 0;
}

const Format *format_find(const Format *const *formats, const char *name)
{
        for (const Format *const *f = formats; *f; f++)
                if (strcmp((*f)->name, name) == 0 || strcmp(format_qemu_name(*f), name) == 0)
                        return *f;
        return NULL;
}
