#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Discarding: what is punched reads as zeroes, also over a backing file and at ends that are nobody's; its clusters go
# back to the host's file system and are used again; a snapshot keeps its own. The same by a loop device.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"

MIB=$((1024 * 1024))
SIZE=$((16 * MIB))
fill_file pattern 16M

# What the host gives to all files of an image, in 512-byte blocks.
used_by()
{
    { stat -c %b "$1.qcow2" "$1.data" 2>/dev/null || true; } | awk '{ sum += $1 } END { print sum }'
}

# The same place of $1.qcow2, which is a view, and of $1.raw.
punched()
{
    local name=$1 off=$2 len=$3
    fallocate --punch-hole --offset "$off" --length "$len" "$name.qcow2"
    fallocate --punch-hole --offset "$off" --length "$len" "$name.raw"
    cmp -n "$len" -i "$off:0" "$name.qcow2" /dev/zero
}

zeroed()
{
    local name=$1 off=$2 len=$3
    fallocate --zero-range --offset "$off" --length "$len" "$name.qcow2"
    fallocate --zero-range --offset "$off" --length "$len" "$name.raw"
    cmp -n "$len" -i "$off:0" "$name.qcow2" /dev/zero
}

# Every few places with ends that are nobody's, small, within and across clusters and L2 tables.
ragged()
{
    local name=$1
    punched "$name" 100 5000
    punched "$name" $((MIB + 1)) 65535
    punched "$name" $((2 * MIB - 512)) 1024
    punched "$name" $((3 * MIB - 4095)) $((2 * MIB + 17))
    punched "$name" $((SIZE - 70000)) 70000
    zeroed "$name" $((6 * MIB + 777)) 3
    zeroed "$name" $((7 * MIB + 512)) $((MIB + 512))
    zeroed "$name" $((9 * MIB)) $MIB
    # Past the end is no error and changes nothing.
    fallocate --punch-hole --offset $((SIZE - 512)) --length $MIB "$name.qcow2"
    fallocate --punch-hole --offset $((SIZE - 512)) --length 512 "$name.raw"
    fallocate --zero-range --keep-size --offset $((SIZE + MIB)) --length $MIB "$name.qcow2"
    equal "size" "$(stat -c %s "$name.qcow2")" $SIZE
    cmp "$name.qcow2" "$name.raw"
}

# $4: the most 512-byte blocks that may be left of 16 MiB of data, when all of them are discarded.
kind()
{
    local name=$1 what=$2 options=$3 most=$4 before full less first size
    step "$name: $what, ${options:-defaults}"
    image "$what" "$options" "$name" $SIZE
    before=$(kept "$name")
    first=$(used_by "$name")
    up view -f qcow2 -w "$name.qcow2" mp
    mv "$name.raw" "$name.first"
    cp pattern "$name.raw"
    dd if=pattern of=mp bs=1M conv=notrunc,fsync status=none
    full=$(used_by "$name")
    down view

    up view -f qcow2 -w "$name.qcow2"
    ragged "$name"
    down view
    written_and_clean "$name"

    # All of it; with a snapshot its own clusters stay.
    up view -f qcow2 -w "$name.qcow2" mp
    fallocate --punch-hole --offset 0 --length $SIZE mp
    cmp -n $SIZE mp /dev/zero
    sync mp
    less=$(used_by "$name")
    ((less <= most)) || fail "of $full blocks, $less are left after discarding everything; at first it was $first"
    down view
    truncate -s 0 "$name.raw"
    truncate -s $SIZE "$name.raw"
    written_and_clean "$name"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"

    # What was freed is used again: the file grows no longer than it was.
    size=$(size_of "$name.qcow2")
    up view -f qcow2 -w "$name.qcow2" mp
    for _ in 1 2 3; do
        dd if=pattern of=mp bs=1M conv=notrunc,fsync status=none
        fallocate --punch-hole --offset 0 --length $SIZE mp
        sync mp
    done
    dd if=pattern of=mp bs=1M conv=notrunc,fsync status=none
    down view
    cp pattern "$name.raw"
    written_and_clean "$name"
    (($(size_of "$name.qcow2") <= size + MIB)) ||
        fail "the file grew from $size to $(size_of "$name.qcow2"), though all was discarded in between"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"
    rm "$name".*
}

: >mp
kind thin empty '' 3000
kind small empty cluster_size=4k 3000
kind smallest empty cluster_size=512 6000
# Its tables take five clusters.
kind large used cluster_size=2M 21000
kind version2 empty compat=0.10 3000
kind backing backing '' 3000
kind backing-version2 backing compat=0.10 40000
kind chain chain cluster_size=4k 3000
kind extended backing extended_l2=on 3000
kind snapshot snapshot '' 14000
kind external empty data_file=NAME.data 3000
kind metadata used preallocation=metadata 3000
kind compressed compressed compression_type=zstd 3000
no_mount_left
have_loops || exit 0

step "blkdiscard on a loop device"
image snapshot '' loop $SIZE
cp pattern loop.raw
up view -f qcow2 -w loop.qcow2 mp
dd if=pattern of=mp bs=1M conv=notrunc,fsync status=none
full=$(used_by loop)
attach_loop --direct-io=on mp
blkdiscard --offset 1M --length 12M "$LOOP"
blkdiscard --zeroout --offset $((14 * MIB)) --length 1M "$LOOP"
detach_loop "$LOOP"
fallocate --punch-hole --offset 1M --length 12M loop.raw
fallocate --punch-hole --offset 14M --length 1M loop.raw
cmp mp loop.raw
sync mp
less=$(used_by loop)
((full - less > 11 * 2048)) || fail "of $full blocks $less are left"
down view
written_and_clean loop
no_mount_left
