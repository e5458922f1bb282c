#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every message that rawview(1) and rawviewd(8) show beneath MESSAGES, provoked; messages.py compares it with the pages.
# A message that is added there wants a provocation here: `provoke NAME COMMAND…` keeps what the command says on stderr.
#
# Given by meson: PAGES, the sources of the man pages.
. "$(dirname "$0")/../integration/lib.sh"

need cryptsetup qemu-io sfdisk
make_programs
service=$(dirname "$RAWVIEW")/rawviewd

provoke()
{
    local status=0
    echo "## $1" >>said
    shift
    timeout 60 "$@" </dev/null >/dev/null 2>>said || status=$?
    ((status < 124)) || fail "\`$*\` hung or crashed, status $status: $(tail -n 3 said)"
}

# keep NAME FILE: what a service has written into a file.
keep()
{
    echo "## $1" >>said
    cat "$2" >>said
}

step prepare
fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp
mkdir folder
ln -s mp link
chmod 644 disk.qcow2
chmod 666 mp

step "in use"
qemu-io -f qcow2 -c 'sleep 60000' disk.qcow2 >/dev/null &
holder=$!
wait_until 20 bash -c "! qemu-img info disk.qcow2 >/dev/null 2>&1" || fail "qemu-io holds no lock"
provoke "written to" "$RAWVIEW" mount disk.qcow2 mp
provoke "written to, read by info" "$RAWVIEW" info disk.qcow2
provoke "written to by somebody else" as-user rawview mount "$W/disk.qcow2" "$W/mp"
provoke "force-share" "$RAWVIEW" mount -U disk.qcow2 mp
"$RAWVIEW" umount mp
kill "$holder"
wait "$holder" || true

step "mount points"
: >mp2
up view disk.qcow2 mp
up view2 disk.qcow2 mp2
provoke "twice" "$RAWVIEW" umount disk.qcow2
down view2
provoke "read, and to be written to" "$RAWVIEW" mount -w disk.qcow2 disk.raw
provoke "covered" "$RAWVIEW" mount disk.raw mp
provoke "read-only" sh -c "echo >>mp"
exec 5<mp
provoke "busy" "$RAWVIEW" umount mp
provoke "somebody else's" as-user rawview umount disk.qcow2
exec 5<&-
worker=$(worker_of "$(pid_of view)")
kill -KILL "$(pid_of view)"
wait_until 20 process_is_gone "$worker"
provoke "dead" cat mp
"$RAWVIEW" umount --stale
is_not_mounted mp || fail "umount --stale leaves mp"
provoke "no view" "$RAWVIEW" umount mp
provoke "no mount point" "$RAWVIEW" mount disk.qcow2 nowhere
provoke "a folder" "$RAWVIEW" mount disk.qcow2 folder
provoke "a link" "$RAWVIEW" mount disk.qcow2 link
provoke "the pid file" "$RAWVIEW" mount -p nowhere/pid disk.qcow2 mp

step "an ordinary user"
provoke "the user's image" env -u XDG_RUNTIME_DIR as-user rawview mount "$W/disk.qcow2"
provoke "not the user's to cover" as-user rawview mount "$W/disk.qcow2" "$W/disk.raw"
chmod 600 disk.qcow2
provoke "not to be read" as-user rawview mount "$W/disk.qcow2" "$W/mp"
chmod 644 disk.qcow2
mknod fuse c 10 229
chmod 600 fuse
mount --bind fuse /dev/fuse
provoke "no /dev/fuse" as-user rawview mount "$W/disk.qcow2" "$W/mp"
umount /dev/fuse
: >fuse.conf
mount --bind fuse.conf /etc/fuse.conf
provoke "allow-other" as-user rawview mount --allow-other=yes "$W/disk.qcow2" "$W/mp"
umount /etc/fuse.conf

provoke "a loop device" as-user rawview mount --loop "$W/disk.qcow2" "$W/mp"

step images
provoke "raw, for writing" "$RAWVIEW" mount -w disk.raw mp
provoke "raw" "$RAWVIEW" mount disk.raw mp
"$RAWVIEW" umount mp
provoke "another format" "$RAWVIEW" mount -f qcow2 disk.raw mp
provoke "an unknown format" "$RAWVIEW" mount -f qcow3 disk.raw mp
head -c 40 disk.qcow2 >short.qcow2
provoke "cut off" "$RAWVIEW" mount short.qcow2 mp
cp disk.qcow2 changed.qcow2
printf '\2' | dd of=changed.qcow2 bs=1 seek=79 conv=notrunc status=none
provoke "corrupt" "$RAWVIEW" mount -w changed.qcow2 mp
printf '\100' | dd of=changed.qcow2 bs=1 seek=79 conv=notrunc status=none
provoke "an unknown feature" "$RAWVIEW" mount changed.qcow2 mp
provoke "no snapshot" "$RAWVIEW" mount --snapshot=gone disk.qcow2 mp
provoke "no snapshots" "$RAWVIEW" mount -f raw --snapshot=gone disk.raw mp
provoke "a snapshot, writable" "$RAWVIEW" mount -w --snapshot=gone disk.qcow2 mp
provoke "growable" "$RAWVIEW" mount --growable -f raw disk.raw mp
provoke "no checks" "$RAWVIEW" check -f raw disk.raw
qemu-img create -q -f raw base.raw 1M
(cd folder && qemu-img create -q -f qcow2 -b ../base.raw -F raw over.qcow2)
provoke "a backing file elsewhere" "$RAWVIEW" mount folder/over.qcow2 mp
rm base.raw
provoke "no backing file" "$RAWVIEW" mount --references=any folder/over.qcow2 mp

provoke "no partition" "$RAWVIEW" mount -f raw --partition=1 disk.raw mp
cp disk.raw parted.raw
echo 'start=8' | sfdisk --quiet --label dos parted.raw
provoke "no such partition" "$RAWVIEW" mount -f raw --partition=9 parted.raw mp
up over --overlay="$W/over.qcow2" disk.qcow2 mp
provoke "an overlay in use" "$RAWVIEW" mount --overlay="$W/over.qcow2" disk.qcow2 short.qcow2
down over
provoke "the overlay of another image" "$RAWVIEW" mount --overlay="$W/over.qcow2" -f raw parted.raw mp
provoke "unchanged, and writable" "$RAWVIEW" mount --assert-unchanged -w disk.qcow2 mp
cp disk.qcow2 touched.qcow2
up_in_foreground touched --assert-unchanged touched.qcow2 mp
printf x >>touched.qcow2
kill "$(pid_of touched)"
wait_for_end touched
keep "changed" touched.log

step passphrases
truncate -s 4M locked
printf right >key
printf wrong >wrong-key
chmod 600 key wrong-key
cryptsetup luksFormat --batch-mode --type luks1 --pbkdf-force-iterations 1000 --key-file key locked
provoke "no passphrase" "$RAWVIEW" mount locked mp
provoke "a wrong passphrase" "$RAWVIEW" mount --key-file=wrong-key locked mp
chmod 644 key
provoke "an open key file" "$RAWVIEW" mount --key-file=key locked mp
"$RAWVIEW" umount mp

step usage
provoke "no command" "$RAWVIEW" mountt
equal "its second line" "$(tail -n 1 said)" "Try 'rawview --help'."

step descriptors
mkdir -p /run/rawview
mount -t tmpfs -o mode=755 none /run/rawview
# described NAME LINE…: a descriptor `web` of these lines is checked.
described()
{
    local name=$1
    shift
    printf '%s\n' "$@" >/run/rawview/web.image
    provoke "$name" "$service" --check web
}
provoke "no descriptor" "$service" web
described "a wrong value" '[View]' Writable=perhaps
described "an unknown key" '[Image]' Path=/srv/web.qcow2 Pfad=/srv/web.qcow2
described "a relative path" '[Image]' Path=web.qcow2
described "no line" View
described "no image" '[View]' Writable=no
ln -sf /dev/null /run/rawview/web.image
provoke "masked" "$service" --check web
rm /run/rawview/web.image
printf '%s\n' '[Image]' "Path=$W/gone.qcow2" >/run/rawview/web.image
provoke "no image of that name" "$service" web
chmod 666 /run/rawview/web.image
provoke "open to everybody" "$service" --check web
umount /run/rawview

step services
up_in_foreground again disk.qcow2 mp
kill -HUP "$(pid_of again)"
wait_until 20 grep -q "read again" again.log
keep "nothing to read again" again.log
kill -KILL "$(worker_of "$(pid_of again)")"
wait_for_end again
keep "a dead worker" again.log
no_mount_left

mkfifo wish
"$PYTHON" "$HERE/terminal.py" "$RAWVIEW" mount --foreground -p "$W/gone.pid" disk.qcow2 mp <wish >gone.log 2>&1 &
echo $! >gone.shell
exec 7>wish
wait_until 60 test -s gone.pid || fail "$(cat gone.log)"
exec 7>&-
wait_for_end gone
keep "no terminal" gone.log

step "what was said is what the pages show"
# shellcheck disable=SC2086
"$PYTHON" "$HERE/../documents/messages.py" said $PAGES
no_mount_left
