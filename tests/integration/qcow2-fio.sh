#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# 32 requests at once from each of two jobs, mixed sizes from 512 bytes on, with checksums, onto qcow2 images that must
# allocate for them: the checksums are right at once, after a new mount, and in the image; qemu-img check finds nothing.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"
need fio

PART=20M
SIZE=$((40 * 1024 * 1024))
SIZES=512/15:4k/45:12k/10:64k/20:100k/6:256k/4

# $1 the disk, $2 whether past the page cache; what follows are more options.
verified()
{
    local disk=$1 direct=$2
    shift 2
    timeout 300 fio --name=verify --filename="$disk" --rw=randwrite --bssplit=$SIZES --size=$PART --offset_increment=$PART \
        --numjobs=2 --ioengine=libaio --iodepth=32 --direct="$direct" --verify=crc32c --verify_fatal=1 \
        --allow_file_create=0 --output=fio.out "$@" || fail "fio $*: $(tail -n 40 fio.out)"
}

kind()
{
    local name=$1 what=$2 options=$3 direct=$4 before
    step "$name: $what, ${options:-defaults}, direct=$direct"
    image "$what" "$options" "$name" $SIZE
    before=$(kept "$name")
    up view -f qcow2 -w "$name.qcow2"
    # Read back while it writes, and synced now and then.
    verified "$name.qcow2" "$direct" --verify_backlog=64 --fsync=100
    down view
    clean "$name"
    up view -f qcow2 -w "$name.qcow2"
    verified "$name.qcow2" 1 --verify_only
    # The same over what is allocated now.
    verified "$name.qcow2" "$direct"
    down view
    clean "$name"
    qemu-img convert -f qcow2 -O raw "$name.qcow2" "$name.after"
    verified "$name.after" 0 --verify_only
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"
    rm "$name".*
}

kind thin empty '' 1
kind thin empty '' 0
kind small empty cluster_size=4k 1
kind backing backing '' 1
kind backing-large backing cluster_size=2M 0
kind backing-extended backing extended_l2=on 1
kind snapshot snapshot lazy_refcounts=on 1
kind external backing data_file=NAME.data 1

step "several jobs that read, write and discard, each on its part of one image with a snapshot"
image snapshot '' mixed $SIZE
up view -f qcow2 -w mixed.qcow2
timeout 300 fio --filename=mixed.qcow2 --bs=4k --size=8M --io_size=8M --ioengine=libaio --iodepth=16 --verify_fatal=1 \
    --allow_file_create=0 --direct=1 --output=fio.out \
    --name=a --rw=randrw --verify=crc32c --offset=0 --name=b --rw=randrw --verify=crc32c --direct=0 --offset=8M \
    --name=c --rw=randwrite --bs=64k --verify=crc32c --offset=16M \
    --name=d --rw=randtrim --bs=16k --ioengine=falloc --offset=24M || fail "fio: $(tail -n 40 fio.out)"
down view
clean mixed
no_mount_left
