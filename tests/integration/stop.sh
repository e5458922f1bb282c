#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The end of a view, many times, and with a loop device on it: without a user, with a file system that is unmounted in the meantime, and
# with one that stays. Nothing that was written before is lost, the image is sound, who is in the way is named.
. "$(dirname "$0")/lib.sh"
need losetup mkfs.ext4 e2fsck

: >mp
mkdir mnt
fill_file file 3M

# The worker hears by two ways that nobody may open the view any more but the child that flushes it.
step "forty stops, one after the other"
qemu-img create -q -f qcow2 disk.qcow2 64M
for ((i = 0; i < 40; i++)); do
    up_in_foreground view -f qcow2 -w disk.qcow2 mp
    kill -TERM "$(pid_of view)"
    wait_for_end view
    equal "status of stop $i ($(cat view.log))" "$STATUS" 0
done
no_mount_left

step "a mount of which another namespace has a copy: what was written and not synced is in the image"
qemu-img create -q -f qcow2 disk.qcow2 64M
up_in_foreground view -f qcow2 -w disk.qcow2 mp
unshare --mount --propagation private sleep 1000 &
keeper=$!
wait_until 10 sh -c "[ \"\$(readlink /proc/$keeper/ns/mnt)\" != \"\$(readlink /proc/self/ns/mnt)\" ]" || fail "no mount namespace"
dd if=file of=mp bs=1M seek=7 conv=notrunc status=none
kill -TERM "$(pid_of view)"
wait_for_end view
equal "status ($(cat view.log))" "$STATUS" 0
grep -q 'still mounted in another mount namespace; it is cut off now' view.log || fail "nothing is said: $(cat view.log)"
kill "$keeper"
wait "$keeper" || true
qemu-img check -q disk.qcow2 || fail "qemu-img check: $(qemu-img check disk.qcow2 2>&1)"
qemu-img convert -f qcow2 -O raw disk.qcow2 disk.raw
cmp -n 3145728 -i 0:7340032 file disk.raw
no_mount_left

have_loops || exit 77

begin()
{
    rm -f disk.qcow2
    qemu-img create -q -f qcow2 disk.qcow2 64M
    up_in_foreground view -f qcow2 -w disk.qcow2 mp
    attach_loop mp
}

# Not longer than the longest of the waits and a slow machine.
ended()
{
    local pid
    pid=$(cat view.shell)
    wait_until "$1" process_is_gone "$pid" || fail "the view does not end: $(cat view.log)"
    STATUS=0
    wait "$pid" || STATUS=$?
    equal "status ($(cat view.log))" $STATUS 0
    no_mount_left
    # The lock is free, and the image is sound, at once.
    qemu-img check -q disk.qcow2 || fail "qemu-img check: $(qemu-img check disk.qcow2 2>&1)"
    qemu-img convert -f qcow2 -O raw disk.qcow2 disk.raw
}

says() { grep -qF -- "$1" view.log || fail "the log does not say '$1': $(cat view.log)"; }
newcomer_is_refused() { ! head -c 1 mp >/dev/null 2>refusal && grep -q 'transport endpoint shutdown' refusal; }

step "a device without a user, written to and not synced"
begin
# The last one to close a device would sync it.
exec 6<>"$LOOP"
dd if=file of="$LOOP" bs=1M seek=7 conv=notrunc status=none
kill -TERM "$(pid_of view)"
ended 40
says "$LOOP (losetup --detach would end it)"
cmp -n 3145728 -i 0:7340032 file disk.raw
exec 6<&-
detach_loop "$LOOP"

step "a file system that is unmounted meanwhile: nobody is cut off"
begin
mkfs.ext4 -q "$LOOP"
mount "$LOOP" mnt
cp file mnt/before
kill -TERM "$(pid_of view)"
wait_until 20 grep -q "that has 30 seconds to be unmounted" view.log || fail "nobody waits: $(cat view.log)"
says "$LOOP (mounted at $W/mnt)"
wait_until 10 newcomer_is_refused || fail "a newcomer is not refused: $(cat refusal)"
cp file mnt/meanwhile
umount mnt
detach_loop "$LOOP"
ended 40
! grep -E 'cut off|it is unmounted now' view.log || fail "it was cut off"
e2fsck -fn disk.raw >e2fsck.out 2>&1 || fail "e2fsck: $(cat e2fsck.out)"
mount -o ro,loop disk.raw mnt
cmp file mnt/before
cmp file mnt/meanwhile
umount mnt

step "a file system that stays is cut off; what it had is in the image"
begin
mkfs.ext4 -q "$LOOP"
mount "$LOOP" mnt
cp file mnt/before
kill -TERM "$(pid_of view)"
ended 120
says "it is cut off now"
expect_fail 'error|read-only' sh -c 'dd if=/dev/urandom of=mnt/after bs=1M count=3 conv=fsync'
umount mnt
detach_loop "$LOOP"
# As after a power failure: the journal first.
e2fsck -fy disk.raw >e2fsck.out 2>&1 || [[ $? == 1 ]] || fail "e2fsck: $(cat e2fsck.out)"
mount -o ro,loop disk.raw mnt
cmp file mnt/before
umount mnt
