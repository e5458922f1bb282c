#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A view that umount(8) has taken away, and another one in its place at once: the kernel gives the new mount the number that the
# old one had, and whoever ends the old view lets the new one be.
. "$(dirname "$0")/lib.sh"

IFS=.- read -r major minor _ < <(uname -r)
((major * 1000 + minor >= 6008)) || cannot_run "Linux $major.$minor does not tell mounts apart that had the same number"

qemu-img create -q -f qcow2 first.qcow2 1M
qemu-img create -q -f qcow2 second.qcow2 2M
: >mp

for i in $(seq 30); do
    step "round $i"
    "$RAWVIEW" mount first.qcow2 mp >/dev/null
    umount mp
    "$RAWVIEW" mount second.qcow2 mp >/dev/null
    equal "size of the second view" "$(stat -c %s mp)" 2097152
    # The one that ends has had its time.
    sleep 0.1
    equal "size of the second view, later" "$(stat -c %s mp)" 2097152
    "$RAWVIEW" umount mp
done
no_mount_left
