#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `rawview IMAGE` and nothing more: over itself, or in the run-time folder where that cannot be; what a person is told; and its end
# by the image's name.
. "$(dirname "$0")/lib.sh"
. "$HERE/features.sh"
need jq
# What a person is told to type is told by the file system.
need_feature libblkid
need mkfs.ext4 sfdisk fuse2fs fusermount3
make_programs
export TERM=xterm

# What a command says to a terminal is in $W/screen.
on_terminal()
{
    STATUS=0
    timeout 60 "$PYTHON" "$HERE/screen.py" 100 -- "$@" >screen.raw || STATUS=$?
    tr -d '\r' <screen.raw >screen
    ((STATUS == 0)) || fail "$*: status $STATUS: $(cat -v screen)"
}

# The supervisor takes the file away when all else is done.
is_gone()
{
    [[ ! -e $1 ]]
}

fill_file raw 1M
chmod 644 raw
mkdir -m 711 run
install -d -m 700 -o $USER_ID run/user
export XDG_RUNTIME_DIR=$W/run/user
readonly PLACE=$XDG_RUNTIME_DIR/rawview
mkdir -m 777 images
qemu-img convert -f raw -O qcow2 raw images/web.qcow2
chmod 444 images/web.qcow2
as-user qemu-img convert -f raw -O vmdk raw images/mine.vmdk
truncate -s 8M parts.raw
printf 'start=2048, size=4096, type=7\nstart=8192, size=4096, type=83\n' | sfdisk -q --label dos parts.raw
mkfs.ext4 -q -L known -E offset=4194304 parts.raw 2M
as-user qemu-img convert -f raw -O qcow2 parts.raw images/parts.qcow2
cd images

step "over itself, and the path alone on stdout"
equal "stdout" "$(as-user rawview mine.vmdk 2>err)" "$PWD/mine.vmdk"
[[ ! -s err ]] || fail "stderr: $(cat err)"
as-user cmp mine.vmdk ../raw
as-user rawview umount mine.vmdk
is_not_mounted mine.vmdk

step "what is not the user's to cover is shown in the run-time folder, and both file and view go at the end"
equal "stdout" "$(as-user rawview web.qcow2)" "$PLACE/web.qcow2"
as-user cmp "$PLACE/web.qcow2" ../raw
equal "mode of the folder" "$(stat -c %a "$PLACE")" 700
equal "the second of that name" "$(as-user rawview web.qcow2)" "$PLACE/web.qcow2.2"
expect_fail "web.qcow2: is shown in 2 places; name one of them: $PLACE/web.qcow2, $PLACE/web.qcow2.2" as-user rawview umount web.qcow2
as-user rawview umount "$PLACE/web.qcow2"
wait_until 10 is_gone "$PLACE/web.qcow2" || fail "the file is left"
step "by the image, also through a link, and when its name is gone"
ln -s images/web.qcow2 ../link.qcow2
as-user rawview umount ../link.qcow2
wait_until 10 is_gone "$PLACE/web.qcow2.2" || fail "the file is left"
mv web.qcow2 new.qcow2
equal "stdout" "$(as-user rawview new.qcow2)" "$PLACE/new.qcow2"
mv new.qcow2 web.qcow2
as-user rawview umount new.qcow2
wait_until 10 is_gone "$PLACE/new.qcow2" || fail "the file is left"
expect_fail 'web.qcow2: is not a view, and no view shows it' as-user rawview umount web.qcow2
no_mount_left

step "what another user shows is that user's to end; root ends it by its image"
as-user rawview web.qcow2 >../out
expect_fail 'web.qcow2: is shown by somebody else' as-other rawview umount web.qcow2
: >../mp
"$RAWVIEW" mount web.qcow2 ../mp >../out
expect_fail "web.qcow2: is shown in 2 places" "$RAWVIEW" umount web.qcow2
"$RAWVIEW" umount ../mp
"$RAWVIEW" umount web.qcow2
no_mount_left
wait_until 10 is_gone "$PLACE/web.qcow2" || fail "the file is left"

step "links and names of descriptors"
ln web.qcow2 disk.image
equal "a name that descriptors have" "$(as-user rawview disk.image)" "$PLACE/disk.image.raw"
as-user rawview umount disk.image
equal "a link" "$(as-user rawview ../link.qcow2)" "$PLACE/link.qcow2"
as-user rawview umount ../link.qcow2

step "no view, no file"
printf 'KDMV' >broken.vmdk
chmod 444 broken.vmdk
expect_fail 'broken.vmdk' as-user rawview -f vmdk broken.vmdk
expect_fail 'for writing' as-user rawview -f raw -w web.qcow2
equal "files" "$(ls -A "$PLACE")" ""
expect_fail 'web.qcow2: .*not writable by you.*XDG_RUNTIME_DIR.*name a mount point' env -u XDG_RUNTIME_DIR as-user rawview web.qcow2
equal "status" $STATUS 1
# What others write there is not ours to write to.
expect_fail 'cannot make|somebody else|Permission' env XDG_RUNTIME_DIR="$W/images/.." as-user rawview web.qcow2

step "what a killed service leaves is taken away, by the user and by root, who may not even look at it"
leave_stale()
{
    as-user rawview -p "$XDG_RUNTIME_DIR/pid" web.qcow2 >../out
    pid=$(cat "$XDG_RUNTIME_DIR/pid")
    worker=$(worker_of "$pid")
    kill -STOP "$pid"
    kill -KILL "$worker" "$pid"
    wait_until 10 process_is_gone "$pid"
    wait_until 10 process_is_gone "$worker"
}
leave_stale
as-user rawview umount --stale
is_gone "$PLACE/web.qcow2" || fail "the file is left"
no_mount_left
leave_stale
"$RAWVIEW" umount "$(cat ../out)"
no_mount_left

step "root: a block device is shown beside it, in /run"
mkdir -p /run
mount -t tmpfs none /run
if have_loops; then
    attach_loop --read-only "$W/images/web.qcow2"
    place=$("$RAWVIEW" "$LOOP")
    equal "the view" "$place" "/run/rawview/${LOOP##*/}"
    cmp "$place" ../raw
    equal "mode of the folder" "$(stat -c %a /run/rawview)" 755
    "$RAWVIEW" umount "$LOOP"
    wait_until 10 is_gone "$place" || fail "the file is left"
    detach_loop "$LOOP"
fi

step "a person is told what there is and what to type"
on_terminal as-user rawview parts.qcow2
grep -qE '^ *2 +2M +.*ext4 +known' screen || fail "no partitions: $(cat -v screen)"
# The lines with what to type are typed, in a folder with nothing in it.
type_line()
{
    local line
    line=$(sed -n "s/^$1: *//p" "$W/images/screen")
    [[ -n $line ]] || fail "no line '$1': $(cat -v "$W/images/screen")"
    as-user bash -euc "$line"
}
see_files()
{
    type_line 'Its files'
    as-user test -d files/lost+found || fail "no files: $(as-user ls -la files)"
    as-user fusermount3 -u files
    wait_until 20 bash -c "! pgrep -u $USER_ID -x fuse2fs >/dev/null"
}
(
    cd "$XDG_RUNTIME_DIR"
    type_line 'One partition' >"$W/out" 2>"$W/err"
    [[ ! -s $W/err ]] || fail "what a view shows is raw: $(cat "$W/err")"
    as-user cmp --ignore-initial=0:4194304 --bytes=2097152 part "$W/parts.raw"
    see_files
    as-user rawview umount part
    type_line 'Look at it' | grep -q 'HPFS/NTFS' || fail "nothing to see of the disk"
    type_line 'End it'
)
no_mount_left
on_terminal as-user rawview --partitions parts.qcow2
grep -qx "parts.qcow2: qcow2, 8M, read-only" screen || fail "$(cat -v screen)"
(
    cd "$XDG_RUNTIME_DIR"
    ! grep -q '^One partition' "$W/images/screen" || fail "they are all there"
    type_line 'Look at it' | grep -q 'HPFS/NTFS' || fail "nothing to see of the disk"
    see_files
    type_line 'End it'
)
no_mount_left
step "nothing is told to type of what is not there, and root mounts otherwise"
on_terminal as-user rawview --partition=1 parts.qcow2
! grep -qE '^(One partition|Its files)' screen || fail "of an empty partition: $(cat -v screen)"
as-user rawview umount --all
on_terminal "$RAWVIEW" --partition=2 parts.qcow2
grep -qE "^Its files: +mkdir -p files && mount -o ro $PWD/parts.qcow2 files" screen || fail "$(cat -v screen)"
"$RAWVIEW" umount parts.qcow2
no_mount_left
on_terminal as-user rawview mine.vmdk
equal "the first line" "$(head -n1 screen)" "$PWD/mine.vmdk"
grep -qx "mine.vmdk: vmdk, 1M, read-only" screen || fail "$(cat -v screen)"
grep -qF "rawview umount $PWD/mine.vmdk" screen || fail "$(cat -v screen)"
! grep -q '^One partition' screen || fail "one of none: $(cat -v screen)"
eval "as-user $(sed -n 's/^End it: *//p' screen)"
no_mount_left
on_terminal as-user rawview -q mine.vmdk
equal "with -q" "$(cat screen)" "$PWD/mine.vmdk"
as-user rawview umount mine.vmdk
as-user cp mine.vmdk "it's mine.vmdk"
on_terminal as-user rawview "it's mine.vmdk"
eval "as-user $(sed -n 's/^End it: *//p' screen)"
no_mount_left
name=$'e\x1b[2Jvil.vmdk'
as-user cp mine.vmdk "$name"
on_terminal as-user rawview "$name"
# The first line is the path as it is: programs read it.
tail -n +2 screen | grep -q $'\x1b' && fail "$(cat -v screen)"
as-user rawview umount "$name"
no_mount_left
