#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The command line as people use it: mount in the background and in the foreground, pidfiles, list, umount, info, help,
# exit statuses; and what the kernel's mount table says, which is the only register of views.
. "$(dirname "$0")/lib.sh"
need getfattr fuser

fill_file disk.raw 2M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp
: >other

views()
{
    "$RAWVIEW" list --json=short | jq -r '.[] | .view // .mountpoint // .path' | sort
}

step "--version, --help"
[[ $("$RAWVIEW" --version) == rawview\ [0-9]* ]] || fail "--version says: $("$RAWVIEW" --version)"
for verb in mount umount list info; do
    "$RAWVIEW" --help | grep -qE "^ *$verb\b" || fail "--help does not list $verb: $("$RAWVIEW" --help)"
    "$RAWVIEW" $verb --help >help.out || fail "$verb --help: status $?"
    grep -qi usage help.out || fail "$verb --help says: $(cat help.out)"
done
"$RAWVIEW" mount --help >help.out
for option in format writable growable allow-other foreground daemonize pidfile snapshot; do
    grep -q -- "--$option" help.out || fail "mount --help does not tell of --$option: $(cat help.out)"
done

step "in the background: the view is up when the command returns, and its path is all that stdout gets"
"$RAWVIEW" mount -d -p pid disk.qcow2 mp >out 2>err
cmp mp disk.raw
equal "stdout" "$(cat out)" "$W/mp"
equal "stderr" "$(cat err)" ""
pid=$(cat pid)
process_is_gone "$pid" && fail "the pid in the pidfile, $pid, is nobody's"
kill -SIGINT "$(cat pid)"
wait_until 20 process_is_gone "$pid" || fail "it does not end"
no_mount_left
[[ ! -e pid ]] || fail "the pidfile is still there"

step "options in other shapes: bundled, long, after the image, without a verb, as -o"
RUNS=0
shapes()
{
    rm -f out err
    timeout 60 "$RAWVIEW" "$@" >out 2>err || fail "rawview $*: $(cat err)"
    equal "stdout of rawview $*" "$(cat out)" "$W/mp"
    cmp mp disk.raw
    wait_until 5 test -s pid || fail "rawview $*: there is no pidfile"
    pid=$(cat pid)
    kill -SIGINT "$pid"
    wait_until 20 process_is_gone "$pid" || fail "rawview $*: it does not end"
    no_mount_left
    RUNS=$((RUNS + 1))
}
shapes mount -dp pid disk.qcow2 mp
shapes mount -dppid disk.qcow2 mp
shapes mount --daemonize --pidfile=pid disk.qcow2 mp
shapes mount --pidfile pid disk.qcow2 mp
shapes mount disk.qcow2 mp -dp pid
shapes mount -d -p pid -f qcow2 disk.qcow2 mp
shapes mount -d -p pid --format=qcow2 --allow-other=no disk.qcow2 mp
shapes mount -d -p pid --format qcow2 --allow_other=yes -- disk.qcow2 mp
shapes mount -d -p pid -o format=qcow2,allow-other=no disk.qcow2 mp
shapes mount -d -p pid -o format=raw -f qcow2 disk.qcow2 mp
shapes -dp pid disk.qcow2 mp
shapes disk.qcow2 mp -p pid
shapes mount -d -p pid --snapshot= -U disk.qcow2 mp

step "a pidfile that is there already is written anew"
echo 1 >pid
"$RAWVIEW" mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
pid=$(cat pid)
[[ $pid != 1 ]] || fail "the pidfile is the old one"
kill -INT "$pid"
wait_until 20 process_is_gone "$pid" || fail "it does not end"

step "through a folder that is a symbolic link"
mkdir folder
: >folder/mp
ln -s folder link
up linked disk.qcow2 link/mp
equal "stdout" "$(cat linked.out)" "$W/folder/mp"
cmp folder/mp disk.raw
"$RAWVIEW" umount link/mp
no_mount_left

step "a view of a view: a raw disk inside of a raw disk, ended from the inside out"
qemu-img convert -f raw -O qcow2 disk.qcow2 inner.qcow2
up outer -f raw inner.qcow2 mp
up inner -f qcow2 mp other
cmp other disk.qcow2
equal "state" "$(stat -c %s other)" "$(stat -c %s disk.qcow2 | awk '{ print int(($1 + 511) / 512) * 512 }')"
down inner
down outer
no_mount_left

step "a view in use is not unmounted by umount, and serves on"
up used disk.qcow2 mp
exec 9<mp
expect_fail 'mp.*(in use|busy)' "$RAWVIEW" umount mp
equal "status" $STATUS 1
cmp mp disk.raw
exec 9<&-
"$RAWVIEW" umount mp
no_mount_left

step "a second place where a view is shown ends alone, and nobody waits for the daemon"
up twice disk.qcow2 mp
: >bound
mount --bind mp bound
timeout 30 "$RAWVIEW" umount bound || fail "umount of a bind mount: status $?"
is_not_mounted bound
cmp mp disk.raw
"$RAWVIEW" umount mp
no_mount_left

step "five at once on one mount point: one gets it"
for round in 1 2 3 4 5 6 7 8 9 10; do
    for i in 1 2 3 4 5; do
        ("$RAWVIEW" mount -d disk.qcow2 mp >"race.$i" 2>"race.err.$i" || true) &
    done
    wait
    equal "round $round: how many were told that it is up ($(cat race.err.?))" "$(cat race.? | wc -l)" 1
    equal "mounts" "$(awk -v p="$W/mp" '$5 == p' /proc/self/mountinfo | wc -l)" 1
    equal "losers with one line each ($(cat race.err.?))" "$(cat race.err.? | wc -l)" 4
    cmp mp disk.raw
    "$RAWVIEW" umount mp
    no_mount_left
done
wait_until 10 bash -c '! pgrep rawview' >/dev/null || fail "processes are left: $(pgrep -a rawview)"

step "a mount that is interrupted while it starts leaves nothing"
for delay in 0 0.005 0.01 0.02 0.04; do
    "$RAWVIEW" mount --foreground disk.qcow2 mp >out 2>&1 &
    early=$!
    sleep $delay
    kill -TERM $early 2>/dev/null || true
    wait_until 20 process_is_gone $early || fail "it does not end: $(cat out)"
    wait $early || true
    wait_until 10 bash -c '! pgrep rawview' >/dev/null || fail "processes are left: $(pgrep -a rawview)"
    no_mount_left
done

step "the background process holds nothing of its caller: a pipe on stdout and stderr ends"
# shellcheck disable=SC2016
timeout 20 bash -c '"$0" mount -d -p pid disk.qcow2 mp 2>&1 | cat' "$RAWVIEW" >out || fail "the pipe does not end: $(cat out)"
equal "output" "$(cat out)" "$W/mp"
equal "its folder" "$(readlink "/proc/$(cat pid)/cwd")" /
fuser -s mp && fail "somebody holds the view: $(fuser -v mp 2>&1)"
# It survives the end of its session's terminal and an interrupt there.
kill -INT "$(cat pid)"
wait_until 20 is_not_mounted mp

step "in the foreground: stays, ends with 0 when it is unmounted, and on SIGINT and SIGTERM"
for way in umount INT TERM; do
    up_in_foreground front disk.qcow2 mp
    cmp mp disk.raw
    case $way in
    umount) umount mp ;;
    *) kill -$way "$(pid_of front)" ;;
    esac
    wait_for_end front
    equal "status after $way ($(cat front.log))" "$STATUS" 0
    [[ ! -e front.pid ]] || fail "the pidfile is still there after $way"
    no_mount_left
done

step "the mount table: type, source, read-only, options"
: >'a mount point'
cp disk.raw 'an image, with commas.raw'
up one disk.qcow2 mp
up two -f raw -w disk.raw other
up three -f raw 'an image, with commas.raw' 'a mount point'
equal "views in findmnt" "$(findmnt -n -r -o TARGET -t fuse.rawview | sort | paste -sd' ')" \
    "$(printf '%s\n' "$W/mp" "$W/other" "$W/a\\x20mount\\x20point" | sort | paste -sd' ')"
equal "source of mp" "$(findmnt -n -o SOURCE --mountpoint mp)" "$W/disk.qcow2"
equal "source of other" "$(findmnt -n -o SOURCE --mountpoint other)" "$W/disk.raw"
equal "source of 'a mount point'" "$(findmnt -n -o SOURCE --mountpoint 'a mount point')" "$W/an image, with commas.raw"
for option in ro nosuid nodev; do
    findmnt -n -o OPTIONS --mountpoint mp | tr , '\n' | grep -qx $option || fail "mp is not $option: $(findmnt -n -o OPTIONS --mountpoint mp)"
done
findmnt -n -o OPTIONS --mountpoint other | tr , '\n' | grep -qx rw || fail "other is not rw"
findmnt -n -o FS-OPTIONS --mountpoint mp | grep -q default_permissions || fail "no default_permissions on mp"

step "extended attributes"
getfattr -d mp >attributes 2>/dev/null
for name in image format state; do
    grep -q "^user.rawview.$name=" attributes || fail "no user.rawview.$name: $(cat attributes)"
done
equal "image" "$(getfattr --only-values -n user.rawview.image mp)" "$W/disk.qcow2"
equal "format" "$(getfattr --only-values -n user.rawview.format mp)" qcow2
equal "format of other" "$(getfattr --only-values -n user.rawview.format other)" raw
state=$(getfattr --only-values -n user.rawview.state mp)
equal "pid in the state" "$(jq .pid <<<"$state")" "$(pid_of one)"
equal "writable in the state" "$(jq .writable <<<"$state")" false
equal "writable in the state of other" "$(getfattr --only-values -n user.rawview.state other | jq .writable)" true
reads=$(jq .reads <<<"$state")
dd if=mp of=/dev/null bs=64k count=4 iflag=direct status=none
reads_after=$(getfattr --only-values -n user.rawview.state mp | jq .reads)
((reads_after > reads)) || fail "reads went from $reads to $reads_after"
expect_fail 'not supported|permission denied|read-only|not permitted' setfattr -n user.rawview.format -v x other

step "owner, group and mode: as asked for at first, as changed afterwards"
equal "at first" "$(stat -c '%U %G %a' other)" "root root 600"
chown nobody:nogroup other
chmod 640 other
equal "after chown and chmod" "$(stat -c '%U %G %a' other)" "nobody nogroup 640"
setpriv --reuid=nobody --regid=nogroup --clear-groups cat other | cmp - disk.raw
"$RAWVIEW" umount other
up two -f raw -w --owner=nobody --group=nogroup --mode=0640 disk.raw other
equal "as asked for" "$(stat -c '%U %G %a' other)" "nobody nogroup 640"
"$RAWVIEW" umount other
up two -f raw -w disk.raw other
equal "owner of the image" "$(stat -c %U disk.raw)" root
equal "a new view is as at first" "$(stat -c '%U %G %a' other)" "root root 600"

step "locks on a view are the kernel's: two programs see each other's"
exec 9<>other
flock --exclusive --nonblock 9
flock --exclusive --nonblock other true && fail "two exclusive flocks on one view"
exec 9<&-
"$PYTHON" - other <<'PYTHON'
import fcntl, os, sys
# As QEMU does it: locks of one open file description, on single bytes.
a, b = (open(sys.argv[1], "r+b") for _ in range(2))
lock = lambda kind: __import__("struct").pack("hhqqi4x", kind, os.SEEK_SET, 100, 1, 0)
OFD_SETLK = 37
fcntl.fcntl(a, OFD_SETLK, lock(fcntl.F_WRLCK))
try:
    fcntl.fcntl(b, OFD_SETLK, lock(fcntl.F_RDLCK))
    sys.exit("two open files hold locks that exclude each other")
except BlockingIOError:
    pass
PYTHON

step "list"
"$RAWVIEW" list >out
for word in "$W/mp" "$W/other" "$W/disk.qcow2" qcow2; do
    grep -qF "$word" out || fail "list does not show $word: $(cat out)"
done
equal "lines without legend" "$("$RAWVIEW" list --no-legend | grep -c .)" 3
"$RAWVIEW" list --json=pretty | jq -e 'length == 3' >/dev/null || fail "list --json=pretty: $("$RAWVIEW" list --json=pretty)"
equal "views in list" "$(views | paste -sd' ')" "$(printf '%s\n' "$W/mp" "$W/other" "$W/a mount point" | sort | paste -sd' ')"

step "umount of a view by its path, by its image, of all"
"$RAWVIEW" umount mp
is_not_mounted mp || fail "mp is still mounted"
wait_until 5 process_is_gone "$(cat one.pid 2>/dev/null || echo 999999)" || fail "its process runs on"
equal "views left" "$(views | wc -l)" 2
refused_left=$(findmnt -n -r -o TARGET -t fuse.rawview | wc -l)
expect_fail 'mp.*(not a view|no view|not mounted)' "$RAWVIEW" umount mp
equal "status" $STATUS 1
expect_fail 'missing' "$RAWVIEW" umount missing
equal "status" $STATUS 1
equal "mounts left" "$(findmnt -n -r -o TARGET -t fuse.rawview | wc -l)" "$refused_left"
"$RAWVIEW" umount other 'a mount point'
equal "views left" "$(views | wc -l)" 0
up one disk.qcow2 mp
up two -f raw -w disk.raw other
"$RAWVIEW" umount --all
no_mount_left
wait_until 10 bash -c '! pgrep -x rawviewd' >/dev/null || fail "processes are left: $(pgrep -a rawview)"
"$RAWVIEW" umount --all
"$RAWVIEW" umount --stale

step "umount never touches the mounts of others"
mkdir foreign
mount -t tmpfs none foreign
expect_fail 'foreign.*not' "$RAWVIEW" umount foreign
mountpoint -q foreign || fail "it unmounted a tmpfs"
umount foreign

step "list with nothing to list"
equal "JSON" "$("$RAWVIEW" list --json=short | jq -c .)" '[]'
"$RAWVIEW" list >/dev/null

step "info says what qemu-img says"
qemu-img snapshot -c first disk.qcow2
qemu-img create -q -f qcow2 -b disk.qcow2 -F qcow2 over.qcow2
keys='{format, "virtual-size", "cluster-size", "backing-filename", "backing-filename-format", "dirty-flag", "format-specific"}'
for image in disk.qcow2 over.qcow2 disk.raw; do
    format=qcow2
    [[ $image == disk.raw ]] && format=raw
    equal "info of $image" "$("$RAWVIEW" info -f $format --output=json $image | jq -Sc "$keys")" \
        "$(qemu-img info -f $format --output=json $image | jq -Sc "$keys")"
done
equal "snapshots" "$("$RAWVIEW" info --output=json disk.qcow2 | jq -c '[.snapshots[] | {id, name}]')" '[{"id":"1","name":"first"}]'
equal "layers" "$("$RAWVIEW" info --backing-chain --output=json over.qcow2 | jq length)" 2
"$RAWVIEW" info disk.qcow2 >out
for word in 'file format: qcow2' 'virtual size: 2 MiB' 'first'; do
    grep -q "$word" out || fail "info does not say '$word': $(cat out)"
done
refused 1 'missing' "$RAWVIEW" info missing
refused 2 'image' "$RAWVIEW" info

step "exit statuses of usage"
for arguments in '' '--nonsense' 'list --nonsense' 'list --json=nonsense' 'umount' 'umount --all mp'; do
    # shellcheck disable=SC2086
    run_failing "$RAWVIEW" $arguments
    equal "status of rawview $arguments" $STATUS 2
    [[ -s stderr ]] || fail "rawview $arguments says nothing"
done
no_mount_left
