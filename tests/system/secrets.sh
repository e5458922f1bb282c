#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Passphrases as only systemd gives them: credentials, plain, encrypted, and found by the generator; and systemd-ask-password under
# the unit's own restrictions, answered, refused, taken back at a stop. Where they come from otherwise: integration `secrets`.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/images
passphrase=$images/passphrase
asking=/run/systemd/ask-password
cp -r /payload/images $images
chmod 600 $passphrase
: >/srv/view
systemd-sysusers
journalctl --update-catalog
mkdir -p /etc/rawview /etc/systemd/system/rawview@.service.d
printf '[Service]\nExecStart=\nExecStart=/usr/libexec/rawview-locked/rawviewd %%I\n' >/etc/systemd/system/rawview@.service.d/locked.conf
# It would answer on the machine's console, where nobody sits.
systemctl mask --now --quiet systemd-ask-password-console.path systemd-ask-password-wall.path

# locked NAME [LINE…]: a descriptor of the image that wants a passphrase, with more lines of [Image].
locked() {
    local name=$1
    shift
    describe "$name" '[Image]' "Path=$images/a.locked" "$@" '[View]' 'MountPoint=/srv/view'
}

# drop_in NAME LINE: in the unit of that name alone.
drop_in() {
    mkdir -p "/etc/systemd/system/rawview@$1.service.d"
    printf '[Service]\n%s\n' "$2" >"/etc/systemd/system/rawview@$1.service.d/passphrase.conf"
    systemctl daemon-reload
}

# shown NAME: it starts, shows the disk, holds its passphrase nowhere where others could see it, and stops.
shown() {
    start "$1"
    is_shown "$@"
}

is_shown() {
    local pid
    cmp /srv/view $images/disk || fail "the view of $1"
    for pid in "$(main_pid "$1")" "$(worker_pid "$1")"; do
        ! grep -q -a -F -f $passphrase "/proc/$pid/cmdline" "/proc/$pid/environ" || fail "process $pid shows the passphrase"
    done
    stop "$1"
    ok "$2"
}

test_credentials() {
    locked plain
    install -m 600 $passphrase /etc/rawview/plain.passphrase
    drop_in plain LoadCredential=rawview.passphrase:/etc/rawview/plain.passphrase
    shown plain "a plain credential"

    locked sealed
    systemd-creds encrypt --with-key=host --name=rawview.passphrase $passphrase /etc/rawview/sealed.cred
    ! grep -q -a -F -f $passphrase /etc/rawview/sealed.cred || fail "it is not encrypted"
    drop_in sealed LoadCredentialEncrypted=rawview.passphrase:/etc/rawview/sealed.cred
    shown sealed "an encrypted credential"
}

test_generated() {
    mkdir -m 700 /etc/credstore /etc/credstore.encrypted
    locked store
    install -m 600 $passphrase /etc/credstore/rawview.store.passphrase
    locked sealed-store
    cp /etc/rawview/sealed.cred /etc/credstore.encrypted/rawview.sealed-store.passphrase
    systemctl daemon-reload
    shown store "a plain credential that the generator found"
    shown 'sealed\x2dstore' "an encrypted credential that the generator found"
}

test_files() {
    locked file KeyFile=$passphrase
    shown file "a key file"
    mkdir -m 700 /etc/rawview/keys.d
    install -m 600 $passphrase /etc/rawview/keys.d/named.key
    locked named
    shown named "a key beside the descriptors"
    # In front of the credential, whatever it is.
    echo wrong >/etc/rawview/wrong.key
    locked plain KeyFile=/etc/rawview/wrong.key
    refused plain 77 "a.locked: locked: wrong passphrase (from KeyFile=/etc/rawview/wrong.key; the newline at its end counts"
    is "$(property plain NRestarts)" 0 "tries of a wrong passphrase"
    journalctl --sync
    journalctl -x --boot --no-pager --identifier=rawviewd >/tmp/explained
    grep -q -F 'The passphrase of /srv/images/a.locked is missing or wrong' /tmp/explained || fail "the journal does not explain it"
    chown nobody /etc/rawview/keys.d/named.key
    refused named 77 "no passphrase: /etc/rawview/keys.d/named.key: "
}

# Somebody is asked: SOCKET is where the answer goes.
asked() {
    local files=("$asking"/ask.*)
    [ -e "${files[0]}" ] || return 1
    question=$(cat "${files[0]}") || return 1
    socket=$(sed -n 's/^Socket=//p' <<<"$question")
    [ -S "$socket" ] && [ "$socket" != "${answered:-}" ]
}

answer() {
    wait_for 20 asked
    has "$question" "$1" "question"
    answered=$socket
    /lib/systemd/systemd-reply-password 1 "$socket"
}

status_is() { [[ $(property "$1" StatusText) == "$2" ]]; }

test_asked() {
    locked ask
    systemctl start --no-block rawview@ask
    wait_for 20 asked
    has "$question" 'Id=rawview:ask' "question"
    has "$question" 'Icon=drive-harddisk' "question"
    status_is ask "$images/a.locked: a passphrase is awaited (systemd-tty-ask-password-agent takes it)" || fail "$(property ask StatusText)"
    # It does not wait for ever.
    local left=$(($(sed -n 's/^NotAfter=//p' <<<"$question") / 1000000 - $(cut -d. -f1 /proc/uptime)))
    ((left >= 60 && left <= 91)) || fail "it waits for $left seconds"
    answer "Message=Passphrase of $images/a.locked (test-key):" < <(printf wr0ng-Gr0undhog)
    wait_for 20 asked
    local pid
    pid=$(pgrep -f systemd-ask-password)
    ! grep -q -a Gr0undhog "/proc/$pid/cmdline" "/proc/$pid/environ" || fail "systemd-ask-password shows the wrong one"
    is "$(tr '\0' '\n' <"/proc/$pid/environ" | cut -d= -f1 | sort | paste -sd,)" LC_ALL,PATH "environment of systemd-ask-password"
    answer "Message=That was wrong. Passphrase of $images/a.locked (test-key):" <$passphrase
    wait_for 20 state_is ask active
    is "$(pgrep -f systemd-ask-password || true)" "" "processes left"
    is "$(find $asking -name 'ask.*')" "" "questions left"
    is_shown ask "a person, who errs once"
}

test_refused_to_answer() {
    systemctl start --no-block rawview@ask
    wait_for 20 asked
    answered=$socket
    /lib/systemd/systemd-reply-password 0 "$socket" </dev/null
    wait_for 20 state_is ask failed
    is "$(property ask ExecMainStatus)" 77 "exit status"
    is "$(property ask NRestarts)" 0 "restarts"
    wait_for 5 status_says ask "a.locked: locked: no passphrase (systemd-ask-password got no answer): KeyFile= names a file that holds it, or it lies in /etc/rawview/keys.d/ask.key, or LoadCredential="
    systemctl reset-failed rawview@ask
    ok "a person who does not answer"
}

test_stopped() {
    systemctl start --no-block rawview@ask
    wait_for 20 asked
    systemctl stop rawview@ask
    is "$(state ask)" inactive "state"
    is "$(property ask Result)" success "result"
    is "$(find $asking -name 'ask.*')" "" "questions left"
    is "$(pgrep -f systemd-ask-password || true)" "" "processes left"
    ok "a question that is taken back"
}

# Their service manager gives plain credentials, too; nobody is asked in the name of a user.
test_user() {
    local home=/home/u1 u1
    useradd --create-home u1
    loginctl enable-linger u1
    u1=(setpriv --reuid=u1 --regid=u1 --init-groups env -i --chdir=/ HOME="$home" PATH="$PATH" XDG_RUNTIME_DIR="/run/user/$(id -u u1)")
    wait_for 20 "${u1[@]}" systemctl --user is-active --quiet default.target
    mkdir -p /etc/systemd/user/rawview@.service.d
    printf '[Service]\nExecStart=\nExecStart=/usr/libexec/rawview-locked/rawviewd %%I\n' >/etc/systemd/user/rawview@.service.d/locked.conf
    install -d -o u1 -g u1 -m 700 $home/.config $home/.config/rawview $home/.config/systemd $home/.config/systemd/user \
        $home/.config/systemd/user/rawview@mine.service.d
    install -o u1 -g u1 -m 600 $images/a.locked $passphrase $home/
    printf '[Image]\nPath=%%h/a.locked\n' >$home/.config/rawview/mine.image
    printf '[Service]\nLoadCredential=rawview.passphrase:%s\n' $home/passphrase >$home/.config/systemd/user/rawview@mine.service.d/passphrase.conf
    chown -R u1:u1 $home/.config
    "${u1[@]}" systemctl --user daemon-reload
    "${u1[@]}" systemctl --user start rawview@mine || fail "rawview@mine of u1"
    "${u1[@]}" cmp $home/a.locked $images/disk || fail "the view of u1"
    "${u1[@]}" systemctl --user stop rawview@mine
    rm $home/.config/systemd/user/rawview@mine.service.d/passphrase.conf
    "${u1[@]}" systemctl --user daemon-reload
    ! "${u1[@]}" systemctl --user start rawview@mine 2>/dev/null || fail "rawview@mine of u1 started"
    is "$("${u1[@]}" systemctl --user show -P ExecMainStatus rawview@mine)" 77 "exit status"
    is "$("${u1[@]}" systemctl --user show -P StatusText rawview@mine)" "/home/u1/a.locked: locked: no passphrase (there is nobody to ask): KeyFile= names a file that holds it, \
or it lies in $home/.config/rawview/keys.d/mine.key, or LoadCredential=rawview.passphrase:FILE stands in a drop-in of the unit" "status"
    is "$(find $asking -name 'ask.*')" "" "questions"
    ok "a service of an ordinary user"
}

test_nothing_said() {
    journalctl --sync
    ! journalctl --boot --no-pager -o export | grep -q -a Gr0undhog || fail "the journal shows a passphrase"
    ok "the journal knows no passphrase"
}

test_credentials
test_generated
test_files
test_asked
test_refused_to_answer
test_stopped
test_user
test_nothing_said
