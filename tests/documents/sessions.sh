#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What a person at a terminal sees and presses: passphrases, Ctrl-C, colours, widths, progress.
. "$(dirname "$0")/terminal.sh"

need cryptsetup
make_programs

step prepare
fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
printf 'secret words' >key
truncate -s 4M locked
cryptsetup luksFormat --batch-mode --type luks1 --pbkdf-force-iterations 1000 --key-file key locked
: >mp

settings()
{
    enter "clear; stty -a >$1"
    wait_until 20 test -s "$1" || fail "no stty: $(screen)"
    is_ready
}

# The terminal is as it was before.
terminal_is_unchanged()
{
    settings stty-after
    cmp stty-before stty-after || fail "the terminal has other settings: $(diff stty-before stty-after)"
    rm stty-after
}

step "a passphrase is asked for, and not shown"
open_terminal 80
settings stty-before
enter "rawview mount locked mp"
sees '[Pp]assphrase.*locked'
enter 'secret words'
is_ready
is_mounted mp || fail "no view: $(screen)"
! screen_has 'secret' || fail "the passphrase is on the screen: $(screen)"
equal "size" "$(size_of mp)" $(($(size_of locked) - 4096 * 512))
terminal_is_unchanged
finish 'rawview umount mp'
equal "status of umount" "$SAID_STATUS" 0
no_mount_left

step "Ctrl-C while it is asked for"
enter "rawview mount locked mp"
sees '[Pp]assphrase.*locked'
press C-c
is_ready
equal "processes" "$(pgrep -a rawview || true)" ''
screen_has 'stopped before the view was up|cut off' || fail "it does not say what became of it: $(screen)"
terminal_is_unchanged
no_mount_left

step "Ctrl-C ends a view in the foreground, in order"
enter "rawview mount --foreground -f qcow2 -w disk.qcow2 mp"
wait_until 20 is_mounted mp || fail "no view: $(screen)"
wait_until 20 test -s mp
printf written | dd of=mp bs=1 seek=4096 conv=notrunc status=none
press C-c
is_ready
no_mount_left
terminal_is_unchanged
qemu-img check -q disk.qcow2
equal "what was written" "$(qemu-io -r -f qcow2 -c 'read -v 4096 7' disk.qcow2 | grep -c written)" 1

step "Ctrl-C while an image is looked at that answers no more"
# The image is a view whose worker stands still.
up stuck -f raw disk.qcow2 mp
kill -STOP "$(worker_of "$(pid_of stuck)")"
for verb in check info; do
    enter "rawview $verb -f qcow2 mp"
    sees "rawview $verb"
    press C-c
    is_ready
done
terminal_is_unchanged
kill -CONT "$(worker_of "$(pid_of stuck)")"
down stuck
no_mount_left

step "a check says how far it is, and Ctrl-C takes that away"
# All tables are one, so that this takes longer than anybody waits.
"$PYTHON" - large <<'PYTHON'
import struct, sys
cs, tables = 65536, 131072
header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, tables * 8192 * cs, 0, tables, 32 * cs, 6 * cs, 1, 0, 0, 0, 0, 0, 4, 104)
with open(sys.argv[1], "wb") as f:
    for pos, what in (0, header), (32 * cs, struct.pack(">Q", 3 * cs) * tables), (3 * cs, struct.pack(">Q", 4 * cs) * 8192):
        f.seek(pos)
        f.write(what)
PYTHON
enter 'clear; rawview check large'
sees '^checking large: +[0-9]+ %'
press C-c
is_ready
! screen_has '%' || fail "half a line is left: $(screen)"
terminal_is_unchanged

step "one line shows an image, what was found, and what to type next"
enter "clear; rawview disk.qcow2"
sees '^End it: +rawview umount '
sees "^$W/disk.qcow2"
sees '^disk.qcow2: qcow2, 1(.0)?M, read-only'
sees '^Look at it: +file '
is_ready
finish 'rawview umount disk.qcow2 2>said; cat said'
equal "status of umount" "$SAID_STATUS" 0
finish 'rawview disk.qcow2 mp >said 2>&1'
equal "what a script gets" "$(head -n 1 said)" "$W/mp"
! grep -q 'Look at it' said || fail "hints where nobody looks: $(cat said)"

step "list fits the terminal, in colour there and nowhere else"
cp disk.qcow2 other.qcow2
up other other.qcow2
for width in 132 80 40; do
    resize $width
    enter 'clear; rawview list'
    sees '^VIEW.*STATE'
    is_ready
    # A line that did not fit would take two.
    equal "lines in $width columns ($(screen))" "$(screen | grep -c .)" 4
    screen_colours | grep -q $'\e\\[1m.*VIEW' || fail "no colour: $(screen_colours | cat -v)"
done
finish 'rawview list >said'
! grep -q $'\e' said || fail "colour in a file: $(cat -v said)"
grep -qE "^$W/other.qcow2 .* [0-9]{7} " said || fail "no whole line of other.qcow2: $(cat said)"

step "list --watch follows the size of the terminal, and Ctrl-C and q leave it as it was"
resize 132
for key in C-c q; do
    enter 'clear; rawview list --watch'
    sees '^VIEW.*FORMAT.*WRITTEN'
    resize 40
    sees '^VIEW +SIZE +STATE'
    resize 132
    sees '^VIEW.*FORMAT.*WRITTEN'
    press $key
    is_ready
    settings stty-after
    # The size is part of the settings.
    [[ $(sed 1d stty-before) == "$(sed 1d stty-after)" ]] || fail "the terminal has other settings: $(diff stty-before stty-after)"
    rm stty-after
done
"$RAWVIEW" umount --all
no_mount_left
close_terminal
