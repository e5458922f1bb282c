# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Many images, each made by qemu-img in a folder of its own, one after the other: sourced at the beginning of a test
# that wants them. COUNT is how many there were, KIND what qemu-img calls their format.
. "$(dirname "${BASH_SOURCE[0]}")/cases.sh"

COUNT=0
KIND=qcow2

need qemu-img qemu-io

work_in "${TMPDIR:-/tmp}"
mkdir "$W/out"
mkdir "$W/images"
cd "$W/images"

# begin NAME: a new case in an empty folder.
begin()
{
    CASE=$*
    COUNT=$((COUNT + 1))
    rm -rf "$W/images"
    mkdir "$W/images"
    cd "$W/images"
}

create()
{
    qemu-img create -q -f "$KIND" "$@"
}

# io IMAGE COMMAND…: each command one word.
io()
{
    local image=$1 command words=()
    shift
    for command in "$@"; do
        words+=(-c "$command")
    done
    qemu-io -f "$KIND" "${words[@]}" "$image" >"$W/out/io" 2>&1 || fail "qemu-io $*: $(cat "$W/out/io")"
    if grep -iE 'error|failed|invalid|unsupported' "$W/out/io" >&2; then
        fail "qemu-io: $*"
    fi
}
