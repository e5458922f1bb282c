#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Bad input gets a clear error and an exit status that says what it is, never a signal, a hang or silence: every bad
# recipe, and files that are no images at all.
#
# RECIPES: the folder of the recipes.
. "$(dirname "$0")/lib.sh"
. "$HERE/features.sh"
need jq
make_programs
readonly RAWVIEWD=$W/bin/rawviewd

step "every bad and every unsupported recipe"
mkdir recipes
# Those are refused for what the build lacks.
left_out=()
has_feature libgcrypt || left_out+=(luks aes)
has_feature bzip2 || left_out+=(bzip2)
has_feature lzma || left_out+=(lzma)
"$PYTHON" -B "$HERE/bad-images.py" "$RECIPES" "$RAWVIEW" "$W/recipes" "${left_out[@]}"
no_mount_left

# refused_by_all STATUS WORDS IMAGE [PREFIX…]: by rawviewd with that status, by info and check with 1.
refused_by_all()
{
    local status=$1 words=$2 image=$3
    shift 3
    refused "$status" "$(basename "$image"): .*($words)" "$@" "$RAWVIEWD" --path="$image" --mount-point="$W/mp"
    refused 1 "$(basename "$image"): .*($words)" "$@" rawview info "$image"
    refused 1 "$(basename "$image"): .*($words)" "$@" rawview check "$image"
}

step "what is no file that could be an image"
: >mp
chmod 666 mp
mkdir folder
mkfifo fifo
"$PYTHON" -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
ln -s nowhere dangling
ln -s loop loop
head -c 64K /dev/zero >closed.raw
chmod 000 closed.raw
head -c 64K /dev/zero >file.raw
refused_by_all 66 'regular file|is a folder' "$W/folder"
refused_by_all 66 'regular file' "$W/fifo"
refused_by_all 66 'regular file|no such device' "$W/socket"
refused_by_all 66 'regular file' /dev/null
refused_by_all 66 'no such file' "$W/missing.raw"
refused_by_all 66 'no such file' "$W/dangling"
refused_by_all 66 'too many levels' "$W/loop"
refused_by_all 66 'not a directory' "$W/file.raw/inside.raw"
refused_by_all 66 'file name too long' "$W/$(printf '%0300d' 0)"
refused_by_all 77 'permission denied' "$W/closed.raw" as-user
refused 66 'regular file' "$RAWVIEWD" --path="$W/" --mount-point="$W/mp"

step "an image that somebody else writes to"
: >other
qemu-img create -q -f qcow2 locked.qcow2 1M
up other -w locked.qcow2 other
# held STATUS COMMAND…
held()
{
    local status=$1
    shift
    expect_fail 'locked.qcow2: .*rawviewd' "$@"
    equal "status of $*" "$STATUS" "$status"
    equal "lines on stderr ($(cat stderr))" "$(wc -l <stderr)" 1
}
held 75 "$RAWVIEWD" --path="$W/locked.qcow2" --mount-point="$W/mp"
held 1 rawview info locked.qcow2
held 1 rawview check locked.qcow2
down other

step "files so short that no format can be in them"
for size in 0 1 511; do
    head -c $size /dev/zero >short.raw
    refused 65 "short.raw: .*qcow2" "$RAWVIEWD" --path="$W/short.raw" --mount-point="$W/mp" --format=qcow2
    refused 65 "short.raw: .*format=raw" "$RAWVIEWD" --path="$W/short.raw" --mount-point="$W/mp" --writable
    # What nobody recognises is shown as it is, to be read.
    up short short.raw mp
    equal "size of a view of $size bytes" "$(size_of mp)" $size
    down short
    rawview info short.raw >out 2>err || fail "rawview info: $(cat err)"
    refused '[16]*' "short.raw" rawview check short.raw
done
no_mount_left
