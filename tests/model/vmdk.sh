# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# VMDK, for model.sh, which has the functions used here.

# vmdk_info IMAGE: what info says is what qemu-img says.
vmdk_info()
{
    "$RAWVIEW" info --output=json "$1" >"$W/out/ours" || fail "rawview info $1"
    qemu-img info --output=json "$1" >"$W/out/theirs"
    diff <(jq -S 'del(.children)' "$W/out/ours") <(jq -S 'del(.children)' "$W/out/theirs") || fail "info of $1 differs"
}

# vmdk_reads IMAGE: it shows what $W/out/source holds. No program that opens it for writing may be asked.
vmdk_reads()
{
    ln -s "$W/out/source" model
    echo "image $1" >expect
    "$RUN_RECIPE" . || fail "it does not read as its source"
}

# Each kind that qemu-img makes, read; and what an independent program makes.
group_vmdk_read()
{
    local options size
    KIND=vmdk
    for size in 100M $((7 * 65536 * 3 + 512 * 5)); do
        begin "source of $size bytes"
        truncate -s "$size" "$W/out/source"
        qemu-io -f raw -c 'write -P 1 0 200k' -c 'write -P 2 300k 5k' -c 'write -P 3 700k 300k' \
            -c "write -P 4 $(($(stat -c %s "$W/out/source") - 512)) 512" "$W/out/source" >/dev/null
        for options in subformat=monolithicSparse subformat=monolithicFlat subformat=twoGbMaxExtentSparse \
            subformat=twoGbMaxExtentFlat subformat=streamOptimized zeroed_grain=on compat6=on hwversion=6 \
            adapter_type=lsilogic adapter_type=buslogic,toolsversion=7; do
            begin "$options, read, $size"
            qemu-img convert -f raw -O vmdk -o "$options" "$W/out/source" a
            vmdk_reads a
            vmdk_info a
        done
        if /usr/bin/python3 -c 'import VMDKstream' 2>/dev/null; then
            begin "made by VMDKstream, $size"
            /usr/bin/python3 "$HERE/vmdk-stream.py" "$W/out/source" a >/dev/null
            vmdk_reads a
        elif [[ ${CI:-} ]]; then
            fail "python3-vmdkstream is missing"
        fi
    done
}

# Written by us, and read by qemu-img.
group_vmdk()
{
    local options
    KIND=vmdk
    for options in subformat=monolithicSparse subformat=monolithicFlat subformat=twoGbMaxExtentSparse \
        subformat=twoGbMaxExtentFlat zeroed_grain=on compat6=on; do
        kind "$options" 10M -d -u 65536
    done
    for options in subformat=monolithicSparse subformat=twoGbMaxExtentSparse; do
        begin "threads, $options"
        create -o "$options" a 10M
        fill a
        trial a -j 8 -d -u 65536
    done
    for options in subformat=twoGbMaxExtentSparse subformat=twoGbMaxExtentFlat; do
        begin "several extents, $options"
        create -o "$options" a 4100M
        ops a 'write 2147480000 10000 7' 'write 4294900000 100000 8' 'discard 2147483648 1000' flush
        sound a
        io a 'read -P 7 2147480000 3648' 'read -P 0 2147483648 1000' 'read -P 7 2147484648 5352' \
            'read -P 8 4294900000 100000'
    done
}

# Over a parent; and the parent's content ID, which each session that writes changes once.
group_vmdk_chain()
{
    local options cid
    KIND=vmdk
    for options in subformat=monolithicSparse zeroed_grain=on subformat=twoGbMaxExtentSparse; do
        begin "over a parent, $options"
        create base 30M
        fill base
        create -o "$options" -b base -F vmdk a 40M
        fill a
        trial a -d -u 65536
        vmdk_info a
        ops a 'discard 0 40M' 'read 0 40M 0'
        sound a
    done
    begin "content IDs"
    create base 1M
    cid=$(qemu-img info --output=json base | jq '."format-specific".data.cid')
    create -b base -F vmdk a 1M
    ops -r a 'read 0 1M 0'
    ops base 'read 0 1M 0' flush
    [[ $(qemu-img info --output=json base | jq '."format-specific".data.cid') == "$cid" ]] ||
        fail "the content ID changed and nobody wrote"
    ops -r a 'read 0 1M 0'
    ops base 'write 0 512 1'
    [[ $(qemu-img info --output=json base | jq '."format-specific".data.cid') != "$cid" ]] ||
        fail "the content ID stayed as it was"
    if "$RUN_OPS" -f vmdk -r a 'read 0 512 1' 2>"$W/out/said"; then
        fail "a parent that has changed was opened"
    fi
    grep -q 'changed after the image was made over it' "$W/out/said" || fail "$(cat "$W/out/said")"
}
