#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the unit takes from rawviewd: systemd's own judgement, the processes of a view, that nothing is missing for folders
# and images of others, and that every directive that the unit goes without does hide the view from everybody else.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

# The exposure level of systemd 252, in tenths. docs/SECURITY.md quotes it (unit.prepare), and why it is no smaller.
exposure=43

images=/var/lib/images
cp -r /payload/images $images
mkdir -p /etc/rawview
systemd-sysusers
restart_at_once
known=$images/known.raw
dropin=/etc/systemd/system/rawview@.service.d
describe web '[Image]' "Path=$images/web.qcow2"

test_exposure() {
    systemd-analyze security --no-pager rawview@web.service
    systemd-analyze security --no-pager --threshold=$exposure rawview@web.service >/dev/null || fail "more exposed than $exposure tenths"
    ! systemd-analyze security --no-pager --threshold=$((exposure - 1)) rawview@web.service >/dev/null ||
        fail "less exposed than $exposure tenths: say so here and in docs/SECURITY.md"
    ok "exposure level ${exposure%?}.${exposure#?}, systemd $(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')"
}

# is_in_status PID KEY VALUE
is_in_status() { is "$(sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status")" "$3" "$2 of $(cat "/proc/$1/comm")"; }

# CAP_SYS_ADMIN, CAP_KILL and CAP_DAC_READ_SEARCH are left of what the unit gives; nothing for a program it might start.
keeps_little() {
    local supervisor worker set
    supervisor=$(main_pid "$1")
    worker=$(worker_pid "$1")
    is_in_status "$supervisor" CapEff 0000000000200024
    is_in_status "$supervisor" CapPrm 0000000000200024
    for set in CapBnd CapInh CapAmb; do is_in_status "$supervisor" $set 0000000000000000; done
    for set in CapEff CapPrm CapBnd CapInh CapAmb; do is_in_status "$worker" $set 0000000000000000; done
    is_in_status "$supervisor" NoNewPrivs 1
    is_in_status "$supervisor" Seccomp 2
}

test_processes() {
    start web
    keeps_little web
    stop web
    ok "what the supervisor keeps"
}

# The file goes to the kernel with an ioctl and CAP_SYS_ADMIN. By hand it does, where the kernel takes it at all; not from
# overlayfs, which the root of this machine is.
test_passthrough() {
    local by_hand
    install -d /run/plain
    cp $known /run/plain/known.raw
    rawview mount -p /run/plain/pid -f raw -w --growable /run/plain/known.raw >/dev/null || fail "rawview mount"
    by_hand=$(passes_through)
    umount /run/plain/known.raw
    wait_for 10 test ! -e /run/plain/pid
    describe plain '[Image]' 'Path=/run/plain/known.raw' 'Format=raw' '[View]' 'Writable=yes' 'Growable=yes'
    start plain
    keeps_little plain
    is "$(passes_through)" "$by_hand" "passthrough in the unit"
    printf written | dd of=/run/plain/known.raw bs=1 seek=5000 conv=notrunc,fsync status=none
    stop plain
    is "$(dd if=/run/plain/known.raw bs=1 skip=5000 count=7 status=none)" written "what was written"
    if [ "$by_hand" = '"passthrough":true' ]; then ok "passthrough"; else ok "left out: this kernel has no passthrough"; fi
}

passes_through() { rawview list --json=short | grep -o '"passthrough":[a-z]*'; }

# An image of somebody else's in a folder that only they may enter.
test_somebody_elses() {
    install -d -m 700 -o nobody /srv/theirs
    install -m 600 -o nobody $images/web.qcow2 $known /srv/theirs/
    describe theirs '[Image]' 'Path=/srv/theirs/web.qcow2' '[View]' 'Owner=nobody'
    start theirs
    keeps_little theirs
    is "$(stat -c '%U %a' /srv/theirs/web.qcow2)" "nobody 400" "owner and mode"
    setpriv --reuid=nobody --clear-groups cmp /srv/theirs/web.qcow2 /srv/theirs/known.raw || fail "the view of somebody else's image"
    kill -KILL "$(worker_pid theirs)"
    wait_for 10 restarted theirs 1
    wait_for 10 state_is theirs active
    cmp /srv/theirs/web.qcow2 $known || fail "the view after the worker died"
    exec 5</srv/theirs/web.qcow2
    stop theirs
    exec 5<&-
    not_mounted /srv/theirs/web.qcow2

    describe theirs '[Image]' 'Path=/srv/theirs/known.raw' 'Format=raw' '[View]' 'Writable=yes'
    start theirs
    printf written | dd of=/srv/theirs/known.raw bs=1 seek=5000 conv=notrunc status=none
    stop theirs
    is "$(dd if=/srv/theirs/known.raw bs=1 skip=5000 count=7 status=none)" written "what was written"
    is "$(stat -c '%U %a' /srv/theirs/known.raw)" "nobody 600" "owner and mode of the image"
    ok "an image of somebody else's, in a folder of theirs"
}

# QEMU's lock of one who writes (byte 101), held by another user.
test_lock_holder() {
    chmod 644 $images/web.qcow2
    coproc HOLDER {
        # shellcheck disable=SC2016
        setpriv --reuid=nobody --clear-groups perl -e '
            $| = 1;
            open(my $image, "<", $ARGV[0]) or die "$!";
            my $lock = pack("s s x4 q q i x4", 0, 0, 101, 1, 0);
            fcntl($image, 37, $lock) or die "$!";
            print "held\n";
            <STDIN>' $images/web.qcow2
    }
    local answer pid
    read -r -t 10 answer <&"${HOLDER[0]}"
    is "$answer" held "the holder"
    pid=$(pgrep -u nobody perl)
    # It is tried again and again.
    ! systemctl start rawview@web 2>/dev/null || fail "rawview@web started"
    wait_for 5 status_says web "is in use by perl (pid $pid), which writes to it"
    systemctl stop rawview@web
    echo >&"${HOLDER[1]}"
    wait "$HOLDER_PID" || fail "the holder"
    ok "the holder of a lock is named, though it is another user"
}

# Where the view is once the unit is up with one directive more: visible, hidden (the unit is content), or failed.
view_with() {
    local found=visible
    printf '[Service]\nRestart=no\n%s\n' "$1" >$dropin/one.conf
    systemctl daemon-reload
    if ! systemctl start rawview@web 2>/dev/null; then
        found=failed
    elif ! grep -q " / $images/web.qcow2 " /proc/self/mountinfo; then
        found=hidden
    fi
    systemctl stop rawview@web || true
    systemctl reset-failed rawview@web 2>/dev/null || true
    echo $found
}

test_left_out() {
    local directive
    mkdir -p $dropin
    is "$(view_with '')" visible "the unit as it is"
    for directive in InaccessiblePaths=/home LogNamespace=other NoExecPaths=/home PrivateIPC=yes PrivateMounts=yes PrivateTmp=yes \
        ProcSubset=pid ProtectControlGroups=yes ProtectHome=yes ProtectKernelLogs=yes ProtectKernelModules=yes \
        ProtectKernelTunables=yes ProtectProc=invisible ProtectSystem=yes ReadOnlyPaths=/home TemporaryFileSystem=/mnt; do
        is "$(view_with $directive)" hidden "$directive"
        echo "left out: $directive hides the view"
    done
    for directive in PrivateDevices=yes PrivateUsers=yes SecureBits=noroot DynamicUser=yes SystemCallFilter=~@mount SystemCallFilter=~@privileged \
        CapabilityBoundingSet=~CAP_SYS_ADMIN 'CapabilityBoundingSet=~CAP_SETUID'; do
        is "$(view_with "$directive")" failed "$directive"
        echo "left out: with $directive there is no view"
    done
    rm $dropin/one.conf
    systemctl daemon-reload
    ok "what the unit goes without"
}

# References are resolved with openat2(2), which RestrictSUIDSGID= takes away; what it is for the unit has otherwise.
test_no_setuid_files() {
    mkdir -p $dropin
    describe chain '[Image]' "Path=$images/chain.qcow2"
    start chain
    cmp $images/chain.qcow2 $known || fail "the chain"
    stop chain
    printf '[Service]\nRestart=no\nRestrictSUIDSGID=yes\n' >$dropin/one.conf
    systemctl daemon-reload
    ! systemctl start rawview@chain 2>/dev/null || fail "RestrictSUIDSGID= could be used now"
    systemctl reset-failed rawview@chain
    rm $dropin/one.conf
    systemctl daemon-reload
    is "$(systemd-run --quiet --wait --pipe -p "SystemCallFilter=$(systemctl show -P SystemCallFilter rawview@chain)" \
        -p SystemCallErrorNumber=EPERM perl -e 'print chmod(04755, "/etc/rawview") ? "done" : $!{EPERM} ? "EPERM" : "other"')" EPERM "chmod under the unit's filter"
    ok "no setuid files, and backing files all the same"
}

test_exposure
test_processes
test_passthrough
test_somebody_elses
test_lock_holder
test_left_out
test_no_setuid_files
