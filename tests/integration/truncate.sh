#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Sizes: open(O_TRUNC) empties a disk that was asked to grow and leaves every other one alone (QEMU's test
# fuse-truncate); what may be truncated and what not.
. "$(dirname "$0")/lib.sh"
need losetup

MIB=$((1024 * 1024))
: >mp

fresh_disk()
{
    fill_file disk.raw 1M
    cp disk.raw before.raw
}

step "O_TRUNC on a view that grows: it is empty, then writing works"
fresh_disk
up view -f raw -w --growable disk.raw mp
: >mp
equal "size of the view" "$(size_of mp)" 0
equal "size of the image" "$(size_of disk.raw)" 0
equal "bytes read" "$(wc -c <mp)" 0
echo hello >mp
equal "contents" "$(cat mp)" hello
equal "size of the view" "$(size_of mp)" 6
# A disk made from nothing by a program that knows nothing of views.
cp before.raw mp
cmp mp before.raw
"$PYTHON" "$HERE/map-memory.py" readonly mp
down view
cmp disk.raw before.raw

step "O_TRUNC on a view that does not grow: the size stays, and writing works"
fresh_disk
up view -f raw -w disk.raw mp
: >mp
equal "size of the view" "$(size_of mp)" $MIB
cmp mp before.raw
echo hello >mp
equal "size of the view after writing" "$(size_of mp)" $MIB
equal "first line" "$(head -n 1 mp)" hello
cmp -i 6 mp before.raw
equal "bytes read" "$(wc -c <mp)" $MIB
equal "checksum through a mapping" "$("$PYTHON" "$HERE/map-memory.py" sum mp)" "$(sha mp)"
equal "checksum past the page cache" \
    "$(dd if=mp bs=64k iflag=direct status=none | sha256sum | cut -d' ' -f1)" "$(sha disk.raw)"
# The same when one process has it open and mapped already.
"$PYTHON" - mp $MIB <<'PYTHON'
import mmap, os, sys
size = int(sys.argv[2])
a = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(a, size)
last = m[size - 1]
b = os.open(sys.argv[1], os.O_RDWR | os.O_TRUNC)
for fd in a, b:
    if os.fstat(fd).st_size != size:
        sys.exit(f"size after O_TRUNC: {os.fstat(fd).st_size}")
if m[size - 1] != last or os.pread(a, 1, size - 1)[0] != last:
    sys.exit("the last byte changed")
os.pwrite(b, b"again", 0)
if m[:5] != b"again":
    sys.exit("the mapping does not see the write")
PYTHON
down view
cmp -i 6 disk.raw before.raw
equal "size of the image" "$(size_of disk.raw)" $MIB

step "truncate(2) on a view that does not grow"
fresh_disk
up view -f raw -w disk.raw mp
truncate -s $MIB mp
expect_fail 'not permitted|permission denied|not supported|no space|file too large|invalid' truncate -s 2M mp
expect_fail 'not permitted|permission denied|not supported|no space|file too large|invalid' truncate -s 512K mp
equal "size of the view" "$(size_of mp)" $MIB
cmp mp before.raw
down view
cmp disk.raw before.raw

step "truncate(2) on a view that grows"
up view -f raw -w --growable disk.raw mp
truncate -s 3M mp
equal "size of the view" "$(size_of mp)" $((3 * MIB))
equal "size of the image" "$(size_of disk.raw)" $((3 * MIB))
cmp -n $MIB mp before.raw
cmp -n $((2 * MIB)) -i $MIB:0 mp /dev/zero
truncate -s 300000 mp
truncate -s $MIB mp
cmp -n 300000 mp before.raw
cmp -n $((MIB - 300000)) -i 300000:0 mp /dev/zero
# Not a multiple of a sector.
truncate -s 1000001 mp
equal "size of the view" "$(size_of mp)" 1000001
equal "bytes read" "$(wc -c <mp)" 1000001
down view
equal "size of the image" "$(size_of disk.raw)" 1000001

step "a read-only view is never truncated"
fresh_disk
before=$(fingerprint disk.raw)
up view -f raw disk.raw mp
expect_fail 'read-only file system' truncate -s 0 mp
expect_fail 'read-only file system' bash -c ': >mp'
expect_fail 'read-only file system' fallocate --length 4096 --offset $MIB mp
equal "size of the view" "$(size_of mp)" $MIB
down view
equal "the image" "$(fingerprint disk.raw)" "$before"

no_mount_left
have_loops || exit 0

step "a block device keeps its size"
attach_loop disk.raw
up view -f raw -w "$LOOP" mp
: >mp
equal "size of the view" "$(size_of mp)" $MIB
echo hello >mp
equal "first line" "$(head -n 1 mp)" hello
cmp -i 6 mp before.raw
down view
detach_loop "$LOOP"
equal "first line of the image" "$(head -n 1 disk.raw)" hello
cmp -i 6 disk.raw before.raw
no_mount_left
