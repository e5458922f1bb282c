/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor/init.h"

#include "base/fuse-newer.h"

#include <errno.h>
#include <linux/fuse.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A request as a kernel of protocol 7.`minor` sends it. */
static Init make_request(uint32_t minor, uint32_t flags)
{
        Init i = { 0 };
        size_t body = minor >= 36 ? sizeof(struct fuse_init_in) : 16;
        struct fuse_in_header header = {
                .len = (uint32_t)(sizeof(header) + body),
                .opcode = FUSE_INIT,
                .unique = 77,
        };
        struct fuse_init_in in = {
                .major = FUSE_KERNEL_VERSION,
                .minor = minor,
                .max_readahead = 131072,
                .flags = flags,
        };

        memcpy(i.request, &header, sizeof(header));
        memcpy(i.request + sizeof(header), &in, body);
        i.request_len = header.len;
        return i;
}

static struct fuse_init_out get_answer(const Init *i)
{
        struct fuse_init_out out = { 0 };
        struct fuse_out_header header;

        memcpy(&header, i->answer, sizeof(header));
        assert_int_equal(header.len, i->answer_len);
        assert_int_equal(header.unique, 77);
        assert_int_equal(header.error, 0);
        memcpy(&out, i->answer + sizeof(header), i->answer_len - sizeof(header));
        return out;
}

static void test_a_new_kernel(void **state)
{
        Init i = make_request(45, ~0U);

        assert_int_equal(init_answer(&i, INIT_WITHOUT_PASSTHROUGH, NULL), 0);
        struct fuse_init_out out = get_answer(&i);
        assert_int_equal(i.answer_len, sizeof(struct fuse_out_header) + sizeof(out));
        assert_int_equal(out.major, 7);
        assert_int_equal(out.minor, 38);
        assert_int_equal(out.max_readahead, 131072);
        assert_int_equal(out.max_write, 1 << 20);
        assert_int_equal(out.max_pages, 256);
        assert_int_equal(out.max_background, 64);
        assert_int_equal(out.congestion_threshold, 48);
        assert_int_equal(out.time_gran, 1);
        assert_int_equal(out.flags2, 0);
        assert_true(out.flags & FUSE_ASYNC_DIO && out.flags & FUSE_MAX_PAGES &&
                    out.flags & FUSE_INIT_EXT);
        /* What would hurt: see init.c, and the size of a file mount with the writeback cache. */
        assert_false(out.flags & (FUSE_ATOMIC_O_TRUNC | FUSE_WRITEBACK_CACHE |
                                  FUSE_AUTO_INVAL_DATA | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS));
}

/* Kernels before 6.14 have the flag, and may keep what is no longer true in their page cache. */
static void test_opens_past_the_page_cache(void **state)
{
        static const struct {
                uint32_t minor, flags, flags2, answer;
        } cases[] = {
                { 45, ~0U, ~0U, FUSE_NEWER_DIRECT_IO_ALLOW_MMAP },
                { 42, ~0U, ~0U, FUSE_NEWER_DIRECT_IO_ALLOW_MMAP },
                { 41, ~0U, ~0U, 0 },
                { 45, ~0U, 0, 0 },
                { 45, ~0U & ~FUSE_INIT_EXT, ~0U, 0 },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Init i = make_request(cases[c].minor, cases[c].flags);
                size_t at = sizeof(struct fuse_in_header) + offsetof(struct fuse_init_in, flags2);
                memcpy(i.request + at, &cases[c].flags2, sizeof(cases[c].flags2));
                assert_int_equal(init_answer(&i, INIT_WITHOUT_PASSTHROUGH, NULL), 0);
                assert_int_equal(get_answer(&i).flags2, cases[c].answer);
        }
}

static void test_only_what_is_offered(void **state)
{
        Init i = make_request(45, FUSE_ASYNC_READ);

        assert_int_equal(init_answer(&i, INIT_WITHOUT_PASSTHROUGH, NULL), 0);
        struct fuse_init_out out = get_answer(&i);
        assert_int_equal(out.flags, FUSE_ASYNC_READ);
        assert_int_equal(out.max_pages, 0);
        assert_int_equal(out.max_write, 128 << 10);
}

static uint32_t get_stack_depth(const struct fuse_init_out *out)
{
        uint32_t depth = 0;
        memcpy(&depth, (const uint8_t *)out + FUSE_NEWER_STACK_DEPTH_AT, sizeof(depth));
        return depth;
}

static void test_passthrough_is_agreed_on_by_both(void **state)
{
        static const struct {
                uint32_t minor, flags, flags2;
                InitPassthrough wanted;
                bool agreed;
        } cases[] = {
                { 45, ~0U, ~0U, INIT_WITH_PASSTHROUGH, true },
                { 45, ~0U, 1 << 5, INIT_WITH_PASSTHROUGH, true },
                { 45, ~0U, ~0U, INIT_WITHOUT_PASSTHROUGH, false },
                { 45, ~0U, ~(1U << 5), INIT_WITH_PASSTHROUGH, false },
                { 38, ~0U, 0, INIT_WITH_PASSTHROUGH, false },
                /* Without the extension the second word of flags says nothing. */
                { 45, ~(uint32_t)FUSE_INIT_EXT, ~0U, INIT_WITH_PASSTHROUGH, false },
                { 31, ~0U, ~0U, INIT_WITH_PASSTHROUGH, false },
                { 22, ~0U, ~0U, INIT_WITH_PASSTHROUGH, false },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Init i = make_request(cases[c].minor, cases[c].flags);
                if (cases[c].minor >= 36)
                        memcpy(i.request + sizeof(struct fuse_in_header) +
                                       offsetof(struct fuse_init_in, flags2),
                               &cases[c].flags2, sizeof(cases[c].flags2));
                assert_int_equal(init_answer(&i, cases[c].wanted, NULL), 0);
                struct fuse_init_out out = get_answer(&i);
                assert_int_equal(init_has_passthrough(&i), cases[c].agreed);
                assert_int_equal(out.flags2 & (1 << 5), cases[c].agreed ? 1 << 5 : 0);
                assert_int_equal(get_stack_depth(&out), cases[c].agreed ? 1 : 0);
        }
        assert_false(init_has_passthrough(&(Init){ 0 }));
}

static void test_older_kernels_get_shorter_answers(void **state)
{
        static const struct {
                uint32_t minor;
                size_t size;
        } cases[] = { { 38, 64 }, { 36, 64 }, { 31, 64 }, { 23, 64 },
                      { 22, 24 }, { 5, 24 },  { 4, 8 },   { 0, 8 } };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Init i = make_request(cases[c].minor, ~0U);
                assert_int_equal(init_answer(&i, INIT_WITHOUT_PASSTHROUGH, NULL), 0);
                assert_int_equal(i.answer_len, sizeof(struct fuse_out_header) + cases[c].size);
                assert_int_equal(get_answer(&i).minor, cases[c].minor);
        }
}

static void test_requests_that_make_no_sense(void **state)
{
        Init shortest = make_request(38, 0), other = make_request(38, 0),
             major = make_request(38, 0);
        struct fuse_in_header header;
        uint32_t eight = 8;
        Err err = { "" };

        shortest.request_len = sizeof(header) + 7;
        assert_int_equal(init_answer(&shortest, INIT_WITHOUT_PASSTHROUGH, &err), -EPROTO);
        assert_non_null(strstr(err.text, "too short"));

        memcpy(&header, other.request, sizeof(header));
        header.opcode = FUSE_GETATTR;
        memcpy(other.request, &header, sizeof(header));
        assert_int_equal(init_answer(&other, INIT_WITHOUT_PASSTHROUGH, &err), -EPROTO);
        assert_non_null(strstr(err.text, "not INIT"));

        memcpy(major.request + sizeof(header), &eight, sizeof(eight));
        assert_int_equal(init_answer(&major, INIT_WITHOUT_PASSTHROUGH, &err), -EPROTO);
        assert_non_null(strstr(err.text, "speaks FUSE 8"));
}

/* A packet socket stands in for /dev/fuse: one read is one request. */
static void test_the_exchange(void **state)
{
        int ends[2];
        uint8_t heard[MESSAGE_INIT_MAX];
        Init asked = make_request(38, ~0U), got = { 0 };

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
        assert_int_equal(write(ends[1], asked.request, asked.request_len), asked.request_len);
        assert_int_equal(init_exchange(ends[0], INIT_WITHOUT_PASSTHROUGH, &got, NULL), 0);
        assert_int_equal(got.request_len, asked.request_len);
        assert_memory_equal(got.request, asked.request, asked.request_len);
        assert_int_equal(read(ends[1], heard, sizeof(heard)), got.answer_len);
        assert_memory_equal(heard, got.answer, got.answer_len);

        uint8_t long_one[MESSAGE_INIT_MAX + 1] = { 0 };
        Err err = { "" };
        assert_int_equal(write(ends[1], long_one, sizeof(long_one)), sizeof(long_one));
        assert_int_equal(init_exchange(ends[0], INIT_WITHOUT_PASSTHROUGH, &got, &err), -EPROTO);
        assert_non_null(strstr(err.text, "too long"));
        close(ends[0]);
        close(ends[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_new_kernel),
                cmocka_unit_test(test_opens_past_the_page_cache),
                cmocka_unit_test(test_only_what_is_offered),
                cmocka_unit_test(test_passthrough_is_agreed_on_by_both),
                cmocka_unit_test(test_older_kernels_get_shorter_answers),
                cmocka_unit_test(test_requests_that_make_no_sense),
                cmocka_unit_test(test_the_exchange),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
