#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# QEMU boots from images that were written through the view: a boot sector that reads the last sector of a disk, says
# what stands there, writes it into the second one, and turns the machine off.
. "$(dirname "$0")/lib.sh"
. "$HERE/qcow2-images.sh"
need qemu-system-x86_64

MIB=$((1024 * 1024))
SIZE=$((24 * MIB))
WORDS='rawview was here'

# Real mode, by hand: reads sector LAST by INT 13h AH=42h to 0x7e00, writes its first 16 bytes to the port of the
# debug console, writes the sector to sector 1, and ends QEMU by the port of isa-debug-exit.
"$PYTHON" - boot.sector $((SIZE / 512 - 1)) <<'PYTHON'
import struct, sys
packet = lambda lba: struct.pack("<BBHHHQ", 16, 0, 1, 0x7E00, 0, lba)
code = bytes.fromhex(
    "31c0"        # xor ax, ax
    "8ed8"        # mov ds, ax
    "8ed0"        # mov ss, ax
    "bc007c"      # mov sp, 0x7c00
    "fc"          # cld
    "be807c"      # mov si, 0x7c80: the packet of the read
    "b280"        # mov dl, 0x80
    "b442"        # mov ah, 0x42
    "cd13"        # int 0x13
    "721e"        # jc end
    "be007e"      # mov si, 0x7e00
    "b91000"      # mov cx, 16
    "ac"          # again: lodsb
    "e6e9"        # out 0xe9, al
    "e2fb"        # loop again
    "be907c"      # mov si, 0x7c90: the packet of the write
    "b280"        # mov dl, 0x80
    "b80043"      # mov ax, 0x4300
    "cd13"        # int 0x13
    "7207"        # jc end
    "b010"        # mov al, 0x10
    "baf400"      # mov dx, 0xf4
    "ee"          # out dx, al
    "f4"          # hlt
    "b011"        # end: mov al, 0x11
    "baf400"      # mov dx, 0xf4
    "ee"          # out dx, al
    "f4"          # hlt
)
sector = code.ljust(0x80, b"\0") + packet(int(sys.argv[2])) + packet(1)
open(sys.argv[1], "wb").write(sector.ljust(510, b"\0") + b"\x55\xaa")
PYTHON
printf '%-511s\n' "$WORDS" >last.sector

# isa-debug-exit makes 2n + 1 of what is written to it.
booted()
{
    local status=0
    timeout 60 qemu-system-x86_64 -accel tcg -m 32 -nodefaults -no-user-config -display none -no-reboot \
        -drive file="$1",format=qcow2,if=none,id=disk,cache=writethrough -device ide-hd,drive=disk \
        -device isa-debug-exit,iobase=0xf4,iosize=4 -debugcon file:console </dev/null >qemu.out 2>&1 || status=$?
    equal "status of QEMU with $1 ($(cat qemu.out console))" "$status" 33
    grep -qF "$WORDS" console || fail "the machine says: $(cat console)"
}

kind()
{
    local name=$1 what=$2 options=$3
    step "$name: $what, ${options:-defaults}"
    image "$what" "$options" "$name" $SIZE
    before=$(kept "$name")
    up view -f qcow2 -w "$name.qcow2"
    dd if=boot.sector of="$name.qcow2" conv=notrunc status=none
    dd if=last.sector of="$name.qcow2" seek=$((SIZE / 512 - 1)) conv=notrunc status=none
    down view
    clean "$name"
    booted "$name.qcow2"
    clean "$name"
    # What the machine wrote is seen through the view, and written over.
    up view -f qcow2 -w "$name.qcow2"
    dd if="$name.qcow2" bs=512 skip=1 count=1 status=none | cmp - last.sector
    dd if=/dev/zero of="$name.qcow2" bs=512 seek=1 count=1 conv=notrunc status=none
    down view
    clean "$name"
    booted "$name.qcow2"
    equal "what lies below, and the snapshots" "$(kept "$name")" "$before"
    rm "$name".*
}

kind thin empty ''
kind backing chain ''
kind snapshot snapshot extended_l2=on
kind small compressed cluster_size=512
no_mount_left
