#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A store that fails: the one who asked gets the error, everything else goes on, nothing crashes, and the view can be
# ended. (The points of QEMU's test file-io-error, and damage inside a qcow2.)
. "$(dirname "$0")/lib.sh"
need losetup mkfs.ext4

MIB=$((1024 * 1024))
: >mp

alive()
{
    process_is_gone "$(pid_of "$1")" && fail "the supervisor is gone: $(cat "$1.log")"
    worker_of "$(pid_of "$1")" >/dev/null
}

log_is_short()
{
    local lines
    lines=$(wc -l <"$1.log")
    ((lines <= $2)) || fail "$lines lines in the log of '$1': $(head -n 20 "$1.log")"
}

faults_of()
{
    getfattr --only-values -n user.rawview.state "$1" | jq '.errors // .faults'
}

step "a full file system: ENOSPC for the writer, reading goes on"
mkdir small
mount -t tmpfs -o size=2M none small
truncate -s 16M small/disk.raw
fill_file pattern 1M
dd if=pattern of=small/disk.raw conv=notrunc status=none
up_in_foreground full -f raw -w small/disk.raw mp
expect_fail 'no space left' dd if=/dev/urandom of=mp bs=64k seek=64 count=64 conv=notrunc
expect_fail 'no space left' dd if=/dev/urandom of=mp bs=64k seek=160 count=64 conv=notrunc oflag=direct
alive full
cmp -n $MIB mp pattern
# Where there is space already, writing works.
dd if=pattern of=mp bs=64k count=2 skip=3 conv=notrunc,fsync status=none
cmp -n 131072 -i 0:196608 mp pattern
kill -INT "$(pid_of full)"
wait_for_end full
equal "status ($(cat full.log))" "$STATUS" 0
log_is_short full 6
no_mount_left
umount small

step "a limit on the size of files: an error for the writer, not the end of the worker"
truncate -s 16M limited.raw
(
    ulimit -f 1024
    up_in_foreground limited -f raw -w limited.raw mp
)
expect_fail 'file too large' dd if=/dev/urandom of=mp bs=64k seek=64 count=4 conv=notrunc
dd if=pattern of=mp bs=64k count=2 conv=notrunc,fsync status=none
alive limited
cmp -n 131072 mp pattern
kill -INT "$(pid_of limited)"
wait_until 20 process_is_gone "$(cat limited.shell)" || fail "the view does not end: $(cat limited.log)"
log_is_short limited 6
no_mount_left

step "a qcow2 with one wrong L2 entry: an error for this cluster only"
fill_file disk.raw 4M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
"$PYTHON" - disk.qcow2 <<'PYTHON'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(40)
    l1, = struct.unpack(">Q", f.read(8))
    f.seek(l1)
    l2, = struct.unpack(">Q", f.read(8))
    l2 &= (1 << 56) - 512
    # Guest cluster 7: an offset that is no multiple of a cluster, far past the end.
    f.seek(l2 + 7 * 8)
    f.write(struct.pack(">Q", 1 << 63 | 0x7fffffff1200))
PYTHON
up_in_foreground qcow2 disk.qcow2 mp
cluster=65536
cmp -n $((7 * cluster)) mp disk.raw
expect_fail 'input/output error' dd if=mp of=/dev/null bs=64k skip=7 count=1 iflag=direct
expect_fail 'input/output error' dd if=mp of=/dev/null bs=64k skip=7 count=1
cmp -i $((8 * cluster)) mp disk.raw
alive qcow2
kill -INT "$(pid_of qcow2)"
wait_for_end qcow2
equal "status ($(cat qcow2.log))" "$STATUS" 0
log_is_short qcow2 6
no_mount_left

have_loops || exit 0

step "a disk whose second half cannot be read"
fill_file half.raw 8M
attach_loop half.raw
loop=$LOOP
up_in_foreground half -f raw "$loop" mp
truncate -s 4M half.raw
cmp -n $((4 * MIB)) mp half.raw
expect_fail 'input/output error' dd if=mp of=/dev/null bs=64k skip=80 count=4
expect_fail 'input/output error' dd if=mp of=/dev/null bs=64k skip=100 count=4 iflag=direct
dd if=mp of=/dev/null bs=64k count=64 iflag=direct status=none
alive half
(($(faults_of mp) > 0)) || fail "the state counts no errors: $(getfattr --only-values -n user.rawview.state mp)"
kill -INT "$(pid_of half)"
wait_for_end half
equal "status ($(cat half.log))" "$STATUS" 0
log_is_short half 6
grep -qiE 'input/output error|EIO' half.log || fail "the log does not name the error: $(cat half.log)"
no_mount_left
detach_loop "$loop"

step "a disk that loses writes: fsync fails, then writing ends, reading goes on, and the end is not a success"
mkdir small2
mount -t tmpfs -o size=1M none small2
truncate -s 16M small2/disk.raw
attach_loop small2/disk.raw
loop=$LOOP
up_in_foreground lost -f raw -w "$loop" mp
expect_fail 'input/output error|no space left' dd if=/dev/urandom of=mp bs=64k count=128 conv=notrunc,fsync
expect_fail 'input/output error' dd if=/dev/urandom of=mp bs=4k count=1 conv=notrunc,fsync
dd if=mp of=/dev/null bs=64k count=4 iflag=direct status=none
alive lost
kill -INT "$(pid_of lost)"
wait_for_end lost
((STATUS != 0)) || fail "a view that lost writes ended with status 0: $(cat lost.log)"
log_is_short lost 6
no_mount_left
detach_loop "$loop"
umount small2
