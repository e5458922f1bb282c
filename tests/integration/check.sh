#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawview check and qemu-img check: the same status and the same JSON for what qemu-img makes and for images that
# damage.py has damaged; after -r all both find nothing, where qemu-img can repair it, and the disk is the same.
# Needs no root and no FUSE. Ends with 77 without qemu-img.
#
# RAWVIEW: the program of the build tree.
. "$(dirname "$0")/cases.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

COUNT=0

need qemu-img qemu-io python3 jq
work_in /dev/shm
mkdir "$W/images" "$W/theirs" "$W/ours"
cd "$W/images"

# check_both [IMAGE]: the statuses in $THEIRS and $OURS, the JSON in $W/theirs/json and $W/ours/json. Ours must not
# change the image.
check_both()
{
    local before image=${1:-disk}
    before=$(sha256sum <"$image")
    THEIRS=0 OURS=0
    COUNT=$((COUNT + 1))
    qemu-img check --output=json "$image" >"$W/theirs/json" 2>"$W/theirs/errors" || THEIRS=$?
    "$RAWVIEW" check --output=json "$image" >"$W/ours/json" 2>"$W/ours/errors" || OURS=$?
    [[ $(sha256sum <"$image") == "$before" ]] || fail "the image has changed"
}

# Equal status, and equal JSON key for key.
same()
{
    check_both
    [[ $OURS == "$THEIRS" ]] || fail "status $OURS, qemu-img $THEIRS: $(cat "$W/ours/errors" "$W/theirs/errors")"
    diff <(jq -S . "$W/theirs/json") <(jq -S . "$W/ours/json") >&2 || fail "other JSON"
}

# The disk as qemu-img reads it, or what it says instead.
content()
{
    if ! qemu-img convert -U -f qcow2 -O raw "$1" "$W/raw" 2>/dev/null; then
        echo "cannot be read"
        return
    fi
    sha256sum <"$W/raw"
}

# repairs: -r all of both on copies. Where qemu-img leaves nothing, neither do we; the disks are equal then.
repairs()
{
    local theirs=0 ours=0
    cp --sparse=always disk "$W/theirs/disk"
    cp --sparse=always disk "$W/ours/disk"
    qemu-img check -q -r all "$W/theirs/disk" >"$W/theirs/errors" 2>&1 || theirs=$?
    "$RAWVIEW" check -r all "$W/ours/disk" >"$W/ours/errors" 2>&1 || ours=$?
    [[ $theirs == 0 || $ours == 0 || $ours == "$theirs" ]] || fail "repaired: status $ours, qemu-img $theirs"
    [[ $theirs != 0 || $ours == 0 ]] || fail "not repaired: $(cat "$W/ours/errors")"
    [[ $ours != 0 ]] || qemu-img check -q "$W/ours/disk" 2>/dev/null || fail "qemu-img finds errors after our repair"
    [[ $ours != 0 ]] || "$RAWVIEW" check "$W/ours/disk" >/dev/null || fail "errors after our repair"
    [[ $theirs != 0 || $(content "$W/ours/disk") == "$(content "$W/theirs/disk")" ]] || fail "the disks differ"
}

# In 64 KiB clusters: header, refcount table, refcount block, L1, L2, three clusters of data.
make_plain()
{
    rm -f disk
    qemu-img create -q -f qcow2 "$@" disk 1M
    qemu-io -f qcow2 -c 'write -q -P 1 0 64k' -c 'write -q -P 2 64k 64k' -c 'write -q -P 3 256k 64k' disk
}

make_packed()
{
    rm -f disk
    qemu-img create -q -f qcow2 "$@" disk 1M
    qemu-io -f qcow2 -c 'write -q -c -P 1 0 64k' -c 'write -q -c -P 2 64k 64k' -c 'write -q -P 3 256k 64k' disk
}

make_snapshots()
{
    make_plain
    qemu-img snapshot -c one disk
    qemu-io -f qcow2 -c 'write -q -P 7 0 64k' disk
    qemu-img snapshot -c two disk
}

make_bitmaps()
{
    make_plain
    qemu-img bitmap --add disk b0
    qemu-img bitmap --add -g 512 disk b1
    qemu-io -f qcow2 -c 'write -q -P 7 0 64k' disk
}

make_extended()
{
    make_plain -o extended_l2=on
}

make_outside()
{
    rm -f data
    make_plain -o data_file=data
}

damage()
{
    python3 -B "$HERE/damage.py" disk "$@"
}

# alike MAKE CHANGE…: both find the same.
alike()
{
    local make=$1
    shift
    CASE="$make $*"
    "make_$make"
    damage "$@"
    same
    [[ $make == outside ]] || repairs
}

# differs STATUS THEIRS MAKE CHANGE…: we say something else than qemu-img, knowingly.
differs()
{
    local ours=$1 theirs=$2 make=$3
    shift 3
    CASE="$make $*"
    "make_$make"
    damage "$@"
    check_both
    [[ $OURS == "$ours" ]] || fail "status $OURS instead of $ours: $(cat "$W/ours/errors")"
    [[ $THEIRS == "$theirs" ]] || fail "qemu-img says $THEIRS, not $theirs any more"
}

# What qemu-img makes.
for options in "" compat=0.10 cluster_size=512 cluster_size=2M extended_l2=on lazy_refcounts=on refcount_bits=1 \
    refcount_bits=2 refcount_bits=4 refcount_bits=8 refcount_bits=32 refcount_bits=64 preallocation=metadata \
    preallocation=falloc,cluster_size=4k compression_type=zstd extended_l2=on,cluster_size=16k,refcount_bits=64; do
    CASE="created with $options"
    # shellcheck disable=SC2086
    make_plain ${options:+-o $options}
    same
    case $options in
    *cluster_size=2M*) ;;
    *)
        qemu-io -f qcow2 -c 'write -q -c -P 5 384k 64k' disk >/dev/null 2>&1 || true
        qemu-io -f qcow2 -c 'discard -q 64k 64k' -c 'write -q -z 512k 64k' -c 'write -q 700k 3k' disk
        ;;
    esac
    same
    if [[ $options != *refcount_bits=1 ]]; then
        qemu-img snapshot -c s1 disk
        qemu-io -f qcow2 -c 'write -q -P 8 0 200k' disk
        qemu-img snapshot -c s2 disk
        same
        qemu-img snapshot -d s1 disk
        same
    fi
done
CASE="compressed as a whole"
python3 -c 'import random, sys; sys.stdout.buffer.write((random.Random(1).randbytes(3000) + bytes(5000)) * 400)' >source
for options in cluster_size=512 cluster_size=64k,compression_type=zstd extended_l2=on; do
    qemu-img convert -c -O qcow2 -o "$options" source disk
    same
done
for make in snapshots bitmaps packed extended outside; do
    CASE="sound: $make"
    "make_$make"
    same
done
CASE="an overlay"
make_plain
mv disk base
qemu-img create -q -f qcow2 -b base -F qcow2 disk
qemu-io -f qcow2 -c 'write -q -P 8 100k 3k' disk
same
CASE="LUKS"
if qemu-img create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 \
    disk 1M 2>/dev/null; then
    OURS=0
    "$RAWVIEW" check disk >"$W/ours/text" || OURS=$?
    [[ $OURS == 0 && $(head -n 1 "$W/ours/text") == "No errors were found on the image." ]] || fail "status $OURS"
fi

# Refcounts.
alike plain 'rc(9) = 1'
alike plain 'rc(5) = 2'
alike plain 'rc(5) = 0'
alike plain 'rc(12) = 1'
alike plain 'rc(5) = 2' 'l2(0) ^= COPIED'
alike plain 'rc(3) = 0' 'rc(6) = 9'
alike plain 'rt(0) = 0'
alike plain 'rt(0) = 0x1000000'
alike plain 'rt(1) = 0x1000000'
alike plain 'rt(1) = rt(0)'
alike plain 'rt(1) = l2(0) & MASK'
alike plain 'rt(0) |= 1'
alike plain 'u32(56) = 0'
alike plain 'u32(56) = 2'
alike plain 'u64(48) = 0x7000000'
# COPIED.
alike plain 'l2(0) ^= COPIED'
alike plain 'l2(0) ^= COPIED' 'l2(1) ^= COPIED'
alike plain 'l1(0) ^= COPIED'
alike snapshots 'l2(1) |= COPIED'
alike snapshots 'snap_l1(0, 0) |= COPIED'
# Entries.
alike plain 'l2(0) |= 0x200'
alike plain 'l2(0) |= 0x201'
alike plain 'l1(0) |= 0x100'
alike plain 'l1(0) |= 1 << 60'
alike plain 'l2(0) |= 0x100'
alike plain 'l2(0) |= 1 << 60'
alike plain 'l2(3) |= 0x100'
alike plain 'l2(1) = l2(0)'
alike plain 'l2(0) = COPIED | cs'
alike plain 'l2(0) = COPIED | l1(0) & MASK'
alike plain 'l2(3) = COPIED | size()'
alike plain 'l2(3) = COPIED | 0x1000000'
alike plain 'l1(0) = COPIED | 0x1000000'
alike plain 'l1(0) = COPIED | size()'
alike plain 'u64(40) = 0x70000'
alike plain 'size() = size() - 100'
alike plain 'size() = size() - cs'
alike plain 'size() = size() - 2 * cs'
alike packed 'l2(0) |= COPIED'
alike packed 'l2(1) += 0x100000000'
alike packed 'rc(5) = 1'
alike packed 'rc(5) = 3'
alike extended 'bits(0) |= 1 << 32'
alike extended 'bits(0) |= 2 << 32' 'bits(1) |= 1 << 33'
alike extended 'bits(3) |= 1'
alike extended 'bits(0) = 0'
alike extended 'l2(0) |= 0x200' 'bits(0) = 0xffffffff00000000'
alike outside 'l2(0) &= MASK'
alike outside 'l2(1) &= MASK'
alike outside 'l2(0) |= COMPRESSED'
alike outside 'l2(1) |= 0x200'
# Flags.
alike plain 'u8(79) |= 1'
alike plain 'u8(79) |= 2'
alike plain 'u8(79) |= 3' 'rc(5) = 0' 'rc(6) = 4'
# Snapshots and bitmaps.
alike snapshots 'u32(60) = 1'
alike snapshots 'snap_l1(0, 0) |= 0x100'
alike snapshots 'snap_l2(0, 0) |= 0x200'
alike snapshots 'snap_l2(0, 0) = 0x5000000'
alike snapshots 'snap(0, "l1_count") = 0'
for change in 'snap(0, "l1_pos") += 0x200' 'snap(0, "l1_pos") = 0x5000000' 'snap(0, "l1_count") = 10000000' 'u32(60) = 3'; do
    CASE="snapshots $change"
    make_snapshots
    damage "$change"
    same
done
alike bitmaps 'u8(95) = 0'
alike bitmaps 'bitmap(0, "flags") |= 1'
alike bitmaps 'bitmap_table(0, 0) = 0x5000000'
alike bitmaps 'bitmap(0, "table") = 0x5000000'

# A refcount block that cannot be found: QEMU gives up, we count as if there were none. Only we can repair it.
differs 2 1 plain 'rt(0) |= 0x200'
repairs
differs 2 1 plain 'u64(48) = 0x70000'
repairs
# QEMU reads an L2 table at the misaligned place, and so finds other things than in the table that is meant.
differs 2 2 plain 'l1(0) |= 0x200'
differs 2 2 snapshots 'snap_l1(0, 0) |= 0x200'
# QEMU does not count what such an entry refers to, so that a leak repair would free a cluster that can still be read.
make_packed -o extended_l2=on
damage 'bits(0) = 1'
CASE="compressed with a bitmap"
check_both
[[ $OURS == 2 && $THEIRS == 2 ]] || fail "statuses $OURS, $THEIRS"
# What reading refuses is an error to us.
make_plain -o compat=0.10
damage 'l2(3) |= 1'
CASE="the zero bit in version 2"
check_both
[[ $OURS == 2 && $THEIRS == 0 ]] || fail "statuses $OURS, $THEIRS"
differs 2 0 extended 'l2(0) |= 1'
differs 2 0 outside 'l2(0) |= cs * 5'
# QEMU does not open an image with such bitmaps.
for change in 'bitmap_table(0, 0) |= 2' 'bitmap_table(0, 0) |= 1' 'bitmap_table(0, 0) |= 0x200' 'bitmap_table(1, 0) |= 1 << 60' \
    'bitmap(0, "table") += 512' 'bitmap(0, "table") = 0' 'bitmap(0, "count") = 0x10000000' 'bitmap(0, "flags") |= 8'; do
    differs 2 1 bitmaps "$change"
done
# Not completed, for both.
differs 1 1 snapshots 'snap(0, "extra_size") = 2000'
differs 1 1 snapshots 'u32(60) = 70000'
differs 1 1 snapshots 'u64(64) += 512'
# A snapshot table that is nowhere: QEMU counts its entries as errors, we do not open the image.
differs 1 2 snapshots 'u64(64) += 0x5000000'
# QEMU needs the data file to open the image.
CASE="without the data file"
make_outside
rm data
check_both
[[ $OURS == 0 && $THEIRS == 1 ]] || fail "statuses $OURS, $THEIRS"

# A crash with lazy refcounts.
CASE="dirty"
rm -f disk
qemu-img create -q -f qcow2 -o lazy_refcounts=on disk 1M
(qemu-io -f qcow2 -c 'write -P 4 0 300k' -c flush -c abort disk || true) >/dev/null 2>&1
same
[[ $OURS == 2 ]] || fail "status $OURS: no refcount is missing"
repairs
[[ $(qemu-img info "$W/ours/disk") != *"cleanly shut down: no"* ]] || fail "the image is still dirty"

# What -r leaks does, and does not.
CASE="-r leaks"
make_plain
damage 'rc(5) = 2' 'l2(0) ^= COPIED'
"$RAWVIEW" check -r leaks --output=json disk >"$W/ours/json" || fail "leaks are left"
[[ $(jq -c '[.["leaks-fixed"], .["corruptions-fixed"], .leaks]' "$W/ours/json") == "[1,null,null]" ]] || fail "$(cat "$W/ours/json")"
same
CASE="-r leaks beside an error"
make_plain
damage 'l2(1) ^= COPIED' 'rc(5) = 7' 'l2(0) ^= COPIED'
OURS=0
"$RAWVIEW" check -r leaks disk >"$W/ours/text" || OURS=$?
[[ $OURS == 2 ]] || fail "status $OURS"
grep -q '^    1 leaked clusters$' "$W/ours/text" || fail "the leak was not repaired"
damage 'l2(1) ^= COPIED'
same
[[ $OURS == 0 ]] || fail "something else is wrong now"

# Windows of clusters far from each other, of which there are more than are counted at a time.
CASE="far apart"
rm -f disk
qemu-img create -q -f qcow2 -o cluster_size=512 disk 1M
qemu-io -f qcow2 -c 'write -q 0 64k' disk
truncate -s 20G disk
python3 -B - <<'PYTHON'
with open("disk", "r+b") as f:
    f.seek(40)
    f.seek(int.from_bytes(f.read(8), "big"))
    table = int.from_bytes(f.read(8), "big") & 0x00fffffffffffe00
    for entry, place in (0, 9 << 30), (8, 19 << 30), (16, (19 << 30) + 512):
        f.seek(table + entry)
        f.write((1 << 63 | place).to_bytes(8, "big"))
PYTHON
OURS=0
"$RAWVIEW" check --output=json disk >"$W/ours/json" || OURS=$?
[[ $OURS == 2 && $(jq .corruptions "$W/ours/json") == 6 && $(jq .leaks "$W/ours/json") == 3 ]] || fail "$(cat "$W/ours/json")"
"$RAWVIEW" check -r all --output=json disk >"$W/ours/json" || fail "$(cat "$W/ours/json")"
[[ $(jq '.["corruptions-fixed"]' "$W/ours/json") == 6 ]] || fail "$(cat "$W/ours/json")"
qemu-img check -q disk || fail "qemu-img finds errors after our repair"
rm disk

# Each other format as qemu-img convert makes it: what qemu-img says, we say; we say more, of VHD too, which it does not check.
CASE="other formats"
head -c 4M /dev/zero | tr '\0' 'x' >source
same_listed()
{
    local name=${WHAT%% *}
    [[ $MAKER == qemu-img && $CHECKED != none ]] || return 0
    check_both "$IMAGE"
    [[ $OURS == 0 && ($THEIRS == 0 || $name == vpc) ]] || fail "status $OURS, qemu-img $THEIRS"
    [[ $(jq -r .format "$W/ours/json") == "$name" ]] || fail "another format: $(cat "$W/ours/json")"
    [[ $THEIRS == 63 ]] || jq -e -s '.[1] as $ours | .[0] | to_entries | all(.key as $k | .value == $ours[$k])' \
        "$W/theirs/json" "$W/ours/json" >/dev/null || fail "other JSON: $(cat "$W/theirs/json" "$W/ours/json")"
}
each_listed same_listed

# What people read.
CASE="the words"
make_plain
damage 'rc(5) = 0' 'rc(6) = 2'
"$RAWVIEW" check disk >"$W/ours/text" && fail "status 0"
qemu-img check disk >"$W/theirs/text" 2>&1 && fail "status 0"
for words in 'ERROR cluster 5 refcount=0 reference=1' 'Leaked cluster 6 refcount=2 reference=1'; do
    grep -qx "$words" "$W/theirs/text" "$W/ours/text" || fail "'$words' is missing"
done
diff <(sed -n '/were found on/,$p' "$W/theirs/text") <(sed -n '/were found on/,$p' "$W/ours/text") >&2 || fail "another summary"

# Wrong use, other formats, locks.
refuses()
{
    local status=$1 words=$2 got=0
    shift 2
    CASE="check $*"
    COUNT=$((COUNT + 1))
    "$RAWVIEW" check "$@" >"$W/ours/text" 2>"$W/ours/errors" || got=$?
    [[ $got == "$status" ]] || fail "status $got instead of $status"
    [[ ! -s $W/ours/text ]] || fail "something on stdout"
    [[ $(head -n 1 "$W/ours/errors") == "rawview: "*"$words"* ]] || fail "'$words' is missing: $(cat "$W/ours/errors")"
}
truncate -s 1M disk.raw
refuses 2 "which image"
refuses 2 "one image" disk disk.raw
refuses 2 "--output=xml" --output=xml disk
refuses 2 "--repair=some" -r some disk
refuses 2 "--force-share" -U -r all disk
refuses 1 "No such file" nosuch
refuses 63 "This image format does not support checks" disk.raw
refuses 63 "This image format does not support checks" -r all disk.raw
refuses 1 "disk.raw: qcow2: " -f qcow2 disk.raw

# How far it is: to a pipe only where it is asked for, a line for each percent; at a terminal a line that is gone at the end.
CASE="progress"
rm -f disk
qemu-img create -q -f qcow2 -o cluster_size=512 disk 64M
qemu-io -f qcow2 -c 'write -q 0 8M' disk
"$RAWVIEW" check disk >"$W/ours/text" 2>"$W/ours/errors"
[[ ! -s $W/ours/errors ]] || fail "unasked, in a pipe: $(cat "$W/ours/errors")"
"$RAWVIEW" check -p --output=json disk >"$W/ours/json" 2>"$W/ours/errors"
jq -e '.["check-errors"] == 0' "$W/ours/json" >/dev/null || fail "no JSON"
grep -qx 'checking disk:  50 %' "$W/ours/errors" || fail "no 50 %: $(cat "$W/ours/errors")"
sort -c -t: -k2 "$W/ours/errors" || fail "it goes back"
"$RAWVIEW" check -q disk >"$W/ours/text" 2>&1
[[ ! -s $W/ours/text ]] || fail "-q says $(cat "$W/ours/text")"
damage 'rc(500) = 0'
"$RAWVIEW" check -p -r all disk >"$W/ours/text" 2>"$W/ours/errors"
grep -q '^repairing disk: ' "$W/ours/errors" || fail "nothing of the repair: $(cat "$W/ours/errors")"
python3 -B "$HERE/progress-at-terminal.py" 0 checking "$RAWVIEW" check -p disk >"$W/ours/text" 2>&1 ||
    fail "at a terminal: $(cat "$W/ours/text")"
[[ $(head -n 1 "$W/ours/text") == 'No errors'* ]] || fail "after the progress: $(cat "$W/ours/text")"
# All L1 entries lead to one table, so that this takes a while.
python3 - <<'PYTHON'
import struct
cs, tables = 65536, 16384
header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, tables * 8192 * cs, 0, tables, cs, 6 * cs, 1, 0, 0, 0, 0, 0, 4, 104)
with open("large", "wb") as f:
    for pos, what in (0, header), (cs, struct.pack(">Q", 3 * cs) * tables), (3 * cs, struct.pack(">Q", 4 * cs) * 8192), (9 * cs, b""):
        f.seek(pos)
        f.write(what)
PYTHON
python3 -B "$HERE/at-terminal.py" 'checking large: +[0-9]+ %' - "$RAWVIEW" check -p large >"$W/ours/text" 2>&1 ||
    fail "Ctrl-C: $(cat "$W/ours/text")"

CASE="an image in use"
make_plain
mkfifo hold
qemu-io -f qcow2 disk <hold >"$W/theirs/text" 2>&1 &
HOLDER=$!
exec 9>hold
echo 'write 0 4k' >&9
for ((i = 0; i < 100; i++)); do
    grep -q wrote "$W/theirs/text" && break
    sleep 0.1
done
refuses 1 "is in use by" disk
refuses 1 "is in use by" -r all disk
"$RAWVIEW" check -U disk >/dev/null || fail "-U is refused"
exec 9>&-
wait $HOLDER
"$RAWVIEW" check -r all disk >/dev/null || fail "still in use"

echo "$COUNT questions, all answered as they should be"
