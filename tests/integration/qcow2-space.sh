#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The host's file system is full, a file may not grow any more, or the disk below fails: the writer gets the error, the
# view goes on reading, what an fsync promised is kept, and the image is sound. Where the reason goes away writing goes
# on; where a sync has failed it does not, and that is said once.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"

MIB=$((1024 * 1024))
SIZE=$((24 * MIB))
mkdir small

# Writes at random with journals until the error that is expected: its name, or nothing for SECONDS without one.
promises()
{
    local disk=$1 error=$2 seconds=${3:-60}
    timeout 120 "$PYTHON" "$HERE/promise.py" write "$disk" journal 7 0 1 "$seconds" >said || fail "the writer failed"
    if [[ -n $error ]]; then
        grep -qE "$error" said || fail "the writer does not end with '$error' but: $(cat said)"
    else
        [[ ! -s said ]] || fail "the writer ended: $(cat said)"
    fi
}

promises_kept()
{
    (cd small && qemu-img convert -f qcow2 -O raw disk.qcow2 ../now.raw)
    "$PYTHON" "$HERE/promise.py" verify now.raw first.raw journal || fail "what was promised is lost"
}

log_is_short()
{
    local lines
    lines=$(wc -l <view.log)
    ((lines <= $1)) || fail "$lines lines in the log: $(head -n 20 view.log)"
}

ends_with()
{
    kill -INT "$(pid_of view)"
    wait_for_end view
    # The status may be a pattern.
    # shellcheck disable=SC2053
    [[ $STATUS == $1 ]] || fail "the view ends with $STATUS instead of $1: $(cat view.log)"
    no_mount_left
}

# QEMU looks for an external data file in the folder that it is started in.
in_small()
{
    (cd small && "$@" disk)
}

# Another file system in small, of this size, with an image and what lies below it; the disk as it is before anybody
# writes is first.raw.
image_in_small()
{
    mount -t tmpfs -o size=200M none small
    image "$1" "$2" disk $SIZE
    mv disk.raw first.raw
    mv disk.* small/
    rm -f journal
    BEFORE=$(in_small kept)
    mount -o "remount,size=$3" small
}

view_keeps_promises()
{
    "$PYTHON" "$HERE/promise.py" verify "$1" first.raw journal || fail "the view lost what was promised"
}

full()
{
    local what=$1 options=$2 size=$3
    step "the file system is full: $what, ${options:-defaults}"
    image_in_small "$what" "$options" "$size"
    up_in_foreground view -f qcow2 -w small/disk.qcow2
    promises small/disk.qcow2 'No space left'
    view_keeps_promises small/disk.qcow2
    # It may be asked as often as anybody likes.
    for _ in 1 2 3; do
        promises small/disk.qcow2 'No space left'
    done
    dd if=small/disk.qcow2 of=/dev/null bs=1M iflag=direct status=none
    view_keeps_promises small/disk.qcow2

    mount -o remount,size=200M small
    promises small/disk.qcow2 '' 0.5
    view_keeps_promises small/disk.qcow2
    ends_with 0
    log_is_short 8
    in_small clean_or_leaking
    promises_kept
    equal "what lies below, and the snapshots" "$(in_small kept)" "$BEFORE"
    umount small
}

# How full it is when the image is made differs; so does what meets the end: data, an L2 table, a refcount block.
for size in 3000K 5M 5100K; do
    full empty '' $size
done
full empty cluster_size=512 6M
full backing extended_l2=on 25M
full snapshot cluster_size=4k,refcount_bits=64 12M
full empty data_file=NAME.data,cluster_size=4k 4M

step "full when the view ends: the end is no success, or all is there"
image_in_small empty '' 2M
up_in_foreground view -f qcow2 -w small/disk.qcow2
run_failing dd if=/dev/urandom of=small/disk.qcow2 bs=64k count=200 conv=notrunc
ends_with '*'
log_is_short 6
in_small clean_or_leaking
umount small

step "a limit on the size of files"
image_in_small snapshot '' 200M
(
    ulimit -f $((9 * 1024))
    up_in_foreground view -f qcow2 -w small/disk.qcow2
)
promises small/disk.qcow2 'File too large|No space left'
view_keeps_promises small/disk.qcow2
promises small/disk.qcow2 'File too large|No space left'
kill -INT "$(pid_of view)"
wait_until 20 process_is_gone "$(cat view.shell)" || fail "the view does not end: $(cat view.log)"
no_mount_left
log_is_short 6
in_small clean_or_leaking
promises_kept
umount small

have_loops || exit 0

step "a disk that loses writes: a sync fails, then nothing is written any more, and what was promised is there"
mount -t tmpfs -o size=6M none small
truncate -s 64M small/disk.qcow2
attach_loop small/disk.qcow2
qemu-img create -q -f qcow2 "$LOOP" $SIZE
rm -f first.raw
truncate -s $SIZE first.raw
rm -f journal
: >mp
up_in_foreground view -f qcow2 -w "$LOOP" mp
# What the loop device makes of a full file system below it is either.
promises mp 'Input/output error|No space left'
view_keeps_promises mp
sum=$(dd if=mp bs=1M iflag=direct status=none | sha256sum)
expect_fail 'input/output error' dd if=/dev/urandom of=mp bs=4k count=1 conv=notrunc,fsync
expect_fail 'input/output error' dd if=/dev/urandom of=mp bs=4k count=1 conv=notrunc oflag=direct
expect_fail 'input/output error' sync mp
equal "the view after it" "$(dd if=mp bs=1M iflag=direct status=none | sha256sum)" "$sum"
ends_with '[1-9]*'
log_is_short 6
grep -qi 'input/output error' view.log || fail "the log does not say it: $(cat view.log)"
detach_loop "$LOOP"
in_small clean_or_leaking
promises_kept
umount small
no_mount_left
