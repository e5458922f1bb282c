#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Debian's package on a machine that has never had rawview: apt installs it, and views can be started at once; it is upgraded under a view
# that is open, removed and purged.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/var/lib/images
known=$images/known.raw
export DEBIAN_FRONTEND=noninteractive

apt_says() { apt-get -q -y "$@" >/run/apt.log 2>&1 || { cat /run/apt.log; fail "apt-get $*"; }; }
# What is in the file system, but for what dpkg and apt note for themselves, logs, and what goes with the next boot.
file_system() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /results -o -path /payload -o -path /var/lib/dpkg \
        -o -path /var/lib/apt -o -path /var/cache -o -path /var/log -o -path /var/lib/images -o -path /var/tmp -o -path /etc/rawview \) -prune -o \
        ! -path '/var/lib/systemd/*' -printf '%p %y %m %u %g %l\n' -o -path '*rawview*' -printf '%p %y %m %u %g %l\n' | sort
    find /etc -xdev -type f ! -path '/etc/rawview/*' -exec sha256sum {} + | sort -k2
}
installed() { dpkg-query -W -f '${Version}' rawview; }

test_install() {
    ! command -v rawview >/dev/null || fail "rawview is there before it is installed"
    cp -r /payload/images $images
    file_system >/run/before
    # Nothing else is in reach: what it depends on is here, and nothing has to be reloaded by hand afterwards.
    apt_says install /payload/debs/rawview_*[!t]_*.deb
    ! grep -i -E 'warning|error|failed' /run/apt.log || fail "what apt says while it installs"
    is "$(stat -c '%U %a' /etc/rawview)" "root 755" "/etc/rawview"
    getent passwd rawview >/dev/null || fail "no user rawview"
    getent group rawview-worker >/dev/null || fail "no group rawview-worker"
    describe web '[Image]' "Path=$images/web.qcow2"
    start web
    cmp $images/web.qcow2 $known || fail "the view differs from the disk"
    is "$(ps -o user= -p "$(worker_pid web)")" rawview "user of the worker"
    is "$(systemctl show -P NeedDaemonReload rawview@web)" no "NeedDaemonReload"
    stop web
    ok "apt install, and systemctl start"
}

# What autopkgtest runs. Only the one that says so may need root.
test_autopkgtest() {
    local script as
    useradd -m tester
    for script in $(sed -n 's/^Tests: //p' /payload/tests/control | tr ',' ' '); do
        as=(runuser -u tester --)
        ! sed -n "/^Tests: $script$/,/^$/p" /payload/tests/control | grep -q needs-root || as=()
        "${as[@]}" "/payload/tests/$script" $images/web.qcow2 $known || fail "debian/tests/$script"
        ok "debian/tests/$script"
    done
    userdel -r tester 2>/dev/null
}

# dpkg may call them again after an end at any place.
test_again() {
    local before
    start web
    before=$(main_pid web)
    apt_says install --reinstall /payload/debs/rawview_*[!t]_*.deb
    /var/lib/dpkg/info/rawview.postinst configure "$(installed)" || fail "postinst a second time"
    /var/lib/dpkg/info/rawview.prerm upgrade "$(installed)" || fail "prerm before an upgrade"
    /var/lib/dpkg/info/rawview.prerm failed-upgrade "$(installed)" || fail "prerm after an upgrade that failed"
    /var/lib/dpkg/info/rawview.postrm upgrade "$(installed)" || fail "postrm of an upgrade"
    /var/lib/dpkg/info/rawview.postinst abort-upgrade "$(installed)" || fail "postinst after an upgrade that failed"
    is "$(main_pid web)" "$before" "pid of the service after installing again"
    cmp $images/web.qcow2 $known || fail "the view after installing again"
    stop web
    ok "installed again, and called again, the view goes on"
}

test_upgrade() {
    local before version
    start web
    before=$(main_pid web) version=$(installed)
    exec 5<$images/web.qcow2
    head -c 4096 <&5 | cmp -n 4096 - $known || fail "the view before the upgrade"
    apt_says install /payload/debs/rawview_*next*.deb
    is "$(installed)" "$version+next" "version after the upgrade"
    is "$(main_pid web)" "$before" "pid of the service after the upgrade"
    tail -c +4097 <&5 >/dev/null || fail "reading on after the upgrade"
    exec 5<&-
    cmp $images/web.qcow2 $known || fail "the view after the upgrade"
    systemctl reload rawview@web || fail "reload after the upgrade"
    systemctl restart rawview@web || fail "restart after the upgrade"
    cmp $images/web.qcow2 $known || fail "the view of the new program"
    ok "an upgrade leaves the view alone"
}

test_remove() {
    local image
    image=$images/web.qcow2
    apt_says remove rawview
    not_mounted $image
    is "$(state web)" inactive "after the removal"
    is "$(property web Result)" success "how it ended"
    ! cmp -s $image $known || fail "the image is no image"
    ! pgrep -x rawview-worker || fail "a worker is left"
    ! systemctl cat rawview@.service >/dev/null 2>&1 || fail "the unit is still known"
    [ -e /etc/rawview/web.image ] || fail "the descriptor is gone"
    ok "a removal ends the views"
}

test_purge() {
    apt_says purge rawview
    [ -e /etc/rawview/web.image ] || fail "the descriptor is gone after purging"
    ! ls /etc/apparmor.d/rawview /etc/apparmor.d/tunables/rawview /etc/apparmor.d/local/rawview 2>/dev/null || fail "left of the profile"
    is "$(find /usr /etc /lib /run -xdev -name '*rawview*' ! -path '/etc/rawview*' ! -path '/run/rawview*' ! -path '/run/systemd/*' ! -path '/run/udev/*' | head)" "" "files left"
    apt_says install /payload/debs/rawview_*next*.deb
    start web
    cmp $images/web.qcow2 $known || fail "the view after the package came back"
    stop web
    rm /etc/rawview/web.image
    apt_says purge rawview
    [ ! -e /etc/rawview ] || fail "an empty /etc/rawview is left"
    file_system >/run/after
    # The user and the groups stay, as is usual; and all of Debian's packages with a profile take this folder away when it is empty.
    diff /run/before /run/after | grep '^[<>]' |
        grep -v -E ' /etc/((passwd|group|shadow|gshadow|subuid|subgid)-?|\.pwd\.lock|apparmor\.d/disable)( |$)' >/run/left || true
    [ ! -s /run/left ] || fail "the file system is not what it was: $(cat /run/left)"
    ok "purging leaves descriptors, and an empty folder not"
}

test_install
test_autopkgtest
test_again
test_upgrade
test_remove
test_purge
