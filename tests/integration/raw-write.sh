#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Writing to raw images: every way to write, to zero and to reserve, random operations against a model, many requests at
# once with checksums, file systems on loop devices, and qemu-img as a writer. What the peer got wrong is all here.
. "$(dirname "$0")/lib.sh"
need fio losetup mkfs.ext4 e2fsck

MIB=$((1024 * 1024))
: >mp

step "write, direct write, and what fsync leaves in the file"
truncate -s 8M disk.raw
fill_file data 2M
up view -f raw -w disk.raw mp
dd if=data of=mp bs=1M seek=1 conv=notrunc,fsync status=none
cmp -i 0:$MIB -n $((2 * MIB)) data disk.raw
dd if=data of=mp bs=64k oflag=direct,seek_bytes seek=$((4 * MIB)) conv=notrunc,fsync status=none
cmp -i 0:$((4 * MIB)) -n $((2 * MIB)) data disk.raw
cmp mp disk.raw

step "punch hole, zero range, keep size"
fallocate --punch-hole --offset 1M --length 1M mp
cmp -n $MIB -i $MIB:0 mp /dev/zero
fallocate --zero-range --offset $((4 * MIB + 100)) --length 5000 mp
cmp -n 5000 -i $((4 * MIB + 100)):0 mp /dev/zero
cmp -n 100 -i $((4 * MIB)):0 mp data
cmp -n 4096 -i $((4 * MIB + 5100)):5100 mp data
fallocate --keep-size --offset 6M --length 1M mp
cmp -n $((2 * MIB)) -i $((6 * MIB)):0 mp /dev/zero
cmp mp disk.raw
equal "size" "$(size_of mp)" $((8 * MIB))

step "punching across and past the end succeeds and changes no size"
fallocate --punch-hole --offset 7M --length 4M mp
fallocate --punch-hole --offset 20M --length 1M mp
fallocate --zero-range --keep-size --offset 7M --length 4M mp
fallocate --zero-range --keep-size --offset 20M --length 1M mp
equal "size of the view" "$(size_of mp)" $((8 * MIB))
equal "size of the image" "$(size_of disk.raw)" $((8 * MIB))
expect_fail 'not supported|invalid' fallocate --collapse-range --offset 0 --length 1M mp
expect_fail 'not supported|invalid' fallocate --insert-range --offset 0 --length 1M mp
cmp mp disk.raw

step "a punched hole gives its space back"
before=$(blocks_of disk.raw)
fallocate --punch-hole --offset 4M --length 2M mp
((before - $(blocks_of disk.raw) >= 2 * MIB / 512 - 128)) || fail "blocks went from $before to $(blocks_of disk.raw)"
down view

step "random operations are what a model makes of them"
for kind in fixed growable; do
    for seed in 1 2 3; do
        fill_file disk.raw 3M
        option=()
        [[ $kind == growable ]] && option=(--growable)
        up view -f raw -w "${option[@]}" disk.raw mp
        timeout 120 "$PYTHON" "$HERE/random-io.py" mp model $seed 400 $kind
        down view
        cmp disk.raw model
    done
done

step "32 requests at once, mixed sizes, with checksums"
truncate -s 32M disk.raw
for direct in 1 0; do
    up view -f raw -w disk.raw mp
    timeout 120 fio --name=verify --filename=mp --rw=randwrite --bsrange=4k-256k --bs_unaligned=0 --size=32M --ioengine=libaio \
        --iodepth=32 --direct=$direct --verify=crc32c --verify_fatal=1 --verify_backlog=64 --allow_file_create=0 \
        --output=fio.out || fail "fio: $(tail -n 40 fio.out)"
    down view
    # The same checksums in the image itself.
    timeout 120 fio --name=verify --filename=disk.raw --rw=randwrite --bsrange=4k-256k --bs_unaligned=0 --size=32M \
        --ioengine=libaio --iodepth=32 --direct=0 --verify=crc32c --verify_fatal=1 --verify_only --allow_file_create=0 \
        --output=fio.out || fail "fio on the image: $(tail -n 40 fio.out)"
done

step "several jobs, reading and writing, each with its part of the disk"
up view -f raw -w disk.raw mp
timeout 120 fio --filename=mp --rw=randrw --bs=4k --size=8M --io_size=8M --ioengine=libaio --iodepth=8 --verify=crc32c \
    --verify_fatal=1 --allow_file_create=0 --output=fio.out \
    --name=a --direct=1 --offset=0 --name=b --direct=0 --offset=8M --name=c --direct=1 --offset=16M ||
    fail "fio: $(tail -n 40 fio.out)"
down view

step "qemu-img as the writer, with requests in flight"
fill_file source.raw 24M
truncate -s 24M target.raw
for cache in none writeback; do
    qemu-img resize -q -f raw target.raw 24M
    up view -f raw -w target.raw mp
    timeout 60 qemu-img convert -n -t $cache -T $cache -W -m 16 -f raw -O raw source.raw mp
    timeout 60 qemu-img compare -q -f raw -F raw source.raw mp
    down view
    cmp source.raw target.raw
    truncate -s 0 target.raw
    truncate -s 24M target.raw
done

no_mount_left
have_loops || exit 0

step "a file system on a loop device over a view"
mkdir tree
cp -a "$HERE" tree/tests
fill_file tree/large 8M
mkdir mnt
for direct in off on; do
    truncate -s 0 disk.raw
    truncate -s 48M disk.raw
    up view -f raw -w disk.raw mp
    attach_loop --direct-io=$direct mp
    mkfs.ext4 -q "$LOOP"
    mount "$LOOP" mnt
    cp -a tree mnt/
    sync -f mnt
    rm -r mnt/tree/tests
    cp -a tree mnt/again
    fstrim mnt
    umount mnt
    e2fsck -fn "$LOOP" >e2fsck.out 2>&1 || fail "e2fsck on the loop device: $(cat e2fsck.out)"
    mount -o ro "$LOOP" mnt
    cmp mnt/tree/large tree/large
    diff -r tree mnt/again
    umount mnt
    detach_loop "$LOOP"
    down view
    e2fsck -fn disk.raw >e2fsck.out 2>&1 || fail "e2fsck on the image: $(cat e2fsck.out)"
done
no_mount_left
