#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# --assert-unchanged: all files of an image are read before it is shown and again afterwards; what they were is told, and that one is
# another is an error with its name.
. "$(dirname "$0")/lib.sh"
need getfattr
: >mp
fill_file disk.raw 9M
qemu-img create -q -f qcow2 -b disk.raw -F raw mid.qcow2
qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2
qemu-io -c 'write -P 7 1M 64k' top.qcow2 >/dev/null
qemu-img convert -f raw -O vmdk -o subformat=twoGbMaxExtentFlat disk.raw parts.vmdk

# What the view says of the files of its image.
said()
{
    getfattr --only-values -n user.rawview.state mp | jq -r '.["assert-unchanged"][] | "\(.sha256) \(.file)"'
}

sums()
{
    sha256sum "$@" | sed 's/  / /'
}

step "a chain: every file, and twice"
expected=$(sums "$W/top.qcow2" mid.qcow2 disk.raw)
up_in_foreground view --assert-unchanged top.qcow2 mp
equal "what the view says" "$(said)" "$expected"
equal "lines before" "$(grep -c 'sha256 [0-9a-f]*$' view.log)" 3
kill -INT "$(pid_of view)"
wait_for_end view
equal "status ($(cat view.log))" $STATUS 0
for name in top.qcow2 mid.qcow2 disk.raw; do
    grep -q "/$name: sha256 $(sha $name), as it was before" view.log || fail "$name: $(cat view.log)"
done

step "an image in several files, under an overlay that is written, unmounted by another"
up_in_foreground view --assert-unchanged --overlay=volatile parts.vmdk mp
equal "what the view says" "$(said)" "$(sums "$W/parts.vmdk" parts-f001.vmdk)"
dd if=/dev/zero of=mp bs=1M count=2 conv=notrunc,fsync status=none
umount mp
wait_for_end view
equal "status ($(cat view.log))" $STATUS 0
equal "lines afterwards" "$(grep -c 'as it was before' view.log)" 2

step "a view of which nobody has asked that"
up view top.qcow2 mp
equal "attribute" "$(getfattr --only-values -n user.rawview.state mp | jq -c '.["assert-unchanged"]')" null
down view

step "a file that somebody changes"
before=$(sha disk.raw)
up_in_foreground view --assert-unchanged top.qcow2 mp
printf X | dd of=disk.raw bs=1 seek=5000000 conv=notrunc status=none
kill -INT "$(pid_of view)"
wait_for_end view
equal "status" $STATUS 1
grep -q "disk.raw has changed while it was shown .*was $before and is $(sha disk.raw)" view.log || fail "$(cat view.log)"
equal "what was said of the others" "$(grep -c 'as it was before' view.log)" 2

step "one that gets shorter, and the status of the service"
"$(dirname "$RAWVIEW")/rawviewd" --path="$W/top.qcow2" --mount-point="$W/mp" --assert-unchanged --pidfile="$W/view.pid" >view.log 2>&1 &
service=$!
wait_until 60 test -s view.pid || fail "$(cat view.log)"
truncate -s 8M disk.raw
kill -INT "$service"
STATUS=0
wait "$service" || STATUS=$?
equal "status ($(cat view.log))" $STATUS 76
grep -q "disk.raw has changed" view.log || fail "$(cat view.log)"

step "wrong usage"
refused 2 'AssertUnchanged=.*Writable=' "$RAWVIEW" mount --assert-unchanged -w top.qcow2 mp
no_mount_left
