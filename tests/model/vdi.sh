# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# Groups of model.sh for VDI.

# vdi_info_as_qemu IMAGE: what both say of it is the same.
vdi_info_as_qemu()
{
    local filter='{format, "virtual-size": ."virtual-size", "cluster-size": ."cluster-size", "dirty-flag": ."dirty-flag"}'
    "$RAWVIEW" info --output=json "$1" | jq -S "$filter" >"$W/out/info.ours"
    qemu-img info --output=json "$1" | jq -S "$filter" >"$W/out/info.qemu"
    cmp "$W/out/info.qemu" "$W/out/info.ours" || fail "another info: $(diff "$W/out/info.qemu" "$W/out/info.ours")"
}

group_vdi()
{
    local options size
    KIND=vdi
    # The room for the map ends at 128 MiB in images of qemu-img.
    for options in static=off static=on; do
        kind "$options" 20M -d -r -u $((1 << 20))
        begin "converted, $options"
        python3 "$HERE/mixture.py" "$W/out/source" 8
        qemu-img convert -f raw -O vdi -o "$options" "$W/out/source" a
        vdi_info_as_qemu a
        trial a -d -u 65536
    done
    for size in 512 1048064; do
        begin "$size bytes"
        create a "$size"
        vdi_info_as_qemu a
        trial a -d -u 4096
    done
    begin "threads"
    create a 30M
    fill a
    trial a -j 8 -d -r -u $((1 << 20))
}

# Damage that both find, ours mended.
group_vdi_check()
{
    local status
    KIND=vdi
    begin "a place for two"
    create a 8M
    io a 'write -P 1 0 1M' 'write -P 2 2M 1M' 'write -P 3 4M 1M'
    printf '\0\0\0\0' | dd of=a bs=1 seek=$((512 + 8)) conv=notrunc status=none
    status=0
    qemu-img check -f vdi a >/dev/null 2>&1 || status=$?
    ((status == 2)) || fail "qemu-img check ends with $status"
    status=0
    "$RAWVIEW" check a >"$W/out/check" || status=$?
    ((status == 2)) || fail "check ends with $status: $(cat "$W/out/check")"
    "$RAWVIEW" check -r all a >"$W/out/check" || fail "check -r all: $(cat "$W/out/check")"
    sound a
    ops -r a 'read 0 1M 1' 'read 1M 1M 0' 'read 2M 1M 1' 'read 4M 1M 3'

    begin "places that are no block's"
    create a 8M
    io a 'write -P 1 0 1M' 'write -P 2 2M 1M' 'write -P 3 4M 1M'
    printf '\377\377\377\377' | dd of=a bs=1 seek=$((512 + 8)) conv=notrunc status=none
    status=0
    "$RAWVIEW" check a >"$W/out/check" || status=$?
    ((status == 3)) || fail "check ends with $status: $(cat "$W/out/check")"
    cp a b
    "$RAWVIEW" check -r leaks a >"$W/out/check" || fail "check -r leaks: $(cat "$W/out/check")"
    sound a
    ops -r a 'read 0 1M 1' 'read 1M 3M 0' 'read 4M 1M 3'
    # A writer uses them first.
    ops b 'write 6M 1M 9' flush
    sound b
    ops -r b 'read 0 1M 1' 'read 1M 3M 0' 'read 4M 1M 3' 'read 6M 1M 9'
}
