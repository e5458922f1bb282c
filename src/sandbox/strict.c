/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox/build.h"

const SandboxBuild sandbox_build = {
        .limits_memory = true,
};
