# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A machine for documents, within the namespaces of integration's lib.sh: /etc, /var, /home, /srv, /mnt and /run are copies
# that go with the test, rawview is in the PATH, and there is a user alice with the folder /home/alice.
step "a machine"
mkdir copies work "$W/bin"
mount -t tmpfs -o mode=755 none copies
for folder in etc var; do
    mkdir -p "copies/$folder" "copies/$folder.work"
    mount -t overlay -o "lowerdir=/$folder,upperdir=$W/copies/$folder,workdir=$W/copies/$folder.work" none "/$folder"
done
for folder in /home /srv /mnt /run; do
    mount -t tmpfs -o mode=755 none "$folder"
done
mkdir /run/rawview /run/user
chmod 755 work
# Numbers that nobody has.
sed -i '/^alice:/d' /etc/passwd /etc/group
echo "alice:x:61184:61184::/home/alice:/bin/bash" >>/etc/passwd
echo "alice:x:61184:" >>/etc/group
# Debian's libvirt-daemon-system makes this one.
grep -q ^libvirt-qemu: /etc/passwd || echo "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin" >>/etc/passwd
grep -q ^libvirt-qemu: /etc/group || echo "libvirt-qemu:x:64055:" >>/etc/group
install -d -o alice -g alice -m 755 /home/alice
for program in rawview rawviewd rawview-worker; do
    install -m 755 "$(dirname "$RAWVIEW")/$program" bin/
done
PATH=$W/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
