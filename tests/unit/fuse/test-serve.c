/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel.h"

#include "../fd-count.h"
#include "build-config.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static const ViewOptions read_only = { .mode = 0400 };

static void test_many_requests_at_once_are_all_answered(void **state)
{
        enum { COUNT = 64 };
        bool seen[COUNT] = { false };
        static Answer a;
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        for (unsigned round = 0; round < 20; round++) {
                uint64_t first = k.unique;

                for (uint64_t i = 0; i < COUNT; i++) {
                        struct fuse_read_in in = { .offset = i * 1000, .size = 1000 };
                        kernel_send(&k, FUSE_READ, &in, sizeof(in), NULL, 0);
                }
                memset(seen, 0, sizeof(seen));
                for (unsigned i = 0; i < COUNT; i++) {
                        kernel_hear(&k, &a);
                        uint64_t which = (a.header.unique - first) / 2;
                        assert_true(which < COUNT && !seen[which]);
                        seen[which] = true;
                        assert_int_equal(a.len, 1000);
                        for (uint64_t j = 0; j < 1000; j++)
                                assert_int_equal(a.body[j], (which * 1000 + j) % 251);
                }
        }
        kernel_close(&k);
}

/* The kernel has been answered long ago: another answer would be taken for that of some other request. */
static void test_the_replayed_init_is_not_answered(void **state)
{
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        struct pollfd p = { .fd = k.fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, 100), 0);
        kernel_close(&k);
}

static void test_interrupts_are_refused_by_their_own_name(void **state)
{
        struct fuse_interrupt_in in = { .unique = 2 };
        static Answer a;
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        k.unique = 3;
        uint64_t unique = kernel_send(&k, FUSE_INTERRUPT, &in, sizeof(in), NULL, 0);
        kernel_hear(&k, &a);
        assert_int_equal(a.header.unique, unique);
        assert_int_equal(a.header.error, -ENOSYS);
        assert_int_equal(a.len, 0);
        kernel_close(&k);
}

static void test_the_kernel_forgets_attributes(void **state)
{
        struct fuse_notify_inval_inode_out note;
        static Answer a;
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        assert_int_equal(serve_forget_attributes(k.serve), 0);
        kernel_hear(&k, &a);
        assert_int_equal(a.header.unique, 0);
        assert_int_equal(a.header.error, FUSE_NOTIFY_INVAL_INODE);
        assert_int_equal(a.len, sizeof(note));
        memcpy(&note, a.body, sizeof(note));
        assert_int_equal(note.ino, FUSE_ROOT_ID);
        /* Its pages stay. */
        assert_int_equal(note.off, -1);
        assert_int_equal(note.len, 0);
        kernel_close(&k);
}

static void test_when_the_file_system_is_gone_all_threads_end(void **state)
{
        uint64_t woken = 0;
        Err err = { "" };
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        assert_false(serve_has_ended(k.serve));
        close(fd_take(&k.fd));
        assert_int_equal(read(k.wake_fd, &woken, sizeof(woken)), sizeof(woken));
        assert_true(serve_has_ended(k.serve));
        assert_int_equal(serve_stop(k.serve, &err), 0);
        kernel_close(&k);
}

static void test_stopping_waits_for_nobody(void **state)
{
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        assert_int_equal(serve_stop(k.serve, NULL), 0);
        assert_true(serve_has_ended(k.serve));
        kernel_close(&k);
}

static void test_garbage_ends_serving_with_an_error(void **state)
{
        uint64_t woken = 0;
        Err err = { "" };
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        assert_int_equal(write(k.fd, "short", 5), 5);
        assert_int_equal(read(k.wake_fd, &woken, sizeof(woken)), sizeof(woken));
        assert_int_equal(serve_stop(k.serve, &err), -EBADMSG);
        assert_string_equal(err.text, "cannot read requests from the kernel: Bad message");
        kernel_close(&k);
}

/* A descriptor that somebody made non-blocking must not make the threads spin, nor end them. */
static void test_a_non_blocking_descriptor_is_waited_for(void **state)
{
        struct fuse_getattr_in in = { 0 };
        struct timespec before, after;
        static Answer a;
        Kernel k;

        kernel_open(&k, read_only);
        assert_int_equal(fcntl(k.server_fd, F_SETFL, O_NONBLOCK), 0);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        kernel_start(&k);
        usleep(300000);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        assert_false(serve_has_ended(k.serve));
        int64_t used =
                (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
        assert_true(used < 150);
        assert_int_equal(kernel_ask(&k, FUSE_GETATTR, &in, sizeof(in), &a), 0);
        kernel_close(&k);
}

/* Memory that is this process's own, in KiB. Sanitizers have so much of their own that ours is not seen: 0. */
static long kernel_memory(void)
{
        char line[128];
        long kib = -1;

        if (RAWVIEW_SANITIZED)
                return 0;
        FILE *f = fopen("/proc/self/smaps_rollup", "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                sscanf(line, "Private_Dirty: %ld", &kib);
        fclose(f);
        assert_true(kib > 0);
        return kib;
}

static void kernel_read_all(Kernel *k, Answer *a)
{
        struct fuse_read_in in = { .offset = 1000, .size = KERNEL_MAX_WRITE };

        assert_int_equal(kernel_ask(k, FUSE_READ, &in, sizeof(in), a), 0);
        assert_int_equal(a->len, KERNEL_MAX_WRITE);
        for (size_t i = 0; i < a->len; i++)
                assert_int_equal(a->body[i], (1000 + i) % 251);
}

/* One thread, so that it is known who holds what. The answer has been heard before: its own memory is not counted. */
static void test_an_idle_thread_gives_memory_back(void **state)
{
        static Answer a;
        Kernel k;

        memset(&a, 1, sizeof(a));
        kernel_open(&k, read_only);
        ServeOptions options = kernel_options(&k);
        options.thread_count = 1;
        assert_int_equal(serve_start(&options, &k.serve, NULL), 0);
        assert_false(serve_trim(k.serve));

        for (unsigned round = 0; round < 3; round++) {
                long before = kernel_memory(),
                     taken = RAWVIEW_SANITIZED ? 0 : KERNEL_MAX_WRITE / 1024;

                /* It has had a request each time that it is looked at. */
                for (unsigned i = 0; i < 5; i++) {
                        kernel_read_all(&k, &a);
                        assert_true(serve_trim(k.serve));
                }
                long busy = kernel_memory();
                assert_true(busy >= before + taken);
                for (unsigned i = 0; i < 1000 && serve_trim(k.serve); i++)
                        usleep(10000);
                assert_false(serve_trim(k.serve));
                assert_true(kernel_memory() <= busy - taken);
        }
        kernel_close(&k);
}

static void test_who_takes_memory_wakes_the_owner(void **state)
{
        uint64_t woken = 0;
        static Answer a;
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        kernel_read_all(&k, &a);
        assert_int_equal(read(k.wake_fd, &woken, sizeof(woken)), sizeof(woken));
        assert_false(serve_has_ended(k.serve));
        assert_true(serve_trim(k.serve));
        kernel_close(&k);
}

static void test_a_second_worker_takes_over(void **state)
{
        struct fuse_getattr_in in = { 0 };
        static Answer a;
        Kernel k;

        kernel_open(&k, read_only);
        kernel_start(&k);
        assert_int_equal(kernel_ask(&k, FUSE_GETATTR, &in, sizeof(in), &a), 0);
        k.serve = serve_free(k.serve);
        kernel_start(&k);
        assert_int_equal(kernel_ask(&k, FUSE_GETATTR, &in, sizeof(in), &a), 0);
        kernel_close(&k);
}

static void test_inits_that_make_no_sense_are_refused(void **state)
{
        static const struct {
                const char *name;
                size_t request_len, answer_len;
                uint32_t opcode, max_write, pages;
                const char *text;
        } cases[] = {
                { "short request", 10, sizeof(InitAnswer), FUSE_INIT, 65536, 16,
                  "FUSE_INIT of 10 bytes is too short" },
                { "another request", sizeof(InitRequest), sizeof(InitAnswer), FUSE_READ, 65536, 16,
                  "FUSE_INIT has opcode 15 and length 104" },
                { "short answer", sizeof(InitRequest), 24, FUSE_INIT, 65536, 16,
                  "answer to FUSE_INIT of 24 bytes is too short" },
                { "no writes", sizeof(InitRequest), sizeof(InitAnswer), FUSE_INIT, 0, 16,
                  "answer to FUSE_INIT has max_write 0, max_pages 16" },
                { "huge writes", sizeof(InitRequest), sizeof(InitAnswer), FUSE_INIT, UINT32_MAX, 16,
                  "answer to FUSE_INIT has max_write 4294967295, max_pages 16" },
                { "no pages", sizeof(InitRequest), sizeof(InitAnswer), FUSE_INIT, 65536, 0,
                  "answer to FUSE_INIT has max_write 65536, max_pages 0" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Err err = { "" };
                Kernel k;

                kernel_open(&k, read_only);
                k.request.header.opcode = cases[i].opcode;
                k.answer.init.max_write = cases[i].max_write;
                k.answer.init.max_pages = (uint16_t)cases[i].pages;
                ServeOptions options = kernel_options(&k);
                options.init_request_len = cases[i].request_len;
                options.init_answer_len = cases[i].answer_len;
                if (serve_start(&options, &k.serve, &err) != -EBADMSG ||
                    strcmp(err.text, cases[i].text) != 0)
                        fail_msg("%s: %s", cases[i].name, err.text);
                kernel_close(&k);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_many_requests_at_once_are_all_answered),
                cmocka_unit_test(test_the_replayed_init_is_not_answered),
                cmocka_unit_test(test_interrupts_are_refused_by_their_own_name),
                cmocka_unit_test(test_the_kernel_forgets_attributes),
                cmocka_unit_test(test_when_the_file_system_is_gone_all_threads_end),
                cmocka_unit_test(test_stopping_waits_for_nobody),
                cmocka_unit_test(test_garbage_ends_serving_with_an_error),
                cmocka_unit_test(test_a_non_blocking_descriptor_is_waited_for),
                cmocka_unit_test(test_an_idle_thread_gives_memory_back),
                cmocka_unit_test(test_who_takes_memory_wakes_the_owner),
                cmocka_unit_test(test_a_second_worker_takes_over),
                cmocka_unit_test(test_inits_that_make_no_sense_are_refused),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
