#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What `--overlay=FILE.qcow2` keeps is a disk that QEMU boots: a Linux in a VMDK, whose text is changed in a view of it, boots
# from the overlay, says that text and writes. The VMDK stays as it is, and the next view with the overlay has what the guest
# wrote. On the host, with the kernel of the tree.
. "$(dirname "$0")/../integration/lib.sh"

need qemu-system-x86_64 mmdebstrap mkfs.ext4 sfdisk debugfs e2fsck cpio
[[ $(uname -m) == x86_64 ]] || cannot_run "needs x86_64"
tree=$("$HERE/../system/make-tree") || cannot_run "could not build the root tree: is a Debian mirror in reach?"
part='?offset=1048576'

make_guest()
{
    mkdir -p guest/{dev,etc,lib,sbin,var,usr/lib/klibc/bin}
    cp "$tree"/lib/klibc-*.so guest/lib/
    for program in sh cat mount poweroff; do
        cp "$tree/usr/lib/klibc/bin/$program" guest/usr/lib/klibc/bin/
    done
    echo 'as it was made' >guest/etc/motd
    cat >guest/sbin/init <<'END'
#!/usr/lib/klibc/bin/sh
PATH=/usr/lib/klibc/bin
exec >/dev/console 2>&1
echo "a boot of $(cat /etc/motd)" >>/var/boots
cat /var/boots
mount -o remount,ro /dev/vda1 /
poweroff
END
    chmod +x guest/sbin/init
    truncate -s 32M disk
    echo 'start=2048, type=83, bootable' | sfdisk --quiet --label dos disk
    mkfs.ext4 -q -F -d guest -E offset=1048576 disk 31M
    qemu-img convert -f raw -O vmdk disk web.vmdk
    rm -r disk guest
    chmod 444 web.vmdk
}

# The tree's initrd, with another way to the root file system in a second archive.
make_initrd()
{
    mkdir initrd
    (cd initrd && cpio --quiet --extract init <"$tree/boot/initrd")
    sed -i 's|/dev/vda /root|/dev/vda1 /root|; s|/lib/systemd/systemd|/sbin/init|; s|-b /dev/vda |-b /dev/vda1 |' initrd/init
    cp "$tree/boot/initrd" initrd.img
    (cd initrd && echo init | cpio --quiet --create --format=newc) >>initrd.img
}

# What the guest says stands in the file `console`. The limit is for a guest that hangs.
boot()
{
    timeout 180 qemu-system-x86_64 -accel tcg -cpu qemu64,-svm -m 256 -nodefaults -no-user-config -display none -serial file:console \
        -drive "file=$1,format=qcow2,if=virtio" -kernel "$tree"/boot/vmlinuz-* -initrd initrd.img \
        -append "console=ttyS0 quiet mitigations=off panic=-1" -no-reboot || fail "qemu: $?: $(cat console)"
    tr -d '\r' <console | grep -a 'a boot of' >said || fail "the guest did not start: $(cat console)"
}

# write_text TEXT: what the guest is to say, written through a view of the disk with the overlay.
write_text()
{
    up view "--overlay=$W/kept.qcow2" web.vmdk mp
    echo "$1" >motd
    debugfs -w -f - "mp$part" >/dev/null 2>&1 <<'END'
rm /etc/motd
write motd /etc/motd
END
    debugfs -R 'cat /var/boots' "mp$part" 2>/dev/null >boots
    down view
}

step "a guest"
make_guest
make_initrd
before=$(fingerprint web.vmdk)
touch mp

step "it boots from the overlay with what was written in a view"
write_text 'a view'
equal "boots before the first one" "$(grep -c . boots || true)" 0
boot kept.qcow2
equal "what the guest says" "$(cat said)" "a boot of a view"
equal "the image" "$(fingerprint web.vmdk)" "$before"
qemu-img check -q kept.qcow2 || fail "the overlay is damaged"

step "the next view has what the guest wrote, and the next boot has both"
write_text 'the next view'
equal "what the guest wrote" "$(cat boots)" "a boot of a view"
boot kept.qcow2
equal "what the guest says" "$(cat said)" $'a boot of a view\na boot of the next view'
up view "--overlay=$W/kept.qcow2" web.vmdk mp
e2fsck -fn "mp$part" >fsck.log 2>&1 || fail "the file system: $(cat fsck.log)"
down view
qemu-img check -q kept.qcow2 || fail "the overlay is damaged"
equal "the image" "$(fingerprint web.vmdk)" "$before"
no_mount_left
