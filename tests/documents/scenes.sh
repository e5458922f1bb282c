# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the recipes of documents begin with: functions scene_NAME, called by recipes.py as root in an empty /home/alice, with
# -euc. The same bytes each time, but for times. end_NAME, where there is one, stops what a scene has started.

# disk FILE: a guest's raw disk of 64 MiB: MBR, a partition with ext4, some files in it.
disk()
{
    mkdir -p tree/etc tree/home/web tree/var/log
    echo web >tree/etc/hostname
    printf 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n' >tree/etc/os-release
    echo 'root:x:0:0:root:/root:/bin/bash' >tree/etc/passwd
    seq 20000 >tree/home/web/numbers
    echo 'the plans' >tree/home/web/plans.txt
    echo 'Nov 28 23:59:01 web sshd[812]: Accepted password for root' >tree/var/log/auth.log
    truncate -s 64M "$1"
    printf '%s\n' 'label: dos' 'label-id: 0x2e8d6a17' 'start=2048, type=83, bootable' | sfdisk --quiet "$1"
    chown -R 0:0 tree
    mkfs.ext4 -q -F -d tree -L root -U 0b5e7f0e-7b1c-4c5e-9d0a-5f6a3c1b2d4e -E offset=1048576,hash_seed=0b5e7f0e-7b1c-4c5e-9d0a-5f6a3c1b2d4e "$1" 63M
    rm -r tree
}

# The image of a guest in one's own folder.
scene_guest()
{
    disk disk
    qemu-img convert -f raw -O qcow2 -o cluster_size=64k disk web.qcow2
    rm disk
}

# The same where libvirt has it, and root; libvirt's daemon runs, without what a container has not.
scene_libvirt()
{
    mkdir -p /var/lib/libvirt/images /etc/libvirt/qemu /var/log/libvirt/qemu
    printf '%s\n' 'stdio_handler = "file"' 'namespaces = []' 'cgroup_controllers = []' 'security_driver = "none"' \
        'remember_owner = 0' >/etc/libvirt/qemu.conf
    libvirtd --daemon --pid-file /run/libvirtd.pid
    until virsh --connect qemu:///system version >/dev/null 2>&1; do sleep 0.1; done
    scene_guest
    mv web.qcow2 /var/lib/libvirt/images/
    chown root:root /var/lib/libvirt/images/web.qcow2
    chmod 600 /var/lib/libvirt/images/web.qcow2
}

end_libvirt()
{
    # No guest is left, and it takes its time to end otherwise.
    kill -KILL "$(cat /run/libvirtd.pid)"
    rm /run/libvirtd.pid
}

# Units as they are installed, and one that stands for libvirt's.
scene_boot()
{
    scene_guest
    mkdir -p /etc/systemd/system /etc/rawview /var/lib/libvirt/images
    mv web.qcow2 /var/lib/libvirt/images/
    cp "$(dirname "$RAWVIEW")/../units/rawview@.service" "$UNITS/rawview.target" /etc/systemd/system/
    printf '%s\n' '[Service]' 'ExecStart=/bin/true' >/etc/systemd/system/libvirtd.service
}

# An overlay over a base, as a machine would have it.
scene_chain()
{
    scene_guest
    mv web.qcow2 base.qcow2
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 web.qcow2
    qemu-io -f qcow2 -c 'write -q -P 7 20M 1M' web.qcow2
}

# A guest that has lost a file, and what was saved of it.
scene_backup()
{
    scene_guest
    qemu-img convert -f qcow2 -O raw web.qcow2 copy.raw
    echo 'the plans' >plans.txt
    qemu-img convert -f qcow2 -O raw web.qcow2 disk
    debugfs -w -R 'rm /home/web/plans.txt' 'disk?offset=1048576' 2>/dev/null
    qemu-img convert -f raw -O qcow2 disk web.qcow2
    rm disk
}

# evidence_disk FILE: the disk of a guest in which the plans were deleted.
evidence_disk()
{
    disk "$1"
    debugfs -w -R 'rm /home/web/plans.txt' "$1?offset=1048576" 2>/dev/null
}

acquire()
{
    ewfacquire -q -u -c fast -t case-17 -C 17 -D 'disk of web' -E 1 -e 'alice' -N none -S 1400MiB "$1" >/dev/null 2>&1
    rm "$1"
}

scene_evidence()
{
    evidence_disk disk.raw
    acquire disk.raw
}

scene_pieces()
{
    disk disk
    split --bytes=20M --numeric-suffixes=1 --suffix-length=3 disk disk.
    rm disk
}

# Two partitions: the guest's, and NTFS with a file in it.
scene_ntfs()
{
    evidence_disk disk.raw
    truncate -s 96M disk.raw
    echo 'start=131072, type=7' | sfdisk --quiet --append disk.raw
    truncate -s 32M ntfs
    mkntfs -q -F -L data ntfs 65536 >/dev/null 2>&1
    echo 'what was found' >report.txt
    ntfscp -q ntfs report.txt report.txt
    dd if=ntfs of=disk.raw bs=1M seek=64 conv=notrunc status=none
    rm ntfs report.txt
    acquire disk.raw
}

# A journal that wants to be replayed: a copy of a file system that is mounted.
scene_dirty()
{
    disk disk
    mkdir mnt
    mount -o loop,offset=1048576 disk mnt
    echo 'other plans' >mnt/home/web/plans.txt
    sync mnt/home/web/plans.txt
    cp --sparse=always disk copy
    umount mnt
    qemu-img convert -f raw -O qcow2 copy case-17.qcow2
    rm -r mnt disk copy
}

scene_snapshots()
{
    disk disk
    qemu-img convert -f raw -O qcow2 disk case-17.qcow2
    qemu-img snapshot -c monday case-17.qcow2
    debugfs -w -R 'rm /home/web/plans.txt' 'disk?offset=1048576' 2>/dev/null
    debugfs -w -R 'write /proc/version home/web/rootkit' 'disk?offset=1048576' 2>/dev/null >&2
    qemu-img convert -n -f raw -O qcow2 disk case-17.qcow2
    rm disk
}

scene_vhdx()
{
    python3 "$RECIPES/mkimage.py" "$RECIPES/good-vhdx-log-replay.recipe" made
    mv made/disk case-17.vhdx
    rm -r made
}

# What somebody has sent: a VMDK.
scene_tour()
{
    disk disk
    qemu-img convert -f raw -O vmdk disk web.vmdk
    rm disk
}
