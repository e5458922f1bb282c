/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nodes.h"

#include "block/chain.h"
#include "block/limits.h"
#include "fake/shelf.h"

#include <errno.h>

static int plain_open(Node *n, Opener *opener, Err *err)
{
        return store_get_size(n->store, &n->size);
}

static void plain_close(Node *n)
{
}

static int plain_map(Node *n, uint64_t off, uint64_t len, Extent *ret)
{
        *ret = (Extent){ .kind = EXTENT_DATA, .len = n->size, .store = n->store, .in_place = true };
        return 0;
}

/* Stands for raw: the floor of the formats is above this one. */
static const Format format_plain = {
        .name = "raw", .open = plain_open, .close = plain_close, .map = plain_map
};

static const Format *const formats[] = { &format_fake, NULL };

typedef struct Scene {
        Shelf shelf;
        Cache *cache;
        ChainRequest request;
} Scene;

static void scene_open(Scene *s)
{
        shelf_init(&s->shelf);
        s->cache = new_cache();
        s->request = (ChainRequest){ .formats = formats,
                                     .raw = &format_plain,
                                     .opener = &s->shelf.opener,
                                     .cache = s->cache };
}

static void scene_close(Scene *s)
{
        cache_free(s->cache);
        shelf_done(&s->shelf);
}

static void put_fake(
        Scene *s, const char *name, const char *layout, const char *backing, const char *below)
{
        FakeImage image = { .size = strlen(layout) * G,
                            .granule = G,
                            .layout = layout,
                            .backing = backing,
                            .below = below };
        Store *store = NULL;
        assert_int_equal(fake_make(&image, &store), 0);
        assert_int_equal(shelf_put(&s->shelf, name, 0, store), 0);
}

static void put_text(Scene *s, const char *name, const char *text)
{
        Store *store = NULL;
        assert_int_equal(mem_store_new(text, strlen(text), &store), 0);
        assert_int_equal(shelf_put(&s->shelf, name, 0, store), 0);
}

static Node *scene_chain(Scene *s, const char *top)
{
        Store *store = NULL;
        Node *n = NULL;
        Err err = { "" };
        assert_int_equal(shelf_open(&s->shelf, top, &store), 0);
        if (chain_open(&s->request, store, &n, &err) < 0)
                fail_msg("%s: %s", top, err.text);
        return n;
}

/* The top store stays the caller's, who frees it here. */
static void scene_refuses(Scene *s, const char *top, int code, const char *text)
{
        _cleanup_store_ Store *store = NULL;
        Node *n = NULL;
        Err err = { "" };
        assert_int_equal(shelf_open(&s->shelf, top, &store), 0);
        int r = chain_open(&s->request, store, &n, &err);
        if (r != -code || strcmp(err.text, text) != 0)
                fail_msg("%s: %d, %s", top, r, err.text);
        assert_null(n);
}

static void test_layers_shine_through(void **state)
{
        Scene s;
        scene_open(&s);
        put_fake(&s, "top", "d...", "mid", "fake");
        put_fake(&s, "mid", ".d..", "file:base", "raw");
        put_text(&s, "base", "raw bytes");
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_guest_bytes(n, 'A', G, 0);
                assert_guest_bytes(n, 'B', G, G);
                assert_guest_bytes(n, 0, G, 2 * G);
                assert_false(n->guessed);
                assert_string_equal(n->backing->backing->format->name, "raw");
                assert_false(n->backing->backing->guessed);
                assert_null(n->backing->backing->backing);
        }
        scene_close(&s);
}

static void test_a_layer_by_its_number(void **state)
{
        Scene s;
        scene_open(&s);
        put_fake(&s, "top", "d...", "mid", "fake");
        put_fake(&s, "mid", ".d..", "base", "fake");
        put_fake(&s, "base", "..d.", NULL, NULL);
        s.request.layer = 1;
        {
                _cleanup_node_ Node *top = scene_chain(&s, "top");
                Node *n = chain_find_layer(top, 1);
                assert_true(top->stays_locked);
                assert_false(n->stays_locked || n->is_below);
                assert_true(n->backing->is_below);
                assert_guest_bytes(n, 0, G, 0);
                assert_guest_bytes(n, 'B', G, G);
                assert_guest_bytes(n, 'C', G, 2 * G);
                assert_ptr_equal(chain_find_layer(top, 0), top);
                assert_null(chain_find_layer(top, 3));
        }
        s.request.layer_alone = true;
        {
                _cleanup_node_ Node *top = scene_chain(&s, "top");
                Node *n = chain_find_layer(top, 1);
                uint64_t at = 0;
                assert_null(n->backing);
                assert_guest_bytes(n, 'B', G, G);
                assert_guest_bytes(n, 0, G, 2 * G);
                assert_int_equal(node_find(n, NODE_FIND_DATA, 2 * G, &at), -ENXIO);
        }
        s.request.layer = 0;
        {
                _cleanup_node_ Node *top = scene_chain(&s, "top");
                assert_null(top->backing);
                assert_false(top->stays_locked);
        }
        scene_close(&s);
}

/* Lays `over` over the chain of `image`. NULL: it is refused, with that text. */
static Node *scene_lay_over(Scene *s, const char *over, const char *image, const char *text)
{
        _cleanup_store_ Store *store = NULL;
        Node *n = scene_chain(s, image), *top = NULL;
        Err err = { "" };

        assert_int_equal(shelf_open(&s->shelf, over, &store), 0);
        int r = chain_lay_over(&s->request, &format_fake, store, n, &top, &err);
        if ((r < 0) != (text != NULL) || (text && strcmp(err.text, text) != 0))
                fail_msg("%s over %s: %d, %s", over, image, r, err.text);
        if (r >= 0)
                TAKE(store);
        else
                node_close(n);
        return top;
}

static void test_what_is_laid_over_an_image(void **state)
{
        Scene s;
        scene_open(&s);
        put_fake(&s, "base", "dd..", NULL, NULL);
        put_fake(&s, "image", ".d..", "base", "fake");
        for (size_t i = 0; i < s.shelf.count; i++)
                s.shelf.items[i].inode = 100 + i;
        put_fake(&s, "over", "..d.", "image", "fake");
        put_fake(&s, "over-base", "..d.", "base", "fake");
        put_fake(&s, "over-raw", "....", "image", "raw");
        put_fake(&s, "over-nothing", "....", NULL, NULL);
        put_fake(&s, "over-missing", "....", "missing", "fake");
        {
                _cleanup_node_ Node *n = scene_lay_over(&s, "over", "image", NULL);
                uint8_t byte = 7;
                assert_true(n->writable);
                assert_false(n->backing->writable);
                assert_guest_bytes(n, 'A', G, 0);
                assert_guest_bytes(n, 'C', G, 2 * G);
                assert_int_equal(node_write(n, &byte, 1, 0), 0);
                assert_guest_bytes(n->backing, 'A', G, 0);
                assert_guest_bytes(n, 7, 1, 0);
        }
        scene_lay_over(&s, "over-base", "image", "its backing file 'base' is not the image");
        scene_lay_over(
                &s, "over-raw", "image",
                "it was made over an image of format 'raw', and this one is opened as 'fake' "
                "(--format= says what it is)");
        scene_lay_over(&s, "over-nothing", "image", "names no backing file, so it is no overlay");
        scene_lay_over(&s, "over-missing", "image",
                       "backing file 'missing': cannot open it: No such file or directory");
        scene_lay_over(&s, "image", "image", "is in the chain already");
        scene_lay_over(&s, "base", "image", "is in the chain already");
        scene_close(&s);
}

static void test_what_a_layer_is_called(void **state)
{
        Scene s;
        scene_open(&s);
        put_fake(&s, "top", "d...", "file:mid", "fake");
        put_fake(&s, "mid", ".d..", "folder/base", "raw");
        put_text(&s, "folder/base", "raw bytes");
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_null(n->file_name);
                assert_string_equal(n->backing->file_name, "mid");
                assert_string_equal(n->backing->backing->file_name, "base");
        }
        s.request.file_name = "top";
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_string_equal(n->file_name, "top");
        }
        scene_close(&s);
}

static void test_layers_below_are_read_only(void **state)
{
        Scene s;
        scene_open(&s);
        s.request.writable = true;
        put_fake(&s, "top", "d.", "base", "fake");
        put_fake(&s, "base", "dd", NULL, NULL);
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_true(n->writable);
                assert_false(n->backing->writable);
                assert_int_equal(node_write(n, "xx", 2, G - 1), 0);
                assert_guest_bytes(n->backing, 'B', G, G);
        }
        scene_close(&s);
}

static void test_raw_is_guessed_only_for_reading(void **state)
{
        Scene s;
        scene_open(&s);
        put_text(&s, "disk", "no magic at all");
        {
                _cleanup_node_ Node *n = scene_chain(&s, "disk");
                assert_string_equal(n->format->name, "raw");
                assert_true(n->guessed);
                assert_guest_bytes(n, 'n', 1, 0);
        }
        s.request.writable = true;
        scene_refuses(
                &s, "disk", EOPNOTSUPP,
                "no format is recognised, and a raw disk is opened for writing only when it is "
                "named: --format=raw");
        s.request.format_name = "raw";
        {
                _cleanup_node_ Node *n = scene_chain(&s, "disk");
                assert_false(n->guessed);
                assert_int_equal(node_write(n, "N", 1, 0), 0);
        }
        scene_close(&s);
}

static void test_a_named_format_is_not_probed(void **state)
{
        Scene s;
        scene_open(&s);
        put_fake(&s, "top", "d", NULL, NULL);
        s.request.format_name = "raw";
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_guest_bytes(n, 'F', 1, 0);
        }
        s.request.format_name = "fake";
        put_text(&s, "disk", "no magic at all, and long enough for a header of that");
        scene_refuses(&s, "disk", EBADMSG, "fake: header: magic is not FAKEDISK");
        s.request.format_name = "qcow9";
        scene_refuses(&s, "top", EOPNOTSUPP, "format 'qcow9' is not known");
        scene_close(&s);
}

static void test_without_an_opener_there_is_only_the_top(void **state)
{
        Scene s;
        scene_open(&s);
        s.request.opener = NULL;
        put_fake(&s, "top", "d.", "nowhere", "fake");
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_null(n->backing);
                assert_string_equal(n->backing_name, "nowhere");
        }
        scene_close(&s);
}

/* A driver that opens one more file of its image. */
static int pieces_open(Node *n, Opener *opener, Err *err)
{
        Store *s = NULL;

        int r = format_fake.open(n, opener, err);
        if (r < 0 || !opener)
                return r;
        r = opener->open(opener, n->store, "piece", STORE_READ_ONLY, &s, err);
        return r < 0 ? r : node_adopt_store(n, s);
}

static void test_the_top_alone_may_be_in_pieces(void **state)
{
        Format pieces = format_fake;
        const Format *const with_pieces[] = { &pieces, NULL };
        Scene s;

        pieces.open = pieces_open;
        scene_open(&s);
        s.request.formats = with_pieces;
        s.request.only_top = true;
        put_fake(&s, "top", "d.", "nowhere", "fake");
        put_fake(&s, "piece", "d.", NULL, NULL);
        for (size_t count = 0; count < 2; count++) {
                pieces.has_pieces = count == 1;
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_int_equal(n->extra_count, count);
                assert_null(n->backing);
        }
        scene_close(&s);
}

static void test_the_snapshot_is_of_the_top(void **state)
{
        Scene s;
        scene_open(&s);
        s.request.snapshot = "before";
        put_fake(&s, "top", "d.", "base", "fake");
        scene_refuses(&s, "top", ENOENT, "fake: there is no snapshot 'before'");
        scene_close(&s);
}

static void test_what_a_layer_must_state(void **state)
{
        static const struct {
                const char *backing, *below;
                int code;
                const char *text;
        } cases[] = {
                { "base", NULL, EOPNOTSUPP,
                  "backing file 'base': the image does not state its format, and it is not guessed; "
                  "`qemu-img rebase -u -b NAME -F FORMAT IMAGE` states it" },
                { "base", "qcow9", EOPNOTSUPP, "backing file 'base': format 'qcow9' is not known" },
                { "gone", "fake", ENOENT,
                  "backing file 'gone': cannot open it: No such file or directory" },
                { "nbd:h", "fake", EOPNOTSUPP,
                  "backing file 'nbd:h': protocol 'nbd:' is not a local file" },
                { "text", "fake", EBADMSG,
                  "backing file 'text': fake: header: magic is not FAKEDISK" },
                { "json:{\"driver\":\"raw\",\"file.filename\":\"base\"}", "fake", EBADMSG,
                  "backing file 'json:{\"driver\":\"raw\",\"file.filename\":\"base\"}': the image states "
                  "format 'fake' and, in the name, 'raw'" },
                { "gone\n\33[2J", "fake", ENOENT,
                  "backing file 'gone??[2J': cannot open it: No such file or directory" },
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Scene s;
                scene_open(&s);
                put_fake(&s, "top", ".", cases[i].backing, cases[i].below);
                put_fake(&s, "base", "d", NULL, NULL);
                put_text(&s, "text",
                         "a text that is long enough to hold the header of a fake image");
                scene_refuses(&s, "top", cases[i].code, cases[i].text);
                scene_close(&s);
        }
}

static void test_a_json_name_states_the_format(void **state)
{
        Scene s;
        scene_open(&s);
        put_fake(&s, "top", ".", "json:{\"driver\":\"fake\",\"file\":{\"filename\":\"base\"}}",
                 NULL);
        put_fake(&s, "base", "d", NULL, NULL);
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_guest_bytes(n, 'A', G, 0);
        }
        scene_close(&s);
}

/* A layer that names a whole header in its data is still what its overlay says. */
static void test_a_planted_header_is_not_followed(void **state)
{
        Scene s;
        scene_open(&s);
        put_fake(&s, "top", ".", "planted", "raw");
        put_fake(&s, "planted", ".", "/etc/shadow", "raw");
        {
                _cleanup_node_ Node *n = scene_chain(&s, "top");
                assert_guest_bytes(n, 'F', 1, 0);
                assert_null(n->backing->backing_name);
                assert_int_equal(s.shelf.opened, 2);
        }
        scene_close(&s);
}

/* A driver whose images give two further names for the layer below, and which knows that layer by its second byte. */
static int others_open(Node *n, Opener *opener, Err *err)
{
        int r = format_fake.open(n, opener, err);
        if (r < 0 || !n->backing_name)
                return r;
        r = node_add_backing_other(n, "second");
        return r < 0 ? r : node_add_backing_other(n, "third");
}

static int others_check_backing(Node *n, Node *below, Err *err)
{
        uint8_t byte = 0;
        int r = node_read(below, &byte, 1, G);
        if (r < 0)
                return r;
        return byte == 'B' ? 0 : err_set(err, EBADMSG, "its second granule is not the one we know");
}

static void test_a_layer_may_have_several_names(void **state)
{
        static const struct {
                const char *there[3]; /* what can be opened; NULL ends it */
                const char *layout;
                int code;
                const char *text;
        } cases[] = {
                { { "first", "third" }, "dd", 0, NULL },
                { { "second" }, "dd", 0, NULL },
                { { "third" }, "dd", 0, NULL },
                { { NULL },
                  "dd",
                  ENOENT,
                  "backing file 'first': of its 3 names the last is 'third': cannot open it: No such file or "
                  "directory" },
                { { "third" },
                  "d.",
                  EBADMSG,
                  "backing file 'first': its second granule is not the one we know" },
        };
        Format others = format_fake;
        const Format *const with_others[] = { &format_fake, &others, NULL };

        others.name = "others";
        others.open = others_open;
        others.check_backing = others_check_backing;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Scene s;
                scene_open(&s);
                s.request.formats = with_others;
                s.request.format_name = "others";
                put_fake(&s, "top", "..", "first", "fake");
                for (size_t j = 0; j < 3 && cases[i].there[j]; j++)
                        put_fake(&s, cases[i].there[j], cases[i].layout, NULL, NULL);
                if (cases[i].code) {
                        scene_refuses(&s, "top", cases[i].code, cases[i].text);
                } else {
                        _cleanup_node_ Node *n = scene_chain(&s, "top");
                        assert_guest_bytes(n, 'A', G, 0);
                }
                scene_close(&s);
        }
}

static void test_names_have_a_bound(void **state)
{
        Node n = { 0 };

        for (unsigned i = 0; i < LIMIT_BACKING_OTHERS; i++)
                assert_int_equal(node_add_backing_other(&n, "x"), 0);
        assert_int_equal(node_add_backing_other(&n, "x"), -EFBIG);
        for (unsigned i = 0; i < LIMIT_BACKING_OTHERS; i++)
                free(n.backing_others[i]);
        assert_null(n.backing_others[LIMIT_BACKING_OTHERS]);
        free(n.backing_others);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_layers_shine_through),
                cmocka_unit_test(test_a_layer_by_its_number),
                cmocka_unit_test(test_what_is_laid_over_an_image),
                cmocka_unit_test(test_what_a_layer_is_called),
                cmocka_unit_test(test_layers_below_are_read_only),
                cmocka_unit_test(test_raw_is_guessed_only_for_reading),
                cmocka_unit_test(test_a_named_format_is_not_probed),
                cmocka_unit_test(test_without_an_opener_there_is_only_the_top),
                cmocka_unit_test(test_the_top_alone_may_be_in_pieces),
                cmocka_unit_test(test_the_snapshot_is_of_the_top),
                cmocka_unit_test(test_what_a_layer_must_state),
                cmocka_unit_test(test_a_json_name_states_the_format),
                cmocka_unit_test(test_a_planted_header_is_not_followed),
                cmocka_unit_test(test_a_layer_may_have_several_names),
                cmocka_unit_test(test_names_have_a_bound),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
