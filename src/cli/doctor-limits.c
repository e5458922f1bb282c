/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits of the shell that started this, which a view that is started there has, too. */
#include "base/cleanup.h"
#include "cli/doctor.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
        LIMIT_THREADS = 24, /* of a view, with its short-lived helpers */
        LIMIT_THREADS_GOOD = 256,
};

typedef struct LimitOf {
        int resource;
        char letter;      /* of the shell's ulimit, in whose units `unit` is */
        const char *name; /* of prlimit(1) */
        unsigned long long unit;
        unsigned long long bad; /* less than this: there is no view */
        unsigned long long good;
        const char *text;
} LimitOf;

static const LimitOf limits[] = {
        { RLIMIT_NOFILE, 'n', "nofile", 1, 24, 256,
          "open files: a view needs 24, and some for each file of the image" },
        { RLIMIT_AS, 'v', "as", 1024, 32 << 20, 128 << 20,
          "bytes of memory: a view needs up to 64 MiB and its cache" },
        { RLIMIT_FSIZE, 'f', "fsize", 1024, 0, RLIM_INFINITY,
          "bytes in a file: what is written to a view beyond that fails" },
};

/* A shell lifts its own limit, without a program that might not start, as far as the hard one; further only root may. */
static void limit_mend(char ret[128],
                       const LimitOf *l,
                       const struct rlimit *is,
                       unsigned long long wanted)
{
        char number[32] = "unlimited";
        bool by_root = is->rlim_max != RLIM_INFINITY && is->rlim_max < wanted;

        if (wanted != RLIM_INFINITY)
                snprintf(number, sizeof(number), "%llu", by_root ? wanted : wanted / l->unit);
        if (by_root)
                snprintf(ret, 128, DOCTOR_ROOT "prlimit --%s=%s --pid %d", l->name, number,
                         (int)getppid());
        else
                snprintf(ret, 128, "ulimit -S%c %s", l->letter, number);
}

static unsigned long long limit_count_threads(void)
{
        _cleanup_dir_ DIR *proc = opendir("/proc");
        unsigned long long count = 0;

        for (struct dirent *at; proc && (at = readdir(proc));) {
                char path[64], line[256];
                unsigned long uid = 0, threads = 0;
                if (!isdigit((unsigned char)at->d_name[0]))
                        continue;
                snprintf(path, sizeof(path), "/proc/%.20s/status", at->d_name);
                _cleanup_stream_ FILE *f = fopen(path, "re");
                while (f && fgets(line, sizeof(line), f)) {
                        sscanf(line, "Uid: %lu", &uid);
                        sscanf(line, "Threads: %lu", &threads);
                }
                if (uid == getuid())
                        count += threads;
        }
        return count;
}

/* Those of all the user's programs count; root's do not. */
static void limit_look_at_threads(Doctor *d)
{
        static const LimitOf threads = { RLIMIT_NPROC, 'u', "nproc", 1, 0, 0, NULL };
        struct rlimit is;
        char mend[128];

        if (geteuid() == 0 || getrlimit(RLIMIT_NPROC, &is) < 0 || is.rlim_cur == RLIM_INFINITY)
                return;
        unsigned long long count = limit_count_threads();
        if (is.rlim_cur >= count + LIMIT_THREADS)
                return;
        limit_mend(mend, &threads, &is, count + LIMIT_THREADS_GOOD);
        doctor_say(d, DOCTOR_BAD, "limits", mend,
                   "of this shell allow %llu threads, of which %llu are there: a view needs %d",
                   (unsigned long long)is.rlim_cur, count, LIMIT_THREADS);
}

void doctor_look_at_limits(Doctor *d)
{
        struct rlimit is;
        char mend[128];

        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
                const LimitOf *l = &limits[i];
                if (getrlimit(l->resource, &is) < 0 || is.rlim_cur == RLIM_INFINITY ||
                    is.rlim_cur >= l->good)
                        continue;
                limit_mend(mend, l, &is, l->good);
                doctor_say(d, is.rlim_cur < l->bad ? DOCTOR_BAD : DOCTOR_NOTE, "limits", mend,
                           "of this shell allow %llu %s", (unsigned long long)is.rlim_cur, l->text);
        }
        limit_look_at_threads(d);
}
