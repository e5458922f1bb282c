#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A boot with views: they are up when it is done, file systems are mounted from them, and neither a broken image nor a
# broken descriptor stops it. automatic.prepare has made the descriptors.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

known=/srv/images/known.raw
# When a unit became active, in microseconds since the start.
since() { systemctl show -P ActiveEnterTimestampMonotonic "$1"; }

# At least the second unit is active, and the first one was so before it.
came_before() {
    local first second
    first=$(since "$1") second=$(since "$2")
    [ "$second" -gt 0 ] && [ "$first" -gt 0 ] && [ "$first" -le "$second" ]
}

test_boot() {
    is "$(systemctl show -P ActiveState multi-user.target)" active multi-user.target
    # bad fails, so the target has ended its wait: web may take longer.
    wait_for 60 state_is web active
    cmp /srv/images/web.qcow2 $known || fail "the view of web"
    is "$(stat -c %a /srv/images/web.qcow2)" 600 "mode of a writable view"
    has "$(systemctl show -P After multi-user.target)" rawview.target "what the boot waits for"
    is "$(state late)" activating "a view with NoFail=yes, for which the boot does not wait"
    is "$(ps -o user= -p "$(worker_pid web)")" rawview "user of the worker"
    ok "a view at boot"
}

test_fstab() {
    is "$(systemctl show -P ActiveState mnt-early.mount)" active mnt-early.mount
    cmp /mnt/early $known || fail "what is mounted from a view"
    came_before rawview@early.service mnt-early.mount || fail "it was mounted before the view was there"
    came_before mnt-early.mount local-fs.target || fail "local-fs.target did not wait for it"
    ! journalctl --boot --no-pager --output=cat | grep -i 'ordering cycle' || fail "the units go round in a circle"
    systemd-analyze verify --man=no --generators=yes default.target >/tmp/verify 2>&1 || fail "verify: $(cat /tmp/verify)"
    is "$(grep -v "^rawview-generator: /etc/rawview/broken.image:1:" /tmp/verify | grep -i -E "rawview|cycle" || true)" "" "systemd-analyze verify"
    ok "a mount of a view by /etc/fstab"
}

# bad is required and failed, so the target is not there; gone is not.
test_failures() {
    wait_for 60 state_is bad failed
    wait_for 60 state_is gone failed
    is "$(property bad ExecMainStatus)" 65 "exit status of rawview@bad"
    is "$(systemctl show -P ActiveState rawview.target)" inactive "rawview.target"
    is "$(systemctl show -P LoadState rawview@masked)" loaded rawview@masked
    is "$(state masked)$(state broken)" inactiveinactive "views of descriptors that are none"
    is "$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | grep -v rawview@)" "" "other units that failed"
    ok "what fails, fails alone"
}

# Without bad the target is reached: it waits for web, but neither waits for late nor minds gone.
test_target() {
    rm /etc/rawview/bad.image
    mkdir -p /run/systemd/system/rawview@web.service.d
    printf '[Service]\nExecStartPre=/bin/sleep 1\n' >/run/systemd/system/rawview@web.service.d/slow.conf
    systemctl daemon-reload
    systemctl stop rawview@late rawview@web
    systemctl start rawview.target || fail "rawview.target did not start"
    is "$(state web)" active "a view for which the target waits"
    came_before rawview@web.service rawview.target || fail "the target did not wait"
    is "$(state late)" activating "a view with NoFail=yes, for which the target does not wait"
    touch /run/late-may-start
    wait_for 20 state_is late active
    is "$(systemctl show -P ActiveState rawview.target)" active "rawview.target"
    is "$(state gone)" failed rawview@gone
    ok "NoFail= both ways"
}

# What one view's end means for the others.
test_stop() {
    systemctl stop rawview@web || fail "rawview@web did not stop"
    is "$(state late) $(state early)" "active active" "other views"
    systemctl stop rawview.slice || fail "rawview.slice did not stop"
    is "$(findmnt -n -t fuse.rawview || true)" "" "views after the stop of rawview.slice"
    is "$(systemctl show -P ActiveState mnt-early.mount)" inactive mnt-early.mount
    ok "one view stopped, and all of them"
}

# A user's manager reads the user's descriptors when it starts: with lingering at boot.
test_user() {
    local home=/home/u1 uid as
    useradd --create-home u1
    uid=$(id -u u1)
    install -d -o u1 -g u1 $home/.config $home/.config/rawview $home/.config/rawview/web.image.d
    install -o u1 -g u1 /srv/images/late.qcow2 $home/web.qcow2
    printf '%s\n' '[Image]' 'Path=%h/web.qcow2' '[View]' 'MountPoint=%t/rawview/web' >$home/.config/rawview/web.image
    printf '%s\n' '[Install]' Automatic=yes >$home/.config/rawview/web.image.d/boot.conf
    printf '%s\n' '[Image]' 'Path=%h/gone' '[Install]' Automatic=yes NoFail=yes >$home/.config/rawview/gone.image
    echo nonsense >$home/.config/rawview/broken.image
    ln -s /dev/zero "$home/.config/rawview/$(printf 'a\nb').image"
    as=(setpriv "--reuid=u1" "--regid=u1" --init-groups env -i "HOME=$home" "PATH=$PATH" "XDG_RUNTIME_DIR=/run/user/$uid")
    loginctl enable-linger u1
    wait_for 30 test -S "/run/user/$uid/bus"
    wait_for 30 "${as[@]}" systemctl --user --quiet is-active default.target
    is "$("${as[@]}" systemctl --user is-active rawview@web rawview.target | tr '\n' ' ')" "active active " "the view and the target"
    has "$("${as[@]}" systemctl --user show -P Wants rawview.target)" rawview@gone.service "rawview.target"
    ! [[ $("${as[@]}" systemctl --user show -P After rawview.target) == *rawview@gone.service* ]] || fail "the target waits for a view with NoFail=yes"
    "${as[@]}" cmp "/run/user/$uid/rawview/web" $known || fail "the user's view"
    is "$("${as[@]}" systemctl --user show -P SourcePath rawview@web)" $home/.config/rawview/web.image "SourcePath="
    wait_for 10 sh -c "journalctl --boot --no-pager --output=cat | grep -q 'broken.image:1: .nonsense. is neither'"
    loginctl terminate-user u1
    wait_for 60 sh -c "! grep -q ' /run/user/$uid/rawview/web ' /proc/self/mountinfo"
    ok "a user's view, when the user's manager starts"
}

test_boot
test_fstab
test_failures
test_target
test_user
test_stop
