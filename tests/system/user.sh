#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Ordinary users with views of their own, by rawview@.service of their own service manager: no part of it is root's but
# fusermount3. What others and root see of them, and that a logout ends them.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

known=/payload/images/disk.raw
journalctl --update-catalog
restart_at_once
useradd --create-home u1
useradd --create-home u2
uid=$(id -u u1)
home=/home/u1
bus=/run/user/$uid/bus

fail() {
    echo "FAILED: $*"
    as u1 systemctl --user --no-pager --full status 'rawview@*' || true
    findmnt -t fuse.rawview || true
    exit 1
}

# as USER COMMAND…
as() {
    local user=$1
    shift
    setpriv --reuid="$user" --regid="$user" --init-groups env -i --chdir=/ HOME="/home/$user" PATH="$PATH" USER="$user" \
        XDG_RUNTIME_DIR="/run/user/$(id -u "$user")" "$@"
}
u1() { as u1 "$@"; }
property() { u1 systemctl --user show -P "$2" "rawview@$1"; }
start() { u1 systemctl --user start "rawview@$1" || fail "rawview@$1 did not start"; }
stop() {
    u1 systemctl --user stop "rawview@$1" || fail "rawview@$1 did not stop"
    is "$(property "$1" Result)" success "result of rawview@$1"
    is "$(state "$1")" inactive "state of rawview@$1"
    is "$(views)" "" "views after the stop of rawview@$1"
}
views() { findmnt -n -t fuse.rawview -o TARGET || true; }
no_view() { [ -z "$(views)" ]; }

# A descriptor in the usual place.
describe() {
    local name=$1
    shift
    printf '%s\n' "$@" >"$home/.config/rawview/$name.image"
}
restore() {
    install -o u1 -g u1 -m 0600 /payload/images/disk.qcow2 "$home/disk.qcow2"
}

# look EVENT OPTION…: what u1 sees in the own journal of rawview@x's last entry of that kind.
look() {
    local id
    id=$(sed -n "s/^#define EVENT_ID_$1 \"\(.*\)\"/\1/p" /payload/event-id.h)
    shift
    u1 journalctl --user --boot --no-pager --quiet --lines=1 "$@" --unit=rawview@x "MESSAGE_ID=$id"
}
is_there() { [ -n "$(look "$1")" ]; }

told() {
    local event=$1 subject=$2
    wait_for 10 is_there "$event"
    has "$(look "$event" --output=short --catalog)" "Subject: $subject" "the catalogue's $event"
    has "$(look "$event" --output=json)" '"OBJECT_SYSTEMD_USER_UNIT":"rawview@x.service"' "unit of $event"
}

# No process of rawview's may ever be root's.
watch_for_root() {
    while sleep 0.1; do
        # A process that has ended and was not waited for yet is shown as root's, whosever it was.
        pgrep --list-full --runstates RSDT --uid 0 '^rawview' || true
    done >/tmp/of-root
}

closed_to() {
    ! as "$1" head -c 1 "$home/disk.qcow2" 2>/tmp/said || fail "$1 can read the view"
    has "$(cat /tmp/said)" "Permission denied" "what $1 is told"
}

sound() {
    u1 rawview check "$home/disk.qcow2" >/tmp/check || fail "the image is not sound: $(cat /tmp/check)"
}

test_start() {
    local unit
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' 'Writable=yes'
    start x
    is "$(property x StatusText)" "disk.qcow2 (qcow2, 8M, writable) as $home/disk.qcow2" "status"
    u1 cmp "$home/disk.qcow2" $known || fail "the view differs from the disk"
    is "$(u1 stat -c '%U %a %s' $home/disk.qcow2)" "u1 600 8388608" "the view"
    printf 'written by u1' | u1 dd of="$home/disk.qcow2" bs=1 seek=4096 conv=notrunc,fsync status=none
    unit=$(u1 getfattr --absolute-names --only-values -n user.rawview.state "$home/disk.qcow2")
    has "$unit" '"unit":"rawview@x.service"' "the state"
    for barrier in descriptors limits capabilities no-dump no-new-privs landlock seccomp; do
        has "$unit" "\"$barrier\"" "barriers around the worker"
    done
    is "$(ps -o user= -C rawviewd,rawview-worker | sort -u)" u1 "whose processes"
    is "$(systemctl list-units --all --plain --no-legend 'rawview@*')" "" "units of the system"
    told READY "The view $home/disk.qcow2 can be used"
    stop x
    told STOPPED "The view $home/disk.qcow2 has ended"
    sound
    u1 rawview mount -d "$home/disk.qcow2" >/dev/null
    is "$(u1 dd if="$home/disk.qcow2" bs=1 skip=4096 count=13 status=none)" "written by u1" "what was written"
    u1 rawview umount "$home/disk.qcow2"
    ok "start, read, write, stop"
}

# Without user_allow_other in /etc/fuse.conf.
test_private() {
    start x
    told ALLOW_OTHER "The view $home/disk.qcow2 is for its owner alone"
    chmod 0711 $home
    closed_to u2
    closed_to root
    stop x
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' 'AllowOther=no' 'Mode=0444'
    start x
    closed_to u2
    closed_to root
    stop x
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' 'AllowOther=yes'
    ! u1 systemctl --user start rawview@x 2>/dev/null || fail "started with AllowOther=yes"
    is "$(property x ExecMainStatus)" 77 "exit status"
    is "$(property x NRestarts)" 0 "restarts"
    has "$(property x StatusText)" "user_allow_other" "status"
    told FORBIDDEN "Not permitted to show $home/disk.qcow2"
    u1 systemctl --user reset-failed rawview@x
    ok "for the owner alone: AllowOther=auto, no, yes"
}

test_shared() {
    echo user_allow_other >>/etc/fuse.conf
    start x
    closed_to u2
    head -c 1 "$home/disk.qcow2" >/dev/null || fail "root cannot read a view with allow_other"
    stop x
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' 'Mode=0444'
    start x
    as u2 head -c 1 "$home/disk.qcow2" >/dev/null || fail "u2 cannot read a view with Mode=0444"
    is "$(stat -c '%U %a' $home/disk.qcow2)" "u1 444" "the view"
    stop x
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' "Owner=u2" "Mode=0400"
    start x
    as u2 head -c 1 "$home/disk.qcow2" >/dev/null || fail "u2 cannot read its own view"
    closed_to u1
    stop x
    ok "for others: Mode=, Owner="
}


write_steadily() {
    u1 sh -c "exec 3<>$home/disk.qcow2; while dd if=/dev/zero bs=64k count=64 conv=notrunc of=/proc/self/fd/3; do :; done" 2>/dev/null || true
}
written() { [ "$(u1 getfattr --absolute-names --only-values -n user.rawview.state "$home/disk.qcow2" 2>/dev/null | sed -n 's/.*"writes":\([0-9]*\).*/\1/p')" -gt 20 ]; }

# What can change while the view is up; system reload has the rest.
test_reload() {
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' 'Writable=yes'
    start x
    closed_to u2
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' 'Writable=yes' 'Mode=0644'
    u1 systemctl --user reload rawview@x
    as u2 head -c 1 "$home/disk.qcow2" >/dev/null || fail "u2 cannot read the view with Mode=0644"
    stop x
    ok "reload"
}

test_stop_in_use() {
    local began writer
    describe x '[Image]' 'Path=%h/disk.qcow2' '[View]' 'Writable=yes'
    start x
    write_steadily &
    writer=$!
    wait_for 20 written
    exec 5<"$home/disk.qcow2"
    began=$SECONDS
    stop x
    [ $((SECONDS - began)) -lt 60 ] || fail "the stop took $((SECONDS - began)) s"
    wait "$writer"
    ! head -c 1 /dev/fd/5 2>/tmp/said || fail "the view can still be read"
    has "$(cat /tmp/said)" "not connected" "what a reader is told"
    exec 5<&-
    sound
    ok "stop with a reader of root's and a writer in full flow: $((SECONDS - began)) s"
}

worker() { pgrep -P "$(property x MainPID)"; }
running_since() { [ "$(property x NRestarts)" -ge "$1" ] && [ "$(state x)" = active ]; }
state_is() { [ "$(state "$1")" = "$2" ]; }

test_killed() {
    start x
    kill -KILL "$(worker)"
    wait_for 20 running_since 1
    told WORKER_DIED "The process that reads $home/disk.qcow2 has died"
    is "$(views)" "$home/disk.qcow2" "views after the worker was killed"
    kill -KILL "$(property x MainPID)"
    wait_for 20 running_since 2
    is "$(views)" "$home/disk.qcow2" "views after the supervisor was killed"
    u1 head -c 1 "$home/disk.qcow2" >/dev/null || fail "the view cannot be read"
    u1 mkdir -p "$home/.config/systemd/user/rawview@x.service.d"
    printf '[Service]\nRestart=no\n' >"$home/.config/systemd/user/rawview@x.service.d/once.conf"
    u1 systemctl --user daemon-reload
    u1 systemctl --user kill --kill-whom=all --signal=KILL rawview@x
    wait_for 20 state_is x failed
    is "$(views)" "" "views after all of it was killed"
    rm -r "$home/.config/systemd"
    u1 systemctl --user daemon-reload
    u1 systemctl --user reset-failed rawview@x
    sound
    ok "kill -9 of the worker and of the supervisor: the unit starts again, and leaves nothing when it does not"
}

# Where and how names may be: blanks in the descriptor's and the folder's, a mount point in the run-time folder, another
# XDG_CONFIG_HOME.
test_places() {
    local folder="$home/my images"
    u1 mkdir "$folder"
    install -o u1 -m 0600 $known "$folder/a disk.raw"
    describe 'my disk' '[Image]' "Path=%h/my images/a disk.raw" 'Format=raw' '[View]' 'MountPoint=%t/rawview/my disk'
    u1 systemctl --user start 'rawview@my\x20disk'
    is "$(views)" "/run/user/$uid/rawview/my disk" "the view in the run-time folder"
    u1 cmp "/run/user/$uid/rawview/my disk" $known || fail "the view differs from the disk"
    u1 systemctl --user stop 'rawview@my\x20disk'
    is "$(views)" "" "views after the stop"
    u1 mkdir -p "$home/etc/rawview"
    mv "$home/.config/rawview/my disk.image" "$home/etc/rawview/"
    u1 systemctl --user set-environment "XDG_CONFIG_HOME=$home/etc"
    u1 systemctl --user start 'rawview@my\x20disk'
    u1 systemctl --user stop 'rawview@my\x20disk'
    u1 systemctl --user unset-environment XDG_CONFIG_HOME
    describe foreign '[Image]' 'Path=/payload/images/disk.qcow2'
    ! u1 systemctl --user start rawview@foreign 2>/dev/null || fail "an image that is not u1's is covered"
    is "$(property foreign ExecMainStatus)" 77 "exit status where the mount point is not u1's"
    has "$(property foreign StatusText)" "name another mount point" "what u1 is told"
    describe foreign '[Image]' 'Path=/payload/images/disk.qcow2' '[View]' 'MountPoint=%t/rawview/%i'
    u1 systemctl --user start rawview@foreign
    u1 cmp "/run/user/$uid/rawview/foreign" $known || fail "the view differs from the disk"
    u1 systemctl --user stop rawview@foreign
    ! u1 systemctl --user start rawview@nothing 2>/dev/null || fail "started without a descriptor"
    is "$(property nothing ExecMainStatus)" 78 "exit status without a descriptor"
    wait_for 10 eval "u1 journalctl --user --unit=rawview@nothing | grep -q 'there is no nothing.image in $home/.config/rawview, /run/user/$uid/rawview, '"
    u1 systemctl --user reset-failed
    ok "names with blanks, a mount point in the run-time folder, XDG_CONFIG_HOME"
}

# A unit of the system that runs as u1: no user manager, and the descriptor is the user's all the same.
test_system_unit() {
    systemd-run --quiet --unit=mine --uid=u1 --service-type=notify --property=KillMode=mixed /usr/libexec/rawview/rawviewd x ||
        fail "no view in a unit with User="
    is "$(ps -o user= -C rawviewd,rawview-worker | sort -u)" u1 "whose processes"
    has "$(u1 getfattr --absolute-names --only-values -n user.rawview.state "$home/disk.qcow2")" '"unit":"mine.service"' "the state"
    systemctl stop mine
    is "$(views)" "" "views after the stop"
    ! systemd-run --quiet --unit=mine --uid=u1 --service-type=notify --property=NoNewPrivileges=yes --property=RemainAfterExit=yes \
        /usr/libexec/rawview/rawviewd x 2>/dev/null || fail "fusermount3 works with no_new_privs"
    is "$(systemctl show -P ExecMainStatus mine)" 77 "exit status with no_new_privs"
    has "$(systemctl show -P StatusText mine)" "no_new_privs is set" "what it says"
    systemctl reset-failed mine
    ok "a unit of the system with User="
}

no_user() { ! systemctl --quiet is-active "user@$uid.service" && [ ! -e "/run/user/$uid" ]; }
gone() {
    wait_for "$1" no_user
    is "$(views)" "" "views after the logout"
    is "$(ps -o args= -U u1)" "" "processes after the logout"
}
log_in() {
    loginctl enable-linger u1
    wait_for 20 test -S "$bus"
}

# What was written, but not flushed, must be there after a logout.
write_word() { printf '%s' "$1" | u1 dd of="$home/disk.qcow2" bs=1 seek=8192 conv=notrunc status=none; }
has_word() { is "$(u1 dd if="$home/disk.qcow2" bs=1 skip=8192 count="${#1}" status=none)" "$1" "what was written before the logout"; }

test_logout() {
    local began=$SECONDS
    u1 systemctl --user enable --quiet rawview@x
    u1 systemctl --user start rawview.target
    is "$(state x)" active "a view enabled"
    write_word first
    loginctl disable-linger u1
    gone 30
    sound
    ok "no more lingering: $((SECONDS - began)) s"

    describe auto '[Image]' "Path=%h/my images/a disk.raw" 'Format=raw' '[View]' 'MountPoint=%t/rawview/%i' '[Install]' 'Automatic=yes'
    describe bad '[Image]' "Path=%h/missing" '[Install]' 'Automatic=yes'
    log_in
    wait_for 20 state_is x active
    wait_for 20 state_is auto active
    has_word first
    u1 cmp "/run/user/$uid/rawview/auto" $known || fail "the view differs from the disk"
    wait_for 20 state_is bad failed
    is "$(u1 systemctl --user is-active default.target)" active "default.target"
    is "$(property auto SourcePath)" "$home/.config/rawview/auto.image" "SourcePath= by the generator"
    rm "$home/.config/rawview"/{auto,bad}.image
    u1 systemctl --user daemon-reload
    is "$(state auto)" active "a view whose descriptor went away"
    ok "systemctl --user enable, and Automatic=yes: up with the user's manager"
    exec 5<"$home/disk.qcow2"
    u1 systemd-run --user --quiet --unit=writer sh -c "while cat /dev/zero >$home/disk.qcow2; do :; done"
    wait_for 20 written
    began=$SECONDS
    loginctl terminate-user u1
    gone 60
    exec 5<&-
    sound
    ok "logout with a reader of root's and a writer in full flow: $((SECONDS - began)) s"

    # terminate-user says nothing about the future: without lingering there is only what a session brings.
    loginctl disable-linger u1
    gone 30
    su -l u1 -c 'until systemctl --user --quiet is-active rawview@x; do sleep 0.1; done
        printf second | dd of=disk.qcow2 bs=1 seek=8192 conv=notrunc status=none'
    gone 30
    sound
    log_in
    wait_for 20 state_is x active
    has_word second
    stop x
    ok "a session that begins and ends"
}

mkdir -p $home/.config/rawview
chown -R u1: $home/.config
chmod 0700 $home
restore
log_in
watch_for_root &
watcher=$!
test_start
test_private
test_shared
test_reload
test_stop_in_use
test_killed
test_places
test_system_unit
test_logout
kill "$watcher"
is "$(cat /tmp/of-root)" "" "processes of root's"
