#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# qemu-img convert as the writer, onto the view of a qcow2: past the page cache and through it, in order and not, with
# many requests at once; and a second time, onto what is allocated and, with a backing file, onto what is not.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"

MIB=$((1024 * 1024))
SIZE=$((24 * MIB))

step "sources"
fill_file full.raw 24M
# Data in pieces, holes between them.
truncate -s $SIZE holes.raw
for i in $(seq 0 7); do
    dd if=full.raw of=holes.raw bs=4k seek=$((i * 768 + i)) skip=$((i * 768)) count=$((100 + i * 50)) conv=notrunc status=none
done
qemu-img convert -f raw -O qcow2 holes.raw holes.qcow2
qemu-img convert -c -f raw -O qcow2 -o cluster_size=4k holes.raw packed.qcow2
qemu-img create -q -f qcow2 -b holes.qcow2 -F qcow2 over.qcow2
qemu-io -f qcow2 -c 'write -P 5 1M 3M' -c 'write -z 12M 2M' over.qcow2 >/dev/null
qemu-img convert -f qcow2 -O raw over.qcow2 over.raw

# $1 the target, $2 the source and $3 its format, $4 what its disk is; what follows are more options.
converted()
{
    local target=$1 source=$2 format=$3 raw=$4
    shift 4
    up view -f qcow2 -w "$target.qcow2"
    timeout 120 qemu-img convert -n -f "$format" -O raw "$@" "$source" "$target.qcow2" ||
        fail "qemu-img convert $* $source $target.qcow2"
    timeout 60 qemu-img compare -q -f raw -F raw "$raw" "$target.qcow2" || fail "the view is not $raw"
    down view
    clean "$target"
    holds "$target" "$raw"
}

target()
{
    local what=$1 options=$2
    step "onto: $what, ${options:-defaults}"
    image "$what" "$options" target $SIZE
    before=$(kept target)
    converted target full.raw raw full.raw -t none -T none -W -m 16
    converted target holes.qcow2 qcow2 holes.raw -t none -W -m 8
    image "$what" "$options" target $SIZE
    before=$(kept target)
    converted target packed.qcow2 qcow2 holes.raw -t writeback -m 8 -W
    converted target over.qcow2 qcow2 over.raw -t none
    converted target full.raw raw full.raw -t writeback -S 0
    equal "what lies below, and the snapshots" "$(kept target)" "$before"
}

target empty ''
target empty cluster_size=512
target backing ''
target backing extended_l2=on
target snapshot cluster_size=1M
target compressed compression_type=zstd

step "many requests of 4 KiB, 64 at once"
image backing extended_l2=on target $SIZE
before=$(kept target)
up view -f qcow2 -w target.qcow2
for cache in none writeback; do
    timeout 60 qemu-img bench -w -f raw -t $cache -c 10000 -d 64 -s 4096 -S 12288 -o 512 target.qcow2 >/dev/null
    timeout 60 qemu-img bench -f raw -t $cache -c 10000 -d 64 -s 4096 target.qcow2 >/dev/null
done
cp --sparse=never target.qcow2 after.raw
down view
clean target
holds target after.raw
equal "what lies below" "$(kept target)" "$before"
no_mount_left
