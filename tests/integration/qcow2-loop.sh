#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A file system on a loop device over the view of a qcow2: made, filled, emptied, trimmed and filled again. e2fsck and
# qemu-img check find nothing, the files are what was copied, and what is trimmed leaves the image.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"
need losetup mkfs.ext4 e2fsck fstrim blkdiscard
have_loops || exit 77

SIZE=$((64 * 1024 * 1024))

step "a tree"
mkdir tree mnt
: >mp
cp -a "$HERE" tree/tests
cp -a "$HERE/../../src" "$HERE/../../docs" "$HERE/../unit" "$HERE/../recipe" tree/
fill_file tree/large 12M
du -sh tree

# Copies, removes, trims, copies again; $1 is the loop device.
filled()
{
    local loop=$1
    mkfs.ext4 -q "$loop"
    mount "$loop" mnt
    cp -a tree mnt/one
    sync -f mnt
    cp -a tree mnt/two
    rm -r mnt/one
    fstrim mnt
    cp -a tree mnt/three
    umount mnt
    e2fsck -fn "$loop" >e2fsck.out 2>&1 || fail "e2fsck on the loop device: $(cat e2fsck.out)"
    mount -o ro "$loop" mnt
    diff -r tree mnt/two
    diff -r tree mnt/three
    umount mnt
}

kind()
{
    local name=$1 what=$2 options=$3 direct=$4 before full less
    step "$name: $what, ${options:-defaults}, direct-io=$direct"
    image "$what" "$options" "$name" $SIZE
    before=$(kept "$name")
    up view -f qcow2 -w "$name.qcow2" mp
    attach_loop --direct-io="$direct" mp
    filled "$LOOP"
    detach_loop "$LOOP"
    down view
    clean "$name"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"
    qemu-img convert -f qcow2 -O raw "$name.qcow2" "$name.raw"
    e2fsck -fn "$name.raw" >e2fsck.out 2>&1 || fail "e2fsck on the disk: $(cat e2fsck.out)"

    # A second mount of the image, and everything away.
    full=$(blocks_of "$name.qcow2")
    up view -f qcow2 -w "$name.qcow2" mp
    attach_loop --direct-io="$direct" mp
    mount "$LOOP" mnt
    diff -r tree mnt/three
    umount mnt
    blkdiscard --force "$LOOP"
    cmp -n $SIZE "$LOOP" /dev/zero
    detach_loop "$LOOP"
    sync mp
    cmp -n $SIZE mp /dev/zero
    less=$(blocks_of "$name.qcow2")
    ((less < full / 10)) || fail "of $full blocks, $less are left after discarding everything"
    down view
    clean "$name"
    rm "$name".*
}

kind direct empty '' on
kind buffered empty '' off
kind small empty cluster_size=4k on
kind backing backing '' on
kind extended backing extended_l2=on on
no_mount_left
