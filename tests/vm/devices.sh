#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What only a machine of its own has: udev with loop devices, device policy, memory that is counted.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/images
names=/dev/disk/by-rawview

test_machine() {
    is "$(cat /proc/1/comm)" systemd "PID 1"
    is "$(cat /sys/module/apparmor/parameters/enabled)" Y "AppArmor"
    is "$(systemctl --failed --no-legend --plain | cut -d' ' -f1)" "" "units that failed at boot"
    is "$(findmnt -n -o FSTYPE /)" ext4 "the root file system"
    rawview --version
    ok "the machine"
}

links() {
    udevadm settle
    find $names -mindepth 1 -printf '%f\n' 2>/dev/null | sort | tr '\n' ' ' || true
}
services() { systemctl list-units --all --plain --no-legend --type=service,mount,swap,target | cut -d' ' -f1 | sort; }
attach() { losetup --find --show --partscan "$1"; }
device_property() { udevadm info --query=property --property="$2" --value "$1"; }

test_names() {
    local before after web
    before=$(services)
    web=$(attach /run/rawview/web)
    is "$(links)" 'web web-part1 web-part2 ' "names of $web"
    is "$(readlink -f $names/web)" "$web" "the disk"
    is "$(readlink -f $names/web-part2)" "${web}p2" "the second partition"
    cmp $names/web $images/known.raw || fail "the disk by its name"
    cmp --ignore-initial=0:1048576 --bytes=4194304 $names/web-part1 $images/known.raw || fail "the first partition by its name"

    is "$(device_property "$web" UDISKS_AUTO)" 0 "UDISKS_AUTO"
    is "$(device_property "$web" UDISKS_NAME)" web "UDISKS_NAME"
    is "$(device_property "${web}p1" UDISKS_NAME)" web-part1 "UDISKS_NAME of a partition"
    is "$(device_property "$web" SYSTEMD_WANTS)$(device_property "${web}p1" SYSTEMD_WANTS)" "" "what udev would have started"
    after=$(services)
    is "$(comm -13 <(echo "$before") <(echo "$after"))" "" "units that started with the loop device"
    udevadm test "/sys/block/${web#/dev/}" >/results/udevadm-test 2>&1 || fail "udevadm test"
    ! grep -iE '61-rawview.rules.*(invalid|unknown|fail)' /results/udevadm-test || fail "udevadm test complains"
    grep -q "disk/by-rawview/web" /results/udevadm-test || fail "udevadm test does not know the name"
    ! udevadm verify --help >/dev/null 2>&1 || udevadm verify --resolve-names=never /lib/udev/rules.d/61-rawview.rules

    systemctl start udisks2
    udisksctl info --block-device "$web" >/results/udisks
    grep -Eq 'HintAuto: +false' /results/udisks || fail "udisks would mount it"
    grep -Eq 'HintSystem: +true' /results/udisks || fail "udisks takes it for a stick"
    grep -Eq 'HintName: +web$' /results/udisks || fail "udisks does not know the name"
    systemctl stop udisks2

    losetup --detach $names/web
    is "$(links)" '' "names after the loop device"
    ok "names come and go with the loop device, and start nothing"
}

# One of the view's own: what start and mount promise is there when they return, which nobody settles here.
test_own_loop() {
    local node out
    describe own '[Image]' "Path=$images/web.qcow2" '[View]' MountPoint=/run/rawview/own Loop=yes
    systemctl daemon-reload
    start own
    node=$(losetup --noheadings --output NAME --associated /run/rawview/own)
    is "$(readlink -f $names/own)" "$node" "the disk"
    is "$(readlink -f $names/own-part2)" "${node}p2" "the second partition"
    cmp --ignore-initial=0:1048576 --bytes=4194304 $names/own-part1 $images/known.raw || fail "the first partition"
    has "$(systemctl status --no-pager own 2>/dev/null; property own StatusText)" "$node" "the status"
    stop own
    is "$(losetup --noheadings --associated /run/rawview/own)" "" "the loop device after a stop"
    is "$(links)" '' "names after a stop"

    : >/run/rawview/own
    out=$(rawview mount --loop $images/web.qcow2 /run/rawview/own) || fail "rawview mount --loop"
    node=$(sed -n 2p <<<"$out")
    is "$out" "$(printf '%s\n' /run/rawview/own "$node" "${node}p1" "${node}p2")" "what is printed"
    is "$(device_property "${node}p2" UDISKS_NAME)" own-part2 "what udev knows"
    rawview umount /run/rawview/own || fail "rawview umount with a loop device"
    is "$(losetup --noheadings --associated /run/rawview/own)" "" "the loop device after umount"

    # Sectors of 4096 bytes, as the table in the view has them.
    out=$(rawview mount --loop $images/large.qcow2 /run/rawview/own) || fail "large sectors"
    node=$(sed -n 2p <<<"$out")
    is "$(blockdev --getss "$node") $(sed 1,2d <<<"$out")" "4096 ${node}p1" "large sectors"
    is "$(readlink -f $names/own-part1)" "${node}p1" "a partition in large sectors"
    rawview umount /run/rawview/own || fail "rawview umount"
    rm /etc/rawview/own.image
    systemctl daemon-reload
    ok "a loop device of the view's own, with partitions and names"
}

# "NUMBER START SIZE" of what the kernel has found on the loop device; of a frame it has the beginning.
kernel_found() {
    local part
    for part in /sys/block/"${1#/dev/}"/"${1#/dev/}"p*; do
        echo "${part##*p} $(($(cat "$part/start") * 512)) $(($(cat "$part/size") * 512))"
    done | sort -n | awk '$3 > 4096'
}

# The kernel of this machine knows no disklabels; those are compared with libblkid by integration `partitions`.
test_same_partitions() {
    local node
    : >/run/rawview/own
    rawview partitions --no-legend -f raw $images/large-mbr.raw | awk '!/ (Extended|W95 Ext)/ { print $1, $2, $3 }' >/results/found
    is "$(wc -l </results/found)" 3 "partitions"
    node=$(rawview mount -f raw --loop $images/large-mbr.raw /run/rawview/own | sed -n 2p) || fail "large-mbr"
    is "$(blockdev --getss "$node")" 4096 "sectors"
    is "$(kernel_found "$node")" "$(cat /results/found)" "what the kernel finds"
    rawview umount /run/rawview/own || fail "rawview umount"
    rm $images/large-mbr.raw
    ok "the kernel finds the same partitions of an MBR in large sectors"
}

# Loop devices over all that is no view of root's, and over what only looks like one.
test_no_names() {
    local plain spoof users
    plain=$(attach $images/known.raw)
    useradd --create-home eve
    install -o eve -m 600 $images/web.qcow2 /home/eve/web
    echo user_allow_other >>/etc/fuse.conf
    runuser -u eve -- rawview mount --allow-other=yes --mode=644 /home/eve/web || fail "a view of a user's"
    users=$(attach /home/eve/web)
    # udisks attaches files of users, and in a mount that is nowhere any more, or in a namespace, these have any path.
    mount -t tmpfs tmpfs /mnt
    mkdir -p /mnt/run/rawview
    cp $images/known.raw /mnt/run/rawview/web
    spoof=$(attach /mnt/run/rawview/web)
    umount --lazy /mnt
    is "$(cat "/sys/block/${spoof#/dev/}/loop/backing_file")" /run/rawview/web "the path of another file"
    udevadm trigger --settle "/sys/block/${spoof#/dev/}"
    is "$(links)" '' "names that are nobody's"
    ! /lib/udev/rawview-id "${spoof#/dev/}" 2>/results/spoof || fail "the other file got a name"
    grep -q "no view of root's" /results/spoof || fail "$(cat /results/spoof)"
    losetup --detach "$plain" "$users" "$spoof"
    runuser -u eve -- rawview umount /home/eve/web
    ok "no name for anything else, also not with the path of a view"
}

test_hostile_name() {
    local odd=$'/srv/a "b\nRAWVIEW_NAME=sda $c' loop
    cp $images/web.qcow2 "$odd"
    rawview mount "$odd" >/dev/null || fail "a view with an odd name"
    loop=$(attach "$odd")
    is "$(links)" 'a\x20\x22b\x0aRAWVIEW_NAME=sda\x20\x24c a\x20\x22b\x0aRAWVIEW_NAME=sda\x20\x24c-part1 a\x20\x22b\x0aRAWVIEW_NAME=sda\x20\x24c-part2 ' "an odd name"
    losetup --detach "$loop"
    # Two views with one file name: the first has it.
    mkdir /srv/other
    cp $images/web.qcow2 /srv/other/web
    rawview mount /srv/other/web >/dev/null
    loop=$(attach /srv/other/web)
    is "$(links)" '' "the name of another view"
    losetup --detach "$loop"
    rawview umount /srv/other/web "$odd"
    ok "odd names, and names that are taken"
}

# A server that hangs holds nobody up who only asks for the name.
test_stuck() {
    local loop worker
    loop=$(attach /run/rawview/web)
    links >/dev/null
    worker=$(worker_pid web)
    kill -STOP "$worker"
    timeout 60 /lib/udev/rawview-id "${loop#/dev/}" >/results/stuck 2>&1 || [ $? = 1 ] || fail "the name waits for the server"
    kill -CONT "$worker"
    cat /results/stuck
    losetup --detach "$loop"
    ok "a server that hangs"
}

# disk.image was there at boot, Automatic=yes; its image is a disk of the machine. Devices are closed to the service but for
# the one that the generator has read of.
test_block_device() {
    local disk=/dev/disk/by-id/virtio-image
    is "$(state disk)" active "the view of a disk, at boot"
    has "$(property disk BindsTo)" image.device "what it is bound to"
    journalctl -b -o cat | grep -n -E 'Found device dev-disk-by.*virtio.x2dimage|Starting rawview@disk.service' >/results/order || true
    has "$(head -n 1 /results/order)" 'Found device' "what came first"
    cmp /run/rawview/disk $images/known.raw || fail "the view of a block device"
    stop disk

    describe disk '[Image]' "Path=$disk" '[View]' MountPoint=/run/rawview/disk Writable=yes
    refused disk 77 "$disk"
    systemctl daemon-reload
    start disk
    echo written | dd of=/run/rawview/disk bs=1 seek=5000 conv=notrunc status=none
    stop disk
    rawview check $disk || fail "the image on the block device"
    describe other '[Image]' "Path=$(readlink -f $disk)" '[View]' MountPoint=/run/rawview/disk
    refused other 77 "$(readlink -f $disk)"
    rm /etc/rawview/{disk,other}.image
    systemctl daemon-reload
    ok "an image that is a block device"
}

# The kernel must not want a file system on the view to be written to before the worker gets memory.
test_flusher() {
    local flags worker
    truncate -s 16M $images/flusher.raw
    describe flusher '[Image]' "Path=$images/flusher.raw" Format=raw '[View]' MountPoint=/run/rawview/flusher Writable=yes
    systemctl daemon-reload
    start flusher
    worker=$(pgrep -P "$(property flusher MainPID)" rawview-worker)
    while read -r flags; do
        # PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE
        is "$((flags & 0x180000))" "$((0x180000))" "flags of a thread"
    done < <(awk '{ print $9 }' "/proc/$worker"/task/*/stat)
    stop flusher
    rm /etc/rawview/flusher.image $images/flusher.raw
    systemctl daemon-reload
    ok "a worker that is an I/O flusher"
}

available_mib() { awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo; }

# A file system on a loop device on a view, when there is hardly any memory that is not to be written first: more is written to
# it than fits.
test_pressure() {
    local loop count=0
    describe pressure '[Image]' "Path=$images/pressure.qcow2" '[View]' MountPoint=/run/rawview/pressure Writable=yes
    systemctl daemon-reload
    start pressure
    loop=$(losetup --find --show /run/rawview/pressure)
    mkfs.ext4 -q "$loop"
    mkdir -p /mnt/pressure /mnt/hog
    mount "$loop" /mnt/pressure
    mount -t tmpfs -o size=100% tmpfs /mnt/hog
    while [ "$(available_mib)" -gt 40 ]; do
        dd if=/dev/zero of=/mnt/hog/$((count++)) bs=1M count=8 status=none
    done
    # The limit is for a machine that has come to a standstill.
    timeout 240 dd if=/dev/urandom of=/mnt/pressure/file bs=1M count=48 conv=fsync status=none || fail "writing under pressure: $?"
    echo "$(available_mib) MiB were left"
    umount /mnt/hog
    sha256sum </mnt/pressure/file >/results/written
    umount /mnt/pressure
    mount -o ro "$loop" /mnt/pressure
    is "$(sha256sum </mnt/pressure/file)" "$(cat /results/written)" "what was written under pressure"
    umount /mnt/pressure
    losetup --detach "$loop"
    stop pressure
    rawview check $images/pressure.qcow2 || fail "the image that was written under pressure"
    rm /etc/rawview/pressure.image $images/pressure.qcow2
    systemctl daemon-reload
    ok "writing through a loop device without memory"
}

# What people look at.
test_status() {
    systemctl status --no-pager --full rawview@web >/results/status.web || fail "systemctl status"
    grep -E '^ *(Status|Memory|Tasks):' /results/status.web
    grep -q 'Status: ".*web.qcow2 (qcow2, 16M, read-only) as /run/rawview/web' /results/status.web || fail "the status"
    [ "$(property web MemoryCurrent)" -lt $((48 << 20)) ] || fail "the service has $(property web MemoryCurrent) bytes"
    is "$(property web Slice)" rawview.slice "slice"
    ok "systemctl status"
}

test_machine
test_block_device
test_flusher
test_pressure
describe web '[Image]' "Path=$images/web.qcow2" '[View]' 'MountPoint=/run/rawview/web'
systemctl daemon-reload
start web
test_names
test_own_loop
test_same_partitions
test_no_names
test_hostile_name
test_stuck
test_status
stop web
