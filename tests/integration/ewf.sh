#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What ewfacquirestream makes of a disk, in all its formats, with all kinds of compression, in chunks of all sizes and in many
# segments, is read as that disk; check finds nothing, and info shows the MD5 that md5sum finds. A copy with a byte that is
# another one is found by check as it is by ewfverify. Needs no root and no FUSE.
#
# DUMP_NODE, RAWVIEW: programs of the build tree.
. "$(dirname "$0")/cases.sh"

need ewfacquirestream ewfverify jq
work_in "${TMPDIR:-/tmp}"
cd "$W"

# What packs well, what does not, nothing; whole sectors, but not whole chunks.
{
    seq 1 100000
    head -c 1300000 /dev/urandom
    head -c 1500000 /dev/zero
    seq 1 60000
} >disk
truncate -s %512 disk
truncate -s -512 disk
sum=$(md5sum <disk)
sum=${sum%% *}

# made OPTION…: image.E01 and what belongs to it; FIRST is the first segment.
made()
{
    CASE="ewfacquirestream $*"
    rm -f image.*
    ewfacquirestream -q -t image "$@" <disk >out 2>&1 || fail "$(tail -n 3 out)"
    FIRST=$(echo image.[Ee]01)
}

is_disk()
{
    "$DUMP_NODE" -f ewf "$FIRST" ours || fail "cannot be read"
    cmp disk ours || fail "is not the disk"
    "$RAWVIEW" check "$FIRST" >out || fail "check: $(cat out)"
    "$RAWVIEW" info --output=json "$FIRST" >out || fail "info"
    jq -e --arg sum "$sum" '.format == "ewf" and ."format-specific".data.md5 == $sum and ."format-specific".data.complete' \
        out >/dev/null || fail "info says $(cat out)"
}

for format in ftk encase2 encase3 encase4 encase5 encase6 encase7 linen5 linen6 linen7 ewfx; do
    made -f $format -c fast -S 1MiB
    is_disk
done
for compression in none empty-block best; do
    made -f encase6 -c $compression
    is_disk
done
for sectors in 16 128 1024 4096; do
    made -f encase6 -c fast -b $sectors -S 1MiB
    is_disk
    made -f encase5 -c none -b $sectors -S 1MiB
    is_disk
done

made -f encase7 -c fast -m optical -M logical -d sha1
is_disk
sha1=$(sha1sum <disk)
jq -e --arg sum "${sha1%% *}" '."format-specific".data | .sha1 == $sum and ."media-type" == "optical"' out >/dev/null ||
    fail "info says $(cat out)"

CASE="chunks of 4 MiB"
made -f encase6 -c fast -b 8192
status=0
"$RAWVIEW" info "$FIRST" >out 2>&1 || status=$?
((status != 0)) || fail "opens"
grep -q 'chunks of 8192 sectors of 512 bytes are longer' out || fail "info says $(cat out)"

# In the middle of what does not pack, so that it is content, and of what does.
for at in 400000 60000; do
    made -f encase6 -c fast
    CASE="another byte at $at"
    byte=$(od -An -tu1 -j $at -N 1 "$FIRST")
    printf '%b' "\\x$(printf %x $((byte ^ 255)))" | dd of="$FIRST" bs=1 seek=$at conv=notrunc status=none
    status=0
    "$RAWVIEW" check "$FIRST" >out || status=$?
    ((status == 2)) || fail "check ends with $status"
    grep -Eq 'chunks ([0-9]+) to \1 .* are damaged' out || fail "check says $(cat out)"
    ! ewfverify -q "$FIRST" >out 2>&1 || fail "ewfverify finds nothing"
done
