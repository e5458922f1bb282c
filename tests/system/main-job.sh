#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The main job by systemd: rawview@NAME shows what /etc/rawview/NAME.image says. Everything is looked at from outside the
# unit, because a unit with a mount namespace of its own would be content and useless.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/var/lib/images
cp -r /payload/images $images
mkdir -p /etc/rawview
systemd-sysusers
restart_at_once
known=$images/known.raw

identity() { sha256sum <"$1" && stat -c '%s %y' "$1"; }

test_qcow2() {
    describe web '[Image]' "Path=$images/web.qcow2" 'Format=qcow2'
    local before
    before=$(identity $images/web.qcow2)
    start web
    # At once: the size is there when the unit is.
    is "$(stat -c '%s' $images/web.qcow2)" 33554432 "size right after the start"
    is "$(stat -c '%F %a' $images/web.qcow2)" "regular file 400" "type and mode"
    is "$(state web)" active "state"
    has "$(property web StatusText)" web.qcow2 "status"
    has "$(property web StatusText)" qcow2 "status"
    has "$(file -b $images/web.qcow2)" "boot sector" "file"
    has "$(sfdisk -l $images/web.qcow2)" "web.qcow2" "sfdisk"
    cmp $images/web.qcow2 $known || fail "the view differs from the disk"
    is "$(findmnt -n -o FSTYPE,SOURCE -t fuse.rawview -M $images/web.qcow2 | tr -s ' ')" \
        "fuse.rawview $images/web.qcow2" "the mount table"
    has "$(findmnt -n -o OPTIONS -M $images/web.qcow2)" "ro," "mount options"
    has "$(rawview list)" "$images/web.qcow2" "rawview list"
    # Another user may not read it, whatever allow_other says.
    ! setpriv --reuid=65534 --regid=65534 --clear-groups head -c1 $images/web.qcow2 2>/dev/null || fail "nobody can read the view"
    stop web
    not_mounted $images/web.qcow2
    is "$(identity $images/web.qcow2)" "$before" "the image after the stop"
    ok "a qcow2 over itself, ready when readable, unchanged afterwards"
    start web
    systemctl restart rawview@web || fail "restart"
    cmp $images/web.qcow2 $known || fail "the view after a restart"
    stop web
    is "$(identity $images/web.qcow2)" "$before" "the image after a restart"
    ok "restart"
}

# confined NAME: what the kernel says of the process that reads the image.
confined() {
    local status user
    status=$(cat "/proc/$(worker_pid "$1")/status")
    user=$(id -u rawview)
    has "$status" "Uid:"$'\t'"$user"$'\t'"$user"$'\t'"$user"$'\t'"$user" "user of the worker"
    has "$status" "Groups:"$'\t '$'\n' "groups of the worker"
    has "$status" "CapPrm:"$'\t'"0000000000000000" "capabilities of the worker"
    has "$status" "CapEff:"$'\t'"0000000000000000" "capabilities of the worker"
    has "$status" "CapBnd:"$'\t'"0000000000000000" "capabilities of the worker"
    has "$status" "NoNewPrivs:"$'\t'"1" "no_new_privs of the worker"
    has "$status" "Seccomp:"$'\t'"2" "filter of the worker"
    ! [ "$(readlink "/proc/$(worker_pid "$1")/ns/net")" = "$(readlink /proc/1/ns/net)" ] || fail "the worker has the network"
    [ "$(readlink "/proc/$(worker_pid "$1")/ns/mnt")" = "$(readlink /proc/1/ns/mnt)" ] || fail "the worker has other mounts"
}

test_sandbox() {
    local program
    start web
    confined web
    program=$(readlink "/proc/$(main_pid web)/exe")
    has "$(rawview list --json=short)" '"descriptors","network-namespace","limits","capabilities","user","no-dump",' "rawview list"
    has "$(rawview list --json=short)" '"no-new-privs","landlock","seccomp"]' "rawview list"
    stop web
    mkdir -p /etc/systemd/system/rawview@.service.d
    printf '[Service]\nExecStart=\nExecStart=%s --require-sandbox %%I\n' "$program" >/etc/systemd/system/rawview@.service.d/sandbox.conf
    systemctl daemon-reload
    start web
    confined web
    stop web
    # A filter that does not know Landlock is a kernel without it.
    printf 'SystemCallFilter=~landlock_create_ruleset\n' >>/etc/systemd/system/rawview@.service.d/sandbox.conf
    systemctl daemon-reload
    refused web 77 "landlock"
    rm /etc/systemd/system/rawview@.service.d/sandbox.conf
    systemctl daemon-reload
    ok "the worker is confined under the unit, and --require-sandbox insists"
}

test_chain() {
    describe chain '[Image]' "Path=$images/chain.qcow2"
    start chain
    cmp $images/chain.qcow2 $known || fail "the chain differs from the disk"
    stop chain
    ok "a chain, its format found out"
}

test_mount_point() {
    : >/srv/view
    describe elsewhere '[Image]' "Path=$known" 'Format=raw' '[View]' 'MountPoint=/srv/view'
    start elsewhere
    cmp /srv/view $known || fail "the view elsewhere"
    not_mounted $known
    stop elsewhere
    is "$(stat -c %s /srv/view)" 0 "the mount point after the stop"
    ok "another file as mount point"
}

test_writable() {
    cp $known $images/scratch.raw
    cp $known $images/expected.raw
    describe 'my disk' '[Image]' "Path=$images/scratch.raw" 'Format=raw' '[View]' 'Writable=yes'
    local name='my\x20disk'
    start "$name"
    is "$(stat -c '%a' $images/scratch.raw)" 600 "mode of a writable view"
    local file
    for file in scratch expected; do
        printf 'written through the view' | dd of=$images/$file.raw bs=1 seek=9000001 conv=notrunc status=none
        dd if=/usr/bin/bash of=$images/$file.raw bs=1M seek=30 count=1 conv=notrunc status=none
    done
    stop "$name"
    not_mounted $images/scratch.raw
    cmp $images/scratch.raw $images/expected.raw || fail "what was written"
    ok "a writable raw view, with a blank in its name"
}

test_refusals() {
    local before
    before=$(identity $images/broken.qcow2)
    describe broken '[Image]' "Path=$images/broken.qcow2"
    refused broken 65 "broken.qcow2"
    is "$(identity $images/broken.qcow2)" "$before" "the broken image"
    describe missing '[Image]' "Path=$images/missing.qcow2"
    refused missing 66 "missing.qcow2"
    describe wrong '[Image]' "Path=$images/web.qcow2" '[View]' 'Writable=perhaps'
    refused wrong 78 "wrong.image:4"
    describe pathless '[Image]' 'Format=raw'
    refused pathless 78 "Path"
    ! systemctl start rawview@nobody 2>/dev/null || fail "started without a descriptor"
    has "$(systemctl status --no-pager --full rawview@nobody || true)" "Assertion failed" "systemctl status"
    ok "refused: no descriptor"
    describe untargeted '[Image]' "Path=$known" 'Format=raw' '[View]' 'MountPoint=/srv/not-there'
    ! systemctl start rawview@untargeted 2>/dev/null || fail "mounted over nothing"
    wait_for 5 status_says untargeted /srv/not-there
    systemctl reset-failed rawview@untargeted
    ok "refused: a mount point that is not there"
}

test_ends_from_outside() {
    local before
    before=$(identity $images/web.qcow2)
    start web
    umount $images/web.qcow2
    wait_for 5 state_is web inactive
    is "$(property web Result)" success "result after an umount from outside"
    ok "umount from outside"

    start web
    kill -KILL "$(worker_pid web)"
    wait_for 10 restarted web 1
    wait_for 10 state_is web active
    cmp $images/web.qcow2 $known || fail "the view after the worker died"
    is "$(grep -c " / $images/web.qcow2 " /proc/self/mountinfo)" 1 "mounts on top of each other"
    stop web
    is "$(identity $images/web.qcow2)" "$before" "the image after the worker died"
    ok "kill -9 of the worker: the unit starts again"

    mkdir -p /etc/systemd/system/rawview@.service.d
    printf '[Service]\nRestart=no\n' >/etc/systemd/system/rawview@.service.d/once.conf
    systemctl daemon-reload
    start web
    kill -KILL "$(worker_pid web)"
    wait_for 10 state_is web failed
    not_mounted $images/web.qcow2
    is "$(timeout 5 sha256sum <$images/web.qcow2)" "${before%%$'\n'*}" "the image after the worker died"
    is "$(property web ExecMainStatus)" 74 "exit status after the worker died"
    wait_for 5 status_says web worker
    systemctl reset-failed rawview@web
    ok "kill -9 of the worker, without restart: the unit fails, and no stale mount is left"

    start web
    # The whole service at once: nobody is left to unmount, except what the unit itself brings along.
    systemctl kill --kill-whom=all --signal=KILL rawview@web
    wait_for 10 state_is web failed
    systemctl reset-failed rawview@web
    start web
    timeout 20 cmp $images/web.qcow2 $known || fail "the view after kill -9 of everything"
    is "$(grep -c " / $images/web.qcow2 " /proc/self/mountinfo)" 1 "mounts on top of each other"
    stop web
    not_mounted $images/web.qcow2
    is "$(identity $images/web.qcow2)" "$before" "the image at the end"
    ok "kill -9 of everything: the next start heals it"
}

# A view that is in use when the service stops: the stop waits for the reader or lets the view go, it does not hang.
test_stop_in_use() {
    start web
    exec 5<$images/web.qcow2
    head -c 4096 <&5 >/dev/null
    local began=$SECONDS
    systemctl stop rawview@web || fail "stop with an open file"
    [ $((SECONDS - began)) -lt 60 ] || fail "the stop took $((SECONDS - began)) s"
    exec 5<&-
    not_mounted $images/web.qcow2
    systemctl reset-failed rawview@web 2>/dev/null || true
    ok "stop with a reader: $((SECONDS - began)) s"
}

test_unit_file() {
    systemd-analyze verify --man=no rawview@web.service || fail "systemd-analyze verify"
    ok "the unit file"
}

test_unit_file
test_qcow2
test_sandbox
test_chain
test_mount_point
test_writable
test_refusals
test_ends_from_outside
test_stop_in_use
