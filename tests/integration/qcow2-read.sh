#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every kind of qcow2 that qemu-img can make, read by dump-node and by `qemu-img convert`: the same bytes, and no file
# touched. Needs no root and no FUSE. Ends with 77 without qemu-img.
#
# DUMP_NODE: the program of the build tree.
. "$(dirname "$0")/qcow2-cases.sh"

need python3

# Marks everything that reading must leave alone.
marks()
{
    sha256sum ./*
    stat -c '%n %s %y' ./*
}

# same IMAGE [SNAPSHOT]: the guest disk as qemu-img sees it, read in odd pieces by three threads.
same()
{
    local image=$1 snapshot=${2:-} oracle=() own=()
    if [[ $snapshot ]]; then
        oracle=(-l "$snapshot")
        own=(-s "$snapshot")
    fi
    qemu-img convert -f qcow2 "${oracle[@]}" -O raw "$image" "$W/out/oracle"
    marks >"$W/out/before"
    "$DUMP_NODE" -f qcow2 -j 3 -c 100000 "${own[@]}" "$image" "$W/out/own" || fail "dump-node $*"
    cmp "$W/out/oracle" "$W/out/own" || fail "$*: another content"
    marks >"$W/out/after"
    cmp "$W/out/before" "$W/out/after" || fail "$*: a file was touched"
}

# refused WORDS DUMP-NODE'S ARGUMENTS…
refused()
{
    local expected=$1
    shift
    marks >"$W/out/before"
    if "$DUMP_NODE" "$@" "$W/out/own" 2>"$W/out/err"; then
        fail "$* was not refused"
    fi
    grep -qF -- "$expected" "$W/out/err" || fail "$*: '$(cat "$W/out/err")' does not say '$expected'"
    marks >"$W/out/after"
    cmp "$W/out/before" "$W/out/after" || fail "$*: a file was touched"
}

# patch FILE POS BYTES: BYTES as printf writes them.
patch()
{
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Writes of all sorts in the first 4 MiB, ragged and whole, over each other.
fill()
{
    io "$1" 'write -P 1 0 200k' 'write -P 2 1M 5k' 'write -P 3 1100k 3k' 'write -P 4 1536k 1M' \
        'write -z 1600k 128k' 'write -z 64k 32k' 'write -P 5 100k 1k' 'write -z 3000k 8k' 'write -zu 1700k 64k' \
        'discard 2M 128k' 'write -P 6 2100k 512' 'write -P 7 3584k 512k'
}

# Something of everything that a compressor meets: noise, text, zeroes.
python3 - "$W/out/source" <<'PYTHON'
import random, sys
r = random.Random(7)
with open(sys.argv[1], "wb") as f:
    f.write(r.randbytes(700_000))
    f.write(b"".join(b"%d squared is %d\n" % (i, i * i) for i in range(60000)))
    f.write(bytes(900_000))
    f.write(b"x" * 300_000)
    for i in range(40):
        f.write(r.randbytes(r.randrange(9000)) + bytes([i]) * r.randrange(9000))
    f.truncate(4 * 1024 * 1024 + 3 * 512)
PYTHON

sizes='512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M'

for cluster in $sizes; do
    begin "cluster size $cluster"
    create -o "cluster_size=$cluster" a 4195840
    same a
    fill a
    io a 'write -P 9 4090k 7k'
    same a
done

for bits in 1 2 4 8 16 32 64; do
    begin "refcount bits $bits"
    create -o "refcount_bits=$bits" a 4M
    fill a
    same a
done

for cluster in 512 4k 64k 2M; do
    begin "compat 0.10, cluster size $cluster"
    create -o "compat=0.10,cluster_size=$cluster" a 4M
    fill a
    same a
done

for cluster in 16k 64k 256k 2M; do
    begin "extended L2, cluster size $cluster"
    create -o "extended_l2=on,cluster_size=$cluster" a 6M
    fill a
    io a 'write -P 11 4k 3k' 'write -P 12 5000k 512' 'write -z 5002k 2k' 'discard 5008k 2k' 'write -P 13 5120k 64k' \
        'write -z 5124k 2k' 'discard 5130k 8k' 'write -P 14 6140k 4k'
    same a
    create -o "extended_l2=on,cluster_size=$cluster" -b a -F qcow2 b
    io b 'write -P 21 8k 2k' 'write -z 5122k 6k' 'write -P 22 5126k 512' 'discard 1M 256k' 'write -z 3M 1M'
    same b
done

for method in zlib zstd; do
    for options in cluster_size=4k cluster_size=64k cluster_size=2M extended_l2=on,cluster_size=64k \
        extended_l2=on,cluster_size=16k; do
        begin "compressed: $method, $options"
        qemu-img convert -q -c -f raw -O qcow2 -o "compression_type=$method,$options" "$W/out/source" a
        same a
        # Rewritten in places: compressed and plain clusters beside each other.
        io a 'write -P 1 10k 100k' 'discard 1M 64k' 'write -z 2M 64k' 'write -P 2 4M 512'
        same a
    done
done

begin "compressed: smallest clusters"
qemu-img convert -q -c -f raw -O qcow2 -o cluster_size=512 "$W/out/source" a
same a

begin "compressed: version 2"
qemu-img convert -q -c -f raw -O qcow2 -o compat=0.10 "$W/out/source" a
same a

begin "compressed: single clusters, the last of which reaches past the end of the disk"
create a 4195840
io a 'write -c -P 5 64k 64k' 'write -P 6 128k 64k' 'write -c -P 7 192k 64k' 'write -c -P 8 4M 1536'
same a

begin "compressed: the file ends within the last cluster's sectors"
qemu-img convert -q -c -f raw -O qcow2 "$W/out/source" a
truncate -s $(($(stat -c %s a) - 200)) a
same a

for mode in off metadata falloc full; do
    begin "preallocation $mode"
    create -o "preallocation=$mode" a 4M
    same a
    fill a
    same a
    begin "preallocation $mode, extended L2"
    create -o "preallocation=$mode,extended_l2=on" a 4M
    same a
    fill a
    same a
done

for options in data_file=d data_file=d,data_file_raw=on data_file=d,extended_l2=on data_file=d,preallocation=metadata \
    data_file=d,data_file_raw=on,preallocation=falloc data_file=d,cluster_size=4k; do
    begin "external data file: $options"
    create -o "$options" a 4M
    same a
    fill a
    same a
    truncate -s 1M d
    same a
done

begin "external data file: over a base"
create base 4M
fill base
create -o data_file=d -b base -F qcow2 a
io a 'write -P 31 1200k 100k' 'discard 0 64k' 'write -z 64k 64k'
same a
rm d
refused "data file 'd': " a

begin "lazy refcounts, closed and not closed"
create -o lazy_refcounts=on a 4M
fill a
same a
(qemu-io -f qcow2 -c 'write -P 40 512k 300k' -c flush -c abort a >/dev/null 2>&1 || true) 2>/dev/null
qemu-img info a | grep -q 'cleanly shut down: no'
same a

for options in compat=1.1 compat=0.10 compat=1.1,extended_l2=on compat=1.1,cluster_size=4k; do
    begin "snapshots: $options"
    create -o "$options" a 4M
    io a 'write -P 1 0 1M' 'write -P 2 3M 10k'
    qemu-img snapshot -c first a
    fill a
    qemu-img snapshot -c 1st a
    io a 'write -P 51 0 4M' 'write -z 1M 64k' 'discard 2M 64k'
    # Its name is another one's id.
    qemu-img snapshot -c 2 a
    same a
    for snapshot in first 1st 1 2 3; do
        same a $snapshot
    done
    refused "there is no snapshot 'fourth'; the image has 3: 1 (first), 2 (1st), 3 (2)" -s fourth a
    qemu-img snapshot -d 1st a
    same a first
    qemu-img snapshot -a first a
    same a
    refused "there is no snapshot '1st'" -s 1st a
done

begin "snapshots: of disks of other sizes"
create a 4M
fill a
qemu-img snapshot -c small a
qemu-img resize -q a 9M
io a 'write -P 61 8M 1M'
qemu-img snapshot -c large a
qemu-img resize -q --shrink a 2M
same a
# `qemu-img convert -l` shows every snapshot in the size of the disk of today, so a copy is set back to it.
for snapshot in small large; do
    cp a back
    qemu-img snapshot -a $snapshot back
    qemu-img convert -f qcow2 -O raw back "$W/out/oracle"
    "$DUMP_NODE" -f qcow2 -s $snapshot a "$W/out/own"
    cmp "$W/out/oracle" "$W/out/own" || fail "snapshot $snapshot: another content"
done

begin "snapshots: compressed clusters"
qemu-img convert -q -c -f raw -O qcow2 "$W/out/source" a
qemu-img snapshot -c one a
io a 'write -P 9 0 1M'
same a
same a one

begin "snapshots: over a base"
create base 4M
fill base
create -b base -F qcow2 a
io a 'write -P 1 300k 10k'
qemu-img snapshot -c one a
io a 'write -P 2 0 4M'
same a
same a one

for base_size in 1M 2500000 4M 9M; do
    begin "chain: base of $base_size"
    create base "$base_size"
    io base 'write -P 1 0 900k' 'write -P 2 900k 100k'
    create -b base -F qcow2 a 4M
    same a
    io a 'write -P 3 100k 1k' 'write -z 200k 64k' 'discard 384k 128k' 'write -P 4 3M 64k'
    same a
    begin "chain: raw base of $base_size"
    truncate -s "$base_size" base
    dd if="$W/out/source" of=base bs=1k count=900 conv=notrunc status=none
    create -b base -F raw a 4M
    same a
    io a 'write -P 3 100k 1k' 'write -z 200k 64k' 'discard 384k 128k' 'write -P 4 3M 64k'
    same a
done

begin "chain: a raw base that is no whole number of sectors"
head -c 1000001 "$W/out/source" >base
create -b base -F raw a 4M
io a 'write -P 3 999936 64'
same a

begin "chain: an unaligned end between the layers"
create base 1000448
io base 'write -P 1 0 1000448'
create -b base -F qcow2 middle 3M
create -o extended_l2=on -b middle -F qcow2 a 3M
io a 'write -P 2 1000448 512' 'write -P 3 999424 512'
same a

begin "chain: three levels of different kinds"
qemu-img convert -q -c -f raw -O qcow2 -o compression_type=zstd,cluster_size=4k "$W/out/source" base
create -o compat=0.10,cluster_size=1k -b base -F qcow2 middle 3M
io middle 'write -P 1 500k 100k' 'write -P 2 0 100'
create -o extended_l2=on -b middle -F qcow2 a 5M
io a 'write -P 3 510k 5k' 'discard 0 2k' 'write -z 2M 9k' 'write -P 4 4M 1k'
same a
same middle
same base

begin "chain: json: name, file: name, absolute name, folder of its own"
mkdir sub
create sub/base 4M
fill sub/base
(cd sub && create -b base -F qcow2 middle)
create -b sub/middle -F qcow2 plain
create -b "$PWD/sub/middle" -F qcow2 absolute
create -b 'json:{"driver":"qcow2","file":{"driver":"file","filename":"sub/middle"}}' -F qcow2 json
create -b "file:$PWD/sub/middle" -F qcow2 file
mv sub/base sub/middle .
(cd "$W/images" && mkdir keep && mv plain absolute json file keep)
mv base middle sub
mv keep/* .
rmdir keep
marks() { find . -type f -exec sha256sum {} + -exec stat -c '%n %s %y' {} +; }
for image in plain absolute json file; do
    io $image 'write -P 1 100k 10k'
    same $image
done

begin "chain: without a stated format"
create base 4M
create -u -b base -F qcow2 a 4M
python3 - a <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    head = f.read(4096)
    f.seek(head.index(bytes.fromhex("e2792aca")))
    f.write(b"\0\0\0\1")
PYTHON
refused "backing file 'base': " a

begin "amended, resized, rebased"
create -o compat=0.10 a 4M
fill a
qemu-img amend -q -f qcow2 -o compat=1.1 a
same a
qemu-img amend -q -f qcow2 -o lazy_refcounts=on a
same a
qemu-img amend -q -f qcow2 -o refcount_bits=64 a
same a
qemu-img resize -q a 20M
io a 'write -P 1 19M 1M'
same a
qemu-img resize -q --shrink a 3M
same a
qemu-img amend -q -f qcow2 -o lazy_refcounts=off,refcount_bits=16,compat=0.10 a
same a
create base 4M
io base 'write -P 77 2M 1M'
qemu-img rebase -q -b base -F qcow2 a
same a
qemu-img commit -q a
same base

begin "bitmaps, valid and stale"
create a 4M
qemu-img bitmap --add a one
qemu-img bitmap --add --disable -g 4096 a two
fill a
same a
patch a 95 '\0'
same a 2>/dev/null

begin "corrupt bit"
create a 4M
fill a
patch a 79 '\2'
same a

begin "a size that is no multiple of 512"
create a 4M
fill a
patch a 24 '\0\0\0\0\0\77\377\1'
# QEMU leaves the last, begun sector out; here no byte is lost: it is shown as a whole one.
qemu-img convert -f qcow2 -O raw a "$W/out/oracle"
"$DUMP_NODE" -f qcow2 a "$W/out/own"
[[ $(stat -c %s "$W/out/oracle" "$W/out/own" | xargs) == '4193792 4194304' ]] || fail "the sizes are others"
cmp -n 4193792 "$W/out/oracle" "$W/out/own"

begin "a disk of no bytes, and of one sector"
create a 0
same a
create b 512
io b 'write -P 3 0 512'
same b

begin "header_length 104"
create -o cluster_size=4k a 4M
fill a
python3 - a <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as f:
    head = bytearray(f.read(4096))
    head[100:104] = (104).to_bytes(4, "big")
    del head[104:112]
    f.seek(0)
    f.write(head)
PYTHON
same a

begin "cut off within the data"
create a 4M
io a 'write -P 1 0 4M'
truncate -s 3000000 a
same a

begin "what is refused"
create a 4M
# On a busy machine qemu-img may fail to time the key derivation, short or long.
for time in 10 100 1000 10 100 1000 10 100 2000 2000; do
    create --object secret,id=s,data=abc123 -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=$time l 4M \
        2>/dev/null && break
done
refused "wrong passphrase" l
refused "there is no snapshot 'x': the image has none" -s x a
cp a unknown
patch unknown 79 '\200'
refused "uses the feature of incompatible bit 7, which rawview does not know" unknown

echo "$COUNT cases: the same bytes as qemu-img, no file touched"
