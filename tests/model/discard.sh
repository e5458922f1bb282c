# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What discarding gives back, for model.sh, which has the functions used here.

# kib FILE: what it takes on the host.
kib()
{
    sync "$1"
    echo $(($(stat -c '%b * %B' "$1") / 1024))
}

# falls FILE BEFORE KIB WHAT: it takes at least so much less than before.
falls()
{
    local now
    now=$(kib "$1")
    ((now <= $2 - $3)) || fail "$4: $1 took $2 KiB and takes $now"
}

# gives_back OPTIONS [FILE]: what was written and discarded takes no space any more.
gives_back()
{
    local options=$1 file=${2:-a} before
    begin "space comes back, $options"
    create -o "$options" a 40M
    ops a 'write 0 32M 7'
    before=$(kib "$file")
    ops a 'discard 4M 24M' flush 'read 0 4M 7' 'read 4M 24M 0' 'read 28M 4M 7'
    falls "$file" "$before" $((22 * 1024)) "discarding 24 MiB"
    sound a
    ops a 'discard 0 40M'
    falls "$file" "$before" $((28 * 1024)) "discarding everything"
    sound a
    ops -r a 'read 0 40M 0'
}

group_discard()
{
    local options before size
    for options in compat=1.1 compat=0.10 cluster_size=4k cluster_size=2M extended_l2=on lazy_refcounts=on \
        preallocation=metadata preallocation=full refcount_bits=1; do
        gives_back "$options"
    done
    gives_back data_file=d.raw d.raw
    gives_back data_file=d.raw,data_file_raw=on d.raw

    for options in compat=1.1 compat=0.10 cluster_size=4k extended_l2=on; do
        begin "zeroes over a backing file, $options"
        qemu-img create -q -f raw base 8M
        qemu-io -f raw -c 'write -P 0x55 0 8M' base >/dev/null
        create -o "$options" -b base -F raw a 8M
        ops a 'write 1M 2M 7' 'discard 100 300' 'discard 2000000 3000000' 'discard 6M 2M' flush 'read 0 100 0x55' \
            'read 100 300 0' 'read 400 1048176 0x55' 'read 1M 951424 7' 'read 2000000 3000000 0' \
            'read 5000000 1000000 0x55' 'read 6M 2M 0'
        sound a
        ops -r a 'read 100 300 0' 'read 2000000 3000000 0' 'read 6M 2M 0' 'read 5000000 1000000 0x55'

        # Over and over in the same place: freed clusters are used again, so the file stays small.
        begin "freed clusters are used again, $options"
        create -o "$options" a 40M
        words=()
        for _ in {1..20}; do
            words+=('write 0 4M 7' flush 'discard 0 4M' flush 'write 20M 4M 8' flush 'discard 20M 4M' flush)
        done
        ops a "${words[@]}"
        size=$(stat -c %s a)
        ((size < 14 << 20)) || fail "the file has grown to $size bytes"
        ops a "${words[@]}" 'write 0 4M 9'
        size=$(stat -c %s a)
        ((size < 14 << 20)) || fail "the file has grown to $size bytes in the second life"
        sound a

        # Without any flush by the guest the file may become longer, but takes no more space.
        begin "discarded without flushes, $options"
        create -o "$options" a 40M
        words=()
        for _ in {1..100}; do
            words+=('write 0 4M 7' 'discard 0 4M')
        done
        ops a "${words[@]}"
        (($(kib a) < 8 * 1024)) || fail "the file takes $(kib a) KiB"
        sound a
        ops a 'read 0 40M 0'
    done

    begin "ragged ends"
    create a 8M
    ops a 'write 0 8M 7' 'discard 1 65535' 'discard 131071 2' 'discard 262143 196610' 'zero 1048575 3' flush \
        'read 0 1 7' 'read 1 65535 0' 'read 65536 65535 7' 'read 131071 2 0' 'read 131073 131070 7' \
        'read 262143 196610 0' 'read 458753 589822 7' 'read 1048575 3 0' 'read 1048578 1000 7'
    sound a

    begin "zeroes keep their place where it is asked for"
    create a 8M
    ops a 'write 0 8M 7'
    before=$(stat -c %s a)
    ops a 'zero 0 8M' flush 'read 0 8M 0' 'write 0 8M 8' flush
    size=$(stat -c %s a)
    ((size <= before + (1 << 20))) || fail "the file has grown from $before to $size bytes"
    sound a

    begin "a snapshot keeps what the disk gives up"
    create a 8M
    ops a 'write 0 8M 7'
    qemu-img snapshot -c one a
    ops a 'discard 0 8M' flush 'read 0 8M 0' 'write 1M 1M 8' 'discard 1M 1M'
    sound a
    qemu-img snapshot -a one a
    ops -r a 'read 0 8M 7'

    begin "packed clusters that share sectors"
    python3 "$HERE/mixture.py" "$W/out/source" 8
    qemu-img convert -c -O qcow2 "$W/out/source" a
    ops a 'discard 64k 64k' 'discard 256k 1M' flush 'discard 3M 5M'
    sound a
    ops a 'discard 0 8M' flush
    sound a
    # All packed: the tables and little else are left.
    (($(kib a) < 1024)) || fail "an empty image takes $(kib a) KiB"
}
