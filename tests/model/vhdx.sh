# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# VHDX, for model.sh.

group_vhdx()
{
    KIND=vhdx
    kind block_size=1M 20M -d -r -u 65536
    kind block_size=1M,log_size=2M 33M -d -r -u 65536 -t 4194304
    kind block_size=1M 64M -d -r -u 1048576 -t 8388608
    kind block_size=8M 70M -d -r -u 65536
    kind subformat=fixed 20M -d -u 65536
    kind subformat=fixed,block_state_zero=off,block_size=2M 21M -d -r -u 65536
    kind block_state_zero=off,block_size=2M 21M -d -u 65536

    begin "many threads"
    create -o block_size=1M a 64M
    trial a -d -j 8 -u 65536

    begin "what qemu-img converts is what we read"
    local options
    for options in subformat=dynamic subformat=fixed block_size=1M,log_size=3M subformat=fixed,block_state_zero=off block_size=256M; do
        qemu-img convert -f raw -O vhdx -o "$options" "$W/out/model" b
        ops b flush
        "$RANDOM_OPS" -f vhdx -m "$W/out/model" -n 0 b || fail "not what was converted"
    done

    begin "never written"
    create a 20M
    cp a kept
    ops a 'read 0 64k 0' flush
    cmp a kept || fail "changed without a write"
}

# Killed while it writes: what is left, with a log that waits, is the same for us and for qemu-img, which replays it.
group_vhdx_log()
{
    local seed
    KIND=vhdx
    for seed in 1 2 3 4; do
        begin "killed, seed $seed"
        create -o block_size=1M a 64M
        (timeout -s KILL 0.4 "$RANDOM_OPS" -f vhdx -s "$seed" -n 1000000 -d -u 65536 a || true) >/dev/null 2>&1
        cp a ours
        cp a dirty
        qemu-img check -q -f vhdx -r all a || fail "qemu-img cannot repair it"
        qemu-img convert -f vhdx -O raw a "$W/out/before"
        "$RANDOM_OPS" -f vhdx -m "$W/out/before" -v -n 0 dirty || fail "the log says something else to us"
        "$RANDOM_OPS" -f vhdx -m "$W/out/before" -o "$W/out/model" -s 9 -n 100 -u 65536 ours || fail "not written after a crash"
        sound ours
        is_model ours
    done
}

# Logs as the specification has them, made by the recipes: qemu-img puts them into their places, and shows the same disk as we
# do. Not asked: a tail beyond the first entry and what is torn within an entry, where it refuses the image; and where there is no log
# to write to.
group_vhdx_log_recipes()
{
    local recipe
    KIND=vhdx
    for recipe in "$HERE"/../recipe/good-vhdx-log-*.recipe; do
        [[ $recipe != *-@(tail|region-table|torn-descriptor|torn-high|torn-page|past-end|size-0).recipe ]] || continue
        begin "${recipe##*/}"
        python3 -B "$HERE/../recipe/mkimage.py" "$recipe" .
        cp disk ours
        qemu-img check -q -f vhdx -r all disk || fail "qemu-img cannot replay it"
        qemu-img compare -q -f vhdx -F raw disk model || fail "qemu-img sees another disk"
        "$RANDOM_OPS" -f "$KIND" -m model -n 0 ours || fail "replayed into the file it is another disk"
        sound ours
        qemu-img compare -q -f vhdx -F raw ours model || fail "what we replayed is another disk to qemu-img"
    done
}

# Differencing disks, which QEMU does not read: libvhdi does, when the parent is named by a path of Windows. It wants parents as
# long as the disk, and takes undefined blocks for the parent's.
group_vhdx_parents()
{
    local recipe layers
    need vhdimount
    [[ -w /dev/fuse && $(id -u) == 0 ]] || { echo "needs root and /dev/fuse"; exit 77; }
    mkdir "$W/mnt"
    for recipe in partial chain sectors-4096; do
        begin "$recipe, and libvhdi"
        sed -E 's/^(vhdx name=\w+) backing=(\w+)/\1 backing=\2 absolute=C:\\\\VMs\\\\\2/; s/^vhdx backing=(\w+)/& absolute=C:\\\\VMs\\\\\1/' \
            "$HERE/../recipe/good-vhdx-diff-$recipe.recipe" >good-x.recipe
        python3 -B "$HERE/../recipe/mkimage.py" good-x.recipe .
        vhdimount disk "$W/mnt" >"$W/out/vhdimount" 2>&1 || fail "vhdimount: $(cat "$W/out/vhdimount")"
        layers=("$W/mnt"/vhdi*)
        cmp model "${layers[-1]}" || { umount "$W/mnt"; fail "libvhdi sees another disk"; }
        umount "$W/mnt"
    done
}
