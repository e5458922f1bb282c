#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is refused, is refused in one plain line that names the file, with the right status, before anything was
# mounted, and without touching the image.
. "$(dirname "$0")/lib.sh"

need losetup
make_programs
fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp
touch -d '2001-02-03 04:05:06' disk.raw disk.qcow2
raw_before=$(fingerprint disk.raw)
qcow2_before=$(fingerprint disk.qcow2)

step "mount points"
ln -s mp link
ln -s nowhere dangling
ln -s disk.qcow2 image-link
mkdir folder
mkfifo fifo
refused 1 'link.*symbolic link' "$RAWVIEW" mount disk.qcow2 link
refused 1 'dangling.*symbolic link' "$RAWVIEW" mount disk.qcow2 dangling
refused 1 'folder.*(directory|not a regular file)' "$RAWVIEW" mount disk.qcow2 folder
refused 1 'fifo.*(fifo|not a regular file)' "$RAWVIEW" mount disk.qcow2 fifo
refused 1 '/dev/null.*(device|not a regular file)' "$RAWVIEW" mount disk.qcow2 /dev/null
refused 1 'missing.*(no such file|does not exist)' "$RAWVIEW" mount disk.qcow2 missing
refused 1 'missing/mp.*(no such file|does not exist)' "$RAWVIEW" mount disk.qcow2 missing/mp
# An image that is named by a link can be shown elsewhere; over itself it would be the link that is covered. Without a mount point
# another place is found: one-line.sh.
refused 1 'image-link.*symbolic link' "$RAWVIEW" mount image-link image-link
up view image-link mp
cmp mp disk.raw
down view

if have_loops; then
    attach_loop --read-only disk.raw
    refused 1 "$LOOP.*(device|not a regular file)" "$RAWVIEW" mount -f raw "$LOOP" "$LOOP"
    detach_loop "$LOOP"
fi

step "mount points that are covered already, also under another spelling"
up view disk.qcow2 mp
for again in mp ./mp "$W/mp" folder/../mp; do
    expect_fail "mp.*already" "$RAWVIEW" mount disk.raw "$again"
    equal "status" $STATUS 1
    equal "lines ($(cat stderr))" "$(wc -l <stderr)" 1
done
equal "mounts on mp" "$(awk -v p="$W/mp" '$5 == p' /proc/self/mountinfo | wc -l)" 1
cmp mp disk.raw
down view
no_mount_left

step "files that are no images"
refused 1 'missing.raw.*(no such file|does not exist)' "$RAWVIEW" mount missing.raw mp
refused 1 'folder.*(directory|neither|not a regular file)' "$RAWVIEW" mount folder mp
refused 1 'fifo.*(fifo|neither|not a regular file)' timeout 20 "$RAWVIEW" mount fifo mp
refused 1 '/dev/null.*(device|neither|not a regular file)' "$RAWVIEW" mount /dev/null mp
refused 1 'disk.raw: .*qcow2.*' "$RAWVIEW" mount -f qcow2 disk.raw mp
head -c 40 disk.qcow2 >short.qcow2
refused 1 'short.qcow2: .*qcow2' "$RAWVIEW" mount short.qcow2 mp
head -c 300000 disk.qcow2 >cut.qcow2
printf '\0\0\0\4' | dd of=cut.qcow2 bs=1 seek=4 conv=notrunc status=none
refused 1 'cut.qcow2: .*version 4' "$RAWVIEW" mount -f qcow2 cut.qcow2 mp

step "images of formats that are known but not served are never shown as raw"
for magic in ewf2:EVF2 asif:shdw encrcdsa:encrcdsa; do
    format=${magic%:*}
    truncate -s 1M "disk.$format"
    printf '%s' "${magic#*:}" | dd of="disk.$format" conv=notrunc status=none
    refused 1 "disk.$format: .*$format" "$RAWVIEW" mount "disk.$format" mp
done

step "writable views"
refused '[12]' 'disk.qcow2: .*snapshot.*writable' "$RAWVIEW" mount -w --snapshot=any disk.qcow2 mp
cp disk.qcow2 corrupt.qcow2
printf '\2' | dd of=corrupt.qcow2 bs=1 seek=79 conv=notrunc status=none
refused 1 'corrupt.qcow2: qcow2: .*marked as corrupt.*read-only' "$RAWVIEW" mount -w corrupt.qcow2 mp
refused 1 'disk.raw: .*format=raw' "$RAWVIEW" mount -w disk.raw mp
refused 1 'disk.raw: .*format=raw' "$RAWVIEW" mount --writable disk.raw
refused '[12]' 'growable.*writable|writable.*growable' "$RAWVIEW" mount --growable -f raw disk.raw mp

step "snapshots"
refused 1 'disk.qcow2: .*nosuch' "$RAWVIEW" mount --snapshot=nosuch disk.qcow2 mp
refused 1 'disk.raw: .*snapshot' "$RAWVIEW" mount -f raw --snapshot=any disk.raw mp

step "encryption"
# Made by hand: qemu-img measures the time that a passphrase takes, and fails where the clock is too coarse.
cp disk.qcow2 luks.qcow2
printf '\2' | dd of=luks.qcow2 bs=1 seek=35 conv=notrunc status=none
refused 1 'luks.qcow2: .*encrypt' "$RAWVIEW" mount luks.qcow2 mp
qemu-img create -q -f qcow2 --object secret,id=s,data=abc123 \
    -o encrypt.format=aes,encrypt.key-secret=s aes.qcow2 1M 2>/dev/null
refused 1 'aes.qcow2: .*no passphrase' "$RAWVIEW" mount aes.qcow2 mp

step "a feature that nobody knows is refused by the name that the image gives it"
cp disk.qcow2 feature.qcow2
"$PYTHON" - feature.qcow2 <<'PYTHON'
import struct, sys
# Incompatible bit 5, and in the table of names, which qemu-img writes first, its name in place of the first one.
with open(sys.argv[1], "r+b") as f:
    f.seek(72)
    f.write(struct.pack(">Q", 1 << 5))
    f.seek(112)
    kind, length = struct.unpack(">II", f.read(8))
    if kind != 0x6803F857:
        sys.exit("the table of feature names is elsewhere")
    f.write(struct.pack(">BB46s", 0, 5, b"time travel"))
PYTHON
refused 1 'feature.qcow2: .*time travel' "$RAWVIEW" mount feature.qcow2 mp

step "backing files"
mkdir -p chain/above
qemu-img create -q -f raw outside.raw 1M
(cd chain && qemu-img create -q -f qcow2 -b ../outside.raw -F raw outside.qcow2)
refused 1 "outside.qcow2: .*backing file.*outside.raw.*references" "$RAWVIEW" mount chain/outside.qcow2 mp
(cd chain && qemu-img create -q -f qcow2 -b gone.raw -F raw gone.qcow2 1M -u)
refused 1 "gone.qcow2: .*gone.raw.*(no such file|does not exist)" "$RAWVIEW" mount chain/gone.qcow2 mp
(cd chain && qemu-img create -q -f qcow2 loop.qcow2 1M && qemu-img rebase -q -u -b loop.qcow2 -F qcow2 loop.qcow2)
refused 1 "loop.qcow2: .*(twice|itself|loop|already)" "$RAWVIEW" mount chain/loop.qcow2 mp
(cd chain && qemu-img create -q -f qcow2 -u -b nbd://localhost/x -F raw nbd.qcow2 1M)
refused 1 "nbd.qcow2: .*nbd" "$RAWVIEW" mount chain/nbd.qcow2 mp
cp disk.raw chain/base.raw
(cd chain && qemu-img create -q -f qcow2 -b base.raw -F raw none.qcow2)
refused 1 "none.qcow2: .*base.raw.*references" "$RAWVIEW" mount --references=none chain/none.qcow2 mp

step "usage: status 2"
refused 2 'nonsense' "$RAWVIEW" nonsense
refused 2 'nonsense' "$RAWVIEW" mount --nonsense disk.qcow2 mp
refused 2 'image' "$RAWVIEW" mount
refused 2 'more|many|unexpected|extra' "$RAWVIEW" mount disk.qcow2 mp mp
refused 2 'allow-other.*(auto|yes|no)' "$RAWVIEW" mount --allow-other=perhaps disk.qcow2 mp
# Only the worker knows the formats.
refused 1 'format.*nonsense' "$RAWVIEW" mount --format=nonsense disk.qcow2 mp
refused 2 'writable' "$RAWVIEW" mount --writable=perhaps disk.qcow2 mp
refused 2 "pidfile|argument -- 'p'" "$RAWVIEW" mount disk.qcow2 mp -p
refused 2 'references.*nonsense' "$RAWVIEW" mount --references=nonsense disk.qcow2 mp

step "a pidfile that cannot be written"
refused 1 'nowhere/pid' "$RAWVIEW" mount -d -p nowhere/pid disk.qcow2 mp

step "permissions"
chmod 600 disk.raw
chmod 666 mp
refused 1 'disk.raw.*permission denied' \
    as-user rawview mount -f raw "$W/disk.raw" "$W/mp"

step "nothing was touched"
chmod 644 disk.raw
equal "disk.raw" "$(fingerprint disk.raw)" "$raw_before"
equal "disk.qcow2" "$(fingerprint disk.qcow2)" "$qcow2_before"
equal "size of mp" "$(size_of mp)" 0
no_mount_left
equal "processes left" "$(pgrep rawview || true)" ""
