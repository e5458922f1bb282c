# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What every integration test begins with. It runs the test as root in a mount and a pid namespace of its own, so that
# whatever happens no mount and no process is left behind, and nothing else on the machine sees the test's views.
#
# Given by meson: RAWVIEW, the command in the build tree (rawviewd and rawview-worker stand beside it), and PYTHON.
# A test that cannot run here ends with 77; under CI=true that is a failure.
#
# For the tests: $W is the work folder, readable by everybody.
#   step WORDS             says what is being looked at
#   fail WORDS             ends the test
#   equal WHAT GOT WANT    compares two texts
#   up NAME ARGS…          `rawview mount -d -p $W/NAME.pid ARGS…`
#   down NAME              SIGINT to the pid in the pidfile, and everything that must be true afterwards
#   refused STATUS WORDS COMMAND…   one line on stderr with these words (wrong usage: and where help is), nothing on
#                                   stdout, no mount
#   expect_fail WORDS COMMAND…      not status 0, and these words
#   as-user, as-other COMMAND…      as an ordinary user and another one, once make_programs was called, which also puts
#                                   a copy of rawview in the PATH
set -Eeuo pipefail
export LC_ALL=C

# shellcheck disable=SC2034
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON=${PYTHON:-python3}
STEP=start

step()
{
    STEP=$*
    echo "-- $*"
}

fail()
{
    trap - ERR
    echo "FAIL: $STEP: $*" >&2
    exit 1
}

cannot_run()
{
    echo "cannot run here: $*" >&2
    [[ ${CI:-} == true ]] && exit 1
    exit 77
}

need()
{
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || cannot_run "$program is missing"
    done
}

# The part outside of the namespaces: makes the work folder, runs the test, cleans up.
leave_nothing()
{
    local loop report status=$1
    for report in "$RAWVIEW_TEST_DIR"/reports/*; do
        # A worker that is killed while its leaks are looked for leaves a line that says nothing.
        grep -qsE 'ERROR:|WARNING:|SUMMARY:|runtime error:' "$report" || continue
        echo "FAIL: a sanitizer wrote $report:" >&2
        head -n 60 "$report" >&2
        status=1
    done
    while read -r loop; do
        losetup --detach "$loop" 2>/dev/null || true
    done <"$RAWVIEW_TEST_DIR/loops"
    rm -rf --one-file-system "$RAWVIEW_TEST_DIR"
    exit "$status"
}

run_in_namespaces()
{
    [[ -n ${RAWVIEW:-} ]] || cannot_run "RAWVIEW does not say where the command is"
    ((EUID == 0)) || cannot_run "not root"
    [[ -c /dev/fuse ]] || cannot_run "/dev/fuse is missing"
    need qemu-img qemu-io "$PYTHON" jq findmnt setpriv pgrep
    unshare --mount --pid --fork true 2>/dev/null || cannot_run "no mount and pid namespaces"

    RAWVIEW_TEST_DIR=$(mktemp -d "${TMPDIR:-/tmp}/rawview-test.XXXXXX")
    export RAWVIEW_TEST_DIR
    chmod 755 "$RAWVIEW_TEST_DIR"
    mkdir -m 1777 "$RAWVIEW_TEST_DIR/reports"
    : >"$RAWVIEW_TEST_DIR/loops"
    trap 'leave_nothing $?' EXIT
    trap 'exit 143' TERM INT

    local report=log_path=$RAWVIEW_TEST_DIR/reports/report
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}$report \
    UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}print_stacktrace=1:$report \
    TSAN_OPTIONS=${TSAN_OPTIONS:+$TSAN_OPTIONS:}$report \
        unshare --mount --pid --fork --kill-child --mount-proc bash "$0" "$@"
    exit
}

[[ -n ${RAWVIEW_TEST_DIR:-} ]] || run_in_namespaces "$@"

# From here on inside.
W=$RAWVIEW_TEST_DIR
cd "$W"
trap 'fail "\`$BASH_COMMAND\` ended with $?, $(basename "$0") line $LINENO"' ERR
trap 'exit 143' TERM INT
# Views of others were copied into this mount namespace; they are not ours to list or to unmount.
while read -r target; do
    umount --lazy "$target" 2>/dev/null || true
done < <(findmnt --noheadings --raw --output TARGET --types fuse.rawview || true)

equal()
{
    [[ $2 == "$3" ]] || fail "$1: saw '$2', expected '$3'"
}

# Polls until the command succeeds. The number is a guard against hanging, not a measure of speed.
wait_until()
{
    local seconds=$1 end
    shift
    end=$((SECONDS + seconds))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# What the kernel's mount table says of a mount point, '' if it is none; nothing asks the view itself.
mount_field()
{
    local path
    path=$(realpath --no-symlinks --canonicalize-missing "$2")
    findmnt --noheadings --raw --output "TARGET,$1" | awk -v path="$path" '$1 == path { print $2 }'
}

is_mounted()
{
    [[ -n $(mount_field TARGET "$1") ]]
}

is_not_mounted()
{
    ! is_mounted "$1"
}

no_mount_left()
{
    local left
    left=$(awk -v w="$W/" 'index($5, w) == 1 && / - fuse/' /proc/self/mountinfo)
    [[ -z $left ]] || fail "a mount is left: $left"
}

# A zombie counts as gone: whoever started it has not looked yet.
process_is_gone()
{
    local state
    state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || true
    [[ -z $state || $state == Z ]]
}

worker_of()
{
    pgrep --parent "$1" --exact rawview-worker || fail "process $1 has no worker: $(ps -ef)"
}

pid_of()
{
    cat "$W/$1.pid"
}

up()
{
    local name=$1 status=0
    shift
    timeout 60 "$RAWVIEW" mount -d -p "$W/$name.pid" "$@" >"$W/$name.out" 2>"$W/$name.err" || status=$?
    ((status == 0)) || fail "rawview mount $*: status $status: $(cat "$W/$name.err")"
    [[ -s $W/$name.pid ]] || fail "rawview mount $*: there is no pidfile"
}

# The same in the foreground, which this shell can wait for: its messages go to NAME.log, its pid is in NAME.shell.
up_in_foreground()
{
    local name=$1
    shift
    "$RAWVIEW" mount --foreground -p "$W/$name.pid" "$@" >"$W/$name.log" 2>&1 &
    echo $! >"$W/$name.shell"
    wait_until 60 test -s "$W/$name.pid" || fail "rawview mount --foreground $*: $(cat "$W/$name.log")"
}

# Waits until a view in the foreground has ended, at most 20 seconds; how it ended stands in $STATUS then.
wait_for_end()
{
    local pid
    pid=$(cat "$W/$1.shell")
    wait_until 20 process_is_gone "$pid" || fail "the view '$1' does not end: $(cat "$W/$1.log")"
    STATUS=0
    wait "$pid" || STATUS=$?
}

down()
{
    local name=$1 pid
    pid=$(pid_of "$name")
    kill -INT "$pid"
    wait_until 20 process_is_gone "$pid" || fail "process $pid of view '$name' does not end after SIGINT"
    [[ ! -e $W/$name.pid ]] || fail "the pidfile of view '$name' is still there"
}

sha()
{
    sha256sum <"$1" | cut -d' ' -f1
}

# Everything about an image that a read-only use must leave alone.
fingerprint()
{
    # A file system that chooses places late counts some more blocks when it does.
    sync "$1"
    echo "$(sha "$1") $(stat -c '%s %y %b' "$1")"
}

size_of()
{
    stat -c %s "$1"
}

blocks_of()
{
    stat -c %b "$1"
}

# Runs a command that must fail. Its status stands in $STATUS, its output in $W/stdout and $W/stderr.
run_failing()
{
    STATUS=0
    timeout 60 "$@" >"$W/stdout" 2>"$W/stderr" </dev/null || STATUS=$?
    ((STATUS != 0)) || fail "\`$*\` succeeded: $(cat "$W/stdout" "$W/stderr")"
    ((STATUS < 124)) || fail "\`$*\` hung or crashed, status $STATUS: $(cat "$W/stderr")"
}

expect_fail()
{
    local words=$1
    shift
    run_failing "$@"
    grep -qiE -- "$words" "$W/stdout" "$W/stderr" ||
        fail "\`$*\` does not say '$words' but: $(cat "$W/stdout" "$W/stderr")"
}

refused()
{
    local status=$1 words=$2
    shift 2
    expect_fail "$words" "$@"
    # The status may be a pattern.
    # shellcheck disable=SC2053
    [[ $STATUS == $status ]] || fail "\`$*\` ends with $STATUS instead of $status: $(cat "$W/stderr")"
    equal "lines on stderr of \`$*\` ($(cat "$W/stderr"))" "$(grep -vc "^Try '.*--help'" "$W/stderr")" 1
    [[ ! -s $W/stdout ]] || fail "\`$*\` writes to stdout: $(cat "$W/stdout")"
    no_mount_left
}

# The ordinary user of the tests, and another one. Both stand in passwd, which fusermount3 wants. as-user, as-other and
# as-root are programs, so that timeout and the like can start them.
readonly USER_ID=nobody OTHER_ID=daemon

make_programs()
{
    local program
    mkdir -m 755 "$W/bin"
    printf '#!/bin/sh\nexec setpriv --reuid=%s --regid=nogroup --clear-groups "$@"\n' $USER_ID >"$W/bin/as-user"
    printf '#!/bin/sh\nexec setpriv --reuid=%s --regid=%s --clear-groups "$@"\n' $OTHER_ID $OTHER_ID >"$W/bin/as-other"
    printf '#!/bin/sh\nexec "$@"\n' >"$W/bin/as-root"
    chmod 755 "$W"/bin/as-*
    # The programs under test, where an ordinary user can run them wherever the build tree lies.
    for program in rawview rawviewd rawview-worker; do
        install -m 755 "$(dirname "$RAWVIEW")/$program" "$W/bin/"
    done
    PATH=$W/bin:$PATH
}

# A file of SIZE bytes with no two equal blocks, the same each time.
fill_file()
{
    "$PYTHON" -c 'import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(int(sys.argv[1])))' \
        "$(numfmt --from=iec "$2")" >"$1"
}

# What needs loop devices stands behind this, so that the rest is tested without them.
have_loops()
{
    losetup --find >/dev/null 2>&1 && return
    [[ ${CI:-} != true ]] || fail "no loop devices here"
    echo "   left out: no loop devices here"
    return 1
}

# The device stands in $LOOP.
attach_loop()
{
    LOOP=$(losetup --find --show "$@")
    echo "$LOOP" >>"$W/loops"
}

detach_loop()
{
    losetup --detach "$1"
    # Detaching happens in the background when somebody still looks at the device.
    wait_until 20 loop_is_free "$1" || fail "$1 stays attached"
    sed -i "\\|^$1\$|d" "$W/loops"
}

loop_is_free()
{
    ! losetup "$1" >/dev/null 2>&1
}
