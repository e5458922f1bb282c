#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every kind of qcow2 that qemu-img can make, except encrypted ones: `rawview mount -d -p p X.qcow2 && cmp X.qcow2 X.raw`,
# ended by `kill -SIGINT $(cat p)`; after that the image is what it was, to the byte and to its mtime.
. "$(dirname "$0")/lib.sh"

MIB=$((1024 * 1024))
SIZE=$((8 * MIB + 512 * 3))
VIEWS=0

# Is the guest disk of $1 what $2 holds? Further arguments are options. $files are what must stay as it is.
shown_over_itself()
{
    local image=$1 raw=$2 file before=() after=()
    shift 2
    for file in "${files[@]}"; do
        before+=("$(fingerprint "$file")")
    done
    if ! (timeout 60 "$RAWVIEW" mount -d -p p "$@" "$image" >out 2>err && cmp "$image" "$raw"); then
        fail "$image: $(cat err)"
    fi
    equal "stdout for $image" "$(cat out)" "$(realpath "$image")"
    # Unaligned pieces too, past the page cache.
    dd if="$image" bs=12288 iflag=direct status=none | cmp - "$raw"
    local pid
    pid=$(cat p)
    kill -SIGINT "$(cat p)"
    wait_until 20 process_is_gone "$pid" || fail "$image: it does not end"
    no_mount_left
    for file in "${files[@]}"; do
        after+=("$(fingerprint "$file")")
    done
    equal "files of $image" "${after[*]}" "${before[*]}"
    VIEWS=$((VIEWS + 1))
}

# Data of all sorts: across clusters, within one, zeroes on data and on nothing, discarded, the last sector.
write_patterns()
{
    qemu-io -f qcow2 -c 'write -P 1 0 100k' -c 'write -P 2 3M 70k' -c 'write -P 3 3100k 512' -c 'write -z 3150k 4k' \
        -c 'write -z 5M 200k' -c 'write -zu 64k 8k' -c 'write -P 4 6M 600k' -c 'discard 6200k 128k' \
        -c "write -P 5 $((SIZE - 512)) 512" "$1" >/dev/null
}

variant()
{
    local name=$1 options=$2
    qemu-img create -q -f qcow2 -o "$options" "$name.qcow2" $SIZE
    write_patterns "$name.qcow2"
    qemu-img convert -f qcow2 -O raw "$name.qcow2" "$name.raw"
    files=("$name.qcow2")
    [[ $options == *data_file=* ]] && files+=("$name.data")
    shown_over_itself "$name.qcow2" "$name.raw"
    rm -f "$name".*
}

step "defaults, version 2, lazy refcounts"
variant defaults compat=1.1
variant version2 compat=0.10
variant lazy lazy_refcounts=on

step "cluster sizes"
for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
    variant cluster-$size cluster_size=$size
done
variant version2-512 compat=0.10,cluster_size=512
variant version2-2M compat=0.10,cluster_size=2M

step "extended L2"
for size in 16k 32k 64k 128k 512k 2M; do
    variant extended-$size extended_l2=on,cluster_size=$size
done

step "refcount widths"
for bits in 1 2 4 8 16 32 64; do
    variant refcount-$bits refcount_bits=$bits
done

step "preallocation"
for how in off metadata falloc full; do
    variant preallocation-$how preallocation=$how
done
variant preallocation-extended preallocation=metadata,extended_l2=on

step "an external data file"
for raw in off on; do
    name=data-$raw
    variant $name data_file=$name.data,data_file_raw=$raw
    variant $name data_file=$name.data,data_file_raw=$raw,cluster_size=4k
done
variant data-extended data_file=data-extended.data,extended_l2=on

step "compressed clusters"
truncate -s 1M source.raw
fill_file noise 300K
cat noise source.raw noise >source2.raw
seq 1 300000 >>source2.raw
truncate -s %512 source2.raw
for type in zlib zstd; do
    for options in cluster_size=64k cluster_size=512 cluster_size=4k cluster_size=2M extended_l2=on; do
        name=compressed-$type-${options#*=}
        qemu-img convert -c -f raw -O qcow2 -o "compression_type=$type,$options" source2.raw "$name.qcow2"
        qemu-io -f qcow2 -c 'write -P 6 1000k 3k' "$name.qcow2" >/dev/null
        qemu-img convert -f qcow2 -O raw "$name.qcow2" "$name.raw"
        files=("$name.qcow2")
        shown_over_itself "$name.qcow2" "$name.raw"
        rm "$name".*
    done
done
qemu-img convert -c -f raw -O qcow2 -o compat=0.10 source2.raw v2.qcow2
qemu-img convert -f qcow2 -O raw v2.qcow2 v2.raw
files=(v2.qcow2)
shown_over_itself v2.qcow2 v2.raw

step "a dirty image: read-only, and left dirty"
qemu-img create -q -f qcow2 -o lazy_refcounts=on dirty.qcow2 $SIZE
{ qemu-io -f qcow2 -c 'write -P 3 0 200k' -c flush -c abort dirty.qcow2 >/dev/null || true; } 2>/dev/null
equal "the dirty bit" "$(qemu-img info -U --output=json dirty.qcow2 | jq '."dirty-flag"')" true
cp dirty.qcow2 cleaned.qcow2
qemu-img check -q -r all cleaned.qcow2 >/dev/null 2>&1
qemu-img convert -f qcow2 -O raw cleaned.qcow2 dirty.raw
files=(dirty.qcow2)
shown_over_itself dirty.qcow2 dirty.raw

step "bitmaps in the image"
qemu-img create -q -f qcow2 bitmap.qcow2 $SIZE
qemu-img bitmap --add -g 4096 bitmap.qcow2 first
write_patterns bitmap.qcow2
qemu-img convert -f qcow2 -O raw bitmap.qcow2 bitmap.raw
files=(bitmap.qcow2)
shown_over_itself bitmap.qcow2 bitmap.raw

step "internal snapshots, by name and by id"
qemu-img create -q -f qcow2 snap.qcow2 $SIZE
write_patterns snap.qcow2
qemu-img snapshot -c first snap.qcow2
qemu-io -f qcow2 -c 'write -P 9 50k 2M' snap.qcow2 >/dev/null
qemu-img snapshot -c 'second one' snap.qcow2
qemu-io -f qcow2 -c 'write -z 0 4M' snap.qcow2 >/dev/null
# A third one of the same name as an id: names come first, as everywhere else.
files=(snap.qcow2)
for snapshot in first 'second one'; do
    qemu-img convert -l "snapshot.name=$snapshot" -f qcow2 -O raw snap.qcow2 snap.raw
    shown_over_itself snap.qcow2 snap.raw "--snapshot=$snapshot"
done
qemu-img convert -l snapshot.id=1 -f qcow2 -O raw snap.qcow2 snap.raw
shown_over_itself snap.qcow2 snap.raw --snapshot=1
qemu-img convert -f qcow2 -O raw snap.qcow2 snap.raw
shown_over_itself snap.qcow2 snap.raw
# One that was taken when the disk was smaller.
qemu-img resize -q snap.qcow2 12M
qemu-img convert -l snapshot.name=first -f qcow2 -O raw snap.qcow2 snap.raw
# qemu-img shows it with the size of today.
truncate -s $SIZE snap.raw
shown_over_itself snap.qcow2 snap.raw --snapshot=first
qemu-img convert -f qcow2 -O raw snap.qcow2 snap.raw
shown_over_itself snap.qcow2 snap.raw

step "backing chains of depth 1 to 4, each layer with something of its own"
qemu-img create -q -f qcow2 layer0.qcow2 $SIZE
write_patterns layer0.qcow2
files=(layer0.qcow2)
for depth in 1 2 3 4; do
    below=layer$((depth - 1)).qcow2
    qemu-img create -q -f qcow2 -b $below -F qcow2 layer$depth.qcow2
    qemu-io -f qcow2 -c "write -P $((16 + depth)) ${depth}M 100k" -c "write -z $((depth * 20))k 4k" layer$depth.qcow2 >/dev/null
    qemu-img convert -f qcow2 -O raw layer$depth.qcow2 layer.raw
    files+=("layer$depth.qcow2")
    shown_over_itself layer$depth.qcow2 layer.raw
done

step "a raw base; bases that are shorter and longer; json: names; a folder in between; extended L2 over a base"
fill_file base.raw 5M
mkdir sub
fill_file sub/long.raw 12M
chain()
{
    local name=$1 base=$2 size=$3
    shift 3
    qemu-img create -q -f qcow2 -b "$base" -F raw "$@" "$name.qcow2" "$size"
    qemu-io -f qcow2 -c 'write -P 9 1000k 3k' -c 'write -z 2M 5k' "$name.qcow2" >/dev/null
    qemu-img convert -f qcow2 -O raw "$name.qcow2" "$name.raw"
    shown_over_itself "$name.qcow2" "$name.raw"
}
files=(base.raw)
chain raw-base base.raw 5M
chain shorter-base base.raw $SIZE
chain extended-over-base base.raw $SIZE -o extended_l2=on
chain small-clusters-over-base base.raw $SIZE -o cluster_size=512
chain json 'json:{"driver":"raw","file":{"driver":"file","filename":"base.raw"}}' $SIZE
files=(sub/long.raw)
chain longer-base sub/long.raw $SIZE
# A base that ends within a cluster and within a sector.
fill_file base.raw 3M
printf 'a tail that is no sector' >>base.raw
files=(base.raw)
chain odd-base base.raw $SIZE
# A middle layer that is shorter than what lies below and above it.
qemu-img create -q -f qcow2 -b sub/long.raw -F raw middle.qcow2 4M
qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2 10M
qemu-img convert -f qcow2 -O raw top.qcow2 top.raw
files=(sub/long.raw middle.qcow2 top.qcow2)
shown_over_itself top.qcow2 top.raw

step "elsewhere: the base has another folder, which --references=any allows"
mkdir away
mv sub/long.raw away/
(cd sub && qemu-img create -q -f qcow2 -b ../away/long.raw -F raw over.qcow2)
qemu-img convert -f qcow2 -O raw sub/over.qcow2 over.raw
files=(away/long.raw sub/over.qcow2)
shown_over_itself sub/over.qcow2 over.raw --references=any
(cd sub && qemu-img create -q -f qcow2 -b "$W/away/long.raw" -F raw absolute.qcow2)
files=(away/long.raw sub/absolute.qcow2)
shown_over_itself sub/absolute.qcow2 over.raw --references=any

echo "$VIEWS views compared"
