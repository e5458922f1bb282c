#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Sectors of 4096 bytes: what a VHDX says of them, a raw image that cannot, --sector-size; and that who reads the loop
# device finds the partitions that rawview finds.
. "$(dirname "$0")/lib.sh"
need losetup parted partx mkfs.ext4
make_programs
# Nobody else's views of a moment.
mkdir -p /run/rawview
mount -t tmpfs none /run/rawview
MIB=$((1024 * 1024))

# large_sectors FILE: qemu-img makes VHDX with sectors of 512 bytes only; where no table is longer than one chunk, this is all the difference.
large_sectors()
{
    "$PYTHON" - "$1" <<'PYTHON'
import struct, sys, uuid
item = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
region = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
with open(sys.argv[1], "r+b") as f:
    disk = f.read()
    base = struct.unpack_from("<Q", disk, disk.index(region, 192 << 10) + 16)[0]
    at = base + struct.unpack_from("<I", disk, disk.index(item, base) + 16)[0]
    assert struct.unpack_from("<I", disk, at)[0] == 512
    f.seek(at)
    f.write(struct.pack("<I", 4096))
PYTHON
}

without_frame()
{
    sed -e '/^2 .* 62914560$/d'
}

# "NUMBER START SIZE", in bytes, of what is no frame.
found()
{
    "$RAWVIEW" partitions --json "$@" | jq -r '.partitiontable.partitions[] | "\(.number) \(."start-bytes") \(."size-bytes")"' |
        without_frame
}

# The same of what libblkid finds on a loop device, in the sectors that this has. What the kernel finds: vm `devices`.
partx_found()
{
    partx --noheadings --bytes --raw --output NR,START,SIZE "$1" | awk '{ print $1, $2 * 512, $3 }' | without_frame
}

sector_size()
{
    "$RAWVIEW" partitions --json "$@" | jq .partitiontable.sectorsize
}

step "disks: an MBR with logical partitions, and a GPT"
truncate -s 128M mbr.raw gpt.raw
PARTED_SECTOR_SIZE=4096 parted -s -a none mbr.raw mklabel msdos mkpart primary 256s 4351s mkpart extended 8192s 23551s \
    mkpart logical 9000s 11047s mkpart logical 12000s 14047s
printf '\xcd\xab\x34\x12' | dd of=mbr.raw bs=1 seek=440 conv=notrunc status=none
PARTED_SECTOR_SIZE=4096 parted -s gpt.raw mklabel gpt mkpart first 1MiB 17MiB mkpart third 40MiB 60MiB
for disk in mbr gpt; do
    mkfs.ext4 -q -L "$disk" -E offset=$MIB $disk.raw 16M 2>/dev/null
    qemu-img convert -f raw -O vhdx -o subformat=dynamic $disk.raw $disk.vhdx
    large_sectors $disk.vhdx
done
printf '1 %d %d\n5 %d %d\n6 %d %d\n' $((256 * 4096)) $((4096 * 4096)) $((9000 * 4096)) $((2048 * 4096)) $((12000 * 4096)) $((2048 * 4096)) >mbr.wanted
printf '1 %d %d\n2 %d %d\n' $MIB $((16 * MIB)) $((40 * MIB)) $((20 * MIB)) >gpt.wanted

step "what is found: in the VHDX, in a view of it, in the raw image, with the file system"
for disk in mbr gpt; do
    for image in $disk.vhdx $disk.raw; do
        found "$image" | diff $disk.wanted - || fail "$image"
        equal "$image: sectors" "$(sector_size "$image")" 4096
        equal "$image: file system" "$("$RAWVIEW" partitions --json "$image" | jq -r '.partitiontable.partitions[0].fslabel')" $disk
    done
    up $disk $disk.vhdx
    found $disk.vhdx | diff $disk.wanted - || fail "the view of $disk.vhdx"
    equal "state" "$("$RAWVIEW" list --json | jq -r '.[0].state."sector-size"')" 4096
    down $disk
done
equal "in units of it" "$("$RAWVIEW" partitions --json mbr.vhdx | jq -c '[.partitiontable.partitions[] | .start, .size]')" \
    "[256,4096,8192,15360,9000,2048,12000,2048]"

step "one of them as a view"
up part --partition=5 mbr.vhdx
equal "size" "$(size_of mbr.vhdx)" $((2048 * 4096))
down part
fill_file known 8M
up part -w --partition=1234abcd-05 mbr.vhdx
dd if=known of=mbr.vhdx bs=1M conv=notrunc status=none
down part
up whole mbr.vhdx
cmp -n $((8 * MIB)) -i $((9000 * 4096)):0 mbr.vhdx known || fail "what was written to the partition lies elsewhere"
down whole

step "a raw image that says nothing: 512 where nothing speaks for 4096, and --sector-size"
cp mbr.raw empty.raw
dd if=/dev/zero of=empty.raw bs=$MIB seek=1 count=16 conv=notrunc status=none
equal "the chain of logical ones speaks for it" "$(sector_size empty.raw)" 4096
dd if=/dev/zero of=empty.raw bs=4096 seek=8192 count=1 conv=notrunc status=none
equal "nothing does" "$(sector_size empty.raw)" 512
equal "said" "$(sector_size --sector-size=4096 empty.raw)" 4096
equal "said otherwise" "$(sector_size --sector-size=512 mbr.vhdx)" 512
equal "of a view that says so" "$("$RAWVIEW" mount --sector-size=4096 -f raw empty.raw >/dev/null; sector_size empty.raw)" 4096
"$RAWVIEW" umount empty.raw
up said --sector-size=4096 -f raw --partition=1 empty.raw
equal "size" "$(size_of empty.raw)" $((16 * MIB))
down said
refused 2 "sector-size: '1024' is not allowed; allowed are auto, 512, 4096" "$RAWVIEW" mount --sector-size=1024 empty.raw
refused 2 "sector-size: '1024' is not allowed" "$RAWVIEW" partitions --sector-size=1024 empty.raw

have_loops || exit 0
step "a loop device: sectors of the image, and the same partitions for who reads it"
for image in mbr.vhdx gpt.vhdx mbr.raw gpt.raw; do
    up loop --loop -f "${image#*.}" "$image"
    loop=$(sed -n 2p loop.out)
    equal "$image: sectors" "$(losetup --noheadings --raw --output LOG-SEC "$loop")" 4096
    partx_found "$loop" | diff "${image%.*}.wanted" - || fail "$image: partx finds others"
    down loop
done
step "of a disk without a table, and of a partition"
truncate -s 16M whole.raw
qemu-img convert -f raw -O vhdx whole.raw whole.vhdx
large_sectors whole.vhdx
for words in "whole.vhdx" "--partition=1 mbr.vhdx" "--sector-size=4096 -f raw whole.raw"; do
    # shellcheck disable=SC2086
    up loop --loop $words
    equal "$words: sectors" "$(losetup --noheadings --raw --output LOG-SEC "$(sed -n 2p loop.out)")" 4096
    down loop
done
