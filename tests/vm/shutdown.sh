#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shutdown.sh BOOT: views at boot, with file systems in them, and the way down. The images lie on a file system of their own. View a
# holds one of /etc/fstab; on b is a loop device that was made by hand, with a file system mounted by hand, of which no unit of ours
# knows; into c somebody writes until the end. The first boot ends with a reboot, the second with the power off.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

boot=$1

test_boot() {
    local name
    for name in a b c; do
        is "$(state $name)" active "rawview@$name"
        has "$(property $name RequiresMountsFor)" /srv/images "rawview@$name"
    done
    is "$(findmnt -n -o FSTYPE --mountpoint /mnt/a)" ext4 "the file system in a view"
    is "$(findmnt -n -o FSTYPE --mountpoint /srv/images)" ext4 "the file system of the images"
    is "$(cat "/sys/block/$(basename "$(findmnt -n -o SOURCE --mountpoint /mnt/a)")/loop/backing_file")" /run/rawview/a "what is mounted"
    is "$(grep -E '^[abc]: ' /results/check | tr '\n' ' ')" 'a: 0 b: 0 c: 0 ' "rawview check before anything shows the images"
    ok "boot $boot: file systems in views are mounted at boot"
}

# Everything that can be wrong with a descriptor or image: the boot got here, and what failed is what had to.
test_broken() {
    is "$(systemctl is-active multi-user.target local-fs.target | sort -u)" active "the boot's targets"
    is "$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | sort | tr '\n' ' ')" 'rawview@broken.service rawview@gone.service ' "what failed"
    is "$(property broken ExecMainStatus) $(property gone ExecMainStatus)" "65 66" "exit status"
    is "$(state nowhere)" inactive "a view whose device is not there"
    ! journalctl -b -o cat | grep -i 'ordering cycle' || fail "an ordering cycle"
    ok "boot $boot: broken descriptors and images stop nothing"
}

# by_hand: the partition by the name that udev gives.
by_hand() {
    losetup --find --partscan /run/rawview/b
    udevadm settle
    mount /dev/disk/by-rawview/b-part1 /mnt/b
}

write_until_the_end() {
    systemd-run --quiet --unit=writer --property=DefaultDependencies=no --property=Conflicts=shutdown.target /payload/writer
}

write_data() {
    seq "$boot" 200000 >/mnt/a/data
    seq "$boot" 150000 >/mnt/b/data
    md5sum /mnt/a/data /mnt/b/data >/results/sums
    write_until_the_end
    wait_for 60 test -s /results/writer
}

# in_order TEXT…: what the journal of the last boot says, one after the other.
in_order() {
    local last=0 line text
    for text; do
        line=$(grep -n -m 1 -E "$text" /results/last | cut -d: -f1) || fail "the journal of the last boot does not say '$text'"
        [ "$line" -gt "$last" ] || fail "'$text' came too early at the shutdown"
        last=$line
    done
}

# What the journal has from the moment on at which the machine was told to end.
test_way_down() {
    journalctl -b -1 -o short-monotonic --no-pager | sed -n '/system will reboot now/,$p' >/results/last
    in_order 'Unmounted mnt-a.mount' 'Stopped rawview@a.service' 'Unmounted srv-images.mount'
    in_order 'Unmounted mnt-b.mount' 'Unmounted srv-images.mount'
    in_order 'Stopped rawview@b.service' 'Unmounted srv-images.mount'
    in_order 'Stopped rawview@c.service' 'Unmounted srv-images.mount'
    # systemd tries to unmount b, too, and cannot, as long as it has its loop device.
    ! grep -E 'Failed unmounting|is in use; it is unmounted|I/O error|timed out|SIGKILL' /results/last | grep -v 'rawview[-/]b' ||
        fail "the shutdown was not clean"
    ok "the last shutdown: file system, loop device, view, image's file system"
}

test_data() {
    by_hand
    md5sum --check --quiet /results/sums || fail "data is missing"
    ! journalctl -b -k -o cat | grep -E 'EXT4-fs \((loop.*|vdb)\): (recover|.*orphan|.*mounting unchecked)' || fail "a file system was not unmounted"
    is "$(journalctl -b -k -o cat | grep -c -E 'EXT4-fs \(loop.*\): mounted')" 2 "file systems in views"
    ok "all data is there, and no file system needed its journal"
}

if [ "$boot" = 1 ]; then
    test_boot
    test_broken
    by_hand
    write_data
    exit 200
fi
test_boot
test_broken
test_way_down
test_data
write_data
