# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the tests that look at units begin with, inside the machine.

fail() {
    echo "FAILED: $*"
    systemctl --no-pager --full status 'rawview@*' || true
    findmnt -t fuse.rawview || true
    exit 1
}
ok() { echo "ok: $*"; }

# is A B WHAT
is() { [ "$1" = "$2" ] || fail "$3: '$1', expected '$2'"; }
has() { [[ $1 == *"$2"* ]] || fail "$3: '$1' does not say '$2'"; }
property() { systemctl show -P "$2" "rawview@$1"; }
state() { property "$1" ActiveState; }
start() { systemctl start "rawview@$1" || fail "rawview@$1 did not start"; }
stop() {
    systemctl stop "rawview@$1" || fail "rawview@$1 did not stop"
    is "$(property "$1" Result)" success "result of rawview@$1"
    is "$(state "$1")" inactive "state of rawview@$1"
}
not_mounted() { ! grep " / $1 " /proc/self/mountinfo || fail "$1 is still a view"; }

# wait_for SECONDS COMMAND…
wait_for() {
    local left=$(($1 * 10))
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}
state_is() { [ "$(state "$1")" = "$2" ]; }
restarted() { [ "$(property "$1" NRestarts)" -ge "$2" ]; }

# For tests that wait for a restart.
restart_at_once() {
    local manager
    for manager in system user; do
        mkdir -p /etc/systemd/$manager/rawview@.service.d
        printf '%s\n' '[Service]' RestartSec=100ms >/etc/systemd/$manager/rawview@.service.d/restart.conf
    done
    systemctl daemon-reload
}

# describe NAME LINE…
describe() {
    local name=$1
    shift
    printf '%s\n' "$@" >"/etc/rawview/$name.image"
}

# The unit's processes: the main one, and the others.
main_pid() { property "$1" MainPID; }
worker_pid() { pgrep -P "$(main_pid "$1")" -f rawview-worker; }

# What a service said last may reach the journal after its end; and of a process that lived for some milliseconds only,
# journald may find out too late to which unit it belonged.
status_says() {
    [[ $(systemctl status --no-pager --full "rawview@$1" || true) == *"$2"* ||
        $(journalctl --boot --no-pager --output=cat --identifier=rawviewd --since=-20s) == *"$2"* ]]
}

# refused NAME EXIT-STATUS SENTENCE
refused() {
    ! systemctl start "rawview@$1" 2>/dev/null || fail "rawview@$1 started"
    is "$(property "$1" ExecMainStatus)" "$2" "exit status of rawview@$1"
    is "$(state "$1")" failed "state of rawview@$1"
    wait_for 5 status_says "$1" "$3"
    is "$(findmnt -n -t fuse.rawview || true)" "" "mounts left"
    systemctl reset-failed "rawview@$1"
    ok "refused with $2: $1"
}
