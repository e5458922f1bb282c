#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What images can cost at most: memory of the processes that look at them, and time until they are refused.
source "$(dirname "$0")/lib.sh"

# What docs/SECURITY.md promises: 64 MiB and the cache. Time is that of the processors: it says the same on a busy machine.
readonly MEMORY_KIB=$(((64 + 16) * 1024)) REFUSAL_MS=1000

# Builds with sanitizers take several times as much.
sanitized=false
[[ $(nm "$RAWVIEW") != *__[at]san_init* ]] || sanitized=true

within()
{
    local what=$1 got=$2 most=$3
    [[ $sanitized == true ]] || ((got <= most)) || fail "$what: $got, and the limit is $most"
}

# Runs a command that may refuse the image, in one line, but do nothing worse.
costs()
{
    local status memory time written words
    read -r status memory time written words < <("$PYTHON" "$HERE/measured.py" timeout 300 "$@")
    echo "   ${*:2}: status $status, $((memory / 1024)) MiB, $time ms, $written bytes; $words"
    ((status >= 0 && status < 64)) || fail "$* ended with $status: $words"
    within "memory of $*" "$memory" $MEMORY_KIB
    ((status != 1)) || [[ $words == rawview:* ]] || fail "$* says nothing"
    # A check that finds much has worked, and refused nothing.
    [[ $status != 1 || $words == *"more to be looked at"* ]] || within "time of $*" "$time" $REFUSAL_MS
}

memory_of()
{
    sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}

opening_has_ended()
{
    [[ -s $W/view.pid ]] || process_is_gone "$(cat "$W/view.shell")"
}

is_refused()
{
    local status=0
    process_is_gone "$1" || return 1
    wait "$1" || status=$?
    ((status == 1)) || fail "status $status: $(cat view.log)"
    [[ $(cat view.log) == *rawview:* ]] || fail "it says nothing: $(cat view.log)"
    no_mount_left
}

# The view of an image, if it can be shown, while many read all over it, and write to it. An image that has to be repaired
# before may take long for that; it is interrupted.
serves()
{
    local image=$1 pid worker result=served
    shift
    rm -f view.pid
    "$RAWVIEW" mount --foreground -p "$W/view.pid" "$@" "$image" mp >view.log 2>&1 &
    pid=$!
    echo $pid >view.shell
    wait_until 10 opening_has_ended || result=interrupted
    if is_refused $pid; then
        echo "   $image $*: $(tail -n 1 view.log)"
        return
    fi
    worker=$(worker_of $pid)
    if [[ $result == served ]]; then
        "$PYTHON" "$HERE/random-reads.py" mp "$([[ " $* " != *" -w "* ]] || echo write)"
    fi
    echo "   $image $*: $result, $(($(memory_of "$worker") / 1024)) MiB, the supervisor $(($(memory_of $pid) / 1024)) MiB"
    within "memory of the worker for $image" "$(memory_of "$worker")" $MEMORY_KIB
    within "memory of the supervisor for $image" "$(memory_of $pid)" $((16 * 1024))
    kill -INT $pid
    wait_for_end view
    [[ $result == interrupted ]] || equal "status of the view of $image, $(cat view.log)" "$STATUS" 0
    no_mount_left
}

truncate -s 1M mp

for bomb in $("$PYTHON" "$HERE/bombs.py" --list); do
    step "$bomb"
    "$PYTHON" "$HERE/bombs.py" . "$bomb"
    costs "$RAWVIEW" info "$bomb"
    costs "$RAWVIEW" info --backing-chain --output=json "$bomb"
    serves "$bomb"
    cp --sparse=always "$bomb" copy
    serves copy -w
    # The check looks at one layer alone, and at the large tables for long.
    if [[ $bomb != *-chain && $bomb != *-dirty-* ]]; then
        costs "$RAWVIEW" check "$bomb"
        [[ $sanitized == true ]] || costs "$RAWVIEW" check -r all copy
    fi
    rm -f "$bomb"* copy
done

step "tables that change all over the disk"
for options in cluster_size=512 cluster_size=512,refcount_bits=64 cluster_size=2M cluster_size=64k,extended_l2=on; do
    qemu-img create -q -f qcow2 -o "$options" image 100G
    serves image -w
done

step "clusters of 2 MiB that are packed"
"$PYTHON" -c 'for n in range(6 << 20): print(f"{n:07x}", end="")' >plain
for type in zlib zstd; do
    qemu-img convert -c -f raw -O qcow2 -o "cluster_size=2M,compression_type=$type" plain image
    [[ $(qemu-img check --output=json image | jq '."compressed-clusters"') -gt 16 ]] || fail "image has no compressed clusters"
    serves image
    serves image -w
done
