#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What others do to a view: unmount it, abort its connection, kill its processes, hold it open while it ends. The view
# always ends, quickly, without spinning and without flooding the log, and what is left can be mounted again.
. "$(dirname "$0")/lib.sh"
need fuser umount

MIB=$((1024 * 1024))
fill_file disk.raw 4M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp
mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections

# The folder of the view's FUSE connection.
connection_of()
{
    echo "/sys/fs/fuse/connections/$(mount_field MAJ:MIN "$1" | cut -d: -f2)"
}

# Clock ticks used by a process and its children that were waited for.
ticks_of()
{
    awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

image_is_closed()
{
    ! fuser --silent disk.raw disk.qcow2 2>/dev/null
}

# The view NAME was ended from outside: what must be true now.
ended_well()
{
    local name=$1 supervisor=$2 worker=$3 lines
    wait_until 5 process_is_gone "$supervisor" || fail "the supervisor still runs: $(cat "$name.log")"
    wait_until 5 process_is_gone "$worker" || fail "the worker still runs: $(cat "$name.log")"
    wait_for_end "$name"
    equal "status ($(cat "$name.log"))" $STATUS 0
    lines=$(wc -l <"$name.log")
    ((lines <= LOG_LINES + 1)) || fail "$lines lines in the log: $(head -n 20 "$name.log")"
    image_is_closed || fail "the image is still open: $(fuser -v disk.raw disk.qcow2 2>&1)"
    [[ ! -e $name.pid ]] || fail "the pidfile is still there"
    no_mount_left
    equal "size of the mount point" "$(size_of mp)" 0
}

start()
{
    up_in_foreground view "$@"
    cmp -n $MIB mp disk.raw
    LOG_LINES=$(wc -l <view.log)
    SUPERVISOR=$(pid_of view)
    WORKER=$(worker_of "$SUPERVISOR")
}

umount_it()
{
    umount mp
}

umount_lazily()
{
    umount --lazy mp
}

abort_it()
{
    echo 1 >"$(connection_of mp)/abort"
}

for way in umount_it umount_lazily abort_it; do
    step "$way"
    start disk.qcow2 mp
    $way
    ended_well view "$SUPERVISOR" "$WORKER"

    step "$way, writable, after writing"
    start -f raw -w disk.raw mp
    dd if=/dev/urandom of=mp bs=64k count=4 seek=20 conv=notrunc status=none
    cp mp expected.raw
    $way
    ended_well view "$SUPERVISOR" "$WORKER"
    cmp disk.raw expected.raw
    qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
done

step "a lazy unmount while somebody reads: the view serves on, uses no processor, and ends with the last close"
start disk.qcow2 mp
coproc HOLDER { "$PYTHON" "$HERE/holder.py" mp; }
read -r -t 20 answer <&"${HOLDER[0]}"
equal "the holder" "$answer" open
umount --lazy mp
before=$(($(ticks_of "$SUPERVISOR") + $(ticks_of "$WORKER")))
sleep 1
after=$(($(ticks_of "$SUPERVISOR") + $(ticks_of "$WORKER")))
((after - before < 50)) || fail "supervisor and worker used $((after - before)) ticks in an idle second"
echo >&"${HOLDER[1]}"
read -r -t 20 answer <&"${HOLDER[0]}"
equal "the holder reads" "$answer" ok
holder=$HOLDER_PID
kill "$holder"
wait "$holder" || true
ended_well view "$SUPERVISOR" "$WORKER"

step "an abort while somebody reads: an error for the reader, and the end"
start disk.qcow2 mp
coproc HOLDER { "$PYTHON" "$HERE/holder.py" mp; }
read -r -t 20 answer <&"${HOLDER[0]}"
abort_it
wait_until 5 process_is_gone "$SUPERVISOR" || fail "the supervisor still runs"
echo >&"${HOLDER[1]}"
read -r -t 20 answer <&"${HOLDER[0]}" || fail "the holder hangs"
[[ $answer == ENOTCONN || $answer == ECONNABORTED ]] || fail "the holder got $answer"
holder=$HOLDER_PID
kill "$holder"
wait "$holder" || true
wait_for_end view
equal "status ($(cat view.log))" $STATUS 0
no_mount_left

for signal in INT TERM; do
    step "SIG$signal while somebody holds it open: detached at once, an error for the holder and no hang"
    start disk.qcow2 mp
    coproc HOLDER { "$PYTHON" "$HERE/holder.py" mp; }
    read -r -t 20 answer <&"${HOLDER[0]}"
    kill -$signal "$SUPERVISOR"
    wait_until 5 is_not_mounted mp || fail "it is still mounted: $(cat view.log)"
    wait_for_end view
    equal "status ($(cat view.log))" $STATUS 0
    wait_until 5 process_is_gone "$WORKER" || fail "the worker still runs"
    image_is_closed || fail "the image is still open"
    echo >&"${HOLDER[1]}"
    read -r -t 20 answer <&"${HOLDER[0]}" || fail "the holder hangs"
    [[ $answer == E* ]] || fail "the holder got $answer"
    holder=$HOLDER_PID
    kill "$holder"
    wait "$holder" || true
    [[ ! -e view.pid ]] || fail "the pidfile is still there"
    no_mount_left
done

step "a killed worker: the supervisor unmounts, says so and fails"
start disk.qcow2 mp
kill -KILL "$WORKER"
wait_for_end view
((STATUS != 0)) || fail "status 0 after a worker was killed: $(cat view.log)"
grep -qi 'worker' view.log || fail "the log does not tell of the worker: $(cat view.log)"
no_mount_left
[[ ! -e view.pid ]] || fail "the pidfile is still there"
equal "size of the mount point" "$(timeout 10 stat -c %s mp)" 0

step "a killed worker while somebody reads and writes: errors, no hang"
start -f raw -w disk.raw mp
cat >busy.sh <<'BUSY'
trap 'exit 0' TERM
while dd if=/dev/zero of=mp bs=64k count=16 conv=notrunc && dd if=mp of=/dev/null bs=64k iflag=direct; do :; done
BUSY
bash busy.sh >busy.out 2>&1 &
busy=$!
sleep 0.3
kill -KILL "$WORKER"
wait_for_end view
((STATUS != 0)) || fail "status 0 after a worker was killed: $(cat view.log)"
# It ends by itself with an error, or sees the mount point's own bytes; it must not hang.
kill -TERM "$busy" 2>/dev/null || true
wait_until 10 process_is_gone "$busy" || fail "the reader hangs"
wait "$busy" || true
no_mount_left
fill_file disk.raw 4M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2

step "a killed supervisor: the worker ends, and the next mount heals what is left"
start disk.qcow2 mp
kill -KILL "$SUPERVISOR"
wait_until 10 process_is_gone "$WORKER" || fail "the worker runs on without its supervisor"
wait_until 5 image_is_closed || fail "the image is still open"
up healed disk.qcow2 mp
cmp mp disk.raw
equal "mounts on mp" "$(awk -v p="$W/mp" '$5 == p' /proc/self/mountinfo | wc -l)" 1
down healed
no_mount_left
rm -f view.pid

step "both killed: a stale mount, which the next mount heals, over the image itself too"
for target in mp disk.qcow2; do
    start disk.qcow2 mp
    down_pid=$SUPERVISOR
    if [[ $target == disk.qcow2 ]]; then
        kill -INT "$down_pid"
        wait_for_end view
        up_in_foreground view disk.qcow2
        SUPERVISOR=$(pid_of view)
        WORKER=$(worker_of "$SUPERVISOR")
    fi
    # The supervisor first: it must not see its worker die.
    kill -STOP "$SUPERVISOR"
    kill -KILL "$WORKER" "$SUPERVISOR"
    wait_until 10 process_is_gone "$SUPERVISOR"
    wait_until 10 process_is_gone "$WORKER"
    is_mounted "$target" || fail "there is no stale mount to heal on $target"
    expect_fail 'not connected' timeout 10 cat "$target"
    rm -f view.pid
    up healed disk.qcow2 "$target"
    cmp "$target" disk.raw
    equal "mounts on $target" "$(awk -v p="$W/$target" '$5 == p' /proc/self/mountinfo | wc -l)" 1
    down healed
    no_mount_left
done

step "rawview umount --stale removes stale mounts and nothing else"
: >other
up other disk.qcow2 other
start disk.qcow2 mp
kill -STOP "$SUPERVISOR"
kill -KILL "$WORKER" "$SUPERVISOR"
wait_until 10 process_is_gone "$SUPERVISOR"
is_mounted mp || fail "there is no stale mount"
timeout 30 "$RAWVIEW" umount --stale
is_not_mounted mp || fail "the stale mount is still there"
cmp other disk.raw
down other
no_mount_left
