#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawview info and qemu-img info: equal JSON and the same lines, for what qemu-img makes and for the good recipes.
# Needs no root and no FUSE. Ends with 77 without qemu-img.
#
# Known differences, each left out below by name:
#   * a size that is no multiple of 512 is rounded up by us and down by QEMU (raw: both up);
#   * "file:" and "json:" names begin in the folder of the image for us, in the current one for QEMU;
#   * a size of 0 with an unaligned L1 offset is refused by QEMU;
#   * stale bitmaps: QEMU also prints a warning.
#
# RAWVIEW: the program of the build tree. RECIPES: the folder with mkimage.py.
. "$(dirname "$0")/cases.sh"
. "$(dirname "$0")/features.sh"
export TZ=UTC

COUNT=0

need qemu-img qemu-io python3

# In memory: elsewhere a file gets its blocks when it is written back, and "disk size" changes between two looks.
work_in /dev/shm
mkdir "$W/images" "$W/out"
cd "$W/images"

same_json()
{
    python3 - "$W/out/theirs" "$W/out/ours" <<'PYTHON'
import json, sys
theirs, ours = (json.load(open(name)) for name in sys.argv[1:])
if theirs != ours:
    sys.exit(f"qemu-img: {json.dumps(theirs, sort_keys=True)}\nrawview:  {json.dumps(ours, sort_keys=True)}")
PYTHON
}

same_lines()
{
    CASE="info $*"
    COUNT=$((COUNT + 1))
    qemu-img info "$@" >"$W/out/theirs" 2>"$W/out/errors" || fail "qemu-img: $(cat "$W/out/errors")"
    "$RAWVIEW" info "$@" >"$W/out/ours" || fail "rawview failed"
    diff "$W/out/theirs" "$W/out/ours" >&2 || fail "other lines"
}

# same ARGUMENTS…: both programs print the same, in both forms.
same()
{
    same_lines "$@"
    qemu-img info --output=json "$@" >"$W/out/theirs" 2>"$W/out/errors"
    "$RAWVIEW" info --output=json "$@" >"$W/out/ours"
    same_json >&2 || fail "other JSON"
}

# refuses STATUS WORDS ARGUMENTS…: one line with these words, nothing on stdout.
refuses()
{
    local status=$1 words=$2 got=0
    shift 2
    CASE="info $*"
    COUNT=$((COUNT + 1))
    "$RAWVIEW" info "$@" >"$W/out/ours" 2>"$W/out/errors" || got=$?
    [[ $got == "$status" ]] || fail "status $got instead of $status"
    [[ ! -s $W/out/ours ]] || fail "something on stdout"
    [[ $(head -n 1 "$W/out/errors") == "rawview: "*"$words"* ]] || fail "'$words' is missing: $(cat "$W/out/errors")"
    [[ $status != 1 || $(wc -l <"$W/out/errors") == 1 ]] || fail "more than one line: $(cat "$W/out/errors")"
}

create()
{
    qemu-img create -q -f qcow2 "$@"
}

# What qemu-img makes.
create plain.qcow2 10M
create -o compat=0.10 old.qcow2 10M
create -o cluster_size=512 small.qcow2 3M
create -o cluster_size=2M,extended_l2=on,refcount_bits=1 wide.qcow2 1000G
create -o compression_type=zstd,lazy_refcounts=on,refcount_bits=64 zstd.qcow2 1M
create -o data_file=data.raw data.qcow2 1M
create -o data_file=raw.raw,data_file_raw=on raw-data.qcow2 1M
create -o preallocation=falloc,cluster_size=4k allocated.qcow2 999K
qemu-img create -q -f raw sector.raw 1M
truncate -s 1000000 odd.raw
: >empty.raw
truncate -s 7T huge.raw
create bitmaps.qcow2 10M
qemu-img bitmap --add -g 4096 bitmaps.qcow2 b0
qemu-img bitmap --add --disable bitmaps.qcow2 b1
for image in *.qcow2; do
    same "$image"
    same "$PWD/$image"
    same --backing-chain "./$image"
    same -f qcow2 -U "$image"
    same -f raw "$image"
done
for image in *.raw; do
    same "$image"
    same -f raw "$image"
done

# Each other format as qemu-img convert makes it.
mkdir other
cd other
head -c 4M /dev/zero | tr '\0' 'x' >source
same_listed()
{
    [[ $MAKER == qemu-img ]] || return 0
    # To QEMU it is vpc.
    same -f "${WHAT%% *}" "$IMAGE"
    same -f "${WHAT%% *}" -U --backing-chain "$PWD/$IMAGE"
}
each_listed same_listed
cd ..
rm -r other

# A dirty one.
create -o lazy_refcounts=on dirty.qcow2 1M
(qemu-io -f qcow2 -c 'write 0 64k' -c flush -c abort dirty.qcow2 || true) >/dev/null 2>&1
grep -q 'cleanly shut down: no' <(qemu-img info -U dirty.qcow2) || fail "the image is not dirty"
same -U dirty.qcow2

# Snapshots, old and long, of sizes that need every unit.
create snapshots.qcow2 1M
for name in one two 'a name that is longer than its column' 'ümläut'; do
    qemu-img snapshot -c "$name" snapshots.qcow2
done
same snapshots.qcow2

# Chains: names from here, from elsewhere, in folders, and through a link.
mkdir sub
create -b plain.qcow2 -F qcow2 middle.qcow2 20M
create -b middle.qcow2 -F qcow2 top.qcow2
create -b ../plain.qcow2 -F qcow2 sub/up.qcow2 2>/dev/null
create -b "$PWD/sector.raw" -F raw absolute.qcow2
create -b sector.raw -F raw sub.qcow2
for image in middle.qcow2 top.qcow2 absolute.qcow2 sub.qcow2; do
    same "$image"
    same "$PWD/$image"
    same --backing-chain "$image"
    same --backing-chain "$PWD/$image"
done
same sub/up.qcow2
cd sub
same ../top.qcow2
same --backing-chain ../top.qcow2
cd ..

# A folder that is known by two names, and an absolute name that begins with the second one.
ln -s "$PWD" "$W/alias"
create -b "$W/alias/sector.raw" -F raw alias.qcow2
CASE="the folder's other name"
"$RAWVIEW" info --backing-chain "$W/alias/alias.qcow2" >"$W/out/ours" || fail "not opened"
[[ $(grep -c '^image: ' "$W/out/ours") == 2 ]] || fail "not two layers"

# What no layer may do unasked.
refuses 1 "up.qcow2: backing file '../plain.qcow2'" --backing-chain sub/up.qcow2
refuses 1 "References=" --references=none --backing-chain top.qcow2
"$RAWVIEW" info --references=any --backing-chain sub/up.qcow2 >"$W/out/ours"
[[ $(grep -c '^image: ' "$W/out/ours") == 2 ]] || fail "--references=any shows other than two layers"
mkdir gone
create -b nowhere.qcow2 -F qcow2 -u gone/top.qcow2 1M
same gone/top.qcow2
refuses 1 "top.qcow2: backing file 'nowhere.qcow2'" --backing-chain gone/top.qcow2

# Wrong use, and files that are no images.
refuses 2 "which image"
refuses 2 "one image" plain.qcow2 old.qcow2
refuses 2 "--output=xml" --output=xml plain.qcow2
refuses 2 "'some' is not allowed" --references=some plain.qcow2
refuses 1 "nosuch.qcow2: No such file" nosuch.qcow2
refuses 1 "sub: " sub
mkfifo fifo
refuses 1 "fifo: " fifo
refuses 1 "format 'nosuch'" -f nosuch plain.qcow2
refuses 1 "sector.raw: qcow2: " -f qcow2 sector.raw
"$RAWVIEW" info --help >"$W/out/ours"
for option in --format --force-share --backing-chain --references --allowed-paths --output --help; do
    grep -q -e "$option" "$W/out/ours" || fail "--help says nothing of $option"
done

# Every good recipe that says something new in its header, its extensions or its tables of snapshots and bitmaps.
for recipe in "$RECIPES"/good-qcow2-*.recipe; do
    case $(basename "$recipe" .recipe) in
    *-size-unaligned | *-size-0-l1-offset-odd | *-bitmaps-stale) continue ;;
    *-aes* | *-luks*) has_feature libgcrypt || continue ;;
    # Below: ours are printable.
    *-names-hostile) continue ;;
    # Alike but for where their clusters lie, which info does not look at.
    *-deflate-* | *-zstd-* | *-cluster-bits-1? | *-extended-1[57] | *-reserved-space* | *-short-* | *-table-* | \
        *-tables-elsewhere | *-data-past-end | *-shared-cluster | *-copied-wrong | *-far-away) continue ;;
    esac
    rm -rf "$W/images"
    mkdir "$W/images"
    cd "$W/images"
    CASE=$recipe
    python3 -B "$RECIPES/mkimage.py" "$recipe" .
    # In memory 65536 snapshots as JSON are more than any image may cost.
    if [[ $recipe == *-snapshots-most.recipe ]]; then
        same_lines disk
        refuses 1 "than can be shown as JSON" --output=json disk
        continue
    fi
    same disk
    case $(basename "$recipe" .recipe) in
    *-backing-file-colon | *-backing-json*) ;;
    *) same --backing-chain disk ;;
    esac
done

# Names that would steer a terminal, and bytes that are no UTF-8.
cat >"$W/images/hostile" <<'RECIPE'
qcow2 size=2*cs backing=hex:6261733b1b5b33316d5c220a07c29bff backing_format=raw
bitmap name=hex:62690d74fe auto=yes
snapshot id=1 name=hex:1b5d303b68c3a4c3
RECIPE
cd "$W/images"
mv hostile good-hostile.recipe
python3 -B "$RECIPES/mkimage.py" good-hostile.recipe . 2>/dev/null || fail "mkimage.py"
CASE="hostile names"
"$RAWVIEW" info disk >"$W/out/ours"
python3 - "$W/out/ours" <<'PYTHON' || fail "control characters in what people read"
import sys
text = open(sys.argv[1], "rb").read().decode("utf-8")
sys.exit(any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 for c in text) or "?[31m" not in text)
PYTHON
"$RAWVIEW" info --output=json disk >"$W/out/ours"
python3 - "$W/out/ours" <<'PYTHON' || fail "the JSON is broken"
import json, sys
said = json.loads(open(sys.argv[1], "rb").read().decode("utf-8"))
sys.exit(said["backing-filename"] != 'bas;\x1b[31m\\"\n\x07\x9b\ufffd' or said["snapshots"][0]["name"] != "\x1b]0;h\xe4\ufffd")
PYTHON

echo "$COUNT questions, all answered as qemu-img does or refused as they should be"
