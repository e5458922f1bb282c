#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `rawview partitions`: the same as sfdisk, parted and blkid say, of raw images, of others and of views; without a view; hostile tables
# and file systems; and that nothing is left.
. "$(dirname "$0")/lib.sh"
. "$HERE/features.sh"
need jq
need_feature libblkid
need sfdisk sgdisk parted partx blkid mkfs.ext4 mkfs.vfat mkntfs mksquashfs mkswap cryptsetup

MIB=$((1024 * 1024))
make_programs
# Nobody else's views of a moment.
mkdir -p /run/rawview
mount -t tmpfs none /run/rawview
install -d -m 755 -o $USER_ID home
cd home
: >mp

nothing_left()
{
    no_mount_left
    equal "processes left" "$(pgrep rawview || true)" ""
    equal "folders left" "$(compgen -G '/run/rawview/.look-*' || true)$(compgen -G "$W/run/rawview/.look-*" || true)" ""
}

step "tables by sfdisk and sgdisk: what sfdisk prints, key for key"
truncate -s 64M mbr.raw gpt.raw
printf 'label: dos\nlabel-id: 0x1234abcd\nsize=8M,type=83,bootable\nsize=30M,type=5\nsize=4M,type=82\nsize=2M,type=c\nsize=7M\nsize=2M\n' |
    sfdisk -q mbr.raw
sgdisk --clear --new=1:2048:+16M --change-name=1:root --typecode=1:8304 --new=3:0:+16M --typecode=3:0700 --change-name=3:'Ünd "so"' \
    --new=4:0:+4M --typecode=4:8200 --attributes=4:set:2 --new=7:0:+4M --typecode=7:8309 --new=9:0:+4M gpt.raw >/dev/null
for disk in mbr gpt; do
    wanted=$(sfdisk --json $disk.raw | jq -cS '.partitiontable | del(.firstlba, .lastlba) | del(.partitions[].attrs)')
    got=$("$RAWVIEW" partitions --json $disk.raw | jq -cS --argjson sfdisk "$wanted" '
        .partitiontable as $t | $t | with_entries(select(.key as $k | $sfdisk | has($k)))
        | .partitions = [$t.partitions | to_entries[] | .key as $i | .value
            | with_entries(select(.key as $k | $sfdisk.partitions[$i] | has($k)))]')
    equal "$disk" "$got" "$wanted"
done
equal "names of types" "$("$RAWVIEW" partitions --json gpt.raw | jq -c '[.partitiontable.partitions[].typename]')" \
    '["Linux root (x86-64)","Microsoft basic data","Linux swap","Linux LUKS","Linux filesystem"]'
equal "bootable" "$("$RAWVIEW" partitions --json gpt.raw | jq -c '[.partitiontable.partitions[].bootable]')" '[false,false,true,false,false]'

step "by parted: Apple's map, and a GPT of sectors of 4096 bytes"
truncate -s 64M apm.raw large.raw
parted -s apm.raw mklabel mac mkpart Untitled hfs 1MiB 5MiB mkpart second hfs 6MiB 9MiB
PARTED_SECTOR_SIZE=4096 parted -s large.raw mklabel gpt mkpart first 1MiB 9MiB mkpart second 10MiB 12300kiB
for disk in apm large; do
    size=512
    [[ $disk != large ]] || size=4096
    wanted=$(PARTED_SECTOR_SIZE=$size parted -ms $disk.raw unit B print | tr -d 'B;' | awk -F: 'NR > 2 { print $1, $2, $4, $6 }')
    got=$("$RAWVIEW" partitions --json $disk.raw | jq -r '.partitiontable.partitions[] | "\(.number) \(."start-bytes") \(."size-bytes") \(.name)"')
    equal "$disk" "$got" "$wanted"
    equal "$disk: sectors" "$("$RAWVIEW" partitions --json $disk.raw | jq .partitiontable.sectorsize)" $size
done

step "file systems: as blkid finds them"
mkfs.ext4 -q -L 'my root' -E offset=$MIB gpt.raw 16M 2>/dev/null
where() { sfdisk --json gpt.raw | jq ".partitiontable.partitions[$1].start * 512"; }
make_part()
{
    dd if="$2" of=gpt.raw bs=$MIB seek=$(($(where "$1") / MIB)) conv=notrunc status=none
}
truncate -s 16M ntfs
mkntfs -F -Q -q -L windows ntfs 2>/dev/null
make_part 1 ntfs
truncate -s 4M swap luks fat
mkswap -q -L swapped swap
make_part 2 swap
make_part 4 fat
echo secret | cryptsetup luksFormat --type luks1 -q --pbkdf-force-iterations 1000 luks
make_part 3 luks
# "ID SIZE type label uuid", or nothing of a piece of a disk.
blkid_says()
{
    blkid --probe --offset "$2" --size "$3" --output export "$1" |
        awk -F= '{ v[$1] = $2 } END { gsub(/\\ /, " ", v["LABEL"]); print v["TYPE"] "|" v["LABEL"] "|" v["UUID"] }' || true
}
while read -r start size; do
    blkid_says gpt.raw "$start" "$size"
done < <("$RAWVIEW" partitions --json gpt.raw | jq -r '.partitiontable.partitions[] | "\(."start-bytes") \(."size-bytes")"') >wanted
grep -q '^ext4|my root|' wanted || fail "blkid finds: $(cat wanted)"
grep -q '^ntfs|windows|' wanted || fail "blkid finds: $(cat wanted)"
grep -q '^crypto_LUKS' wanted || fail "blkid finds: $(cat wanted)"
with_systems() { jq -r '.partitiontable.partitions[] | "\(.fstype // "")|\(.fslabel // "")|\(.fsuuid // "")"'; }
"$RAWVIEW" partitions --json gpt.raw | with_systems >got
diff wanted got

step "a qcow2, through a view of a moment: the same; as an ordinary user, too, and of a view"
qemu-img convert -f raw -O qcow2 gpt.raw gpt.qcow2
chown $USER_ID ./*.raw gpt.qcow2
before=$(fingerprint gpt.qcow2)
"$RAWVIEW" partitions --json gpt.qcow2 | with_systems >got
diff wanted got
nothing_left
install -d -m 700 -o $USER_ID "$W/run"
XDG_RUNTIME_DIR=$W/run as-user rawview partitions --json gpt.qcow2 | with_systems >got
diff wanted got
nothing_left
as-user env -u XDG_RUNTIME_DIR "$W/bin/rawview" partitions --json gpt.qcow2 | with_systems >got
diff wanted got
up view gpt.qcow2 mp
"$RAWVIEW" partitions --json mp | with_systems >got
diff wanted got
down view
equal "the image" "$(fingerprint gpt.qcow2)" "$before"

step "a chain in a folder whose name wants quotes"
mkdir "o'brien and sons"
cp --sparse=always gpt.raw "o'brien and sons"
qemu-img create -q -f qcow2 -b "$PWD/o'brien and sons/gpt.raw" -F raw over.qcow2
"$RAWVIEW" partitions --json --references=chain --allowed-paths="\"$PWD/o'brien and sons\"" over.qcow2 | with_systems >got
diff wanted got
nothing_left

step "a table: whole in a pipe, and in bytes"
"$RAWVIEW" partitions gpt.qcow2 >got
equal "lines" "$(wc -l <got)" 6
grep -Eq '^ +1 +1048576 +16777216 +Linux root \(x86-64\) +- +root +ext4 +my root +[0-9a-f-]{36} +[0-9a-f-]{36}$' got || fail "$(cat got)"
equal "without a heading" "$("$RAWVIEW" partitions --no-legend gpt.raw | head -n 1 | cut -d' ' -f1)" 1

step "no view can be had: the table is shown all the same, and one line says why"
XDG_RUNTIME_DIR=$W/run as-user env PATH="$W/bin" "$W/bin/rawview" partitions --json gpt.qcow2 >got 2>err
equal "lines" "$(wc -l <err)" 1
grep -q 'gpt.qcow2: the file systems are not known, because no view of it can be had: .*fusermount3' err || fail "$(cat err)"
equal "what is known" "$(jq -c '[.partitiontable.partitions[] | .number, .fstype]' <got)" '[1,null,3,null,4,null,7,null,9,null]'
nothing_left

step "a disk without partitions: what it is itself"
truncate -s 4M whole.raw
mkfs.ext4 -q -L whole whole.raw
equal "stderr" "$("$RAWVIEW" partitions whole.raw 2>&1)" "whole.raw: there is no partition table; the disk itself is ext4 'whole'"
equal "JSON" "$("$RAWVIEW" partitions --json whole.raw | jq -c '[.partitiontable, .fstype, .fslabel]')" '[null,"ext4","whole"]'
equal "nothing at all" "$("$RAWVIEW" partitions -f raw fat 2>&1)" "fat: there is no partition table"

step "a damaged table is shown, and said to be"
cp gpt.raw damaged.raw
dd if=/dev/zero of=damaged.raw bs=512 seek=1 count=1 conv=notrunc status=none
"$RAWVIEW" partitions --json damaged.raw 2>err | with_systems >got
diff wanted got
equal "stderr" "$(cat err)" "rawview: damaged.raw: the first header of the GPT is damaged (there is none); the one at the end is used"

step "tables that cannot be are refused, each with a sentence"
"$PYTHON" "$HERE/tables.py" list >hostile-ones
while IFS=$'\t' read -r name words <&3; do
    "$PYTHON" "$HERE/tables.py" "$name" hostile.raw
    STEP="hostile: $name"
    refused 1 "hostile.raw: (mbr|gpt|apm|bsd) partition table: .*$words" "$RAWVIEW" partitions hostile.raw
done 3<hostile-ones

step "tables of all kinds, with disklabels: the same partitions as partx finds"
"$PYTHON" "$HERE/tables.py" sound >sound-ones
while read -r name <&3; do
    "$PYTHON" "$HERE/tables.py" "$name" sound.raw
    [[ $name != apm ]] || continue # partx counts the space in it
    "$RAWVIEW" partitions --json sound.raw | jq -r '.partitiontable.partitions[] | "\(.number) \(.start) \(.size)"' | sort -n >got
    partx --noheadings --raw --output NR,START,SECTORS sound.raw | sort -n | diff - got || fail "$name: partx finds others"
done 3<sound-ones
"$PYTHON" "$HERE/tables.py" freebsd sound.raw
equal "their names" "$("$RAWVIEW" partitions --json sound.raw | jq -r '.partitiontable.partitions[] | select(.number > 5)
    | "\(.number) \(.name) \(.type) \(.typename)"')" "6 s1a bsd:0x07 BSD FFS (4.2BSD)
7 s1b bsd:0x01 BSD swap
8 s1d bsd:0x1b BSD ZFS
9 s3a bsd:0x07 BSD FFS (4.2BSD)
10 s3e bsd:0x01 BSD swap"
equal "a label alone" "$("$PYTHON" "$HERE/tables.py" bsd sound.raw && "$RAWVIEW" partitions --json sound.raw | jq -r .partitiontable.label)" bsd

step "images for CDs: as they are, and with a table that makes them disks as well"
"$PYTHON" - plain.iso hybrid.iso <<'PYTHON'
import struct, sys
# As much of ISO 9660 as names it: the first volume descriptor and the last.
for name, entries in ((sys.argv[1], []), (sys.argv[2], [(0x17, 0, 2000), (0xef, 400, 100)])):
    disk = bytearray(1 << 20)
    disk[32768:32775] = b"\x01CD001\x01"
    disk[32808:32840] = name.split(".")[0].upper().encode().ljust(32)
    disk[34816:34823] = b"\xffCD001\x01"
    for i, (kind, first, count) in enumerate(entries):
        struct.pack_into("<B3sB3sII", disk, 446 + 16 * i, 0, b"", kind, b"", first, count)
        disk[510:512] = b"\x55\xaa"
    open(name, "wb").write(disk)
PYTHON
equal "a CD" "$("$RAWVIEW" partitions -f raw plain.iso 2>&1)" "plain.iso: there is no partition table; the disk itself is iso9660 'PLAIN'"
equal "both" "$("$RAWVIEW" partitions -f raw --json hybrid.iso | jq -c '.partitiontable.partitions[] | [.number, .start, .size, .typename, .fstype, .fslabel]')" \
    '[1,0,2000,"Hidden HPFS/NTFS","iso9660","HYBRID"]
[2,400,100,"EFI (FAT-12/16/32)",null,null]'

step "texts that would be obeyed by a terminal"
printf '\033[2J\033]0;x' >label
cp gpt.raw label.raw
# The label of an ext4 lies at 120 of the superblock, the name of a GPT entry would need its checksum.
dd if=label of=label.raw bs=1 seek=$((MIB + 1024 + 120)) conv=notrunc status=none
for form in off short pretty; do
    "$RAWVIEW" partitions --json=$form label.raw >got
    [[ $(tr -cd '\033' <got | wc -c) == 0 ]] || fail "--json=$form: $(cat -v got)"
done

step "wrong usage"
refused 2 'which image' "$RAWVIEW" partitions
refused 2 'one image at a time' "$RAWVIEW" partitions gpt.raw mbr.raw
refused 2 'none of short, pretty, off' "$RAWVIEW" partitions --json=xml gpt.raw
refused 1 'nowhere: No such file' "$RAWVIEW" partitions nowhere
refused 1 'passphrase is needed' "$RAWVIEW" partitions luks

step "a signal, whenever it comes, leaves no view and no folder"
times=0
for signal in INT TERM INT TERM HUP TERM; do
    "$RAWVIEW" partitions gpt.qcow2 >/dev/null 2>&1 &
    command=$!
    sleep 0.0$((++times))
    kill -$signal $command 2>/dev/null || true
    wait $command || true
    wait_until 20 bash -c '! pgrep -x rawviewd >/dev/null' || fail "a view is left"
done
nothing_left
