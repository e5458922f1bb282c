#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An ordinary user, through fusermount3: over the own image and over another file, what is refused and how, the view's
# owner, and that nothing is left.
. "$(dirname "$0")/lib.sh"
need fusermount3

make_programs
[[ -u $(command -v fusermount3) ]] || cannot_run "fusermount3 is not setuid"
fill_file disk.raw 2M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
install -d -m 755 -o $USER_ID home
install -m 600 -o $USER_ID disk.qcow2 home/disk.qcow2
install -m 600 -o $USER_ID disk.raw home/disk.raw
install -m 600 -o $USER_ID /dev/null home/mp
cd home

# Ends the view whose pidfile is home/pid.
end_by_signal()
{
    local pid
    pid=$(cat pid)
    kill -INT "$pid"
    wait_until 20 process_is_gone "$pid" || fail "it does not end"
    [[ ! -e pid ]] || fail "the pidfile is still there"
    no_mount_left
}

step "over another file"
before=$(fingerprint disk.qcow2)
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
equal "stdout" "$(cat out)" "$PWD/mp"
as-user cat mp | cmp - ../disk.raw
equal "owner and mode" "$(as-user stat -c '%U %a' mp)" "$USER_ID 400"
expect_fail 'read-only file system' as-user chmod u+w mp
expect_fail 'read-only file system' as-user bash -c 'echo >>mp'
equal "the processes' user" "$(stat -c %U "/proc/$(cat pid)")" $USER_ID
end_by_signal
equal "the image" "$(fingerprint disk.qcow2)" "$before"

step "over the image itself"
as-user rawview mount -d -p pid disk.qcow2 >out 2>err || fail "$(cat err)"
as-user cat disk.qcow2 | cmp - ../disk.raw
end_by_signal
equal "the image" "$(fingerprint disk.qcow2)" "$before"

step "the same file twice"
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
expect_fail 'mp.*already' as-user rawview mount -d disk.raw mp
equal "status" $STATUS 1
equal "mounts" "$(awk -v p="$PWD/mp" '$5 == p' /proc/self/mountinfo | wc -l)" 1
end_by_signal

step "writing"
as-user rawview mount -d -p pid -f raw -w disk.raw mp >out 2>err || fail "$(cat err)"
equal "owner and mode" "$(as-user stat -c '%U %a' mp)" "$USER_ID 600"
as-user dd if=/dev/zero of=mp bs=64k count=3 seek=2 conv=notrunc,fsync status=none
end_by_signal
cmp -n 196608 -i 131072:0 disk.raw /dev/zero
cmp -n 131072 disk.raw ../disk.raw
cp ../disk.raw disk.raw

step "names with everything that a mount option could stumble over"
name='a,b\c=d "e" %f'
mkdir "$name"
chown $USER_ID "$name"
cp -p disk.qcow2 "$name/$name.qcow2"
as-user rawview mount -d -p pid "$name/$name.qcow2" >out 2>err || fail "$(cat err)"
equal "source" "$(findmnt --noheadings --types fuse.rawview --output SOURCE)" "$PWD/$name/$name.qcow2"
as-user cat "$name/$name.qcow2" | cmp - ../disk.raw
end_by_signal
rm -r "$name"

step "in the foreground"
as-user rawview mount --foreground -p pid disk.qcow2 mp >"$W/front.log" 2>&1 &
echo $! >"$W/front.shell"
wait_until 60 test -s pid || fail "it does not come: $(cat "$W/front.log")"
as-user fusermount3 -u mp
wait_for_end front
equal "status after fusermount3 -u ($(cat "$W/front.log"))" "$STATUS" 0
[[ ! -e pid ]] || fail "the pidfile is still there"
no_mount_left

step "rawview umount, rawview list"
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
as-user rawview list >out
grep -qF "$PWD/mp" out || fail "list shows: $(cat out)"
expect_fail 'mp.*' as-other rawview umount "$PWD/mp"
as-other rawview umount --all || true
is_mounted mp || fail "somebody else has unmounted it"
as-user rawview umount mp
is_not_mounted mp || fail "it is still mounted"
no_mount_left

step "a read-only image over itself: fusermount3 cannot, and the message says what to do"
chmod 444 disk.qcow2
refused 1 'disk.qcow2.*(writable|write permission|not writable|must be able to write)' as-user rawview mount disk.qcow2
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
as-user cat mp | cmp - ../disk.raw
end_by_signal
chmod 600 disk.qcow2

step "what belongs to others"
refused 1 'disk.qcow2.*permission denied' as-other rawview mount "$PWD/disk.qcow2" "$PWD/mp"
install -m 600 /dev/null ../of-root
refused 1 'of-root.*(writable|write permission|not writable|permission denied|must be able to write)' as-user rawview mount disk.qcow2 "$W/of-root"

step "a stale mount of the own is healed"
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
supervisor=$(cat pid)
worker=$(worker_of "$supervisor")
kill -STOP "$supervisor"
kill -KILL "$worker" "$supervisor"
wait_until 10 process_is_gone "$supervisor"
is_mounted mp || fail "there is no stale mount"
rm -f pid
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
as-user cat mp | cmp - ../disk.raw
equal "mounts" "$(awk -v p="$PWD/mp" '$5 == p' /proc/self/mountinfo | wc -l)" 1
end_by_signal

step "a killed worker leaves nothing"
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
supervisor=$(cat pid)
kill -KILL "$(worker_of "$supervisor")"
wait_until 20 process_is_gone "$supervisor" || fail "the supervisor runs on"
no_mount_left

step "nothing was touched"
equal "processes left" "$(pgrep rawview || true)" ""
equal "the image" "$(sha disk.qcow2)" "$(sha ../disk.qcow2)"
cmp disk.raw ../disk.raw
no_mount_left
