#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A check of an image of every format says at a terminal how far it is, from the beginning to 100 %; so do repairs, and Ctrl-C ends
# them by the signal. Needs no root and no FUSE.
#
# RAWVIEW: the program of the build tree. RECIPES: the folder with mkimage.py.
. "$(dirname "$0")/cases.sh"
HERE=$(cd "$(dirname "$0")" && pwd)

need qemu-img python3
work_in /dev/shm
cd "$W"

CASE="the formats of formats.list"
diff <(grep -o '&format_[a-z0-9]*' "$HERE/../../src/format/formats.c" | cut -d_ -f2 | sort -u) \
    <(sed -n 's/^\([a-z0-9][a-z0-9]*\) .*/\1/p' "$LISTED" | grep -vx raw | sort -u) >&2 ||
    fail "formats.list and src/format/formats.c do not have the same names"

at_terminal()
{
    python3 -B "$HERE/progress-at-terminal.py" "$@"
}

head -c 2M /dev/zero | tr '\0' 'x' >source
check_listed()
{
    case $CHECKED in
    passes) at_terminal 0 checking "$RAWVIEW" check -p "$IMAGE" >../text ;;
    short) at_terminal 0 - "$RAWVIEW" check -p "$IMAGE" >../text ;;
    *) at_terminal 63 - "$RAWVIEW" check -p -f "$FORMAT" "$IMAGE" >../text ;;
    esac
    CHECKED_FORMATS=$((CHECKED_FORMATS + 1))
}
CHECKED_FORMATS=0
each_listed check_listed
((CHECKED_FORMATS > 20)) || fail "only $CHECKED_FORMATS images were looked at"

# damaged STATUS FORMAT OFFSET BYTES: repairs an image in which these bytes are wrong, and sees the repair come to its end.
damaged()
{
    CASE="repair of $2"
    rm -f disk
    qemu-img convert -f raw -O "$2" source disk
    printf '%b' "$4" | dd of=disk bs=1 seek="$3" conv=notrunc status=none
    at_terminal "$1" checking,repairing "$RAWVIEW" check -p -r all disk >text
    grep -q 'found and repaired' text || fail "it says: $(cat text)"
}
# An entry that leads behind the end of the file: in the table at 512 of a VDI, at 64 of a Parallels; in the L1 table of a QED, in which
# what lies there is leaked then.
damaged 0 vdi 512 '\377\377\377\000'
damaged 0 parallels 64 '\000\000\000\100'
damaged 3 qed 65536 '\000\000\000\000\000\001\000\000'
damaged 0 qcow2 131072 '\000\000\000\000\000\000\000\000'
CASE="repair of vhdx: its log is put into place"
python3 -B "$RECIPES/mkimage.py" "$RECIPES/good-vhdx-log-replay.recipe" .
at_terminal 0 repairing,checking "$RAWVIEW" check -p -r all disk >text
rm disk

CASE="Ctrl-C during a repair"
# Half a million entries of L2 tables with the wrong COPIED bit: the repair takes a while, and goes on where it was ended.
qemu-img create -q -f qcow2 -o cluster_size=512,preallocation=metadata disk 256M
qemu-img snapshot -c one disk
qemu-img snapshot -d one disk
python3 -B - <<'PYTHON'
with open("disk", "r+b") as f:
    head = f.read(104)
    l1, count = int.from_bytes(head[40:48], "big"), int.from_bytes(head[36:40], "big")
    f.seek(l1)
    table = f.read(8 * count)
    for i in range(count):
        at = int.from_bytes(table[8 * i:8 * i + 8], "big") & 0x00fffffffffffe00
        if at:
            f.seek(at)
            entries = bytearray(f.read(512))
            entries[0::8] = bytes(b & 0x7f for b in entries[0::8])
            f.seek(at)
            f.write(entries)
PYTHON
python3 -B "$HERE/at-terminal.py" 'repairing disk: +[0-9]+ %' - "$RAWVIEW" check -q -p -r all disk >text 2>&1 ||
    fail "it does not end by the signal: $(cat text)"
"$RAWVIEW" check -q -r all disk >text 2>&1 || fail "it cannot be repaired any more: $(cat text)"
qemu-img check -q disk || fail "qemu-img finds errors after the repair"

echo "$CHECKED_FORMATS images, each checked up to its end"
