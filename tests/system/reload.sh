#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `systemctl reload`: what a drop-in changes while a view is up, seen at once when the job has returned, what wants a restart,
# and that no descriptor, however broken, takes the view from those who read it.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/images
cp -r /payload/images $images
mkdir -p /etc/rawview
systemd-sysusers
known=$images/known.raw
view=$images/web.qcow2

# drop_in NAME LINE…
drop_in() {
    local name=$1
    shift
    mkdir -p "/etc/rawview/$name.image.d"
    printf '%s\n' "$@" >"/etc/rawview/$name.image.d/50-test.conf"
}

reload() {
    systemctl reload "rawview@$1" || fail "rawview@$1 was not reloaded"
    is "$(state "$1")" active "state after the reload"
}
looks() { is "$(stat -c '%U:%G %a' "$2")" "$3" "owner and mode after the reload of $1"; }
cache_size() { getfattr --absolute-names --only-values -n user.rawview.state "$1" | sed -n 's/.*"cache-size":\([0-9]*\).*/\1/p'; }

# said NAME SENTENCE: in the journal of the unit, since the last call of `since_now`.
since_now() { since=$(date '+@%s.%6N'); }
log_of() { journalctl --no-pager --quiet --output=cat --since="$since" --unit="rawview@$1"; }
is_said() { [[ $(log_of "$1") == *"$2"* ]]; }
said() { wait_for 10 is_said "$1" "$2"; }
unsaid() { ! is_said "$1" "$2" || fail "the journal says '$2'"; }

# Reads the view with the descriptor that it has opened at first, all the while, and ends with the first error.
read_steadily() {
    exec perl -e '
        open(my $view, "<", $ARGV[0]) or die "open: $!";
        my ($len, $rounds) = (-s $view, 0);
        $SIG{TERM} = sub { print "$rounds\n"; exit 0 };
        for (;; $rounds++) {
            for (my $at = 0; $at < $len; $at += 1 << 20) {
                sysseek($view, $at, 0) // die "seek: $!";
                my $n = sysread($view, my $bytes, 1 << 20);
                die defined $n ? "a short read at $at" : "read at $at: $!" unless $n;
                $n == (1 << 20) or $at + $n == $len or die "$n bytes at $at";
            }
        }' "$1"
}

test_at_once() {
    local round
    describe web '[Image]' "Path=$view"
    start web
    looks web $view "root:root 400"
    since_now
    drop_in web '[View]' 'Owner=nobody' 'Group=nogroup' 'Mode=0440' 'CacheSize=32M'
    reload web
    looks web $view "nobody:nogroup 440"
    is "$(cache_size $view)" $((32 << 20)) "size of the cache"
    setpriv --reuid=nobody --clear-groups cmp $view $known || fail "the new owner cannot read"
    said web "from now on Owner=65534, Group=65534, Mode=0440, CacheSize=32M"
    is "$(property web StatusText)" "web.qcow2 (qcow2, 32M, read-only) as $view" "status"
    # The kernel keeps what it knows of a file for a year, and systemd may take a reload for done too early: one round in
    # ten did, before there was something that waits.
    for round in $(seq 40); do
        drop_in web '[View]' 'Owner=nobody' "Mode=04$((round % 8))0"
        reload web
        looks web $view "nobody:root 4$((round % 8))0"
    done
    rm -r /etc/rawview/web.image.d
    reload web
    looks web $view "root:root 400"
    is "$(cache_size $view)" $((16 << 20)) "size of the cache"
    stop web
    ok "owner, group, mode, size of the cache"
}

# What the descriptor does not change is left as somebody has made it.
test_by_hand() {
    describe web '[Image]' "Path=$view" '[View]' 'Writable=yes'
    start web
    chmod 0640 $view
    chown :nogroup $view
    drop_in web '[View]' 'Owner=nobody' 'CacheSize=8M'
    reload web
    looks web $view "nobody:nogroup 640"
    drop_in web '[View]' 'Mode=0444'
    reload web
    looks web $view "root:nogroup 444"
    stop web
    rm -r /etc/rawview/web.image.d
    ok "what was changed by hand stays"
}

test_log_level() {
    describe web '[Image]' "Path=$view" '[View]' 'LogLevel=error'
    since_now
    start web
    drop_in web '[View]' 'LogLevel=info' 'Mode=0440'
    reload web
    drop_in web '[View]' 'LogLevel=info' 'Mode=0400'
    reload web
    said web "from now on Mode=0400"
    unsaid web "shown as"
    unsaid web "Mode=0440"
    stop web
    rm -r /etc/rawview/web.image.d
    ok "level of the log"
}

# What is told, and that the view is what it was.
test_restart() {
    : >/srv/other.raw
    describe web '[Image]' "Path=$view"
    start web
    since_now
    drop_in web '[View]' 'MountPoint=/srv/other.raw' '' 'Writable=yes' 'CacheSize=2G' '[Install]' 'Automatic=yes'
    reload web
    said web "/etc/rawview/web.image.d/50-test.conf:2: MountPoint= has changed: it takes effect when rawview@web is restarted"
    said web "/etc/rawview/web.image.d/50-test.conf:4: Writable= has changed: it takes effect when rawview@web is restarted"
    said web "50-test.conf:5: CacheSize= has changed to 2G, of which a view that is up takes 272M: it takes effect when"
    unsaid web "Automatic="
    has "$(property web StatusText)" "as $view; restart for MountPoint=, Writable=, CacheSize=" "status"
    looks web $view "root:root 400"
    is "$(findmnt -n -t fuse.rawview -o TARGET)" "$view" "views"
    cmp $view $known || fail "the view has changed"
    ! (: >>$view) 2>/dev/null || fail "the view can be written to"
    rm -r /etc/rawview/web.image.d
    reload web
    is "$(property web StatusText)" "web.qcow2 (qcow2, 32M, read-only) as $view" "status, when it is taken back"
    drop_in web '[View]' 'MountPoint=/srv/other.raw'
    systemctl restart rawview@web
    is "$(findmnt -n -t fuse.rawview -o TARGET)" /srv/other.raw "views after the restart"
    stop web
    rm -r /etc/rawview/web.image.d
    ok "what wants a restart is named"
}

# broken NAME SENTENCE: is said once more, and nothing else happens.
broken() {
    since_now
    reload web
    said web "$2"
    has "$(journalctl --no-pager --quiet --output=json --since="$since" --unit=rawview@web \
        "MESSAGE_ID=$(sed -n 's/^#define EVENT_ID_DESCRIPTOR "\(.*\)"/\1/p' /payload/event-id.h)")" '"RAWVIEW_INSTANCE":"web"' "entry of the journal"
    has "$(property web StatusText)" "; the last reload failed" "status"
    looks web $view "root:root 440"
    cmp $view $known || fail "the view has changed"
    ok "descriptor: $1"
}

test_broken() {
    local reader
    describe web '[Image]' "Path=$view" '[View]' 'Mode=0440'
    start web
    read_steadily $view >/tmp/read 2>&1 &
    reader=$!
    drop_in web '[View]' '' 'Mode=0999'
    broken "a wrong value" "/etc/rawview/web.image.d/50-test.conf:3: Mode: '0999' is not a file mode"
    drop_in web '[View]' 'Mode=0400' 'Growable=yes'
    broken "a contradiction" "/etc/rawview/web.image: Growable=yes (--growable) needs Writable=yes"
    drop_in web '[View]' 'Owner=whoever'
    broken "an owner whom nobody knows" "50-test.conf:2: Owner: there is no user 'whoever'"
    rm -r /etc/rawview/web.image.d
    chmod 0666 /etc/rawview/web.image
    broken "others can write it" "/etc/rawview/web.image"
    mv /etc/rawview/web.image /srv/
    broken "missing" "there is no web.image in /etc/rawview"
    ln -s /dev/null /etc/rawview/web.image
    broken "masked" "/etc/rawview/web.image: is masked"
    rm /etc/rawview/web.image
    install -m 0644 /srv/web.image /etc/rawview/
    since_now
    reload web
    said web "says nothing new"
    is "$(property web StatusText)" "web.qcow2 (qcow2, 32M, read-only) as $view" "status, when it is mended"
    kill -TERM $reader
    wait $reader || fail "who read all the while: $(cat /tmp/read)"
    [ "$(cat /tmp/read)" -gt 0 ] || fail "nobody has read"
    is "$(property web NRestarts)" 0 "restarts"
    stop web
    ok "a broken descriptor changes nothing, and who reads sees nothing of it"
}

# A signal that comes before the view is up is neither lost nor the end: this one is there before the first line of main().
test_early() {
    local folder=/run/systemd/system/rawview@web.service.d
    mkdir -p $folder
    cat >$folder/early.conf <<'EOF'
[Service]
ExecStart=
ExecStart=perl -MPOSIX -e 'sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGHUP)); kill HUP => $$$$; exec @ARGV' /usr/libexec/rawview/rawviewd web
EOF
    systemctl daemon-reload
    describe web '[Image]' "Path=$view"
    since_now
    start web
    said web "says nothing new"
    wait_for 10 state_is web active
    is "$(property web NRestarts)" 0 "restarts"
    cmp $view $known || fail "the view"
    stop web
    rm -r $folder
    systemctl daemon-reload
    ok "SIGHUP before the view is up"
}

# An image of a user's names a file of root's: as long as root alone sees the view, that may be. Afterwards it may not be
# shown to that user.
test_deputy() {
    install -d -m 0755 -o nobody /srv/theirs
    install -m 0600 $images/base.qcow2 /srv/theirs/base.qcow2
    install -m 0600 -o nobody $images/chain.qcow2 /srv/theirs/chain.qcow2
    describe theirs '[Image]' 'Path=/srv/theirs/chain.qcow2' 'References=directory'
    start theirs
    since_now
    drop_in theirs '[View]' 'Owner=nobody' 'CacheSize=8M'
    reload theirs
    said theirs "Owner= has changed, but the image names files that were opened for root alone: it takes effect when rawview@theirs is"
    looks theirs /srv/theirs/chain.qcow2 "root:root 400"
    is "$(cache_size /srv/theirs/chain.qcow2)" $((8 << 20)) "size of the cache"
    stop theirs
    ok "what was opened for root alone stays with root"
}

# A user's own, without anything of root's.
test_user() {
    local uid disk
    useradd --create-home u1
    uid=$(id -u u1)
    disk=/home/u1/web.qcow2
    loginctl enable-linger u1
    wait_for 20 test -S "/run/user/$uid/bus"
    install -o u1 -m 0600 $view $disk
    u1() { setpriv --reuid=u1 --regid=u1 --init-groups env -i --chdir=/ HOME=/home/u1 PATH="$PATH" XDG_RUNTIME_DIR="/run/user/$uid" "$@"; }
    u1 mkdir -p /home/u1/.config/rawview/web.image.d
    printf '%s\n' '[Image]' 'Path=%h/web.qcow2' | u1 tee /home/u1/.config/rawview/web.image >/dev/null
    u1 systemctl --user start rawview@web || fail "the user's view did not start"
    is "$(u1 stat -c '%U %a' $disk)" "u1 400" "the user's view"
    since_now
    # Without user_allow_other nobody else gets in, so owner and mode for others would be a lie.
    printf '%s\n' '[View]' 'Mode=0444' 'CacheSize=8M' | u1 tee /home/u1/.config/rawview/web.image.d/a.conf >/dev/null
    u1 systemctl --user reload rawview@web || fail "the user's view was not reloaded"
    is "$(u1 stat -c '%U %a' $disk)" "u1 400" "the user's view, with a mode for others"
    printf '%s\n' '[View]' 'Mode=0600' | u1 tee /home/u1/.config/rawview/web.image.d/a.conf >/dev/null
    u1 systemctl --user reload rawview@web || fail "the user's view was not reloaded"
    is "$(u1 stat -c '%U %a' $disk)" "u1 600" "the user's view, after the reload"
    has "$(journalctl --no-pager --quiet --output=cat --since="$since" _UID="$uid" --identifier=rawviewd)" \
        "a.conf:2: Mode= has changed, but only the owner of the view can use it" "the user's journal"
    u1 systemctl --user stop rawview@web || fail "the user's view did not stop"
    ok "a user's own view"
}

test_at_once
test_by_hand
test_log_level
test_restart
test_broken
test_early
test_deputy
test_user
