#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --loop: the device, how it is made, and that it goes with its view, however that ends. Partitions and udev: vm `devices`.
. "$(dirname "$0")/lib.sh"
need losetup mkfs.ext4 sfdisk
make_programs
have_loops || exit 77

# Loop devices over the file, one a line.
loops_over()
{
    losetup --noheadings --raw --output NAME --associated "$1"
}

no_loop_over()
{
    [[ -z $(loops_over "$1") ]]
}

loop_field()
{
    losetup --noheadings --raw --output "$1" "$2"
}

# up_loop NAME ARGS…: the node is in $LOOP then.
up_loop()
{
    up "$@"
    equal "lines on stdout ($(cat "$W/$1.out"))" "$(wc -l <"$W/$1.out")" 2
    LOOP=$(tail -n1 "$W/$1.out")
    [[ $LOOP == /dev/loop* && -b $LOOP ]] || fail "no node: $LOOP"
}

# What the only view says of its own device.
loop_state()
{
    "$RAWVIEW" list --json | jq -r '.[0].state.loop'
}

loop_is()
{
    [[ $(loop_state) == "$1" ]]
}

qemu-img create -q -f qcow2 disk.qcow2 32M
qemu-img create -q -f qcow2 other.qcow2 16M
truncate -s 16M large.raw

step "writable: the view's path, then the node"
up_loop rw --loop -w disk.qcow2
equal "the view" "$(head -n1 rw.out)" "$W/disk.qcow2"
equal "the device" "$(for field in BACK-FILE AUTOCLEAR RO DIO LOG-SEC PARTSCAN; do loop_field $field "$LOOP"; done | xargs)" \
    "$W/disk.qcow2 1 0 1 512 1"
equal "its size" "$(blockdev --getsize64 "$LOOP")" $((32 << 20))
mkfs.ext4 -q "$LOOP"
mkdir mnt
mount "$LOOP" mnt
step "a device that is in use stays, and so does its view"
expect_fail "disk.qcow2: .*in use: its loop device $LOOP is mounted at $W/mnt" "$RAWVIEW" umount disk.qcow2
equal "state" "$(loop_state)" "$LOOP"
equal "the device" "$(loops_over disk.qcow2)" "$LOOP"
fill_file known 4M
cp known mnt/known
umount mnt
"$RAWVIEW" umount disk.qcow2
no_loop_over "$W/disk.qcow2" || fail "the device is left"
wait_until 10 process_is_gone "$(cat rw.pid 2>/dev/null || echo 999999)" || fail "the service is left"
qemu-img check -q disk.qcow2
step "read-only, and what was written is there"
up_loop ro --loop disk.qcow2
equal "the device" "$(for field in RO DIO AUTOCLEAR; do loop_field $field "$LOOP"; done | xargs)" "1 1 1"
mount -o ro,noload "$LOOP" mnt
cmp mnt/known known

step "a stop waits for the file system, and names it"
kill -TERM "$(pid_of ro)"
pid=$(pid_of ro)
sleep 0.5
is_mounted disk.qcow2 || fail "the view is gone beneath a file system"
cmp mnt/known known
umount mnt
wait_until 20 process_is_gone "$pid" || fail "the service does not end"
no_loop_over "$W/disk.qcow2" || fail "the device is left"
no_mount_left

step "the device goes first, and is not in the way of a stop"
up_in_foreground front --loop -w disk.qcow2
printf x | dd of="$(loops_over disk.qcow2)" bs=1 seek=1000000 conv=notrunc status=none
kill -TERM "$(pid_of front)"
wait_for_end front
equal "status ($(cat front.log))" "$STATUS" 0
grep -i 'in use' front.log && fail "the view was in use: $(cat front.log)"
"$RAWVIEW" mount disk.qcow2 >/dev/null
equal "what was written to the device" "$(dd if=disk.qcow2 bs=1 skip=1000000 count=1 status=none)" x
"$RAWVIEW" umount disk.qcow2

step "sectors of 4096 bytes, where the partition table has them"
"$PYTHON" - large.raw <<'PYTHON'
import struct, sys, uuid, zlib
# The smallest table that counts in them: a protective MBR, a header, 128 empty entries, and both again at the end.
size, sector = 16 << 20, 4096
entries = bytes(128 * 128)
last = size // sector - 1
def header(mine, other, table):
    head = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, mine, other, 6, last - 5,
                                 uuid.uuid4().bytes_le, table, 128, 128, zlib.crc32(entries)))
    struct.pack_into("<I", head, 16, zlib.crc32(head))
    return head
with open(sys.argv[1], "r+b") as f:
    f.write(bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xee, 255, 255, 255, 1, last) + bytes(48) + b"\x55\xaa")
    for pos, data in (1, header(1, last, 2)), (2, entries), (last - 4, entries), (last, header(last, 1, last - 4)):
        f.seek(pos * sector)
        f.write(data)
PYTHON
up_loop large --loop -f raw large.raw
equal "sectors" "$(loop_field LOG-SEC "$LOOP")" 4096
cmp "$LOOP" large.raw
[[ $("$RAWVIEW" list --json | jq -r '.[0].state.passthrough') != true || $(loop_field DIO "$LOOP") == 0 ]] ||
    fail "direct I/O to a file that the kernel reads by itself"
down large

step "a view of another's that is written to; nothing is left of what that took"
up_loop theirs --loop -w --owner=$USER_ID --mode=600 disk.qcow2
equal "owner" "$(stat -c %U disk.qcow2)" "$USER_ID"
equal "writable" "$(loop_field RO "$LOOP")" 0
equal "capabilities" "$(sed -n 's/^CapEff:\t//p' "/proc/$(pid_of theirs)/status")" 0000000000200024
holder=$(pgrep --parent "$(pid_of theirs)" --exact rawview-loop)
equal "capabilities of who holds the device" "$(sed -n 's/^CapEff:\t//p' "/proc/$holder/status")" 0000000000000000

step "it goes when the service is killed, or the worker"
worker=$(worker_of "$(pid_of theirs)")
kill -KILL "$(pid_of theirs)"
wait_until 20 process_is_gone "$worker" || fail "the worker does not end"
wait_until 20 no_loop_over "$W/disk.qcow2" || fail "the device is left"
"$RAWVIEW" umount --stale
no_mount_left
up_loop worker --loop disk.qcow2
pid=$(pid_of worker)
kill -KILL "$(worker_of "$pid")"
wait_until 20 process_is_gone "$pid" || fail "the service does not end"
wait_until 20 no_loop_over "$W/disk.qcow2" || fail "the device is left"
no_mount_left

step "who holds the device is killed: the view goes on, and says so"
up_in_foreground lost --loop -w disk.qcow2
LOOP=$(loops_over disk.qcow2)
mount "$LOOP" mnt
kill -KILL "$(pgrep --parent "$(pid_of lost)" --exact rawview-loop)"
wait_until 20 loop_is lost || fail "state: $(loop_state)"
grep -q "disk.qcow2: its loop device $LOOP is lost: the process that held it was killed by signal 9; the view goes on without" lost.log ||
    fail "what is logged: $(cat lost.log)"
equal "rawview list" "$("$RAWVIEW" list --no-legend | grep -o loop-lost)" loop-lost
equal "processes left" "$(pgrep --parent "$(pid_of lost)" --exact rawview-loop || true)" ""
step "what was mounted from it works as before, and then the device is gone"
cmp mnt/known known
cp known mnt/again
umount mnt
wait_until 20 no_loop_over "$W/disk.qcow2" || fail "the device is left"
down lost
step "who asks with SIGTERM is obeyed, and nothing is lost"
up_in_foreground told --loop disk.qcow2
LOOP=$(loops_over disk.qcow2)
pkill -TERM --parent "$(pid_of told)" --exact rawview-loop
wait_until 20 loop_is null || fail "state: $(loop_state)"
grep -q "has no loop device any more: $LOOP was let go of" told.log || fail "what is logged: $(cat told.log)"
equal "rawview list" "$("$RAWVIEW" list --no-legend | grep -o serving)" serving
no_loop_over "$W/disk.qcow2" || fail "the device is left"
down told
qemu-img check -q disk.qcow2

step "many at one time"
for i in 1 2 3; do
    cp other.qcow2 "many$i"
    "$RAWVIEW" mount --loop "many$i" >"many$i.out" 2>"many$i.err" &
done
wait
equal "different devices ($(cat many?.err))" "$(tail -qn1 many?.out | sort -u | grep -c ^/dev/loop)" 3
"$RAWVIEW" umount --all
no_mount_left
for i in 1 2 3; do
    no_loop_over "$W/many$i" || fail "a device is left"
done

step "an ordinary user is told what does it, and no view comes"
chmod 666 disk.qcow2
refused 1 'only root.*udisksctl loop-setup' as-user rawview mount --loop "$W/disk.qcow2"
equal "without it" "$("$RAWVIEW" mount --loop=no disk.qcow2)" "$W/disk.qcow2"
no_loop_over "$W/disk.qcow2" || fail "there is a device"
"$RAWVIEW" umount disk.qcow2
