/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a name that stands inside an image to an open file, under the policy of References=. The name is hostile:
 * it was written by a guest. Used by the broker; who looks at an image can open nothing and asks.
 *
 *   none        nothing is ever opened
 *   directory   what lies beneath the folder of the top image: openat2 with RESOLVE_BENEATH, no magic links, so
 *               that neither ".." nor a symbolic link leads out
 *   chain       the same, or beneath one of `allowed`
 *   any         whatever the caller may open
 *
 * Only regular files are opened whatever the policy (and block devices under `any`), never fifos, other devices,
 * directories. Errors: EACCES with the policy and the key that would allow it, ENOENT, and whatever open says.
 */
#pragma once

#include "base/err.h"
#include "base/safe-path.h"

#include <stdbool.h>
#include <sys/types.h>

typedef enum ReferencePolicy {
        REFERENCES_NONE,
        REFERENCES_DIRECTORY,
        REFERENCES_CHAIN,
        REFERENCES_ANY,
} ReferencePolicy;

typedef struct ReferenceRules {
        ReferencePolicy policy;
        /* NULL-terminated absolute folders for REFERENCES_CHAIN; may be NULL. */
        char *const *allowed;
        /* Absolute path of the top image, symbolic links resolved. */
        const char *top;
        /* The same as people gave it, absolute: names may begin like that. May be NULL. */
        const char *given;
        /* How the folders of `allowed` are followed; who could exchange one chooses what lies in it. */
        PathRule path_rule;
        /* Who can write the names into the image and so chooses beneath its own folder, where that is neither root nor
         * the caller. */
        bool has_namer;
        uid_t namer;
        /* Others than its owner may write to the image, too: what they name must be open to this group as well. */
        bool has_namers;
        gid_t namers;
        /* Whether others see what the image shows. Then who chooses gets no more than the own files and what everybody
         * may read and reach; for writing it is the own files in any case. */
        bool others_see;
} ReferenceRules;

/* Opens `name` as it stands in the image at `namer` (absolute, symbolic links resolved; the top image or a file
 * that this function opened before). Gives a close-on-exec descriptor and, in *ret_path, the absolute path of what
 * was opened (free() it), to be the `namer` of further names. */
int reference_open(const ReferenceRules *rules,
                   const char *namer,
                   const char *name,
                   bool writable,
                   int *ret_fd,
                   char **ret_path,
                   Err *err);

/* Whether such a name is itself a symbolic link, found under the same rules. For what people read: it may have been
 * changed since it was opened. False also when it cannot be told. */
bool reference_is_link(const ReferenceRules *rules, const char *namer, const char *name);
