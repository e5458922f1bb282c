#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What mount(8) and umount(8) do with views: types rawview and fuse.rawview, with our helpers and by way of mount.fuse3,
# for root and for ordinary users, and the exit statuses.
. "$(dirname "$0")/lib.sh"

need mount umount fusermount3 mount.fuse3
make_programs

# The helpers stand where libmount looks, and rawview where the shell of mount.fuse3 does, for this namespace alone.
mkdir sbin
for name in mount.rawview mount.fuse.rawview umount.rawview umount.fuse.rawview; do
    ln -s "$W/bin/rawview" "sbin/$name"
done
mount -t overlay -o "lowerdir=$W/sbin:/usr/sbin" sbin /usr/sbin || cannot_run "no overlay over /usr/sbin"
mount -t overlay -o "lowerdir=$W/bin:/usr/bin" bin /usr/bin || cannot_run "no overlay over /usr/bin"

fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
qemu-img snapshot -c 'one,two' disk.qcow2
: >mp
: >other

# quietly COMMAND…: status 0, and not a word.
quietly()
{
    local said
    said=$(timeout 60 "$@" 2>&1) || fail "\`$*\` ended with $?: $said"
    [[ -z $said ]] || fail "\`$*\` says: $said"
}

# The view over mp: what it shows, its type, its source, and whether it is "ro" or "rw".
is_view()
{
    cmp mp "${2:-disk.raw}"
    equal "type" "$(mount_field FSTYPE mp)" fuse.rawview
    equal "source" "$(mount_field SOURCE mp)" "$W/disk.qcow2"
    equal "first option" "$(mount_field OPTIONS mp | cut -d, -f1)" "$1"
    grep -q "^$W/disk.qcow2 on $W/mp type fuse.rawview" <(mount) || fail "mount does not list it: $(mount | grep rawview)"
}

# Nothing is mounted, nobody has the image open, and none of our processes is left.
all_is_over()
{
    local pid
    is_not_mounted mp || return 1
    qemu-io -f qcow2 -c quit disk.qcow2 2>/dev/null || return 1
    for pid in $(pgrep -x rawviewd || true); do
        process_is_gone "$pid" || return 1
    done
}

# After umount has returned.
is_over()
{
    all_is_over || fail "it is mounted, or the image is locked, or: $(pgrep -a rawview)"
}

for type in rawview fuse.rawview; do
    step "mount -t $type"
    before=$(fingerprint disk.qcow2)
    quietly mount -t $type disk.qcow2 mp -o ro
    is_view ro
    equal "mode" "$(stat -c %a mp)" 400
    quietly umount mp
    is_over
    equal "the image" "$(fingerprint disk.qcow2)" "$before"
    quietly mount -n -t $type -o ro,format=qcow2 disk.qcow2 mp
    quietly umount "$W/disk.qcow2"
    is_over
done

step "over the image itself"
quietly mount -t rawview disk.qcow2 disk.qcow2 -o ro
cmp disk.qcow2 disk.raw
quietly umount disk.qcow2
is_over

step "mount says rw where nobody says ro, and the view can be written; umount returns when all is in the image"
quietly mount -t rawview disk.qcow2 mp
equal "mode" "$(stat -c %a mp)" 600
cp disk.raw expected.raw
fill_file more.raw 200K
for file in mp expected.raw; do
    dd if=more.raw of=$file bs=4k seek=3 conv=notrunc status=none
done
is_view rw expected.raw
quietly umount mp
is_over
qemu-img compare -f raw -F qcow2 expected.raw disk.qcow2 || fail "what was written is not in the image"
qemu-img check -q disk.qcow2
step "called by hand without ro or rw, it is read-only"
quietly mount.rawview disk.qcow2 mp
equal "first option" "$(mount_field OPTIONS mp | cut -d, -f1)" ro
quietly umount mp
is_over

step "by way of mount.fuse3, which calls rawview IMAGE MOUNTPOINT -o OPTIONS"
rm sbin/mount.*
umount /usr/sbin
mount -t overlay -o "lowerdir=$W/sbin:/usr/sbin" sbin /usr/sbin
quietly mount -t fuse.rawview disk.qcow2 mp -o ro,nofail,noatime,allow_other,_netdev,x-a.b=c
is_view ro expected.raw
quietly umount mp
quietly mount -t fuse "rawview#$W/disk.qcow2" mp
is_view rw expected.raw
quietly umount mp
is_over
refused 1 "there is no option 'foo'" mount -t fuse.rawview disk.qcow2 mp -o foo
refused 32 'cannot open it.*no such file' mount -t fuse.rawview missing.qcow2 mp
refused 1 "there is no option 'foo'" rawview disk.qcow2 mp -o foo=bar
refused 1 'which image' rawview -o ro
refused 2 "there is no option 'foo'" rawview mount disk.qcow2 mp -o foo=bar
equal "standard output" "$(rawview disk.qcow2 mp -o ro)" ""
umount mp
umount /usr/sbin
for name in mount.rawview mount.fuse.rawview; do
    ln -s "$W/bin/rawview" "sbin/$name"
done
mount -t overlay -o "lowerdir=$W/sbin:/usr/sbin" sbin /usr/sbin

step "options with commas in them"
for text in 'snapshot=one\,two' 'snapshot="one,two"'; do
    quietly mount -t rawview disk.qcow2 mp -o "ro,$text"
    is_view ro
    quietly umount mp
done
refused 1 'a quote is not closed' mount.rawview disk.qcow2 mp -o 'ro,snapshot="one,two'

step "what is for mount(8), systemd and the kernel is nothing to us"
quietly mount.rawview disk.qcow2 mp -o ro,dev,suid,exec,nodev,nosuid,noexec,_netdev,nofail,auto,noauto,user,users,owner,group,defaults
quietly umount mp
quietly mount.rawview disk.qcow2 mp -o ro,relatime,noatime,user=nobody,comment=a,x-systemd.requires-mounts-for=/img,X-mount.mkdir,default_permissions
quietly umount mp
quietly mount -t rawview disk.qcow2 mp -o ro,allow_other,cache_size=2M,owner=nobody,owner,mode=444,pidfile="$W/pid"
equal "owner and mode" "$(stat -c '%U %a' mp)" 'nobody 444'
[[ -s pid ]] || fail "no pid file"
quietly umount mp
quietly mount -t rawview disk.qcow2 mp -o ro,allow-other=no,cache-size=2M
quietly umount mp
is_over

step "-s, -v, -f"
refused 1 "there is no option 'foo'" mount -t rawview disk.qcow2 mp -o foo=bar
quietly mount -s -t rawview disk.qcow2 mp -o ro,foo=bar
quietly umount mp
said=$(mount.rawview disk.qcow2 mp -sv -o ro,foo=bar 2>&1) || fail "status $?: $said"
grep -q "the option 'foo' is unknown, and ignored" <<<"$said" || fail "-v says: $said"
grep -q 'shown as' <<<"$said" || fail "-v says: $said"
quietly umount mp
refused 1 "format" mount -s -t rawview disk.qcow2 mp -o 'format=no format'
quietly mount -f -t rawview disk.qcow2 mp
is_over
refused 32 'no such file' mount -f -t rawview missing.qcow2 mp
refused 32 'is not a regular file' mount -f -t rawview disk.qcow2 sbin
refused 1 "there is no option 'foo'" mount -f -t rawview disk.qcow2 mp -o foo
equal "views" "$(rawview list --no-legend)" ""

step "exit status 1: called wrongly, or not permitted"
refused 1 'needed' mount.rawview
refused 1 'needed' mount.rawview disk.qcow2
refused 1 'needed' mount.rawview disk.qcow2 mp mp
refused 1 'is not rawview' mount.rawview disk.qcow2 mp -t ext4
refused 1 'invalid option' mount.rawview disk.qcow2 mp -x
refused 1 'cannot be remounted' mount -t rawview -o remount,ro disk.qcow2 mp
refused 1 'view-' mount.rawview disk.qcow2 mp -o offset=512
refused 32 'no partition 1; the disk has no partition table' mount.rawview disk.qcow2 mp -o ro,partition=1
refused 1 'snapshot is read-only.*rw unless' mount -t rawview disk.qcow2 mp -o snapshot=1
refused 1 'no descriptor from 3 on' mount.rawview disk.qcow2 /dev/fd/2
refused 1 'no such open descriptor' mount.rawview disk.qcow2 /dev/fd/9
chmod 600 disk.qcow2
chmod 666 mp
refused 1 'permission denied' as-user mount.rawview "$W/disk.qcow2" "$W/mp" -o ro

step "exit status 32: it cannot be mounted"
refused 32 'no such file' mount -t rawview missing.qcow2 mp -o ro
refused 32 'no-mp' mount.rawview disk.qcow2 no-mp -o ro
refused 32 'is a folder' mount.rawview disk.qcow2 sbin -o ro
head -c 100 disk.qcow2 >short.qcow2
refused 32 'short.qcow2: qcow2' mount -t rawview short.qcow2 mp -o ro
up holder -w disk.qcow2 other
expect_fail 'is in use by rawview' mount -t rawview disk.qcow2 mp -o ro
equal "status" "$STATUS" 32
down holder

step "exit status 8: told to stop before the view is up; nothing is left"
mkdir slow
cp bin/rawview bin/rawviewd slow/
printf '#!/bin/sh\nexec sleep 1000\n' >slow/rawview-worker
chmod 755 slow/rawview-worker
ln -s rawview slow/mount.rawview
no_sleeper()
{
    ! pgrep -x sleep >/dev/null
}
slow/mount.rawview disk.qcow2 mp -o ro &
wait_until 20 pgrep -x sleep >/dev/null || fail "no worker"
kill -TERM $!
status=0
wait $! || status=$?
equal "status" $status 8
wait_until 20 no_sleeper || fail "the worker is there still"
wait_until 20 all_is_over
step "exit status 4: rawviewd dies"
slow/mount.rawview disk.qcow2 mp -o ro 2>stderr &
wait_until 20 pgrep -x sleep >/dev/null || fail "no worker"
pkill -KILL -x rawviewd
status=0
wait $! || status=$?
equal "status" $status 4
grep -q 'was ended by signal 9' stderr || fail "it says: $(cat stderr)"
pkill -KILL -x sleep

step "fstab, and mount -a twice"
cat >fstab <<EOF
$W/disk.qcow2 $W/mp fuse.rawview ro,nofail,x-systemd.requires-mounts-for=$W 0 0
$W/way/other.qcow2 $W/other rawview defaults 0 0
$W/missing.qcow2 $W/none rawview ro,nofail 0 0
EOF
mount --bind fstab /etc/fstab
cp disk.qcow2 other.qcow2
: >none
ln -s . way
quietly mount -a
is_view ro expected.raw
equal "first option of the other" "$(mount_field OPTIONS other | cut -d, -f1)" rw
quietly mount -a
equal "views" "$(rawview list --no-legend | wc -l)" 2
echo "$W/missing.qcow2 $W/none rawview ro 0 0" >fstab
quietly umount other
quietly umount mp
is_over
refused 32 'missing.qcow2' mount "$W/none"
expect_fail 'missing.qcow2' mount -a

step "an image that is not there, with nofail and without"
quietly mount.rawview missing.qcow2 mp -o ro,nofail
grep -q 'does not exist' <(mount.rawview missing.qcow2 mp -v -o ro,nofail 2>&1) || fail "-v says nothing"
refused 32 'short.qcow2' mount.rawview short.qcow2 mp -o ro,nofail

step "busy, forced and lazy umounts"
quietly mount -t rawview disk.qcow2 mp -o ro
exec 7<mp
run_failing umount mp
equal "status" "$STATUS" 32
grep -q 'in use' stderr || fail "it says: $(cat stderr)"
quietly umount -l mp
is_not_mounted mp
cmp <(head -c 4096 <&7) <(head -c 4096 expected.raw)
exec 7<&-
wait_until 20 all_is_over
quietly mount -t rawview disk.qcow2 mp -o ro
kill -KILL "$(worker_of "$(pgrep -n -x rawviewd)")"
wait_until 20 all_is_over
quietly mount -t rawview disk.qcow2 mp -o ro
quietly umount -f mp
wait_until 20 all_is_over
refused 1 'is not a view' umount.rawview "$W/mp"
refused 1 'needed' umount.rawview

step "a worker that is too busy to answer is waited for as well"
quietly mount -t rawview disk.qcow2 mp
dd if=more.raw of=mp bs=4k seek=5 conv=notrunc status=none
dd if=more.raw of=expected.raw bs=4k seek=5 conv=notrunc status=none
WORKER=$(worker_of "$(pgrep -n -x rawviewd)")
kill -STOP "$WORKER"
umount mp &
wait_until 30 is_not_mounted mp || fail "it does not go"
sleep 0.5
kill -0 $! || fail "umount did not wait"
kill -CONT "$WORKER"
wait $! || fail "umount: $?"
is_over
qemu-img compare -f raw -F qcow2 expected.raw disk.qcow2 || fail "what was written is not in the image"

step "users: mount(8) gives up root's rights before it calls us, and so does umount(8)"
[[ -u /usr/bin/mount ]] || cannot_run "mount is not set-uid here"
install -m 600 -o "$USER_ID" disk.qcow2 users.qcow2
install -m 600 -o "$USER_ID" /dev/null users.mp
cat >fstab <<EOF
$W/users.qcow2 $W/users.mp fuse.rawview rw,user,noauto 0 0
$W/disk.qcow2 $W/users.mp rawview ro,user,noauto 0 0
EOF
chown "$USER_ID" "$W/users.qcow2"
quietly as-user mount "$W/users.qcow2"
equal "owner" "$(findmnt -n -o FS-OPTIONS "$W/users.mp" | grep -o 'user_id=[0-9]*')" "user_id=$(id -u "$USER_ID")"
as-user dd if=more.raw of=users.mp bs=4k seek=99 conv=notrunc status=none
run_failing as-other umount "$W/users.mp"
equal "status" "$STATUS" 1
grep -qE 'somebody else|not permitted|superuser' stderr || fail "it says: $(cat stderr)"
cp expected.raw users.raw
dd if=more.raw of=users.raw bs=4k seek=99 conv=notrunc status=none
quietly as-user umount "$W/users.mp"
qemu-img compare -f raw -F qcow2 users.raw users.qcow2 || fail "what was written is not in the image"
# The image of root's stays closed to the user, whatever fstab says.
refused 1 'permission denied' as-user mount "$W/disk.qcow2"
step "rights that are somebody else's are not used"
refused 1 'refuses to' setpriv --ruid=$USER_ID mount.rawview "$W/disk.qcow2" "$W/mp"
refused 1 'refuses to' setpriv --rgid=nogroup --keep-groups umount.rawview "$W/mp"

step "in another mount namespace"
is_elsewhere()
{
    [[ $(readlink "/proc/$1/ns/mnt") != "$(readlink /proc/$$/ns/mnt)" && $(cat "/proc/$1/comm") == sleep ]]
}
unshare --mount sleep 1000 &
wait_until 20 is_elsewhere $!
quietly mount -N "/proc/$!/ns/mnt" -t rawview "$W/disk.qcow2" "$W/mp" -o ro
is_not_mounted mp
grep -q " $W/mp .* fuse.rawview" "/proc/$!/mountinfo" || fail "it is not there"
pkill -TERM -x rawviewd
kill $!
wait $! || true
wait_until 20 all_is_over
no_mount_left
