#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Where a passphrase comes from, what is said when it does not, and that nothing is left of it. The worker is the real one with
# a further format, which wants a passphrase (tests/locked); what only systemd can do is in the system test of this name.
#
# LOCKED: the folder with lock.py and its like. LOCKED_WORKER: that worker. SANITIZE: what the programs were built with.
. "$(dirname "$0")/lib.sh"

make_programs
install -m 755 "$LOCKED_WORKER" bin/rawview-worker
RAWVIEW=$W/bin/rawview
# No word of it stands in any program.
readonly PASSPHRASE='mu7ky-Gr0undhog'

lock()
{
    "$PYTHON" "$LOCKED/lock.py" "$@"
}

on_terminal()
{
    "$PYTHON" "$LOCKED/type.py" "$@"
}

readonly DAEMON=("$W/bin/rawviewd" --path="$W/a.locked" --mount-point="$W/mp")

end()
{
    "$RAWVIEW" umount "$W/mp"
    wait_until 20 no_view || fail "a process is left: $(pgrep --list-full rawview)"
    no_mount_left
}

no_view()
{
    ! pgrep '^rawview' >/dev/null
}

is_the_disk()
{
    cmp mp disk || fail "the view has other contents"
}

step prepare
fill_file disk 1M
: >mp
lock disk a.locked "$PASSPHRASE"
lock disk base.locked "$PASSPHRASE"
lock disk over.locked "$PASSPHRASE" base.locked
(
    umask 077
    printf %s "$PASSPHRASE" >key
    printf 'wr0ng-Gr0undhog' >key.wrong
    echo "$PASSPHRASE" >key.newline
    : >key.empty
    head -c 8193 /dev/zero >key.large
    head -c 8192 /dev/urandom >key.binary
    mkfifo key.fifo
)

step "a key file"
up view --key-file=key a.locked mp
is_the_disk
equal "stderr" "$(cat view.err)" ""
end
# Relative to where the command was called, as -o, and for two layers.
up view -o key_file=key over.locked mp
is_the_disk
end

step "a key file of any bytes"
"$PYTHON" -c '
import struct, sys, zlib
key, disk = (open(name, "rb").read() for name in sys.argv[1:3])
open(sys.argv[3], "wb").write(struct.pack("<16sI32s460x", b"RAWVIEW-LOCKED", zlib.crc32(key), b"test-key") + disk)' \
    key.binary disk binary.locked
up view --key-file=key.binary binary.locked mp
is_the_disk
end

step "a key file that everybody may read"
install -m 644 key key.open
up view --key-file=key.open a.locked mp
grep -q 'key.open: holds a passphrase, and is open to everybody (mode 0644)$' view.err || fail "$(cat view.err)"
end

step "a key file that is not needed"
up view --key-file=missing -v -f raw disk mp
grep -q 'disk: is not encrypted, and KeyFile= is not needed' view.err || fail "$(cat view.err)"
end

step "key files that do not help"
# name|words
readonly USELESS="key.wrong|wrong passphrase \(from KeyFile=$W/key.wrong\)$
key.newline|wrong passphrase \(from KeyFile=$W/key.newline; the newline at its end counts, .printf %s. writes none\)$
key.missing|no passphrase: KeyFile=$W/key.missing: cannot open it: No such file or directory$
key.empty|no passphrase: KeyFile=$W/key.empty: is empty$
key.large|no passphrase: KeyFile=$W/key.large: holds more than 8192 bytes$
key.fifo|no passphrase: KeyFile=$W/key.fifo: is no regular file$
bin|no passphrase: KeyFile=$W/bin: is no regular file$"
while IFS='|' read -r name words; do
    refused 77 "a.locked: locked: $words" "${DAEMON[@]}" --key-file="$W/$name"
    ! grep -q Gr0undhog stderr || fail "it shows the passphrase"
done <<<"$USELESS"
refused 1 "over.locked: locked: wrong" "$RAWVIEW" mount --key-file=key.wrong over.locked mp
# The layer that cannot be opened is named.
lock disk base.locked other
refused 1 "over.locked: backing file 'base.locked': locked: wrong passphrase \(from KeyFile=" "$RAWVIEW" mount --key-file=key over.locked mp

step "another user's link to root's key file"
mkdir -m 755 theirs
chown $USER_ID theirs
ln -s "$W/key" theirs/link
chown -h $USER_ID theirs/link
refused 77 "no passphrase: KeyFile=$W/theirs/link: .*link" "${DAEMON[@]}" --key-file="$W/theirs/link"

step "nobody to ask, which takes no time"
begin=$SECONDS
refused 77 'no passphrase \(there is nobody to ask\): --key-file=FILE names a file' "${DAEMON[@]}"
((SECONDS - begin < 20)) || fail "it waited"

step "the credential of a unit"
mkdir -m 700 credentials
install -m 400 key credentials/rawview.passphrase
CREDENTIALS_DIRECTORY=$W/credentials up view a.locked mp
is_the_disk
end
# KeyFile= comes first, whatever it says.
CREDENTIALS_DIRECTORY=$W/credentials refused 77 'KeyFile=.*wrong' "${DAEMON[@]}" --key-file="$W/key.wrong"
chmod 777 credentials
CREDENTIALS_DIRECTORY=$W/credentials refused 77 'no passphrase: /.*/credentials/rawview.passphrase: ' "${DAEMON[@]}"
chmod 700 credentials

step "keys beside the descriptors, of an ordinary user"
install -d -m 700 -o $USER_ID home home/rawview home/rawview/keys.d
install -m 600 -o $USER_ID a.locked home/a.locked
install -m 600 -o $USER_ID /dev/null home/mp
install -m 600 -o $USER_ID key home/rawview/keys.d/web.key
printf '[Image]\nPath=%s\n[View]\nMountPoint=%s\n' "$W/home/a.locked" "$W/home/mp" >home/rawview/web.image
cp home/rawview/web.image home/rawview/other.image
chown $USER_ID home/rawview/*.image
as-user env XDG_CONFIG_HOME="$W/home" rawviewd web </dev/null 2>user.err &
wait_until 20 is_mounted home/mp || fail "$(cat user.err)"
wait_until 20 as-user test -r home/mp || fail "$(cat user.err)"
as-user cat home/mp | cmp - disk
as-user rawview umount "$W/home/mp"
wait || fail "$(cat user.err)"
refused 77 "no passphrase \(there is nobody to ask\): KeyFile= names a file that holds it, or it lies in $W/home/rawview/keys.d/other.key, or LoadCredential=" \
    as-user env XDG_CONFIG_HOME="$W/home" rawviewd other
chmod 777 home/rawview/keys.d
refused 77 "no passphrase: $W/home/rawview/keys.d/web.key: " as-user env XDG_CONFIG_HOME="$W/home" rawviewd web

step "somebody at the terminal"
on_terminal "$PASSPHRASE" -- "$RAWVIEW" mount -q a.locked mp >shown || fail "$(cat shown)"
is_the_disk
equal "the terminal" "$(cat shown)" "Passphrase of $W/a.locked (test-key): "$'\n'"$W/mp"
end
on_terminal wrong 'wrong again' "$PASSPHRASE" -- "$RAWVIEW" mount a.locked mp >shown || fail "$(cat shown)"
is_the_disk
equal "wrong ones" "$(grep -c '^That was wrong. Passphrase of ' shown)" 2
end

# not_shown STATUS WORDS ANSWER…: what somebody types opens nothing.
not_shown()
{
    local status=0 wanted=$1 words=$2
    shift 2
    on_terminal "$@" -- "$RAWVIEW" mount a.locked mp >shown || status=$?
    equal "status ($(cat shown))" $status "$wanted"
    grep -qE -- "$words" shown || fail "it does not say '$words' but: $(cat shown)"
    wait_until 20 no_view || fail "a process is left"
    no_mount_left
}
not_shown 1 'a.locked: locked: wrong passphrase \(3 were tried\)$' no 'no again' 'never'
not_shown 1 'locked: no passphrase \(the answer was empty\)' ''
not_shown 130 'stopped before the view was up' '^C'

[[ $SANITIZE == none ]] || {
    echo "   left out: a sanitizer keeps copies of its own, and terabytes of addresses"
    exit 0
}
step "nothing is left of it"
# count_in FILE PID: how often its contents stand there.
count_in()
{
    "$PYTHON" "$LOCKED/search-memory.py" "$1" "$2" | cut -d' ' -f2
}
printf %s "$W/a.locked" >known
for how in file terminal; do
    if [[ $how == file ]]; then
        up view -v --key-file=key a.locked mp
    else
        on_terminal wr0ng-Gr0undhog "$PASSPHRASE" -- "$RAWVIEW" mount -v -p "$W/view.pid" a.locked mp >view.err || fail "$(cat view.err)"
    fi
    supervisor=$(pid_of view)
    worker=$(worker_of "$supervisor")
    is_the_disk
    for pid in "$supervisor" "$worker"; do
        # So that it is known to be able to find something.
        (($(count_in known "$pid") > 0)) || fail "$how: the memory of $(cat "/proc/$pid/comm") has no path"
        equal "$how: in $(cat "/proc/$pid/comm")" "$(count_in key "$pid")" 0
        equal "$how: a wrong one in $(cat "/proc/$pid/comm")" "$(count_in key.wrong "$pid")" 0
    done
    ! grep -q Gr0undhog view.err || fail "$how: the log shows it"
    end
done
# A process that does keep it is found out.
bash -c 'kept=$(cat key); read -r; echo "$kept"' < <(sleep 1000) >/dev/null &
sleep 0.5
(($(count_in key $!) > 0)) || fail "the search finds nothing"
kill $!

STEP=end
no_mount_left
