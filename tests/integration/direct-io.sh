#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Writing past the page cache, by several at one time, and reading through it: who reads after a write sees it.
. "$(dirname "$0")/lib.sh"

truncate -s 16M disk.raw
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp

step "what was written past the page cache is read through it, and mapped"
up view -w disk.qcow2 mp
"$PYTHON" "$HERE/direct-io.py" mp
cp mp after.raw
down view
qemu-img compare -q -f raw -F qcow2 after.raw disk.qcow2 || fail "the image is not what the view was"
qemu-img check -q disk.qcow2
no_mount_left
