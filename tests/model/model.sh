#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# model.sh GROUP: images of many kinds, made by qemu-img, changed at random by random-ops, which knows what they should
# hold; then qemu-img has to find no damage, no leak, and the same bytes. Needs no root and no FUSE. 77 without qemu-img.
#
# RANDOM_OPS, RUN_OPS: the programs of the build tree. MODEL_OPERATIONS, MODEL_SEEDS: more than the usual few.
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/../integration/qcow2-cases.sh"

OPERATIONS=${MODEL_OPERATIONS:-500}
SEEDS=${MODEL_SEEDS:-1 2}

need python3 jq

# Writes of all sorts in the first 2 MiB, ragged and whole, over each other.
fill()
{
    io "$1" 'write -P 1 0 200k' 'write -P 2 512k 5k' 'write -P 3 550k 3k' 'write -P 4 768k 512k' \
        'write -z 800k 64k' 'write -z 64k 32k' 'write -P 5 100k 1k' 'write -z 1500k 8k' 'write -zu 850k 64k' \
        'discard 1M 128k' 'write -P 6 1050k 512' 'write -P 7 1792k 256k'
}

# ops IMAGE REQUEST…
ops()
{
    "$RUN_OPS" -f "$KIND" "$@" || fail "run-ops $*"
}

# sound IMAGE: no damage, no leak, as far as qemu-img can tell: 63, it has no check for the format.
sound()
{
    qemu-img check -f "$KIND" "$1" >"$W/out/check" 2>&1 || (($? == 63)) || fail "$1 is not sound: $(tail -n 30 "$W/out/check")"
}

# is_model IMAGE: the bytes that random-ops left in `model`.
is_model()
{
    qemu-img compare -q -f raw -F "$KIND" "$W/out/model" "$1" || fail "$1 does not hold what it should"
}

# trial IMAGE OPTION…: random requests, then sound and the same bytes; a few times on the same image.
trial()
{
    local image=$1 seed cache
    shift
    qemu-img convert -f "$KIND" -O raw "$image" "$W/out/before"
    for seed in $SEEDS; do
        cache=()
        ((seed % 2)) || cache=(-c 0)
        "$RANDOM_OPS" -f "$KIND" -m "$W/out/before" -o "$W/out/model" -s "$seed" -n "$OPERATIONS" "${cache[@]}" "$@" \
            "$image" || fail "random-ops -s $seed $*"
        sound "$image"
        is_model "$image"
        mv "$W/out/model" "$W/out/before"
    done
    cp --sparse=always "$W/out/before" "$W/out/model"
}

# kind OPTIONS SIZE TRIAL-OPTIONS…: an image of this kind, empty and with contents by qemu.
kind()
{
    local options=$1 size=$2
    shift 2
    begin "$options, empty"
    create -o "$options" a "$size"
    trial a "$@"
    begin "$options, filled"
    create -o "$options" a "$size"
    fill a
    trial a "$@"
}

# The harness itself, and the simplest of all images.
group_raw()
{
    local threads seed
    for threads in 1 8; do
        begin "raw, $threads threads"
        truncate -s 20M a
        cp --sparse=always a "$W/out/before"
        for seed in $SEEDS; do
            "$RANDOM_OPS" -f raw -m "$W/out/before" -o "$W/out/model" -s "$seed" -n "$OPERATIONS" -j "$threads" \
                -u 65536 -t 1048576 -d -r a || fail "random-ops -s $seed"
            cmp a "$W/out/model" || fail "the file is not the disk"
            mv "$W/out/model" "$W/out/before"
        done
    done
}

group_versions()
{
    kind compat=0.10 20M -d -r -u 65536
    kind compat=1.1 20M -d -r -u 65536
    kind compat=0.10,cluster_size=4k 8M -d -r -u 4096 -t 2097152
    kind compat=1.1,cluster_size=4k 8M -d -r -u 4096 -t 2097152
}

group_clusters()
{
    kind cluster_size=512 3M -d -r -u 512 -t 32768
    kind cluster_size=1k 3M -d -r -u 1024 -t 131072
    kind cluster_size=64k 20M -d -r -u 65536
    kind cluster_size=64k 1100M -d -u 65536 -t $((512 << 20))
    kind cluster_size=2M 30M -d -r -u $((2 << 20))
}

group_refcounts()
{
    local bits
    for bits in 1 2 4 8 16 32 64; do
        kind "refcount_bits=$bits,cluster_size=4k" 8M -d -r -u 4096 -t 2097152
    done
    kind refcount_bits=1 20M -d -r -u 65536
    kind refcount_bits=64 20M -d -r -u 65536
}

group_extended()
{
    kind extended_l2=on,cluster_size=16k 40M -d -r -u 512 -t $((16 << 20))
    kind extended_l2=on,cluster_size=16k 40M -d -r -u 16384 -t $((16 << 20))
    kind extended_l2=on,cluster_size=64k 20M -d -r -u 65536
    kind extended_l2=on,cluster_size=2M 30M -d -r -u 65536
    kind extended_l2=on,refcount_bits=1 20M -d -r -u 2048
}

group_space()
{
    local preallocation
    for preallocation in metadata falloc full; do
        kind "preallocation=$preallocation" 8M -d -r -u 65536
        kind "preallocation=$preallocation,cluster_size=4k" 4M -d -r -u 4096 -t 2097152
    done
    kind preallocation=metadata,extended_l2=on 8M -d -r -u 2048
    kind lazy_refcounts=on 20M -d -r -u 65536
    kind lazy_refcounts=on,cluster_size=4k,refcount_bits=8 8M -d -r -u 4096 -t 2097152

    begin "dirty, as a crash of qemu leaves it"
    create -o lazy_refcounts=on a 20M
    (qemu-io -f qcow2 -c 'write -P 9 0 300k' -c flush -c 'write -P 8 1M 100k' -c abort a || true) >/dev/null 2>&1
    trial a -d -r -u 65536
}

group_zero()
{
    local options
    for options in compat=1.1 extended_l2=on cluster_size=4k preallocation=metadata; do
        begin "zero clusters, $options"
        create -o "$options" a 8M
        io a 'write -P 1 0 1M' 'write -z 0 512k' 'write -zu 512k 128k' 'write -z 2M 1M' 'write -P 2 4M 64k' \
            'write -z 4M 64k' 'write -z 4M 4k'
        trial a -u 65536 -d
        begin "zero clusters shared with a snapshot, $options"
        create -o "$options" a 8M
        io a 'write -P 1 0 1M' 'write -z 0 512k' 'write -z 2M 1M'
        qemu-img snapshot -c s a
        trial a -u 65536 -d
        [ "$(qemu-img info a | grep -c '^Snapshot list')" = 1 ] || fail "the snapshot is gone"
    done
}

group_data_file()
{
    local options raw
    for options in compat=1.1 extended_l2=on cluster_size=4k preallocation=metadata lazy_refcounts=on; do
        begin "data file, $options"
        create -o "$options,data_file=d.raw" a 8M
        trial a -d -r -u 65536
        begin "data file with contents, $options"
        create -o "$options,data_file=d.raw" a 8M
        fill a
        trial a -d -r -u 65536
        # A preallocated image of this kind is refused by qemu-img, and every one of them is preallocated.
        [[ $options == preallocation* ]] && continue
        for raw in -u65536 '-u65536 -d' '-u65536 -d -r'; do
            begin "raw data file, $options, $raw"
            create -o "$options,data_file=d.raw,data_file_raw=on" a 8M
            fill a
            # shellcheck disable=SC2086
            trial a $raw
            cmp d.raw "$W/out/model" || fail "the data file is not the disk"
            qemu-img info a | grep -q 'data file raw: true' || fail "no longer said to be raw"
        done
    done
}

group_backing()
{
    local overlay size length
    for overlay in compat=1.1 compat=0.10 extended_l2=on cluster_size=4k; do
        for length in 5M 20M; do
            for size in 12M 12582400; do
                begin "over raw of $length, $overlay, $size"
                qemu-img create -q -f raw base "$length"
                qemu-io -f raw -c 'write -P 0x55 0 5M' base >/dev/null
                create -o "$overlay" -b base -F raw a "$size"
                trial a -d -r -u 65536
                begin "over qcow2 of $length, $overlay, $size"
                create base "$length"
                fill base
                io base 'write -P 0x56 3M 1900k'
                create -o "$overlay" -b base -F qcow2 a "$size"
                sha256sum base >"$W/out/base"
                io a 'write -P 1 0 100k' 'write -P 2 4M 5k'
                trial a -d -r -u 65536
                sha256sum -c --quiet "$W/out/base" || fail "the backing file has changed"
            done
        done
    done
    begin "chain of three"
    create base 3M
    fill base
    create -b base -F qcow2 -o cluster_size=4k middle 9M
    io middle 'write -P 9 1M 100k' 'write -z 1500k 100k' 'write -P 8 5M 1M'
    create -b middle -F qcow2 -o extended_l2=on a 20M
    trial a -d -r -u 2048
}

# snapshot_contents IMAGE NAME FILE: what the disk holds once it goes back to the snapshot. (`convert -l` would cut it to
# the size that the disk has now.)
snapshot_contents()
{
    cp --sparse=always "$1" "$W/out/copy"
    qemu-img snapshot -a "$2" "$W/out/copy"
    sound "$W/out/copy"
    qemu-img convert -f qcow2 -O raw "$W/out/copy" "$3"
    rm "$W/out/copy"
}

# snapshot_trial IMAGE OPTION…: the snapshots hold afterwards what they held before.
snapshot_trial()
{
    local image=$1 name
    shift
    for name in one two; do
        snapshot_contents "$image" "$name" "$W/out/$name"
    done
    trial "$image" "$@"
    for name in one two; do
        snapshot_contents "$image" "$name" "$W/out/again"
        cmp "$W/out/$name" "$W/out/again" || fail "snapshot $name has changed"
    done
}

group_snapshots()
{
    local options
    for options in compat=1.1 compat=0.10 cluster_size=4k cluster_size=512 extended_l2=on \
        extended_l2=on,cluster_size=16k refcount_bits=4,cluster_size=4k refcount_bits=64 lazy_refcounts=on \
        preallocation=metadata; do
        begin "snapshots, $options"
        create -o "$options" a 4M
        fill a
        qemu-img snapshot -c one a
        io a 'write -P 9 0 64k' 'write -P 10 900k 300k'
        qemu-img snapshot -c two a
        io a 'write -P 11 32k 64k' 'discard 1M 64k'
        if [[ $options == compat=0.10 ]]; then
            snapshot_trial a -d -u 65536
        elif [[ $options == cluster_size=512 ]]; then
            snapshot_trial a -d -r -u 512 -t 32768
        else
            snapshot_trial a -d -r -u 4096
        fi
        # What is deleted afterwards leaves nothing behind.
        qemu-img snapshot -d one a
        qemu-img snapshot -d two a
        sound a
        is_model a
        trial a -d -u 65536
    done
}

group_compressed()
{
    local options
    for options in compression_type=zlib compression_type=zstd compression_type=zstd,extended_l2=on \
        extended_l2=on,cluster_size=16k compat=0.10 cluster_size=4k cluster_size=2M refcount_bits=16,cluster_size=512; do
        begin "compressed, $options"
        python3 "$HERE/mixture.py" "$W/out/source" 8
        qemu-img convert -c -O qcow2 -o "$options" "$W/out/source" a
        trial a -d -r -u 65536
        begin "compressed, small requests, $options"
        qemu-img convert -c -O qcow2 -o "$options" "$W/out/source" a
        trial a -d -u 512 -t 65536
        begin "compressed, with snapshots, $options"
        qemu-img convert -c -O qcow2 -o "$options" "$W/out/source" a
        qemu-img snapshot -c one a
        io a 'write -P 9 0 64k'
        qemu-img snapshot -c two a
        snapshot_trial a -d -u 65536
    done
}

bitmap_names()
{
    qemu-img info --output=json "$1" | jq -r '."format-specific".data.bitmaps[]?.name'
}

# bitmap_flags IMAGE NAME: the words that qemu-img info has for them.
bitmap_flags()
{
    qemu-img info --output=json "$1" |
        jq -r --arg name "$2" '."format-specific".data.bitmaps[]? | select(.name == $name) | .flags | sort | join(" ")'
}

# bitmaps_are_right IMAGE: after a write.
bitmaps_are_right()
{
    python3 "$HERE/bitmaps.py" "$1" off1 off2 >"$W/out/bitmaps.after"
    cmp "$W/out/bitmaps.before" "$W/out/bitmaps.after" || fail "a disabled bitmap has changed"
    [ "$(bitmap_flags "$1" on)" = "auto in-use" ] || fail "the enabled bitmap: '$(bitmap_flags "$1" on)'"
    [ "$(bitmap_flags "$1" off1)" = "" ] || fail "a disabled bitmap: '$(bitmap_flags "$1" off1)'"
}

# resized_bitmaps IMAGE: bitmaps that are there have the size of the disk, which opening them checks; those that were
# dropped leave their clusters behind.
resized_bitmaps()
{
    if [[ $(bitmap_names "$1") ]]; then
        sound "$1"
        cp "$1" copy
        qemu-img bitmap --enable copy off1
        io copy 'write -P 1 1M 4k'
        sound copy
    else
        qemu-img check -q -f qcow2 "$1" >/dev/null 2>&1 || (($? == 3)) || fail "$1 is damaged"
    fi
}

group_bitmaps()
{
    local options
    for options in compat=1.1 cluster_size=4k extended_l2=on refcount_bits=64,cluster_size=512; do
        begin "bitmaps, $options"
        create -o "$options" a 4M
        qemu-img bitmap --add -g 4096 a off1
        qemu-img bitmap --add -g 64k a off2
        fill a
        qemu-img bitmap --disable a off1
        qemu-img bitmap --disable a off2
        qemu-img bitmap --add -g 32k a on
        io a 'write -P 1 1M 100k'
        python3 "$HERE/bitmaps.py" a off1 off2 >"$W/out/bitmaps.before"
        sha256sum a >"$W/out/sum"
        ops a 'read 1M 100k 1' flush
        sha256sum -c --quiet "$W/out/sum" || fail "changed without a write"
        trial a -d -u 65536
        bitmaps_are_right a
        qemu-img bitmap --remove a on
        sound a
        python3 "$HERE/bitmaps.py" a off1 off2 | cmp - "$W/out/bitmaps.before" || fail "changed by a removal"

        # Of another size they may fit or not: what is still said to hold is right.
        begin "bitmaps and a new size, $options"
        create -o "$options" a 4M
        qemu-img bitmap --add -g 4096 a off1
        qemu-img bitmap --add -g 64k a off2
        fill a
        qemu-img bitmap --disable a off1
        qemu-img bitmap --disable a off2
        ops a 'resize 40M' 'write 30M 1M 9'
        resized_bitmaps a
        ops a 'resize 2M'
        resized_bitmaps a

        begin "disabled bitmaps only, $options"
        create -o "$options" a 4M
        qemu-img bitmap --add -g 4096 a off1
        qemu-img bitmap --add -g 64k a off2
        fill a
        qemu-img bitmap --disable a off1
        qemu-img bitmap --disable a off2
        python3 "$HERE/bitmaps.py" a off1 off2 >"$W/out/bitmaps.before"
        trial a -d -u 65536
        python3 "$HERE/bitmaps.py" a off1 off2 | cmp - "$W/out/bitmaps.before" || fail "a disabled bitmap has changed"
    done
}

# What a first write does to the header, and what nothing does.
group_header()
{
    local options
    for options in compat=1.1 cluster_size=4k extended_l2=on compat=0.10; do
        begin "mounted and never written, $options"
        create -o "$options" a 4M
        fill a
        python3 "$HERE/header.py" strange a
        cp a kept
        ops a 'read 0 64k 1' flush 'read 64k 32k 0' flush
        cmp a kept || fail "changed without a write"
        begin "what nobody knows is kept, $options"
        create -o "$options" a 4M
        fill a
        python3 "$HERE/header.py" strange a
        python3 "$HERE/header.py" show a >"$W/out/header.before"
        trial a -d -u 65536
        python3 "$HERE/header.py" show a >"$W/out/header.after"
        cmp "$W/out/header.before" "$W/out/header.after" || fail "what nobody knows has changed"
        python3 "$HERE/header.py" cleared a || fail "an autoclear bit that nobody knows is still set"
    done
}

group_sizes()
{
    local size options
    for size in 512 1536 4096 65024 66048 1000448 4194816 8387072; do
        for options in compat=1.1 cluster_size=512 cluster_size=2M extended_l2=on; do
            begin "$size bytes, $options"
            create -o "$options" a "$size"
            trial a -d -u 512 -t 65536
            trial a -d -r -u 4096 -t 65536
        done
    done
}

# Sizes that no qemu-img writes into a header. The disk is whole sectors then; qemu-img cuts the last one off.
group_ragged()
{
    local size whole
    for size in 1 511 65537 1000003 4194305; do
        begin "a header of $size bytes"
        whole=$(((size + 511) / 512 * 512))
        create a "$whole"
        io a "write -P 7 0 $whole"
        python3 -c 'import struct, sys
with open("a", "r+b") as f:
    f.seek(24)
    f.write(struct.pack(">Q", int(sys.argv[1])))' "$size"
        ops a "read 0 $whole 7"
        "$RANDOM_OPS" -f qcow2 -o "$W/out/model" -n "$OPERATIONS" -d -u 512 -t 65536 a || fail "random-ops"
        sound a
        qemu-img convert -f qcow2 -O raw a "$W/out/after"
        cmp -n $((size / 512 * 512)) "$W/out/model" "$W/out/after" || fail "another content"
        # A new size is whole sectors for everybody.
        ops a 'resize 2M' "write 1M 1M 8"
        [ "$(qemu-img info --output=json a | jq '."virtual-size"')" = 2097152 ] || fail "$(qemu-img info a)"
        trial a -d -r -u 512 -t 65536
    done
}

# Past the borders of all tables: with clusters of 512 bytes and refcounts of 64 bits, a block describes 32 KiB, a
# cluster of the refcount table and one of the L1 table 2 MiB each.
group_growth()
{
    local bits
    for bits in 1 16 64; do
        begin "one long write, refcounts of $bits bits"
        create -o "cluster_size=512,refcount_bits=$bits" a 64M
        ops a 'write 0 20M 7' flush 'write 30M 1M 8' 'read 0 20M 7' 'read 20M 10M 0' 'read 30M 1M 8'
        sound a
        ops -r a 'read 0 20M 7' 'read 20M 10M 0' 'read 30M 1M 8' 'read 31M 33M 0'

        begin "resized past each border, refcounts of $bits bits"
        create -o "cluster_size=512,refcount_bits=$bits" a 64k
        ops a 'write 0 64k 1' 'resize 2M' 'write 1M 64k 2' 'resize 2097664' 'write 2M 512 3' flush 'resize 20M' \
            'write 19M 1M 4' flush 'resize 3M' 'write 2900k 100k 5' 'resize 40M' 'write 39M 1M 6'
        sound a
        ops -r a 'read 0 64k 1' 'read 1M 64k 2' 'read 2M 512 3' 'read 2097664 500k 0' 'read 2900k 100k 5' \
            'read 3M 36M 0' 'read 39M 1M 6'

        begin "random past all borders, refcounts of $bits bits"
        create -o "cluster_size=512,refcount_bits=$bits" a 24M
        trial a -d -r -u 65536 -t 2097152
    done
    begin "sizes that only sparse images have"
    create -o cluster_size=2M a 100T
    ops a 'write 50T 1M 1'
    create -o cluster_size=64k a 1T
    ops a 'write 0 64k 1' 'write 549755813888 64k 2' 'resize 2199023255552' 'write 2199023190016 64k 3' flush \
        'discard 0 2199023190016' 'read 0 64k 0' 'read 2199023190016 64k 3'
    sound a
}

# Eight threads at once, over everything.
group_threads()
{
    local options
    for options in compat=1.1 compat=0.10 cluster_size=512 cluster_size=4k,refcount_bits=1 cluster_size=2M \
        extended_l2=on extended_l2=on,cluster_size=16k lazy_refcounts=on preallocation=metadata data_file=d.raw \
        data_file=d.raw,data_file_raw=on; do
        begin "threads, $options"
        create -o "$options" a 100M
        fill a
        trial a -j 8 -d -r -n $((OPERATIONS / 2))
        begin "threads, small clusters together, $options"
        create -o "$options" a 4M
        fill a
        trial a -j 8 -d -r -u 4096
    done
    for options in compat=1.1 extended_l2=on cluster_size=4k; do
        begin "threads, compressed with snapshots, $options"
        python3 "$HERE/mixture.py" "$W/out/source" 8
        qemu-img convert -c -O qcow2 -o "$options" "$W/out/source" a
        qemu-img snapshot -c one a
        io a 'write -P 9 0 64k'
        qemu-img snapshot -c two a
        snapshot_trial a -j 8 -d -r -u 4096
        begin "threads, over a backing file, $options"
        create base 6M
        fill base
        create -o "$options" -b base -F qcow2 a 8M
        trial a -j 8 -d -r -u 4096
    done
}

# Groups of other formats than qcow2, which set KIND, are files of their own.
for file in "$HERE"/*.sh; do
    # shellcheck source=/dev/null
    [[ $file == */model.sh ]] || . "$file"
done

[[ $# == 1 && $(type -t "group_$1") == function ]] || fail "usage: model.sh GROUP"
"group_$1"
echo "$COUNT cases: sound, and the same bytes as the model"
