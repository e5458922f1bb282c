#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# How requests reach the worker: a megabyte at a time for direct reads and writes of that size and for sequential reads,
# and several at once, each in a thread of its own. Of a qcow2: those for a raw image may not reach it (passthrough.sh).
. "$(dirname "$0")/lib.sh"
need fio strace

MIB=$((1024 * 1024))
fill_file disk.raw 16M
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
: >mp

state_of()
{
    getfattr --only-values -n user.rawview.state mp | jq ".\"$1\""
}

step "direct reads of 1 MiB are requests of 1 MiB, whatever the view may do"
for options in '' '-w' '-w --growable'; do
    # shellcheck disable=SC2086
    up view $options disk.qcow2 mp
    reads=$(state_of reads) bytes=$(state_of bytes-read)
    dd if=mp of=/dev/null bs=1M iflag=direct status=none
    reads=$(($(state_of reads) - reads)) bytes=$(($(state_of bytes-read) - bytes))
    equal "bytes read (qcow2 $options)" $bytes $((16 * MIB))
    ((reads <= 17)) || fail "$reads requests for 16 MiB ($options)"
    if [[ $options == *-w* ]]; then
        writes=$(state_of writes)
        dd if=disk.raw of=mp bs=1M oflag=direct conv=notrunc status=none
        writes=$(($(state_of writes) - writes))
        equal "write requests for 16 MiB ($options)" $writes 16
    fi
    down view
done
step "the worker sees them that way: strace"
up view disk.qcow2 mp
worker=$(worker_of "$(pid_of view)")
strace --quiet=all -f -e trace=pread64,preadv,preadv2 -o trace -p "$worker" &
tracer=$!
if wait_until 10 grep -q '^TracerPid:.*[1-9]' "/proc/$worker/status"; then
    dd if=mp of=/dev/null bs=1M iflag=direct status=none
    kill -INT $tracer
    wait $tracer || true
    count=$(grep -cE ' = 1048576$' trace || true)
    ((count >= 15)) || fail "$count reads of 1 MiB among $(wc -l <trace): $(head -n 20 trace)"
else
    echo "strace cannot look at the worker here"
    wait $tracer || true
fi
down view

step "buffered reading: large requests too, and the second time none"
up view disk.qcow2 mp
reads=$(state_of reads)
dd if=mp of=/dev/null bs=64k status=none
first=$(($(state_of reads) - reads))
dd if=mp of=/dev/null bs=64k status=none
second=$(($(state_of reads) - reads - first))
((first <= 140)) || fail "$first requests for 16 MiB read in sequence"
equal "requests for the second reading" $second 0
down view

step "one large direct read is many requests in flight, not one after the other"
mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections
up view disk.qcow2 mp
worker=$(worker_of "$(pid_of view)")
waiting=/sys/fs/fuse/connections/$(mount_field MAJ:MIN mp | cut -d: -f2)/waiting
coproc READER { "$PYTHON" "$HERE/read-at-once.py" mp; }
read -r -t 20 answer <&"${READER[0]}"
equal "the reader" "$answer" open
# While the worker stands still, what the kernel has for it stays to be seen.
kill -STOP "$worker"
echo >&"${READER[1]}"
several_wait()
{
    (($(cat "$waiting") >= 8))
}
wait_until 10 several_wait || {
    kill -CONT "$worker"
    fail "$(cat "$waiting") requests in flight for a direct read of 16 MiB"
}
kill -CONT "$worker"
read -r -t 60 answer <&"${READER[0]}"
equal "bytes read" "$answer" $((16 * MIB))
down view

# Bytes that each thread of a process has read, one line each.
bytes_by_thread()
{
    sed -n 's/^rchar: //p' /proc/"$1"/task/*/io
}

step "many direct reads at once are served by several threads"
up view disk.qcow2 mp
worker=$(worker_of "$(pid_of view)")
timeout 60 fio --name=read --filename=mp --rw=randread --bs=64k --size=16M --io_size=256M --ioengine=libaio --iodepth=32 \
    --direct=1 --numjobs=2 --allow_file_create=0 --output=fio.out || fail "fio: $(tail -n 30 fio.out)"
bytes_by_thread "$worker" >bytes
busy=$(awk '$1 > 1048576' bytes | wc -l)
((busy >= 2)) || fail "$busy threads read; bytes by thread: $(paste -sd' ' bytes)"
cmp mp disk.raw
down view
no_mount_left
