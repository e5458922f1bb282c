/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker as a program, between a supervisor and a kernel that are both this test. WORKER names the program. */
#include "../fd-count.h"
#include "../fuse/kernel.h"
#include "ipc/channel.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        DISK_SIZE = 65536,
        WORKER_CHANNEL = 3,
};

typedef struct Boss {
        int channel;
        int image; /* memfd */
        pid_t worker;
        bool allow_other;
        Kernel kernel; /* its socket alone */
} Boss;

static int poll_in(int fd, int timeout_ms)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, timeout_ms);
}

static void boss_open(Boss *b)
{
        int channel[2], fuse[2];

        *b = (Boss){ .kernel.unique = 2 };
        assert_int_equal(channel_pair(channel, NULL), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fuse), 0);
        b->channel = channel[0];
        b->kernel.fd = fuse[0];
        b->kernel.server_fd = fuse[1];
        b->image = memfd_create("image", MFD_CLOEXEC);
        assert_int_equal(ftruncate(b->image, DISK_SIZE), 0);

        b->worker = fork();
        assert_true(b->worker >= 0);
        if (b->worker == 0) {
                /* Not 3 itself: dup2 onto itself would leave it close-on-exec. */
                int fd = fcntl(channel[1], F_DUPFD_CLOEXEC, 100);
                if (dup2(fd, WORKER_CHANNEL) == WORKER_CHANNEL)
                        execl(getenv("WORKER"), "rawview-worker", "3", (char *)NULL);
                _exit(127);
        }
        close(channel[1]);
}

/* Waits for the worker's end and gives its exit status. */
static int boss_close(Boss *b)
{
        int status = -1;

        cleanup_close(&b->channel);
        cleanup_close(&b->kernel.fd);
        cleanup_close(&b->kernel.server_fd);
        cleanup_close(&b->image);
        assert_int_equal(waitpid(b->worker, &status, 0), b->worker);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void boss_send_image(Boss *b, const char *format, bool writable, int fd)
{
        Message m = { .kind = MESSAGE_IMAGE };

        strcpy(m.image.path, "/vm/disk.raw");
        strcpy(m.image.format, format);
        m.image.writable = writable;
        assert_int_equal(channel_send(b->channel, &m, fd, NULL), 0);
}

static void boss_send_serve(Boss *b, uint32_t max_write)
{
        const InitRequest request = {
                .header = { .len = sizeof(InitRequest), .opcode = FUSE_INIT, .unique = 1 },
                .init = { .major = 7, .minor = 38, .flags = FUSE_MAX_PAGES },
        };
        const InitAnswer answer = {
                .header = { .len = sizeof(InitAnswer), .unique = 1 },
                .init = { .major = 7,
                          .minor = 38,
                          .flags = FUSE_MAX_PAGES,
                          .max_write = max_write,
                          .max_pages = 16 },
        };
        Message m = { .kind = MESSAGE_SERVE };

        memcpy(m.serve.init_request, &request, sizeof(request));
        memcpy(m.serve.init_answer, &answer, sizeof(answer));
        m.serve.init_request_len = sizeof(request);
        m.serve.init_answer_len = sizeof(answer);
        m.serve.mode = 0600;
        m.serve.allow_other = b->allow_other;
        assert_int_equal(channel_send(b->channel, &m, b->kernel.server_fd, NULL), 0);
}

static void boss_expect(Boss *b, MessageKind kind, Message *ret)
{
        int fd = -1;

        assert_int_equal(channel_receive(b->channel, ret, &fd, NULL), 1);
        assert_int_equal(fd, -1);
        if (ret->kind != kind)
                fail_msg("message %u, not %u: %s", ret->kind, kind,
                         ret->kind == MESSAGE_FAILED ? ret->error.text : "");
}

static void boss_start_raw(Boss *b, bool writable, int fd)
{
        Message m;

        boss_send_image(b, "raw", writable, fd);
        boss_expect(b, MESSAGE_SEALED, &m);
        assert_int_equal(m.sealed.size, DISK_SIZE);
        assert_int_equal(m.sealed.guessed, 0);
        assert_int_equal(m.sealed.repaired, 0);
        assert_string_equal(m.sealed.format, "raw");
        boss_send_serve(b, KERNEL_MAX_WRITE);
        boss_expect(b, MESSAGE_SERVING, &m);
}

/* Whether the kernel may serve the view from the image's own file. */
static void test_what_is_a_plain_file(void **state)
{
        static const struct {
                const char *format;
                bool writable, growable;
                uint32_t plain;
        } cases[] = {
                { "raw", false, false, 1 },
                { "raw", true, true, 1 },
                /* What is written past its end must not make the image longer. */
                { "raw", true, false, 0 },
                { "auto", false, false, 1 },
        };

        for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
                Message m = { .kind = MESSAGE_IMAGE };
                Boss b;

                boss_open(&b);
                strcpy(m.image.path, "/vm/disk.raw");
                strcpy(m.image.format, cases[c].format);
                m.image.writable = cases[c].writable;
                m.image.growable = cases[c].growable;
                assert_int_equal(channel_send(b.channel, &m, b.image, NULL), 0);
                boss_expect(&b, MESSAGE_SEALED, &m);
                assert_int_equal(m.sealed.plain, cases[c].plain);
                boss_close(&b);
        }
}

static int boss_write(Boss *b, const void *bytes, size_t len)
{
        struct fuse_write_in in = { .size = (uint32_t)len };
        static Answer a;

        kernel_send(&b->kernel, FUSE_WRITE, &in, sizeof(in), bytes, len);
        kernel_hear(&b->kernel, &a);
        return a.header.error;
}

static void test_served_and_unmounted(void **state)
{
        char text[6] = "";
        Message m;
        Boss b;

        boss_open(&b);
        boss_start_raw(&b, true, b.image);
        assert_int_equal(boss_write(&b, "hello", 5), 0);
        assert_int_equal(pread(b.image, text, 5, 0), 5);
        assert_string_equal(text, "hello");

        /* The file system is gone. */
        close(fd_take(&b.kernel.fd));
        close(fd_take(&b.kernel.server_fd));
        boss_expect(&b, MESSAGE_DONE, &m);
        assert_int_equal(m.done.code, 0);
        assert_string_equal(m.done.text, "");
        assert_int_equal(boss_close(&b), 0);
}

static int boss_open_view(Boss *b)
{
        struct fuse_open_in in = { .flags = O_RDONLY };
        static Answer a;

        kernel_send(&b->kernel, FUSE_OPEN, &in, sizeof(in), NULL, 0);
        kernel_hear(&b->kernel, &a);
        return a.header.error;
}

static void test_at_the_end_nobody_opens_it_any_more(void **state)
{
        Message m = { .kind = MESSAGE_ENDING, .ending.exempt_pid = 18 };
        int error = 0;
        Boss b;

        boss_open(&b);
        boss_start_raw(&b, true, b.image);
        b.kernel.pid = 17;
        assert_int_equal(boss_open_view(&b), 0);
        assert_int_equal(channel_send(b.channel, &m, -1, NULL), 0);
        /* The message goes another way than the requests. */
        for (int i = 0; i < 1000 && error == 0; i++) {
                error = boss_open_view(&b);
                poll(NULL, 0, 10);
        }
        assert_int_equal(error, -ESHUTDOWN);
        b.kernel.pid = 18;
        assert_int_equal(boss_open_view(&b), 0);
        assert_int_equal(boss_write(&b, "hello", 5), 0);
        assert_int_equal(boss_close(&b), 0);
}

static void test_signals_of_the_terminal_are_not_for_us(void **state)
{
        Boss b;

        boss_open(&b);
        boss_start_raw(&b, true, b.image);
        kill(b.worker, SIGINT);
        kill(b.worker, SIGTERM);
        kill(b.worker, SIGHUP);
        kill(b.worker, SIGUSR1);
        assert_int_equal(boss_write(&b, "x", 1), 0);
        assert_int_equal(boss_close(&b), 0);
}

static void test_without_a_supervisor_it_ends(void **state)
{
        static const char *const when[] = { "at once", "sealed", "serving" };

        for (size_t i = 0; i < sizeof(when) / sizeof(when[0]); i++) {
                Message m;
                Boss b;

                boss_open(&b);
                if (i == 1) {
                        boss_send_image(&b, "raw", false, b.image);
                        boss_expect(&b, MESSAGE_SEALED, &m);
                }
                if (i == 2)
                        boss_start_raw(&b, true, b.image);
                close(fd_take(&b.channel));
                int status = -1;
                assert_int_equal(waitpid(b.worker, &status, 0), b.worker);
                if (!WIFEXITED(status))
                        fail_msg("%s: %x", when[i], (unsigned)status);
                cleanup_close(&b.kernel.fd);
                cleanup_close(&b.kernel.server_fd);
                cleanup_close(&b.image);
        }
}

static void test_what_cannot_be_opened(void **state)
{
        static const struct {
                const char *format;
                bool writable;
                int code;
                const char *text;
        } cases[] = {
                { "none", false, EOPNOTSUPP, "format 'none' is not known" },
                { "qcow2", false, EBADMSG, NULL },
                { "auto", true, EOPNOTSUPP, NULL },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Message m;
                Boss b;

                boss_open(&b);
                boss_send_image(&b, cases[i].format, cases[i].writable, b.image);
                boss_expect(&b, MESSAGE_FAILED, &m);
                assert_int_equal(m.error.code, cases[i].code);
                if (cases[i].text)
                        assert_string_equal(m.error.text, cases[i].text);
                assert_int_not_equal(m.error.text[0], '\0');
                assert_int_equal(boss_close(&b), 1);
        }
}

static void test_a_supervisor_that_makes_no_sense(void **state)
{
        Message m = { .kind = MESSAGE_SERVING };
        Boss b;

        boss_open(&b);
        assert_int_equal(channel_send(b.channel, &m, -1, NULL), 0);
        boss_expect(&b, MESSAGE_FAILED, &m);
        assert_int_equal(m.error.code, EPROTO);
        assert_int_equal(boss_close(&b), 1);

        boss_open(&b);
        boss_send_image(&b, "raw", false, b.image);
        boss_expect(&b, MESSAGE_SEALED, &m);
        boss_send_serve(&b, 0);
        boss_expect(&b, MESSAGE_FAILED, &m);
        assert_int_equal(m.error.code, EBADMSG);
        assert_int_equal(boss_close(&b), 1);

        boss_open(&b);
        boss_start_raw(&b, false, b.image);
        m.kind = MESSAGE_SERVING;
        assert_int_equal(channel_send(b.channel, &m, -1, NULL), 0);
        boss_expect(&b, MESSAGE_DONE, &m);
        assert_int_equal(m.done.code, EPROTO);
        assert_string_equal(m.done.text, "message 8 came while serving");
        assert_int_equal(boss_close(&b), 1);
}

static void boss_change(Boss *b, const MessageChange *change, MessageChanged *ret)
{
        Message m = { .kind = MESSAGE_CHANGE, .change = *change };

        assert_int_equal(channel_send(b->channel, &m, -1, NULL), 0);
        boss_expect(b, MESSAGE_CHANGED, &m);
        *ret = m.changed;
}

/* The kernel is told before the supervisor is: whoever waits for the answer sees what is new. */
static void boss_hear_note(Boss *b)
{
        static Answer a;

        assert_int_equal(poll_in(b->kernel.fd, 0), 1);
        kernel_hear(&b->kernel, &a);
        assert_int_equal(a.header.unique, 0);
        assert_int_equal(a.header.error, FUSE_NOTIFY_INVAL_INODE);
}

static void boss_expect_file(Boss *b, uint32_t uid, uint32_t gid, uint32_t mode)
{
        struct fuse_getattr_in in = { 0 };
        struct fuse_attr_out out;
        static Answer a;

        kernel_send(&b->kernel, FUSE_GETATTR, &in, sizeof(in), NULL, 0);
        kernel_hear(&b->kernel, &a);
        assert_int_equal(a.header.error, 0);
        memcpy(&out, a.body, sizeof(out));
        assert_int_equal(out.attr.uid, uid);
        assert_int_equal(out.attr.gid, gid);
        assert_int_equal(out.attr.mode, S_IFREG | mode);
}

static void test_what_is_served_can_change(void **state)
{
        MessageChanged changed;
        Boss b;

        boss_open(&b);
        boss_start_raw(&b, true, b.image);
        const MessageChange mode = { .what = MESSAGE_CHANGE_MODE, .uid = 7, .mode = 0400 };
        boss_change(&b, &mode, &changed);
        assert_int_equal(changed.what, MESSAGE_CHANGE_MODE);
        assert_int_equal(changed.code, 0);
        boss_hear_note(&b);
        boss_expect_file(&b, 0, 0, 0400);

        /* Without allow_other nobody else gets in; the cache is another matter. */
        const MessageChange all = {
                .what = MESSAGE_CHANGE_ALL, .uid = 7, .mode = 0600, .cache_size = 8 << 20
        };
        boss_change(&b, &all, &changed);
        assert_int_equal(changed.what, MESSAGE_CHANGE_CACHE);
        assert_int_equal(changed.code, EPERM);
        assert_int_equal(changed.cache_size, 8 << 20);
        boss_expect_file(&b, 0, 0, 0400);
        assert_int_equal(boss_close(&b), 0);
}

static void test_owners_change_where_others_are_let_in(void **state)
{
        const MessageChange owner = {
                .what = MESSAGE_CHANGE_OF_FILE, .uid = 7, .gid = 8, .mode = 0640
        };
        MessageChanged changed;
        Boss b;

        boss_open(&b);
        b.allow_other = true;
        boss_start_raw(&b, false, b.image);
        boss_change(&b, &owner, &changed);
        assert_int_equal(changed.what, owner.what);
        boss_hear_note(&b);
        boss_expect_file(&b, 7, 8, 0640);
        assert_int_equal(boss_close(&b), 0);
}

/* The memory of the process was limited by what the cache was at first. */
static void test_a_cache_has_bounds(void **state)
{
        static const uint64_t cases[][2] = {
                { 0, 4 << 20 },
                { 20 << 20, 20 << 20 },
                { UINT64_MAX, 256 << 20 },
        };
        Boss b;

        boss_open(&b);
        boss_start_raw(&b, false, b.image);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const MessageChange cache = { .what = MESSAGE_CHANGE_CACHE,
                                              .cache_size = cases[i][0] };
                MessageChanged changed;
                boss_change(&b, &cache, &changed);
                assert_int_equal(changed.what, MESSAGE_CHANGE_CACHE);
                assert_int_equal(changed.code, 0);
                assert_int_equal(changed.cache_size, cases[i][1]);
        }
        /* The kernel has nothing to forget. */
        assert_int_equal(poll_in(b.kernel.fd, 0), 0);
        assert_int_equal(boss_close(&b), 0);
}

/* Writable, it says, but its descriptor cannot be written to. */
static void test_the_first_fault_is_told(void **state)
{
        char path[64];
        Message m;
        Boss b;

        boss_open(&b);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", b.image);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        boss_start_raw(&b, true, fd);
        assert_int_equal(boss_write(&b, "hello", 5), -EIO);
        boss_expect(&b, MESSAGE_FAULT, &m);
        assert_int_equal(m.fault.code, EBADF);
        assert_int_equal(m.fault.is_write, 1);
        assert_int_equal(m.fault.off, 0);
        assert_int_equal(m.fault.len, 5);
        assert_int_equal(m.fault.count, 1);

        /* The next one waits for the minute to end: DONE comes first. */
        assert_int_equal(boss_write(&b, "hello", 5), -EIO);
        close(fd_take(&b.kernel.fd));
        close(fd_take(&b.kernel.server_fd));
        boss_expect(&b, MESSAGE_DONE, &m);
        boss_close(&b);
}

static void test_nobody_starts_it_by_hand(void **state)
{
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                int null_fd = open("/dev/null", O_WRONLY);
                dup2(null_fd, STDERR_FILENO);
                execl(getenv("WORKER"), "rawview-worker", (char *)NULL);
                _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 64);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_a_plain_file),
                cmocka_unit_test(test_served_and_unmounted),
                cmocka_unit_test(test_at_the_end_nobody_opens_it_any_more),
                cmocka_unit_test(test_signals_of_the_terminal_are_not_for_us),
                cmocka_unit_test(test_without_a_supervisor_it_ends),
                cmocka_unit_test(test_what_cannot_be_opened),
                cmocka_unit_test(test_a_supervisor_that_makes_no_sense),
                cmocka_unit_test(test_what_is_served_can_change),
                cmocka_unit_test(test_owners_change_where_others_are_let_in),
                cmocka_unit_test(test_a_cache_has_bounds),
                cmocka_unit_test(test_the_first_fault_is_told),
                cmocka_unit_test(test_nobody_starts_it_by_hand),
        };
        return cmocka_run_group_tests(tests, fd_count_setup, fd_count_teardown);
}
