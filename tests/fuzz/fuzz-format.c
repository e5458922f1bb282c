/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any files as an image of the format FUZZ_FORMAT, which meson gives, and what it names: opened, described, mapped, read,
 * written, discarded, resized, flushed, checked and repaired. Nothing may crash, hang or ask for much memory; what is
 * refused is refused with a text; what the check finds sound stays sound whatever is written, and a repair that says it has
 * mended all has.
 *
 * FUZZ_MEND, where there is a mend-FORMAT.c, puts checksums in order, so that what lies behind them is reached too.
 */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/check.h"
#include "block/info.h"
#include "fake/shelf.h"
#include "files.h"
#include "format/formats.h"
#include "fuzz.h"
#include "image.h"
#include "store/mem.h"

#include <errno.h>

extern const Format FUZZ_FORMAT;

#ifdef FUZZ_MEND
/* In a file of the image, the first one or a further one. */
void fuzz_mend(uint8_t *bytes, size_t len);
#endif

enum {
        INPUT_MAX = 512 << 10,
        STORE_MAX = 24 << 20,

        /* Bits of the last byte of an input: how the image is asked for. */
        CHOICE_AS_IT_IS = 1,

        /* What FUZZ_MEND may be: where an image may ask for minutes of work, none is taken as it is. */
        FUZZ_MEND_ALWAYS = 2,
};

typedef struct Scene {
        Shelf shelf;
        FuzzFiles files;
        Cache *cache;
} Scene;

static int put_file(Scene *s, const FuzzFile *file, uint64_t inode)
{
        Store *store = NULL;

        int r = mem_store_new(file->bytes, file->len, &store);
        return r < 0 ? r : shelf_put(&s->shelf, file->name, inode, store);
}

/* Every open starts from the files as they were. */
static bool scene_init(Scene *s, const uint8_t *bytes, size_t len)
{
        fuzz_files_init(&s->files, bytes, len);
        if (s->files.count == 0 || cache_new(0, &s->cache) < 0)
                return false;
        for (size_t i = 0; i < s->files.count; i++) {
#ifdef FUZZ_MEND
                if (!(bytes[len - 1] & CHOICE_AS_IT_IS) || FUZZ_MEND == FUZZ_MEND_ALWAYS)
                        fuzz_mend(s->files.file[i].bytes, s->files.file[i].len);
#endif
                if (put_file(s, &s->files.file[i], i + 1) < 0)
                        return false;
        }
        return true;
}

static void scene_done(Scene *s)
{
        cache_free(s->cache);
        shelf_done(&s->shelf);
        fuzz_files_done(&s->files);
}

/* Takes `store` in any case. */
static Node *open_store(Scene *s, Store *store, bool writable, bool for_check)
{
        ChainRequest request = {
                .formats = all_formats,
                .raw = &format_raw,
                .format_name = FUZZ_FORMAT.name,
                .file_name = s->files.file[0].name,
                .writable = writable,
                .for_check = for_check,
                .opener = for_check ? NULL : &s->shelf.opener,
                .cache = s->cache,
        };
        Node *n = NULL;
        Err err = { "" };

        mem_store_set_limit(store, STORE_MAX);
        int r = chain_open(&request, store, &n, &err);
        fuzz_require((r >= 0) == (n != NULL), "a chain or a failure");
        fuzz_require(r >= 0 || err.text[0] != '\0', "a refusal says why");
        if (r < 0)
                store_free(store);
        return n;
}

static Node *open_top(Scene *s, bool writable, bool for_check)
{
        Store *store = NULL;

        if (shelf_open(&s->shelf, s->files.file[0].name, &store) < 0)
                return NULL;
        return open_store(s, store, writable, for_check);
}

static bool is_sound(Node *n, CheckRepair repair)
{
        CheckReport report = { .repair = repair };

        return n && node_check(n, &report) == 0 && report.corruptions == 0 &&
               report.check_errors == 0;
}

static bool top_is_sound(Scene *s)
{
        _cleanup_node_ Node *n = open_top(s, false, true);

        return is_sound(n, CHECK_LOOK);
}

static void describe(Node *n)
{
        Info info = { 0 };

        if (n->format->describe)
                (void)n->format->describe(n, &info);
        info_done(&info);
}

static void read_image(Scene *s, const uint8_t *bytes, size_t len)
{
        _cleanup_node_ Node *n = open_top(s, false, false);

        if (!n)
                return;
        describe(n);
        fuzz_image_map(n);
        fuzz_image_read(n, bytes, len);
}

/* Writes to the image, and says whether what it has become is sound; true also where nothing can be said. */
static bool write_image(Scene *s, const uint8_t *bytes, size_t len)
{
        _cleanup_node_ Node *n = open_top(s, true, false);
        Store *copy = NULL;

        if (!n)
                return true;
        fuzz_image_write(n, bytes, len);
        if (!n->format->check || node_flush(n) < 0 || mem_store_copy(n->store, &copy) < 0)
                return true;
        _cleanup_node_ Node *written = open_store(s, copy, false, true);
        return is_sound(written, CHECK_LOOK);
}

static void repair_image(Scene *s)
{
        _cleanup_node_ Node *n = open_top(s, true, true);
        Store *copy = NULL;

        if (!is_sound(n, CHECK_REPAIR_ALL) || mem_store_copy(n->store, &copy) < 0)
                return;
        _cleanup_node_ Node *repaired = open_store(s, copy, false, true);
        fuzz_require(is_sound(repaired, CHECK_LOOK), "what was repaired is sound");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        Scene s = { 0 };

        if (len < 16 || len > INPUT_MAX)
                return 0;
        shelf_init(&s.shelf);
        if (scene_init(&s, bytes, len)) {
                read_image(&s, bytes, len);
                bool was_sound = top_is_sound(&s);
                bool is_written = write_image(&s, bytes, len);
                fuzz_require(is_written || !was_sound,
                             "what was sound stays sound, whatever is written");
                repair_image(&s);
        }
        scene_done(&s);
        return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t max_len, unsigned seed)
{
        return fuzz_files_mutate(bytes, len, max_len, seed);
}
