#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Root's service and root's command on paths in which others have a hand: descriptors, images and mount points that an
# ordinary user could write, exchange for a link, or lead to somebody else's file. Whatever is refused, is refused before
# anything is opened or mounted.
. "$(dirname "$0")/lib.sh"

make_programs
fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
fill_file secret.raw 2M
chmod 600 secret.raw
# A second one, for what the user may see.
fill_file public.raw 2M
install -d -m 755 -o $USER_ID home
install -m 600 -o $USER_ID disk.raw home/disk.raw
install -m 600 -o $USER_ID disk.qcow2 home/disk.qcow2
install -m 600 -o $USER_ID /dev/null home/view
: >mp
: >victim

# /etc is a copy, so that descriptors can lie where they belong.
cp -a /etc etc
mount --bind etc /etc
rm -rf /etc/rawview
mkdir -m 755 /etc/rawview

# describe NAME LINE…
describe()
{
    local name=$1
    shift
    printf '%s\n' "$@" >"/etc/rawview/$name.image"
}

# serve NAME: as the unit does it. The pid stands in $SERVICE.
serve()
{
    "$W/bin/rawviewd" "$1" >"$W/$1.log" 2>&1 &
    SERVICE=$!
}

# serve_at NAME VIEW: until the view is there.
serve_at()
{
    serve "$1"
    wait_until 30 is_mounted "$2" || fail "no view of $1: $(cat "$1.log")"
    wait_until 30 timeout 5 head -c 1 "$2" >/dev/null
}

end_service()
{
    kill -TERM "$SERVICE"
    wait "$SERVICE" || fail "rawviewd ended with $?"
    no_mount_left
}

service_refuses()
{
    local status=$1 words=$2 name=$3
    refused "$status" "$words" "$W/bin/rawviewd" "$name"
}

step "a descriptor of root's"
describe good '[Image]' "Path=$W/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/mp"
serve_at good mp
cmp mp disk.raw
end_service

step "a descriptor that others can write, or that is theirs"
chmod 666 /etc/rawview/good.image
service_refuses 78 'good.image: refused: the file /etc/rawview/good.image belongs to root and has mode 0666' good
chmod 644 /etc/rawview/good.image
chown $USER_ID /etc/rawview/good.image
service_refuses 78 "good.image belongs to $USER_ID and has mode 0644" good
chown root /etc/rawview/good.image
cp /etc/rawview/good.image home/theirs.image
chown $USER_ID home/theirs.image
ln -s "$W/home/theirs.image" /etc/rawview/linked.image
service_refuses 78 "home belongs to $USER_ID" linked

step "… or that a user's file system shows as root's"
echo user_allow_other >>/etc/fuse.conf
cp /etc/rawview/good.image home/order.raw
truncate -s 4096 home/order.raw
chown $USER_ID home/order.raw
install -m 666 /dev/null /etc/rawview/served.image
as-user rawview mount -p "$W/home/pid" -f raw --allow-other=yes --owner=root --group=root --mode=0644 home/order.raw /etc/rawview/served.image >/dev/null
equal "what it says" "$(stat -c '%U %a' /etc/rawview/served.image)" "root 644"
STATUS=0
"$W/bin/rawviewd" served >stdout 2>stderr || STATUS=$?
equal "status ($(cat stderr))" $STATUS 78
grep -q "served.image belongs to $USER_ID and has mode 0644" stderr || fail "it says: $(cat stderr)"
as-user rawview umount /etc/rawview/served.image
no_mount_left

step "… or that a list of rights (ACL) gives to a user"
# let_write FILE PERMISSIONS: as setfacl -m u:$USER_ID:PERMISSIONS
let_write()
{
    "$PYTHON" -c 'import os, struct, sys
path, user, rights = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
no = 0xffffffff
entries = [(1, 7, no), (2, rights, user), (4, 5, no), (16, 7, no), (32, 5, no)]
os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries))' "$1" "$(id -u $USER_ID)" "$2"
}
cp /etc/rawview/good.image /etc/rawview/listed.image
let_write /etc/rawview/listed.image 6
as-user bash -c 'echo >>/etc/rawview/listed.image'
service_refuses 78 'listed.image: refused: the file /etc/rawview/listed.image belongs to root' listed

step "a folder of descriptors that others can write"
chmod 777 /etc/rawview
service_refuses 78 'the folder /etc/rawview belongs to root and has mode 0777' good
chmod 755 /etc/rawview
chown $USER_ID /etc/rawview
service_refuses 78 "the folder /etc/rawview belongs to $USER_ID" good
chown root /etc/rawview

step "what is no descriptor: nothing is waited for, nothing large is read"
mkfifo /etc/rawview/fifo.image
service_refuses 78 'fifo.image: is not a regular file' fifo
mkdir /etc/rawview/folder.image
service_refuses 78 'folder.image: is not a regular file' folder
ln -s /dev/null /etc/rawview/null.image
service_refuses 78 'null.image: is masked' null
ln -s /dev/zero /etc/rawview/zero.image
service_refuses 78 'zero.image: is not a regular file' zero
ln -s /proc/self/environ /etc/rawview/proc.image
service_refuses 78 'proc.image: .*a link in /proc' proc
truncate -s 1G /etc/rawview/large.image
service_refuses 78 'large.image: .*too many' large
printf '[Image]\nPath=/a\0b\n' >/etc/rawview/nul.image
service_refuses 78 'nul.image:2: .*NUL' nul
service_refuses 64 'no name of a descriptor' ../../../tmp/x

step "an image in a user's folder: only what is the user's"
describe image '[Image]' "Path=$W/home/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
serve_at image mp
as-user cat mp | cmp - disk.raw
end_service
mv home/disk.raw home/aside
as-user ln -s "$W/secret.raw" home/disk.raw
service_refuses 77 "disk.raw: refused: it belongs to root, but the .*home.*, on the way to it, to $USER_ID" image
rm home/disk.raw
# As where the kernel does not keep a user from giving root's file a second name.
ln secret.raw home/disk.raw
service_refuses 77 'disk.raw: refused: it belongs to root, but the folder' image
rm home/disk.raw
as-user mkdir home/disks
describe deep '[Image]' "Path=$W/home/disks/secret.raw" 'Format=raw' '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
as-user rmdir home/disks
as-user ln -s "$W" home/disks
service_refuses 77 'home.*, on the way to it' deep
rm home/disks
mv home/aside home/disk.raw

step "… and a device is nobody's"
describe device '[Image]' "Path=$W/home/null" 'Format=raw' '[View]' "MountPoint=$W/mp"
as-user ln -s /dev/null home/null
service_refuses 77 'null: refused' device

step "… what everybody may read anyway can be shown, and not be written"
as-user ln -s "$W/public.raw" home/public
describe public '[Image]' "Path=$W/home/public" 'Format=raw' '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
serve_at public mp
as-user cat mp | cmp - public.raw
end_service
describe public '[Image]' "Path=$W/home/public" 'Format=raw' '[View]' "MountPoint=$W/mp" "Owner=$USER_ID" 'Writable=yes'
before=$(fingerprint public.raw)
service_refuses 77 'public: refused' public
equal "public.raw" "$(fingerprint public.raw)" "$before"

step "an image in a folder where all can write"
install -d -m 1777 sticky
install -d -m 777 shared
install -m 600 secret.raw sticky/secret.raw
install -m 600 secret.raw shared/secret.raw
as-user ln -s "$W/secret.raw" sticky/link
describe sticky '[Image]' "Path=$W/sticky/link" 'Format=raw' '[View]' "MountPoint=$W/mp"
service_refuses 77 "the link .*sticky/link, on the way to it, to $USER_ID" sticky
describe sticky '[Image]' "Path=$W/sticky/secret.raw" 'Format=raw' '[View]' "MountPoint=$W/mp"
serve_at sticky mp
end_service
describe shared '[Image]' "Path=$W/shared/secret.raw" 'Format=raw' '[View]' "MountPoint=$W/mp"
service_refuses 77 'shared .mode 0777.; take that from them' shared

install -d -m 755 listed
install -m 600 secret.raw listed/secret.raw
install -m 600 disk.raw listed/disk.raw
let_write listed 7
as-user mv -f listed/secret.raw listed/disk.raw
describe moved '[Image]' "Path=$W/listed/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
service_refuses 77 'disk.raw: refused: it belongs to root, and others than root may write to the folder .*listed' moved

step "a mount point in a user's folder: only what is the user's"
describe view '[Image]' "Path=$W/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/home/view" "Owner=$USER_ID"
serve_at view home/view
as-user cat home/view | cmp - disk.raw
expect_fail 'permission denied' as-other cat home/view
end_service
mv home/view home/aside
as-user ln -s "$W/victim" home/view
service_refuses 78 'view.*symbolic link' view
rm home/view
ln victim home/view
service_refuses 77 'view: refused: it belongs to root' view
rm home/view
describe view '[Image]' "Path=$W/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/home/folder/victim" "Owner=$USER_ID"
as-user ln -s "$W" home/folder
service_refuses 77 'victim: refused: it belongs to root' view
rm home/folder
mv home/aside home/view

step "the command by hand: what root names is root's, a link of a user is the user's"
as-user ln -s "$W/secret.raw" home/link
refused 1 "home/link: refused: it belongs to root, but the link .*home/link, on the way to it, to $USER_ID" "$RAWVIEW" mount -f raw home/link mp
refused 1 'sticky/link: refused' "$RAWVIEW" mount -f raw sticky/link mp
as-user ln -s "$W" home/folder
refused 1 'victim: refused: it belongs to root' "$RAWVIEW" mount -f raw disk.raw home/folder/victim
install -m 600 secret.raw home/of-root.raw
up view -f raw home/of-root.raw mp
cmp mp secret.raw
down view
ln -s home/disk.raw root-link
up view -f raw root-link mp
cmp mp disk.raw
down view

step "… and so it is for what looks at images"
before=$(fingerprint secret.raw)
refused 1 'home/link: refused: it belongs to root, but the link' "$RAWVIEW" info -f raw home/link
refused 1 'home/link: refused: it belongs to root, but the link' "$RAWVIEW" check -f raw -r all home/link
equal "secret.raw" "$(fingerprint secret.raw)" "$before"
"$RAWVIEW" info -f raw root-link >/dev/null

step "what a user's image names: only what is the user's, where the view is for others than root"
install -m 600 secret.raw home/base.raw
(cd home && qemu-img create -q -f qcow2 -b base.raw -F raw over.qcow2 && chown $USER_ID over.qcow2)
describe over '[Image]' "Path=$W/home/over.qcow2" '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
service_refuses 77 "base.raw.*refused: it belongs to root, the image that names it to $USER_ID" over
describe over '[Image]' "Path=$W/home/over.qcow2" '[View]' "MountPoint=$W/mp" 'Mode=0444'
service_refuses 77 "base.raw.*refused: it belongs to root, the image that names it to $USER_ID" over
describe over '[Image]' "Path=$W/home/over.qcow2" 'References=chain' "AllowedPaths=$W/home" '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
serve_at over mp
end_service
describe over '[Image]' "Path=$W/home/over.qcow2" '[View]' "MountPoint=$W/mp"
serve_at over mp
cmp mp secret.raw
expect_fail 'permission denied' as-user cat mp
end_service
as-user mkdir home/allowed
(cd home && qemu-img create -q -f qcow2 -u -b "$W/home/allowed/secret.raw" -F raw over-allowed.qcow2 2M && chown $USER_ID over-allowed.qcow2)
describe allowed '[Image]' "Path=$W/home/over-allowed.qcow2" 'References=chain' "AllowedPaths=$W/home/allowed" '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
as-user rmdir home/allowed
mkdir secrets
install -m 600 secret.raw secrets/secret.raw
as-user ln -s "$W/secrets" home/allowed
service_refuses 77 "secret.raw.*refused: it belongs to root, the .*home.* to $USER_ID" allowed
rm home/allowed
chown $USER_ID home/base.raw
describe over '[Image]' "Path=$W/home/over.qcow2" '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
serve_at over mp
as-user cat mp | cmp - secret.raw
end_service

step "… an image that others may write to, and a file in a closed folder, are no way around that"
install -d -m 755 vms
install -d -m 700 vms/closed
install -m 644 secret.raw vms/closed/base.raw
install -m 600 secret.raw vms/base.raw
qemu-img create -q -f qcow2 -u -b closed/base.raw -F raw vms/over.qcow2 2M
chown $USER_ID vms/over.qcow2
describe over '[Image]' "Path=$W/vms/over.qcow2" '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
service_refuses 77 'base.raw.*refused: the folder .*closed is not for everybody' over
chmod 755 vms/closed
serve_at over mp
as-user cat mp | cmp - secret.raw
end_service
chmod 700 vms/closed
qemu-img create -q -f qcow2 -u -b base.raw -F raw vms/group.qcow2 2M
chgrp "$(as-user id -g)" vms/group.qcow2 vms/base.raw
chmod 660 vms/group.qcow2
describe group '[Image]' "Path=$W/vms/group.qcow2" '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
service_refuses 77 'base.raw.*refused: it belongs to root, the image that names it to root and to all who may write to it' group
chmod 640 vms/base.raw
serve_at group mp
end_service

step "… nor is a layer that is a user's, below an image of root's"
install -m 600 secret.raw vms/base.raw
(cd vms && qemu-img create -q -f qcow2 -b base.raw -F raw middle.qcow2 && qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 lower.qcow2 && qemu-img create -q -f qcow2 -b lower.qcow2 -F qcow2 top.qcow2)
describe layers '[Image]' "Path=$W/vms/top.qcow2" '[View]' "MountPoint=$W/mp" "Owner=$USER_ID"
serve_at layers mp
as-user cat mp | cmp - secret.raw
end_service
chown $USER_ID vms/lower.qcow2
service_refuses 77 "base.raw.*refused: it belongs to root, the image that names it to $USER_ID" layers
chown $USER_ID vms/base.raw
serve_at layers mp
end_service

step "a view of the service's is for whom its mode says"
describe mode '[Image]' "Path=$W/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/mp" 'AllowOther=yes' 'Mode=0600' 'Writable=yes'
serve_at mode mp
grep -q default_permissions <<<"$(mount_field FS-OPTIONS mp)" || fail "no default_permissions: $(mount_field FS-OPTIONS mp)"
expect_fail 'permission denied' as-user cat mp
expect_fail 'permission denied' as-user bash -c "echo >>$W/mp"
end_service
describe mode '[Image]' "Path=$W/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/mp" "Owner=$USER_ID" 'AllowOther=yes'
serve_at mode mp
as-user cat mp | cmp - disk.raw
expect_fail 'permission denied' as-other cat mp
end_service

step "nothing was touched"
equal "victim" "$(size_of victim)" 0
equal "processes left" "$(pgrep rawview || true)" ""
no_mount_left
