#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What a worker that was taken over can do to the supervisor, to who waits for it and to who looks at its view: nothing
# but end. hostile-worker.c plays the worker, in the role that the image's first line names.
#
# HOSTILE_WORKER: that program.
. "$(dirname "$0")/lib.sh"
need getfattr

make_programs
install -m 755 "$HOSTILE_WORKER" bin/rawview-worker
# Bounds for machines that are busy; what is meant to be at once is over in a tenth of that.
readonly SOON=20 MEMORY_KIB=$((100 * 1024))
# Every sentence names the image first.
readonly ONE_SENTENCE='^rawview: '"$W"'/[^/]*/image\.raw: [^:]'

# role NAME LINE: an image that makes its worker play.
role()
{
    mkdir -p "$1"
    chmod 777 "$1"
    printf '%s\n' "$2" >"$1/image.raw"
    truncate -s 64K "$1/image.raw"
    : >"$1/mp"
    chmod 666 "$1/image.raw" "$1/mp"
}

# start NAME [ARGUMENTS…]: rawviewd for it, as a unit starts it.
start()
{
    local name=$1
    shift
    "$PYTHON" "$HERE/watched.py" "$W/$name" "${RUNNER[@]}" "$W/bin/rawviewd" --path="$W/$name/image.raw" \
        --mount-point="$W/$name/mp" --format=raw "$@" &
}
RUNNER=(env)

pid_of_role()
{
    wait_until $SOON test -s "$1/pid" || fail "$1 was not started"
    cat "$1/pid"
}

# ended NAME SECONDS STATUS WORDS: with one sentence that says it, in time, and nothing is left.
ended()
{
    local name=$1 status seconds memory lines
    STEP="role $name"
    wait_until "$2" test -e "$name/end" || fail "it still runs: $(cat "$name/err")"
    read -r status seconds memory <"$name/end"
    # shellcheck disable=SC2053
    [[ $status == $3 ]] || fail "status $status instead of $3: $(cat "$name/err")"
    grep -qE -- "$4" "$name/err" || fail "it does not say '$4' but: $(cat "$name/err")"
    lines=$(grep -vcE '^rawview: .*(is still being opened|in use; it is unmounted|is still open somewhere)' "$name/err" || true)
    equal "sentences ($(cat "$name/err"))" "$lines" 1
    printable "$name/err"
    equal "stdout" "$(cat "$name/out")" ""
    ((memory < MEMORY_KIB)) || fail "it took $memory KiB"
    is_not_mounted "$name/mp" || fail "it is mounted still"
    manager_was_not_fooled "$name"
}

# No control characters but the newline, and UTF-8.
printable()
{
    "$PYTHON" -c '
import sys, unicodedata
text = open(sys.argv[1], "rb").read().decode("utf-8")
sys.exit(any(unicodedata.category(c) in ("Cc", "Cf") and c != "\n" for c in text))' "$1" ||
        fail "$1 is not fit to be shown: $(cat -v "$1")"
}

manager_was_not_fooled()
{
    local packet
    while read -r packet; do
        [[ $packet != *'\nMAINPID'* ]] || fail "the service manager heard $packet"
        case $packet in
        *'\nREADY=1'*) fail "the service manager heard $packet" ;;
        esac
    done <"$1/notify"
}

is_ready()
{
    grep -q '^b.READY=1' "$1/notify" 2>/dev/null
}

# ready NAME: the view is up.
ready()
{
    STEP="role $1"
    wait_until $SOON is_ready "$1" || fail "the view does not come up: $(cat "$1/err")"
}

stop()
{
    kill -TERM "$(pid_of_role "$1")"
}

step "those that take a while begin"
role never-serve never-serve
role mute mute
role hang-up hang-up
role finished serve-and-finish
role serve-and-hang-up serve-and-hang-up
role deaf serve
for name in never-serve mute hang-up finished serve-and-hang-up deaf; do
    start $name
done
ready deaf
stop deaf

step "what a worker says while the image is opened"
# name|what it plays|status|words
readonly OPENING='exit-0|exit 0|74|the worker ended$
exit-3|exit 3|74|the worker ended with status 3$
crash|signal 11|74|the worker was ended by signal 11 \(Segmentation fault\)$
filter|signal 31|74|the worker was ended by signal 31 \(Bad system call\)$
random|random|74|broke the rules
empty|packet empty|74|did not end, and was killed
short|packet short|74|broke the rules.*no header
headless|packet headless|74|broke the rules.*SEALED
long|packet long|74|broke the rules.*longer than any
unknown|packet unknown|74|broke the rules.*4242
zero|packet zero|74|broke the rules.*kind 0
image-back|kinds 1|74|broke the rules
opened-back|kinds 3|74|broke the rules
refused-back|kinds 4|74|broke the rules
serve-back|kinds 7|74|broke the rules
serving-early|kinds 8|74|broke the rules
fault-early|kinds 9|74|broke the rules
done-early|kinds 10|74|broke the rules
progress-none|kinds 19|74|broke the rules.*PROGRESS
sealed-twice|kinds 5 5|74|broke the rules
open-late|kinds 5 2|74|broke the rules
endless-text|endless-text|74|broke the rules.*text without end
format|format|74|broke the rules.*format
inject|fail 74 x\nMAINPID=1\nREADY=1\n\e[2Jrawview: other|65|x\?MAINPID=1\?READY=1\?\?\[2Jrawview: other
cancelled|fail 125 stopped|65|stopped
no-code|fail 0 nothing|74|nothing
negative|fail -2147483648 less|74|less
wordless|fail 22|65|does not say why
descriptors|descriptors|74|broke the rules.*descriptors
deaf-asker|ask-forever deaf|74|broke the rules
asker|ask-forever|74|broke the rules.*asked for more than
long-name|ask-long|74|broke the rules.*text without end
no-layer|ask-layer|74|broke the rules.*layer 4294967295
secret-back|kinds 15|74|broke the rules
secret-late|kinds 5 14|74|broke the rules
no-secret|want 0 luks|65|heard 126 .no passphrase.$
no-secret-layer|want 1 luks|74|broke the rules.*passphrase of layer 1, which was never opened
no-secret-word|want 0 \e[2J|74|broke the rules.*has a name that is none
want-forever|want-forever|74|broke the rules.*asked for more than
scream|scream|74|the worker ended with status 3'
STARTED=()
while IFS='|' read -r name line _ _; do
    role "$name" "$line"
    start "$name"
    STARTED+=("$name")
    # Two processors are not to be shared by all of them.
    if ((${#STARTED[@]} % 8 == 0)); then
        wait_until $SOON test -e "$name/pid"
    fi
done <<<"$OPENING"
while IFS='|' read -r name _ status words; do
    ended "$name" 45 "$status" "$words"
    grep -qE "$ONE_SENTENCE" "$name/err" || fail "it does not name the image first: $(cat "$name/err")"
done <<<"$OPENING"
equal "the last of ${#STARTED[@]} roles" "${STARTED[-1]}" scream

step "names: what is asked for, and what a refusal tells"
: >secret
mkdir -m 777 asking
echo outside >asking-outside
ln -s ../asking-outside asking/link
mkfifo asking/fifo
: >asking/closed
chmod 000 asking/closed
N=0
for name in no-such-file ../secret "$W/secret" link fifo . .. / '' /proc/self/mem /proc/1/environ /dev/sda /dev/fuse \
    /dev/null /etc/shadow +image.raw +no-such-file nbd://localhost/x "$(printf '%01023d' 0)"; do
    N=$((N + 1))
    role asking "ask $name"
    rm -f asking/end asking/pid asking/notify-socket
    start asking
    wait_until $SOON test -e asking/end || fail "asked for '$name', it does not end"
    # What does not exist and what is forbidden sound the same.
    grep -q "image.raw: heard 13 'refused'$" asking/err || fail "asked for '$name': $(cat asking/err)"
done
equal "names asked for" $N 19

step "no time limit for opening, but a signal ends it at once"
for signal in TERM INT; do
    role silent-$signal silent
    start silent-$signal
    role stopped-$signal stopped
    start stopped-$signal
done
# A command that waits for its view and is interrupted takes the daemon with it.
role interrupted silent
"$W/bin/rawview" mount -f raw interrupted/image.raw interrupted/mp 2>interrupted/err &
COMMAND=$!
wait_until $SOON pgrep --full "rawviewd.*$W/interrupted/image.raw" >interrupted/pid || fail "no daemon"
wait_until $SOON pgrep --parent "$(cat interrupted/pid)" >interrupted/worker || fail "no worker"
kill -TERM $COMMAND
wait_until $SOON process_is_gone "$(cat interrupted/pid)" || fail "the daemon of a command that is gone stays"
wait_until $SOON process_is_gone "$(cat interrupted/worker)" || fail "the worker of a command that is gone stays"
grep -q 'nobody waits' interrupted/err || fail "it says: $(cat interrupted/err)"
wait_until $SOON grep -q 'is still being opened' silent-TERM/notify || fail "nothing tells that it is being opened"
for signal in TERM INT; do
    for name in silent-$signal stopped-$signal; do
        kill -$signal "$(pid_of_role "$name")"
        ended "$name" $SOON 0 'stopped before the view was up'
    done
done
grep -q 'is still being opened' silent-TERM/err || fail "it says: $(cat silent-TERM/err)"

step "a view that is not one"
# name|what it plays|status|words
readonly SERVING='nonsense|nonsense|74|the view cannot be read
folder|mode 040777|74|the view cannot be read
link|mode 0120777|74|the view cannot be read
device|mode 060666|74|the view cannot be read
smaller|size 1|74|the view has 1 bytes, the disk 65536
huge|size 9223372036854775807|74|the view has 9223372036854775807 bytes
beyond|size 18446744073709551615|74|the view
faults|faults|74|broke the rules.*faults without end
late-asker|serve-and-ask|74|broke the rules.*asked for a file
stuck|stuck '"$W"'/stuck/mp|74|broke the rules'
while IFS='|' read -r name line _ _; do
    role "$name" "$line"
    start "$name"
done <<<"$SERVING"
while IFS='|' read -r name _ status words; do
    # The faults are told of once.
    if [[ $name == faults ]]; then
        wait_until 45 test -e faults/end || fail "role faults: it still runs"
        equal "faults told of ($(cat faults/err))" "$(grep -c 'failed so far' faults/err)" 1
        sed -i '/failed so far/d' faults/err
    fi
    ended "$name" 45 "$status" "$words"
done <<<"$SERVING"

step "a view that would like to be more"
role setuid 'mode 0106777'
start setuid
ready setuid
for option in nosuid nodev noexec; do
    [[ ,$(mount_field OPTIONS setuid/mp), == *,$option,* ]] || fail "the view is not mounted $option"
done
stop setuid
# Without anything to flush it gets no ten minutes; who asks twice waits for nothing.
sleep 1
stop setuid
ended setuid $SOON 74 'the worker did not end and was killed'

step "descriptors of the supervisor while a view is up"
role quiet serve
start quiet
ready quiet
DESCRIPTORS=$(find "/proc/$(pid_of_role quiet)/fd" -mindepth 1 | wc -l)
((DESCRIPTORS < 16)) || fail "there are $DESCRIPTORS"
equal "stderr of the worker" "$(readlink "/proc/$(worker_of "$(pid_of_role quiet)")/fd/2" | cut -d: -f1)" pipe

step "rawview list, when views lie about themselves"
readonly STATES='{"pid":1,"unit":"\u001b[2J"}
deep
long
{"pid":"\n","a":1e999
[]
"x"
{"pid":-1}'
N=0
while read -r line; do
    N=$((N + 1))
    role "state-$N" "state $line"
    start "state-$N"
done <<<"$STATES"
for ((i = 1; i <= N; i++)); do
    ready "state-$i"
done
for how in off short pretty; do
    timeout 30 "$RAWVIEW" list --json=$how >list.$how 2>list.err || fail "--json=$how: status $?: $(cat list.err)"
    printable list.$how
done
equal "views in the table" "$(grep -c "$W/state-" list.off)" $N
equal "views in the JSON" "$(jq '[.[] | select(.view | contains("/state-"))] | length' list.short)" $N
jq -e . list.pretty >/dev/null
"$RAWVIEW" list --no-legend | awk 'NF == 0 { exit 1 }' || fail "there is an empty line"
for ((i = 1; i <= N; i++)); do
    stop "state-$i"
done
stop quiet
sleep 1
for ((i = 1; i <= N; i++)); do
    stop "state-$i"
done
stop quiet
for ((i = 1; i <= N; i++)); do
    ended "state-$i" $SOON 74 'did not end'
done
ended quiet $SOON 74 'did not end'

step "an ordinary user's supervisor"
RUNNER=(setpriv --reuid="$USER_ID" --regid=nogroup --clear-groups)
ENDING=(user-stuck)
# What systemd mounts everywhere; root's supervisor can do without.
if ! mountpoint -q /sys/fs/fuse/connections && ! mount -t fusectl none /sys/fs/fuse/connections; then
    echo "   left out: a user's connection cannot be ended by force here"
    ENDING=()
fi
role user-stuck "stuck $W/user-stuck/mp"
role user-inject 'fail 5 x\nMAINPID=1\nREADY=1'
role user-silent silent
for name in "${ENDING[@]}" user-inject user-silent; do
    start "$name"
done
ended user-inject $SOON 74 'x\?MAINPID=1\?READY=1'
stop user-silent
ended user-silent $SOON 0 'stopped before the view was up'
for name in "${ENDING[@]}"; do
    ended "$name" 45 74 'broke the rules'
done

step "those that take a while end"
ended deaf 60 74 'the worker did not end and was killed'
ended never-serve 60 74 'does not begin to serve'
ended mute 60 74 'the view does not answer'
for name in hang-up finished serve-and-hang-up; do
    ended "$name" 60 74 'said goodbye, but did not end'
done

STEP=end
no_mount_left
no_process_left()
{
    ! pgrep rawview >/dev/null
}
wait_until $SOON no_process_left || fail "processes are left: $(pgrep --list-full rawview)"
echo "roles: $(find . -name end | wc -l)"
