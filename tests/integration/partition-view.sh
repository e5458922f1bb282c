#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A view of one partition or of a window: of every kind of table, with the programs that an ordinary user has for file systems,
# and that nothing is written outside of it. Tables are made by sfdisk, sgdisk and parted; those that cannot be by tables.py.
. "$(dirname "$0")/lib.sh"
need sfdisk sgdisk parted mkfs.ext4 debugfs fuse2fs mkntfs ntfs-3g ntfscat mksquashfs squashfuse fusermount3 unshare

MIB=$((1024 * 1024))
make_programs
install -d -m 755 -o $USER_ID home
cd home
as-user touch mp

# The view whose pidfile is home/pid, of what the words say, by the program $AS.
AS=as-root
show()
{
    $AS rawview mount -d -p pid "$@" mp >out 2>err || fail "rawview mount $*: $(cat err)"
}

end()
{
    local pid
    pid=$(cat pid)
    kill -INT "$pid"
    wait_until 20 process_is_gone "$pid" || fail "it does not end"
}

# FIRST and SIZE in sectors of what sfdisk says of a partition, in bytes.
where_is()
{
    sfdisk --json "$1" | jq -r --argjson n "$2" \
        '.partitiontable.partitions[] | select(.node | endswith(".raw\($n)")) | "\(.start * 512) \(.size * 512)"'
}

# The view of partition $2 of $1 is that piece of the disk $3 that $4 and $5 say.
is_piece()
{
    show --partition="$2" "$1"
    equal "size of $2 in $1" "$(size_of mp)" "$5"
    cmp -n "$5" "$3" mp -i "$4:0" || fail "partition $2 of $1 is another piece"
    end
}

step "file systems"
mkdir tree
printf 'words of a file\n' >tree/hello.txt
fill_file tree/large 300K
truncate -s 16M ext4 ntfs
mkfs.ext4 -q -d tree -E root_owner="$(id -u $USER_ID)":0 ext4
mkntfs -F -Q -q ntfs 2>/dev/null
mkdir fuse
ntfs-3g ntfs fuse
cp tree/* fuse/
umount fuse
mksquashfs tree squashfs -quiet -no-progress >/dev/null
truncate -s 4M squashfs

step "a GPT by sgdisk, in a qcow2"
truncate -s 64M gpt.raw
sgdisk --clear --new=1:2048:+16M --change-name=1:root --new=2:0:+16M --change-name=2:windows --new=3:0:+4M --change-name=3:packed \
    --new=4:0:+4M --change-name=4:twin --new=5:0:+4M --change-name=5:twin gpt.raw >/dev/null
i=0
for fs in ext4 ntfs squashfs; do
    i=$((i + 1))
    read -r first size < <(where_is gpt.raw $i)
    dd if=$fs of=gpt.raw bs=$MIB seek=$((first / MIB)) conv=notrunc status=none
done
qemu-img convert -f raw -O qcow2 gpt.raw gpt.qcow2
chown $USER_ID gpt.qcow2
before=$(fingerprint gpt.qcow2)
uuid=$(sfdisk --part-uuid gpt.raw 2)
for name in 2 windows "$uuid" "${uuid,,}"; do
    read -r first size < <(where_is gpt.raw 2)
    is_piece gpt.qcow2 "$name" gpt.raw "$first" "$size"
done

AS=as-user
step "debugfs and fuse2fs, as a user"
show --partition=root gpt.qcow2
equal "debugfs" "$(as-user debugfs -R 'cat /hello.txt' mp 2>/dev/null)" "words of a file"
as-user debugfs -R 'cat /large' mp 2>/dev/null | cmp - tree/large
chmod 777 fuse
as-user fuse2fs -o ro mp fuse
as-user cmp fuse/large tree/large
as-user fusermount3 -u fuse
end

step "ntfs-3g, as a user"
show --partition=2 gpt.qcow2
as-user ntfscat mp large | cmp - tree/large
end
# Debian's is setuid root and looks for the view as root, whom a user's view lets in only with this.
echo user_allow_other >fuse.conf
mount --bind fuse.conf /etc/fuse.conf
show --partition=2 gpt.qcow2
chown $USER_ID fuse
as-user ntfs-3g -o ro mp fuse
as-user cmp fuse/large tree/large
as-user fusermount3 -u fuse 2>/dev/null || umount fuse
umount /etc/fuse.conf
end

step "squashfuse, as a user"
show --partition=packed gpt.qcow2
as-user squashfuse mp fuse
as-user cmp fuse/large tree/large
as-user fusermount3 -u fuse
end
equal "the image" "$(fingerprint gpt.qcow2)" "$before"

AS=as-root
step "no such partition, and a name that two have"
refused 1 'gpt.qcow2: there is no partition 7; there are 1, 2, 3, 4 and 5$' as-root rawview mount --partition=7 gpt.qcow2 mp
refused 1 "gpt.qcow2: there is no partition 'nobody'; there are 1, 2" as-root rawview mount --partition=nobody gpt.qcow2 mp
refused 1 "gpt.qcow2: 'twin' are several partitions: 4 and 5; say which" as-root rawview mount --partition=twin gpt.qcow2 mp
refused 1 "ext4: there is no partition 1; the disk has no partition table" as-root rawview mount --partition=1 ext4 mp

step "the first header damaged, its entries damaged, all of the start gone: the copy at the end counts"
for damage in 512:8:1 1024:4:1 0:512:200; do
    IFS=: read -r at len count <<<"$damage"
    cp gpt.raw damaged.raw
    dd if=/dev/zero of=damaged.raw bs="$len" seek=$((at / len)) count="$count" conv=notrunc status=none
    read -r first size < <(where_is gpt.raw 3)
    is_piece damaged.raw packed gpt.raw "$first" "$size"
    grep -q 'its partition table is damaged' err || fail "nothing is said of the damage: $(cat err)"
done
rm damaged.raw

step "GPT with sectors of 4096 bytes, by parted; whole and without its first header"
truncate -s 64M large.raw
fill_file noise 64M
cp noise large.raw
PARTED_SECTOR_SIZE=4096 parted -s large.raw mklabel gpt mkpart first 1MiB 9MiB mkpart second 10MiB 12300kiB
is_piece large.raw 1 large.raw $MIB $((8 * MIB))
is_piece large.raw second large.raw $((10 * MIB)) $((12300 * 1024 - 10 * MIB))
cp large.raw damaged.raw
dd if=/dev/zero of=damaged.raw bs=4096 seek=1 count=1 conv=notrunc status=none
is_piece damaged.raw second large.raw $((10 * MIB)) $((12300 * 1024 - 10 * MIB))
rm damaged.raw large.raw

step "MBR with logical partitions, by sfdisk"
cp noise mbr.raw
printf 'label: dos\nlabel-id: 0x1234abcd\nsize=4M,type=83\nsize=40M,type=5\nsize=7M\nsize=2M\nsize=3M\nsize=1M\n' | sfdisk -q mbr.raw
for i in 1 3 4 5 6; do
    read -r first size < <(where_is mbr.raw $i) || fail "sfdisk knows no partition $i: $(sfdisk --json mbr.raw)"
    is_piece mbr.raw $i mbr.raw "$first" "$size"
    is_piece mbr.raw 1234abcd-0$i mbr.raw "$first" "$size"
done
refused 1 'partition 2 is an extended one, which only holds others' as-root rawview mount --partition=2 mbr.raw mp

step "Apple's map, by parted"
cp noise apm.raw
parted -s apm.raw mklabel mac mkpart Untitled hfs 1MiB 5MiB mkpart second hfs 6MiB 9MiB
parted -ms apm.raw unit B print | tr -d 'B;' | sed -n 's/^\([0-9]*\):\([0-9]*\):[0-9]*:\([0-9]*\):.*/\1 \2 \3/p' >parts
equal "what parted says of three partitions" "$(wc -l <parts)" 3
while read -r i first size <&3; do
    is_piece apm.raw "$i" apm.raw "$first" "$size"
done 3<parts
is_piece apm.raw second apm.raw $((6 * MIB)) $((3 * MIB))

step "tables that cannot be are refused, each with a sentence"
"$PYTHON" "$HERE/tables.py" list >hostile-ones
while IFS=$'\t' read -r name words <&3; do
    "$PYTHON" "$HERE/tables.py" "$name" hostile.raw
    STEP="hostile: $name"
    refused 1 "hostile.raw: (mbr|gpt|apm|bsd) partition table: .*$words" as-root rawview mount --partition=1 hostile.raw mp
done 3<hostile-ones
rm hostile.raw

step "windows in bytes"
show --view-offset=1000000 --view-size=3M gpt.qcow2
cmp -n $((3 * MIB)) -i 1000000:0 gpt.raw mp
equal "size" "$(size_of mp)" $((3 * MIB))
end
show -f raw --view-offset=63M noise
cmp -i $((63 * MIB)):0 noise mp
equal "size" "$(size_of mp)" $MIB
equal "it does not go past the worker" "$(getfattr --only-values -n user.rawview.state mp | jq -c '[.passthrough, .offset, .size]')" "[false,$((63 * MIB)),$MIB]"
end
refused 1 'noise: Offset=67108864.* is not within the disk' as-root rawview mount -f raw --view-offset=64M noise mp
refused 1 'noise: Size=.* leads past the end' as-root rawview mount -f raw --view-offset=63M --view-size=2M noise mp
refused 2 'Partition= .*cannot be combined' as-root rawview mount --partition=1 --view-size=1M gpt.qcow2 mp
refused 2 'Growable=yes .*needs the whole disk' as-root rawview mount -w --growable --partition=1 gpt.qcow2 mp

step "a window has the space of its own, and its own holes"
truncate -s 64M sparse.raw
dd if=noise of=sparse.raw bs=64k seek=160 count=16 conv=notrunc status=none
show -f raw --view-offset=9M --view-size=4M sparse.raw
equal "space" "$(blocks_of mp)" $((MIB / 512))
equal "data" "$("$PYTHON" -c 'import os; f = os.open("mp", 0); print(os.lseek(f, 0, os.SEEK_DATA), os.lseek(f, 1 << 20, os.SEEK_HOLE))')" \
    "$MIB $((2 * MIB))"
end
show -f raw --view-offset=20M --view-size=4M sparse.raw
equal "space of a hole" "$(blocks_of mp)" 0
end

step "a writable window: whatever is written, what lies outside is as it was"
for image in window.raw window.qcow2; do
    format=${image#*.}
    qemu-img convert -f raw -O "$format" noise $image
    chown $USER_ID $image
    # No end of a window is one of a cluster, nor of a sector.
    show -f "$format" -w --view-offset=1000001 --view-size=5000003 $image
    head -c 6000004 noise | tail -c 5000003 >model
    cmp model mp
    timeout 120 "$PYTHON" "$HERE/random-io.py" mp model 1 120 fixed
    expect_fail 'not permitted' truncate -s 6M mp
    expect_fail 'no space' fallocate --offset 5000000 --length 1M mp
    expect_fail 'no space' dd if=noise of=mp bs=1M seek=8 count=1 conv=notrunc status=none
    fallocate --punch-hole --offset 4999990 --length 5M mp
    truncate -s 5000003 model
    dd if=/dev/zero of=model bs=1 seek=4999990 count=13 conv=notrunc status=none
    end
    qemu-img convert -f "$format" -O raw $image got.raw
    cp noise want.raw
    dd if=model of=want.raw bs=1M oflag=seek_bytes seek=1000001 conv=notrunc status=none
    cmp want.raw got.raw || fail "$image: bytes outside of the window have changed, or those in it are others"
done

AS=as-user
step "a file system written in its partition, as a user"
show -w --partition=root gpt.qcow2
as-user fuse2fs -o rw mp fuse
as-user cp tree/large fuse/again
as-user fusermount3 -u fuse
wait_until 20 bash -c '! pgrep -x fuse2fs >/dev/null'
as-user e2fsck -fn mp >e2fsck.out 2>&1 || fail "$(cat e2fsck.out)"
as-user debugfs -R 'cat /again' mp 2>/dev/null | cmp - tree/large
end
qemu-img convert -f qcow2 -O raw gpt.qcow2 got.raw
cmp -n 1048576 gpt.raw got.raw
read -r first size < <(where_is gpt.raw 2)
cmp -i "$first" gpt.raw got.raw || fail "other partitions have changed"

step "nothing is left"
no_mount_left
equal "processes left" "$(pgrep rawview || true)" ""
