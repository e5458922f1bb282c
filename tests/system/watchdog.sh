#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A service that does not do what it should: its worker hangs, it is killed, it fails again and again. The watchdog notices,
# nobody hangs, no dead mount stays, and there is an end to trying.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/var/lib/images
cp -r /payload/images $images
mkdir -p /etc/rawview /etc/systemd/system/rawview@.service.d
systemd-sysusers
: >/srv/web.raw
describe web '[Image]' "Path=$images/web.qcow2" '[View]' 'MountPoint=/srv/web.raw'

# drop_in LINE…: for all instances.
drop_in() {
    printf '%s\n' '[Service]' "$@" >/etc/systemd/system/rawview@.service.d/test.conf
    systemctl daemon-reload
}

# is_shown: it is the disk that is read.
is_shown() { timeout 10 cmp -s /srv/web.raw $images/known.raw; }
journal_says() { [[ $(journalctl --boot --no-pager --output=cat --unit=rawview@web) == *"$1"* ]]; }
is_ended() { ! kill -0 "$1" 2>/dev/null; }

test_slow_is_not_hanging() {
    local worker
    drop_in WatchdogSec=4s WatchdogSignal=SIGTERM RestartSec=100ms
    start web
    is "$(property web WatchdogUSec)" 4s "the watchdog"
    worker=$(worker_pid web)
    for _ in 1 2 3 4; do
        kill -STOP "$worker"
        sleep 1.2
        kill -CONT "$worker"
        sleep 0.2
    done
    is "$(property web NRestarts)" 0 "restarts"
    is_shown || fail "the view"
    ok "a worker that is slow is left alone"
}

test_a_worker_that_hangs() {
    local worker reader
    worker=$(worker_pid web)
    # One that asks all the time, so that its request is with the worker, and not only on the way to it.
    (while dd if=/srv/web.raw of=/dev/null bs=64k iflag=direct status=none 2>/dev/null; do :; done) &
    reader=$!
    sleep 0.3
    kill -STOP "$worker"
    wait_for 30 restarted web 1
    wait_for 30 state_is web active
    is_shown || fail "the view after the worker hung"
    # Whoever waited got an error, and may by now read from the new view.
    kill "$reader" 2>/dev/null || true
    wait_for 10 is_ended "$reader"
    is_ended "$worker" || fail "the worker that hung is still there"
    is "$(grep -c ' /srv/web.raw ' /proc/self/mountinfo)" 1 "mounts"
    wait_for 5 journal_says "Watchdog timeout"
    wait_for 5 journal_says "did not answer any more; its worker was killed"
    stop web
    not_mounted /srv/web.raw
    ok "a worker that hangs is ended, and the view comes back"
}

# The signal does not reach it; what the service manager kills leaves a dead mount.
test_a_supervisor_that_hangs() {
    local supervisor
    drop_in WatchdogSec=2s TimeoutStopSec=1s RestartSec=100ms
    start web
    supervisor=$(main_pid web)
    kill -STOP "$supervisor"
    wait_for 30 is_ended "$supervisor"
    wait_for 30 state_is web active
    is_shown || fail "the view after the supervisor hung"
    is "$(grep -c ' /srv/web.raw ' /proc/self/mountinfo)" 1 "mounts"
    stop web
    ok "a supervisor that hangs is killed, and the view comes back"
}

# Our own share of a restart: what ExecStopPost= takes away.
test_a_supervisor_that_is_killed() {
    drop_in Restart=no
    start web
    kill -KILL "$(main_pid web)"
    wait_for 20 state_is web failed
    not_mounted /srv/web.raw
    wait_for 5 journal_says "a dead view of $images/web.qcow2 was unmounted"
    systemctl reset-failed rawview@web

    start web
    describe web '[Image]' 'Path=relative'
    kill -KILL "$(main_pid web)"
    wait_for 20 state_is web failed
    not_mounted /srv/web.raw
    systemctl reset-failed rawview@web
    describe web '[Image]' "Path=$images/web.qcow2" '[View]' 'MountPoint=/srv/web.raw'

    # While a dead view of somebody else's is in the way of nobody, one that is served is left alone.
    rawview mount $images/web.qcow2 /srv/web.raw >/dev/null || fail "rawview mount"
    ! systemctl start rawview@web 2>/dev/null || fail "rawview@web started over a view"
    is "$(property web ExecMainStatus)" 75 "exit status"
    is_shown || fail "the view of somebody else was taken away"
    systemctl reset-failed rawview@web
    ok "a supervisor that is killed leaves no mount"
}

# The view of test_a_supervisor_that_is_killed is in the way, as another program with the image would be.
test_an_end_to_trying() {
    is "$(systemctl show -P StartLimitBurst -P StartLimitIntervalUSec -P RestartUSec rawview@other | tr '\n' ' ')" "10s 30min 30 " "the limits"
    mkdir -p /etc/systemd/system/rawview@web.service.d
    printf '%s\n' '[Unit]' StartLimitIntervalSec=60s StartLimitBurst=3 >/etc/systemd/system/rawview@web.service.d/limit.conf
    drop_in RestartSec=100ms
    ! systemctl start rawview@web 2>/dev/null || fail "rawview@web started over a view"
    wait_for 30 state_is web failed
    wait_for 5 journal_says "Start request repeated too quickly"
    is "$(property web NRestarts)" 3 "how often it was tried again"
    systemctl reset-failed rawview@web
    rm /etc/systemd/system/rawview@web.service.d/limit.conf

    # In time, it is tried until it works.
    drop_in RestartSec=1s
    ! systemctl start rawview@web 2>/dev/null || fail "rawview@web started over a view"
    rawview umount /srv/web.raw
    wait_for 20 state_is web active
    is_shown || fail "the view"
    stop web
    ok "what is in use is tried again, and what fails again and again is given up"
}

test_slow_is_not_hanging
test_a_worker_that_hangs
test_a_supervisor_that_hangs
test_a_supervisor_that_is_killed
test_an_end_to_trying
