#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is written goes to an overlay, and the image stays as it is, byte for byte: whatever its format, and however it was left.
# A kept overlay is an ordinary qcow2; a volatile one leaves nothing.
. "$(dirname "$0")/lib.sh"
make_programs
: >mp
fill_file disk.raw 4M

state_of()
{
    "$RAWVIEW" list --json=short | jq -r --arg view "$W/mp" '.[] | select(.view == $view).state | '"$1"
}

# A view of IMAGE with an overlay, changed here and there. What it must show then is in `expected`.
change()
{
    qemu-img convert "${2:+-f}" ${2:+"$2"} -O raw "$1" expected 2>/dev/null || cp disk.raw expected
    for at in 0 70000 2097152 4194000; do
        echo "changed at $at" | dd of=mp bs=1 seek=$at conv=notrunc status=none
        echo "changed at $at" | dd of=expected bs=1 seek=$at conv=notrunc status=none
    done
    fallocate --punch-hole --offset 1M --length 256K mp
    fallocate --punch-hole --offset 1M --length 256K expected
    sync mp
    cmp mp expected
}

step "images of all kinds"
qemu-img convert -f raw -O qcow2 -c disk.raw disk.qcow2
qemu-img convert -f raw -O vmdk disk.raw disk.vmdk
qemu-img convert -f raw -O vhdx disk.raw disk.vhdx
qemu-img convert -f raw -O vdi disk.raw disk.vdi
qemu-img convert -f raw -O qed disk.raw disk.qed
# A QED and a VHDX that were not closed: the mark of the one, a log with an entry in the other.
printf '\002' | dd of=disk.qed bs=1 seek=16 conv=notrunc status=none
"$PYTHON" -B "$HERE/../recipe/mkimage.py" "$HERE/../recipe/good-vhdx-log-replay.recipe" .
mv disk log.vhdx
# Images of which the worker has to ask for further files.
qemu-img create -q -f qcow2 -b disk.vmdk -F vmdk disk.chain
qemu-img convert -f raw -O vmdk -o subformat=twoGbMaxExtentSparse disk.raw disk.parts
for kind in raw chain parts qcow2 vmdk vhdx vdi qed log; do
    image=disk.$kind format=()
    [[ $kind != raw ]] || format=(-f raw)
    [[ $kind != log ]] || image=log.vhdx
    case $kind in
    log) format_name=vhdx ;;
    chain) format_name=qcow2 ;;
    parts) format_name=vmdk ;;
    *) format_name=$kind ;;
    esac
    before=$(fingerprint $image)
    up view "${format[@]}" --overlay=$kind.over $image mp
    equal "what the view of $image says of its overlay" "$(state_of .overlay)" "$W/$kind.over"
    equal "and of its format" "$(state_of .format)" $format_name
    if [[ $kind == log ]]; then
        cp mp expected
        echo changed | tee >(dd of=mp conv=notrunc status=none) | dd of=expected conv=notrunc status=none
    else
        change $image "$([[ $kind == raw ]] && echo raw)"
    fi
    down view
    equal "$image" "$(fingerprint $image)" "$before"
    "$RAWVIEW" check -f qcow2 $kind.over >/dev/null
    # QEMU opens no VHDX with a log that it may not replay, and no dirty QED either.
    [[ $kind == log || $kind == qed ]] || qemu-img check -q -f qcow2 $kind.over
    equal "what qemu-img says of the overlay of $image" \
        "$(qemu-img info --output=json $kind.over | jq -c '[.["backing-filename"], .["backing-filename-format"], .["virtual-size"]]')" \
        "[\"$W/$image\",\"$format_name\",$(size_of expected)]"
    [[ $kind == log || $kind == qed ]] || qemu-img compare -q -F raw -f qcow2 $kind.over expected
    up view "${format[@]}" --overlay=$kind.over $image mp
    cmp mp expected
    down view
    equal "$image, used again" "$(fingerprint $image)" "$before"
    up view "${format[@]}" --overlay=volatile $image mp
    equal "overlay" "$(state_of .overlay)" volatile
    [[ $kind == log ]] || change $image "$([[ $kind == raw ]] && echo raw)"
    down view
    equal "$image under a volatile overlay" "$(fingerprint $image)" "$before"
done

# syncs OVERLAY: how often worker and supervisor sync anything, from a write with an fsync to the end of the view.
syncs()
{
    local pid worker tracer
    up view --overlay="$1" disk.qcow2 mp
    pid=$(pid_of view) worker=$(worker_of "$(pid_of view)")
    strace -f -qq -e trace=fdatasync,fsync,sync_file_range -o trace -p "$worker" -p "$pid" &
    tracer=$!
    wait_until 20 grep -q TracerPid:.*[1-9] "/proc/$worker/status"
    wait_until 20 grep -q TracerPid:.*[1-9] "/proc/$pid/status"
    dd if=disk.raw of=mp bs=1M count=2 conv=notrunc,fsync status=none
    down view
    wait "$tracer" || true
    # How often a file was synced, and not that the view was: the supervisor has a child do that.
    SYNCS=$(grep -c 'fdatasync(\|sync_file_range(' trace || true)
}

step "a volatile overlay is not synced, a kept one is"
if command -v strace >/dev/null; then
    syncs syncs.over
    ((SYNCS > 1)) || fail "a kept overlay was synced $SYNCS times"
    syncs volatile
    equal "syncs of a volatile overlay" "$SYNCS" 0
else
    echo "   left out: strace is missing"
fi

step "a file by its permissions, and by no other name"
equal "mode" "$(stat -c %a raw.over)" 600
equal "names in the folder that nobody gave" "$(find . -name '.rawview*' | wc -l)" 0

step "a view over its own image, and growing"
before=$(fingerprint disk.qcow2)
up view --overlay=grow.over --growable disk.qcow2
echo past | dd of=disk.qcow2 bs=1M seek=6 conv=notrunc status=none
equal "size of the view" "$(size_of disk.qcow2)" $((6 * 1024 * 1024 + 5))
down view
equal "disk.qcow2" "$(fingerprint disk.qcow2)" "$before"
equal "size of the overlay's disk" "$(qemu-img info --output=json grow.over | jq '.["virtual-size"]')" $((6 * 1024 * 1024 + 512))

step "a service that is killed: what was synced is in the overlay, and the image is the same"
up view --overlay=kill.over disk.qcow2 mp
echo kept | dd of=mp conv=notrunc,fsync status=none
pid=$(pid_of view)
kill -KILL "$pid"
wait_until 20 process_is_gone "$pid"
"$RAWVIEW" umount --stale 2>/dev/null || umount -l mp
equal "disk.qcow2" "$(fingerprint disk.qcow2)" "$before"
qemu-img check -q kill.over
wait_until 20 qemu-io -c quit kill.over >/dev/null
up view --overlay=kill.over disk.qcow2 mp
equal "what was synced" "$(head -c 4 mp)" kept

step "locks: the overlay is written, the image is read"
expect_fail "lock" qemu-io -c 'write 0 512' kill.over
expect_fail "lock" qemu-io -c 'write 0 512' disk.qcow2
qemu-io -r -c 'read 0 512' disk.qcow2 >/dev/null
: >mp2
refused_in_use()
{
    expect_fail "$1" "$RAWVIEW" mount "${@:2}"
}
refused_in_use 'overlay .*kill.over: .*in use' --overlay=kill.over disk.qcow2 mp2
up other --overlay=other.over disk.qcow2 mp2
down other
down view

step "no room for what is written is ENOSPC, and nothing worse"
mkdir small
mount -t tmpfs -o size=1M tmpfs small
up view --overlay=small/o.qcow2 disk.qcow2 mp
expect_fail 'No space left' dd if=/dev/zero of=mp bs=1M count=4 conv=notrunc,fsync
down view || true
STATUS=0
qemu-img check -q small/o.qcow2 2>/dev/null || STATUS=$?
[[ $STATUS == 0 || $STATUS == 3 ]] || fail "qemu-img check: $STATUS"
umount small
equal "disk.qcow2" "$(fingerprint disk.qcow2)" "$before"

step "what is refused"
qemu-img create -q -f qcow2 none.over 4M
qemu-img create -q -f qcow2 -b disk.vmdk -F vmdk foreign.over
qemu-img create -q -f qcow2 -u -b /etc/passwd -F raw passwd.over 4M
qemu-img create -q -f qcow2 -b missing.qcow2 -F qcow2 -u missing.over 4M
qemu-img create -q -f qcow2 -o data_file=data.raw -b disk.qcow2 -F qcow2 data.over
qemu-img create -q -f qcow2 -b disk.qcow2 -F raw raw.as.over
echo 'no image' >text.over
: >empty.over
refused 1 'none.over: names no backing file' "$RAWVIEW" mount --overlay=none.over disk.qcow2 mp
refused 1 "foreign.over: .*disk.vmdk.*another file" "$RAWVIEW" mount --overlay=foreign.over disk.qcow2 mp
refused 1 'missing.over: .*missing.qcow2.*No such file' "$RAWVIEW" mount --overlay=missing.over disk.qcow2 mp
refused 1 'passwd.over: .*/etc/passwd.*another file' "$RAWVIEW" mount --overlay=passwd.over disk.qcow2 mp
refused 1 'data.over: .*data.raw' "$RAWVIEW" mount --overlay=data.over disk.qcow2 mp
refused 1 "made over an image of format 'raw'" "$RAWVIEW" mount --overlay=raw.as.over disk.qcow2 mp
refused 1 'text.over: qcow2: ' "$RAWVIEW" mount --overlay=text.over disk.qcow2 mp
refused 1 'empty.over: qcow2: ' "$RAWVIEW" mount --overlay=empty.over disk.qcow2 mp
refused 1 'is the image itself' "$RAWVIEW" mount --overlay=disk.qcow2 disk.qcow2 mp
refused 1 'not a regular file' "$RAWVIEW" mount --overlay=. disk.qcow2 mp
refused 1 'nowhere/o.qcow2: ' "$RAWVIEW" mount --overlay=nowhere/o.qcow2 disk.qcow2 mp
refused 2 'Snapshot=' "$RAWVIEW" mount --overlay=volatile --snapshot=1 disk.qcow2 mp
refused 2 'Writable=no' "$RAWVIEW" mount --overlay=volatile -o ro disk.qcow2 mp
refused 2 'ForceShare=' "$RAWVIEW" mount --overlay=volatile -U disk.qcow2 mp
refused 1 'text.over: qcow2: ' "$RAWVIEW" mount -f qcow2 --overlay=never.over text.over mp
[[ ! -e never.over ]] || fail "a start that failed leaves an overlay"
equal "the file that belongs to another image" "$(qemu-img info --output=json foreign.over | jq -r '.["backing-filename"]')" disk.vmdk

step "a relative name, and another name of the image"
mkdir elsewhere
qemu-img create -q -f qcow2 -b ../disk.qcow2 -F qcow2 elsewhere/relative.over
up view --overlay=elsewhere/relative.over disk.qcow2 mp
cmp mp disk.raw
down view
ln disk.qcow2 elsewhere/again.qcow2
up view --overlay=elsewhere/relative.over elsewhere/again.qcow2 mp
down view
rm elsewhere/again.qcow2

step "an ordinary user, who has no right to write to the image"
install -m 644 disk.qcow2 /tmp/rawview-overlay-$$.qcow2
mv /tmp/rawview-overlay-$$.qcow2 shared.qcow2
mkdir -m 777 home
as-user bash -c ': >home/mp'
TMPDIR=$W/home as-user timeout 60 rawview mount -p "$W/home/pid" --overlay=volatile shared.qcow2 home/mp >/dev/null ||
    fail "an ordinary user"
as-user bash -c 'echo changed | dd of=home/mp conv=notrunc status=none'
equal "files of the volatile overlay" "$(find home -type f | sort | tr '\n' ' ')" "home/mp home/pid "
kill -INT "$(cat home/pid)"
wait_until 20 is_not_mounted home/mp
cmp shared.qcow2 disk.qcow2
no_mount_left
