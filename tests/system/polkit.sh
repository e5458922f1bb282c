#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What polkit lets a member of the group rawview do, and what nobody: asked through D-Bus, as systemctl asks.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

image=/var/lib/images/web.raw
bus=(busctl --system call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager)

prepare() {
    systemd-sysusers
    useradd --groups rawview member
    useradd stranger
    # As where a user of this name was there before, with a group of its own.
    gpasswd --add rawview rawview >/dev/null
    mkdir -p /var/lib/images /etc/rawview /etc/systemd/system
    seq 100000 >$image
    chmod 640 $image
    describe web '[Image]' "Path=$image" 'Format=raw'
    # Names that look like ours, and others; whoever starts one of them leaves a trace.
    local unit
    for unit in 'rawview-loop@.service' 'xrawview@.service' 'rawviewer.service' 'other.service' 'rawview@a.timer'; do
        printf '[Timer]\nOnActiveSec=1d\nUnit=other.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/touch /run/started\n' >"/etc/systemd/system/$unit"
    done
    systemctl daemon-reload
}

as() { setpriv --reuid="$1" --regid="$1" --init-groups "${@:2}"; }

# denied USER COMMAND…: refused, and for want of a right.
denied() {
    local said
    ! said=$(as "$@" 2>&1 </dev/null) || fail "allowed: $*"
    [[ $said =~ [Ii]nteractive\ authentication\ required|Access\ denied|[Pp]ermission\ denied|Operation\ not\ permitted ]] ||
        fail "$*: refused for another reason: $said"
}

# may USER UNIT VERB [MESSAGE]: what polkit answers when systemd asks this for a process of USER.
may() {
    local pid=${subject[$1]} details=(--detail unit "$2" --detail verb "$3")
    [ -z "${4-}" ] || details+=(--detail polkit.message "$4")
    pkcheck --action-id org.freedesktop.systemd1.manage-units --process "$pid" "${details[@]}" >/dev/null 2>&1
}

test_member() {
    as member systemctl start rawview@web || fail "a member cannot start"
    is "$(state web)" active "after the start"
    cmp <(seq 100000) $image || fail "the view"
    as member systemctl reload rawview@web || fail "a member cannot reload"
    is "$(state web)" active "after the reload"
    as member systemctl stop rawview@web || fail "a member cannot stop"
    is "$(state web)" inactive "after the stop"
    ok "a member starts, reloads and stops a view"
}

test_other_verbs() {
    local user=$1 name=rawview@web.service file=rawview@other.service method
    for method in RestartUnit TryRestartUnit ReloadOrRestartUnit ReloadOrTryRestartUnit; do
        denied "$user" "${bus[@]}" $method ss $name replace
    done
    denied "$user" "${bus[@]}" EnqueueUnitJob sss $name restart replace
    denied "$user" "${bus[@]}" KillUnit ssi $name all 9
    denied "$user" "${bus[@]}" SetUnitProperties 'sba(sv)' $name true 1 CPUWeight t 1
    denied "$user" "${bus[@]}" FreezeUnit s $name
    denied "$user" "${bus[@]}" ThawUnit s $name
    denied "$user" "${bus[@]}" CleanUnit sas $name 1 all
    denied "$user" "${bus[@]}" ResetFailedUnit s $name
    denied "$user" "${bus[@]}" EnableUnitFiles asbb 1 $file false false
    denied "$user" "${bus[@]}" DisableUnitFiles asb 1 $file false
    denied "$user" "${bus[@]}" MaskUnitFiles asbb 1 $file false false
    denied "$user" "${bus[@]}" LinkUnitFiles asbb 1 /var/tmp/rawview@evil.service true false
    denied "$user" "${bus[@]}" AddDependencyUnitFiles asssbb 1 $file multi-user.target Wants true false
    denied "$user" "${bus[@]}" SetEnvironment as 1 LD_PRELOAD=/var/tmp/evil.so
    for method in Reload Reexecute ResetFailed PowerOff; do
        denied "$user" "${bus[@]}" $method
    done
    # What `systemctl edit` would do, which wants a terminal.
    denied "$user" mkdir /etc/systemd/system/$name.d
    denied "$user" mkdir /run/systemd/system/$name.d
    is "$(state web)" active "the view that was not theirs to touch"
    ok "$user: no other verb"
}

# Units of other names, and names that lead out of the folders of descriptors.
test_other_units() {
    local user=$1 unit
    printf '[Image]\nPath=/etc/shadow\nFormat=raw\n' >/etc/outside.image
    for unit in rawview.target rawview-loop@x.service xrawview@a.service rawviewer.service other.service rawview@a.timer \
        'rawview@../outside' '../rawview@web' 'rawview@..-outside.service' 'rawview@..\x2foutside.service' 'rawview@.web.service' 'rawview@a-b.service'; do
        denied "$user" systemctl start "$unit"
        denied "$user" systemctl stop "$unit"
    done
    denied "$user" "${bus[@]}" StartTransientUnit 'ssa(sv)a(sa(sv))' rawview@made.service fail \
        1 ExecStart 'a(sasb)' 1 /usr/bin/touch 2 /usr/bin/touch /run/started false 0
    [ ! -e /run/started ] || fail "something was started"
    ok "$user: no other unit"
}

test_stranger() {
    denied stranger systemctl start rawview@web
    is "$(state web)" inactive "a view that nobody started"
    start web
    denied stranger systemctl stop rawview@web
    denied stranger systemctl reload rawview@web
    test_other_verbs stranger
    test_other_units stranger
    is "$(state web)" active "a view that nobody stopped"
    stop web
    ok "a stranger does nothing"
}

# The rule itself, with questions that this systemd does not ask, and names that nobody can give it.
test_rule() {
    local verb unit made="Authentication is required to start transient unit '\$(unit)'."
    declare -A subject
    for user in member stranger rawview; do
        as $user sleep 600 &
        wait_for 5 pgrep -u $user -x sleep >/dev/null
        subject[$user]=$(pgrep -u $user -x sleep)
    done
    for verb in start stop reload; do
        for unit in rawview@web.service 'rawview@my\x20disk\x2d1.service' rawview@A:b_c.1.service 'rawview@\x2eweb.service'; do
            may member "$unit" $verb || fail "a member may not $verb $unit"
            ! may stranger "$unit" $verb || fail "a stranger may $verb $unit"
            ! may rawview "$unit" $verb || fail "the worker's user may $verb $unit"
        done
        for unit in rawview@.service rawview.service rawview@web rawview@web.target rawview@web.service.mount ' rawview@web.service' 'rawview@web.service ' \
            $'x\nrawview@web.service' $'rawview@web.service\nx' rawview@a-b.service 'rawview@a\x2fb.service' 'rawview@a\x00b.service' 'rawview@a\x2Fb.service' \
            'rawview@a\b.service' 'rawview@a/b.service' rawview@..service rawview@a@b.service 'rawview@ä.service' RAWVIEW@web.service; do
            ! may member "$unit" $verb || fail "a member may $verb '$unit'"
        done
    done
    for verb in restart try-restart reload-or-restart kill set-property clean freeze thaw reset-failed cancel bind-mount mount-image attach-processes '' START starts; do
        ! may member rawview@web.service "$verb" || fail "a member may '$verb'"
    done
    # systemd 257 asks this.
    ! may member rawview@web.service start "$made" || fail "a member may make a transient unit"
    may member rawview@web.service start "Authentication is required to start '\$(unit)'." || fail "systemd's own words for a start"
    ! pkcheck --action-id org.freedesktop.systemd1.manage-unit-files --process "${subject[member]}" --detail unit rawview@web.service \
        --detail verb start >/dev/null 2>&1 || fail "another action"
    kill "${subject[@]}"
    ok "the rule, question by question"
}

# It is no way to the processes of a view, nor to any file.
test_group_gives_nothing_else() {
    local worker
    start web
    worker=$(worker_pid web)
    denied member head -c1 $image
    denied member cat "/proc/$worker/maps"
    denied member head -c1 "/proc/$worker/mem"
    denied member ls "/proc/$worker/fd/"
    denied member kill -KILL "$worker"
    denied member kill -KILL "$(main_pid web)"
    denied member touch /etc/rawview/mine.image
    is "$(find / -xdev -path /proc -prune -o -group rawview -print)" "" "files of the group"
    is "$(find /run /etc/rawview -group rawview -print)" "" "files of the group"
    stop web
    denied member head -c1 $image
    ok "the group opens no file and reaches no process"
}

prepare
test_member
start web
test_other_verbs member
stop web
test_other_units member
test_stranger
test_rule
test_group_gives_nothing_else
