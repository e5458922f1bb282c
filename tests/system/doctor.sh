#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What rawview doctor says of units that have failed, of the system and of a user, and that what it says mends them.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/images
cp -r /payload/images $images
mkdir -p /etc/rawview /etc/systemd/system/rawview@.service.d
systemd-sysusers
printf '[Service]\nRestart=no\n' >/etc/systemd/system/rawview@.service.d/once.conf
systemctl daemon-reload

# says UNIT WORDS…: what is wrong with it, all in its line.
says() {
    local unit=$1 line word
    shift
    ! rawview doctor >/tmp/out || fail "status 0: $(cat /tmp/out)"
    line=$(grep "^bad  $unit: " /tmp/out) || fail "nothing of $unit: $(cat /tmp/out)"
    for word in "$@"; do
        has "$line" "$word" "$unit"
    done
}
# mend ABOUT: the line beneath: what is to be typed of it, without a remark in brackets.
mend() { grep -FA1 "bad  $1: " /tmp/out | sed -n '2s/^     -> //p' | sed 's/^.*, then: //; s/   (.*//'; }
words_are_there() {
    rawview doctor >/tmp/out || true
    grep -q "^bad  $1: .*$2" /tmp/out
}
# The journal hears a unit's words a moment after its end.
wait_for_words() {
    local left=100
    until words_are_there "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || fail "doctor does not say '$2' of $1: $(cat /tmp/out; journalctl -o verbose -u "$1")"
        sleep 0.1
    done
}

rawview doctor || fail "something is in the way already"
has "$(rawview doctor -v)" 'ok   units: none has failed' "the manager"
ok "nothing"

describe gone '[Image]' "Path=$images/gone.qcow2"
! systemctl start rawview@gone 2>/dev/null || fail "rawview@gone started"
wait_for_words rawview@gone.service 'gone.qcow2: does not exist'
says rawview@gone.service 'exit-code, status 66 (there is no image)'
says gone.image 'cannot be found'
cp $images/web.qcow2 $images/gone.qcow2
has "$(grep -A1 '^bad  gone.image' /tmp/out)" 'the image put there, or Path= in /etc/rawview/gone.image corrected' "what mends the descriptor"
eval "$(mend rawview@gone.service)"
rawview doctor || fail "still in the way"
stop gone
ok "an image that was missing"

describe broken '[Image]' "Path=$images/broken.qcow2"
! systemctl start rawview@broken 2>/dev/null || fail "rawview@broken started"
wait_for_words rawview@broken.service l1_size
says rawview@broken.service 'status 65 (the image is damaged'
is "$(mend rawview@broken.service)" "rawview check $images/broken.qcow2; systemctl restart rawview@broken.service" "what mends it"
systemctl reset-failed rawview@broken
ok "a damaged image"

# What failed before its last start is no reason: the words of a run that went well end with it.
describe again '[Image]' "Path=$images/again.qcow2"
! systemctl start rawview@again 2>/dev/null || fail "rawview@again started"
wait_for_words rawview@again.service 'again.qcow2: does not exist'
cp $images/web.qcow2 $images/again.qcow2
systemctl reset-failed rawview@again
start again
systemctl kill --kill-whom=all --signal=KILL rawview@again
wait_for 10 state_is again failed
says rawview@again.service 'signal'
! grep -q 'does not exist' /tmp/out || fail "an error of yesterday: $(cat /tmp/out)"
eval "$(mend rawview@again.service)"
rawview doctor || fail "still in the way"
stop again
ok "an error of an earlier run"

describe bad '[Image]' "Path=$images/web.qcow2" '[View]' 'Writable=perhaps'
! systemctl start rawview@bad 2>/dev/null || fail "rawview@bad started"
wait_for_words rawview@bad.service Writable
says rawview@bad.service 'status 78 (bad descriptor)'
has "$(cat /tmp/out)" '/rawviewd --check bad; systemctl restart rawview@bad.service' "what mends it"
rm /etc/rawview/bad.image
systemctl reset-failed rawview@bad
ok "a bad descriptor"

# A user's own manager. Root's views are not its matter, nor its views root's.
useradd --create-home u1
loginctl enable-linger u1
uid=$(id -u u1)
wait_for 20 test -S "/run/user/$uid/bus"
as_user() {
    setpriv --reuid=u1 --regid=u1 --init-groups env -i --chdir=/home/u1 HOME=/home/u1 PATH="$PATH" USER=u1 \
        XDG_RUNTIME_DIR="/run/user/$uid" "$@"
}
as_user mkdir -p /home/u1/.config/rawview
printf '%s\n' '[Image]' 'Path=%h/my disk.qcow2' >"/home/u1/.config/rawview/my disk.image"
as_user rawview doctor -v >/tmp/out || true
has "$(cat /tmp/out)" 'ok   units of the user: none has failed' "the user's manager"
! as_user systemctl --user start 'rawview@my\x20disk' 2>/dev/null || fail "the user's unit started"
user_words_are_there() {
    as_user rawview doctor >/tmp/out || true
    grep -qF 'bad  rawview@my\x20disk.service: has failed: exit-code, status 66 (there is no image): ' /tmp/out &&
        grep -q '^bad  rawview@.*/home/u1/my disk.qcow2: does not exist' /tmp/out
}
wait_for 10 user_words_are_there || fail "$(cat /tmp/out)"
install -o u1 $images/web.qcow2 '/home/u1/my disk.qcow2'
line=$(grep -A1 '^bad  rawview@' /tmp/out | sed -n '2s/^     -> .*, then: //p' | sed 's/   (.*//')
is "$line" "systemctl --user restart 'rawview@my\\x20disk.service'" "what mends it"
rawview doctor || fail "the user's unit is in the way of root"
as_user bash -c "$line"
as_user rawview doctor || fail "still in the way of the user"
as_user systemctl --user stop 'rawview@my\x20disk'
ok "a unit of a user's"

# says_note ABOUT WORDS: a note, and what mends it is typed.
says_note() {
    rawview doctor >/tmp/out || fail "status 1: $(cat /tmp/out)"
    grep -qF "note $1: $2" /tmp/out || fail "no note '$1: $2': $(cat /tmp/out)"
}
mend_note() {
    eval "$(grep -FA1 "note $1: " /tmp/out | sed -n '2s/^     -> //p')"
    rawview doctor >/tmp/out || fail "status 1: $(cat /tmp/out)"
    ! grep -qF "note $1: " /tmp/out || fail "'$1' is not mended: $(cat /tmp/out)"
}
systemctl daemon-reload
userdel rawview
says_note 'user rawview' 'does not exist'
mend_note 'user rawview'
rm -r /etc/rawview
says_note /etc/rawview 'is missing'
mend_note /etc/rawview
systemctl mask rawview@.service 2>/dev/null
says_note /etc/systemd/system/rawview@.service 'is masked'
mend_note /etc/systemd/system/rawview@.service
ok "a user, a folder and a mask"

# Each piece of the installation, taken away. The package is put back from here; there is none in this machine.
where() { rawview doctor -v | sed -n "s|^ok   \(.*/$1\): is there|\1|p"; }
apt-get() { mv "$piece.away" "$piece"; }
mkdir -p /run/udev
while read -r piece lost; do
    mv "$piece" "$piece.away"
    about=$piece
    [ "${piece##*/}" != rawview@.service ] || about=rawview@.service
    says_note "$about" "is missing: $lost"
    has "$(grep -FA1 "note $about: " /tmp/out)" '     -> apt-get install --reinstall rawview' "what mends it"
    mend_note "$about"
done <<END
/usr/lib/systemd/system/rawview@.service systemctl start
/usr/lib/systemd/user/rawview@.service systemctl --user start
/usr/lib/systemd/system/rawview.target systemctl enable
/usr/lib/systemd/user/rawview.target systemctl --user enable
/usr/lib/systemd/system-generators/rawview-generator Automatic=yes shows nothing at boot
/usr/lib/systemd/user-generators/rawview-generator Automatic=yes shows nothing at login
/usr/lib/sysusers.d/rawview.conf systemd makes no user
/usr/lib/tmpfiles.d/rawview.conf nobody makes
$(where udev/rules.d/61-rawview.rules) loop devices over views
$(where udev/rawview-id) loop devices over views
/usr/share/polkit-1/rules.d/rawview.rules members of the group rawview
END
ok "pieces that are missing"

# A unit that starts something else.
printf '[Service]\nExecStart=/usr/libexec/rawview/rawviewd.old %%I\n' >/etc/systemd/system/rawview@.service
! rawview doctor >/tmp/out || fail "status 0: $(cat /tmp/out)"
has "$(cat /tmp/out)" 'bad  /etc/systemd/system/rawview@.service: starts /usr/libexec/rawview/rawviewd.old, which cannot be run' "a program that is gone"
printf '#!/bin/sh\necho rawviewd 0.0.9\n' >/usr/libexec/rawview/rawviewd.old
chmod 755 /usr/libexec/rawview/rawviewd.old
! rawview doctor >/tmp/out || fail "status 0: $(cat /tmp/out)"
has "$(cat /tmp/out)" 'bad  /etc/systemd/system/rawview@.service: starts a rawviewd of version 0.0.9, and this command is ' "another version"
printf '#!/bin/sh\nexec sleep 1000\n' >/usr/libexec/rawview/rawviewd.old
! timeout 60 rawview doctor >/tmp/out || fail "status 0: $(cat /tmp/out)"
has "$(cat /tmp/out)" 'does not say its version' "a program that hangs"
rm /etc/systemd/system/rawview@.service
rawview doctor || fail "still in the way"
ok "a unit of another version"

# Of AppArmor and SELinux this kernel has nothing: what is looked at is made, in a mount namespace of its own.
cat >/tmp/policy.sh <<'END'
set -euo pipefail
. /payload/lib.sh
note() {
    rawview doctor >/tmp/out || fail "status 1: $(cat /tmp/out)"
    grep -qF "note $1" /tmp/out || fail "no note '$1': $(cat /tmp/out)"
}
mend() { eval "$(grep -FA1 "note $1" /tmp/out | sed -n '2s/^     -> //p')"; }
content() {
    rawview doctor -v >/tmp/out || fail "status 1: $(cat /tmp/out)"
    has "$(cat /tmp/out)" "ok   $1" "what is well"
    ! grep -qE "^note (AppArmor|SELinux|/usr/libexec)" /tmp/out || fail "not mended: $(cat /tmp/out)"
}
mkdir -p /tmp/s/module/apparmor/parameters /tmp/s/kernel/security/apparmor/policy/profiles
mount --bind /tmp/s /sys
profiles=/sys/kernel/security/apparmor/policy/profiles
echo Y >/sys/module/apparmor/parameters/enabled
apparmor_parser() {
    local name
    for name in $(sed -n "s/^profile \([^ ]*\) .*/\1/p" "$2"); do
        mkdir $profiles/"$name.1"
        echo enforce >$profiles/"$name.1/mode"
    done
}
aa-enforce() { echo enforce >$profiles/"$1.1/mode"; }
note "AppArmor: has not loaded the profile rawviewd"
note "AppArmor: has not loaded the profile rawview-worker"
mend "AppArmor: has not loaded the profile rawviewd"
content "AppArmor: enforces the profile rawview-worker"
echo complain >$profiles/rawviewd.1/mode
note "AppArmor: only watches the profile rawviewd (complain)"
mend "AppArmor: only watches"
content "AppArmor: enforces the profile rawviewd"
as_u1() { setpriv --reuid=u1 --regid=u1 --clear-groups env HOME=/home/u1 rawview doctor -v >/tmp/user || true; }
as_u1
has "$(cat /tmp/user)" 'ok   AppArmor: enforces the profile rawviewd' "what a user sees"
chmod 700 $profiles
as_u1
has "$(cat /tmp/user)" 'ok   AppArmor: may have loaded the profiles or not: this user cannot see that' "what a user sees"
mv /etc/apparmor.d/rawview /etc/apparmor.d/rawview.away
note "/etc/apparmor.d/rawview: is missing"
mv /etc/apparmor.d/rawview.away /etc/apparmor.d/rawview
echo N >/sys/module/apparmor/parameters/enabled

# The kernel answers a context that it does not know with EINVAL, as this file does any text.
mkdir -p /sys/fs/selinux /usr/share/selinux/packages
echo 1 >/sys/fs/selinux/enforce
ln -s /proc/self/oom_score_adj /sys/fs/selinux/context
note "SELinux: has not loaded the module rawview"
has "$(cat /tmp/out)" "the package rawview-selinux" "where there is no module"
: >/usr/share/selinux/packages/rawview.pp
note "SELinux: has not loaded the module rawview"
semodule() { ln -sf /dev/null /sys/fs/selinux/context; }
restorecon() { setfattr -n security.selinux -v system_u:object_r:rawviewd_exec_t:s0 "$2/rawviewd"; }
mend "SELinux: has not loaded the module rawview"
content "SELinux: has the module rawview"
setfattr -n security.selinux -v system_u:object_r:bin_t:s0 /usr/libexec/rawview/rawviewd
note "/usr/libexec/rawview/rawviewd: has the label system_u:object_r:bin_t:s0"
mend "/usr/libexec/rawview/rawviewd: has the label"
content "SELinux: has the module rawview"
END
unshare --mount bash /tmp/policy.sh
setfattr -x security.selinux /usr/libexec/rawview/rawviewd
ok "AppArmor and SELinux"

# Nobody hangs when the manager gives no answer.
systemctl kill --signal=STOP dbus.service 2>/dev/null || true
status=0
timeout 60 rawview doctor --json >/tmp/out || status=$?
is $status 1 "status without the bus"
has "$(cat /tmp/out)" 'gives no answer within' "a bus that hangs"
systemctl kill --signal=CONT dbus.service 2>/dev/null || true
ok "a bus that hangs"
