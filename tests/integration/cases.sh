# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the tests without mounts share: sourced at their beginning. The one with mounts is lib.sh.
#
# CASE is what is being asked, for the message of a failure. W is a folder of the test's own, gone at its end.
set -Eeuo pipefail
export LC_ALL=C

CASE=start

fail()
{
    trap - ERR
    echo "FAIL: $CASE: $*" >&2
    exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# need PROGRAM…: without one of them the test is skipped; in CI it fails.
need()
{
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            echo "cannot run here: $program is missing" >&2
            [[ ${CI:-} == true ]] && exit 1
            exit 77
        fi
    done
}

# work_in FOLDER: makes W below it.
work_in()
{
    W=$(mktemp -d "$1/rawview-cases.XXXXXX")
    trap 'rm -rf "$W"' EXIT
}
