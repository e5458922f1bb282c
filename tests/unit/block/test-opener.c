/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/opener.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Somebody who knows some passphrases, and a lock that one opens. */
typedef struct Bunch {
        Opener opener;
        const char *const *keys; /* NULL: an endless number of wrong ones */
        size_t given;
        const char *fits;
        int fits_code; /* of one that does not */
} Bunch;

static int bunch_get(Opener *o, Store *of, const char *what, Secret **ret, Err *err)
{
        Bunch *b = (Bunch *)o;
        const char *key = b->keys ? b->keys[b->given] : "wrong";

        assert_null(of);
        assert_string_equal(what, "luks");
        if (!key && b->given == 0)
                return err_set(err, ENOKEY, "no passphrase");
        if (!key)
                return err_set(err, EKEYREJECTED, "wrong passphrase (all %zu)", b->given);
        b->given++;
        *ret = secret_new();
        assert_non_null(*ret);
        (*ret)->len = strlen(key);
        memcpy((*ret)->bytes, key, (*ret)->len);
        return 0;
}

static int bunch_try(void *arg, const Secret *s, Err *err)
{
        const Bunch *b = arg;

        if (s->len == strlen(b->fits) && memcmp(s->bytes, b->fits, s->len) == 0)
                return 0;
        return err_set(err, b->fits_code, "does not fit");
}

static void test_passphrases_are_tried(void **state)
{
        static const char *const none[] = { NULL }, *const two[] = { "first", "second", NULL };
        const struct {
                const char *const *keys;
                const char *fits;
                int fits_code, r;
                size_t given;
                const char *text;
        } cases[] = {
                { none, "first", EKEYREJECTED, -ENOKEY, 0, "no passphrase" },
                { two, "first", EKEYREJECTED, 0, 1, "" },
                { two, "second", EKEYREJECTED, 0, 2, NULL },
                { two, "third", EKEYREJECTED, -EKEYREJECTED, 2, "wrong passphrase (all 2)" },
                { two, "second", EBADMSG, -EBADMSG, 1, "does not fit" },
                { NULL, "first", EKEYREJECTED, -EKEYREJECTED, 8, "wrong passphrase" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Bunch b = { .opener.get_secret = bunch_get,
                            .keys = cases[i].keys,
                            .fits = cases[i].fits,
                            .fits_code = cases[i].fits_code };
                Err err = { "" };

                assert_int_equal(opener_unlock(&b.opener, NULL, "luks", bunch_try, &b, &err),
                                 cases[i].r);
                assert_int_equal(b.given, cases[i].given);
                if (cases[i].text)
                        assert_string_equal(err.text, cases[i].text);
        }
}

static void test_there_may_be_nobody(void **state)
{
        Opener nobody = { NULL };
        Err err = { "" };

        assert_int_equal(opener_unlock(NULL, NULL, "luks", bunch_try, NULL, &err), -ENOKEY);
        assert_int_equal(opener_unlock(&nobody, NULL, "luks", bunch_try, NULL, &err), -ENOKEY);
        assert_string_equal(err.text, "a passphrase is needed, and there is nobody to ask");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_passphrases_are_tried),
                cmocka_unit_test(test_there_may_be_nobody),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
