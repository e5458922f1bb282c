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
        if (r >= 0) {
                check_end_pass(report);
                return 0;
        }
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
        check_end_pass(report);
        check_forget(report);
        report->quiet = true;
}

void check_end_again(CheckReport *report)
{
        report->quiet = false;
}

static void check_hear(CheckReport *report, uint64_t done)
{
        report->done = u64_max(report->done, u64_min(done, report->whole));
        if (report->listener.hear && report->whole > 0)
                report->listener.hear(report->listener.arg, report->pass, report->done,
                                      report->whole);
}

void check_begin_pass(CheckReport *report, const char *pass, uint64_t whole)
{
        check_end_pass(report);
        report->pass = pass;
        report->whole = whole;
        report->base = report->done = 0;
}

void check_begin_part(CheckReport *report, uint64_t base)
{
        report->base = base;
}

/* What is estimated beforehand may turn out to be more. */
void check_step(CheckReport *report, uint64_t done)
{
        check_hear(report, report->base + done);
}

void check_end_pass(CheckReport *report)
{
        check_hear(report, report->whole);
        report->whole = 0;
}

CheckReport check_report_of(const Node *n, CheckRepair repair)
{
        return (CheckReport){ .repair = repair, .listener = n->listener };
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
