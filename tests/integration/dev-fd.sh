#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# /dev/fd/N as a mount point: a launcher has mounted, and hands over the connection.
. "$(dirname "$0")/lib.sh"

need mount.fuse3
make_programs
fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
fill_file more.raw 200K
: >mp
OPTIONS="fd=@,rootmode=100000,user_id=0,group_id=0,default_permissions,allow_other"

# launch N COMMAND…: a mount over mp, and COMMAND with its connection as descriptor N.
cat >bin/launch <<EOF
#!/bin/sh
exec $PYTHON $HERE/launch.py $W/mp "\${MOUNT_OPTIONS:-$OPTIONS}" "\$@"
EOF
chmod 755 bin/launch

# Newer kernels say which mount a connection is of.
TELLS=$(launch 5 cat /proc/self/fdinfo/5 | grep -c fuse_connection || true)
umount mp

# Of a view in the background: the process behind mp.
daemon_pid()
{
    rawview list --json=short | jq -r '.[0].state.pid'
}

ended()
{
    wait_until 20 process_is_gone "$1" || fail "process $1 does not end"
}

for number in 3 4 9; do
    step "descriptor $number, in the background: the launcher unmounts, and the service ends"
    launch $number rawview mount disk.qcow2 "/dev/fd/$number" >stdout
    cmp mp disk.raw
    equal "mode" "$(stat -c %a mp)" 400
    equal "mounts" "$(grep -c " $W/mp " /proc/self/mountinfo)" 1
    equal "source" "$(mount_field SOURCE mp)" launched
    if ((TELLS)); then equal "what it prints" "$(cat stdout)" "$W/mp"; fi
    pid=$(daemon_pid)
    equal "connections that it holds" "$(find "/proc/$pid/fd" -lname /dev/fuse | wc -l)" 1
    equal "pipes that it was told on" "$(find "/proc/$pid/fd" -lname 'pipe:*' -name "[34]" | wc -l)" 0
    umount mp
    ended "$pid"
    no_mount_left
done

step "as mount.fuse3 calls us, and as mount(8) would"
launch 3 rawview "$W/disk.qcow2" /dev/fd/3 -o ro,allow_other,default_permissions,dev,suid
cmp mp disk.raw
pid=$(daemon_pid)
rawview umount mp
process_is_gone "$pid" || fail "rawview umount does not wait for the service"
ln -s rawview bin/mount.rawview
launch 3 mount.rawview "$W/disk.qcow2" /dev/fd/3 -o ro
cmp mp disk.raw
pid=$(daemon_pid)
umount mp
ended "$pid"

step "in the foreground, written to: an umount loses nothing"
launch 5 rawview mount --foreground -w -p "$W/view.pid" disk.qcow2 /dev/fd/5 >view.log 2>&1 &
wait_until 30 test -s view.pid || fail "no view: $(cat view.log)"
dd if=more.raw of=mp bs=4k seek=3 conv=notrunc status=none
dd if=more.raw of=disk.raw bs=4k seek=3 conv=notrunc status=none
umount mp
status=0
wait $! || status=$?
equal "status" $status 0
qemu-img compare -f raw -F qcow2 disk.raw disk.qcow2 || fail "what was written is not in the image"
qemu-img check -q disk.qcow2

step "SIGTERM: all is written, the service ends, and the mount stays, dead"
launch 5 rawview mount --foreground -w -p "$W/view.pid" disk.qcow2 /dev/fd/5 >view.log 2>&1 &
wait_until 30 test -s view.pid || fail "no view: $(cat view.log)"
dd if=more.raw of=mp bs=4k seek=77 conv=notrunc status=none
dd if=more.raw of=disk.raw bs=4k seek=77 conv=notrunc status=none
kill -TERM "$(cat view.pid)"
status=0
wait $! || status=$?
equal "status" $status 0
grep -q 'must unmount it: it is dead now' view.log || fail "it does not say so: $(cat view.log)"
qemu-img compare -f raw -F qcow2 disk.raw disk.qcow2 || fail "what was written is not in the image"
expect_fail 'not connected' cat mp
rawview umount --stale
no_mount_left

step "a mount of another namespace, which cannot be looked at"
unshare --mount "$PYTHON" "$HERE/launch.py" "$W/mp" "$OPTIONS" 7 \
    sh -c "nsenter --mount=/proc/$$/ns/mnt $W/bin/rawview mount -w -p $W/view.pid $W/disk.qcow2 /dev/fd/7 >$W/stdout 2>$W/stderr &&
        exec 7>&- && cmp $W/mp $W/disk.raw && dd if=$W/more.raw of=$W/mp bs=4k seek=9 conv=notrunc status=none && touch $W/written &&
        exec sleep 1000" &
launcher=$!
wait_until 30 test -e written || fail "nothing is written: $(cat stderr)"
equal "what it prints" "$(cat stdout)" /dev/fd/7
is_not_mounted mp || fail "it is in this namespace"
dd if=more.raw of=disk.raw bs=4k seek=9 conv=notrunc status=none
pid=$(cat view.pid)
kill $launcher
wait $launcher || true
# The namespace, and the mount with it, goes with its last process.
ended "$pid"
qemu-img compare -f raw -F qcow2 disk.raw disk.qcow2 || fail "what was written is not in the image"

step "mount.fuse3 with drop_privileges: no capabilities, and a view all the same"
mount -t overlay -o "lowerdir=$W/bin:/usr/bin" bin /usr/bin || cannot_run "no overlay over /usr/bin"
mount.fuse3 "rawview#$W/disk.qcow2" mp -o rw,drop_privileges,default_permissions,allow_other
pid=$(daemon_pid)
equal "capabilities" "$(sed -n 's/^CapPrm:\t//p' "/proc/$pid/status")" 0000000000000000
dd if=more.raw of=mp bs=4k seek=11 conv=notrunc status=none
dd if=more.raw of=disk.raw bs=4k seek=11 conv=notrunc status=none
rawview umount mp
qemu-img compare -f raw -F qcow2 disk.raw disk.qcow2 || fail "what was written is not in the image"

# is_refused STATUS WORDS COMMAND…: what the launcher has mounted is left, dead, and the launcher's to take away.
is_refused()
{
    local status=$1 words=$2
    shift 2
    expect_fail "$words" "$@"
    equal "status of \`$*\`" "$STATUS" "$status"
    equal "lines on stderr ($(cat stderr))" "$(grep -vc "^Try '.*--help'" stderr)" 1
    umount mp 2>/dev/null || true
    no_mount_left
}

step "what is no such descriptor"
is_refused 2 '/dev/fd/2: is no descriptor from 3 on' rawview mount disk.qcow2 /dev/fd/2
is_refused 2 '/dev/fd/x: is no descriptor' rawview mount disk.qcow2 /dev/fd/x
is_refused 2 '/dev/fd/9: there is no such open descriptor' rawview mount disk.qcow2 /dev/fd/9
is_refused 1 '/dev/fd/9: is not an open /dev/fuse' rawview mount disk.qcow2 /dev/fd/9 9<>/dev/null
is_refused 1 '/dev/fd/9: is not an open /dev/fuse' rawview mount disk.qcow2 /dev/fd/9 9<>disk.qcow2
is_refused 1 '/dev/fd/9: nothing is mounted' rawview mount disk.qcow2 /dev/fd/9 9<>/dev/fuse
is_refused 64 'no such open descriptor' "$W/bin/rawviewd" --path="$W/disk.qcow2" --mount-point=/dev/fd/9
is_refused 64 'no descriptor from 3 on' "$W/bin/rawviewd" --path="$W/disk.qcow2" --mount-point=/dev/fd/1

step "a connection that somebody serves already"
launch 5 sh -c "rawview mount disk.qcow2 /dev/fd/5 && exec rawview mount disk.qcow2 /dev/fd/5" >stdout 2>stderr &&
    fail "it is served twice"
grep -q '/dev/fd/5: this /dev/fuse is being served already' stderr || fail "it says: $(cat stderr)"
pid=$(daemon_pid)
umount mp
ended "$pid"

if ((TELLS)); then
    step "a folder, and a mount that lets everybody in"
    MOUNT_OPTIONS="fd=@,rootmode=100000,user_id=0,group_id=0,allow_other" \
        is_refused 1 'everybody could use it' launch 5 rawview mount disk.qcow2 /dev/fd/5
    mkdir folder
    expect_fail 'is mounted as a folder' "$PYTHON" "$HERE/launch.py" folder "${OPTIONS/100000/40000}" 5 rawview mount disk.qcow2 /dev/fd/5
    umount folder
fi
step "an image that is not there"
is_refused 1 'no such file' launch 5 rawview mount missing.qcow2 /dev/fd/5
