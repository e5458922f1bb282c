#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What rawview doctor says of units that have failed, of the system and of a user, and that what it says mends them.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/images
cp -r /payload/images $images
mkdir -p /etc/rawview /etc/systemd/system/rawview@.service.d
systemd-sysusers
printf '[Service]\nRestart=no\n' >/etc/systemd/system/rawview@.service.d/once.conf
systemctl daemon-reload

# says UNIT WORDS…: what is wrong with it, all in its line.
says() {
    local unit=$1 line word
    shift
    ! rawview doctor >/tmp/out || fail "status 0: $(cat /tmp/out)"
    line=$(grep "^bad  $unit: " /tmp/out) || fail "nothing of $unit: $(cat /tmp/out)"
    for word in "$@"; do
        has "$line" "$word" "$unit"
    done
}
mend() { sed -n 's/^     -> \(.*, then: \)\?\(systemctl .*\)   (.*/\2/p' /tmp/out; }
words_are_there() {
    rawview doctor >/tmp/out || true
    grep -q "^bad  $1: .*$2" /tmp/out
}

rawview doctor || fail "something is in the way already"
has "$(rawview doctor -v)" 'ok   units: none has failed' "the manager"
ok "nothing"

describe gone '[Image]' "Path=$images/gone.qcow2"
! systemctl start rawview@gone 2>/dev/null || fail "rawview@gone started"
wait_for 10 words_are_there rawview@gone.service 'gone.qcow2: does not exist'
says rawview@gone.service 'exit-code, status 66 (there is no image)'
says gone.image 'cannot be found'
cp $images/web.qcow2 $images/gone.qcow2
eval "$(mend)"
rawview doctor || fail "still in the way"
stop gone
ok "an image that was missing"

describe broken '[Image]' "Path=$images/broken.qcow2"
! systemctl start rawview@broken 2>/dev/null || fail "rawview@broken started"
says rawview@broken.service 'status 65 (the image is damaged'
systemctl reset-failed rawview@broken
ok "a damaged image"

# Nobody hangs when the manager gives no answer.
systemctl kill --signal=STOP dbus.service 2>/dev/null || true
status=0
timeout 60 rawview doctor --json >/tmp/out || status=$?
is $status 1 "status without the bus"
has "$(cat /tmp/out)" 'gives no answer within' "a bus that hangs"
systemctl kill --signal=CONT dbus.service 2>/dev/null || true
ok "a bus that hangs"
