#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The size of a qcow2: views that may grow, by truncating and by writing past the end, become larger and smaller, and
# nothing old shows where there was nothing: not what lay there before, and not what a longer backing file holds there.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"

MIB=$((1024 * 1024))
SIZE=$((4 * MIB))
fill_file pattern 2M

virtual_size()
{
    qemu-img info -U --output=json "$1" | jq '."virtual-size"'
}

# The image's size stays, and as many bytes of both as there are, are the same.
size_is()
{
    equal "size of the view" "$(size_of "$1.qcow2")" "$2"
    equal "size of the model" "$(size_of "$1.raw")" "$2"
    cmp "$1.qcow2" "$1.raw"
}

both()
{
    local name=$1
    shift
    "$@" "$name.qcow2"
    "$@" "$name.raw"
}

put()
{
    dd if=pattern of="$3" bs=4k oflag=seek_bytes seek="$1" count="$2" conv=notrunc status=none
}

kind()
{
    local name=$1 before
    before=$(kept "$name")
    up view -f qcow2 -w --growable "$name.qcow2"
    both "$name" truncate -s 9M
    size_is "$name" $((9 * MIB))
    cmp -n $((5 * MIB)) -i $SIZE:0 "$name.qcow2" /dev/zero
    both "$name" put $((8 * MIB - 700)) 100
    # Past the end: what is left out is zero.
    both "$name" put $((12 * MIB + 512)) 300
    size_is "$name" $((12 * MIB + 512 + 300 * 4096))
    sync "$name.qcow2"
    # Smaller, within what was written, and larger again: what was cut off does not come back.
    both "$name" truncate -s $((8 * MIB + 512))
    size_is "$name" $((8 * MIB + 512))
    both "$name" truncate -s 3M
    both "$name" truncate -s 10M
    size_is "$name" $((10 * MIB))
    cmp -n $((7 * MIB)) -i $((3 * MIB)):0 "$name.qcow2" /dev/zero
    both "$name" put $((5 * MIB + 100)) 64
    down view
    equal "size in the image" "$(virtual_size "$name.qcow2")" $((10 * MIB))
    written_and_clean "$name"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"

    up view -f qcow2 -w --growable "$name.qcow2"
    timeout 120 "$PYTHON" "$HERE/random-io.py" "$name.qcow2" "$name.raw" ${#name} 100 growable
    down view
    equal "size in the image" "$(virtual_size "$name.qcow2")" "$(size_of "$name.raw")"
    written_and_clean "$name"

    # A program that empties a file before it writes it.
    up view -f qcow2 -w --growable "$name.qcow2"
    cp pattern "$name.qcow2"
    cmp pattern "$name.qcow2"
    down view
    equal "size in the image" "$(virtual_size "$name.qcow2")" $((2 * MIB))
    cp pattern "$name.raw"
    written_and_clean "$name"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"
    no_mount_left
    rm "$name".*
}

made()
{
    step "$1: $2, ${3:-defaults}"
    image "$2" "$3" "$1" $SIZE
    kind "$1"
}

made thin used ''
made version2 used compat=0.10
made smallest used cluster_size=512
made largest used cluster_size=2M
made extended used extended_l2=on
made metadata used preallocation=metadata
made external used data_file=NAME.data
made external-raw used data_file=NAME.data,data_file_raw=on
made backing backing ''
made snapshot snapshot refcount_bits=64
made compressed compressed ''

for options in '' cluster_size=2M extended_l2=on; do
    step "a backing file that is longer than the disk: ${options:-defaults}"
    rm -f over.*
    fill_file over.base.raw 14M
    qemu-img create -q -f qcow2 ${options:+-o $options} -b over.base.raw -F raw over.qcow2 $SIZE
    qemu-img convert -f qcow2 -O raw over.qcow2 over.raw
    kind over
done

step "far past every table that it began with"
image used cluster_size=512,refcount_bits=64 far $SIZE
up view -f qcow2 -w --growable far.qcow2
both far truncate -s 96M
for i in $(seq 0 11); do
    both far put $((i * 8 * MIB + 77)) 250
done
cmp far.qcow2 far.raw
down view
written_and_clean far

step "sizes that are no multiple of a sector are rounded up in the image"
image used '' odd $SIZE
up view -f qcow2 -w --growable odd.qcow2
truncate -s $((5 * MIB + 1)) odd.qcow2
size=$(size_of odd.qcow2)
((size == 5 * MIB + 1 || size == 5 * MIB + 512)) || fail "the view has $size bytes"
printf x | dd of=odd.qcow2 bs=1 seek=$((6 * MIB + 5)) conv=notrunc,fsync status=none
size=$(size_of odd.qcow2)
((size == 6 * MIB + 6 || size == 6 * MIB + 512)) || fail "the view has $size bytes"
down view
equal "size in the image" "$(virtual_size odd.qcow2)" $((6 * MIB + 512))
clean odd
truncate -s $((6 * MIB + 512)) odd.raw
printf x | dd of=odd.raw bs=1 seek=$((6 * MIB + 5)) conv=notrunc status=none
holds odd odd.raw

step "a view that may not grow keeps its size"
image used '' fixed $SIZE
up view -f qcow2 -w fixed.qcow2
expect_fail 'not permitted|permission denied|not supported|no space|file too large|invalid' truncate -s 8M fixed.qcow2
expect_fail 'not permitted|permission denied|not supported|no space|file too large|invalid' truncate -s 1M fixed.qcow2
expect_fail 'no space|file too large' dd if=pattern of=fixed.qcow2 bs=4k seek=1024 count=1 conv=notrunc
: >fixed.qcow2
equal "size of the view" "$(size_of fixed.qcow2)" $SIZE
cmp fixed.qcow2 fixed.raw
down view
written_and_clean fixed

step "a snapshot of version 2 does not say its size: such an image keeps its own"
image snapshot compat=0.10 old $SIZE
up view -f qcow2 -w --growable old.qcow2
expect_fail 'not supported|not permitted|invalid' truncate -s 8M old.qcow2
expect_fail 'not supported|not permitted|invalid' truncate -s 1M old.qcow2
equal "size of the view" "$(size_of old.qcow2)" $SIZE
dd if=pattern of=old.qcow2 bs=4k count=4 conv=notrunc status=none
dd if=pattern of=old.raw bs=4k count=4 conv=notrunc status=none
down view
written_and_clean old
no_mount_left
