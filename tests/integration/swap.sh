#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A user who exchanges a folder for a link, over and over, while root mounts and unmounts there: nothing is ever mounted
# over what the link leads to, and nothing there is unmounted. Root's view there must live to the end.
. "$(dirname "$0")/lib.sh"

need fusermount3

make_programs
fill_file disk.raw 1M
# What the link leads to: one file that nothing covers, and one that a view of root's covers.
mkdir victim
: >victim/free
: >victim/view
install -d -m 755 -o $USER_ID home
as-user mkdir home/folder
as-user ln -s "$W/victim" home/link
as-user touch home/folder/free home/folder/view
readonly MOUNTS=200 UNMOUNTS=20

# Exchanges home/folder and home/link as their owner could, for as long as the file `go` is there; then puts them back.
cat >exchange.py <<'PYTHON'
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def exchange(a, b):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), 2) != 0:
        sys.exit("renameat2: " + os.strerror(ctypes.get_errno()))
open("going", "w").close()
count = 0
while os.path.exists(sys.argv[1]) or count % 2:
    exchange("home/folder", "home/link")
    count += 1
    time.sleep(0.0001)
print(count)
PYTHON

start_exchanging()
{
    : >go
    rm -f going
    "$PYTHON" exchange.py go >exchanges 2>&1 &
    EXCHANGER=$!
    wait_until 20 test -e going || fail "the exchanger: $(cat exchanges)"
}

stop_exchanging()
{
    rm go
    wait $EXCHANGER || fail "the exchanger: $(cat exchanges)"
    (($(cat exchanges) > $1)) || fail "only $(cat exchanges) exchanges"
}

# Where a view lies on a file of this name.
view_of()
{
    awk -v suffix="/$1" 'index($5, "'"$W"'/") == 1 && / - fuse.rawview / && substr($5, length($5) - length(suffix) + 1) == suffix { print $5 }' /proc/self/mountinfo
}

victim_lives()
{
    is_mounted victim/view || fail "the view of root's is gone"
    is_not_mounted victim/free || fail "something is mounted over root's file"
}

up victim -f raw disk.raw victim/view

step "mounting: $MOUNTS times"
start_exchanging
mounted=0
for ((i = 0; i < MOUNTS; i++)); do
    status=0
    timeout 60 "$RAWVIEW" mount -q -p "$W/swapped.pid" -f raw disk.raw "$W/home/folder/free" >out 2>err || status=$?
    victim_lives
    if ((status == 0)); then
        mounted=$((mounted + 1))
        # The folder has one of the two names at this moment.
        [[ $(view_of free) == "$W"/home/*/free ]] || fail "mounted on '$(view_of free)'"
        pid=$(pid_of swapped)
        kill -INT "$pid"
        wait_until 20 process_is_gone "$pid" || fail "it does not end"
    else
        grep -qE 'refused|does not exist|No such file' err || fail "it says: $(cat err)"
    fi
    equal "views left ($(cat err))" "$(view_of free)" ""
done
stop_exchanging $MOUNTS
echo "   $mounted mounts, $((MOUNTS - mounted)) refusals, $(cat exchanges) exchanges"
((mounted > 0 && mounted < MOUNTS)) || fail "$mounted of $MOUNTS mounts: nothing was raced"

step "rawview umount PATH: $UNMOUNTS times"
unmounted=0
for ((i = 0; i < UNMOUNTS; i++)); do
    up swapped -f raw disk.raw home/folder/view
    start_exchanging
    for ((try = 0; try < 100; try++)); do
        timeout 60 "$RAWVIEW" umount "$W/home/folder/view" >out 2>err && break
        grep -qE 'refused|not a view|No such file|cannot open its folder|not there any more' err || fail "it says: $(cat err)"
    done
    stop_exchanging 0
    victim_lives
    if is_mounted home/folder/view; then
        down swapped
    else
        unmounted=$((unmounted + 1))
    fi
done
((unmounted > 0)) || fail "never unmounted"

step "rawview umount --stale and a signal: $UNMOUNTS times"
for ((i = 0; i < UNMOUNTS; i++)); do
    up swapped -f raw disk.raw home/folder/view
    pid=$(pid_of swapped)
    start_exchanging
    timeout 60 "$RAWVIEW" umount --stale >out 2>err || true
    kill -INT "$pid"
    wait_until 20 process_is_gone "$pid" || fail "it does not end"
    stop_exchanging 0
    victim_lives
    is_not_mounted home/folder/view || fail "the view stays"
done

step "the user's own view, through fusermount3, which takes a path: $UNMOUNTS times"
cp disk.raw home/disk.raw
chown $USER_ID home/disk.raw
start_exchanging
mounted=0
for ((i = 0; i < UNMOUNTS; i++)); do
    status=0
    as-user timeout 60 rawview mount -q --allow-other=no -p "$W/home/pid" -f raw home/disk.raw home/folder/free >out 2>err || status=$?
    victim_lives
    if ((status != 0)); then
        # Who exchanges the own folders while fusermount3 looks for them may be left with a dead view there.
        as-user rawview umount --stale >out 2>err || true
        continue
    fi
    mounted=$((mounted + 1))
    [[ $(view_of free) == "$W"/home/*/free ]] || fail "mounted on '$(view_of free)'"
    pid=$(cat home/pid)
    kill -INT "$pid"
    wait_until 20 process_is_gone "$pid" || fail "it does not end"
done
stop_exchanging $UNMOUNTS
echo "   $mounted mounts, $((UNMOUNTS - mounted)) refusals"
as-user rawview umount --stale
victim_lives

step "what covers the view by then is not ours to unmount"
up swapped -f raw disk.raw home/folder/view
pid=$(pid_of swapped)
mount --bind victim/free home/folder/view
kill -INT "$pid"
wait_until 40 process_is_gone "$pid" || fail "it does not end"
equal "the mount above" "$(mount_field FSTYPE home/folder/view | tail -n 1)" "$(findmnt --noheadings --output FSTYPE --target "$W")"
umount home/folder/view
"$RAWVIEW" umount --stale

step "root's view is whole"
cmp victim/view disk.raw
down victim
equal "the file beneath" "$(size_of victim/view) $(size_of victim/free)" "0 0"
no_mount_left
