#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every kind of qcow2 that can be written, shown over itself and written with dd, cp and at random. Afterwards
# qemu-img check finds nothing, the disk is what a raw file is to which the same was done, and what lies below or in a
# snapshot is as it was. A writable view that nobody writes to leaves the image as it is, to the byte.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"

MIB=$((1024 * 1024))
SIZE=$((4 * MIB + 512 * 5))
WRITTEN=0

fill_file pattern 1M

# The same to $1, a view or a file: within a cluster, across clusters, over zeroes, at the end, and in one piece.
write_some()
{
    local disk=$1
    dd if=pattern of="$disk" bs=1000 seek=77 count=3 conv=notrunc status=none
    dd if=pattern of="$disk" bs=64k seek=3 count=9 conv=notrunc,fsync status=none
    dd if=pattern of="$disk" bs=512 oflag=seek_bytes seek=$((SIZE - 512)) count=1 conv=notrunc status=none
    dd if=pattern of="$disk" bs=4k oflag=direct,seek_bytes seek=$((2 * MIB + 4096)) count=5 conv=notrunc status=none
    dd if=/dev/zero of="$disk" bs=7k seek=40 count=11 conv=notrunc status=none
    dd if=pattern of="$disk" bs=1M oflag=seek_bytes seek=$((3 * MIB - 512)) count=1 conv=notrunc,fdatasync status=none
}

never_written()
{
    local name=$1 before file
    before=$(for file in "$name".*; do fingerprint "$file"; done)
    up view -f qcow2 -w "$name.qcow2"
    equal "mode" "$(stat -c %a "$name.qcow2")" 600
    cmp "$name.qcow2" "$name.raw"
    sync "$name.qcow2"
    down view
    equal "the files of $name, never written" "$(for file in "$name".*; do fingerprint "$file"; done)" "$before"
}

variant()
{
    local name=$1 what=$2 options=$3 before
    step "$name: $what, ${options:-defaults}"
    image "$what" "$options" "$name" $SIZE
    before=$(kept "$name")
    never_written "$name"

    up view -f qcow2 -w "$name.qcow2"
    write_some "$name.qcow2"
    write_some "$name.raw"
    cmp "$name.qcow2" "$name.raw"
    dd if="$name.qcow2" bs=12288 iflag=direct status=none | cmp - "$name.raw"
    down view
    written_and_clean "$name"

    up view -f qcow2 -w "$name.qcow2"
    timeout 120 "$PYTHON" "$HERE/random-io.py" "$name.qcow2" "$name.raw" ${#name} 150 fixed
    down view
    written_and_clean "$name"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"

    # As a guest's tool copies a whole disk.
    up view -f qcow2 -w "$name.qcow2"
    fill_file "$name.raw" $SIZE
    cp "$name.raw" "$name.qcow2"
    sync "$name.qcow2"
    down view
    written_and_clean "$name"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"
    no_mount_left
    rm "$name".*
    WRITTEN=$((WRITTEN + 1))
}

variant plain empty ''
variant used used ''
variant version2 used compat=0.10
variant version2-512 used compat=0.10,cluster_size=512
variant clusters-512 used cluster_size=512
variant clusters-4k used cluster_size=4k
variant clusters-2M used cluster_size=2M
variant extended used extended_l2=on
variant extended-16k used extended_l2=on,cluster_size=16k
variant lazy used lazy_refcounts=on
variant refcount-1 used refcount_bits=1,cluster_size=4k
variant refcount-2 snapshot refcount_bits=2,cluster_size=4k
variant refcount-64 snapshot refcount_bits=64,cluster_size=512
variant metadata used preallocation=metadata
variant falloc used preallocation=falloc,cluster_size=4k
variant data-file used data_file=NAME.data
variant data-file-raw used data_file=NAME.data,data_file_raw=on
variant data-extended used data_file=NAME.data,extended_l2=on
variant backing backing ''
variant backing-512 backing cluster_size=512
variant backing-2M backing cluster_size=2M
variant backing-extended backing extended_l2=on
variant backing-version2 backing compat=0.10
variant backing-data-file backing data_file=NAME.data
variant chain chain ''
variant snapshot snapshot ''
variant snapshot-extended snapshot extended_l2=on
variant compressed compressed cluster_size=4k
variant compressed-zstd compressed compression_type=zstd

step "header extensions and bits that nobody knows"
image used '' unknown $SIZE
"$PYTHON" "$HERE/qcow2-header.py" mark unknown.qcow2
"$PYTHON" "$HERE/qcow2-header.py" show unknown.qcow2 >header.before
grep -q '^12345678 6b657074' header.before
never_written unknown
up view -f qcow2 -w unknown.qcow2
write_some unknown.qcow2
write_some unknown.raw
down view
written_and_clean unknown
"$PYTHON" "$HERE/qcow2-header.py" show unknown.qcow2 | diff header.before -
# Who does not know an autoclear bit clears it when it writes.
equal "autoclear bits" "$("$PYTHON" "$HERE/qcow2-header.py" field unknown.qcow2 autoclear)" 0

step "bitmaps: one that records writes says that it missed some, one that does not stays"
qemu-img create -q -f qcow2 bitmap.qcow2 $SIZE
patterns bitmap.qcow2 $SIZE
qemu-img convert -f qcow2 -O raw bitmap.qcow2 bitmap.raw
qemu-img bitmap --add -g 4096 bitmap.qcow2 records
qemu-img bitmap --add -g 4096 --disable bitmap.qcow2 rests
bitmaps()
{
    qemu-img info --output=json bitmap.qcow2 |
        jq -r '."format-specific".data.bitmaps[]? | .name + ":" + (.flags | sort | join(","))' | sort | paste -sd ' '
}
equal "bitmaps" "$(bitmaps)" "records:auto rests:"
never_written bitmap
equal "bitmaps, never written" "$(bitmaps)" "records:auto rests:"
up view -f qcow2 -w bitmap.qcow2
write_some bitmap.qcow2
write_some bitmap.raw
down view
written_and_clean bitmap
# in-use: QEMU calls it inconsistent. Gone would be as right.
case $(bitmaps) in
    'records:auto,in-use rests:' | 'rests:' | '') ;;
    *) fail "bitmaps after writing: $(bitmaps)" ;;
esac

step "an image that was not closed: its refcounts are put right before the first write"
qemu-img create -q -f qcow2 -o lazy_refcounts=on dirty.qcow2 $SIZE
{ qemu-io -f qcow2 -c 'write -P 3 0 200k' -c flush -c 'write -P 4 1M 300k' -c flush -c abort dirty.qcow2 >/dev/null || true; } 2>/dev/null
equal "the dirty bit" "$(qemu-img info -U --output=json dirty.qcow2 | jq '."dirty-flag"')" true
cp dirty.qcow2 cleaned.qcow2
qemu-img check -q -r all cleaned.qcow2 >/dev/null 2>&1
qemu-img convert -f qcow2 -O raw cleaned.qcow2 dirty.raw
up view -f qcow2 -w dirty.qcow2
cmp dirty.qcow2 dirty.raw
write_some dirty.qcow2
write_some dirty.raw
down view
equal "the dirty bit" "$("$PYTHON" "$HERE/qcow2-header.py" field dirty.qcow2 incompatible)" 0
written_and_clean dirty

step "an image marked corrupt is shown, and not written"
image used '' corrupt $SIZE
"$PYTHON" - corrupt.qcow2 <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(79)
    f.write(b"\2")
PYTHON
before=$(fingerprint corrupt.qcow2)
refused 1 corrupt "$RAWVIEW" mount -f qcow2 -w corrupt.qcow2
up view -f qcow2 corrupt.qcow2
cmp corrupt.qcow2 corrupt.raw
down view
equal "the image marked corrupt" "$(fingerprint corrupt.qcow2)" "$before"

echo "$WRITTEN kinds written"
