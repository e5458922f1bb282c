#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What root's supervisor gives up, from outside: what the kernel says of it while a view is up, and that everything it still
# has to do works with what it keeps, in folders of somebody else and with a worker that is another user.
. "$(dirname "$0")/lib.sh"
make_programs

# Of linux/capability.h: SYS_ADMIN, KILL, DAC_READ_SEARCH; and DAC_OVERRIDE.
TO_SERVE=0000000000200024
WITH_FORCE=0000000000200026
NONE=0000000000000000

# status_is PID KEY VALUE
status_is()
{
    equal "$2 of $(cat "/proc/$1/comm")" "$(sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status")" "$3"
}

# as_little PID CAPABILITIES
as_little()
{
    local set
    status_is "$1" CapEff "$2"
    status_is "$1" CapPrm "$2"
    for set in CapBnd CapInh CapAmb; do
        status_is "$1" $set $NONE
    done
    status_is "$1" NoNewPrivs 1
}

# The worker's user, as packages make it: in this mount namespace only.
cp /etc/passwd passwd
grep -q ^rawview: passwd || echo 'rawview:x:64999:64999::/:/usr/sbin/nologin' >>passwd
mount --bind passwd /etc/passwd
mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections

fill_file disk.raw 4M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp
# Root without CAP_DAC_… would not get in here.
install -d -m 700 -o $USER_ID home
install -m 600 -o $USER_ID disk.qcow2 home/disk.qcow2
install -m 600 -o $USER_ID disk.raw home/disk.raw
install -m 600 -o $USER_ID /dev/null home/mp

start()
{
    up_in_foreground "$@"
    SUPERVISOR=$(pid_of "$1")
    WORKER=$(worker_of "$SUPERVISOR")
}

# What must be true of the view NAME after its end.
ended()
{
    wait_for_end "$1"
    wait_until 5 process_is_gone "$WORKER" || fail "the worker still runs: $(cat "$1.log")"
    [[ ! -e $1.pid ]] || fail "the pid file is still there: $(cat "$1.log")"
    no_mount_left
}

step "what the kernel says"
up view disk.qcow2 mp
SUPERVISOR=$(pid_of view)
WORKER=$(worker_of "$SUPERVISOR")
as_little "$SUPERVISOR" $TO_SERVE
as_little "$WORKER" $NONE
equal "user of the worker" "$(stat -c %U "/proc/$WORKER")" rawview
equal "user of the supervisor" "$(stat -c %U "/proc/$SUPERVISOR")" root
cmp mp disk.raw
down view

step "an image of somebody else's in a folder of theirs, and everything in there"
for target in home/mp home/disk.qcow2; do
    start home/view home/disk.qcow2 $target
    as_little "$SUPERVISOR" $WITH_FORCE
    cmp $target disk.raw
    kill -TERM "$SUPERVISOR"
    ended home/view
    equal "status ($(cat home/view.log))" $STATUS 0
done

step "written, the view being theirs too"
start view -f raw -w --owner=$USER_ID --mode=600 home/disk.raw home/mp
as_little "$SUPERVISOR" $TO_SERVE
equal "owner" "$(stat -c '%U %a' home/mp)" "$USER_ID 600"
"$PYTHON" - <<'MAPPED'
import mmap, os
f = os.open("home/mp", os.O_RDWR)
m = mmap.mmap(f, 0)
m[70000:70006] = b"mapped"
m.close()
os.close(f)
MAPPED
kill -TERM "$SUPERVISOR"
ended view
equal "status ($(cat view.log))" $STATUS 0
equal "what was written" "$(dd if=home/disk.raw bs=1 skip=70000 count=6 status=none)" mapped

# flushers PID: how many of its threads the kernel keeps from waiting for what they serve (PF_MEMALLOC_NOIO and
# PF_LOCAL_THROTTLE), of how many
flushers()
{
    local flags threads=0 found=0
    while read -r flags; do
        threads=$((threads + 1))
        (((flags & 0x180000) != 0x180000)) || found=$((found + 1))
    done < <(awk '{ print $9 }' "/proc/$1"/task/*/stat)
    echo $found of $threads
}

step "memory for a writable view is made free without waiting for that view"
up view -w disk.qcow2 mp
dd if=disk.raw of=mp bs=1M conv=notrunc,fsync status=none
SUPERVISOR=$(pid_of view)
WORKER=$(worker_of "$SUPERVISOR")
threads=$(find "/proc/$WORKER/task" -mindepth 1 -maxdepth 1 | wc -l)
((threads > 2)) || fail "a worker with $threads threads"
# Without CAP_SYS_RESOURCE, as in some containers, it cannot be said; vm devices has it.
if ((0x$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status) >> 24 & 1)); then
    equal "threads of the worker" "$(flushers "$WORKER")" "$threads of $threads"
else
    equal "threads of the worker" "$(flushers "$WORKER")" "0 of $threads"
fi
equal "threads of the supervisor" "$(flushers "$SUPERVISOR")" "0 of 1"
down view
up view disk.qcow2 mp
[[ $(flushers "$(worker_of "$(pid_of view)")") == "0 of "* ]] || fail "threads of one that only reads"
down view

step "a worker that dies: nothing is left in their folder"
start view home/disk.qcow2 home/mp
kill -KILL "$WORKER"
ended view
((STATUS != 0)) || fail "status 0 after a worker was killed: $(cat view.log)"

step "a worker that hangs is killed though it is another user"
start view home/disk.qcow2 home/mp
kill -STOP "$WORKER"
kill -TERM "$SUPERVISOR"
sleep 0.3
kill -TERM "$SUPERVISOR"
ended view
grep -q 'did not end and was killed' view.log || fail "the log does not say that it was killed: $(cat view.log)"

step "a stop while somebody holds it open: cut off through the connection"
start view home/disk.qcow2 home/mp
coproc HOLDER { "$PYTHON" "$HERE/holder.py" home/mp; }
read -r -t 20 answer <&"${HOLDER[0]}"
equal "the holder" "$answer" open
kill -TERM "$SUPERVISOR"
ended view
equal "status ($(cat view.log))" $STATUS 0
echo >&"${HOLDER[1]}"
read -r -t 20 answer <&"${HOLDER[0]}" || fail "the holder hangs"
[[ $answer == E* ]] || fail "the holder got $answer"
holder=$HOLDER_PID
kill "$holder"
wait "$holder" || true

step "requests as long as they may be: reading ahead is raised without any capability for it"
up view disk.qcow2 mp
equal "KiB" "$(cat "/sys/class/bdi/$(mount_field MAJ:MIN mp)/read_ahead_kb")" 1024
down view

step "a dead view in their folder is healed"
start view home/disk.qcow2 home/mp
kill -STOP "$SUPERVISOR"
kill -KILL "$WORKER" "$SUPERVISOR"
wait_until 10 process_is_gone "$SUPERVISOR"
rm -f view.pid
is_mounted home/mp || fail "there is no dead view"
start view home/disk.qcow2 home/mp
cmp home/mp disk.raw
kill -TERM "$SUPERVISOR"
ended view

step "what was left open by whoever started it is closed, and stdio is never a file of ours"
RAWVIEWD=$(dirname "$RAWVIEW")/rawviewd
(
    exec 7<disk.raw 9</dev/null <&- >&- 2>&-
    exec "$RAWVIEWD" --pidfile="$W/view.pid" --path="$W/disk.qcow2" --mount-point="$W/mp"
) &
echo $! >view.shell
wait_until 60 test -s view.pid
SUPERVISOR=$(pid_of view)
WORKER=$(worker_of "$SUPERVISOR")
for fd in 0 1 2; do
    equal "descriptor $fd" "$(readlink "/proc/$SUPERVISOR/fd/$fd")" /dev/null
done
open=$(for fd in "/proc/$SUPERVISOR/fd"/*; do readlink "$fd"; done | sed -e 's/^\(socket\|pipe\):.*/\1/' | sort -u | tr '\n' ' ')
equal "descriptors" "$open" "/dev/fuse /dev/null $W $W/disk.qcow2 $W/mp $W/view.pid anon_inode:[pidfd] anon_inode:[signalfd] pipe socket "
: >view.log
kill -TERM "$SUPERVISOR"
ended view
refused 64 'ready-fd: descriptor 8: Bad file descriptor' "$RAWVIEWD" --ready-fd=8 --path="$W/disk.qcow2" --mount-point="$W/mp"

step "a user's supervisor keeps what setuid programs need"
need fusermount3
install -d -m 755 -o $USER_ID theirs
install -m 600 -o $USER_ID disk.qcow2 theirs/disk.qcow2
cd theirs
as-user rawview mount -d -p pid disk.qcow2 >out 2>err || fail "$(cat err)"
status_is "$(cat pid)" NoNewPrivs 0
status_is "$(cat pid)" CapPrm $NONE
as-user cmp disk.qcow2 ../disk.raw
as-user rawview umount disk.qcow2
