#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# kill -9 in the middle of writing, of the worker alone and of both programs, at moments that differ: whatever an fsync
# promised is in the image, qemu-img check finds leaked clusters at most, and the image can be shown and written again.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"

SIZE=$((16 * 1024 * 1024))
ROUNDS=3
SEED=0

# Two writers, each with its half of the disk and a journal that goes on from round to round.
write_promises()
{
    local part
    for part in 0 1; do
        "$PYTHON" "$HERE/promise.py" write mp "$1.journal$part" $((SEED * 10 + part)) $part 2 60 >>"$1.said" 2>&1 &
        WRITERS+=($!)
    done
}

# How many each of the two journals holds.
promises_of()
{
    local part
    for part in 0 1; do
        grep -cs '^S' "$1.journal$part" || true
    done
}

more_promises()
{
    paste <(promises_of "$1") <(echo "$2") | awk '{ more += $1 > $2 } END { exit more < 2 }'
}

# The moment: 0 to 400 ms after this round's first promises, another one each time and the same in each run.
wait_a_moment()
{
    wait_until 30 more_promises "$1" "$2" || fail "nothing is synced: $(cat "$1.said")"
    sleep "$(printf '0.%03d' $((SEED * 37 % 400)))"
}

# The view ends by itself when its worker dies, and stays as a dead mount when nobody is left.
killed()
{
    local name=$1 whom=$2 supervisor worker
    supervisor=$(cat "$name.pid")
    worker=$(worker_of "$supervisor")
    if [[ $whom == both ]]; then
        kill -KILL "$supervisor" "$worker"
    else
        kill -KILL "$worker"
    fi
    wait_until 20 process_is_gone "$supervisor" || fail "the supervisor does not end"
    wait_until 20 process_is_gone "$worker" || fail "the worker does not end"
    if [[ $whom == both ]]; then
        umount --lazy mp
        rm "$name.pid"
    fi
    wait_until 10 is_not_mounted mp || fail "a view without a worker is left"
}

writers_ended()
{
    local pid
    for pid in "${WRITERS[@]}"; do
        wait_until 20 process_is_gone "$pid" || fail "a writer hangs"
        wait "$pid" || fail "a writer failed: $(cat "$1.said")"
    done
    WRITERS=()
}

promises_kept()
{
    clean_or_leaking "$1"
    qemu-img convert -f qcow2 -O raw "$1.qcow2" "$1.now"
    "$PYTHON" "$HERE/promise.py" verify "$1.now" "$1.raw" "$1.journal0" "$1.journal1" ||
        fail "$1.qcow2 lost what was promised"
    rm "$1.now"
}

kind()
{
    local name=$1 what=$2 options=$3 before earlier round whom part
    image "$what" "$options" "$name" $SIZE
    before=$(kept "$name")
    for round in $(seq $ROUNDS); do
        for whom in worker both; do
            SEED=$((SEED + 1))
            step "$name: $what, ${options:-defaults}: kill $whom, $round"
            WRITERS=()
            up "$name" -f qcow2 -w "$name.qcow2" mp
            earlier=$(promises_of "$name")
            write_promises "$name"
            wait_a_moment "$name" "$earlier"
            killed "$name" $whom
            writers_ended "$name"
            promises_kept "$name"
            equal "what lies below, and the snapshots" "$(kept "$name")" "$before"
        done
    done
    # The last one is not killed.
    step "$name: a clean end"
    up "$name" -f qcow2 -w "$name.qcow2" mp
    for part in 0 1; do
        "$PYTHON" "$HERE/promise.py" write mp "$name.journal$part" 0 $part 2 0.5
    done
    down "$name"
    promises_kept "$name"
    rm "$name".*
}

: >mp
kind thin empty ''
kind small snapshot cluster_size=4k
kind backing chain lazy_refcounts=on
kind extended snapshot extended_l2=on
kind external backing data_file=NAME.data
no_mount_left
