/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawviewd: serves one view, started by a unit or by `rawview mount`. */
#include "base/cleanup.h"
#include "base/inherited.h"
#include "base/log.h"
#include "build-config.h"
#include "config/config.h"
#include "config/descriptor.h"
#include "config/search-path.h"
#include "supervisor/describe.h"
#include "supervisor/event.h"
#include "supervisor/exit.h"
#include "supervisor/leftover.h"
#include "supervisor/log-level.h"
#include "supervisor/manager.h"
#include "supervisor/pending.h"
#include "supervisor/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
        MAIN_OPTIONS_MAX = 64,
        /* A supervisor that is stopping takes no SIGHUP; one that waits for a user database may be late. */
        MAIN_RELOAD_MS = 60 * 1000,
        /* Values that getopt_long gives; what it gives from MAIN_CONFIG on is an option of the table. */
        MAIN_VERSION = 256,
        MAIN_READY_FD,
        MAIN_PID_FILE,
        MAIN_BACKGROUND,
        MAIN_FOR_COMMAND,
        MAIN_FOR_MOUNT,
        MAIN_REMOVE_MOUNT_POINT,
        MAIN_REQUIRE_SANDBOX,
        MAIN_CORE_DUMPS,
        MAIN_CHECK,
        MAIN_AWAIT_RELOAD,
        MAIN_CLEAN_UP,
        MAIN_CONFIG,
};

typedef struct Arguments {
        const char *name; /* of a descriptor, or NULL */
        Descriptor descriptor;
        bool check; /* print what was understood, and nothing else */
        DescribeShape shape;
        bool clean_up; /* take away what is left of a view, and show nothing */
        ManagerOptions manager;
        int (*exit_as)(int status); /* as rawview(1) or mount(8) do; NULL: as a service */
        int argc;
        char **argv;
        struct option options[MAIN_OPTIONS_MAX];
} Arguments;

static void main_fill_options(struct option *to)
{
        static const struct option own[] = {
                { "help", no_argument, NULL, 'h' },
                { "verbose", no_argument, NULL, 'v' },
                { "quiet", no_argument, NULL, 'q' },
                { "version", no_argument, NULL, MAIN_VERSION },
                { "ready-fd", required_argument, NULL, MAIN_READY_FD },
                { "pidfile", required_argument, NULL, MAIN_PID_FILE },
                { "background", no_argument, NULL, MAIN_BACKGROUND },
                { "for-command", no_argument, NULL, MAIN_FOR_COMMAND },
                { "for-mount", no_argument, NULL, MAIN_FOR_MOUNT },
                { "remove-mount-point", no_argument, NULL, MAIN_REMOVE_MOUNT_POINT },
                { "require-sandbox", no_argument, NULL, MAIN_REQUIRE_SANDBOX },
                { "core-dumps", no_argument, NULL, MAIN_CORE_DUMPS },
                { "check", optional_argument, NULL, MAIN_CHECK },
                { "await-reload", required_argument, NULL, MAIN_AWAIT_RELOAD },
                { "clean-up", no_argument, NULL, MAIN_CLEAN_UP },
        };
        size_t count = sizeof(own) / sizeof(own[0]);
        ConfigOption o;

        memcpy(to, own, sizeof(own));
        for (int i = 0; config_get_option((size_t)i, &o) && count < MAIN_OPTIONS_MAX - 1; i++)
                to[count++] = (struct option){
                        .name = o.name,
                        .has_arg = o.needs_value ? required_argument : optional_argument,
                        .val = MAIN_CONFIG + i,
                };
        to[count] = (struct option){ 0 };
}

static int main_print_help(void)
{
        ConfigOption o;

        puts("Usage: rawviewd [OPTIONS] NAME\n"
             "       rawviewd [OPTIONS] --path=IMAGE\n"
             "\n"
             "Serves one view: the one that the descriptor NAME.image describes, or that of\n"
             "IMAGE. It is started by rawview@NAME.service or by 'rawview mount'.\n"
             "\n"
             "  --await-reload=PID      return when that rawviewd has begun to reload\n"
             "  --background            let go of the terminal once the view is up\n"
             "  --check[=json]          print what the descriptor says, and show nothing\n"
             "  --clean-up              unmount the view if its server is gone, no more\n"
             "  --core-dumps            let a crash leave a core, with pieces of the image\n"
             "  --for-command           exit with 0, 1 or 2, as rawview does\n"
             "  --for-mount             exit as mount(8) does\n"
             "  --pidfile=FILE          write the process id there once the view is up\n"
             "  --ready-fd=N            write the path of the view there once it is up\n"
             "  --remove-mount-point    remove the file that the view covered, at the end\n"
             "  --require-sandbox       no view when the kernel lacks a part of the sandbox\n"
             "  -v, --verbose           say more\n"
             "  -q, --quiet             say nothing but errors\n"
             "  --version               the version\n"
             "  -h, --help              this text\n"
             "\n"
             "Instead of a key of the descriptor, or to overrule it:");
        for (size_t i = 0; config_get_option(i, &o); i++) {
                char left[64];
                snprintf(left, sizeof(left), "--%s%s%s%s", o.name,
                         o.needs_value ? "=" : "[=", o.value, o.needs_value ? "" : "]");
                printf("  %-23s %s\n", left, o.doc);
        }
        return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int main_parse_fd(const char *text, int *ret)
{
        char *end = NULL;
        long fd = strtol(text, &end, 10);

        if (*end || end == text || fd < 3 || fd > 1023)
                return -EINVAL;
        *ret = (int)fd;
        return 0;
}

/* What systemd has to wait for is waited for where it looks, and no longer. */
static int main_await_reload(const char *text)
{
        Err err = { "" };
        char *end = NULL;

        long pid = strtol(text, &end, 10);
        if (*end || end == text || pid < 1 || pid > INT_MAX) {
                log_line(LOG_LEVEL_ERROR, "--await-reload: '%s' is not a process", text);
                return EX_USAGE;
        }
        if (pending_wait((pid_t)pid, SIGHUP, MAIN_RELOAD_MS, &err) >= 0)
                return EX_OK;
        log_line(LOG_LEVEL_ERROR, "--await-reload: %s", err.text);
        return EX_TEMPFAIL;
}

static int main_take_check(Arguments *a, const char *shape)
{
        a->check = true;
        a->shape = shape && strcmp(shape, "json") == 0 ? DESCRIBE_JSON : DESCRIBE_HUMAN;
        if (!shape || a->shape == DESCRIBE_JSON || strcmp(shape, "human") == 0)
                return -1;
        log_line(LOG_LEVEL_ERROR, "--check: '%s' is not allowed; allowed are human, json", shape);
        return EX_USAGE;
}

/* -1: go on; else the exit status. */
static int main_take_option(Arguments *a, Config *c, int got)
{
        Err err = { "" };

        switch (got) {
        case 'h':
                return main_print_help();
        case 'v':
                a->manager.level = LOG_LEVEL_DEBUG;
                return -1;
        case 'q':
                a->manager.level = LOG_LEVEL_ERROR;
                return -1;
        case MAIN_VERSION:
                puts("rawviewd " RAWVIEW_VERSION);
                return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
        case MAIN_READY_FD:
                if (main_parse_fd(optarg, &a->manager.ready_fd) == 0)
                        return -1;
                log_line(LOG_LEVEL_ERROR, "--ready-fd: '%s' is not a descriptor from 3 on", optarg);
                return EX_USAGE;
        case MAIN_PID_FILE:
                if (optarg[0] == '/') {
                        a->manager.pid_file = optarg;
                        return -1;
                }
                log_line(LOG_LEVEL_ERROR, "--pidfile: '%s' is not an absolute path", optarg);
                return EX_USAGE;
        case MAIN_BACKGROUND:
                a->manager.background = true;
                return -1;
        case MAIN_FOR_COMMAND:
                a->exit_as = exit_for_command;
                return -1;
        case MAIN_FOR_MOUNT:
                a->exit_as = exit_for_mount;
                return -1;
        case MAIN_REMOVE_MOUNT_POINT:
                a->manager.removes_mount_point = true;
                return -1;
        case MAIN_REQUIRE_SANDBOX:
                a->manager.require_sandbox = true;
                return -1;
        case MAIN_CORE_DUMPS:
                a->manager.core_dumps = true;
                return -1;
        case MAIN_AWAIT_RELOAD:
                return main_await_reload(optarg);
        case MAIN_CHECK:
                return main_take_check(a, optarg);
        case MAIN_CLEAN_UP:
                a->clean_up = true;
                return -1;
        case '?':
                return EX_USAGE;
        default:
                break;
        }
        ConfigOption o;
        if (!config_get_option((size_t)(got - MAIN_CONFIG), &o))
                return EX_USAGE;
        if (config_set_option(c, o.name, optarg, &err) >= 0)
                return -1;
        log_line(LOG_LEVEL_ERROR, "--%s", err.text);
        return EX_USAGE;
}

/* -1: go on; else the exit status. So it is with all that follows. */
static int main_scan(Arguments *a, Config *c)
{
        int got;

        optind = 0;
        while ((got = getopt_long(a->argc, a->argv, "hvq", a->options, NULL)) != -1) {
                int status = main_take_option(a, c, got);
                if (status >= 0)
                        return status;
        }
        a->name = a->argv[optind];
        return -1;
}

static void main_warn(void *arg, const char *text)
{
        log_line(LOG_LEVEL_WARNING, "%s", text);
}

/* The service has said it. */
static void main_ignore(void *arg, const char *text)
{
}

/* A name comes from a unit's instance, which anybody may choose who is allowed to start one. */
static int main_read_descriptor(Arguments *a, Config *c)
{
        _cleanup_search_path_ SearchPath path = { 0 };
        const char *name = a->name;
        EventSubject subject = { .instance = name };
        Err err = { "" };

        if (!descriptor_name_is_valid(name)) {
                log_line(LOG_LEVEL_ERROR,
                         "'%s' is no name of a descriptor: '/', control characters and a '.' at "
                         "its start are not allowed (a '-' in a unit's name stands for '/', \\x2d "
                         "for '-')",
                         name);
                return EX_USAGE;
        }
        int r = geteuid() == 0 ? search_path_fill_system(&path, &err)
                               : search_path_fill_user(&path, &err);
        if (r >= 0)
                r = descriptor_read(c, (const char *const *)path.folders, name,
                                    a->clean_up ? main_ignore : main_warn, NULL, &a->descriptor,
                                    &err);
        if (r >= 0)
                return -1;
        if (!a->clean_up)
                event_log(EVENT_DESCRIPTOR, &subject, -r, "%s", err.text);
        return EX_CONFIG;
}

static int main_settle(const Arguments *a, Config *c)
{
        EventSubject subject = { .instance = a->name };
        Err err = { "" };

        int r = config_settle(c, &err);
        if (r >= 0)
                return -1;
        if (a->clean_up)
                return EX_CONFIG;
        if (a->name)
                event_log(EVENT_DESCRIPTOR, &subject, -r, "%s: %s", a->descriptor.files[0],
                          err.text);
        else
                log_line(LOG_LEVEL_ERROR, "%s", err.text);
        return EX_CONFIG;
}

/* The options overrule the descriptor. */
static int main_read(Arguments *a, Config *c)
{
        int status = main_read_descriptor(a, c);
        if (status < 0)
                status = main_scan(a, c);
        return status < 0 ? main_settle(a, c) : status;
}

/* A view that is described on the command line alone, or a descriptor. */
static int main_configure(Arguments *a, Config *c)
{
        int status = main_scan(a, c);
        if (status >= 0)
                return status;
        log_open("rawview", log_level_choose(a->manager.level, c->log_level));
        if (a->argc - optind > 1 || (a->name != NULL) == (c->path != NULL)) {
                log_line(LOG_LEVEL_ERROR, "either the NAME of a descriptor or --path=IMAGE is "
                                          "needed; see rawviewd --help");
                return EX_USAGE;
        }
        if (!a->name)
                return main_settle(a, c);
        config_done(c);
        config_init(c);
        status = main_read(a, c);
        log_set_max(log_level_choose(a->manager.level, c->log_level));
        return status;
}

/* The same as at the start, from the same words of the command line. */
static int main_read_again(void *arg, Config *ret)
{
        const Arguments *first = arg;
        Arguments again = {
                .name = first->name,
                .manager.ready_fd = -1,
                .manager.fuse_fd = -1,
                .argc = first->argc,
                .argv = first->argv,
        };

        main_fill_options(again.options);
        int status = main_read(&again, ret);
        descriptor_done(&again.descriptor);
        return status < 0 ? 0 : -EINVAL;
}

static int main_describe(const Arguments *a, const Config *c)
{
        int r = describe_print(stdout, a->name, c, &a->descriptor, a->shape);
        if (r >= 0)
                return EX_OK;
        log_line(LOG_LEVEL_ERROR, "cannot print what was understood: %s", strerror(-r));
        return EX_IOERR;
}

/* Root must not be led to what others could not open themselves: least of all by a descriptor, which nobody looks at
 * when the service starts. */
static PathRule main_choose_rule(const Arguments *a)
{
        if (geteuid() != 0)
                return PATH_RULE_KERNEL;
        return a->name ? PATH_RULE_OWNERS : PATH_RULE_LINKS;
}

/* What was open when we were started is nothing to us, and the less to those whom we start; but for the connection of a
 * mount that is there already. */
static int main_tidy(Arguments *a, const Config *c)
{
        int r = inherited_parse_path(c->mount_point, &a->manager.fuse_fd);
        if (r < 0) {
                log_line(LOG_LEVEL_ERROR, "%s: is no descriptor from 3 on", c->mount_point);
                return EX_USAGE;
        }
        if (r > 0 && fcntl(a->manager.fuse_fd, F_GETFD) < 0) {
                log_line(LOG_LEVEL_ERROR, "%s: there is no such open descriptor", c->mount_point);
                return EX_USAGE;
        }
        r = inherited_close_rest(a->manager.ready_fd, a->manager.fuse_fd);
        if (r >= 0)
                return -1;
        log_line(LOG_LEVEL_ERROR, "--ready-fd: descriptor %d: %s", a->manager.ready_fd,
                 strerror(-r));
        return EX_USAGE;
}

/* The mount point is that of the descriptor as it is now. Without one that can be read nobody knows where the view was, and
 * any dead one is of no use to anybody. */
static int main_clean_up(const Arguments *a, const Config *c, int status)
{
        (void)leftover_clean(status < 0 ? c->mount_point : NULL, main_choose_rule(a));
        return EX_OK;
}

static int main_run(Arguments *a, Config *c)
{
        Err err = { "" };

        if (privileges_reduce(PRIVILEGES_STARTING, NULL, &err) < 0) {
                log_line(LOG_LEVEL_ERROR, "%s", err.text);
                return EX_OSERR;
        }
        main_fill_options(a->options);
        int status = main_configure(a, c);
        if (status < 0 && a->check)
                return main_describe(a, c);
        if (a->clean_up && (status < 0 || status == EX_CONFIG))
                return main_clean_up(a, c, status);
        if (status < 0)
                status = main_tidy(a, c);
        if (status >= 0)
                return status;
        a->manager.rule = main_choose_rule(a);
        a->manager.instance = a->name;
        if (a->name)
                a->manager.read = main_read_again;
        a->manager.read_arg = a;
        return manager_run(c, &a->manager);
}

/* One that comes before there is anything to reload is not lost, and does not end us. nohup(1) has it ignored. */
static void main_hold_hangups(Arguments *a)
{
        struct sigaction before = { .sa_handler = SIG_DFL };
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        sigaction(SIGHUP, NULL, &before);
        a->manager.ignores_hangup = before.sa_handler == SIG_IGN;
}

int main(int argc, char **argv)
{
        Arguments a = { .manager = { .ready_fd = -1, .fuse_fd = -1 }, .argc = argc, .argv = argv };
        _cleanup_config_ Config c;

        main_hold_hangups(&a);
        config_init(&c);
        if (inherited_fill_stdio() < 0)
                return EX_OSERR;
        log_open("rawview", LOG_LEVEL_NOTICE);
        int status = main_run(&a, &c);
        descriptor_done(&a.descriptor);
        return a.exit_as ? a.exit_as(status) : status;
}
