#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What create_compressed_fs makes of a disk, in blocks of all sizes and packed in all its ways, is read as that disk and as
# qemu-img reads it, and has nothing that check would complain of. Needs no root and no FUSE.
#
# DUMP_NODE, RAWVIEW: programs of the build tree.
. "$(dirname "$0")/cases.sh"

need create_compressed_fs qemu-img
work_in "${TMPDIR:-/tmp}"
cd "$W"

# What packs well, what does not, nothing; not a whole number of blocks.
{
    seq 1 60000
    head -c 700000 /dev/urandom
    head -c 900000 /dev/zero
    seq 1 1234
} >disk

# made LEVEL BLOCK
made()
{
    CASE="level $1, blocks of $2"
    create_compressed_fs -q -L "$1" -B "$2" disk image >out 2>&1 || fail "create_compressed_fs: $(tail -n 3 out)"
    "$DUMP_NODE" -f cloop image ours || fail "cannot be read"
    cmp -n "$(stat -c %s disk)" disk ours || fail "is not the disk"
    qemu-img compare -q -f raw -F cloop ours image || fail "qemu-img reads it otherwise"
    "$RAWVIEW" check image >out || fail "check: $(cat out)"
    [[ $("$RAWVIEW" info image) == *'file format: cloop'* ]] || fail "is not recognised"
    rm image
}

for block in 512 1024 65536 1048576 2097152; do
    made 9 $block
done
for level in -2 -1 0 1; do
    made $level 65536
done
made 6 98304

CASE="a block that is damaged"
create_compressed_fs -q -L 9 -B 65536 disk image >out 2>&1
printf 'X' | dd of=image bs=1 seek=1000 conv=notrunc status=none
status=0
"$RAWVIEW" check image >out || status=$?
((status == 2)) || fail "check ends with $status"
grep -q 'block 0 cannot be unpacked' out || fail "check says $(cat out)"
