/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/private-view.h"

#include "base/cleanup.h"
#include "base/inherited.h"
#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/own-place.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        PRIVATE_VIEW_READY_FD = 3,
        /* A view that takes longer to come, or to go, is none. */
        PRIVATE_VIEW_START_MS = 60 * 1000,
        PRIVATE_VIEW_END_MS = 20 * 1000,
        PRIVATE_VIEW_POLL_MS = 20,
        PRIVATE_VIEW_TEXT_MAX = 1024,
};

static void private_view_hold_signals(PrivateView *v)
{
        sigset_t held;

        sigemptyset(&held);
        sigaddset(&held, SIGINT);
        sigaddset(&held, SIGTERM);
        sigaddset(&held, SIGHUP);
        v->holds_signals = sigprocmask(SIG_BLOCK, &held, &v->mask) == 0;
}

/* Where views of the caller's are: for root that is where AppArmor's profile lets them be. */
static int private_view_make_folder(char **ret, Err *err)
{
        _cleanup_free_ char *above = NULL, *folder = NULL;

        if (own_place_get_folder(&above, NULL) >= 0) {
                (void)mkdir(above, geteuid() == 0 ? 0755 : 0700);
                if (asprintf(&folder, "%s/.look-XXXXXX", above) >= 0 && mkdtemp(folder)) {
                        *ret = TAKE(folder);
                        return 0;
                }
                free(TAKE(folder));
        }
        folder = strdup("/tmp/rawview-look-XXXXXX");
        if (!folder || !mkdtemp(folder))
                return err_set(err, errno, "cannot make a folder for it: %m");
        *ret = TAKE(folder);
        return 0;
}

static int private_view_make_place(PrivateView *v, Err *err)
{
        int r = private_view_make_folder(&v->folder, err);
        if (r < 0)
                return r;
        if (asprintf(&v->path, "%s/disk", v->folder) < 0) {
                v->path = NULL;
                return err_set(err, ENOMEM, "%m");
        }
        _cleanup_close_ int fd = open(v->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return fd < 0 ? err_set(err, errno, "cannot make a file for it: %m") : 0;
}

/* What of `how` it is told: keys of a descriptor, and the options of the same meaning. */
static const char *const told_keys[][2] = {
        { "Format", "format" },
        { "References", "references" },
        { "AllowedPaths", "allowed-paths" },
        { "ForceShare", "force-share" },
};

static int private_view_add_setting(DaemonCommand *c, const ConfigSetting *s)
{
        for (size_t i = 0; i < sizeof(told_keys) / sizeof(told_keys[0]); i++)
                if (strcmp(s->key, told_keys[i][0]) == 0)
                        return daemon_add(c, "--%s=%s", told_keys[i][1], s->text);
        return CLI_OK;
}

static int private_view_describe(DaemonCommand *c,
                                 const char *image,
                                 const Config *how,
                                 const char *place)
{
        ConfigSetting s = { 0 };
        int r = 0, status = daemon_add(c, "--path=%s", image);

        if (status == CLI_OK)
                status = daemon_add(c, "--mount-point=%s", place);
        for (size_t i = 0; status == CLI_OK && (r = config_get_setting(how, i, &s)) > 0; i++) {
                status = private_view_add_setting(c, &s);
                free(TAKE(s.text));
        }
        if (status == CLI_OK && r >= 0)
                status = daemon_add(c, "--quiet");
        if (status == CLI_OK)
                status = daemon_add(c, "--for-command");
        if (status == CLI_OK)
                status = daemon_add(c, "--ready-fd=%d", PRIVATE_VIEW_READY_FD);
        return r < 0 ? CLI_FAILURE : status;
}

/* It is told nothing of a service manager, hears from no terminal, and says what it has to say to us. */
static _Noreturn void private_view_child(
        DaemonCommand *c, int ready, int said, const sigset_t *mask, pid_t parent)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(CLI_FAILURE);
        setsid();
        unsetenv("NOTIFY_SOCKET");
        sigprocmask(SIG_SETMASK, mask, NULL);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        /* What it says goes over the place of the pipe, if that is there, after that. */
        if (ready != PRIVATE_VIEW_READY_FD && said == PRIVATE_VIEW_READY_FD)
                said = dup(said);
        dup2(said, STDERR_FILENO);
        if (ready != PRIVATE_VIEW_READY_FD)
                dup2(ready, PRIVATE_VIEW_READY_FD);
        inherited_close_rest(PRIVATE_VIEW_READY_FD, -1);
        fcntl(PRIVATE_VIEW_READY_FD, F_SETFD, 0);
        _exit(daemon_become(c));
}

/* Until it is ready (1), or has ended (0). */
static int private_view_wait(int ready)
{
        struct pollfd p = { .fd = ready, .events = POLLIN };
        char c;

        while (poll(&p, 1, PRIVATE_VIEW_START_MS) < 0)
                if (errno != EINTR)
                        return 0;
        return p.revents && read(ready, &c, 1) == 1;
}

/* The last line that it has said, without its own name. What was not read yet fits the pipe. */
static int private_view_explain(int said, Err *err)
{
        char text[PRIVATE_VIEW_TEXT_MAX];
        ssize_t n = -1;

        if (fcntl(said, F_SETFL, O_NONBLOCK) == 0)
                n = read(said, text, sizeof(text) - 1);
        while (n > 0 && text[n - 1] == '\n')
                n--;
        if (n <= 0)
                return err_set(err, EIO, "its service ended without a word");
        text[n] = '\0';
        char *line = strrchr(text, '\n');
        line = line ? line + 1 : text;
        if (strncmp(line, "rawview: ", strlen("rawview: ")) == 0)
                line += strlen("rawview: ");
        return err_set(err, EIO, "%s", line);
}

static int private_view_start(PrivateView *v, DaemonCommand *c, Err *err)
{
        int ready[2], said[2];
        pid_t parent = getpid();

        if (pipe2(ready, O_CLOEXEC) < 0)
                return err_set(err, errno, "cannot make a pipe: %m");
        _cleanup_close_ int ready_end = ready[0];
        if (pipe2(said, O_CLOEXEC) < 0) {
                close(ready[1]);
                return err_set(err, errno, "cannot make a pipe: %m");
        }
        _cleanup_close_ int said_end = said[0];
        v->pid = fork();
        if (v->pid == 0)
                private_view_child(c, ready[1], said[1], &v->mask, parent);
        close(ready[1]);
        close(said[1]);
        if (v->pid < 0)
                return err_set(err, errno, "cannot fork: %m");
        if (!private_view_wait(ready_end))
                return private_view_explain(said_end, err);
        v->fd = open(v->path, O_RDONLY | O_CLOEXEC);
        return v->fd < 0 ? err_set(err, errno, "cannot open it: %m") : 0;
}

int private_view_open(const char *image, const Config *how, PrivateView *ret, Err *err)
{
        DaemonCommand command = { 0 };

        *ret = PRIVATE_VIEW_NONE;
        private_view_hold_signals(ret);
        int r = private_view_make_place(ret, err);
        if (r >= 0)
                r = private_view_describe(&command, image, how, ret->path) == CLI_OK
                            ? private_view_start(ret, &command, err)
                            : err_set(err, ENOMEM, "%m");
        daemon_command_done(&command);
        return r;
}

static bool private_view_has_ended(pid_t pid)
{
        pid_t ended;

        do
                ended = waitpid(pid, NULL, WNOHANG);
        while (ended < 0 && errno == EINTR);
        return ended != 0;
}

static void private_view_end(pid_t pid)
{
        kill(pid, SIGTERM);
        for (int waited = 0; !private_view_has_ended(pid); waited += PRIVATE_VIEW_POLL_MS) {
                if (waited >= PRIVATE_VIEW_END_MS)
                        kill(pid, SIGKILL);
                poll(NULL, 0, PRIVATE_VIEW_POLL_MS);
        }
}

void private_view_done(PrivateView *v)
{
        cleanup_close(&v->fd);
        if (v->pid > 0)
                private_view_end(v->pid);
        if (v->path)
                unlink(v->path);
        if (v->folder)
                rmdir(v->folder);
        free(v->path);
        free(v->folder);
        v->path = v->folder = NULL;
        v->pid = 0;
        if (v->holds_signals)
                sigprocmask(SIG_SETMASK, &v->mask, NULL);
        v->holds_signals = false;
}
