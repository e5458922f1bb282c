#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The worker of a real view, from outside: what the kernel says of it, which descriptors it has, and that everything that
# a view can do still works in there.
. "$(dirname "$0")/lib.sh"
need ps getfattr fallocate

fill_file disk.raw 4M
cp disk.raw expected.raw
qemu-img convert -f raw -O qcow2 -c disk.raw disk.qcow2
: >mp

# status_is PID KEY VALUE
status_is()
{
    equal "$2 of the worker" "$(sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status")" "$3"
}

# The hard limit.
limit_of()
{
    awk -v name="$2" 'index($0, name) == 1 { print $(NF - 1) }' "/proc/$1/limits"
}

confined()
{
    local worker=$1
    status_is "$worker" Seccomp 2
    status_is "$worker" NoNewPrivs 1
    for set in CapInh CapPrm CapEff CapAmb; do
        status_is "$worker" $set 0000000000000000
    done
    equal "limit of descriptors" "$(limit_of "$worker" 'Max open files')" 1024
    equal "limit of core dumps" "$(limit_of "$worker" 'Max core file size')" 0
}

# The kinds of descriptors that a worker has, each once.
descriptors_of()
{
    local fd
    for fd in "/proc/$1/fd"/*; do
        readlink "$fd"
    done | sed -e 's/^\(socket\|pipe\):.*/\1/' | sort -u | tr '\n' ' '
}

for image in disk.raw disk.qcow2; do
    step "$image: what the kernel says"
    up view -f "${image#disk.}" $image mp
    WORKER=$(worker_of "$(pid_of view)")
    confined "$WORKER"
    equal "bounding set" "$(sed -n 's/^CapBnd:[[:space:]]*//p' "/proc/$WORKER/status")" 0000000000000000
    equal "descriptors" "$(descriptors_of "$WORKER")" "/dev/fuse /dev/null $W/$image anon_inode:[eventfd] pipe socket "
    [[ $(readlink "/proc/$WORKER/ns/net") != "$(readlink /proc/self/ns/net)" ]] || fail "the worker has the network"
    cmp mp expected.raw
    down view
done

step "what the view says"
up view -v --require-sandbox -f raw disk.raw mp
getfattr --only-values -n user.rawview.state mp >state
LIST=$("$RAWVIEW" list --json=short | jq -c '.[0].state.sandbox')
equal "rawview list" "$LIST" "$(jq -c .sandbox state)"
for barrier in descriptors limits capabilities no-new-privs seccomp; do
    [[ $LIST == *"\"$barrier\""* ]] || fail "no $barrier in $LIST"
done
grep -q 'around the worker: descriptors, .*seccomp' view.err || fail "-v says nothing of it: $(cat view.err)"
# Builds with sanitizers do without these.
if [[ $LIST == *no-dump* ]]; then
    equal "limit of addresses" "$(limit_of "$(worker_of "$(pid_of view)")" 'Max address space')" $(((1024 + 16) * 1024 * 1024))
fi
down view

step "core dumps only when asked for"
CORE=$(limit_of self 'Max core file size')
up view --core-dumps -f raw disk.raw mp
grep -q 'disk.raw: the worker may leave a core dump (--core-dumps)' view.err || fail "no warning: $(cat view.err)"
[[ $(getfattr --only-values -n user.rawview.state mp | jq -c .sandbox) != *no-dump* ]] || fail "it says no-dump"
equal "limit of core dumps" "$(limit_of "$(worker_of "$(pid_of view)")" 'Max core file size')" "$CORE"
cmp mp expected.raw
down view

step "everything that a view can do"
up view -w -f raw disk.raw mp
dd if=/dev/urandom of=piece bs=64k count=8 status=none
for file in mp expected.raw; do
    dd if=piece of=$file bs=64k seek=3 conv=notrunc,fsync status=none
    fallocate --punch-hole --offset 1M --length 512K $file
done
cmp mp expected.raw
sync mp
"$PYTHON" -c 'import os; f = os.open("mp", os.O_RDONLY); print(os.lseek(f, 0, os.SEEK_HOLE))' >hole
equal "the hole" "$(cat hole)" 1048576
chmod 640 mp
[[ -n $(getfattr --only-values -n user.rawview.state mp) ]]
for reader in 1 2 3 4 5 6 7 8; do
    sha256sum mp >"sum.$reader" &
done
wait
equal "sums" "$(sort -u sum.* | wc -l)" 1
[[ $(getfattr --only-values -n user.rawview.state mp | jq .errors) == 0 ]]
down view
cmp disk.raw expected.raw

step "a user's view is confined as well"
make_programs
install -d -m 755 -o $USER_ID home
install -m 600 -o $USER_ID disk.qcow2 home/disk.qcow2
install -m 600 -o $USER_ID /dev/null home/mp
cd home
as-user rawview mount -d -p pid disk.qcow2 mp >out 2>err || fail "$(cat err)"
WORKER=$(worker_of "$(cat pid)")
confined "$WORKER"
equal "the worker's user" "$(ps -o euser= -p "$WORKER")" $USER_ID
as-user cat mp >copy
as-user rawview umount mp
no_mount_left
cd ..
qemu-img convert -f qcow2 -O raw disk.qcow2 whole.raw
cmp home/copy whole.raw
