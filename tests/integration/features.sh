# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the build has that RAWVIEW is of. For lib.sh and cases.sh.
BUILD_OPTIONS=${RAWVIEW%/src/*}/meson-info/intro-buildoptions.json

# has_feature NAME
has_feature()
{
    [[ $(jq -r --arg name "$1" '.[] | select(.name == $name).value' "$BUILD_OPTIONS") != disabled ]]
}

need_feature()
{
    local feature
    for feature in "$@"; do
        has_feature "$feature" || {
            echo "this build is without $feature" >&2
            exit 77
        }
    done
}
