# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Groups of model.sh for VHD, and for Bochs' images, which are only read.

# vhd_fill IMAGE: as fill does, without what qemu-io cannot do here.
vhd_fill()
{
    io "$1" 'write -P 1 0 200k' 'write -P 2 512k 5k' 'write -P 3 3000k 3k' 'write -z 800k 64k' 'write -P 6 4100k 512'
}

# vhd_kind OPTIONS SIZE TRIAL-OPTIONS…
vhd_kind()
{
    local options=$1 size=$2
    shift 2
    begin "vhd, $options, $size, empty"
    create -o "$options" a "$size"
    trial a "$@"
    begin "vhd, $options, $size, filled"
    create -o "$options" a "$size"
    vhd_fill a
    trial a "$@"
}

group_vhd()
{
    local options
    KIND=vpc
    for options in subformat=dynamic subformat=dynamic,force_size=on subformat=fixed subformat=fixed,force_size=on; do
        vhd_kind "$options" 9M -d -u 65536
        vhd_kind "$options" 5243392 -d -u 4096 -t 2097152
    done
    vhd_kind subformat=dynamic,force_size=on 12M -j 8 -d -u 65536
    vhd_kind subformat=fixed,force_size=on 12M -j 8 -d -u 65536
}

# Chains of differencing disks, which qemu-img cannot read: `vhdimount` has to see what their recipes say, as rawview does in
# suite format.
group_vhd_parents()
{
    local name last
    need vhdimount fusermount3
    [[ -w /dev/fuse ]] || cannot_run "/dev/fuse is missing"
    for name in parent parent-fixed parent-longer parent-chain; do
        begin "good-vhd-$name"
        python3 -B "$HERE/../recipe/mkimage.py" "$HERE/../recipe/good-vhd-$name.recipe" .
        mkdir view
        vhdimount -X ro disk view >"$W/out/vhdimount" 2>&1 || fail "vhdimount: $(cat "$W/out/vhdimount")"
        last=$(find view -type f | sort | tail -n 1)
        cmp "$last" model || fail "vhdimount sees other bytes"
        fusermount3 -u view
    done
}

# A disk of stretches of one byte each, and what run-ops has to read: `mapfile -t` takes the lines.
stretches()
{
    python3 - "$1" "$2" <<'END'
import random, sys
r, size = random.Random(5), int(sys.argv[2]) << 20
with open(sys.argv[1], "wb") as f:
    while f.tell() < size:
        length = min(512 * r.randrange(1, size // 512 // 40), size - f.tell())
        byte = r.choice([0, 0, r.randrange(1, 256)])
        print(f"read {f.tell()} {length} {byte}")
        f.write(bytes([byte]) * length)
END
}

# is_model_of FILE IMAGE
is_model_of()
{
    qemu-img compare -q -f raw -F "$KIND" "$1" "$2" || fail "qemu-img sees other bytes than $1 has"
}

group_bochs()
{
    local size reads
    need bximage
    KIND=bochs
    for size in 1 20 200; do
        begin "bochs, $size MiB"
        stretches source "$size" >"$W/out/reads"
        mapfile -t reads <"$W/out/reads"
        bximage -q -func=convert -imgmode=growing source a </dev/null >"$W/out/bximage" 2>&1 || fail "bximage of $size MiB"
        is_model_of source a
        ops -r a "${reads[@]}"
    done
}
