#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The commands that look at images themselves, from outside: a child does it, behind the same barriers as a worker, and
# its parent, which opens what the image names, never looks. And how that ends when one of the two does.
. "$(dirname "$0")/lib.sh"
need strace ps

mkdir vm
cd vm
fill_file disk.raw 1M
qemu-img convert -f raw -O qcow2 disk.raw base.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2
ln -s middle.qcow2 link.qcow2
qemu-img create -q -f qcow2 -b link.qcow2 -F qcow2 top.qcow2
qemu-img create -q -f qcow2 -o data_file=data.raw data.qcow2 1M
cp base.qcow2 leaky.qcow2
truncate -s +64K leaky.qcow2
: >mp
chmod 600 ./*.qcow2 ./*.raw

# The worker's user, as packages make it: in this mount namespace only.
cp /etc/passwd ../passwd
grep -q ^rawview: ../passwd || echo 'rawview:x:64999:64999::/:/usr/sbin/nologin' >>../passwd
mount --bind ../passwd /etc/passwd

# Builds with sanitizers write reports and trace themselves: they have fewer barriers and cannot be traced.
AROUND=$("$RAWVIEW" info -v top.qcow2 2>&1 >/dev/null)
STRICT=
[[ $AROUND != *no-dump* ]] || STRICT=yes

VERBS=("info top.qcow2" "info --backing-chain top.qcow2" "info --backing-chain --output=json data.qcow2"
    "check top.qcow2" "check -r all leaky.qcow2" "partitions --json -f raw data.raw")

step "the barriers are the worker's"
up view -v -f raw disk.raw mp
WANTED=$(sed -n 's/.*around the worker: //p' ../view.err)
[[ $WANTED == *user*seccomp* ]] || fail "the worker: $(cat ../view.err)"
for verb in "${VERBS[@]}"; do
    # shellcheck disable=SC2086
    "$RAWVIEW" $verb -v >../out 2>../err || fail "$verb: $(cat ../err)"
    equal "$verb" "$(sed -n 's/.*around the process that reads it: //p' ../err)" "$WANTED"
done

# What the kernel says of a process.
facts()
{
    grep -E '^(Uid|Gid|Groups|Cap[A-Z][a-z]*|NoNewPrivs|Seccomp):' "/proc/$1/status"
    grep -E '^Max (core|open|address)' "/proc/$1/limits"
    stat -c 'belongs to %u' "/proc/$1/status"
    [[ $(readlink "/proc/$1/ns/net") == "$(readlink /proc/self/ns/net)" ]] || echo "no network"
}

# A pipe that is full keeps whoever writes into it waiting.
hold()
{
    rm -f ../full
    mkfifo ../full
    exec 9<>../full
    dd if=/dev/zero of=../full bs=4096 oflag=nonblock status=none 2>/dev/null || true
    "$RAWVIEW" "$@" >../full 2>../err &
    PARENT=$!
    wait_until 20 child_writes || fail "$*: no child waits: $(cat ../err; ps -ef)"
}

child_writes()
{
    CHILD=$(pgrep --parent "$PARENT") && grep -q '^write\|^1 0x1\|pipe_write' "/proc/$CHILD/wchan" "/proc/$CHILD/syscall" 2>/dev/null
}

children_are_gone()
{
    process_is_gone "$CHILD" && process_is_gone "$PARENT"
}

step "what the kernel says of it"
facts "$(worker_of "$(pid_of view)")" >../worker.facts
for verb in "${VERBS[@]}"; do
    # shellcheck disable=SC2086
    hold $verb
    facts "$CHILD" >../child.facts
    diff ../worker.facts ../child.facts >&2 || fail "$verb: other barriers than the worker's"
    for fd in /proc/"$CHILD"/fd/*; do
        case $(readlink "$fd") in
        /dev/null | "$W"/full | "$W"/err | "$W"/vm/*.qcow2 | "$W"/vm/data.raw | socket:* | "$W"/reports/*) ;;
        *) fail "$verb: the child has $(readlink "$fd")" ;;
        esac
    done
    # Who kills the parent kills both.
    kill -KILL "$PARENT"
    wait_until 20 children_are_gone || fail "$verb: process $CHILD outlives its parent"
    wait "$PARENT" || true
done
down view

step "one signal ends both, and the parent tells how the child ended"
hold info top.qcow2
kill -TERM "$PARENT"
wait_until 20 children_are_gone || fail "somebody is left after SIGTERM"
wait "$PARENT" || true
for how in "KILL 9 (Killed)" "SYS 31 (Bad system call)"; do
    hold check top.qcow2
    kill -"${how%% *}" "$CHILD"
    wait_until 20 process_is_gone "$PARENT" || fail "the parent waits for ever"
    STATUS=0
    wait "$PARENT" || STATUS=$?
    equal status $STATUS 1
    equal words "$(cat ../err)" "rawview: top.qcow2: the confined process was ended by signal ${how#* }"
done
hold info --backing-chain top.qcow2
kill -TERM "$CHILD"
STATUS=0
wait "$PARENT" || STATUS=$?
equal "status after the child's SIGTERM" $STATUS 143
exec 9>&-
"$RAWVIEW" info --backing-chain top.qcow2 2>../err | true || true
equal "words about a reader that went away" "$(cat ../err)" ""

step "names lead where they did"
equal layers "$("$RAWVIEW" info --backing-chain top.qcow2 | grep -c ^image:)" 3
"$RAWVIEW" info --backing-chain link.qcow2 >/dev/null
printf '[%s]' "$("$RAWVIEW" info --backing-chain -U --references=none top.qcow2 2>&1)" | grep -q 'References=none' ||
    fail "--references=none opens a chain"

step "an image that belongs to root alone is repaired by another user"
cp leaky.qcow2 before.qcow2
"$RAWVIEW" check -r all leaky.qcow2 >/dev/null || fail "not repaired"
"$RAWVIEW" check leaky.qcow2 >/dev/null || fail "not sound"

if [[ $STRICT ]]; then
    BARRIERS=(setgroups setresgid setresuid capset no_new_privs)
    [[ $WANTED != *landlock* ]] || BARRIERS+=(landlock_restrict_self)
    BARRIERS+=(seccomp)

    cp before.qcow2 leaky.qcow2
    for verb in "${VERBS[@]}"; do
        step "every system call of rawview $verb"
        # shellcheck disable=SC2086
        strace -f -y -o ../trace "$RAWVIEW" $verb >/dev/null || fail "$verb under strace"
        "$PYTHON" "$HERE/trace-confined.py" ../trace "$PWD" "${BARRIERS[@]}" || fail "$verb: see above"
    done

    step "what the kernel lacks is an error only with --require-sandbox"
    without_landlock=(strace -f -o ../trace -e trace=landlock_create_ruleset
        -e inject=landlock_create_ruleset:error=ENOSYS "$RAWVIEW")
    for verb in "info --backing-chain" check; do
        # shellcheck disable=SC2086
        "${without_landlock[@]}" $verb top.qcow2 >/dev/null || fail "$verb needs Landlock"
        # shellcheck disable=SC2086
        expect_fail "the sandbox that is required lacks: landlock" \
            "${without_landlock[@]}" $verb --require-sandbox top.qcow2
        [[ ! -s $W/stdout ]] || fail "it prints all the same"
        # shellcheck disable=SC2086
        "$RAWVIEW" $verb --require-sandbox top.qcow2 >/dev/null || [[ $WANTED != *landlock* ]] ||
            fail "$verb --require-sandbox, with all there is"
    done
fi
