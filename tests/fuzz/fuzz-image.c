/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image as the worker and the command meet it: its format is guessed, what it names is opened (further pieces of the
 * same input, which may be itself again), it is described, read, and written. What it says of itself is printed without
 * a byte that a terminal would obey.
 */
#include "base/cleanup.h"
#include "block/cache.h"
#include "block/chain.h"
#include "block/opener.h"
#include "cli/info-layer.h"
#include "cli/text.h"
#include "format/formats.h"
#include "fuzz.h"
#include "image.h"
#include "mutate-qcow2.h"
#include "store/mem.h"

#include <json-c/json.h>
#include <locale.h>

enum {
        PIECES_MAX = 8,
        INPUT_MAX = 512 << 10,
        LAYERS_SHOWN = 4,
};

static const char separator[] = "\n=== next file ===\n";

typedef struct Pieces {
        Opener opener;
        FuzzInput piece[PIECES_MAX];
        size_t count;
        size_t opened;
} Pieces;

static void pieces_cut(FuzzInput in, Pieces *ret)
{
        size_t len = sizeof(separator) - 1;

        while (ret->count < PIECES_MAX) {
                const uint8_t *end = ret->count + 1 < PIECES_MAX && in.len > 0
                                             ? memmem(in.bytes, in.len, separator, len)
                                             : NULL;
                ret->piece[ret->count++] =
                        fuzz_take_bytes(&in, end ? (size_t)(end - in.bytes) : in.len);
                if (!end)
                        break;
                (void)fuzz_take_bytes(&in, len);
        }
}

/* A digit at the end of a name says which piece it is; else it is the next one. */
static int pieces_open(
        Opener *o, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        Pieces *p = (Pieces *)o;
        size_t len = strlen(name);
        char last = len > 0 ? name[len - 1] : 0;
        size_t index = (last >= '0' && last <= '9' ? (size_t)(last - '0') : ++p->opened) % p->count;
        Store *s = NULL;

        int r = fuzz_image_store(p->piece[index].bytes, p->piece[index].len, &s);
        if (r < 0)
                return err_set(err, -r, "%m");
        mem_store_set_inode(s, index + 1);
        *ret = s;
        return 0;
}

/* Nothing that a terminal would obey: no control character, and no UTF-8 that is not. */
static void require_printable(const char *text)
{
        _cleanup_free_ char *clean = text_printable(text);

        fuzz_require(clean && strcmp(clean, text) == 0, "what is printed is printable");
}

static void print_layer(const InfoLayer *layer)
{
        json_object *json = info_layer_json(layer);

        if (json)
                text_print_json(json_object_to_json_string(json));
        json_object_put(json);
        info_layer_print(layer);
}

static void show_layer(const Node *n)
{
        InfoLayer layer = { 0 };
        FILE *out = stdout;
        char *text = NULL;
        size_t size = 0;
        Err err = { "" };

        if (info_layer_init(&layer, n, "/a/disk", "/a/disk", &err) >= 0) {
                stdout = open_memstream(&text, &size);
                if (!stdout)
                        exit(1);
                print_layer(&layer);
                fclose(stdout);
                stdout = out;
                for (char *line = text, *rest = text; (line = strsep(&rest, "\n"));)
                        require_printable(line);
                free(text);
        }
        info_layer_done(&layer);
}

static void use_chain(Node *n, FuzzInput in)
{
        const Node *layer = n;

        for (unsigned i = 0; i < LAYERS_SHOWN && layer; i++, layer = layer->backing)
                show_layer(layer);
        if (n->for_check)
                return;
        fuzz_image_map(n);
        fuzz_image_read(n, in.bytes, in.len);
        if (n->writable)
                fuzz_image_write(n, in.bytes, in.len);
}

/* The last bytes say how it is asked for. */
static ChainRequest request_take(const uint8_t *bytes, size_t len, Pieces *p, Cache *cache)
{
        static const char *const names[] = { NULL, NULL, "qcow2", "raw" };
        static const char *const snapshots[] = { NULL, NULL, NULL, "1" };
        unsigned choice = bytes[len - 1];

        return (ChainRequest){
                .formats = all_formats,
                .raw = &format_raw,
                .format_name = names[choice % 4],
                .file_name = "disk.E01",
                .snapshot = snapshots[choice / 4 % 4],
                .writable = choice & 0x10,
                .for_check = (choice & 0x60) == 0x60,
                .opener = choice & 0x80 ? NULL : &p->opener,
                .cache = cache,
        };
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        Pieces pieces = { .opener.open = pieces_open };
        FuzzInput in = { bytes, len };
        _cleanup_cache_ Cache *cache = NULL;
        _cleanup_store_ Store *top = NULL;
        _cleanup_node_ Node *n = NULL;
        Err err = { "" };

        if (len == 0 || len > INPUT_MAX || cache_new(0, &cache) < 0)
                return 0;
        pieces_cut(in, &pieces);
        if (fuzz_image_store(pieces.piece[0].bytes, pieces.piece[0].len, &top) < 0)
                return 0;
        mem_store_set_inode(top, 1);
        ChainRequest request = request_take(bytes, len, &pieces, cache);
        int r = chain_open(&request, top, &n, &err);
        fuzz_require((r >= 0) == (n != NULL), "a chain or a failure");
        if (r < 0) {
                fuzz_require(err.text[0] != '\0', "a refusal says why");
                return 0;
        }
        TAKE(top);
        use_chain(n, in);
        return 0;
}

/* One of the pieces is an image, and mutated like one. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t max_len, unsigned seed)
{
        Pieces pieces = { 0 };

        pieces_cut((FuzzInput){ bytes, len }, &pieces);
        size_t index = seed / 8 % pieces.count;
        FuzzInput piece = pieces.piece[index];
        /* Only the last one can change its length. */
        if (seed % 8 == 0 || piece.len < 512)
                return LLVMFuzzerMutate(bytes, len, max_len);
        size_t at = (size_t)(piece.bytes - bytes);
        size_t room = index + 1 == pieces.count ? max_len - at : piece.len;
        size_t now = fuzz_mutate_qcow2(bytes + at, piece.len, room, seed / 64);
        if (index + 1 == pieces.count)
                return at + now;
        if (now < piece.len)
                memset(bytes + at + now, 0, piece.len - now);
        return len;
}
