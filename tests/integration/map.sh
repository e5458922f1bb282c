#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawview map and qemu-img map: the same bytes in both forms and the same status, for what qemu-img makes and for recipes.
# Needs no root and no FUSE. Ends with 77 without qemu-img.
#
# What QEMU says otherwise, and wrongly, is in rawview(1) under map; each is seen here by what we say.
#
# RAWVIEW: the program of the build tree. RECIPES: the folder with mkimage.py.
. "$(dirname "$0")/cases.sh"
. "$(dirname "$0")/features.sh"

COUNT=0

need qemu-img qemu-io python3
# In memory: elsewhere the holes of a file change when it is written back.
work_in /dev/shm
mkdir "$W/images" "$W/out"
cd "$W/images"

# same ARGUMENTS…: the same text and the same status. qemu-img says in other words that something is compressed.
same()
{
    local form theirs ours
    COUNT=$((COUNT + 1))
    for form in human json; do
        CASE="map --output=$form $*"
        theirs=0 ours=0
        qemu-img map --output=$form "$@" >"$W/out/theirs" 2>"$W/out/errors" || theirs=$?
        "$RAWVIEW" map --output=$form "$@" >"$W/out/ours" 2>"$W/out/words" || ours=$?
        diff "$W/out/theirs" "$W/out/ours" >&2 || fail "other lines: $(cat "$W/out/errors" "$W/out/words")"
        [[ $theirs == "$ours" ]] || fail "status $ours, qemu-img $theirs: $(cat "$W/out/errors" "$W/out/words")"
        [[ $theirs == 0 || $(cat "$W/out/words") == *"compressed or encrypted"*"--output=json"* ]] ||
            fail "other words: $(cat "$W/out/words")"
    done
}

# says TEXT ARGUMENTS…: the JSON, with blanks and what is false left out, a stretch a line: "START+LENGTH WORDS [@OFFSET]".
says()
{
    local text=$1
    shift
    CASE="map $*"
    COUNT=$((COUNT + 1))
    "$RAWVIEW" map --output=json "$@" >"$W/out/ours" || fail "status $?"
    python3 - "$W/out/ours" "$text" <<'PYTHON' || fail "it says something else"
import json, sys
def line(e):
    words = [k for k in ("present", "zero", "data") if e[k]]
    return f"{e['start']}+{e['length']} {e['depth']} {' '.join(words)}" + (f" @{e['offset']}" if "offset" in e else "")
got = "; ".join(line(e) for e in json.load(open(sys.argv[1])))
if got != sys.argv[2]:
    sys.exit(f"{got}\ninstead of\n{sys.argv[2]}")
PYTHON
}

refuses()
{
    local status=$1 words=$2 got=0
    shift 2
    CASE="map $*"
    COUNT=$((COUNT + 1))
    "$RAWVIEW" map "$@" >"$W/out/ours" 2>"$W/out/errors" || got=$?
    [[ $got == "$status" ]] || fail "status $got instead of $status"
    [[ $(wc -l <"$W/out/ours") -le 1 ]] || fail "too much on stdout"
    [[ $(head -n 1 "$W/out/errors") == "rawview: "*"$words"* ]] || fail "'$words' is missing: $(cat "$W/out/errors")"
}

create()
{
    qemu-img create -q -f qcow2 "$@"
}

poke()
{
    local image=$1
    shift
    qemu-io -f qcow2 "${@/#/-c}" "$image" >/dev/null
}

python3 - <<'PYTHON'
import random
dice = random.Random(7)
with open("source", "wb") as f:
    f.truncate(8 << 20)
    for at, length in (0, 200000), (3 << 20, 100000), ((8 << 20) - 1024, 1024):
        f.seek(at)
        f.write(dice.randbytes(length))
PYTHON

# Each format as qemu-img convert makes it.
same_listed()
{
    # QEMU does not say where the blocks of a VHDX lie.
    [[ $MAKER == qemu-img && $FORMAT != vhdx ]] || return 0
    same -f "${WHAT%% *}" "$IMAGE"
    same -f "${WHAT%% *}" -s 150k --max-length=4M "$IMAGE"
}
each_listed same_listed
# Many extents, most of which lie in no file.
rm -f disk*
qemu-img create -q -f vmdk -o subformat=twoGbMaxExtentSparse disk 7G
qemu-io -f vmdk -c 'write 2147000k 1M' -c 'write 5G 100k' disk >/dev/null
same disk

# Chains: longer and shorter layers, zeroes of all kinds, a raw one at the bottom, names from elsewhere.
create base 1M
poke base 'write 0 1M'
create -b base -F qcow2 top 2M
poke top 'write 128k 64k' 'write -z 256k 64k' 'write 1500k 64k' 'write -z 1900k 64k'
same top
same -s 100k -l 1M top
same -l 1 top
same -s 100 -l 600 top
same -s 2097151 top
same -s 2M top
same -s 5M top
same "$PWD/top"
create -b top -F qcow2 third 3M
poke third 'write 64k 4k' 'discard 128k 64k' 'write 2500k 200k' 'write -z 900k 300k'
same third
create -b third -F qcow2 fourth 1500k
same fourth
mkdir sub
create -b "$PWD/base" -F qcow2 sub/absolute
create -b sub/absolute -F qcow2 over
same over
create -b below -F qcow2 -u sub/over 1M
create sub/below 512k
poke sub/below 'write 100k 100k'
same sub/over
cd sub
same ../over
same over
cd ..
# QEMU looks for the names in an image beside the link that leads to it.
ln -s sub/over link
says "0+65536 1 zero; 65536+196608 1 present data @327680; 262144+262144 1 zero; 524288+524288 0 zero" link
truncate -s 100000 raw
dd if=source of=raw bs=1000 count=9 seek=30 conv=notrunc status=none
create -b raw -F raw short 1M
same short
create -b short -F qcow2 -o extended_l2=on over-short 512k
poke over-short 'write 2k 2k' 'write -z 8k 8k' 'write 300k 12k'
same over-short
create snapshots 1M
poke snapshots 'write 0 300k'
qemu-img snapshot -c one snapshots
poke snapshots 'write 100k 100k'
same snapshots
create places 1M
poke places 'write 0 64k' 'write -z 0 64k' 'discard 0 64k' 'write 64k 256k' 'write -zu 64k 64k' 'write -z 128k 64k' 'discard 192k 64k'
same places
create empty 0
same empty
same -f raw places
for size in 0 3 1000000 1048576; do
    rm -f raw
    truncate -s $size raw
    same -f raw raw
    ((size == 0)) || printf x | dd of=raw conv=notrunc status=none
    same -f raw raw
done

# Without a passphrase: qemu-img wants one.
CASE="LUKS"
if has_feature libgcrypt && qemu-img create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 \
    locked 512k 2>/dev/null; then
    opts=driver=qcow2,encrypt.key-secret=s,file.filename=locked
    qemu-io --object secret,id=s,data=abc --image-opts -c 'write 64k 128k' -c 'write -z 128k 64k' "$opts" >/dev/null
    qemu-img map --output=json --object secret,id=s,data=abc --image-opts "$opts" >"$W/out/theirs"
    "$RAWVIEW" map --output=json locked >"$W/out/ours" </dev/null
    diff "$W/out/theirs" "$W/out/ours" >&2 || fail "another map"
    refuses 1 "what is at 65536 (4096 bytes) is compressed or encrypted" -s 64k -l 4k locked
fi

# What QEMU gets wrong.
qemu-img convert -f raw -O vhdx -o subformat=dynamic,block_size=1M source disk.vhdx
says "0+1048576 0 present data @8388608; 1048576+2097152 0 present zero; 3145728+1048576 0 present data @9437184; 4194304+3145728 0 present zero; 7340032+1048576 0 present data @10485760" disk.vhdx

# What is printed is not kept: 1,000,000 stretches take no more memory than 20,000. All L1 entries lead to one table.
CASE="many stretches"
python3 - <<'PYTHON'
import struct
cs, tables = 65536, 16384
header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, tables * 8192 * cs, 0, tables, cs, 6 * cs, 1, 0, 0)
header += struct.pack(">QQQII", 0, 0, 0, 4, 104)
with open("many", "wb") as f:
    f.write(header)
    f.seek(cs)
    f.write(struct.pack(">Q", 3 * cs) * tables)
    f.seek(3 * cs)
    f.write(struct.pack(">QQ", 4 * cs, 0) * 4096)
    f.seek(4 * cs)
    f.write(b"x" * cs)
    f.seek(6 * cs)
    f.write(struct.pack(">Q", 7 * cs))
    f.truncate(9 * cs)
PYTHON
same -s 1T -l 1G many
python3 - "$RAWVIEW" <<'PYTHON' || fail "it grows"
import resource, subprocess, sys
def peak(length):
    with subprocess.Popen([sys.argv[1], "map", "--output=json", "-l", length, "many"], stdout=subprocess.PIPE) as p:
        lines = sum(1 for _ in p.stdout)
    assert p.returncode == 0
    return lines, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
few, before = peak("1250M")
many, after = peak("62500M")
sys.exit(not (few == 20000 and many == 1000000 and after - before < 4096) and f"{few} {before} {many} {after}")
PYTHON

# Recipes of which a map says something of its own.
for name in qcow2-{backing,backing-longer,backing-shorter,backing-size-0,backing-raw-in-disguise,backing-deepest} \
    qcow2-{cluster-bits-9,cluster-bits-21,corrupt,data-file,data-file-extended,data-file-raw,data-file-short,data-past-end} \
    qcow2-{deflate-straddle,extended-14,extended-coded-bitmap,far-away,l1-larger,shared-cluster,short-end,short-l1} \
    qcow2-{snapshots,table-cut,table-past-end,v2-backing,zstd} qcow-{backing-qcow,cluster-bits-16,deflate,ragged,xen-big} \
    qed-{backing-qcow2,last-cluster-cut,ragged,sparse} vdi-{fixed,plain,shared-block,size-unaligned,zero-block} \
    vmdk-{chain,chain-three,chain-zero-grain,flat-offset,flat-two-of-one,sesparse,sparse-grain-1,sparse-tables-missing} \
    vmdk-{sparse-zero-grains,split-flat,split-sparse,stream,vmfs} parallels-{data-off-low,old-off-grid,plain,size-ragged} \
    raw-holes vhd-{dynamic,dynamic-8m,fixed}; do
    recipe=$RECIPES/good-$name.recipe
    rm -rf "$W/images"
    mkdir "$W/images"
    cd "$W/images"
    CASE=$recipe
    python3 -B "$RECIPES/mkimage.py" "$recipe" .
    format=${name%%-*}
    same -f "${format/vhd/vpc}" disk
done

echo "$COUNT questions, all answered as qemu-img does or refused as they should be"
