# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# Groups of model.sh for qcow version 1, of which qemu-img makes two kinds: clusters of 4 KiB, and of 512 bytes over another file.

group_qcow()
{
    KIND=qcow
    begin "empty"
    create a 20M
    info_as_qemu a
    trial a -d -r -u 4096
    begin "filled"
    create a 20M
    fill a
    trial a -d -r -u 512 -t 65536
    begin "compressed"
    python3 "$HERE/mixture.py" "$W/out/source" 8
    # It ends with 1 and no word, although all is there.
    qemu-img convert -f raw -c -O qcow "$W/out/source" a || :
    qemu-img compare -q -f raw -F qcow "$W/out/source" a || fail "not converted"
    info_as_qemu a
    trial a -d -r -u 4096
    begin "compressed, small requests, threads"
    qemu-img convert -f raw -c -O qcow "$W/out/source" a || :
    trial a -j 8 -d -u 512
    begin "threads"
    create a 16M
    fill a
    trial a -j 8 -d -r -u 4096
    begin "resized past the end of the L1 table"
    create a 3M
    fill a
    ops a 'resize 300M' 'write 299M 1M 6' flush 'resize 2M' 'resize 40M' 'read 2M 38M 0' 'write 39M 1M 7'
    ops -r a 'read 39M 1M 7' 'read 3M 36M 0'
    trial a -d -r -u 4096
}

group_qcow_backing()
{
    local below size
    KIND=qcow
    for below in raw qcow qcow2; do
        for size in 3M 12M; do
            begin "over $below, $size"
            qemu-img create -q -f "$below" base 6M
            qemu-io -f "$below" -c 'write -P 0x55 0 5M' -c 'write -z 1M 100k' base >/dev/null
            create -b "$(over "$below" base)" -F "$below" a "$size"
            io a 'write -P 1 0 100k' 'write -P 2 2M 5k'
            info_as_qemu a
            sha256sum base >"$W/out/base"
            trial a -d -r -u 4096 -n 200
            sha256sum -c --quiet "$W/out/base" || fail "the backing file has changed"
        done
    done
}
