#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# info, map, check and partitions of what is no image in a file: block devices, views, folders, fifos, sockets, empty files, files
# that may not be read, and names that look like something else. A good sentence each, and the right status.
. "$(dirname "$0")/lib.sh"
make_programs
: >mp

# says VERB STATUS WORDS PATH…: status and what is printed, in one line or in several.
says()
{
    local verb=$1 status=$2 words=$3 got=0
    shift 3
    timeout 60 "$RAWVIEW" "$verb" "$@" >said 2>&1 </dev/null || got=$?
    equal "status of $verb $*" "$got" "$status"
    grep -q -- "$words" said || fail "$verb $*: it says: $(cat -v said)"
    [[ $status != 1 || $(wc -l <said) == 1 ]] || fail "$verb $*: more than a line: $(cat -v said)"
    [[ $(tr -d '\n' <said) != *[[:cntrl:]]* ]] || fail "$verb $*: controls: $(cat -v said)"
}

all()
{
    local verb
    for verb in info map check partitions; do
        says "$verb" "$@"
    done
}

qemu-img create -q -f qcow2 disk.qcow2 8M
qemu-io -c 'write -q -P 7 0 64k' disk.qcow2

step "what is neither file nor device"
mkdir folder
mkfifo fifo
"$PYTHON" -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
all 1 'rawview: folder: is a folder, and no image$' folder
for name in fifo socket /dev/null; do
    all 1 "rawview: $name: is neither a regular file nor a block device\$" $name
done

step "an empty file, and one that may not be read"
: >empty
says info 0 '^virtual size: 0 B (0 bytes)' empty
says map 0 '^Offset' empty
says check 63 'does not support checks' empty
says partitions 0 'there is no partition table' empty
install -m 0 disk.qcow2 locked
for verb in info map check partitions; do
    run_failing as-user rawview $verb locked
    equal "status" "$STATUS" 1
    grep -q '^rawview: locked: Permission denied$' stderr || fail "$verb: $(cat stderr)"
done

step "names"
cp disk.qcow2 "$(printf 'new\nline\033[31m')"
cp disk.qcow2 -- -dash
says info 0 '^image: new?line?\[31m$' "$(printf 'new\nline\033[31m')"
all 1 '^rawview: no?such?\[31m: No such file or directory$' "$(printf 'no\nsuch\033[31m')"
all 1 '^rawview: -: No such file or directory$' -
all 2 "invalid option -- 'a'" -abc
says info 0 '^file format: qcow2$' -- -dash
says check 0 'No errors' ./-dash

step "a view, and a folder of views"
up view disk.qcow2 mp
says info 0 '^file format: raw$' mp
says check 63 'does not support checks' mp
says map 0 '^0 *0x10000 ' mp
says partitions 0 'there is no partition table' mp
script -qec "$RAWVIEW info mp" /dev/null >said </dev/null
grep -q "rawview: mp: is a view, and raw; its image is $W/disk.qcow2" said || fail "at a terminal: $(cat -v said)"
down view
mkdir parts
up view --partitions disk.qcow2 parts
for verb in info map check; do
    says $verb 1 "parts: is a folder with the views of a disk and its partitions; its image is $W/disk.qcow2, and parts/disk is the disk\$" parts
done
says info 0 '^file format: raw$' parts/disk
says partitions 0 '^parts: there is no partition table' parts
down view

if have_loops; then
    step "block devices"
    truncate -s 8M disk.raw
    attach_loop disk.raw
    says info 0 '^file format: raw$' "$LOOP"
    says map 0 "0x800000 *0 *$LOOP" "$LOOP"
    says check 63 'does not support checks' "$LOOP"
    says partitions 0 'there is no partition table' "$LOOP"
    # The same with a qcow2 written onto it.
    dd if=disk.qcow2 of="$LOOP" conv=notrunc,fsync status=none
    says info 0 '^file format: qcow2$' "$LOOP"
    says map 0 "^0 *0x10000 .* $LOOP" "$LOOP"
    says check 0 'No errors' "$LOOP"
    says partitions 0 'there is no partition table' "$LOOP"
    detach_loop "$LOOP"
fi
no_mount_left
