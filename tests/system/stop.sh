#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `systemctl stop` of a view that is in use by all who can: a reader that stays, a writer past the page cache and one
# through it, both in full flow, and newcomers. What is on disk then is looked at outside, by stop.verify.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/var/lib/images
cp -r /payload/images $images
mkdir -p /etc/rawview /etc/systemd/system/rawview@.service.d
systemd-sysusers
: >/srv/vm.raw
describe vm '[Image]' "Path=$images/vm.qcow2" '[View]' 'Writable=yes' 'MountPoint=/srv/vm.raw'
# Shorter than the stop takes: rawviewd asks for more.
printf '%s\n' '[Service]' TimeoutStopSec=3s >/etc/systemd/system/rawview@.service.d/test.conf
systemctl daemon-reload

status_says() { [[ $(property vm StatusText) == *"$1"* ]]; }
is_ended() { ! kill -0 "$1" 2>/dev/null; }

# write_on PLACE FLAGS: one MiB after the other within 64 from PLACE on, again and again until there is an error.
write_on() {
    perl -e '
        use Fcntl;
        my ($place, $flags) = ($ARGV[0], eval $ARGV[1]);
        sysopen(my $view, "/srv/vm.raw", O_WRONLY | $flags) or die "$!";
        my $block = substr("written at $place " x 100000, 0, 1 << 20);
        my $i = 0;
        while (sysseek($view, ($place + $i % 64) << 20, 0) && defined syswrite($view, $block)) { $i++ }
        print "$i $!\n"' "$1" "$2" >"/run/writer-$1"
}

test_stop_in_full_use() {
    local began stopper writers=() taken
    start vm
    printf 'the first sector' | dd of=/srv/vm.raw conv=notrunc status=none
    exec 5</srv/vm.raw
    write_on 1 0 &
    writers+=($!)
    write_on 128 O_DIRECT &
    writers+=($!)
    sleep 1
    began=$SECONDS
    systemctl stop rawview@vm &
    stopper=$!
    wait_for 20 status_says "Waiting for"
    status_says "(pid " || fail "nobody is named: $(property vm StatusText)"
    # Refused, or the empty file that lies beneath.
    head -c 1 /srv/vm.raw >/run/newcomer 2>/dev/null || true
    [ ! -s /run/newcomer ] || fail "the view could still be opened"
    wait $stopper || fail "the stop"
    taken=$((SECONDS - began))
    [ $taken -lt 45 ] || fail "the stop took $taken s"
    is "$(property vm Result)" success "result"
    is "$(state vm)" inactive "state"
    not_mounted /srv/vm.raw

    # All is over when the stop is: no lock is left, no process, and the image is sound.
    ! pgrep -x rawviewd || fail "a supervisor is left"
    ! pgrep -x rawview-worker || fail "a worker is left"
    rawview check $images/vm.qcow2 || fail "rawview check"
    rawview mount -w $images/vm.qcow2 /srv/vm.raw >/dev/null || fail "the image is locked still"
    is "$(head -c 16 /srv/vm.raw)" 'the first sector' "what was written first"
    rawview umount /srv/vm.raw
    # Not from the kernel's memory of what was written.
    ! dd bs=1M skip=250 count=1 status=none <&5 >/dev/null 2>/run/reader || fail "the reader still reads"
    has "$(cat /run/reader)" "not connected" "what the reader is told"
    exec 5<&-
    for pid in "${writers[@]}"; do wait_for 10 is_ended "$pid"; done
    has "$(cat /run/writer-1)" "onne" "what the writer is told"
    has "$(cat /run/writer-128)" "onne" "what the direct writer is told"
    cp $images/vm.qcow2 /results/
    ok "stopped in $taken s; the writers were told $(cat /run/writer-1 /run/writer-128 | paste -sd' ')"
}

test_stop_in_full_use
