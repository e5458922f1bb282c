#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# SIGHUP to views that have no descriptor: nothing to read again, and a terminal that goes away takes its view with it.
. "$(dirname "$0")/lib.sh"
need qemu-img

step prepare
fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp

# in_terminal NAME [--nohup] ARGS…: `rawview mount --foreground ARGS…` in a terminal of its own; `close_terminal NAME` hangs up.
in_terminal()
{
    local name=$1 nohup=()
    shift
    [[ $1 != --nohup ]] || {
        nohup=(--nohup)
        shift
    }
    mkfifo "$name.wish"
    "$PYTHON" "$HERE/terminal.py" "${nohup[@]}" "$RAWVIEW" mount --foreground -p "$W/$name.pid" "$@" <"$name.wish" >"$name.log" 2>&1 &
    echo $! >"$name.shell"
    exec 7>"$name.wish"
    wait_until 60 test -s "$name.pid" || fail "rawview mount --foreground $*: $(cat "$name.log")"
}
close_terminal()
{
    echo >&7
    exec 7>&-
}
says()
{
    grep -q -F "$2" "$1"
}

step "the terminal goes away: the view ends in order"
in_terminal gone -f qcow2 -w disk.qcow2 mp
printf written | dd of=mp bs=1 seek=4096 conv=notrunc status=none
close_terminal
wait_for_end gone
equal "status ($(cat gone.log))" "$STATUS" 0
says gone.log "the terminal is gone, and the view ends with it" || fail "$(cat gone.log)"
[[ ! -e gone.pid ]] || fail "the pidfile is still there"
no_mount_left
qemu-img check -q disk.qcow2
equal "what was written" "$(qemu-io -r -f qcow2 -c 'read -v 4096 7' disk.qcow2 | grep -c 'written')" 1

step "under nohup it stays, and so does one that has no terminal, or whose terminal is there"
in_terminal kept --nohup disk.qcow2 mp
close_terminal
sleep 0.5
cmp -n 4096 mp disk.raw
kill -HUP "$(pid_of kept)"
wait_until 20 says kept.log "there is nothing to read again: the view has no descriptor" || fail "$(cat kept.log)"
cmp -n 4096 mp disk.raw
kill -TERM "$(pid_of kept)"
wait_for_end kept
equal "status" "$STATUS" 0

in_terminal there disk.qcow2 mp
kill -HUP "$(pid_of there)"
wait_until 20 says there.log "there is nothing to read again" || fail "$(cat there.log)"
cmp -n 4096 mp disk.raw
kill -TERM "$(pid_of there)"
close_terminal
wait_for_end there
equal "status" "$STATUS" 0

up_in_foreground none disk.qcow2 mp
kill -HUP "$(pid_of none)"
wait_until 20 says none.log "there is nothing to read again" || fail "$(cat none.log)"
cmp -n 4096 mp disk.raw
kill -TERM "$(pid_of none)"
wait_for_end none
equal "status" "$STATUS" 0

step "in the background it stays"
up back disk.qcow2 mp
kill -HUP "$(pid_of back)"
sleep 0.2
cmp -n 4096 mp disk.raw
down back
no_mount_left
