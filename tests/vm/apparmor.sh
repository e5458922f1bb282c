#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Both programs under their AppArmor profiles, enforced from boot on: all that is ordinary works and nothing of it is refused, and
# what the profiles are there for is refused, each time with a line in the audit log.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/var/lib/images
programs=/usr/libexec/rawview

refusals() { journalctl --boot --no-pager --output=cat --since="$since" | grep -a 'AVC apparmor="DENIED"' || true; }
forget_refusals() {
    # The journal has whole seconds.
    sleep 1.1
    since=$(date '+%F %T')
}

# Nothing was refused so far. That refusals are seen at all is shown by what follows.
nothing_refused() {
    journalctl --sync
    is "$(refusals)" "" "refused in ordinary work: $1"
}

# was_refused PATTERN: the audit log has it. A line may come late.
refusals_have() { refusals | grep -aqE "$1"; }
was_refused() {
    wait_for 10 refusals_have "$1"
    ok "refused: $1"
}

# mended_by_doctor WORDS: rawview doctor names the refusal, what it says against it is typed, and then it has nothing to say of it.
refusal_is_named() {
    rawview doctor >/tmp/said || true
    grep -A1 "^bad  AppArmor: has refused $1" /tmp/said >/tmp/named
}
mended_by_doctor() {
    wait_for 10 refusal_is_named "$1"
    eval "$(sed -n '2s/^     -> //p' /tmp/named)"
    ! refusal_is_named "$1" || fail "rawview doctor still says: $(cat /tmp/named)"
    ok "mended by what rawview doctor says: $1"
}

profile_of() { cat "/proc/$1/attr/current"; }

test_early() {
    local ours theirs
    ours=$(systemctl show -P ActiveEnterTimestampMonotonic rawview@early.service)
    theirs=$(systemctl show -P ActiveEnterTimestampMonotonic apparmor.service)
    [ "$ours" -lt "$theirs" ] || fail "apparmor.service is earlier than a view at boot: $theirs, $ours"
    is "$(profile_of "$(main_pid early)")" "rawviewd (enforce)" "profile of the supervisor of a view at boot"
    is "$(profile_of "$(worker_pid early)")" "rawview-worker//&rawviewd (enforce)" "profile of the worker of a view at boot"
    stop early
    ok "a view from boot on is confined"
}

test_profiles() {
    has "$(cat /sys/kernel/security/apparmor/profiles)" "rawviewd (enforce)" "profiles of the kernel"
    has "$(cat /sys/kernel/security/apparmor/profiles)" "rawview-worker (enforce)" "profiles of the kernel"
    rawview doctor -v >/tmp/doctor || true
    has "$(cat /tmp/doctor)" "ok   AppArmor: enforces the profile rawview-worker" "rawview doctor"
    setpriv --reuid=nobody --clear-groups rawview doctor -v >/tmp/doctor || true
    has "$(cat /tmp/doctor)" "ok   AppArmor: enforces the profile rawviewd" "rawview doctor, as a user"
    start web
    is "$(profile_of "$(main_pid web)")" "rawviewd (enforce)" "profile of the supervisor"
    is "$(profile_of "$(worker_pid web)")" "rawview-worker//&rawviewd (enforce)" "profile of the worker"
    stop web
    ok "both programs are confined"
}

test_writing() {
    cp $images/base.qcow2 $images/written.qcow2
    describe written '[Image]' "Path=$images/written.qcow2" '[View]' 'Writable=yes' 'Growable=yes' 'Owner=nobody' 'Group=nogroup'
    start written
    is "$(stat -c '%U %G' $images/written.qcow2)" "nobody nogroup" "owner and group"
    dd if=/usr/bin/perl of=$images/written.qcow2 bs=1M seek=33 conv=notrunc,fsync status=none
    fallocate --punch-hole --offset 1M --length 4M $images/written.qcow2
    systemctl kill --signal=HUP --kill-whom=main rawview@written
    sleep 1
    is "$(state written)" active "after SIGHUP"
    stop written
    rawview check $images/written.qcow2 >/dev/null || fail "the image that was written to"
    ok "a qcow2 is written to, grown, punched and reloaded"
}

test_overlays() {
    local before
    before=$(sha256sum <$images/base.qcow2)
    mkdir -p /run/rawview
    for overlay in $images/kept.qcow2 $images/kept.qcow2 volatile; do
        describe over '[Image]' "Path=$images/base.qcow2" 'AssertUnchanged=yes' '[View]' "Overlay=$overlay" 'MountPoint=/run/rawview/over'
        start over
        dd if=/usr/bin/perl of=/run/rawview/over bs=1M conv=notrunc,fsync status=none
        stop over
    done
    is "$(sha256sum <$images/base.qcow2)" "$before" "the image below the overlays"
    rawview check $images/kept.qcow2 >/dev/null || fail "the overlay that was kept"
    ok "overlays are made, used again and thrown away"
}

# QEMU's lock of one who writes, held by another user's program.
test_lock_holder() {
    local answer
    chmod 644 $images/web.qcow2
    coproc HOLDER {
        # shellcheck disable=SC2016
        setpriv --reuid=nobody --clear-groups perl -e '
            $| = 1;
            open(my $image, "<", $ARGV[0]) or die "$!";
            my $lock = pack("s s x4 q q i x4", 0, 0, 101, 1, 0);
            fcntl($image, 37, $lock) or die "$!";
            print "held\n";
            <STDIN>' $images/web.qcow2
    }
    read -r -t 20 answer <&"${HOLDER[0]}"
    is "$answer" held "the holder"
    ! systemctl start rawview@web 2>/dev/null || fail "rawview@web started"
    wait_for 10 status_says web "is in use by perl"
    systemctl stop rawview@web
    echo >&"${HOLDER[1]}"
    wait "$HOLDER_PID" || fail "the holder"
    ok "the holder of a lock is named"
}

as_user() { runuser -u user -- "$@"; }
user_view() {
    as_user rawview mount /home/user/web.qcow2 | cat
    as_user cmp /home/user/web.qcow2 $images/known.raw || fail "a user's view"
    as_user rawview umount /home/user/web.qcow2
    not_mounted /home/user/web.qcow2
}
test_user() {
    useradd --create-home user
    install -o user $images/web.qcow2 /home/user/
    user_view
    ok "a user's view, with fusermount3"
}

# With the profile that newer Ubuntu has for fusermount3.
test_user_with_fusermount3_confined() {
    cp /payload/fusermount3.profile /etc/apparmor.d/fusermount3
    apparmor_parser --replace /etc/apparmor.d/fusermount3
    forget_refusals
    ! as_user rawview mount /home/user/web.qcow2 2>&1 | cat || fail "the profile of fusermount3 lets a view pass"
    was_refused 'operation="(open|mount)".* profile="fusermount3".* name="/home/user/web.qcow2"'
    mended_by_doctor 'fusermount3 .* of /home/user/web.qcow2, by the profile fusermount3'
    forget_refusals
    user_view
    nothing_refused "a user's view with a confined fusermount3"
    # What a profile has refused that is not there any more stands in nobody's way.
    forget_refusals
    echo >/etc/apparmor.d/local/fusermount3
    apparmor_parser --replace /etc/apparmor.d/fusermount3
    ! as_user rawview mount /home/user/web.qcow2 >/tmp/said 2>&1 || fail "the profile of fusermount3 lets a view pass"
    wait_for 10 refusal_is_named 'fusermount3 .* of /home/user/web.qcow2'
    apparmor_parser --remove /etc/apparmor.d/fusermount3
    ! refusal_is_named fusermount3 || fail "rawview doctor still says: $(cat /tmp/named)"
    ok "the lines for fusermount3 make the difference"
}

# What an administrator adds.
test_more_folders() {
    mkdir -p /data/vm
    cp $images/web.qcow2 /data/vm/
    describe data '[Image]' 'Path=/data/vm/web.qcow2'
    forget_refusals
    refused data 77 "/data/vm/web.qcow2: cannot open it: Permission denied (AppArmor may be what forbids it"
    was_refused 'operation="open".* profile="rawviewd".* name="/data/vm/web.qcow2"'
    mended_by_doctor 'rawviewd .* open of /data/vm/web.qcow2, by the profile rawviewd'
    forget_refusals
    start data
    stop data
    nothing_refused "another folder"
    ok "a folder that the administrator has added"
}

# What the supervisor is led to, by a descriptor.
test_supervisor() {
    forget_refusals
    describe shadow '[Image]' 'Path=/etc/shadow' 'Format=raw' '[View]' 'MountPoint=/srv/view'
    refused shadow 77 "/etc/shadow"
    was_refused 'operation="open".* profile="rawviewd".* name="/etc/shadow"'
    describe motd '[Image]' "Path=$images/known.raw" 'Format=raw' '[View]' 'MountPoint=/etc/motd'
    refused motd 77 "/etc/motd"
    was_refused 'operation="mount".* profile="rawviewd".* name="/etc/motd"'
}

# What somebody does who has taken over a program: perl in its place, with all that the program itself may do. Each line that is
# printed is compared with what is expected.
# shellcheck disable=SC2016
attempts='
    sub attempt { my ($what, $done) = @_; print "$what: ", $done ? "done" : $! == 1 || $! == 13 ? "refused" : "$!", "\n" }
    sub call { my ($number, @arguments) = @_; syscall($number, @arguments) >= 0 }
    $| = 1;
'
# shellcheck disable=SC2016
supervisor_attempts='
    attempt("reads /etc/shadow", open(my $a, "<", "/etc/shadow"));
    attempt("writes a descriptor", open(my $b, ">", "/etc/rawview/new.image"));
    attempt("writes to /etc/cron.d", open(my $c, ">", "/etc/cron.d/new"));
    attempt("reads memory", open(my $d, "<", "/dev/mem"));
    attempt("kills PID 1", kill(9, 1));
    attempt("traces PID 1", call(101, 16, 1, 0, 0));
    attempt("has a network", socket(my $e, 2, 2, 0));
    attempt("mounts a tmpfs over /srv", call(165, "tmpfs", "/srv", "tmpfs", 0, 0));
    attempt("mounts a view with set-user-ID programs", call(165, "x", "/srv/view", "fuse.rawview", 4 + 8, "fd=3,rootmode=100000,user_id=0,group_id=0"));
    attempt("binds a file over /etc/motd", call(165, "/srv/view", "/etc/motd", "", 4096, 0));
    attempt("remounts /", call(165, "", "/", "", 32 + 1, 0));
    attempt("loads a module", call(175, "x", 1, ""));
    attempt("gets rid of the profile", open(my $f, ">", "/proc/self/attr/exec") && syswrite($f, "exec unconfined"));
    attempt("runs true", exec("/usr/bin/true"));
    attempt("runs a shell", exec("/bin/sh", "-c", ":"));
    attempt("runs fusermount3", exec("/usr/bin/fusermount3", "-V"));
    attempt("opens an image", open(my $g, "+<", "/var/lib/images/known.raw"));
    exec("/usr/libexec/rawview/rawview-worker", "-e", $ARGV[0]) or print "no worker: $!\n";
'
supervisor_expected='reads /etc/shadow: refused
writes a descriptor: refused
writes to /etc/cron.d: refused
reads memory: refused
kills PID 1: refused
traces PID 1: refused
has a network: refused
mounts a tmpfs over /srv: refused
mounts a view with set-user-ID programs: refused
binds a file over /etc/motd: refused
remounts /: refused
loads a module: refused
gets rid of the profile: refused
runs true: refused
runs a shell: refused
runs fusermount3: refused
opens an image: done'
# shellcheck disable=SC2016
worker_attempts='
    attempt("worker reads a descriptor", open(my $a, "<", "/etc/rawview/web.image"));
    attempt("worker reads /etc/passwd", open(my $b, "<", "/etc/passwd"));
    attempt("worker reads /etc/shadow", open(my $c, "<", "/etc/shadow"));
    attempt("worker reads the table of mounts", open(my $d, "<", "/proc/self/mountinfo"));
    attempt("worker writes to /etc", open(my $e, ">", "/etc/new"));
    attempt("worker mounts a view", call(165, "x", "/srv/view", "fuse.rawview", 2 + 4 + 8 + 1024, "fd=3,rootmode=100000,user_id=0,group_id=0"));
    attempt("worker unmounts", call(166, "/dev/shm", 2));
    attempt("worker kills PID 1", kill(9, 1));
    attempt("worker has a network", socket(my $f, 2, 2, 0));
    attempt("worker opens what others have closed", call(257, -100, "/srv/closed/file", 0));
    attempt("worker runs true", exec("/usr/bin/true"));
    attempt("worker runs fusermount3", exec("/usr/bin/fusermount3", "-V"));
    attempt("worker runs itself", exec("/usr/libexec/rawview/rawview-worker", "-e", "1"));
    attempt("worker opens an image", open(my $g, "+<", "/var/lib/images/known.raw"));
'
worker_expected='worker reads a descriptor: refused
worker reads /etc/passwd: refused
worker reads /etc/shadow: refused
worker reads the table of mounts: refused
worker writes to /etc: refused
worker mounts a view: refused
worker unmounts: refused
worker kills PID 1: refused
worker has a network: refused
worker opens what others have closed: refused
worker runs true: refused
worker runs fusermount3: refused
worker runs itself: refused
worker opens an image: done'

# As rawviewd asks for a passphrase: with perl in its place, and an answer from outside.
is_asked() { grep -qs ^Socket= /run/systemd/ask-password/ask.*; }
test_asking() {
    local socket asked
    forget_refusals
    LC_ALL=C setpriv --no-new-privs $programs/rawviewd -e 'exec("/usr/bin/systemd-ask-password", "--no-tty", "--timeout=60", "--", "Passphrase")' \
        </dev/null >/tmp/answer &
    asked=$!
    wait_for 30 is_asked
    socket=$(sed -n 's/^Socket=//p' /run/systemd/ask-password/ask.*)
    echo secret | /lib/systemd/systemd-reply-password 1 "$socket"
    wait $asked || fail "systemd-ask-password"
    is "$(cat /tmp/answer)" secret "the answer"
    nothing_refused "asking for a passphrase"
    ok "a passphrase is asked for"
}

# What the audit log says of that: an operation, the profile that refused it, and on what.
taken_over_refusals='open rawviewd .*name="/etc/shadow"
mknod rawviewd .*name="/etc/rawview/new.image"
mknod rawviewd .*name="/etc/cron.d/new"
open rawviewd .*name="/dev/mem"
signal rawviewd .*signal=kill peer="unconfined"
ptrace rawviewd .*requested_mask="trace"
create rawviewd .*family="inet"
mount rawviewd .*name="/srv/".*fstype="tmpfs"
mount rawviewd .*name="/srv/view".*fstype="fuse.rawview"
mount rawviewd .*name="/etc/motd".*flags="rw, bind"
mount rawviewd .*name="/".*flags="ro, remount"
capable rawviewd .*capname="sys_module"
open rawviewd .*name="/proc/[0-9]*/attr/exec"
exec rawviewd .*name="/usr/bin/true"
exec rawviewd .*name="/usr/bin/dash"
exec rawviewd .*name="/usr/bin/fusermount3".*target="unconfined"
open rawview-worker .*name="/etc/rawview/web.image"
open rawview-worker .*name="/etc/passwd"
open rawview-worker .*name="/etc/shadow"
open rawview-worker .*name="/proc/[0-9]*/mountinfo"
mknod rawview-worker .*name="/etc/new"
mount rawview-worker .*name="/srv/view"
umount rawview-worker .*name="/dev/shm/"
signal rawview-worker .*signal=kill peer="unconfined"
create rawview-worker .*family="inet"
capable rawview-worker .*capname="dac_read_search"
exec rawview-worker .*name="/usr/bin/true"
exec rawview-worker .*name="/usr/bin/fusermount3"
exec rawview-worker .*name="/usr/libexec/rawview/rawview-worker"'

test_taken_over() {
    local said seen operation profile what
    install -d -m 700 -o nobody /srv/closed
    install -m 600 -o nobody /dev/null /srv/closed/file
    forget_refusals
    said=$(LC_ALL=C setpriv --no-new-privs $programs/rawviewd -e "$attempts$supervisor_attempts" "$attempts$worker_attempts" 2>&1 </dev/null | cat) || true
    is "$said" "$supervisor_expected"$'\n'"$worker_expected" "what could be done"
    was_refused 'operation="exec".* profile="rawview-worker" name="/usr/libexec/rawview/rawview-worker"'
    seen=$(refusals)
    while read -r operation profile what; do
        grep -qE "operation=\"$operation\".* profile=\"$profile\"$what" <<<"$seen" || fail "no line in the audit log: $operation $profile $what; there are: $seen"
    done <<<"$taken_over_refusals"
    ok "who takes over a program is held by its profile: $(wc -l <<<"$taken_over_refusals") refusals in the audit log"
    ! said=$(rawview doctor) || fail "the doctor sees nothing in the way"
    has "$said" "exec of /usr/libexec/rawview/rawview-worker, by the profile rawview-worker" "the doctor"
    ok "the doctor has read it"
}

mkdir -p /srv && : >/srv/view
since=@0
test_early
bash /payload/main-job.sh
test_profiles
test_writing
test_overlays
test_lock_holder
test_user
nothing_refused "the main job, writing, overlays, locks, a user's view"
ok "nothing was refused in ordinary work"
test_user_with_fusermount3_confined
test_more_folders
test_supervisor
cp /usr/bin/perl $programs/rawviewd
cp /usr/bin/perl $programs/rawview-worker
test_asking
test_taken_over
