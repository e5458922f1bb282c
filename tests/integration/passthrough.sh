#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Views that the kernel serves from the image's own file: what they show and take, what they say of themselves, which ones are of
# that kind, and how they end. Where the kernel has no passthrough there is nothing to see.
. "$(dirname "$0")/lib.sh"
need getfattr losetup fallocate mkfs.ext4

MIB=$((1024 * 1024))
: >mp

# true or false
passes_through()
{
    getfattr --only-values -n user.rawview.state "$1" | jq -r .passthrough
}

step "a read-only view of a raw image is its file"
fill_file disk.raw 4M
cp disk.raw before.raw
up view -f raw disk.raw mp
if [[ $(passes_through mp) != true ]]; then
    down view
    # From 6.9 on kernels can be built without it.
    cannot_run "this kernel does not do FUSE passthrough, or not here"
fi
cmp mp before.raw
equal "size" "$(size_of mp)" $((4 * MIB))
dd if=mp of=copy bs=4096 iflag=direct status=none
cmp copy before.raw
expect_fail 'read-only' dd if=before.raw of=mp bs=512 count=1 conv=notrunc
expect_fail 'read-only' truncate -s 1M mp
expect_fail "read-only" fallocate --punch-hole --offset 0 --length 4096 mp
# Not even root, who makes the mount writable: the image was opened for reading.
mount --internal-only -o remount,rw mp
expect_fail 'read-only' dd if=before.raw of=mp bs=512 count=1 conv=notrunc
"$RAWVIEW" list --json=short >views
equal "list" "$(jq -r '.[0].state.passthrough' views)" true

step "past a worker that does not answer"
"$PYTHON" "$HERE/past-worker.py" mp disk.raw "$(worker_of "$(pid_of view)")" read
# None of that has been counted.
equal "reads" "$(getfattr --only-values -n user.rawview.state mp | jq -c '[.reads, .errors]')" "[0,0]"
down view
cmp disk.raw before.raw

step "a growable view of one: writing, mapping, growing, fsync, times"
up view -f raw -w --growable disk.raw mp
equal "passthrough" "$(passes_through mp)" true
"$PYTHON" "$HERE/past-worker.py" mp disk.raw "$(worker_of "$(pid_of view)")" write
cmp mp disk.raw
down view

step "random operations are what a model makes of them"
for seed in 4 5; do
    fill_file disk.raw 3M
    up view -f raw -w --growable disk.raw mp
    timeout 120 "$PYTHON" "$HERE/random-io.py" mp model $seed 400 growable
    down view
    cmp disk.raw model
done

step "a sync of the view is one of the file"
if command -v strace >/dev/null; then
    up view -f raw -w --growable disk.raw mp
    strace -f -qq -e trace=fdatasync -o trace -p "$(worker_of "$(pid_of view)")" &
    tracer=$!
    wait_until 20 grep -q TracerPid:.*[1-9] "/proc/$(worker_of "$(pid_of view)")/status"
    # Twice: what the first one has brought to disk is no reason to leave out the second one.
    for i in 1 2; do
        dd if=before.raw of=mp bs=4096 count=1 seek=$i conv=notrunc,fsync status=none
    done
    kill "$tracer"
    wait "$tracer" || true
    equal "syncs" "$(grep -c 'fdatasync.* = 0' trace)" 2
    down view
else
    echo "   left out: strace is missing"
fi

if have_loops; then
    step "a file system on a loop device on such a view"
    truncate -s 32M loop.raw
    up view -f raw -w --growable loop.raw mp
    attach_loop mp
    mkfs.ext4 -q "$LOOP"
    mkdir mnt
    mount "$LOOP" mnt
    cp before.raw mnt/file
    umount mnt
    detach_loop "$LOOP"
    cmp mp loop.raw
    down view
    e2fsck -fn loop.raw >fsck.out 2>&1 || fail "e2fsck: $(cat fsck.out)"
fi

step "flat extents of VMDK: read-only, when they are the whole disk"
qemu-img create -q -f vmdk -o subformat=monolithicFlat flat.vmdk 4M
dd if=before.raw of=flat-flat.vmdk conv=notrunc status=none
up view flat.vmdk mp
equal "passthrough" "$(passes_through mp)" true
cmp mp before.raw
down view
up view -w --growable flat.vmdk mp
equal "written" "$(passes_through mp)" false
down view
truncate -s +512 flat-flat.vmdk
up view flat.vmdk mp
equal "longer than the disk" "$(passes_through mp)" false
cmp mp before.raw
down view

step "views that are served by the worker"
qemu-img convert -O qcow2 before.raw disk.qcow2
up view disk.qcow2 mp
equal "qcow2" "$(passes_through mp)" false
cmp mp before.raw
down view
cp before.raw disk.raw
up view -f raw -w disk.raw mp
equal "not growable" "$(passes_through mp)" false
expect_fail 'no space' dd if=before.raw of=mp bs=512 count=1 seek=8192 conv=notrunc
equal "size" "$(size_of disk.raw)" $((4 * MIB))
down view
truncate -s 0 empty.raw
up view -f raw -w --growable empty.raw mp
equal "empty" "$(passes_through mp)" false
dd if=before.raw of=mp bs=1M conv=notrunc status=none
down view
cmp empty.raw before.raw

step "where the kernel refuses the file, the worker serves it"
if mkdir lower upper work merged && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged 2>/dev/null; then
    cp before.raw merged/disk.raw
    up view -f raw merged/disk.raw mp
    equal "overlayfs" "$(passes_through mp)" false
    cmp mp before.raw
    down view
    umount merged
else
    echo "   left out: no overlayfs here"
fi
# A view of a view: two on one another are as many as the kernel takes.
cp before.raw disk.raw
: >outer
up inner -f raw disk.raw mp
equal "the lower one" "$(passes_through mp)" true
up outer -f raw mp outer
equal "the upper one" "$(passes_through outer)" false
cmp outer before.raw
down outer
down inner

step "over the image itself"
up view -f raw disk.raw
equal "passthrough" "$(passes_through disk.raw)" true
cmp disk.raw before.raw
down view
cmp disk.raw before.raw

step "who has it open at its end keeps the file, and the file its lock"
up view -f raw -w --growable disk.raw mp
"$PYTHON" "$HERE/past-end.py" mp disk.raw "$(pid_of view)" "$RAWVIEW"
no_mount_left

step "an ordinary user's views are served by the worker"
make_programs
if command -v fusermount3 >/dev/null; then
    mkdir -m 777 users
    cp before.raw users/disk.raw
    : >users/mp
    chown $USER_ID users/disk.raw users/mp
    timeout 60 as-user rawview mount -d -p "$W/users/pid" -f raw users/disk.raw users/mp >/dev/null || fail "no view for a user"
    equal "user" "$(as-user getfattr --only-values -n user.rawview.state users/mp | jq -r .passthrough)" false
    as-user cmp users/mp before.raw
    kill -INT "$(cat users/pid)"
    wait_until 20 is_not_mounted users/mp || fail "the user's view does not end"
else
    echo "   left out: fusermount3 is missing"
fi
