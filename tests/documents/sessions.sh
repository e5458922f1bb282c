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
close_terminal
