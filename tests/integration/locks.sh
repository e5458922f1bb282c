#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Image locks with real QEMU programs: what a view keeps them from doing is what a QEMU that has the same image open keeps
# them from, and what they hold keeps a view away. Who is in the way is named; whoever ends, however, lets go.
. "$(dirname "$0")/lib.sh"
need qemu-nbd

fill_file data 1M
qemu-img convert -f raw -O qcow2 data disk.qcow2
cp data disk.raw
: >mp
: >mp2
mkfifo commands
RAWVIEWD=$(dirname "$RAWVIEW")/rawviewd

has_locks()
{
    grep -qs OFDLCK /proc/"$1"/fdinfo/*
}

# qemu-nbd as the holder, with its pid in $HOLDER. It listens once it has the image.
hold()
{
    qemu-nbd --socket="$W/socket" --persistent "$@" >holder.log 2>&1 &
    HOLDER=$!
    wait_until 20 test -S socket || fail "qemu-nbd $*: $(cat holder.log)"
}

let_go()
{
    kill "$HOLDER"
    wait "$HOLDER" || true
    rm -f socket
}

# What becomes of each way to use an image: a line each with "ok", "locked" or "refused" (for reasons of its own).
try()
{
    local name=$1 status=0 result=ok
    shift
    timeout 60 "$@" >try.out 2>&1 </dev/null || status=$?
    # qemu-io has commands that fail and ends well all the same.
    if grep -q 'Failed to get' try.out; then
        result=locked
    elif ((status != 0)); then
        result=refused
    fi
    if [[ $result == locked && $status != 1 ]]; then
        fail "$name is locked out with status $status: $(cat try.out)"
    fi
    echo "$name: $result"
}

uses()
{
    local image=$1 format=$2 share
    for share in '' -U; do
        # shellcheck disable=SC2086
        {
            try "info $share" qemu-img info $share -f "$format" "$image"
            try "convert $share" qemu-img convert $share -f "$format" -O raw "$image" converted
            try "check $share" qemu-img check $share -f "$format" "$image"
            try "map $share" qemu-img map $share -f "$format" "$image"
            try "qemu-io -r $share" qemu-io -r $share -f "$format" -c 'read 0 64k' "$image"
            try "qemu-io $share" qemu-io $share -f "$format" -c 'write -P 1 64k 64k' "$image"
        }
    done
    try resize qemu-img resize -q -f "$format" "$image" 1M
    try "convert to it" qemu-img convert -n -f raw -O "$format" data "$image"
    [[ $format == raw ]] || try "check -r" qemu-img check -r all -f "$format" "$image"
}

# A use that must be among the results, so that two empty lists are not taken for agreement.
says()
{
    local result
    for result in "${@:2}"; do
        grep -qx "$result" "$1" || fail "$1 has no '$result': $(cat "$1")"
    done
}

step "what QEMU itself allows while another QEMU has the image"
uses disk.qcow2 qcow2 >free.qcow2
uses disk.raw raw >free.raw
hold --read-only --format=qcow2 disk.qcow2
uses disk.qcow2 qcow2 >reader.qcow2
let_go
hold --format=qcow2 disk.qcow2
uses disk.qcow2 qcow2 >writer.qcow2
let_go
says free.qcow2 'info : ok' 'qemu-io : ok' 'resize: ok' 'convert to it: ok' 'qemu-io -U: refused' 'check -r: ok'
says reader.qcow2 'info : ok' 'convert : ok' 'check : ok' 'qemu-io -r : ok' 'qemu-io : locked' 'resize: locked' \
    'convert to it: locked' 'check -r: locked'
says writer.qcow2 'info : locked' 'info -U: ok' 'convert : locked' 'convert -U: ok' 'check : locked' 'check -U: ok' \
    'qemu-io -r : locked' 'qemu-io -r -U: ok' 'qemu-io : locked' 'resize: locked' 'convert to it: locked' 'check -r: locked'

# A raw image that qemu-nbd or qemu-io has open may be written to by others: they forbid nothing but a new size. A virtual
# machine's disk forbids both, and so does a view. QEMU's programs then
# only look at such an image: reading alone excludes no writer for them, but copying does.
sed -e 's/^qemu-io : .*/qemu-io : locked/' -e 's/^resize: .*/resize: locked/' -e 's/^convert to it: .*/convert to it: locked/' \
    free.raw >reader.raw
sed -e 's/^convert : .*/convert : locked/' reader.raw >writer.raw
says free.raw 'info : ok' 'convert : ok' 'convert -U: ok' 'qemu-io -r : ok' 'qemu-io : ok' 'resize: ok' 'convert to it: ok'

# like FILE IMAGE FORMAT: QEMU's programs meet what they met then.
like()
{
    uses "$2" "$3" >uses.out
    diff -u "$1" uses.out >uses.diff || fail "not as in $1: $(cat uses.diff)"
}

for format in qcow2 raw; do
    step "a read-only view of $format is like a QEMU that reads"
    up view -f $format disk.$format mp
    equal "what it says" "$(cat view.err)" ""
    like reader.$format disk.$format $format
    down view
    like free.$format disk.$format $format

    step "with --force-share a view of $format keeps nobody from anything"
    up view -f $format --force-share disk.$format mp
    equal "lines of the warning ($(cat view.err))" "$(grep -c 'disk.*inconsistent' view.err)" 1
    equal "lines in all" "$(wc -l <view.err)" 1
    like free.$format disk.$format $format
    down view

    step "a writable view of $format is like a QEMU that writes"
    up view -f $format -w disk.$format mp
    like writer.$format disk.$format $format
    down view
    like free.$format disk.$format $format
done

# view_refused WORDS OPTIONS…: no view of what the options say, with both programs' exit statuses. The image comes last.
view_refused()
{
    local words=$1 image=${*: -1}
    shift
    refused 1 "$words" "$RAWVIEW" mount "$@" mp
    equal "line" "$(cut -d: -f1-2 stderr)" "rawview: $W/$image"
    refused 75 "$words" "$RAWVIEWD" "${@:1:$#-1}" --path="$W/$image" --mount-point="$W/mp"
}

hint='; --force-share (ForceShare=yes) shows it all the same, read-only$'
hint=${hint//[(]/\\(}
hint=${hint//[)]/\\)}

for format in qcow2 raw; do
    step "a QEMU that writes to $format keeps every view away but one that shares by force"
    hold --format=$format disk.$format
    view_refused "is in use by qemu-nbd \\(pid $HOLDER\\), which writes to it$hint" --format=$format disk.$format
    view_refused "is in use by qemu-nbd \\(pid $HOLDER\\), which writes to it$hint" --format=$format --writable disk.$format
    refused 1 "^rawview: disk.$format: is in use by qemu-nbd \\(pid $HOLDER\\), which writes to it; -U \\(--force-share\\)" \
        "$RAWVIEW" info -f $format disk.$format
    "$RAWVIEW" info -U -f $format --output=json disk.$format | jq -e '."virtual-size" == 1048576' >/dev/null
    up view -f $format -U disk.$format mp
    equal "size" "$(size_of mp)" 1048576
    down view
    let_go

    step "a QEMU that reads $format goes with views that read"
    hold --read-only --format=$format disk.$format
    up view -f $format disk.$format mp
    "$RAWVIEW" info -f $format disk.$format >/dev/null
    down view
    view_refused "is in use by qemu-nbd \\(pid $HOLDER\\), which lets nobody else (write to it|change its size)$hint" \
        --format=$format --writable disk.$format
    let_go

    step "a QEMU that shares $format by force is in nobody's way"
    hold --read-only --image-opts driver=$format,force-share=on,file.driver=file,file.filename=disk.$format
    up view -f $format disk.$format mp
    down view
    let_go
done

step "qemu-io is named as well; once it has ended the image is free"
exec 8<>commands
qemu-io -f raw disk.raw <commands >holder.log 2>&1 8>&- &
HOLDER=$!
wait_until 20 has_locks $HOLDER || fail "qemu-io: $(cat holder.log)"
view_refused "is in use by qemu-io \\(pid $HOLDER\\), which writes to it" --format=raw disk.raw
echo quit >&8
wait $HOLDER
exec 8>&-
up view -f raw -w disk.raw mp
down view

step "views among themselves: readers share, a writer excludes all"
ln disk.raw same.raw
up one -f raw disk.raw
up two -f raw same.raw mp2
"$RAWVIEW" info -f raw same.raw >/dev/null
expect_fail "same.raw: is in use by rawviewd \\(pid ($(pid_of one)|$(pid_of two))\\), which lets nobody else write to it" \
    "$RAWVIEW" mount -f raw -w same.raw mp
equal status $STATUS 1
down one
expect_fail "same.raw: is in use by rawviewd \\(pid $(pid_of two)\\)" "$RAWVIEW" mount -f raw -w same.raw mp
down two
up one -f raw -w disk.raw
for option in --writable=yes --writable=no; do
    expect_fail "same.raw: is in use by rawviewd \\(pid $(pid_of one)\\), which writes to it" \
        "$RAWVIEW" mount -f raw $option same.raw mp
done
expect_fail "same.raw: is in use by rawviewd \\(pid $(pid_of one)\\), which writes to it" "$RAWVIEW" info -f raw same.raw
up two -f raw -U same.raw mp2
down two
down one
rm same.raw

step "what an image names is locked with it"
cp disk.qcow2 base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
hold --format=qcow2 base.qcow2
view_refused "top.qcow2: .*base.qcow2.*is in use by qemu-nbd \\(pid $HOLDER\\), which writes to it" top.qcow2
"$RAWVIEW" info top.qcow2 >/dev/null
refused 1 "top.qcow2: .*base.qcow2.*is in use by qemu-nbd \\(pid $HOLDER\\)" "$RAWVIEW" info --backing-chain top.qcow2
"$RAWVIEW" info -U --backing-chain top.qcow2 >/dev/null
up view -U top.qcow2 mp
equal "lines of the warning ($(cat view.err))" "$(wc -l <view.err)" 1
down view
let_go
up view top.qcow2 mp
like reader.qcow2 base.qcow2 qcow2
down view
like free.qcow2 base.qcow2 qcow2
qemu-img create -q -f qcow2 -o data_file=data.raw external.qcow2 1M
up view external.qcow2 mp
expect_fail 'Failed to get "write" lock' qemu-io -f raw -c 'write 0 512' data.raw
qemu-img info -f raw data.raw >/dev/null
down view

step "no locks are left of a view that was killed"
up view -f raw -w disk.raw mp
pid=$(pid_of view)
worker=$(worker_of "$pid")
uses disk.raw raw >uses.out
says uses.out 'qemu-io : locked'
kill -KILL "$pid" "$worker"
wait_until 20 process_is_gone "$pid"
wait_until 20 process_is_gone "$worker"
uses disk.raw raw >uses.out
says uses.out 'qemu-io : ok' 'resize: ok'
"$RAWVIEW" umount --stale
no_mount_left
up view -f raw -w disk.raw mp
pid=$(pid_of view)
kill -KILL "$(worker_of "$pid")"
wait_until 20 process_is_gone "$pid"
uses disk.raw raw >uses.out
says uses.out 'qemu-io : ok' 'resize: ok'
no_mount_left

step "who may not look at the holder learns that there is one"
make_programs
cp disk.raw open.raw
chmod 644 open.raw
hold --format=raw open.raw
expect_fail 'open.raw: is in use by somebody else, who writes to it; -U' as-user rawview info -f raw open.raw
equal status $STATUS 1
as-user rawview info -U -f raw open.raw >/dev/null
let_go

have_loops || exit 0

step "block devices are locked as well"
attach_loop disk.raw
up view -f raw -w "$LOOP" mp
expect_fail 'Failed to get "write" lock' qemu-io -f raw -c 'write 0 512' "$LOOP"
down view
up view -f raw "$LOOP" mp
qemu-io -r -f raw -c 'read 0 512' "$LOOP" >/dev/null
expect_fail 'Failed to get "write" lock' qemu-io -f raw -c 'write 0 512' "$LOOP"
down view
hold --format=raw "$LOOP"
expect_fail "is in use by qemu-nbd \\(pid $HOLDER\\), which writes to it" "$RAWVIEW" mount -f raw "$LOOP" mp
let_go
detach_loop "$LOOP"
no_mount_left
