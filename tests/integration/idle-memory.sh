#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A view that nobody uses costs little memory, however much it was used before.
source "$(dirname "$0")/lib.sh"

# Both processes together, each page shared out among those who have it.
readonly IDLE_KIB=2048

pss()
{
    awk '/^Pss:/ { kib += $2 } END { print kib }' "/proc/$1/smaps_rollup"
}

memory()
{
    echo $(($(pss "$1") + $(pss "$2")))
}

is_small()
{
    (($(memory "$@") < IDLE_KIB))
}

# Builds with sanitizers take several times as much.
if [[ $(nm "$RAWVIEW") == *__[at]san_init* ]]; then
    echo "-- sanitized: nothing to measure"
    exit 0
fi

truncate -s 1M mp
qemu-img create -q -f qcow2 image 1G
qemu-io -c 'write -P 5 0 64M' image >/dev/null

step "a view that was never used"
up view -w image mp
pid=$(cat view.pid)
worker=$(worker_of "$pid")
wait_until 30 is_small "$pid" "$worker" || fail "$(memory "$pid" "$worker") KiB"

for round in 1 2; do
    step "one that was used, $round"
    dd if=mp of=/dev/null bs=1M count=64 iflag=direct status=none
    dd if=/dev/zero of=mp bs=1M count=64 oflag=direct conv=notrunc status=none
    wait_until 30 is_small "$pid" "$worker" || fail "$(memory "$pid" "$worker") KiB"
done
down view
