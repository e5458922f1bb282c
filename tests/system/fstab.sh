#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Views of fstab and of mount units: at boot, by mount -a, started and stopped by systemd and by hand. A stop returns when the
# image is closed, and what does not work stops nothing else.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/img
known=$images/known.raw

unit_property() { systemctl show -P "$2" "srv-raw-$1.mount"; }
unit_is() { [ "$(unit_property "$1" ActiveState)" = "$2" ]; }
views() { grep -c ' fuse.rawview ' /proc/self/mountinfo || true; }
# Ended; whether PID 1 has looked after it yet does not matter.
gone() { [[ $(sed -n 's/^State:\t//p' "/proc/$1/status" 2>/dev/null) =~ ^(Z.*)?$ ]]; }
# The supervisor of a view, by what it says of itself.
daemon_of() { getfattr --absolute-names --only-values -n user.rawview.state "$1" | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'; }
# Nobody has the image open: a repair takes a writer's locks.
is_free() { rawview check -r leaks "$1" >/dev/null || fail "$1 is locked"; }
# Of a process that lived for some milliseconds journald may not know the unit.
journal_has() { [[ $(journalctl --boot --no-pager --output=cat) == *"$1"* ]]; }

test_boot() {
    systemctl is-active --quiet local-fs.target || fail "local-fs.target: $(systemctl list-units --failed)"
    is "$(views)" 4 "views after the boot"
    cmp /run/rawview/web $known
    cmp /srv/raw/web $known
    cmp /srv/raw/scratch $known
    cmp $images/self.qcow2 $known
    is "$(findmnt -n -o SOURCE,FSTYPE -M /srv/raw/web | tr -s ' ')" "$images/web.qcow2 fuse.rawview" "source and type"
    has "$(findmnt -n -o OPTIONS -M /srv/raw/web)" ro, "options"
    has "$(findmnt -n -o OPTIONS -M /srv/raw/scratch)" rw, "options without ro"
    unit_is broken failed || fail "the mount unit of the broken image: $(unit_property broken ActiveState)"
    wait_for 5 journal_has "broken.qcow2: qcow2"
    is "$(unit_property broken Result)" exit-code "result of the broken image"
    journal_has "srv-raw-broken.mount: Mount process exited, code=exited, status=32" || fail "exit status of the broken image"
    [ "$(unit_property missing ActiveState)" != active ] || fail "a view of nothing"
    has "$(unit_property web RequiresMountsFor)" "$images/web.qcow2" "what keeps the image's file system"
    has "$(cat "/proc/$(daemon_of /srv/raw/web)/cgroup")" srv-raw-web.mount "the group of the service"
    ok "fstab at boot; a broken and a missing image do no harm"
}

test_mount_all() {
    local status=0
    mount -a 2>/tmp/said || status=$?
    [ $status -ne 0 ] || fail "mount -a is content with a broken image"
    is "$(grep -c '' /tmp/said)" 1 "lines of mount -a: $(cat /tmp/said)"
    has "$(cat /tmp/said)" broken.qcow2 "what mount -a says"
    is "$(views)" 4 "views after mount -a"
    sed -i /broken/d /etc/fstab
    systemctl daemon-reload
    mount -a || fail "mount -a: $?"
    mount -a || fail "mount -a: $?"
    is "$(views)" 4 "views after mount -a, twice"
    ok "mount -a"
}

test_reload() {
    local pid
    pid=$(daemon_of /srv/raw/web)
    systemctl daemon-reload
    systemctl daemon-reexec
    cmp /srv/raw/web $known
    is "$(daemon_of /srv/raw/web)" "$pid" "the service after daemon-reexec"
    systemctl restart srv-raw-web.mount
    cmp /srv/raw/web $known
    [ "$(daemon_of /srv/raw/web)" != "$pid" ] || fail "a restart of the mount unit keeps the service"
    ok "daemon-reload, daemon-reexec, restart"
}

write_to() { dd if=/usr/bin/bash of="$1" bs=64k seek="$2" count=8 conv=notrunc status=none; }

# stopped_by COMMAND…: the supervisor is held up when the worker has done its part; the stop must wait for it.
stopped_by() {
    local pid stop
    pid=$(daemon_of /srv/raw/scratch)
    kill -STOP "$pid"
    "$@" &
    stop=$!
    wait_for 20 not_listed /srv/raw/scratch
    sleep 1
    kill -0 $stop 2>/dev/null || fail "\`$*\` did not wait for the service"
    kill -CONT "$pid"
    wait $stop || fail "\`$*\`: $?"
    gone "$pid" || fail "\`$*\` returns before the service has ended"
    cmp $images/scratch.raw /tmp/expected.raw || fail "what was written is not in the image"
    is_free $images/web.qcow2
}
not_listed() { ! grep -q " $1 " /proc/self/mountinfo; }

test_stop() {
    cp $known /tmp/expected.raw
    systemctl stop srv-raw-web.mount
    is_free $images/web.qcow2
    write_to /srv/raw/scratch 3
    write_to /tmp/expected.raw 3
    stopped_by systemctl stop srv-raw-scratch.mount
    unit_is scratch inactive || fail "the unit after its stop: $(unit_property scratch ActiveState)"
    is "$(unit_property scratch Result)" success "result of the stop"
    systemctl start srv-raw-scratch.mount
    write_to /srv/raw/scratch 40
    write_to /tmp/expected.raw 40
    stopped_by umount /srv/raw/scratch
    wait_for 10 unit_is scratch inactive
    mount /srv/raw/scratch
    wait_for 10 unit_is scratch active
    write_to /srv/raw/scratch 80
    write_to /tmp/expected.raw 80
    stopped_by umount $images/scratch.raw
    systemctl stop srv-img-self.qcow2.mount run-rawview-web.mount
    is "$(views)" 0 "views"
    is_free $images/self.qcow2
    ok "a stop and an umount return when the image is closed"
}

test_busy() {
    local status=0
    systemctl start srv-raw-web.mount
    exec 5</srv/raw/web
    ! umount /srv/raw/web 2>/tmp/said || fail "umount of a view in use"
    has "$(cat /tmp/said)" "in use" "umount"
    ! systemctl stop srv-raw-web.mount 2>/dev/null || fail "stop of a mount unit in use"
    unit_is web active || fail "the unit after a stop that failed: $(unit_property web ActiveState)"
    exec 5<&-
    systemctl stop srv-raw-web.mount
    is_free $images/web.qcow2
    ok "a view in use stays"
}

test_unit() {
    systemctl start srv-raw-unit.mount
    cmp /srv/raw/unit $known
    is "$(findmnt -n -o FSTYPE -M /srv/raw/unit)" fuse.rawview "type"
    kill -KILL "$(pgrep -P "$(daemon_of /srv/raw/unit)" -f rawview-worker)"
    wait_for 20 unit_is unit inactive
    systemctl start srv-raw-unit.mount
    cmp /srv/raw/unit $known
    systemctl stop srv-raw-unit.mount
    is_free $images/unit.qcow2
    rm /srv/raw/unit
    ! systemctl start srv-raw-unit.mount 2>/dev/null || fail "mounted over nothing"
    wait_for 5 journal_has "/srv/raw/unit: is a folder, not a regular file"
    systemctl reset-failed
    ok "a mount unit written by hand"
}

# The machine is shut down with this; fstab.verify looks at it.
leave_behind() {
    cp $known /results/left.raw
    cp $images/unit.qcow2 /results/left.qcow2
    : >/srv/raw/left
    echo '/results/left.qcow2 /srv/raw/left fuse.rawview defaults 0 0' >>/etc/fstab
    systemctl daemon-reload
    mount /srv/raw/left
    for target in /srv/raw/left /results/left.raw; do
        write_to "$target" 7
        write_to "$target" 99
    done
    ok "a view is left to the shutdown"
}

test_boot
test_mount_all
test_reload
test_stop
test_busy
test_unit
is "$(pgrep -c rawview || true)" 0 "processes left"
leave_behind
