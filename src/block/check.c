/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/check.h"

#include "base/bits.h"
#include "block/node.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

/* A repair changes what others hold in memory, so it is only for a node that nobody serves from. */
static int node_check_allowed(const Node *n, CheckReport *report)
{
        if (!n->format->check)
                return err_set(&report->err, EOPNOTSUPP,
                               "the format %s has nothing that could be checked", n->format->name);
        if (report->repair != CHECK_LOOK && (!n->writable || !n->for_check))
                return err_set(&report->err, EROFS, "the image was not opened to be repaired");
        return 0;
}

/* What the caller wants stays. */
static void check_forget(CheckReport *report)
{
        *report = (CheckReport){
                .repair = report->repair,
                .tell = report->tell,
                .arg = report->arg,
                .progress = report->progress,
                .listener = report->listener,
        };
}

int node_check(Node *n, CheckReport *report)
{
        check_forget(report);
        int r = node_check_allowed(n, report);
        if (r < 0)
                return r;

        pthread_rwlock_wrlock(&n->layout);
        r = n->format->check(n, report);
        pthread_rwlock_unlock(&n->layout);
        if (r >= 0)
                return 0;
        report->check_errors++;
        if (report->err.text[0] == '\0')
                err_set(&report->err, -r, "cannot check it: %m");
        return r;
}

__attribute__((format(printf, 2, 0))) static void check_tell_list(CheckReport *report,
                                                                  const char *fmt,
                                                                  va_list args)
{
        char text[512];

        if (!report->tell || report->quiet)
                return;
        vsnprintf(text, sizeof(text), fmt, args);
        report->tell(report->arg, text);
}

void check_corruption(CheckReport *report, const char *fmt, ...)
{
        va_list args;

        report->corruptions++;
        va_start(args, fmt);
        check_tell_list(report, fmt, args);
        va_end(args);
}

void check_leak(CheckReport *report, const char *fmt, ...)
{
        va_list args;

        report->leaks++;
        va_start(args, fmt);
        check_tell_list(report, fmt, args);
        va_end(args);
}

void check_tell(CheckReport *report, const char *fmt, ...)
{
        va_list args;

        va_start(args, fmt);
        check_tell_list(report, fmt, args);
        va_end(args);
}

void check_begin_again(CheckReport *report)
{
        check_forget(report);
        report->quiet = true;
}

void check_end_again(CheckReport *report)
{
        report->quiet = false;
}

void check_begin_pass(CheckReport *report, const char *pass, uint64_t whole)
{
        report->pass = pass;
        report->whole = whole;
        report->base = 0;
}

void check_begin_part(CheckReport *report, uint64_t base)
{
        report->base = base;
}

/* What is estimated beforehand may turn out to be more. */
void check_step(const CheckReport *report, uint64_t done)
{
        if (report->progress && report->whole > 0)
                report->progress(report->listener, report->pass,
                                 u64_min(report->base + done, report->whole), report->whole);
}

int check_refuse_unclean(const CheckReport *report, Err *err)
{
        if (report->corruptions == 0)
                return 0;
        return err_set(err, EUCLEAN,
                       "the image was not closed cleanly, and %" PRIu64
                       " errors are left after its repair; `rawview check` lists them",
                       report->corruptions);
}
