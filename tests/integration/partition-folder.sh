#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `rawview mount --partitions`: a disk and its partitions as files of one folder, read and written, what of it is true at one time, and
# that a folder lives and ends as any view.
. "$(dirname "$0")/lib.sh"
need sfdisk sgdisk mkfs.ext4 fuse2fs debugfs fusermount3 getfattr

MIB=$((1024 * 1024))
make_programs
install -d -m 755 -o $USER_ID home
cd home
mkdir folder
fill_file noise 48M
mkdir tree
fill_file tree/large 300K
truncate -s 16M ext4
mkfs.ext4 -q -d tree -E root_owner="$(id -u $USER_ID)":0 ext4
cp noise mbr.raw
printf 'label: dos\nsize=8M,type=83\nsize=30M,type=5\nsize=4M\nsize=2M\nsize=7M\n' | sfdisk -q mbr.raw
cp noise gpt.raw
sgdisk --clear --new=1:2048:+16M --new=2:0:+4M --new=5:0:+4M gpt.raw >/dev/null
dd if=ext4 of=gpt.raw bs=1M seek=1 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 gpt.raw gpt.qcow2
chown $USER_ID ./*.raw gpt.qcow2

# Of the folder `folder` and the disk $1.
are_pieces()
{
    local n start size
    cmp "$1" folder/disk
    while read -r n start size; do
        equal "size of p$n" "$(size_of "folder/p$n")" "$size"
        cmp -n "$size" -i "$start:0" "$1" "folder/p$n" || fail "p$n is another piece"
    done < <(sfdisk --json "$1" | jq -r '.partitiontable.partitions[] | select(.type != "5")
        | "\(.node | capture("raw(?<n>[0-9]+)$").n) \(.start * 512) \(.size * 512)"')
}

step "MBR: the disk, the partitions and the logical ones, and nothing else"
before=$(fingerprint mbr.raw)
up view -f raw --partitions mbr.raw folder
equal "what is printed" "$(cat "$W/view.out")" "$PWD/folder"
equal "names" "$(echo folder/*)" "folder/disk folder/p1 folder/p3 folder/p4 folder/p5"
equal "modes" "$(stat -c '%a %F' folder folder/disk folder/p1)" "500 directory
400 regular file
400 regular file"
are_pieces mbr.raw
equal "offset of p1" "$(getfattr --only-values -n user.rawview.state folder/p1 | jq -c '[.offset, .size, .writable]')" "[$MIB,$((8 * MIB)),false]"
equal "of the folder" "$(getfattr --only-values -n user.rawview.state folder | jq -c '[.size, .format, .offset]')" "[$((48 * MIB)),\"raw\",null]"
exec 8<folder/p3
equal "who uses a file uses the view" "$(getfattr --only-values -n user.rawview.use folder | cut -d' ' -f1)" "readers=1"
exec 8<&-
expect_fail 'No such file' cat folder/p2
expect_fail 'No such file' cat folder/p99
expect_fail 'Read-only' touch folder/new
expect_fail 'Read-only' rm -f folder/p1
expect_fail 'Not a directory' ls folder/p1/x
"$RAWVIEW" list >listed
grep -q "$PWD/folder " listed || fail "list: $(cat listed)"
"$RAWVIEW" umount folder
is_not_mounted folder || fail "it is still mounted"
wait_until 20 process_is_gone "$(pgrep -x rawviewd || echo 0)"
equal "the image" "$(fingerprint mbr.raw)" "$before"
equal "the folder is there" "$(ls folder)" ""

step "a disklabel: what it describes is written, and the partition that it lies in shows that, as the disk does"
"$PYTHON" "$HERE/tables.py" freebsd bsd.raw
up view -w -f raw --partitions bsd.raw folder
equal "modes" "$(cd folder && stat -c '%n %a' ./* | sort -V | tr '\n' ' ')" \
    "./disk 400 ./p1 400 ./p3 400 ./p5 600 ./p6 600 ./p7 600 ./p8 600 ./p9 600 ./p10 600 "
cat folder/p1 >/dev/null
dd if=noise of=folder/p6 bs=512 count=100 conv=notrunc status=none
cmp -n 51200 folder/p6 noise
cmp -n 51200 -i $((16 * 512)):0 folder/p1 noise || fail "the partition around it shows something else"
cmp -n 51200 -i $((116 * 512)):0 folder/disk noise || fail "the disk shows something else"
down view
cmp -n 51200 -i $((116 * 512)):0 bsd.raw noise || fail "it was written elsewhere"

step "a qcow2, by an ordinary user, in a folder of its own; fuse2fs and debugfs in it"
install -d -m 700 -o $USER_ID "$W/run"
XDG_RUNTIME_DIR=$W/run as-user rawview mount --partitions gpt.qcow2 >out 2>err || fail "$(cat err)"
place=$(cat out)
equal "where" "$place" "$W/run/rawview/gpt.qcow2"
as-user debugfs -R 'cat /large' "$place/p1" 2>/dev/null | cmp - tree/large
mkdir fuse
chmod 777 fuse
as-user fuse2fs -o ro "$place/p1" fuse
as-user cmp fuse/large tree/large
as-user fusermount3 -u fuse
as-user cat "$place/disk" | cmp - gpt.raw
wait_until 20 bash -c '! pgrep -x fuse2fs >/dev/null'
as-user rawview umount "$place"
wait_until 20 bash -c "! [[ -e $place ]]" || fail "the folder is left"
no_mount_left

step "written: the disk cannot be, and shows what is written to a partition, whatever was read before"
up view -w --partitions gpt.qcow2 folder
equal "modes" "$(stat -c %a folder/disk folder/p1 folder/p5 | tr '\n' ' ')" "400 600 600 "
expect_fail 'Read-only' dd if=noise of=folder/disk bs=4k count=1 conv=notrunc status=none
are_pieces gpt.raw
"$PYTHON" - <<'EOF'
import mmap, os

MIB = 1 << 20
start = 17 * MIB
part, disk = os.open("folder/p2", os.O_RDWR), os.open("folder/disk", os.O_RDONLY)
for i in range(20):
    # The page is read, so that a cache could have it, and then written by two ways.
    os.pread(disk, 8192, start + 4096)
    text = b"number %d" % i
    os.pwrite(part, text, 4096 + i)
    assert os.pread(disk, len(text), start + 4096 + i) == text, "write(2) does not show"
    assert os.pread(part, len(text), 4096 + i) == text
m = mmap.mmap(part, 64 << 10)
for i in range(10):
    os.pread(disk, 4096, start + 16384)
    m[16384 : 16384 + 9] = b"mapped %2d" % i
    m.flush()
    assert os.pread(disk, 9, start + 16384) == b"mapped %2d" % i, "msync(2) does not show"
os.fsync(part)
EOF
dd if=noise of=folder/p5 bs=1M count=4 seek=0 conv=notrunc,fsync status=none
expect_fail 'no space' dd if=noise of=folder/p5 bs=1M count=1 seek=4 conv=notrunc status=none
expect_fail 'not permitted' truncate -s 8M folder/p5
sha256sum <folder/disk >wanted
chmod 777 fuse
down view
qemu-img convert -f qcow2 -O raw gpt.qcow2 got.raw
equal "the image" "$(sha256sum <got.raw)" "$(cat wanted)"
cmp -n $((16 * MIB)) -i $MIB got.raw gpt.raw
cmp -n $((4 * MIB)) -i "$((21 * MIB)):0" got.raw noise

step "where files overlap none is written; a disk without partitions is"
truncate -s 8M hybrid.raw
"$PYTHON" - <<'EOF'
import struct
with open("hybrid.raw", "r+b") as f:
    f.seek(446)
    f.write(struct.pack("<B3sB3sII", 0, b"", 0, b"", 0, 16384) + struct.pack("<B3sB3sII", 0, b"", 0xEF, b"", 2048, 2048))
    f.write(struct.pack("<B3sB3sII", 0, b"", 0x83, b"", 0, 0))
    f.seek(510)
    f.write(b"\x55\xaa")
EOF
up view -f raw -w --partitions hybrid.raw folder
equal "modes" "$(stat -c %a folder/* | tr '\n' ' ')" "400 400 400 "
down view
truncate -s 8M empty.raw
up view -f raw -w --partitions empty.raw folder
equal "names and modes" "$(stat -c '%n %a' folder/*)" "folder/disk 600"
dd if=noise of=folder/disk bs=1M count=2 conv=notrunc,fsync status=none
down view
cmp -n $((2 * MIB)) empty.raw noise

step "a disk with nothing but a frame for logical ones is a disk without partitions"
truncate -s 16M frame.raw
printf 'label: dos\nsize=8M,type=5\n' | sfdisk -q frame.raw
up view -f raw --partitions --writable frame.raw folder
equal "names" "$(echo folder/*)" "folder/disk"
equal "mode" "$(stat -c %a folder/disk)" 600
down view

step "as many partitions as there can be"
truncate -s 8M many.raw
sgdisk --clear --resize-table=256 many.raw >/dev/null
args=()
for i in {1..250}; do args+=("--new=$i:$((2048 + 8 * i)):+7"); done
sgdisk --set-alignment=8 "${args[@]}" many.raw >/dev/null
up view -f raw --partitions many.raw folder
# shellcheck disable=SC2012
equal "names" "$(ls folder | wc -l)" 251
equal "the last" "$(size_of folder/p250)" $((7 * 512))
down view

step "what is refused"
: >file
refused 1 'file: is no folder' "$RAWVIEW" mount --partitions gpt.qcow2 file
refused 1 'nowhere: does not exist' "$RAWVIEW" mount --partitions gpt.qcow2 nowhere
refused 1 'folder: is a folder' "$RAWVIEW" mount gpt.qcow2 folder
refused 2 'Partitions=yes .* cannot be combined with Partition=' "$RAWVIEW" mount --partitions --partition=1 gpt.qcow2 folder
refused 2 'Partitions=yes .* cannot be combined with Growable=' "$RAWVIEW" mount -w --growable --partitions gpt.qcow2 folder
"$PYTHON" "$HERE/tables.py" ebr-loop hostile.raw
refused 1 'hostile.raw: mbr partition table: .*comes back to sector 1000' "$RAWVIEW" mount --partitions hostile.raw folder
"$RAWVIEW" mount --partitions hostile.raw >out 2>err && fail "a hostile table is shown"
equal "folders left" "$(ls /run/rawview 2>/dev/null || true)" ""

step "a dead one is taken away by the next, and a killed worker leaves nothing"
up view --partitions gpt.qcow2 folder/
supervisor=$(pid_of view)
worker=$(worker_of "$supervisor")
kill -STOP "$supervisor"
kill -KILL "$worker" "$supervisor"
wait_until 10 process_is_gone "$supervisor"
is_mounted folder || fail "there is no stale mount"
up view --partitions gpt.qcow2 folder
equal "mounts" "$(awk -v p="$PWD/folder" '$5 == p' /proc/self/mountinfo | wc -l)" 1
supervisor=$(pid_of view)
kill -KILL "$(worker_of "$supervisor")"
wait_until 20 process_is_gone "$supervisor" || fail "the supervisor runs on"
no_mount_left

step "a descriptor"
mkdir -p /run/rawview "$W/etc"
mount -t tmpfs none /run/rawview
printf '[Image]\nPath=%s\n[View]\nPartitions=yes\nMountPoint=/run/rawview/parts\n' "$W/parts.qcow2" >/run/rawview/parts.image
mv gpt.qcow2 "$W/parts.qcow2"
chown root "$W/parts.qcow2"
"$W/bin/rawviewd" -v parts >>"$W/service.log" 2>&1 &
service=$!
wait_until 20 test -e /run/rawview/parts/p5 || fail "$(cat "$W/service.log")"
equal "names" "$(cd /run/rawview/parts && echo ./*)" "./disk ./p1 ./p2 ./p5"

step "a reload: owner and mode of the folder and of all that is in it, whoever has seen what it was before"
# changed LINE…: the descriptor with these, once the service has done it; its log begins anew with each.
changed()
{
    printf '%s\n' '[Image]' "Path=$W/parts.qcow2" '[View]' Partitions=yes MountPoint=/run/rawview/parts "$@" >/run/rawview/parts.image
    : >"$W/service.log"
    kill -HUP $service
    wait_until 20 grep -Eq 'from now on|nothing new|restarted' "$W/service.log" || fail "$(cat "$W/service.log")"
}
looks()
{
    (cd /run/rawview/parts && stat -c '%n %U:%G %a' . disk p1 p2 p5 | tr '\n' ' ')
}
equal "before" "$(looks)" ". root:root 500 disk root:root 400 p1 root:root 400 p2 root:root 400 p5 root:root 400 "
changed Owner=$USER_ID Group=nogroup Mode=0440
equal "after" "$(looks)" ". $USER_ID:nogroup 550 disk $USER_ID:nogroup 440 p1 $USER_ID:nogroup 440 p2 $USER_ID:nogroup 440 p5 $USER_ID:nogroup 440 "
as-user debugfs -R 'cat /large' /run/rawview/parts/p1 2>/dev/null | cmp - tree/large || fail "the new owner cannot read"
changed Owner=$USER_ID Group=nogroup Mode=0400 Writable=yes
grep -q 'Writable= has changed: it takes effect when' "$W/service.log" || fail "$(cat "$W/service.log")"
equal "mode, and not yet written" "$(looks)" ". $USER_ID:nogroup 500 disk $USER_ID:nogroup 400 p1 $USER_ID:nogroup 400 p2 $USER_ID:nogroup 400 p5 $USER_ID:nogroup 400 "
changed Partitions=no
grep -q 'Partitions= has changed: it takes effect when' "$W/service.log" || fail "$(cat "$W/service.log")"
changed
equal "taken back" "$(looks)" ". root:root 500 disk root:root 400 p1 root:root 400 p2 root:root 400 p5 root:root 400 "
kill -TERM $service
wait $service || fail "$(cat "$W/service.log")"

step "a reload of one that is written: what cannot be written stays so"
printf '%s\n' '[Image]' "Path=$W/parts.qcow2" '[View]' Partitions=yes MountPoint=/run/rawview/parts Writable=yes >/run/rawview/parts.image
"$W/bin/rawviewd" -v parts >>"$W/service.log" 2>&1 &
service=$!
wait_until 20 test -e /run/rawview/parts/p5 || fail "$(cat "$W/service.log")"
equal "before" "$(looks)" ". root:root 500 disk root:root 400 p1 root:root 600 p2 root:root 600 p5 root:root 600 "
changed Writable=yes Owner=$USER_ID Mode=0660
equal "after" "$(looks)" ". $USER_ID:root 550 disk $USER_ID:root 440 p1 $USER_ID:root 660 p2 $USER_ID:root 660 p5 $USER_ID:root 660 "
as-user dd if=tree/large of=/run/rawview/parts/p5 conv=notrunc status=none || fail "the new owner cannot write"
changed Writable=yes Mode=0222
equal "after" "$(looks)" ". root:root 0 disk root:root 0 p1 root:root 222 p2 root:root 222 p5 root:root 222 "
kill -TERM $service
wait $service || fail "$(cat "$W/service.log")"
umount /run/rawview

step "nothing is left"
no_mount_left
equal "processes left" "$(pgrep rawview || true)" ""
