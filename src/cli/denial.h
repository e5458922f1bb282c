/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What AppArmor or SELinux says in the kernel's log when it refuses something, and what is to be typed against that. Only texts:
 * where they come from is others' affair. Names in them may be anybody's. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum DenialBy {
        DENIAL_BY_APPARMOR,
        DENIAL_BY_SELINUX,
} DenialBy;

enum {
        DENIAL_NAME_MAX = 256,
        DENIAL_OBJECT_MAX = 4096,
};

/* "" is what the line does not say. */
typedef struct Denial {
        DenialBy by;
        bool was_let_pass; /* SELinux was permissive */
        char process[DENIAL_NAME_MAX], pid[16];
        char operation[DENIAL_NAME_MAX]; /* "open"; of SELinux what stands in braces: "read open" */
        char object[DENIAL_OBJECT_MAX];  /* a path, or a name alone */
        char profile[DENIAL_NAME_MAX];   /* AppArmor's */
        char source
                [DENIAL_NAME_MAX]; /* SELinux's contexts: of the process, and of what it wanted */
        char target[DENIAL_NAME_MAX];
        char kind[DENIAL_NAME_MAX]; /* "file", "dir", "capability" … */
} Denial;

/* One message, as the journal or /var/log/audit/audit.log has it. False: it is no refusal, or has nothing to do with us. */
bool denial_parse(const char *text, Denial *ret);

bool denial_equal(const Denial *a, const Denial *b);

/* When it was, in microseconds since 1970, where the message itself says so: "audit(1364481363.243:24287)". */
bool denial_find_time(const char *text, uint64_t *ret);

/* Who, what, to what, by what rule. free() it; NULL: no memory. */
char *denial_describe(const Denial *d);

/* One line of a shell of root's. `has_log`: auditd keeps what SELinux says in a log of its own. free() it; NULL: no memory. */
char *denial_mend(const Denial *d, bool has_log);
