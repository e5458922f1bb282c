/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a qcow2 image: opened, mapped, read, written, discarded, resized, flushed, checked and repaired. Nothing may
 * crash, hang or ask for much memory; what is refused is refused.
 */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/check.h"
#include "fuzz.h"
#include "image.h"
#include "mutate-qcow2.h"
#include "store/mem.h"

extern const Format format_qcow2;

enum {
        /* Longer inputs find nothing new. */
        INPUT_MAX = 256 << 10,
};

/* Takes `s` in any case. */
static Node *open_store(Store *s, const NodeOptions *options)
{
        Node *n = NULL;

        if (node_open(&format_qcow2, s, options, NULL, &n, NULL) >= 0)
                return n;
        store_free(s);
        return NULL;
}

static Node *open_image(const uint8_t *bytes, size_t len, const NodeOptions *options)
{
        Store *s = NULL;

        return fuzz_image_store(bytes, len, &s) < 0 ? NULL : open_store(s, options);
}

/* A cluster that two entries of one table refer to loses a reference when one of them is written to. Nobody knows the
 * other entry, which would now have COPIED: all that its lack costs is a copy that could have been spared. */
static void count_spared_copy(void *arg, const char *text)
{
        static const char harmless[] = "the COPIED bit, with a refcount of 1";
        uint64_t *count = arg;
        size_t len = strlen(text), end = sizeof(harmless) - 1;

        if (len > end && strcmp(text + len - end, harmless) == 0)
                (*count)++;
}

/* Does the check find the image to be without corruption? */
static bool is_sound(Node *n, CheckRepair repair)
{
        CheckReport report = { .repair = repair };

        return n && node_check(n, &report) == 0 && report.corruptions == 0 &&
               report.check_errors == 0;
}

/* The same after writing. */
static bool is_still_sound(Node *n)
{
        uint64_t harmless = 0;
        CheckReport report = { .tell = count_spared_copy, .arg = &harmless };

        return n && node_check(n, &report) == 0 && report.corruptions == harmless &&
               report.check_errors == 0;
}

static bool bytes_are_sound(const uint8_t *bytes, size_t len, Cache *cache)
{
        NodeOptions options = { .cache = cache, .for_check = true };
        _cleanup_node_ Node *n = open_image(bytes, len, &options);

        return is_sound(n, CHECK_LOOK);
}

/* Writes to the image, and says whether what it has become is sound; true also where nothing can be said. */
static bool write_image(const uint8_t *bytes, size_t len, Cache *cache)
{
        NodeOptions options = { .cache = cache, .writable = true };
        NodeOptions for_check = { .cache = cache, .for_check = true };
        _cleanup_node_ Node *n = open_image(bytes, len, &options);
        Store *copy = NULL;

        if (!n)
                return true;
        fuzz_image_write(n, bytes, len);
        if (node_flush(n) < 0 || mem_store_copy(n->store, &copy) < 0)
                return true;
        _cleanup_node_ Node *written = open_store(copy, &for_check);
        return is_still_sound(written);
}

static void read_image(const uint8_t *bytes, size_t len, Cache *cache)
{
        NodeOptions options = { .cache = cache };
        _cleanup_node_ Node *n = open_image(bytes, len, &options);

        if (!n)
                return;
        fuzz_image_map(n);
        fuzz_image_read(n, bytes, len);
}

/* A repair that says it has mended all has. */
static void repair_image(const uint8_t *bytes, size_t len, Cache *cache)
{
        NodeOptions options = { .cache = cache, .for_check = true, .writable = true };
        NodeOptions for_check = { .cache = cache, .for_check = true };
        _cleanup_node_ Node *n = open_image(bytes, len, &options);
        Store *copy = NULL;

        if (!is_sound(n, CHECK_REPAIR_ALL) || mem_store_copy(n->store, &copy) < 0)
                return;
        _cleanup_node_ Node *repaired = open_store(copy, &for_check);
        fuzz_require(is_sound(repaired, CHECK_LOOK), "what was repaired is sound");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        _cleanup_cache_ Cache *cache = NULL;

        if (len < 72 || len > INPUT_MAX || cache_new(0, &cache) < 0)
                return 0;
        read_image(bytes, len, cache);
        bool was_sound = bytes_are_sound(bytes, len, cache);
        bool is_written = write_image(bytes, len, cache);
        fuzz_require(is_written || !was_sound, "what was sound stays sound, whatever is written");
        repair_image(bytes, len, cache);
        return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t max_len, unsigned seed)
{
        return fuzz_mutate_qcow2(bytes, len, max_len, seed);
}
