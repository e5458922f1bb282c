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
