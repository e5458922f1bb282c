#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Who may look at a view: the points of QEMU's test fuse-allow-other, for --allow-other=no, yes and auto, as root and
# as an ordinary user with and without user_allow_other in fuse.conf.
. "$(dirname "$0")/lib.sh"
need fusermount3

make_programs
fill_file disk.raw 1M
# For reading the view of root only, and for writing one of the user.
install -d -m 755 -o "$USER_ID" user
install -m 600 -o "$USER_ID" disk.raw user/disk.raw
: >mp
install -m 600 -o "$USER_ID" /dev/null user/mp

set_fuse_conf()
{
    echo "$1" >fuse.conf
    chmod 644 fuse.conf
    umount /etc/fuse.conf 2>/dev/null || true
    mount --bind fuse.conf /etc/fuse.conf
}

mode_of()
{
    stat -c %a "$1"
}

options_of()
{
    mount_field FS-OPTIONS "$1"
}

# What others may do with a view that is shown with allow_other, from the owner's side.
see_shared()
{
    local owner=$1 other=$2 view=$3
    grep -q allow_other <<<"$(options_of "$view")" || fail "no allow_other: $(options_of "$view")"
    "$owner" chmod 000 "$view"
    equal "mode after chmod 000" "$("$owner" stat -c %a "$view")" 0
    "$owner" chmod u+r "$view"
    equal "mode after chmod u+r" "$("$owner" stat -c %a "$view")" 400
    expect_fail 'permission denied' "$other" cat "$view"
    "$owner" chmod 444 "$view"
    equal "mode after chmod 444" "$("$owner" stat -c %a "$view")" 444
    "$other" cat "$view" | cmp - disk.raw
    equal "mode as others see it" "$("$other" stat -c %a "$view")" 444
    "$owner" chmod o-r "$view"
    expect_fail 'permission denied' "$other" cat "$view"
    equal "mode after chmod o-r as others see it" "$("$other" stat -c %a "$view")" 440
}

# The same without allow_other.
see_private()
{
    local owner=$1 other=$2 view=$3
    if grep -q allow_other <<<"$(options_of "$view")"; then
        fail "shown with allow_other: $(options_of "$view")"
    fi
    "$owner" chmod 000 "$view"
    equal "mode after chmod 000" "$("$owner" stat -c %a "$view")" 0
    "$owner" chmod u+r "$view"
    equal "mode after chmod u+r" "$("$owner" stat -c %a "$view")" 400
    expect_fail 'operation not permitted' "$owner" chmod 444 "$view"
    equal "mode after chmod 444 was refused" "$("$owner" stat -c %a "$view")" 400
    expect_fail 'permission denied' "$other" cat "$view"
    expect_fail 'permission denied' "$other" stat "$view"
}

set_fuse_conf ''
for allow in no yes auto; do
    step "root, --allow-other=$allow"
    up view -f raw -w --allow-other=$allow disk.raw mp
    equal "mode at first" "$(mode_of mp)" 600
    case $allow in
    no) see_private as-root as-user mp ;;
    *) see_shared as-root as-user mp ;;
    esac
    down view
done
no_mount_left

# As an ordinary user: the log is what the foreground writes. What `auto` came to stands only there, not in the terminal
# of somebody who did not ask for more.
user_view()
{
    local allow=$1
    as-user rawview mount -v --foreground -p user/view.pid -f raw -w "--allow-other=$allow" \
        user/disk.raw user/mp >user.log 2>&1 &
    echo $! >user.shell
    wait_until 60 test -s user/view.pid || fail "the view of the user does not come: $(cat user.log)"
}

end_user_view()
{
    kill -INT "$(cat user/view.pid)"
    wait_for_end user
    equal "status of the user's view ($(cat user.log))" "$STATUS" 0
    no_mount_left
}

mentions()
{
    grep -c allow_other user.log || true
}

for conf in '' user_allow_other; do
    set_fuse_conf "$conf"

    step "user, fuse.conf '$conf', --allow-other=no"
    user_view no
    see_private as-user as-other user/mp
    equal "lines about allow_other in the log ($(cat user.log))" "$(mentions)" 0
    end_user_view

    step "user, fuse.conf '$conf', --allow-other=auto"
    user_view auto
    if [[ -n $conf ]]; then
        see_shared as-user as-other user/mp
        equal "lines about allow_other in the log ($(cat user.log))" "$(mentions)" 0
    else
        see_private as-user as-other user/mp
        equal "lines about allow_other in the log ($(cat user.log))" "$(mentions)" 1
    fi
    end_user_view
done

step "user, --allow-other=yes where it is allowed"
user_view yes
see_shared as-user as-other user/mp
end_user_view

step "user, --allow-other=yes where it is not"
set_fuse_conf ''
refused 1 'user_allow_other' as-user rawview mount -d -f raw -w --allow-other=yes user/disk.raw user/mp
cmp user/disk.raw disk.raw
