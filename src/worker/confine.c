/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker/confine.h"

int worker_confine(const MessageImage *image,
                   int channel,
                   int wake_fd,
                   int image_fd,
                   SandboxReport *ret,
                   Err *err)
{
        const int keep[] = { channel, wake_fd, image_fd };
        SandboxOptions options = {
                .keep = keep,
                .keep_count = sizeof(keep) / sizeof(keep[0]),
                .cache_size = image->cache_size,
                .may_burst = true,
                .switch_user = image->switch_user,
                .uid = image->uid,
                .gid = image->gid,
                .required = image->require_sandbox,
                .core_dumps = image->core_dumps,
        };

        return sandbox_enter(&options, ret, err);
}
