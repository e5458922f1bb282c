#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A writable qcow2 by systemd: what was written is in the image when `systemctl stop` returns, also when somebody was
# writing meanwhile. What the images hold then is looked at outside, by written.verify.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/var/lib/images
cp -r /payload/images $images
mkdir -p /etc/rawview
systemd-sysusers
: >/srv/flow.raw

printf '%s\n' '[Image]' "Path=$images/vm.qcow2" '[View]' 'Writable=yes' >/etc/rawview/vm.image
printf '%s\n' '[Image]' "Path=$images/flow.qcow2" '[View]' 'Writable=yes' 'MountPoint=/srv/flow.raw' >/etc/rawview/flow.image

# stopped NAME: a good end.
stopped() {
    is "$(systemctl show -P Result "rawview@$1")" success "result of rawview@$1"
    is "$(systemctl show -P ActiveState "rawview@$1")" inactive "state of rawview@$1"
    ! grep fuse.rawview /proc/self/mountinfo || fail "a view is left"
}

test_written() {
    local target
    cp $images/known.raw /results/vm.raw
    systemctl start rawview@vm || fail "rawview@vm did not start"
    is "$(stat -c '%a %s' $images/vm.qcow2)" "600 33554432" "mode and size"
    for target in $images/vm.qcow2 /results/vm.raw; do
        printf 'written through the view' | dd of="$target" bs=1 seek=9000001 conv=notrunc status=none
        dd if=/usr/bin/bash of="$target" bs=64k seek=400 count=16 conv=notrunc status=none
        fallocate --punch-hole --offset 1000000 --length 5000000 "$target"
    done
    # Nothing is synced by the writer: the stop does it.
    systemctl stop rawview@vm || fail "rawview@vm did not stop"
    stopped vm
    cp $images/vm.qcow2 $images/base.qcow2 /results/
    ok "written, and stopped"
}

# Block after block, each with its number; what is synced is written down.
test_stopped_in_mid_write() {
    local began
    systemctl start rawview@flow || fail "rawview@flow did not start"
    perl -e '
        use IO::Handle;
        open(my $view, "+<:raw", $ARGV[0]) or die "$ARGV[0]: $!";
        open(my $journal, ">", $ARGV[1]) or die "$ARGV[1]: $!";
        $journal->autoflush(1);
        for (my $i = 0; ; $i++) {
            # 4001 has no divisor in common with 8192: all blocks, in no order.
            my $block = $i * 4001 % 8192;
            sysseek($view, $block * 4096, 0) or last;
            (syswrite($view, sprintf("%-4096s", "block $block by write $i")) // 0) == 4096 or last;
            next unless $i % 8 == 7;
            $view->sync or last;
            print $journal "$i\n";
        }
        print $journal "end: $!\n"' /srv/flow.raw /results/flow.journal &
    sleep 1.5
    [ -s /results/flow.journal ] || fail "nothing is synced"
    began=$SECONDS
    systemctl stop rawview@flow || fail "rawview@flow did not stop"
    [ $((SECONDS - began)) -lt 60 ] || fail "the stop took $((SECONDS - began)) s"
    wait $! || fail "the writer failed"
    stopped flow
    cp $images/flow.qcow2 /results/
    ok "stopped while somebody wrote: $((SECONDS - began)) s, then $(tail -n 1 /results/flow.journal)"
}

test_written
test_stopped_in_mid_write
