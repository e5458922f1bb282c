#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# rawview list: what it knows of views, on a terminal and in a pipe, and of those that do not answer.
. "$(dirname "$0")/lib.sh"
make_programs
export TERM=xterm

# on COLUMNS [EXPECT KEYS]… -- COMMAND…: what the command writes to a terminal is in $W/screen then, without carriage returns.
on()
{
    STATUS=0
    timeout 60 "$PYTHON" "$HERE/screen.py" "$@" >screen.raw || STATUS=$?
    tr -d '\r' <screen.raw >screen
    ((STATUS == 0)) || fail "screen.py $*: status $STATUS: $(cat -v screen)"
}

# The longest line in characters, without colours.
longest()
{
    sed 's/\x1b\[[0-9;]*m//g' screen | LC_ALL=C.UTF-8 awk 'length > max { max = length } END { print max }'
}

value()
{
    "$RAWVIEW" list --json | jq -r --arg view "$1" ".[] | select(.view == \$view) | $2"
}

fill_file raw 1M
qemu-img convert -f raw -O qcow2 raw disk.qcow2
qemu-img create -q -f qcow2 large.qcow2 1536M
long=$W/a-folder-with-quite-a-long-name/and-one-more-that-is-not-short
mkdir -p "$long"
cp disk.qcow2 "$long/disk.qcow2"
up itself disk.qcow2
up large -w large.qcow2
up long "$long/disk.qcow2"

step "a pipe gets one whole line for a view, and bytes"
"$RAWVIEW" list >out
equal "headings" "$(head -n1 out | xargs)" "VIEW IMAGE FORMAT SIZE MODE STATE PID UNIT USER READERS WRITERS READ WRITTEN ERRORS"
equal "lines" "$(wc -l <out)" 4
equal "a row" "$(grep -F "$W/large.qcow2" out | xargs)" \
    "$W/large.qcow2 $W/large.qcow2 qcow2 1610612736 rw serving $(pid_of large) - root 0 0 $(value "$W/large.qcow2" '.state["bytes-read"]') 0 0"
grep -q $'\x1b' out && fail "there are colours in a pipe"

step "readers, writers, bytes"
before=$(value "$W/disk.qcow2" '.state["bytes-read"]')
exec 5<disk.qcow2 6<disk.qcow2 7<>large.qcow2
cat <&5 >/dev/null
printf 'x%.0s' {1..5000} | dd of=large.qcow2 conv=notrunc,fsync bs=5000 iflag=fullblock status=none
equal "disk" "$(value "$W/disk.qcow2" '[.state.readers, .state.writers] | @text')" '[2,0]'
read=$(($(value "$W/disk.qcow2" '.state["bytes-read"]') - before))
# The kernel kept the first block, which was read when the view was made.
((read > 900000 && read <= 1048576)) || fail "read: $read"
equal "large" "$(value "$W/large.qcow2" '[.state.readers, .state.writers, .state["bytes-written"]] | @text')" '[0,1,5000]'
exec 5<&- 6<&- 7<&-

step "a terminal sees units, and no line is longer than it is wide"
for width in 200 100 80 60 40 25; do
    on $width -- "$RAWVIEW" list
    (($(longest) <= width)) || fail "$(longest) columns on a terminal of $width: $(cat screen)"
    equal "lines on $width columns" "$(wc -l <screen)" 4
done
on 300 -- "$RAWVIEW" list
grep -qE "large.qcow2 +\(itself\) .*qcow2 +1.5G  rw" <(sed 's/\x1b\[[0-9;]*m//g' screen) || fail "300 columns: $(cat -v screen)"
grep -qF "$long/disk.qcow2" screen || fail "a path is shortened for nothing: $(cat -v screen)"
on 80 -- "$RAWVIEW" list
grep -qE '/.*….*disk.qcow2' screen || fail "80 columns: $(cat -v screen)"

step "JSON: pretty on a terminal, short in a pipe"
equal "lines in a pipe" "$("$RAWVIEW" list -j | wc -l)" 1
on 80 -- "$RAWVIEW" list --json
(($(wc -l <screen) > 10)) || fail "JSON on a terminal: $(cat screen)"
jq -e 'length == 3' <screen >/dev/null

step "what is wrong is red, where colours are wanted"
worker=$(worker_of "$(pid_of long)")
kill -STOP "$(pid_of long)"
kill -KILL "$worker" "$(pid_of long)"
wait_until 10 process_is_gone "$(pid_of long)"
wait_until 10 process_is_gone "$worker"
on 120 -- "$RAWVIEW" list
grep -qF $'\x1b[1;31mstale\x1b[0m' screen || fail "stale: $(cat -v screen)"
equal "condition" "$(value "$long/disk.qcow2" .condition)" stale
for how in NO_COLOR=1 TERM=dumb TERM=; do
    on 120 -- env $how "$RAWVIEW" list
    grep -q $'\x1b' screen && fail "$how: $(cat -v screen)"
done
"$RAWVIEW" umount --stale
equal "views" "$("$RAWVIEW" list --no-legend | wc -l)" 2

step "what lies beneath another mount is said to be hidden"
touch place
up below -f raw raw place
mount --bind large.qcow2 place
equal "condition" "$("$RAWVIEW" list --json | jq -r --arg image "$W/raw" '.[] | select(.image == $image) | .condition')" hidden
umount place
down below

step "--watch: goes on until q, follows the window's size, and leaves the terminal as it was"
on 100 '?1049h' '' "qcow2" "=50" "qcow2" q -- "$RAWVIEW" list --watch
grep -qF $'\x1b[?1049l' screen || fail "the screen is not given back: $(cat -v screen)"
on 100 "qcow2" "^C" -- "$RAWVIEW" list --watch --no-legend
grep -qF VIEW screen && fail "there are headings: $(cat -v screen)"
expect_fail 'watch needs a terminal' "$RAWVIEW" list --watch
equal "status" $STATUS 2

step "users see their own views whole, and rows for those of others; root sees all"
mkdir -m 777 users
as-user qemu-img convert -f raw -O qcow2 raw users/mine.qcow2
as-user timeout 60 rawview mount --allow-other=no users/mine.qcow2 >out || fail "a user's view"
mine=$W/users/mine.qcow2
equal "for the user" "$(as-user rawview list --json | jq -r --arg view "$mine" '.[] | select(.view == $view) | .condition')" serving
equal "for others" "$(as-other rawview list --json | jq -rc --arg view "$mine" '.[] | select(.view == $view) | [.condition, .image, .uid, .size]')" \
    "[\"unreadable\",\"$mine\",$(id -u $USER_ID),null]"
equal "for root" "$(value "$mine" '[.condition, .format, .size] | @text')" '["serving","qcow2",1048576]'
as-user rawview umount "$mine"

step "names that would command the terminal"
name=$'e\x1b[2J\xff\nvil.qcow2'
mkdir evil
cp raw "evil/$name"
up evil -f raw "evil/$name"
on 200 -- "$RAWVIEW" list
grep -qF 'e?[2J??vil.qcow2' screen || fail "$(cat -v screen)"
equal "lines" "$(wc -l <screen)" 4
equal "JSON" "$("$RAWVIEW" list --json | jq -c 'length')" 3
down evil

step "those that do not answer are waited for together"
for i in 1 2 3 4 5 6; do
    cp raw "stuck$i"
    up "stuck$i" -f raw "stuck$i"
    kill -STOP "$(worker_of "$(pid_of "stuck$i")")"
done
begin=$SECONDS
"$RAWVIEW" list >out
took=$((SECONDS - begin))
equal "stuck" "$(grep -c ' stuck ' out)" 6
((took < 12)) || fail "six stuck views take $took seconds"
for i in 1 2 3 4 5 6; do
    kill -CONT "$(worker_of "$(pid_of "stuck$i")")"
    down "stuck$i"
done
"$RAWVIEW" umount --all
no_mount_left
