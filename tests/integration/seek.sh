#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What stat, lseek and statfs say of a view, and that cp and tar can live by it: holes stay holes, times stand still.
. "$(dirname "$0")/lib.sh"
need tar getfattr

MIB=$((1024 * 1024))
: >mp

segments()
{
    "$PYTHON" "$HERE/segments.py" file "$1"
}

expected_segments()
{
    qemu-img map -U --output=json -f "$2" "$1" | "$PYTHON" "$HERE/segments.py" map
}

# A disk with holes, whose data begins and ends on borders of clusters.
truncate -s 16M disk.raw
fill_file data 192K
for at in 0 5 40 41 100 253; do
    dd if=data of=disk.raw bs=64k seek=$at conv=notrunc status=none
done

step "the layout of a raw image is the layout of its file"
segments disk.raw >expected
equal "stretches of data in the file" "$(wc -l <expected)" 5
up view -f raw disk.raw mp
equal "segments" "$(segments mp)" "$(cat expected)"
down view

step "the layout of a qcow2 is what qemu-img map says"
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
qemu-io -f qcow2 -c 'write -z 6M 128k' -c 'write -P 7 9M 64k' -c 'write -c -P 8 10M 64k' -c 'discard 0 64k' disk.qcow2 >/dev/null
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 over.qcow2
qemu-io -f qcow2 -c 'write -P 9 12M 64k' -c 'write -z 5M 64k' over.qcow2 >/dev/null
qemu-img create -q -f qcow2 -o cluster_size=2M,extended_l2=on sub.qcow2 16M
qemu-io -f qcow2 -c 'write -P 9 1M 64k' -c 'write -P 9 5M 192k' sub.qcow2 >/dev/null
for image in disk over sub; do
    qemu-img convert -O raw $image.qcow2 $image.expected
    expected_segments $image.qcow2 qcow2 >expected
    up view $image.qcow2 mp
    equal "segments of $image.qcow2" "$(segments mp)" "$(cat expected)"
    cmp mp $image.expected
    down view
done

step "sparse copies keep contents and holes"
up view disk.qcow2 mp
for when in auto always never; do
    cp --sparse=$when mp copy.$when
    cmp copy.$when disk.expected
done
(($(blocks_of copy.auto) * 512 < 2 * MIB)) || fail "cp made a copy of $(blocks_of copy.auto) blocks"
(($(blocks_of copy.always) * 512 < 2 * MIB)) || fail "cp --sparse=always made a copy of $(blocks_of copy.always) blocks"
(($(blocks_of copy.never) * 512 >= 16 * MIB)) || fail "cp --sparse=never made a copy of $(blocks_of copy.never) blocks"

step "tar takes it as the sparse file that it is, and sees no change while reading"
tar --create --sparse --file=disk.tar mp 2>tar.err || fail "tar: status $?: $(cat tar.err)"
equal "what tar says" "$(cat tar.err)" ""
(($(size_of disk.tar) < 2 * MIB)) || fail "the archive has $(size_of disk.tar) bytes"
mkdir unpacked
tar --extract --sparse --file=disk.tar -C unpacked
cmp unpacked/mp disk.expected
(($(blocks_of unpacked/mp) * 512 < 2 * MIB)) || fail "unpacked, it takes $(blocks_of unpacked/mp) blocks"

step "st_blocks, st_blksize, link count"
blocks=$(blocks_of mp)
((blocks > 0 && blocks * 512 < 3 * MIB)) || fail "$blocks blocks for $(segments mp)"
(($(stat -c %o mp) >= 4096)) || fail "st_blksize is $(stat -c %o mp)"
equal "links" "$(stat -c %h mp)" 1
equal "kind" "$(stat -c %F mp)" "regular file"

step "times are those of the image and stand still"
times=$(stat -c '%x %y %z' mp)
sleep 1.2
dd if=mp of=/dev/null bs=1M status=none
equal "times after a second and a read" "$(stat -c '%x %y %z' mp)" "$times"
mtime=$(stat -c %Y mp)
down view
equal "mtime" "$mtime" "$(stat -c %Y disk.qcow2)"

step "times of a writable view can be set, and move when it is written"
touch -d '2001-02-03 04:05:06' disk.raw
up view -f raw -w disk.raw mp
equal "mtime at first" "$(stat -c %y mp)" "2001-02-03 04:05:06.000000000 +0000"
touch -d '2002-03-04 05:06:07.5' mp
equal "mtime after touch" "$(stat -c %y mp)" "2002-03-04 05:06:07.500000000 +0000"
now=$(date +%s)
printf x | dd of=mp conv=notrunc status=none
(($(stat -c %Y mp) >= now - 2)) || fail "the mtime after a write is $(stat -c %y mp)"
cp -p disk.expected copy.p
cp --preserve=timestamps copy.p mp
equal "mtime after cp -p" "$(stat -c %Y mp)" "$(stat -c %Y copy.p)"
down view

step "statfs"
up view -f raw disk.raw mp
bsize=$(stat -f -c %s mp)
((bsize >= 512)) || fail "the block size of the file system is $bsize"
df mp >/dev/null
down view

step "seeking in an empty view and in one without any data"
: >empty.raw
up view -f raw empty.raw mp
equal "size" "$(size_of mp)" 0
equal "segments" "$(segments mp)" ""
equal "bytes" "$(wc -c <mp)" 0
down view
qemu-img create -q -f qcow2 hole.qcow2 1G
up view hole.qcow2 mp
equal "segments" "$(segments mp)" ""
down view
no_mount_left
