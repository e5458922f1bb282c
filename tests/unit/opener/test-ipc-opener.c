/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "opener/ipc-opener.h"

#include "../fd-count.h"
#include "base/cleanup.h"
#include "ipc/channel.h"
#include "store/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

/* The other end of the channel: its answer lies there before the question is asked. */
typedef struct Desk {
        int ours, theirs;
        Store *top;
        IpcOpener opener;
} Desk;

static void desk_open(Desk *d)
{
        int ends[2];

        assert_int_equal(channel_pair(ends, NULL), 0);
        d->ours = ends[0];
        d->theirs = ends[1];
        assert_int_equal(mem_store_new(NULL, 512, &d->top), 0);
        assert_int_equal(ipc_opener_init(&d->opener, d->theirs, d->top, NULL), 0);
}

static void desk_close(Desk *d)
{
        ipc_opener_done(&d->opener);
        d->top = store_free(d->top);
        cleanup_close(&d->ours);
        cleanup_close(&d->theirs);
}

static void desk_answer_link(Desk *d, uint32_t layer, const char *target, const char *contents)
{
        Message m = { .kind = MESSAGE_OPENED, .opened.layer = layer };
        strcpy(m.opened.target, target);
        _cleanup_close_ int fd = memfd_create("layer", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, contents, strlen(contents)), strlen(contents));
        assert_int_equal(channel_send(d->ours, &m, fd, NULL), 0);
}

static void desk_answer_opened(Desk *d, uint32_t layer, const char *contents)
{
        desk_answer_link(d, layer, "", contents);
}

static void desk_expect_question(Desk *d, uint32_t namer, const char *name, bool writable)
{
        Message m;
        int fd = -1;

        assert_int_equal(channel_receive(d->ours, &m, &fd, NULL), 1);
        assert_int_equal(m.kind, MESSAGE_OPEN);
        assert_int_equal(m.open.namer, namer);
        assert_int_equal(m.open.writable, writable);
        assert_string_equal(m.open.name, name);
        assert_int_equal(fd, -1);
}

static int desk_ask(Desk *d, Store *namer, const char *name, StoreMode mode, Store **ret, Err *err)
{
        return d->opener.opener.open(&d->opener.opener, namer, name, mode, ret, err);
}

static void test_each_file_is_known_by_its_number(void **state)
{
        _cleanup_store_ Store *a = NULL, *b = NULL;
        char text[4] = "";
        Desk d;

        desk_open(&d);
        desk_answer_opened(&d, 5, "aaa");
        assert_int_equal(desk_ask(&d, d.top, "a.raw", STORE_READ_ONLY, &a, NULL), 0);
        desk_expect_question(&d, 0, "a.raw", false);
        assert_int_equal(store_read(a, text, 3, 0), 0);
        assert_string_equal(text, "aaa");

        desk_answer_opened(&d, 9, "bbb");
        assert_int_equal(desk_ask(&d, a, "../b", STORE_WRITABLE, &b, NULL), 0);
        desk_expect_question(&d, 5, "../b", true);
        assert_int_equal(store_write(b, "c", 1, 0), 0);
        assert_int_equal(store_write(a, "c", 1, 0), -EBADF);
        desk_close(&d);
}

static void test_where_a_link_leads(void **state)
{
        _cleanup_store_ Store *a = NULL, *b = NULL, *stranger = NULL;
        Desk d;

        desk_open(&d);
        desk_answer_link(&d, 1, "/vm/base.raw", "aaa");
        assert_int_equal(desk_ask(&d, d.top, "link", STORE_READ_ONLY, &a, NULL), 0);
        desk_answer_opened(&d, 2, "bbb");
        assert_int_equal(desk_ask(&d, a, "b", STORE_READ_ONLY, &b, NULL), 0);
        assert_string_equal(ipc_opener_target(&d.opener, a), "/vm/base.raw");
        assert_non_null(ipc_opener_name(&d.opener, a));
        assert_null(ipc_opener_name(&d.opener, d.top));
        assert_null(ipc_opener_target(&d.opener, b));
        assert_null(ipc_opener_target(&d.opener, d.top));
        assert_int_equal(mem_store_new(NULL, 512, &stranger), 0);
        assert_null(ipc_opener_target(&d.opener, stranger));
        desk_close(&d);
}

static void test_a_refusal_is_told_in_the_broker_s_words(void **state)
{
        Message m = { .kind = MESSAGE_REFUSED, .error = { EACCES, "References=none forbids it" } };
        Store *s = NULL;
        Err err = { "" };
        Desk d;

        desk_open(&d);
        assert_int_equal(channel_send(d.ours, &m, -1, NULL), 0);
        assert_int_equal(desk_ask(&d, d.top, "%s%n", STORE_READ_ONLY, &s, &err), -EACCES);
        assert_string_equal(err.text, "References=none forbids it");
        assert_null(s);
        desk_expect_question(&d, 0, "%s%n", false);

        /* A refusal without a number is one all the same. */
        m.error.code = 0;
        assert_int_equal(channel_send(d.ours, &m, -1, NULL), 0);
        assert_int_equal(desk_ask(&d, d.top, "x", STORE_READ_ONLY, &s, &err), -EACCES);
        desk_close(&d);
}

static void test_other_answers_are_errors(void **state)
{
        Message m = { .kind = MESSAGE_SERVING };
        Store *s = NULL;
        Err err = { "" };
        Desk d;

        desk_open(&d);
        assert_int_equal(channel_send(d.ours, &m, -1, NULL), 0);
        assert_int_equal(desk_ask(&d, d.top, "x", STORE_READ_ONLY, &s, &err), -EPROTO);
        assert_string_equal(err.text, "OPEN was answered with message 8");
        desk_expect_question(&d, 0, "x", false);

        close(fd_take(&d.ours));
        assert_int_equal(desk_ask(&d, d.top, "x", STORE_READ_ONLY, &s, NULL), -EPIPE);
        desk_close(&d);
}

static void test_what_cannot_be_asked_is_not(void **state)
{
        _cleanup_store_ Store *stranger = NULL;
        char name[MESSAGE_NAME_MAX + 1];
        Store *s = NULL;
        Err err = { "" };
        Desk d;

        desk_open(&d);
        memset(name, 'x', sizeof(name));
        name[MESSAGE_NAME_MAX] = '\0';
        assert_int_equal(desk_ask(&d, d.top, name, STORE_READ_ONLY, &s, &err), -ENAMETOOLONG);
        assert_int_equal(mem_store_new(NULL, 512, &stranger), 0);
        assert_int_equal(desk_ask(&d, stranger, "x", STORE_READ_ONLY, &s, &err), -EINVAL);

        /* The longest name that there is. */
        name[MESSAGE_NAME_MAX - 1] = '\0';
        desk_answer_opened(&d, 1, "a");
        assert_int_equal(desk_ask(&d, d.top, name, STORE_READ_ONLY, &s, &err), 0);
        desk_expect_question(&d, 0, name, false);
        s = store_free(s);
        desk_close(&d);
}

static int desk_want(Desk *d, Store *of, Secret **ret, Err *err)
{
        return d->opener.opener.get_secret(&d->opener.opener, of, "luks", ret, err);
}

static void desk_expect_want(Desk *d, uint32_t layer)
{
        Message m;

        assert_int_equal(channel_receive(d->ours, &m, NULL, NULL), 1);
        assert_int_equal(m.kind, MESSAGE_SECRET_WANTED);
        assert_int_equal(m.secret_wanted.layer, layer);
        assert_string_equal(m.secret_wanted.what, "luks");
}

static void test_a_passphrase_is_for_a_layer(void **state)
{
        Message m = { .kind = MESSAGE_SECRET, .secret = { 5, "a\0b\n" } };
        _cleanup_store_ Store *a = NULL;
        _cleanup_secret_ Secret *s = NULL, *other = NULL;
        Desk d;

        desk_open(&d);
        desk_answer_opened(&d, 5, "aaa");
        assert_int_equal(desk_ask(&d, d.top, "a.raw", STORE_READ_ONLY, &a, NULL), 0);
        desk_expect_question(&d, 0, "a.raw", false);
        assert_int_equal(channel_send(d.ours, &m, -1, NULL), 0);
        assert_int_equal(desk_want(&d, a, &s, NULL), 0);
        desk_expect_want(&d, 5);
        assert_int_equal(s->len, 5);
        assert_memory_equal(s->bytes, "a\0b\n", 5);

        m.secret.len = SECRET_MAX;
        assert_int_equal(channel_send(d.ours, &m, -1, NULL), 0);
        assert_int_equal(desk_want(&d, d.top, &other, NULL), 0);
        desk_expect_want(&d, 0);
        assert_int_equal(other->len, SECRET_MAX);
        desk_close(&d);
}

static void test_there_may_be_no_passphrase(void **state)
{
        static const struct {
                Message m;
                int r;
                const char *text;
        } cases[] = {
                { { .kind = MESSAGE_REFUSED, .error = { EKEYREJECTED, "wrong passphrase" } },
                  -EKEYREJECTED,
                  "wrong passphrase" },
                { { .kind = MESSAGE_REFUSED, .error = { 0, "%s" } }, -ENOKEY, "%s" },
                { { .kind = MESSAGE_SERVING },
                  -EPROTO,
                  "SECRET_WANTED was answered with message 8" },
        };
        _cleanup_store_ Store *stranger = NULL;
        Secret *s = NULL;
        Err err = { "" };
        Desk d;

        desk_open(&d);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Message m = cases[i].m;
                assert_int_equal(channel_send(d.ours, &m, -1, NULL), 0);
                assert_int_equal(desk_want(&d, d.top, &s, &err), cases[i].r);
                assert_string_equal(err.text, cases[i].text);
                assert_null(s);
                desk_expect_want(&d, 0);
        }
        assert_int_equal(mem_store_new(NULL, 512, &stranger), 0);
        assert_int_equal(desk_want(&d, stranger, &s, NULL), -EINVAL);
        close(fd_take(&d.ours));
        assert_int_equal(desk_want(&d, d.top, &s, NULL), -EPIPE);
        desk_close(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_file_is_known_by_its_number),
                cmocka_unit_test(test_where_a_link_leads),
                cmocka_unit_test(test_a_refusal_is_told_in_the_broker_s_words),
                cmocka_unit_test(test_other_answers_are_errors),
                cmocka_unit_test(test_what_cannot_be_asked_is_not),
                cmocka_unit_test(test_a_passphrase_is_for_a_layer),
                cmocka_unit_test(test_there_may_be_no_passphrase),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
