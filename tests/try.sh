#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# try.sh BUILD [IMAGE]: what `./dev try` shows once everything is built in BUILD. Needs no root: what an ordinary user
# may mount is enough. Ends with a statement of what was seen; any surprise is an error.
set -euo pipefail

build=$1 image=${2-}
rawview=$build/src/rawview
work=$(mktemp -d "${TMPDIR:-/tmp}/rawview-try.XXXXXX")
shown=

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
die() {
    printf 'dev try: %s\n' "$*" >&2
    exit 1
}

clean() {
    if [ -n "$shown" ]; then
        "$rawview" umount "$shown" || say "could not unmount $shown: see rawview umount --help" >&2
    fi
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# Prints a command as one would type it.
typed() {
    local word line='$'
    for word in "$@"; do
        [ "$word" != "$rawview" ] || word=rawview
        [[ $word != *[[:blank:]\?]* ]] || word="'$word'"
        line+=" $word"
    done
    say "$line"
}

# Prints a command, and runs it.
show() {
    typed "$@"
    "$@"
}

# expect WHAT COMMAND…: runs it, prints it with its output, and insists that WHAT is in there.
expect() {
    local what=$1 output
    shift
    typed "$@"
    output=$("$@" 2>&1) || die "that failed: $output"
    printf '%s\n' "$output"
    [[ $output == *"$what"* ]] || die "that should have said '$what'"
}

mount_over_itself() {
    [ -c /dev/fuse ] || die "this machine has no /dev/fuse: FUSE is not in its kernel, or not in its container"
    typed "$rawview" mount -d -p "$work/pid" "$1"
    shown=$("$rawview" mount -d -p "$work/pid" "$1") || {
        shown=
        die "the mount failed"
    }
    say "$shown"
}

unmount() {
    local view=$shown
    shown=
    show "$rawview" umount "$view" || die "the unmount failed"
}

make_image() {
    local raw=$work/original.raw
    mkdir "$work/files"
    echo "hello from inside the guest's file system" >"$work/files/hello"
    seq 1 200000 >"$work/files/numbers"
    show truncate -s 64M "$raw"
    show truncate -s 60M "$work/ext4"
    printf '$ sfdisk %s\n' "$raw"
    echo 'start=2048, size=122880, type=83' | sfdisk -q --label dos "$raw" >"$work/log" 2>&1 || die "$(cat "$work/log")"
    show mke2fs -q -t ext4 -d "$work/files" "$work/ext4"
    show dd if="$work/ext4" of="$raw" bs=1M seek=1 conv=notrunc,sparse status=none
    show qemu-img convert -f raw -O qcow2 -c "$raw" "$1"
    rm -r "$work/ext4" "$work/files" "$raw"
}

# The made-up image: every claim is checked.
tour() {
    local disk=$work/disk.qcow2 known=$work/known.raw before after_time
    step "making a small qcow2 (compressed) with a partition table and an ext4 file system"
    make_image "$disk"
    show qemu-img convert -f qcow2 -O raw "$disk" "$known"
    before=$(sha256sum <"$disk")
    after_time=$(stat -c %y "$disk")
    expect "QEMU QCOW" file -b "$disk"
    say "sha256 ${before%% *}"

    step "showing it over itself"
    mount_over_itself "$disk"

    step "the same name is a raw disk now"
    expect "boot sector" file -b "$disk"
    expect "67108864" stat -c '%s bytes, mode %a' "$disk"
    expect "83 Linux" sfdisk -l "$disk"
    show cmp "$disk" "$known" || die "the view differs from what qemu-img convert made"
    say "(no difference from what qemu-img convert made of it)"
    expect "hello from inside" debugfs -R 'cat /hello' "$disk?offset=1048576"
    expect "fuse.rawview" findmnt -n -o TARGET,FSTYPE,OPTIONS -t fuse.rawview -M "$disk"
    show dd if="$disk" of="$work/partition" bs=1M skip=1 count=60 status=none
    show e2fsck -fn "$work/partition"

    step "unmounting"
    unmount
    expect "QEMU QCOW" file -b "$disk"
    [ "$(sha256sum <"$disk")" = "$before" ] || die "the image has changed"
    [ "$(stat -c %y "$disk")" = "$after_time" ] || die "the image's time has changed"
    say "sha256 ${before%% *}"

    step "seen"
    say "A compressed qcow2 was a raw disk under its own name: file, sfdisk, cmp, dd, debugfs and e2fsck read it as one,"
    say "which takes no root's rights. Its bytes were those that qemu-img makes of it. After the unmount it is the same"
    say "qcow2 as before, to the byte."
}

visit() {
    local before
    [ -f "$image" ] || [ -b "$image" ] || die "$image: no such file"
    image=$(realpath "$image")
    step "$image as it is"
    show file -b "$image"
    before=$(stat -c '%s %y' "$image")
    step "showing it over itself, read-only"
    mount_over_itself "$image"
    step "what ordinary tools see under the same name"
    show file -b "$image" || true
    show stat -c '%s bytes, mode %a' "$image"
    show sfdisk -l "$image" || say "(no partition table)"
    show findmnt -n -o TARGET,FSTYPE,OPTIONS -t fuse.rawview -M "$image"
    if [ -t 0 ]; then
        local over='' status=0
        trap 'over=yes' INT
        printf '\nThe view stays until you press Enter or Ctrl-C. '
        # A read that a trap has interrupted goes on; so it is one second long. More than 128: the second is over.
        until [ -n "$over" ]; do
            status=0
            read -r -t 1 _ || status=$?
            [ "$status" -gt 128 ] || over=yes
        done
        trap 'exit 130' INT
    fi
    step "unmounting"
    unmount
    show file -b "$image"
    [ "$(stat -c '%s %y' "$image")" = "$before" ] || die "the image's size or time has changed"
    step "seen"
    say "$image was shown as a raw disk under its own name, and is itself again: same size, same time."
}

PATH=$PATH:/usr/sbin:/sbin
if [ -n "$image" ]; then
    visit
else
    tour
fi
