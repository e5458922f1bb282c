/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ipc/channel.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cmocka.h>

static size_t count_open_fds(void)
{
        DIR *dir = opendir("/proc/self/fd");
        size_t count = 0;
        while (readdir(dir))
                count++;
        closedir(dir);
        return count;
}

typedef struct Pair {
        int fds[2];
        int file;
        size_t fds_before;
} Pair;

static int pair_setup(void **state)
{
        static Pair pair;
        pair.fds_before = count_open_fds();
        assert_int_equal(channel_pair(pair.fds, NULL), 0);
        pair.file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(pair.file >= 0);
        *state = &pair;
        return 0;
}

static int pair_teardown(void **state)
{
        Pair *p = *state;
        cleanup_close(&p->fds[0]);
        cleanup_close(&p->fds[1]);
        cleanup_close(&p->file);
        assert_int_equal(count_open_fds(), p->fds_before);
        return 0;
}

/* Sends bytes as they are, with `fd_count` copies of `fd`. */
static void send_raw(int channel, const void *bytes, size_t len, int fd, size_t fd_count)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(64 * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
        struct msghdr packet = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd_count > 0) {
                packet.msg_control = control.bytes;
                packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
                struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
                for (size_t i = 0; i < fd_count; i++)
                        memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
        }
        assert_int_equal(sendmsg(channel, &packet, MSG_NOSIGNAL), (ssize_t)len);
}

enum {
        HEADER = offsetof(Message, image),
        OPENED = sizeof(MessageOpened),
};

static void test_every_kind_arrives_as_it_was_sent(void **state)
{
        Pair *p = *state;
        static const struct {
                MessageKind kind;
                size_t body;
                bool with_fd;
        } cases[] = {
                { MESSAGE_IMAGE, sizeof(MessageImage), true },
                { MESSAGE_OPEN, sizeof(MessageOpen), false },
                { MESSAGE_OPENED, sizeof(MessageOpened), true },
                { MESSAGE_REFUSED, sizeof(MessageError), false },
                { MESSAGE_SEALED, sizeof(MessageSealed), false },
                { MESSAGE_FAILED, sizeof(MessageError), false },
                { MESSAGE_SERVE, sizeof(MessageServe), true },
                { MESSAGE_SERVING, 0, false },
                { MESSAGE_FAULT, sizeof(MessageFault), false },
                { MESSAGE_DONE, sizeof(MessageDone), false },
                { MESSAGE_CHANGE, sizeof(MessageChange), false },
                { MESSAGE_CHANGED, sizeof(MessageChanged), false },
                { MESSAGE_ENDING, sizeof(MessageEnding), false },
                { MESSAGE_SECRET_WANTED, sizeof(MessageSecretWanted), false },
                { MESSAGE_SECRET, sizeof(MessageSecret), false },
                { MESSAGE_OVERLAY, sizeof(MessageOverlay), true },
                { MESSAGE_DIGEST, sizeof(MessageDigest), false },
                { MESSAGE_LOOP, sizeof(MessageLoop), false },
                { MESSAGE_PROGRESS, sizeof(MessageProgress), false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Message sent = { .kind = cases[i].kind };
                Message got;
                int fd = -2;

                if (sent.kind == MESSAGE_CHANGE)
                        sent.change.what = MESSAGE_CHANGE_ALL;
                if (sent.kind == MESSAGE_PROGRESS)
                        sent.progress.pass = MESSAGE_PASS_CHECKING;
                assert_int_equal(
                        channel_send(p->fds[0], &sent, cases[i].with_fd ? p->file : -1, NULL), 0);
                assert_int_equal(sent.len, HEADER + cases[i].body);
                assert_int_equal(channel_receive(p->fds[1], &got, &fd, NULL), 1);
                assert_int_equal(got.kind, cases[i].kind);
                assert_memory_equal(&got, &sent, sent.len);
                assert_int_equal(fd >= 0, cases[i].with_fd);
                if (fd >= 0) {
                        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
                        close(fd);
                }
        }
}

static void test_the_ends_do_not_survive_exec(void **state)
{
        Pair *p = *state;
        assert_int_equal(fcntl(p->fds[0], F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(p->fds[1], F_GETFD), FD_CLOEXEC);
}

static void test_a_closed_end_is_the_end(void **state)
{
        Pair *p = *state;
        Message m = { .kind = MESSAGE_SERVING };
        int fd;

        assert_int_equal(channel_send(p->fds[0], &m, -1, NULL), 0);
        close(fd_take(&p->fds[0]));
        assert_int_equal(channel_receive(p->fds[1], &m, &fd, NULL), 1);
        assert_int_equal(channel_receive(p->fds[1], &m, &fd, NULL), 0);
        /* SIGPIPE would end this test. */
        m.kind = MESSAGE_SERVING;
        assert_int_equal(channel_send(p->fds[1], &m, -1, NULL), -EPIPE);
}

static void test_an_unread_message_of_ours_does_not_hide_the_end(void **state)
{
        Pair *p = *state;
        Message m = { .kind = MESSAGE_SERVING };
        int fd;

        assert_int_equal(channel_send(p->fds[1], &m, -1, NULL), 0);
        close(fd_take(&p->fds[0]));
        assert_int_equal(channel_receive(p->fds[1], &m, &fd, NULL), 0);
}

static void test_nor_does_it_hide_what_was_said_before_the_end(void **state)
{
        Pair *p = *state;
        Message ours = { .kind = MESSAGE_ENDING }, theirs = { .kind = MESSAGE_DONE }, got;

        assert_int_equal(channel_send(p->fds[0], &theirs, -1, NULL), 0);
        assert_int_equal(channel_send(p->fds[1], &ours, -1, NULL), 0);
        close(fd_take(&p->fds[0]));
        assert_int_equal(channel_receive(p->fds[1], &got, NULL, NULL), 1);
        assert_int_equal(got.kind, MESSAGE_DONE);
        assert_int_equal(channel_receive(p->fds[1], &got, NULL, NULL), 0);
}

static void test_unknown_kinds_are_not_sent(void **state)
{
        Pair *p = *state;
        Message m = { .kind = 99 };
        assert_int_equal(channel_send(p->fds[0], &m, -1, NULL), -EINVAL);
}

/* Each spoils one packet that would be right otherwise. */
static void test_packets_that_make_no_sense_are_refused(void **state)
{
        Pair *p = *state;
        static const struct {
                const char *name;
                MessageKind kind;
                uint32_t len;
                size_t sent;
                size_t fd_count;
                const char *text;
        } cases[] = {
                { "half a header", MESSAGE_SERVING, 4, 4, 0, "message of 4 bytes has no header" },
                { "kind 0", 0, HEADER, HEADER, 0, "message kind 0 does not exist" },
                { "kind 99", 99, HEADER, HEADER, 0, "message kind 99 does not exist" },
                { "kind 2^32-1", UINT32_MAX, HEADER, HEADER, 0,
                  "message kind 4294967295 does not exist" },
                { "no body", MESSAGE_FAULT, HEADER, HEADER, 0,
                  "message FAULT of 8 bytes says length 8, not 40" },
                { "length says too little", MESSAGE_FAULT, 8, 40, 0,
                  "message FAULT of 40 bytes says length 8, not 40" },
                { "one byte more", MESSAGE_FAULT, 41, 41, 0,
                  "message FAULT of 41 bytes says length 41, not 40" },
                { "a descriptor nobody asked for", MESSAGE_SERVING, HEADER, HEADER, 1,
                  "message SERVING came with 1 descriptors, not 0" },
                { "no descriptor", MESSAGE_OPENED, HEADER + OPENED, HEADER + OPENED, 0,
                  "message OPENED came with 0 descriptors, not 1" },
                { "two descriptors", MESSAGE_OPENED, HEADER + OPENED, HEADER + OPENED, 2,
                  "message OPENED came with 2 descriptors, not 1" },
                { "forty descriptors", MESSAGE_OPENED, HEADER + OPENED, HEADER + OPENED, 40,
                  "message came with too many descriptors" },
                { "longer than any", MESSAGE_SERVING, HEADER, sizeof(Message) + 1, 0,
                  "message is longer than any that exists" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint8_t bytes[sizeof(Message) + 1] = { 0 };
                Message head = { .kind = cases[i].kind, .len = cases[i].len };
                memcpy(bytes, &head, HEADER);
                size_t fds_before = count_open_fds();

                send_raw(p->fds[0], bytes, cases[i].sent, p->file, cases[i].fd_count);
                Message got;
                int fd;
                Err err;
                int r = channel_receive(p->fds[1], &got, &fd, &err);
                if (r != -EBADMSG)
                        fail_msg("%s: %d", cases[i].name, r);
                assert_string_equal(err.text, cases[i].text);
                assert_int_equal(count_open_fds(), fds_before);
        }
}

/* Where none is ever wanted, none gets as far as having a number here. */
static void test_descriptors_can_be_kept_out(void **state)
{
        Pair *p = *state;
        static const struct {
                size_t fd_count;
                int result;
        } cases[] = { { 0, 1 }, { 1, -EBADMSG }, { 40, -EBADMSG } };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Message m = { .kind = MESSAGE_SERVING, .len = HEADER };
                size_t fds_before = count_open_fds();

                send_raw(p->fds[0], &m, HEADER, p->file, cases[i].fd_count);
                assert_int_equal(channel_receive(p->fds[1], &m, NULL, NULL), cases[i].result);
                assert_int_equal(count_open_fds(), fds_before);
        }
}

static void test_who_does_not_read_blocks_nobody(void **state)
{
        Pair *p = *state;
        int r = 0;

        assert_int_equal(fcntl(p->fds[0], F_SETFL, O_NONBLOCK), 0);
        for (int i = 0; r == 0 && i < 100000; i++) {
                Message m = { .kind = MESSAGE_REFUSED };
                r = channel_send(p->fds[0], &m, -1, NULL);
        }
        assert_int_equal(r, -EAGAIN);
}

static void test_texts_without_end_are_refused(void **state)
{
        Pair *p = *state;
        static const struct {
                MessageKind kind;
                size_t at, size;
                bool with_fd;
        } cases[] = {
                { MESSAGE_IMAGE, offsetof(Message, image.path), MESSAGE_PATH_MAX, true },
                { MESSAGE_IMAGE, offsetof(Message, image.format), 32, true },
                { MESSAGE_IMAGE, offsetof(Message, image.snapshot), MESSAGE_NAME_MAX, true },
                { MESSAGE_OPEN, offsetof(Message, open.name), MESSAGE_NAME_MAX, false },
                { MESSAGE_OPENED, offsetof(Message, opened.target), MESSAGE_PATH_MAX, true },
                { MESSAGE_REFUSED, offsetof(Message, error.text), MESSAGE_TEXT_MAX, false },
                { MESSAGE_SEALED, offsetof(Message, sealed.format), 32, false },
                { MESSAGE_FAILED, offsetof(Message, error.text), MESSAGE_TEXT_MAX, false },
                { MESSAGE_SERVE, offsetof(Message, serve.unit), 256, true },
                { MESSAGE_DONE, offsetof(Message, done.text), MESSAGE_TEXT_MAX, false },
                { MESSAGE_SECRET_WANTED, offsetof(Message, secret_wanted.what), 32, false },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                for (int ended = 0; ended < 2; ended++) {
                        Message m = { .kind = cases[i].kind };
                        Message got;
                        int fd = -1;
                        char *text = (char *)&m + cases[i].at;

                        memset(text, 'x', cases[i].size);
                        if (ended)
                                text[cases[i].size - 1] = '\0';
                        assert_int_equal(
                                channel_send(p->fds[0], &m, cases[i].with_fd ? p->file : -1, NULL),
                                0);
                        assert_int_equal(channel_receive(p->fds[1], &got, &fd, NULL),
                                         ended ? 1 : -EBADMSG);
                        cleanup_close(&fd);
                }
        }
}

static void test_init_lengths_stay_within_their_arrays(void **state)
{
        Pair *p = *state;

        for (int i = 0; i < 2; i++) {
                Message m = { .kind = MESSAGE_SERVE };
                int fd;
                if (i == 0)
                        m.serve.init_request_len = MESSAGE_INIT_MAX + 1;
                else
                        m.serve.init_answer_len = UINT32_MAX;
                assert_int_equal(channel_send(p->fds[0], &m, p->file, NULL), 0);
                assert_int_equal(channel_receive(p->fds[1], &m, &fd, NULL), -EBADMSG);
        }
}

static void test_a_backing_file_has_a_number(void **state)
{
        Pair *p = *state;
        Message m = { .kind = MESSAGE_SERVE, .serve.backing_id = -1 };
        int fd = -1;

        assert_int_equal(channel_send(p->fds[0], &m, p->file, NULL), 0);
        assert_int_equal(channel_receive(p->fds[1], &m, &fd, NULL), -EBADMSG);
}

static void test_changes_are_of_what_there_is(void **state)
{
        Pair *p = *state;
        static const struct {
                Message message;
                int result;
                const char *text;
        } cases[] = {
                { { .kind = MESSAGE_CHANGE, .change = { .what = 15, .mode = 0777 } }, 1, "" },
                { { .kind = MESSAGE_CHANGE, .change.what = 0 },
                  -EBADMSG,
                  "message CHANGE is about 0, not within 0xf" },
                { { .kind = MESSAGE_CHANGE, .change.what = 16 },
                  -EBADMSG,
                  "message CHANGE is about 0x10, not within 0xf" },
                { { .kind = MESSAGE_CHANGE, .change = { .what = 4, .mode = 01000 } },
                  -EBADMSG,
                  "message CHANGE has mode 01000, above 0777" },
                { { .kind = MESSAGE_CHANGED, .changed.what = 0 }, 1, "" },
                { { .kind = MESSAGE_CHANGED, .changed.what = UINT32_MAX },
                  -EBADMSG,
                  "message CHANGED is about 0xffffffff, not within 0xf" },
                { { .kind = MESSAGE_LOOP, .loop.number = MESSAGE_LOOP_LOST }, 1, "" },
                { { .kind = MESSAGE_LOOP, .loop.number = MESSAGE_LOOP_MAX - 1 }, 1, "" },
                { { .kind = MESSAGE_LOOP, .loop.number = -3 },
                  -EBADMSG,
                  "message LOOP has number -3" },
                { { .kind = MESSAGE_LOOP, .loop.number = MESSAGE_LOOP_MAX },
                  -EBADMSG,
                  "message LOOP has number 1048576" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Message m = cases[i].message;
                Err err = { "" };

                assert_int_equal(channel_send(p->fds[0], &m, -1, NULL), 0);
                assert_int_equal(channel_receive(p->fds[1], &m, NULL, &err), cases[i].result);
                assert_string_equal(err.text, cases[i].text);
        }
}

static void test_a_secret_stays_within_its_array(void **state)
{
        Pair *p = *state;
        static const struct {
                uint32_t len;
                int result;
        } cases[] = {
                { 0, 1 }, { SECRET_MAX, 1 }, { SECRET_MAX + 1, -EBADMSG }, { UINT32_MAX, -EBADMSG }
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Message m = { .kind = MESSAGE_SECRET, .secret.len = cases[i].len }, got;

                assert_int_equal(channel_send(p->fds[0], &m, -1, NULL), 0);
                assert_int_equal(channel_receive(p->fds[1], &got, NULL, NULL), cases[i].result);
        }
}

typedef struct Receiver {
        int channel, result;
} Receiver;

static void *receive_and_wipe(void *arg)
{
        Receiver *r = arg;
        _cleanup_message_ Message got = { 0 };

        r->result = channel_receive(r->channel, &got, NULL, NULL);
        return NULL;
}

/* Neither of a message that was let in, nor of one that was not: all that receiving had in hand was on this stack. */
static void test_nothing_stays_of_a_secret(void **state)
{
        Pair *p = *state;
        /* ThreadSanitizer wants nearly 1 MiB of it for itself. */
        const size_t size = 2 << 20;
        uint8_t *stack =
                mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_t attr;
        pthread_t thread;

        assert_true(stack != MAP_FAILED);
        assert_int_equal(pthread_attr_init(&attr), 0);
        assert_int_equal(pthread_attr_setstack(&attr, stack, size), 0);
        for (int bad = 0; bad < 2; bad++) {
                Message m = { .kind = MESSAGE_SECRET, .secret.len = bad ? UINT32_MAX : SECRET_MAX };
                Receiver r = { .channel = p->fds[1] };
                for (size_t i = 0; i < SECRET_MAX; i++)
                        m.secret.bytes[i] = (uint8_t)("open sesame "[i % 12]);
                assert_int_equal(channel_send(p->fds[0], &m, -1, NULL), 0);
                assert_int_equal(pthread_create(&thread, &attr, receive_and_wipe, &r), 0);
                pthread_join(thread, NULL);
                assert_int_equal(r.result, bad ? -EBADMSG : 1);
                assert_null(memmem(stack, size, "open sesame", 11));
        }
        pthread_attr_destroy(&attr);
        munmap(stack, size);
}

static void on_alarm(int sig)
{
        (void)sig;
}

static void *send_later(void *arg)
{
        Message m = { .kind = MESSAGE_SERVING };
        usleep(100000);
        channel_send(*(int *)arg, &m, -1, NULL);
        return NULL;
}

static void test_signals_do_not_disturb_waiting(void **state)
{
        Pair *p = *state;
        struct sigaction action = { .sa_handler = on_alarm };
        struct sigaction before;
        struct itimerval every_ms = { .it_interval.tv_usec = 1000, .it_value.tv_usec = 1000 };
        struct itimerval never = { 0 };
        pthread_t sender;
        Message m;
        int fd;

        sigaction(SIGALRM, &action, &before);
        setitimer(ITIMER_REAL, &every_ms, NULL);
        assert_int_equal(pthread_create(&sender, NULL, send_later, &p->fds[0]), 0);
        int r = channel_receive(p->fds[1], &m, &fd, NULL);
        setitimer(ITIMER_REAL, &never, NULL);
        pthread_join(sender, NULL);
        sigaction(SIGALRM, &before, NULL);
        assert_int_equal(r, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)
        const struct CMUnitTest tests[] = {
                CASE(test_every_kind_arrives_as_it_was_sent),
                CASE(test_the_ends_do_not_survive_exec),
                CASE(test_a_closed_end_is_the_end),
                CASE(test_an_unread_message_of_ours_does_not_hide_the_end),
                CASE(test_nor_does_it_hide_what_was_said_before_the_end),
                CASE(test_unknown_kinds_are_not_sent),
                CASE(test_packets_that_make_no_sense_are_refused),
                CASE(test_descriptors_can_be_kept_out),
                CASE(test_who_does_not_read_blocks_nobody),
                CASE(test_texts_without_end_are_refused),
                CASE(test_init_lengths_stay_within_their_arrays),
                CASE(test_a_backing_file_has_a_number),
                CASE(test_changes_are_of_what_there_is),
                CASE(test_a_secret_stays_within_its_array),
                CASE(test_nothing_stays_of_a_secret),
                CASE(test_signals_do_not_disturb_waiting),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
