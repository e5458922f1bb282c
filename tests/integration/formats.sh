#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One image of each format that qemu-img or another program of Debian makes: found out what it is, shown over itself, the same
# bytes as those that went in, and left as it was. Where the format can be written: written through the view, and then qemu-img
# check finds nothing, and qemu-img compare no difference to a raw file to which the same was done.
. "$(dirname "$0")/lib.sh"

need create_compressed_fs ewfacquirestream split

MIB=$((1024 * 1024))
SIZE=$((8 * MIB))

fill_file noise 3M
truncate -s $SIZE source
seq 1 150000 | dd of=source conv=notrunc status=none
dd if=noise of=source bs=64k seek=40 conv=notrunc status=none
dd if=noise of=source bs=512 seek=$((SIZE / 512 - 3)) count=3 conv=notrunc status=none

# Within a unit, across units, where there was nothing, zeroes, and to the end.
write_some()
{
    local disk=$1
    dd if=noise of="$disk" bs=1000 seek=77 count=3 conv=notrunc status=none
    dd if=noise of="$disk" bs=64k seek=30 count=9 conv=notrunc,fsync status=none
    dd if=noise of="$disk" bs=1M seek=6 count=1 conv=notrunc status=none
    dd if=/dev/zero of="$disk" bs=7k seek=400 count=11 conv=notrunc status=none
    dd if=noise of="$disk" bs=512 seek=$((SIZE / 512 - 9)) count=9 conv=notrunc,fdatasync status=none
}

fingerprints()
{
    local file
    for file in "$@"; do
        fingerprint "$file"
    done
}

# reads NAME IMAGE FILE…: NAME is what info calls the format.
reads()
{
    local name=$1 image=$2 before
    shift 2
    before=$(fingerprints "$@")
    "$RAWVIEW" info "$image" >out 2>&1 || fail "info: $(cat out)"
    grep -qx "file format: $name" out || fail "info says $(cat out)"
    up view "$image"
    equal "size" "$(size_of "$image")" $SIZE
    cmp "$image" source
    dd if="$image" bs=12288 iflag=direct status=none | cmp - source
    down view
    equal "the files, only read" "$(fingerprints "$@")" "$before"
}

# writes FORMAT IMAGE: both the view and `written`.
writes()
{
    cp --sparse=always source written
    up view -f "$1" -w "$2"
    write_some "$2"
    write_some written
    cmp "$2" written
    down view
}

# qemu FORMAT QEMU-NAME OPTIONS WRITABLE: as qemu-img convert makes it.
qemu()
{
    local format=$1 name=$2 options=$3 writable=$4 with=() status=0
    step "$format ${options:-}"
    [[ -z $options ]] || with=(-o "$options")
    rm -rf image
    mkdir image
    qemu-img convert -f raw -O "$name" "${with[@]}" source image/disk
    reads "$name" image/disk image/*
    [[ $writable == yes ]] || return 0
    writes "$format" image/disk
    qemu-img check -q -f "$name" image/disk >out 2>&1 || status=$?
    # 63: it has no check for the format.
    ((status == 0 || status == 63)) || fail "qemu-img check: $(cat out)"
    qemu-img compare -q -f "$name" -F raw image/disk written || fail "qemu-img sees another disk"
}

qemu qcow2 qcow2 '' yes
qemu qcow2 qcow2 'compat=0.10,cluster_size=4k' yes
qemu qcow qcow '' yes
qemu qed qed '' yes
qemu vdi vdi '' yes
qemu vdi vdi static=on yes
qemu vmdk vmdk subformat=monolithicSparse yes
qemu vmdk vmdk subformat=monolithicFlat yes
qemu vmdk vmdk subformat=twoGbMaxExtentSparse yes
qemu vmdk vmdk subformat=twoGbMaxExtentFlat yes
qemu vmdk vmdk subformat=streamOptimized no
qemu vhd vpc subformat=dynamic,force_size=on yes
qemu vhdx vhdx '' yes
qemu parallels parallels '' yes

step cloop
rm -rf image
mkdir image
create_compressed_fs -q -B 65536 source image/disk >out 2>&1 || fail "$(cat out)"
reads cloop image/disk image/*
refused 1 'read-only' "$RAWVIEW" mount -w image/disk

step ewf
rm -rf image
mkdir image
ewfacquirestream -q -t image/disk -f encase6 -c fast -S 1MiB <source >out 2>&1 || fail "$(cat out)"
[[ -e image/disk.E03 ]] || fail "there are no three segments"
reads ewf image/disk.E01 image/*
refused 1 'read-only' "$RAWVIEW" mount -w image/disk.E01
mv image/disk.E02 gone
refused 1 'disk.E02.*no such file' "$RAWVIEW" mount image/disk.E01

step split
rm -rf image
mkdir image
split -b 3000000 -d -a 3 --numeric-suffixes=1 source image/disk.
reads split image/disk.001 image/*
refused 1 '--format=split' "$RAWVIEW" mount -w image/disk.001
writes split image/disk.001
cat image/disk.* | cmp - written
mv image/disk.002 gone
refused 1 "before 'disk.003' is missing" "$RAWVIEW" mount -f split image/disk.001
