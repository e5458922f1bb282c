#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# --layer: one layer of a chain as if it was the image, with what lies below it or without. And snapshots: nobody is shown a disk in
# the place of one that is not there.
. "$(dirname "$0")/lib.sh"
need getfattr
: >mp
fill_file disk.raw 4M
qemu-img create -q -f qcow2 -b disk.raw -F raw mid.qcow2
qemu-io -c 'write -P 7 1M 64k' mid.qcow2 >/dev/null
qemu-img snapshot -c before mid.qcow2
qemu-io -c 'write -P 8 1M 64k' mid.qcow2 >/dev/null
qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2
qemu-io -c 'write -P 9 2M 64k' top.qcow2 >/dev/null
qemu-img convert -O raw top.qcow2 layer0
qemu-img convert -O raw mid.qcow2 layer1
cp disk.raw layer2

state_of()
{
    getfattr --only-values -n user.rawview.state mp | jq -c "$1"
}

step "each layer with what lies below"
for layer in 0 1 2; do
    up view --layer=$layer top.qcow2 mp
    cmp mp layer$layer
    equal "state" "$(state_of '[.layer, .["layer-alone"], .writable, .format]')" \
        "[$layer,false,false,\"$([[ $layer == 2 ]] && echo raw || echo qcow2)\"]"
    down view
done

step "each layer alone: the holes are what others have"
for layer in 0 1; do
    at=$((2 - layer))
    up view --layer=$layer,alone top.qcow2 mp
    equal "state" "$(state_of '[.layer, .["layer-alone"]]')" "[$layer,true]"
    truncate -s 4M alone
    fallocate --punch-hole --offset 0 --length 4M alone
    dd if=layer$layer of=alone bs=64k skip=$((at * 16)) seek=$((at * 16)) count=1 conv=notrunc status=none
    cmp mp alone
    equal "data of layer $layer" "$("$PYTHON" "$HERE/segments.py" file mp)" "$("$PYTHON" "$HERE/segments.py" file alone)"
    down view
done
up view --layer=2,alone top.qcow2 mp
cmp mp disk.raw
down view
mkdir without
mv disk.raw without/
up view --layer=1,alone top.qcow2 mp
down view
mv without/disk.raw .

step "a snapshot of a layer, and one that is proved to stay"
up view --layer=1 --snapshot=before --assert-unchanged top.qcow2 mp
qemu-img convert -O raw -l before mid.qcow2 snapshot.raw
cmp mp snapshot.raw
equal "files that were read" "$(state_of '.["assert-unchanged"] | length')" 3
down view

step "layers above need no passphrase"
qemu-img create -q -f qcow2 --object secret,id=s,data=secret -o encrypt.format=aes,encrypt.key-secret=s \
    -b mid.qcow2 -F qcow2 locked.qcow2
refused 1 'passphrase' "$RAWVIEW" mount locked.qcow2 mp
up view --layer=1 locked.qcow2 mp
cmp mp layer1
down view

step "what is refused"
refused 1 'there is no layer 3: the image has 3, the lowest is 2' "$RAWVIEW" mount --layer=3 top.qcow2 mp
refused 2 "Layer=.*'x' is not allowed" "$RAWVIEW" mount --layer=x top.qcow2 mp
refused 2 'Layer=.*Writable=' "$RAWVIEW" mount --layer=1 -w top.qcow2 mp

step "formats that have no snapshots say so, and where they are"
for kind in qcow qed vdi vmdk vpc vhdx parallels; do
    qemu-img convert -f raw -O $kind disk.raw disk.$kind
    refused 1 "snapshot 'one': .*no snapshots" "$RAWVIEW" mount --snapshot=one disk.$kind mp
done
refused 1 'each is a file of its own' "$RAWVIEW" mount --snapshot=one disk.vdi mp
no_mount_left
