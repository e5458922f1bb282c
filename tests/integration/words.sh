#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The command itself: help, version, slips of the fingers, exit statuses. Mounts nothing.
#
# RAWVIEW: the program of the build tree.
. "$(dirname "$0")/cases.sh"

work_in "${TMPDIR:-/tmp}"
cd "$W"

# run STATUS ARGUMENTS…: leaves what it printed in out and errors.
run()
{
    local wanted=$1 got=0
    shift
    CASE="rawview $*"
    "$RAWVIEW" "$@" >out 2>errors || got=$?
    [[ $got == "$wanted" ]] || fail "status $got instead of $wanted: $(cat errors)"
    case $wanted in
    0) [[ -s out && ! -s errors ]] || fail "not on stdout alone: $(cat errors)" ;;
    *) [[ -s errors && ! -s out ]] || fail "not on stderr alone: $(cat out)" ;;
    esac
}

run 0 --version
[[ $(cat out) =~ ^rawview\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "it says: $(cat out)"
run 0 -h
run 0 --help
for verb in mount umount list info check; do
    run 0 --help
    grep -q "^  $verb " out || fail "$verb is not in --help"
    run 0 $verb --help
    grep -q "^Usage: rawview $verb" out || fail "it says: $(head -n 1 out)"
    run 2 $verb --no-such-option
    grep -qx "Try 'rawview $verb --help'." errors || fail "it says: $(cat errors)"
done

run 2
run 2 ''
run 2 no-such-verb
grep -q "'no-such-verb' is neither a command nor a file" errors || fail "it says: $(cat errors)"
run 2 --no-such-option

CASE="a full disk"
for words in --version --help 'info --help'; do
    got=0
    # shellcheck disable=SC2086
    "$RAWVIEW" $words >/dev/full 2>errors || got=$?
    [[ $got == 1 ]] || fail "rawview $words: status $got"
    grep -q 'No space left' errors || fail "rawview $words says: $(cat errors)"
done

echo "help, version and refusals: as they should be"
