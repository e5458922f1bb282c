#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The points that QEMU's test 308 makes of a file that shows a disk, made of ours: where it may lie, what may be done
# with it read-only, how it grows and shrinks, that nothing is left when it ends, and that zeroing zeroes.
. "$(dirname "$0")/lib.sh"

MIB=$((1024 * 1024))
fill_file head 3M
truncate -s 64M disk.raw
dd if=head of=disk.raw bs=1M seek=1 conv=notrunc status=none
dd if=head of=disk.raw bs=1M seek=60 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp
: >other

step "1: a mount point that does not exist"
refused 1 'missing: .*no such file|missing.*does not exist' "$RAWVIEW" mount disk.qcow2 missing

step "2: a directory as mount point"
mkdir folder
refused 1 "folder.*(is a directory|not a regular file)" "$RAWVIEW" mount disk.qcow2 folder

step "3: a regular file as mount point shows what the image holds"
up mp disk.qcow2 mp
cmp mp disk.raw
equal "size of the view" "$(size_of mp)" $((64 * MIB))

step "4: a read-only view stays read-only"
equal "mode" "$(stat -c %a mp)" 400
expect_fail 'read-only file system' chmod u+w mp
equal "mode after chmod u+w" "$(stat -c %a mp)" 400
expect_fail 'read-only file system' chmod u+x mp
equal "mode after chmod u+x" "$(stat -c %a mp)" 400

step "5: over the image itself, and two views of one image read at once"
up self disk.qcow2
equal "size of the image's path" "$(size_of disk.qcow2)" $((64 * MIB))
cmp mp disk.raw &
first=$!
cmp disk.qcow2 disk.raw &
second=$!
cmp mp disk.qcow2
wait $first
wait $second

step "6: cp makes a copy"
cp mp copy
cmp copy disk.raw

step "7: what is covered is not covered again, however it is spelt"
for again in mp ./mp "$W/mp" "$W/../$(basename "$W")/mp"; do
    run_failing timeout 20 "$RAWVIEW" mount disk.raw "$again"
    grep -qiE 'already' stderr || fail "$again: $(cat stderr)"
    equal "status for $again" $STATUS 1
done
run_failing timeout 20 "$RAWVIEW" mount disk.qcow2
grep -qiE 'already' stderr || fail "the image over itself again: $(cat stderr)"
cmp mp disk.raw

step "8: the mount point is the old file again"
down mp
equal "size of the mount point" "$(size_of mp)" 0
down self
equal "format of the image" "$(qemu-img info --output=json disk.qcow2 | jq -r .format)" qcow2
no_mount_left

step "9: a read-only view refuses writes, a writable one takes them"
up mp -f raw disk.raw mp
expect_fail 'read-only file system' dd if=head of=mp bs=64k count=1 conv=notrunc
cmp mp copy
down mp
up mp -f raw -w disk.raw mp
equal "mode" "$(stat -c %a mp)" 600
dd if=head of=mp bs=64k count=1 conv=notrunc status=none
cmp -n 65536 mp head
cmp mp disk.raw

step "10: writing past the end of a view that does not grow"
expect_fail 'no space left' dd if=/dev/zero of=mp bs=1 count=64k seek=$((64 * MIB)) conv=notrunc
grep -q '^1+0 records in' stderr || fail "dd read more than once: $(cat stderr)"
grep -q '^0+0 records out' stderr || fail "dd wrote: $(cat stderr)"
equal "size of the view" "$(size_of mp)" $((64 * MIB))
equal "size of the image" "$(size_of disk.raw)" $((64 * MIB))

step "11: fallocate at the end grows it, growable or not, and takes space"
before=$(blocks_of disk.raw)
fallocate --offset $((64 * MIB)) --length 64KiB mp
equal "size of the view" "$(size_of mp)" $((64 * MIB + 65536))
equal "size of the image" "$(size_of disk.raw)" $((64 * MIB + 65536))
after=$(blocks_of disk.raw)
((after >= before + 128)) || fail "disk usage of the image went from $before to $after blocks"
cmp mp disk.raw
down mp

step "12: 65536 appends of one byte to a view that grows"
up mp -f raw -w --growable disk.raw mp
dd if=/dev/zero of=mp bs=1 count=64k seek=$((64 * MIB + 65536)) conv=notrunc status=none
equal "size of the view" "$(size_of mp)" $((64 * MIB + 131072))
equal "size of the image" "$(size_of disk.raw)" $((64 * MIB + 131072))

step "13: truncating it back"
truncate -s 64M mp
equal "size of the view" "$(size_of mp)" $((64 * MIB))
equal "size of the image" "$(size_of disk.raw)" $((64 * MIB))
cp mp copy

step "14: a clean end, and the copy equals the image"
down mp
no_mount_left
equal "size of the mount point" "$(size_of mp)" 0
cmp copy disk.raw

step "15: a punched hole reads as zeroes, through the view and in the image"
up mp -f raw -w disk.raw mp
fallocate --punch-hole --offset 0 --length 64MiB mp
cmp -n $((64 * MIB)) mp /dev/zero
equal "size of the view" "$(size_of mp)" $((64 * MIB))
down mp
cmp -n $((64 * MIB)) disk.raw /dev/zero
equal "size of the image" "$(size_of disk.raw)" $((64 * MIB))
equal "blocks of the image" "$(blocks_of disk.raw)" 0

step "16: many requests of 4 KiB, 64 at once"
up mp -f raw -w disk.raw mp
for cache in none writeback; do
    timeout 60 qemu-img bench -f raw -t $cache -c 10000 -d 64 -s 4096 mp >/dev/null
    timeout 60 qemu-img bench -w -f raw -t $cache -c 10000 -d 64 -s 4096 mp >/dev/null
done
down mp
up mp disk.qcow2 mp
timeout 60 qemu-img bench -f raw -t none -c 10000 -d 64 -s 4096 mp >/dev/null
down mp
no_mount_left
