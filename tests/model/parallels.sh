# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# Groups of model.sh for Parallels.

# parallels_info_as_qemu IMAGE: what both say of it is the same.
parallels_info_as_qemu()
{
    local filter='{format, "virtual-size": ."virtual-size"}'
    "$RAWVIEW" info --output=json "$1" | jq -S "$filter" >"$W/out/info.ours"
    qemu-img info --output=json "$1" | jq -S "$filter" >"$W/out/info.qemu"
    cmp "$W/out/info.qemu" "$W/out/info.ours" || fail "another info: $(diff "$W/out/info.qemu" "$W/out/info.ours")"
}

# in_use IMAGE: it says that nobody has closed it.
in_use()
{
    [[ $(dd if="$1" bs=1 skip=44 count=4 status=none) == Ynot ]]
}

group_parallels()
{
    local options size
    KIND=parallels
    kind cluster_size=1M 20M -d -r -u $((1 << 20))
    kind cluster_size=64k 20M -d -r -u 65536
    # No power of two: 63 sectors, and one more than a page.
    kind cluster_size=32256 10M -d -r -u 32256
    kind cluster_size=4608 4M -d -u 4608
    kind cluster_size=512 3M -d -u 512 -t 65536
    for options in cluster_size=1M cluster_size=32256; do
        begin "converted, $options"
        python3 "$HERE/mixture.py" "$W/out/source" 8
        qemu-img convert -f raw -O parallels -o "$options" "$W/out/source" a
        parallels_info_as_qemu a
        trial a -d -u 65536
        begin "threads, $options"
        create -o "$options" a 8M
        fill a
        trial a -j 8 -d -r -u 65536
    done
    for size in 512 1048064; do
        begin "$size bytes"
        create -o cluster_size=64k a "$size"
        trial a -d -u 4096
    done
    begin "the old kind"
    # With clusters of one sector an entry counts the same in both.
    create -o cluster_size=512 a 2M
    printf WithoutFreeSpace | dd of=a bs=1 conv=notrunc status=none
    fill_old a
    trial a -d -u 512 -t 65536
}

fill_old()
{
    io "$1" 'write -P 1 0 200k' 'write -P 2 512k 5k' 'write -z 64k 32k' 'write -P 5 100k 1k'
}

# What was not closed is only read as it is, and repaired before somebody writes.
group_parallels_unclean()
{
    local status
    KIND=parallels
    begin "left open by QEMU"
    create -o cluster_size=64k a 10M
    io a 'write -P 6 0 64k'
    qemu-io -f parallels -c 'write -P 7 1M 64k' -c 'write -P 8 3M 100k' -c flush -c abort a >/dev/null 2>&1 || :
    in_use a || fail "QEMU has closed it"
    sha256sum a >"$W/out/sum"
    "$RUN_OPS" -f parallels -r a 'read 0 64k 6' 'read 1M 64k 7' 'read 3M 100k 8' 'read 5M 1M 0' || fail "run-ops"
    sha256sum -c --quiet "$W/out/sum" || fail "reading has changed it"
    ops a 'read 1M 64k 7' 'write 2M 64k 9' flush
    in_use a && fail "it is still in use"
    sound a
    ops -r a 'read 0 64k 6' 'read 1M 64k 7' 'read 2M 64k 9' 'read 3M 100k 8'

    begin "never written: not a byte changes"
    create -o cluster_size=64k a 10M
    io a 'write -P 6 0 64k'
    sha256sum a >"$W/out/sum"
    ops a 'read 0 64k 6' flush
    sha256sum -c --quiet "$W/out/sum" || fail "changed without a write"

    begin "damage that both find"
    create -o cluster_size=64k a 4M
    io a 'write -P 1 0 64k' 'write -P 2 64k 64k' 'write -P 3 128k 64k'
    cp a b
    # Two clusters in one place, one past the end.
    dd if=a of=a bs=1 skip=64 seek=72 count=4 conv=notrunc status=none
    printf '\377\0\0\0' | dd of=a bs=1 seek=68 conv=notrunc status=none
    status=0
    qemu-img check -f parallels a >/dev/null 2>&1 || status=$?
    ((status == 2)) || fail "qemu-img check ends with $status"
    status=0
    "$RAWVIEW" check a >"$W/out/check" || status=$?
    ((status == 2)) || fail "check ends with $status: $(cat "$W/out/check")"
    "$RAWVIEW" check -r all a >"$W/out/check" || fail "check -r all: $(cat "$W/out/check")"
    sound a
    ops -r a 'read 0 64k 1' 'read 64k 64k 0' 'read 128k 64k 1'

    begin "longer than it has to be"
    create -o cluster_size=64k a 4M
    io a 'write -P 1 0 64k'
    truncate -s +200k a
    status=0
    "$RAWVIEW" check a >"$W/out/check" || status=$?
    ((status == 3)) || fail "check ends with $status: $(cat "$W/out/check")"
    "$RAWVIEW" check -r leaks a >"$W/out/check" || fail "check -r leaks: $(cat "$W/out/check")"
    sound a
    ops -r a 'read 0 64k 1'
}
