#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Descriptors that our programs are born with: one that is missing must not become the image's, or messages are written
# into it; one too many must not reach those whom we start.
. "$(dirname "$0")/lib.sh"

fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp

# Three leaked clusters: what is found is printed, and then repaired.
make_leaky()
{
    cp disk.qcow2 "$1"
    "$PYTHON" - "$1" <<'PYTHON'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(48)
    table, = struct.unpack(">Q", f.read(8))
    f.seek(table)
    block, = struct.unpack(">Q", f.read(8))
    f.seek(0, 2)
    end = (f.tell() + 65535) // 65536
    f.truncate((end + 3) * 65536)
    f.seek(block + 2 * end)
    f.write(b"\0\1" * 3)
PYTHON
}

make_leaky leaky.qcow2
cp leaky.qcow2 expected.qcow2
"$RAWVIEW" check -r leaks expected.qcow2 >/dev/null || fail "it cannot be repaired"
if cmp -s leaky.qcow2 expected.qcow2; then fail "there was nothing to repair"; fi

# without FDS COMMAND…: with these of 0, 1 and 2 closed.
without()
{
    local fds=$1
    shift
    (
        if [[ $fds == *0* ]]; then exec 0<&-; fi
        if [[ $fds == *1* ]]; then exec 1>&-; fi
        if [[ $fds == *2* ]]; then exec 2>&-; fi
        exec "$@"
    )
}

for closed in 0 1 2 01 02 12 012; do
    step "rawview check without descriptors $closed: the image gets the repair and nothing else"
    cp leaky.qcow2 image.qcow2
    without $closed "$RAWVIEW" check -r leaks image.qcow2 >/dev/null 2>&1 || fail "status $?"
    cmp image.qcow2 expected.qcow2 || fail "something was written into the image"
    # With something to complain of.
    head -c 100 disk.qcow2 >short.qcow2
    cp short.qcow2 short.before
    without $closed "$RAWVIEW" check -r all short.qcow2 >/dev/null 2>&1 && fail "a short image is sound"
    cmp short.qcow2 short.before
    without $closed "$RAWVIEW" info disk.qcow2 >/dev/null 2>&1 || fail "rawview info: $?"
done

for closed in 0 1 2 12 012; do
    for how in '' --foreground; do
        step "rawview mount $how without descriptors $closed"
        cp disk.raw image.raw
        # Its worker is killed below.
        # shellcheck disable=SC2086
        { without $closed "$RAWVIEW" mount -v $how -p "$W/view.pid" -f raw -w image.raw mp || true; } &
        wait_until 30 test -s view.pid || fail "there is no view"
        cmp mp disk.raw
        for fd in 0 1 2; do
            # Not the image, the view's connection or our channel.
            where=$(readlink "/proc/$(pid_of view)/fd/$fd" || true)
            [[ $where != "$W/image.raw" && $where != /dev/fuse ]] || fail "descriptor $fd is $where"
        done
        # Something is logged: a worker that dies.
        kill -KILL "$(worker_of "$(pid_of view)")"
        wait_until 20 is_not_mounted mp || fail "the view stays"
        wait
        cmp image.raw disk.raw || fail "something was written into the image"
        rm -f view.pid
    done
done

step "what is open goes to nobody"
exec 7</etc/shadow 8<>disk.qcow2 9>/dev/null
"$RAWVIEW" mount --foreground -p "$W/view.pid" -f raw disk.raw mp >view.log 2>&1 &
wait_until 30 test -s view.pid || fail "no view: $(cat view.log)"
exec 7<&- 8>&- 9>&-
SUPERVISOR=$(pid_of view)
for pid in "$SUPERVISOR" "$(worker_of "$SUPERVISOR")"; do
    ! find "/proc/$pid/fd" -lname /etc/shadow | grep . || fail "process $pid has /etc/shadow open"
    ! find "/proc/$pid/fd" -lname "$W/disk.qcow2" | grep . || fail "process $pid has disk.qcow2 open"
done
down view
wait

step "a descriptor to be told on must be there, or the image could get its number"
cp disk.raw image.raw
refused '[0-9]*' '--ready-fd: descriptor 5: bad file descriptor' "$(dirname "$RAWVIEW")/rawviewd" --ready-fd=5 --path="$W/image.raw" --format=raw --writable --mount-point="$W/mp" 5<&-
equal "status" $STATUS 64
cmp image.raw disk.raw
no_mount_left
