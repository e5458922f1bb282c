#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A disk packed into a dmg in each way there is, read by dump-node, and by 7z, dmg2img and qemu-img as far as each of them can: the
# same bytes. Then check, which has to find every checksum right, and info, which prints what qemu-img prints. Needs no root and no
# FUSE. Ends with 77 where one of them is missing.
#
# DUMP_NODE, RAWVIEW: programs of the build tree.
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/cases.sh"
. "$HERE/features.sh"

need python3 7z dmg2img qemu-img jq
need_feature bzip2 lzma

work_in "${TMPDIR:-/tmp}"
cd "$W"

# same NAME FILE: what a program has made of the image.
same()
{
    cmp "$W/source" "$2" || fail "$1 sees another disk"
    rm -f "$2"
}

ours()
{
    "$DUMP_NODE" -f dmg -j 3 -c 100000 a.dmg own || fail "dump-node"
    same "dump-node" own
    "$RAWVIEW" check --format=dmg a.dmg >check.log 2>&1 || fail "rawview check: $(cat check.log)"
}

# It leaves one file for each block.
by_7z()
{
    rm -rf 7z
    7z x -y -o7z a.dmg >7z.log 2>&1 || fail "7z: $(tail -n 20 7z.log)"
    same 7z 7z/*
}

by_dmg2img()
{
    dmg2img -i a.dmg -o dmg2img.out >dmg2img.log 2>&1 || fail "dmg2img: $(cat dmg2img.log)"
    same dmg2img dmg2img.out
}

by_qemu()
{
    qemu-img convert -f dmg -O raw a.dmg qemu.out 2>qemu.log || fail "qemu-img: $(cat qemu.log)"
    same qemu-img qemu.out
}

# What others say of it, without what is the kind's own.
info()
{
    qemu-img info -f dmg --output=json a.dmg 2>qemu.log >theirs.json
    "$RAWVIEW" info --format=dmg --output=json a.dmg >ours.json
    python3 - <<'EOF' || fail "info differs"
import json
theirs, ours = (json.load(open(name)) for name in ("theirs.json", "ours.json"))
for info in (theirs, ours):
    info.pop("actual-size", None)
    info.pop("children", None)
if theirs != ours:
    raise SystemExit(f"qemu-img: {theirs}\nrawview:  {ours}")
EOF
}

# kind MIB KIND… -- WHO…
kind()
{
    local kinds=()
    CASE=$*
    python3 "$HERE/../model/mixture.py" whole 1
    head -c "$1" whole >source
    shift
    while [[ $1 != -- ]]; do
        kinds+=("$1")
        shift
    done
    shift
    python3 -B "$HERE/pack-dmg.py" source a.dmg "${kinds[@]}"
    ours
    info
    while (($# > 0)); do
        "by_$1"
        shift
    done
}

kind 1M raw -- 7z dmg2img qemu
kind 1M zlib -- 7z dmg2img qemu
kind 1M zlib raw rsrc -- qemu
kind 1M bzip2 -- 7z dmg2img
kind 1M lzma -- 7z
kind 512K adc -- 7z dmg2img
kind 512K lzfse -- 7z
kind 512K lzvn -- 7z
kind 256K bvx1 plain mixed --
kind 1M zlib bzip2 lzma raw -- 7z

CASE="a byte that is another one"
printf x | dd of=a.dmg bs=1 seek=5000 conv=notrunc status=none
if "$RAWVIEW" check --format=dmg a.dmg >check.log 2>&1; then
    fail "rawview check finds nothing"
fi
grep -q "data fork has the CRC" check.log || fail "$(cat check.log)"
