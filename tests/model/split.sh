# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Raw disks in parts, as split(1) makes them: what random-ops leaves is what cat makes of the parts.

# parts SIZE: what is in `before`, in parts of that size.
parts()
{
    begin "split, parts of $1"
    split -b "$1" -d -a 3 --numeric-suffixes=1 "$W/out/before" disk.
}

group_split()
{
    local size seed threads
    begin "split, what is in it"
    create a 5000192
    fill a
    qemu-img convert -f qcow2 -O raw a "$W/out/filled"
    truncate -s 5000003 "$W/out/filled"
    for size in 1M 333333 5000000; do
        for threads in 1 8; do
            cp "$W/out/filled" "$W/out/before"
            parts $size
            for seed in $SEEDS; do
                "$RANDOM_OPS" -f split -m "$W/out/before" -o "$W/out/model" -s "$seed" -n "$OPERATIONS" -j "$threads" \
                    -u 65536 -t 1048576 -d disk.001 || fail "random-ops -s $seed"
                cat disk.??? | cmp - "$W/out/model" || fail "the parts are not the disk"
                mv "$W/out/model" "$W/out/before"
            done
        done
    done
}
